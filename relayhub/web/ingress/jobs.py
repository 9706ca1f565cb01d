"""What the ingresses of images and video share: submitting, finding a job, showing it, following it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import orjson
from aiohttp import web
from aiohttp_sse import sse_response

from relayhub.dialects.media_api.views import Shown, canonical_id
from relayhub.jobs.asked import MediaCall, Source
from relayhub.jobs.submission import Submitted
from relayhub.types.call import Principal
from relayhub.types.errors import ClientError, ErrorKind
from relayhub.types.job import Job
from relayhub.types.json import JsonObject
from relayhub.types.media import JobState, MediaKind, MediaRequest
from relayhub.web.client_address import client_address
from relayhub.web.context import CONTEXT, REQUEST_ID
from relayhub.web.given import Received
from relayhub.web.ingress.serving import json_response, platform_of, refuse_while_draining
from relayhub.web.media_desk import MediaDesk

RETRY_MS = 2000

View = Callable[[Shown], JsonObject]


def desk_of(request: web.Request) -> MediaDesk:
    return request.app[CONTEXT].media


async def submit(
    request: web.Request,
    principal: Principal,
    received: Received,
    asked: MediaRequest,
    *,
    kind: MediaKind,
    dialect: str,
    platform: str | None = None,
    user: str | None = None,
    callback_url: str | None = None,
    source: Source | None = None,
) -> Submitted:
    """Raises ``RelayhubError``. The submit goes on if the client leaves."""
    context = request.app[CONTEXT]
    refuse_while_draining(context)
    call = MediaCall(
        id=request[REQUEST_ID],
        principal=principal,
        kind=kind,
        dialect=dialect,
        platform=platform or platform_of(request),
        request=asked,
        body_hash=received.digest,
        received_at=context.clock.monotonic(),
        client=client_address(request, context.trusted_proxies),
        user=user,
        once=received.once,
        callback_url=callback_url,
        source=source,
    )
    return await context.media.engine.submit(call)


def as_created(submitted: Submitted) -> Job:
    """The same answer however often it is asked for."""
    job = submitted.job
    if submitted.replayed and job.upstream_id is not None:
        return replace(job, state=JobState.QUEUED, progress=0)
    return job


async def job_of(request: web.Request, principal: Principal, shown_id: str, kind: MediaKind) -> Job:
    """Raises ``ClientError`` NOT_FOUND: unknown, of another account, or of another platform; the same answer for all."""
    context = request.app[CONTEXT]
    job = await context.media.engine.jobs.get(canonical_id(shown_id[:80]))
    platform = request.match_info.get("platform")
    here = None if platform is None else context.catalog.platform(platform)
    if job is None or job.account_id != principal.account_id or job.kind is not kind:
        raise _unknown(shown_id, kind)
    if here is not None and job.provider not in here:
        raise _unknown(shown_id, kind)
    return job


async def shown(request: web.Request, job: Job) -> Shown:
    return Shown(job, await desk_of(request).links_to(job) if job.state is JobState.SUCCEEDED else ())


async def answer(request: web.Request, job: Job, view: View) -> web.Response:
    return json_response(request, orjson.dumps(view(await shown(request, job))))


async def follow(request: web.Request, job: Job, view: View) -> web.StreamResponse:
    """Live: the job as it is, and each change of it, as server-sent events whose ids are its revisions. After its last
    one the answer is 204, which stops ``EventSource``."""
    seen = _last_event_id(request)
    if not job.is_open and seen is not None and seen >= job.revision:
        return web.Response(status=204)
    context = request.app[CONTEXT]
    async with sse_response(request, sep="\n", ping_interval=context.server.keep_alive_s) as stream:
        if seen is None or seen < job.revision:
            await stream.send(await _event(request, job, view), id=str(job.revision), retry=RETRY_MS)
        async for changed in context.media.engine.watch.changes(job, until=lambda: context.draining):
            await stream.send(await _event(request, changed, view), id=str(changed.revision))
    return stream


async def _event(request: web.Request, job: Job, view: View) -> str:
    return orjson.dumps(view(await shown(request, job))).decode()


def _last_event_id(request: web.Request) -> int | None:
    text = request.headers.get("last-event-id", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else None


def _unknown(shown_id: str, kind: MediaKind) -> ClientError:
    return ClientError(
        ErrorKind.NOT_FOUND,
        f"There is no {kind.value} job {shown_id[:80]!r}.",
        code="job_not_found",
        param="id",
    )
