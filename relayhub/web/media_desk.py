"""What the handlers of images, speech and video need beside the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from relayhub.gateway.speech import SpeechCalls
from relayhub.jobs.callbacks import Callbacks
from relayhub.jobs.engine import JobEngine
from relayhub.jobs.files import FileStore
from relayhub.jobs.links import Links
from relayhub.types.job import Job, StoredArtifact


@dataclass(frozen=True, slots=True)
class MediaDesk:
    """``default_models``: by provider, for video requests that name none; ``image_wait_s``: how long a request waits
    for its images."""

    engine: JobEngine
    speech: SpeechCalls
    files: FileStore
    links: Links
    callbacks: Callbacks
    default_models: Mapping[str, str]
    default_model: str | None
    image_wait_s: float

    async def results(self, job: Job) -> list[StoredArtifact]:
        """Those that are still there."""
        return [result for result in await self.engine.jobs.results(job.id) if result.file is not None]

    async def links_to(self, job: Job) -> list[str]:
        """Empty until it has succeeded, and once its results have expired."""
        return [self.links.to(result) for result in await self.results(job)] if not job.is_open else []
