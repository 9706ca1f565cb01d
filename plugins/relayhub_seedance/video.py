"""Seedance videos: the wire."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from urllib.parse import quote

import orjson

from relayhub.sdk import (
    Effect,
    Found,
    HttpReply,
    HttpRequest,
    JobState,
    JobUpdate,
    MediaRequest,
    MediaUsage,
    PollPace,
    Steps,
    UpstreamJob,
    VideoRequest,
    invalid_request,
    upstream_broke,
)
from relayhub_seedance.asked import Asked, asked
from relayhub_seedance.errors import read_error
from relayhub_seedance.lookup import MAX_PAGES, PAGE_SIZE, Search, Wanted
from relayhub_seedance.settings import SeedanceSettings
from relayhub_seedance.tasks import id_of, object_of, update_of

TASKS = "/contents/generations/tasks"
GRACE_S = 600.0
"""Beyond the upstream's own limit, for its last word to be heard."""


class SeedanceWire:
    """A :class:`relayhub.sdk.JobWire` that finds, cancels and is called back."""

    takes_data = True

    def __init__(self, settings: SeedanceSettings, callback_url: str | None = None) -> None:
        self._settings = settings
        self._callback_url = callback_url
        self._url = f"{settings.base_url}{TASKS}"
        self.pace = _pace(settings)

    def measure(self, model: str, request: MediaRequest) -> MediaUsage:
        return self._asked(model, request).usage

    def submit(self, model: str, request: MediaRequest, reference: str) -> Steps[UpstreamJob]:
        wanted = self._asked(model, request)
        body = orjson.dumps(self._body(model, wanted, reference))
        reply = yield self._request("POST", self._url, body, Effect.PAID)
        return UpstreamJob(id_of(self._read(reply)), _handle(wanted))

    def poll(self, job: UpstreamJob) -> Steps[JobUpdate]:
        reply = yield self._request("GET", self._task_url(job))
        return update_of(self._read(reply), job)

    def find(
        self,
        model: str,
        request: MediaRequest,
        reference: str,
        since: float,
        until: float,
        owned: Collection[str] = (),
    ) -> Steps[UpstreamJob | Found]:
        asked_for = self._asked(model, request)
        body = self._body(model, asked_for, reference)
        # A client's own identifier takes the mark's place, and says nothing of a single job.
        mark = mark_of(reference) if body.get("safety_identifier") == mark_of(reference) else None
        search = Search(Wanted(model, mark, body, since, until), frozenset(owned))
        for page in range(1, MAX_PAGES + 1):
            reply = yield self._request("GET", f"{self._url}?page_num={page}&page_size={PAGE_SIZE}")
            items, total = _page(self._read(reply))
            search.feed(items, total)
            if search.complete or search.found is not None or not items:
                break
        found = search.result
        return found if isinstance(found, Found) else UpstreamJob(found, _handle(asked_for))

    def cancel(self, job: UpstreamJob) -> Steps[bool]:
        """Only what is queued can be cancelled. For a job that has ended the same request deletes its record, and the
        link to its result: so it is looked at first."""
        update = yield from self.poll(job)
        if update.state is not JobState.QUEUED:
            return update.state is JobState.CANCELLED
        reply = yield self._request("DELETE", self._task_url(job))
        if 400 <= reply.status < 500 and reply.status not in (401, 403, 404, 429):
            return False
        self._checked(reply)
        return True

    def with_callback(self, url: str) -> SeedanceWire:
        return SeedanceWire(self._settings, url)

    def read_callback(self, _headers: Mapping[str, str], body: bytes) -> str | None:
        """Ark posts the task object, unsigned."""
        try:
            task = orjson.loads(body)
        except orjson.JSONDecodeError:
            return None
        id_ = task.get("id") if isinstance(task, dict) else None
        return id_ if isinstance(id_, str) and id_ else None

    # --- requests and answers -----------------------------------------------------------------------------------------

    def _asked(self, model: str, request: MediaRequest) -> Asked:
        if not isinstance(request, VideoRequest):
            raise invalid_request("model: this one makes videos only.", param="model")
        return asked(model, request, self._settings)

    def _body(self, model: str, wanted: Asked, reference: str) -> dict[str, object]:
        marked = {"safety_identifier": mark_of(reference)} if self._settings.mark_jobs else {}
        called = {"callback_url": self._callback_url} if self._callback_url else {}
        return {"model": model, **marked, **wanted.body, **called}

    def _task_url(self, job: UpstreamJob) -> str:
        return f"{self._url}/{quote(job.id, safe='')}"

    def _request(self, method: str, url: str, body: bytes = b"", effect: Effect = Effect.NONE) -> HttpRequest:
        return HttpRequest(method, url, headers_of(self._settings, body), body, effect)

    def _checked(self, reply: HttpReply) -> None:
        if not 200 <= reply.status < 300:
            raise read_error(reply, [self._settings.api_key.get_secret_value()])

    def _read(self, reply: HttpReply) -> dict[str, object]:
        self._checked(reply)
        return object_of(reply.body)


def headers_of(settings: SeedanceSettings, body: bytes = b"") -> dict[str, str]:
    headers = {"authorization": f"Bearer {settings.api_key.get_secret_value()}", "accept": "application/json"}
    return {**headers, "content-type": "application/json"} if body else headers


def mark_of(reference: str) -> str:
    """64 characters, the most that Ark takes; it says nothing of the job or its owner."""
    return hashlib.sha256(reference.encode()).hexdigest()


def _handle(wanted: Asked) -> Mapping[str, str]:
    """What chooses the price, for answers that do not say it."""
    usage = wanted.usage
    audio = {} if wanted.audio is None else {"audio": str(wanted.audio).lower()}
    return {
        "input_kind": wanted.input_kind,
        "resolution": wanted.resolution,
        "video_ms": str(usage.video_ms),
        **audio,
    }


def _page(answer: Mapping[str, object]) -> tuple[list[object], int]:
    """Raises ``UpstreamError``: a listing that cannot be read must not look like an empty one."""
    items, total = answer.get("items"), answer.get("total")
    if items is None and total == 0:
        return [], 0
    if not isinstance(items, list) or not isinstance(total, int):
        raise upstream_broke("it is not a listing")
    return items, total


def _pace(settings: SeedanceSettings) -> PollPace:
    poll = settings.poll
    return PollPace(
        first_s=poll.first_s,
        every_s=poll.every_s,
        slow_after_s=poll.slow_after_s,
        slow_every_s=poll.slow_every_s,
        patient_after_s=poll.patient_after_s,
        patient_every_s=poll.patient_every_s,
        limit_s=settings.gives_up_s + GRACE_S,
    )
