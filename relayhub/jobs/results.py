"""Bringing results home: each is copied to our storage before anybody is told of it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass

from ulid import ULID

from relayhub.jobs.files import FileStore, TooLarge, Written
from relayhub.routing.driving import host_of
from relayhub.routing.provider import Provider
from relayhub.sdk.clock import Clock
from relayhub.types.errors import RelayhubError, UpstreamError
from relayhub.types.http import Deadlines, Effect, HttpRequest
from relayhub.types.job import Job, StoredArtifact
from relayhub.types.media import Artifact, MediaKind
from relayhub.types.sniffing import media_type_of
from relayhub.upstream.download import Downloader, lost

FETCH = Deadlines(connect_s=10.0, first_byte_s=60.0, idle_s=60.0, total_s=1800.0)
PIECE = 256 << 10

TOO_LARGE = "result_too_large"
"""The code of the one failure that trying again does not mend."""

_USUAL = {MediaKind.VIDEO: "video/mp4", MediaKind.IMAGE: "image/png", MediaKind.SPEECH: "audio/mpeg"}


@dataclass(frozen=True, slots=True)
class Results:
    """``ttl_s``: how long a result is kept from now on."""

    files: FileStore
    downloader: Downloader
    clock: Clock
    ttl_s: float

    async def keep(
        self, job: Job, provider: Provider, artifacts: Sequence[Artifact], own_hosts: set[str]
    ) -> list[StoredArtifact]:
        """All of them, in their order, or none. ``own_hosts``: those that the provider was asked at. Raises
        ``UpstreamError`` for a result that cannot be had, ``HubError`` where the disk takes no more."""
        if not artifacts:
            raise lost("the upstream says that it is done and names no result", None)
        kept: list[StoredArtifact] = []
        try:
            for position, artifact in enumerate(artifacts):
                kept.append(await self._keep(job, position, artifact, provider, own_hosts))
        except RelayhubError:
            # It is tried again for hours: what was kept each time would fill the disk.
            await self.drop(kept)
            raise
        return kept

    async def drop(self, kept: Sequence[StoredArtifact]) -> None:
        """Files that no job will have. What cannot be deleted is swept later."""
        for result in kept:
            await self._forget(result.id)

    async def _forget(self, name: str) -> None:
        with contextlib.suppress(OSError):
            await self.files.delete(name)

    async def _keep(
        self, job: Job, position: int, artifact: Artifact, provider: Provider, own_hosts: set[str]
    ) -> StoredArtifact:
        name = f"file_{ULID()}"
        try:
            async with AsyncExitStack() as stack:
                declared, chunks = await self._open(stack, artifact, provider, own_hosts)
                written = await self.files.write(name, chunks)
        except TooLarge:
            raise _too_large() from None
        if not written.size or _is_page(written.head):
            await self._forget(name)
            raise lost("it is empty" if not written.size else "it is a page of text", None)
        return StoredArtifact(
            id=name,
            job_id=job.id,
            position=position,
            media_type=_media_type(job.kind, artifact.media_type, declared, written),
            size=written.size,
            file=written.name,
            expires_at=self.clock.now() + self.ttl_s,
            note=artifact.note,
        )

    async def _open(
        self, stack: AsyncExitStack, artifact: Artifact, provider: Provider, own_hosts: set[str]
    ) -> tuple[str | None, AsyncIterator[bytes]]:
        """Its type as its server says it, and its bytes."""
        if artifact.data is not None:
            return None, _pieces(artifact.data)
        if artifact.url is None:
            raise lost("the upstream gives neither a link nor the data", None)
        if host_of(artifact.url) not in own_hosts and not provider.proxied:
            download = await stack.enter_async_context(self.downloader.open(artifact.url))
            return download.media_type, download.chunks
        headers = dict(artifact.headers) if host_of(artifact.url) in own_hosts else {}
        request = HttpRequest("GET", artifact.url, headers, effect=Effect.NONE)
        reply = await stack.enter_async_context(provider.transport.send(request, FETCH))
        if reply.status != 200:
            raise lost(f"its server answered {reply.status}", reply.status)
        chunks = await stack.enter_async_context(aclosing(reply.chunks()))
        return reply.headers.get("content-type", "").partition(";")[0].strip().lower() or None, chunks


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), PIECE):
        yield data[start : start + PIECE]


def _media_type(kind: MediaKind, said: str | None, declared: str | None, written: Written) -> str:
    """What the bytes show, else what was said of them if that is of the job's kind: storage servers often send
    ``application/octet-stream``, and nothing that a browser would run may be served from here."""
    seen = media_type_of(written.head)
    family = {MediaKind.SPEECH: "audio"}.get(kind, kind.value)
    for candidate in (seen, said, declared):
        if candidate and candidate.startswith(f"{family}/") and candidate != "image/svg+xml":
            return candidate
    return _USUAL[kind]


def _too_large() -> UpstreamError:
    error = lost("it is larger than this server keeps", None)
    error.code = TOO_LARGE
    return error


def _is_page(head: bytes) -> bool:
    """A login page, or an error in JSON or XML, that came with a 200."""
    return head.lstrip()[:1] in (b"<", b"{") and media_type_of(head) is None
