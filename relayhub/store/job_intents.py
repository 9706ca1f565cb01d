"""What can be asked of the writer about jobs: whatever moves a job and its money together is one item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

from relayhub.store.intents import Intent, OpenHold
from relayhub.types.call import UsageRecord
from relayhub.types.job import Job, StoredArtifact
from relayhub.types.media import JobState

Value: TypeAlias = "str | int | float | bytes | bool | None"
Changes: TypeAlias = Mapping[str, Value]
"""Columns of the job's row."""


@dataclass(frozen=True, slots=True)
class Once:
    """A client's own name for its request: the same name and body again are the same job. Hashes, in hex."""

    name: str
    body_hash: str
    expires_at: float


@dataclass(frozen=True, slots=True)
class Opened:
    """``hold_id``: 0 where the job is from before (``replayed``) and nothing was held. ``same_body``: false where it came
    with another one."""

    job_id: str
    hold_id: int = 0
    replayed: bool = False
    same_body: bool = True


@dataclass(slots=True)
class OpenJob(Intent[Opened]):
    """A hold and a job row, together or not at all. ``sealed``: the request; ``webhook``: the sealed address."""

    hold: OpenHold
    job: Job
    sealed: bytes
    lease_owner: str
    lease_until: float
    once: Once | None = None
    webhook: bytes | None = None
    power: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class MoveJob(Intent[bool]):
    """Change a job's row if it is in one of ``states``; answers whether it was. ``visible``: clients can see it."""

    job_id: str
    states: frozenset[JobState]
    changes: Changes
    visible: bool = True
    power: ClassVar[bool] = True
    kept: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class TouchJob(Intent[None]):
    """When a job that is still open is looked at next, and what the last look was like. Not worth a full sync."""

    job_id: str
    changes: Changes


@dataclass(frozen=True, slots=True)
class FinishJob(Intent[bool]):
    """Move a job to an end and settle or release its hold: the first one wins, all others change nothing."""

    job_id: str
    hold_id: int
    states: frozenset[JobState]
    changes: Changes
    record: UsageRecord
    charge: bool
    artifacts: Sequence[StoredArtifact] = field(default=())
    forget_name: bool = False
    """The client's own name for the request is free again: nothing came of it."""
    power: ClassVar[bool] = True
    kept: ClassVar[bool] = True
