"""The bytes of results: behind a job, and behind signed links."""

from __future__ import annotations

from aiohttp import web

from relayhub.jobs.callbacks import PATH as CALLBACKS
from relayhub.jobs.lending import PREFIX as LENT
from relayhub.jobs.links import PATH
from relayhub.types.errors import ClientError, ErrorKind
from relayhub.types.job import Job
from relayhub.types.media import JobState
from relayhub.types.sniffing import media_type_of
from relayhub.web.body import read_body
from relayhub.web.context import CONTEXT
from relayhub.web.ingress.jobs import desk_of

_HEAD = 64
MAX_CALLBACK = 256 << 10
CALLBACK_S = 10.0

_SAFE = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "sandbox; default-src 'none'; media-src 'self'; img-src 'self'; style-src 'unsafe-inline'",
    "content-disposition": "inline",
    "cache-control": "private, max-age=3600",
    "access-control-allow-origin": "*",
    "cross-origin-resource-policy": "cross-origin",
}
"""A result is what somebody else's machine made: it is shown, and never runs."""


def add_routes(app: web.Application, base_path: str) -> None:
    app.router.add_post(f"{base_path}{CALLBACKS}/{{job}}/{{token}}", called_back)
    app.router.add_get(f"{base_path}{PATH}/{{name}}", linked)


async def called_back(request: web.Request) -> web.Response:
    """``POST /files/callbacks/{job}/{token}``: an upstream says that something has changed. Raises ``ClientError``: 404 for
    an address that is not ours."""
    context = request.app[CONTEXT]
    body = await read_body(request, MAX_CALLBACK, CALLBACK_S)
    headers = {name.lower(): value for name, value in request.headers.items()}
    job_id, token = request.match_info["job"], request.match_info["token"]
    if not await context.media.callbacks.heard(job_id, token, headers, body):
        raise ClientError(ErrorKind.NOT_FOUND, "There is no such address.", code="unknown_path")
    return web.Response(status=204)


async def linked(request: web.Request) -> web.StreamResponse:
    """``GET /files/{name}?expires=&sign=``: whoever has the link may have the file. Raises ``ClientError``: 403 for a link
    that is not ours or too old, 410 once the file is gone."""
    context = request.app[CONTEXT]
    desk, name = context.media, request.match_info["name"]
    expires, sign = request.query.get("expires", ""), request.query.get("sign", "")
    if not desk.links.allows(name, expires, sign, context.clock.now()):
        raise ClientError(ErrorKind.PERMISSION, "This link is not valid, or no longer.", code="link_not_valid")
    if name.startswith(LENT):
        return _send(request, name, None)
    result = await desk.engine.jobs.result(name)
    if result is None or result.file is None:
        raise _gone()
    return _send(request, result.file, result.media_type)


async def send_result(request: web.Request, job: Job, position: int = 0) -> web.StreamResponse:
    """Raises ``ClientError``: 409 while the job runs or if it has failed, 410 once its result is gone."""
    if job.state is not JobState.SUCCEEDED:
        raise _not_ready(job)
    for result in await desk_of(request).results(job):
        if result.position == position and result.file is not None:
            return _send(request, result.file, result.media_type)
    raise _gone()


def _send(request: web.Request, name: str, media_type: str | None) -> web.FileResponse:
    path = desk_of(request).files.path(name)
    try:
        if media_type is None:
            with path.open("rb") as file:
                media_type = media_type_of(file.read(_HEAD)) or "application/octet-stream"
        elif not path.is_file():
            raise _gone()
    except OSError as error:
        raise _gone() from error
    return web.FileResponse(path, headers={**_SAFE, "content-type": media_type})


def _not_ready(job: Job) -> ClientError:
    if job.is_open:
        return ClientError(
            ErrorKind.CONFLICT,
            f"The job {job.id} is not finished; ask for its status until it is.",
            code="task_not_ready",
            retry_after_s=5.0,
        )
    ended = "was cancelled" if job.state is JobState.CANCELLED else "failed"
    return ClientError(ErrorKind.CONFLICT, f"The job {job.id} has no result: it {ended}.", code="task_failed")


def _gone() -> ClientError:
    return ClientError(ErrorKind.GONE, "This result is no longer kept.", code="result_expired")
