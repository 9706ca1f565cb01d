"""Videos, in every shape that clients know: ``/api/video``, ``/v1/videos``, ``/v1/video/generations`` and the same under
``/{platform}``."""

from __future__ import annotations

from dataclasses import replace

import orjson
from aiohttp import web

from relayhub.dialects.fields import invalid_value, missing
from relayhub.dialects.media_api import views
from relayhub.dialects.media_api.videos import AskedVideo, read_video
from relayhub.jobs.asked import Source
from relayhub.jobs.binding import credential_of
from relayhub.types.call import Operation, Principal
from relayhub.types.chat import Media
from relayhub.types.errors import ClientError, ErrorKind
from relayhub.types.job import Job
from relayhub.types.media import InputRole, JobState, MediaInput, MediaKind
from relayhub.web.body import defer_expectation
from relayhub.web.context import CONTEXT
from relayhub.web.given import Received, receive
from relayhub.web.ingress.files import send_result
from relayhub.web.ingress.jobs import View, answer, as_created, desk_of, follow, job_of, submit
from relayhub.web.ingress.serving import authenticate, json_response, platform_of
from relayhub.web.mounts import OPENAI_MOUNTS

HUB, VIDEOS, GENERATIONS, PLATFORM = "hub.video", "openai.videos", "video.generations", "platform.videos"
"""The shapes, as jobs and usage rows name them."""

MAX_PAGE = 100
USUAL_PAGE = 20


def add_routes(app: web.Application, base_path: str) -> None:
    """Register every endpoint under every mount."""
    router = app.router
    router.add_post(f"{base_path}/api/video/submit", hub_submit, expect_handler=defer_expectation)
    router.add_get(f"{base_path}/api/video/status", hub_status)
    router.add_get(f"{base_path}/api/video/events", hub_events)
    for mount in OPENAI_MOUNTS:
        prefix = base_path + mount.prefix
        router.add_post(f"{prefix}/videos", create, expect_handler=defer_expectation)
        router.add_get(f"{prefix}/videos", listing)
        router.add_get(f"{prefix}/videos/{{id}}", status)
        router.add_delete(f"{prefix}/videos/{{id}}", delete)
        router.add_get(f"{prefix}/videos/{{id}}/content", content)
        router.add_get(f"{prefix}/videos/{{id}}/events", events)
        router.add_post(f"{prefix}/videos/{{id}}/remix", remix, expect_handler=defer_expectation)
        router.add_post(f"{prefix}/video/generations", create_generation, expect_handler=defer_expectation)
        router.add_get(f"{prefix}/video/generations/{{id}}", generation)
        router.add_delete(f"{prefix}/video/generations/{{id}}", delete)


# --- /api/video ---------------------------------------------------------------------------------------------------------


async def hub_submit(request: web.Request) -> web.Response:
    """``POST /api/video/submit``."""
    principal = authenticate(request)
    received = await receive(request)
    asked = read_video(received.given, names_provider=True)
    if asked.provider is not None:
        _check_provider(request, asked.provider)
    job = await _submit(request, principal, received, asked, HUB, asked.provider)
    return json_response(request, orjson.dumps(views.hub_submitted(job)))


async def hub_status(request: web.Request) -> web.Response:
    """``GET /api/video/status?jobId=``."""
    return await answer(request, await _hub_job(request), views.hub_status)


async def hub_events(request: web.Request) -> web.StreamResponse:
    """``GET /api/video/events?jobId=``."""
    return await follow(request, await _hub_job(request), views.hub_status)


async def _hub_job(request: web.Request) -> Job:
    principal = authenticate(request)
    job_id = request.query.get("jobId")
    if not job_id:
        raise missing("jobId")
    return await job_of(request, principal, job_id, MediaKind.VIDEO)


def _check_provider(request: web.Request, name: str) -> None:
    """Here it is a parameter, so a wrong one is a 400."""
    try:
        request.app[CONTEXT].catalog.platform(name)
    except ClientError as error:
        raise ClientError(ErrorKind.INVALID_REQUEST, error.message, code=error.code, param="provider") from None


# --- …/videos -----------------------------------------------------------------------------------------------------------


async def create(request: web.Request) -> web.Response:
    """``POST …/videos``."""
    principal = authenticate(request)
    received = await receive(request)
    job = await _submit(request, principal, received, read_video(received.given), _dialect(request))
    return json_response(request, orjson.dumps(_created(request, job)))


async def status(request: web.Request) -> web.Response:
    """``GET …/videos/{id}``."""
    job = await _job(request, authenticate(request))
    return await answer(request, job, _view(request))


async def events(request: web.Request) -> web.StreamResponse:
    """``GET …/videos/{id}/events``."""
    job = await _job(request, authenticate(request))
    return await follow(request, job, _view(request))


