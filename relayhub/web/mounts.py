"""Where each dialect is served. Prefixes and their error shapes are data: a new mount is a line here."""

from __future__ import annotations

from dataclasses import dataclass

from relayhub.dialects.openai_chat.errors import ErrorProfile


@dataclass(frozen=True, slots=True)
class Mount:
    """``public_models``: ``GET …/models`` answers without a key (seed 002 promises it for ``/v1``, seed 000 does not for
    ``/api/relay/v1``)."""

    prefix: str
    profile: ErrorProfile
    public_models: bool = False


OPENAI_MOUNTS = (
    Mount("/v1", ErrorProfile.OPENAI, public_models=True),
    Mount("/api/relay/v1", ErrorProfile.RELAY),
)


def mount_of(path: str, base_path: str) -> Mount | None:
    """The mount that a request path lies under, or ``None``."""
    path = path.removeprefix(base_path)
    for mount in OPENAI_MOUNTS:
        if path == mount.prefix or path.startswith(mount.prefix + "/"):
            return mount
    return None
