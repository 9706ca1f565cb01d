"""A job: what the hub has promised to deliver later, and what it knows of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from relayhub.types.media import JobState, MediaKind, MediaUsage


@dataclass(frozen=True, slots=True)
class StoredArtifact:
    """One result. ``file``: its name in our storage, ``None`` where it has been deleted or could not be copied; ``size``
    in bytes; ``expires_at``: unix seconds."""

    id: str
    job_id: str
    position: int
    media_type: str
    size: int
    file: str | None
    expires_at: float
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """One row. Times are unix seconds.

    ``dialect``: of the client that submitted it. ``handle``: what polling needs beside ``upstream_id``. ``usage``: the
    upper bound that was held for, once it is finished what was billed. ``seconds``: the clip's length, for clients that
    ask. ``price`` is for people, ``rates`` the same as JSON. ``missing``: how often in a row its upstream did not know it.
    ``hold_id``: 0 before it is held for. ``revision`` grows with every change that a client can see. ``next_at``: when the
    engine looks at it again.
    """

    id: str
    call_id: str
    kind: MediaKind
    dialect: str
    platform: str | None
    account_id: str
    key_id: str
    user_identifier: str | None
    model: str
    provider: str
    upstream_model: str
    price: str
    rates: str
    state: JobState
    progress: int
    seconds: float | None
    usage: MediaUsage
    created_at: float
    next_at: float
    hold_id: int = 0
    upstream_id: str | None = None
    handle: Mapping[str, str] = field(default_factory=dict)
    error_code: str | None = None
    error_message: str | None = None
    parent_id: str | None = None
    attempts: int = 0
    poll_errors: int = 0
    missing: int = 0
    submitted_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    revision: int = 0

    @property
    def is_open(self) -> bool:
        return self.state not in TERMINAL


TERMINAL = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})