async def listing(request: web.Request) -> web.Response:
    """``GET …/videos?after=&limit=&order=``."""
    principal = authenticate(request)
    platform = platform_of(request)
    providers = None if platform is None else request.app[CONTEXT].catalog.platform(platform)
    after_id = request.query.get("after")
    after = await job_of(request, principal, after_id, MediaKind.VIDEO) if after_id else None
    limit, order = _limit(request), request.query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise invalid_value("order", "must be asc or desc")
    jobs = await desk_of(request).engine.jobs.newest(
        principal.account_id,
        MediaKind.VIDEO,
        limit + 1,
        after=after,
        oldest_first=order == "asc",
        providers=providers,
    )
    view = _view(request)
    page = [view(views.Shown(job, await desk_of(request).links_to(job))) for job in jobs[:limit]]
    told = {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": len(jobs) > limit,
    }
    return json_response(request, orjson.dumps(told))


def _limit(request: web.Request) -> int:
    text = request.query.get("limit", str(USUAL_PAGE))
    if not text.isascii() or not text.isdigit() or len(text) > 4 or not 1 <= int(text) <= MAX_PAGE:
        raise invalid_value("limit", f"must be from 1 to {MAX_PAGE}")
    return int(text)


async def delete(request: web.Request) -> web.Response:
    """``DELETE …/videos/{id}``: an open job is cancelled, of a finished one the result is deleted."""
    desk = desk_of(request)
    job = await _job(request, authenticate(request))
    if job.is_open:
        job = await desk.engine.cancel(job)
    else:
        results = await desk.results(job)
        for result in results:
            await desk.files.delete(result.file or "")
        await desk.engine.jobs.forget_files([result.id for result in results])
    return json_response(request, orjson.dumps(views.video_deleted(job)))


async def content(request: web.Request) -> web.StreamResponse:
    """``GET …/videos/{id}/content``: the bytes, with Range."""
    job = await _job(request, authenticate(request))
    if request.query.get("variant", "video") != "video":
        raise invalid_value("variant", "must be video: nothing else is kept of it")
    return await send_result(request, job)


async def remix(request: web.Request) -> web.Response:
    """``POST …/videos/{id}/remix``: a new video made from one of ours."""
    principal = authenticate(request)
    parent = await _job(request, principal)
    received = await receive(request)
    asked = read_video(received.given)
    links = await desk_of(request).links_to(parent)
    if parent.state is not JobState.SUCCEEDED or not links:
        raise _no_source(parent)
    inputs = (*asked.request.inputs, MediaInput(InputRole.SOURCE_VIDEO, Media(url=links[0]), "video"))
    request_ = replace(asked.request, model=asked.request.model or parent.model, inputs=inputs, remix=True)
    source = Source(parent.id, parent.provider, parent.upstream_id, credential_of(parent))
    job = await _submit(request, principal, received, replace(asked, request=request_), _dialect(request), None, source)
    return json_response(request, orjson.dumps(_created(request, job)))


def _no_source(job: Job) -> ClientError:
    why = "it is not finished" if job.is_open else "it has no result (any more)"
    return ClientError(ErrorKind.CONFLICT, f"The video {job.id} cannot be remixed: {why}.", code="task_not_ready")


async def _job(request: web.Request, principal: Principal) -> Job:
    return await job_of(request, principal, request.match_info["id"], MediaKind.VIDEO)


def _dialect(request: web.Request) -> str:
    return PLATFORM if "platform" in request.match_info else VIDEOS


def _created(request: web.Request, job: Job) -> object:
    return views.platform_video(job) if "platform" in request.match_info else views.video_created(job)


def _view(request: web.Request) -> View:
    if "platform" not in request.match_info:
        return views.video_status
    if request.query.get("detail", "").lower() in ("true", "1"):
        return views.platform_detail
    return lambda shown: views.platform_video(shown.job)


# --- …/video/generations ------------------------------------------------------------------------------------------------


async def create_generation(request: web.Request) -> web.Response:
    """``POST …/video/generations``."""
    principal = authenticate(request)
    received = await receive(request)
    job = await _submit(request, principal, received, read_video(received.given), GENERATIONS)
    return json_response(request, orjson.dumps(views.generation_created(job)))


async def generation(request: web.Request) -> web.Response:
    """``GET …/video/generations/{id}``."""
    return await answer(request, await _job(request, authenticate(request)), views.generation_status)


# --- all of them --------------------------------------------------------------------------------------------------------


async def _submit(
    request: web.Request,
    principal: Principal,
    received: Received,
    asked: AskedVideo,
    dialect: str,
    provider: str | None = None,
    source: Source | None = None,
) -> Job:
    """``provider``: named in the request; the path may name one too."""
    platform = provider or platform_of(request)
    model = asked.request.model or usual_model(request, principal, platform)
    submitted = await submit(
        request,
        principal,
        received,
        replace(asked.request, model=model),
        kind=MediaKind.VIDEO,
        dialect=dialect,
        platform=platform,
        user=asked.user,
        callback_url=asked.callback_url,
        source=source,
    )
    return as_created(submitted)


def usual_model(request: web.Request, principal: Principal, platform: str | None) -> str:
    """The provider's configured one, else the hub's, else the first that there is. Raises ``ClientError``."""
    context = request.app[CONTEXT]
    desk, catalog = context.media, context.catalog
    if platform is None:
        model = desk.default_model
    else:
        named = [desk.default_models[name] for name in catalog.platform(platform) if name in desk.default_models]
        model = named[0] if named else None
    model = model or catalog.first_serving(Operation.VIDEO, principal, platform)
    if model is None:
        raise missing("model")
    return model
