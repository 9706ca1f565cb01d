"""The config that is in force, for workers that begin later: by then its file may say something else, or nothing."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import IO

import msgspec


@dataclass(frozen=True, slots=True)
class KeptConfig:
    """``started``: the text that the supervisor began with, whose listener, store and plugins stay; ``current``: the one that
    was reloaded last."""

    started: str
    current: str


def keep(file: IO[bytes], kept: KeptConfig) -> None:
    """``file`` is handed down to every worker."""
    file.seek(0)
    file.truncate()
    file.write(msgspec.json.encode(asdict(kept)))
    file.flush()


def kept_at(descriptor: int) -> KeptConfig:
    """By a worker, from the inherited file. Raises ``ValueError``, ``OSError``."""
    return msgspec.json.decode(os.pread(descriptor, os.fstat(descriptor).st_size, 0), type=KeptConfig)
