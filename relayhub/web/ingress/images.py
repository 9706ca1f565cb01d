"""Images, at once or later: ``…/images/generations``, ``…/images/edits`` and ``…/images/{id}``."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import orjson
from aiohttp import web

from relayhub.dialects.media_api.images import ImageFormat, read_images
from relayhub.dialects.media_api.views import Shown, image_task
from relayhub.types.errors import ErrorKind, UpstreamError
from relayhub.types.job import Job, StoredArtifact
from relayhub.types.json import JsonObject
from relayhub.types.media import JobState, MediaKind
from relayhub.web.body import defer_expectation
from relayhub.web.given import receive
from relayhub.web.ingress.jobs import desk_of, job_of, submit
from relayhub.web.ingress.serving import authenticate, json_response
from relayhub.web.mounts import OPENAI_MOUNTS

DIALECT = "openai.images"
_REFUSALS = frozenset({"invalid_request", "content_policy"})


def add_routes(app: web.Application, base_path: str) -> None:
    """Register every endpoint under every mount."""
    for mount in OPENAI_MOUNTS:
        prefix = f"{base_path}{mount.prefix}/images"
        app.router.add_post(f"{prefix}/generations", generate, expect_handler=defer_expectation)
        app.router.add_post(f"{prefix}/edits", edit, expect_handler=defer_expectation)
        app.router.add_get(f"{prefix}/{{id}}", task)


async def generate(request: web.Request) -> web.Response:
    """``POST …/images/generations``."""
    return await _make(request, edits=False)


async def edit(request: web.Request) -> web.Response:
    """``POST …/images/edits``."""
    return await _make(request, edits=True)


async def _make(request: web.Request, *, edits: bool) -> web.Response:
    principal = authenticate(request)
    received = await receive(request)
    asked = read_images(received.given, edits=edits)
    submitted = await submit(
        request,
        principal,
        received,
        asked.request,
        kind=MediaKind.IMAGE,
        dialect=DIALECT,
        user=asked.user,
        callback_url=asked.callback_url,
    )
    job = submitted.job
    if asked.later:
        queued = replace(job, state=JobState.QUEUED, progress=0)
        return json_response(request, orjson.dumps(image_task(Shown(queued))))
    desk = desk_of(request)
    job = await desk.engine.watch.end(job, desk.image_wait_s)
    images = await _images(request, job, asked.format or _usual_format(request))
    told: JsonObject = {"created": int(job.created_at), "data": [*images]}
    if job.usage.input_tokens or job.usage.output_tokens:
        told["usage"] = _usage(job)
    return json_response(request, orjson.dumps(told))


async def task(request: web.Request) -> web.Response:
    """``GET …/images/{id}?response_format=``: links unless base64 is asked for."""
    job = await job_of(request, authenticate(request), request.match_info["id"], MediaKind.IMAGE)
    if job.state is not JobState.SUCCEEDED:
        return json_response(request, orjson.dumps(image_task(Shown(job))))
    wants_data = request.query.get("response_format") == ImageFormat.BASE64
    images = await _images(request, job, ImageFormat.BASE64 if wants_data else ImageFormat.LINK)
    return json_response(request, orjson.dumps(image_task(Shown(job), images)))


def _usual_format(request: web.Request) -> ImageFormat:
    """Each mount's own (seeds 000, 003 and 004)."""
    if "platform" in request.match_info:
        return ImageFormat.DATA_URL
    return ImageFormat.LINK if "/api/relay/" in request.path else ImageFormat.BASE64


async def _images(request: web.Request, job: Job, form: ImageFormat) -> list[JsonObject]:
    """Raises ``UpstreamError`` for a job that has not succeeded (yet)."""
    if job.state is not JobState.SUCCEEDED:
        raise _failure(job)
    if form is ImageFormat.BASE64 and "platform" in request.match_info:
        form = ImageFormat.DATA_URL
    desk = desk_of(request)
    results = await desk.results(job)
    if form is ImageFormat.LINK:
        return [_image(result, "url", desk.links.to(result)) for result in results]
    paths = [desk.files.path(result.file or "") for result in results]
    contents = await asyncio.to_thread(_encoded, paths)
    prefixes = [f"data:{result.media_type};base64," if form is ImageFormat.DATA_URL else "" for result in results]
    return [
        _image(result, "b64_json", prefix + content)
        for result, prefix, content in zip(results, prefixes, contents, strict=True)
    ]


def _encoded(paths: Sequence[Path]) -> list[str]:
    return [base64.b64encode(path.read_bytes()).decode() for path in paths]


def _image(result: StoredArtifact, name: str, value: str) -> JsonObject:
    image: JsonObject = {name: value}
    if result.note:
        image["revised_prompt"] = result.note
    return image


def _usage(job: Job) -> JsonObject:
    usage = job.usage
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def _failure(job: Job) -> UpstreamError:
    """Never to be tried again by itself: it may have been paid for, or would fail the same way."""
    if job.is_open:
        return UpstreamError(
            ErrorKind.UPSTREAM_TIMEOUT,
            f"The images are not finished yet. Do not ask for new ones: they will be found under the id {job.id}.",
            code="task_not_ready",
            retryable=False,
            delivered=True,
        )
    refused = job.error_code in _REFUSALS
    return UpstreamError(
        ErrorKind.UPSTREAM_REJECTED if refused else ErrorKind.UPSTREAM_FAILED,
        job.error_message or "The upstream made no images.",
        code=job.error_code or "upstream_failed",
        retryable=False,
        delivered=True,
    )
