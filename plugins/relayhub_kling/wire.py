"""Kling's jobs: the wire, for videos and for images."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from urllib.parse import quote

import orjson

from relayhub.sdk import (
    Effect,
    Found,
    HttpReply,
    ImageRequest,
    JobUpdate,
    MediaKind,
    MediaRequest,
    MediaUsage,
    PollPace,
    Steps,
    UpstreamJob,
    VideoRequest,
    read_upstream_error,
    upstream_broke,
)
from relayhub_kling.account import Account
from relayhub_kling.asked import Api, Asked
from relayhub_kling.errors import json_of
from relayhub_kling.images import asked_image
from relayhub_kling.inputs import as_kept
from relayhub_kling.lookup import TASKS, Lookup
from relayhub_kling.settings import KlingSettings
from relayhub_kling.tasks import Task, payload, task_of, update_of
from relayhub_kling.videos import asked_video


class KlingWire:
    """A :class:`relayhub.sdk.JobWire` that finds and is called back. The upstream cannot cancel."""

    takes_data = True

    def __init__(
        self, settings: KlingSettings, account: Account, kind: MediaKind, callback_url: str | None = None
    ) -> None:
        self._settings = settings
        self._account = account
        self._kind = kind
        self._callback_url = callback_url
        self.pace = _pace(settings)

    def measure(self, model: str, request: MediaRequest) -> MediaUsage:
        return self._asked(model, request).usage

    def submit(self, model: str, request: MediaRequest, reference: str) -> Steps[UpstreamJob]:
        asked = self._asked(model, request)
        body = orjson.dumps(asked.sent(reference, self._callback_url))
        reply = yield self._account.request("POST", asked.path, body, Effect.PAID)
        if not 200 <= reply.status < 300:
            raise self._account.refusal(reply)
        return UpstreamJob(task_of(self._data(reply), asked.api).id, asked.handle)

    def poll(self, job: UpstreamJob) -> Steps[JobUpdate]:
        if job.handle["api"] == Api.CLASSIC:
            reply = yield from self._account.ask("GET", f"{job.handle['path']}/{quote(job.id, safe='')}")
            return update_of(task_of(self._data(reply), Api.CLASSIC), job, self._account.secrets())
        reply = yield from self._account.ask("GET", f"{TASKS}?task_ids={quote(job.id, safe='')}")
        return update_of(_only(self._data(reply), job), job, self._account.secrets())

    def find(
        self,
        model: str,
        request: MediaRequest,
        reference: str,
        since: float,
        until: float,
        owned: Collection[str] = (),
    ) -> Steps[UpstreamJob | Found]:
        asked = self._asked(model, _kept(request))
        found = yield from Lookup(self._account, asked, reference, since, until, frozenset(owned)).run()
        return found if isinstance(found, Found) else UpstreamJob(found, asked.handle)

    def with_callback(self, url: str) -> KlingWire:
        return KlingWire(self._settings, self._account, self._kind, url)

    def read_callback(self, _headers: Mapping[str, str], body: bytes) -> str | None:
        """Kling posts the task, unsigned: by itself, or inside of the envelope that its answers have."""
        value = json_of(body)
        inner = value.get("data", value) if isinstance(value, dict) else None
        task = inner[0] if isinstance(inner, list) and inner else inner
        if not isinstance(task, dict):
            return None
        id_ = task.get("task_id") or task.get("id")
        return id_ if isinstance(id_, str) else None

    def _asked(self, model: str, request: MediaRequest) -> Asked:
        make = asked_video if self._kind is MediaKind.VIDEO else asked_image
        return make(model, request, self._settings)

    def _data(self, reply: HttpReply) -> object:
        return payload(reply, self._account.secrets())


def _only(data: object, job: UpstreamJob) -> Task:
    """The job's own among those that were listed. Raises ``UpstreamError`` if it is not there."""
    if not isinstance(data, list):
        raise upstream_broke("it is not a list of tasks")
    tasks = [task_of(item, Api.SECOND) for item in data]
    mine = next((task for task in tasks if task.id == job.id), None)
    if mine is None:
        raise read_upstream_error(HttpReply(404, {}, b""), "the upstream does not know this task", code="1203")
    return mine


def _kept(request: MediaRequest) -> MediaRequest:
    if not isinstance(request, VideoRequest | ImageRequest):
        return request
    return replace(request, inputs=tuple(as_kept(given) for given in request.inputs))


def _pace(settings: KlingSettings) -> PollPace:
    poll = settings.poll
    return PollPace(
        first_s=poll.first_s,
        every_s=poll.every_s,
        slow_after_s=poll.slow_after_s,
        slow_every_s=poll.slow_every_s,
        patient_after_s=poll.patient_after_s,
        patient_every_s=poll.patient_every_s,
        limit_s=float(settings.gives_up_s),
    )
