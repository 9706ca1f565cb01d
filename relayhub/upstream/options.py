"""How one provider is reached."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """``ca_file`` is trusted beside the system's authorities; nothing turns checks off."""

    proxy: str | None = None
    ca_file: Path | None = None
    max_connections: int = 256
