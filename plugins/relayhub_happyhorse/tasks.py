"""Tasks: the wire of videos, and of images that do not come at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from relayhub.sdk import (
    Clock,
    Found,
    HttpReply,
    JobFailure,
    JobState,
    JobUpdate,
    MediaRequest,
    MediaUsage,
    PollPace,
    Steps,
    UpstreamJob,
    upstream_broke,
)
from relayhub_happyhorse.answers import STATES, UNKNOWN, failure_of, id_of, output_of, status_of, usage_of
from relayhub_happyhorse.asked import Asked, Trade
from relayhub_happyhorse.endpoint import Endpoint
from relayhub_happyhorse.lookup import MAX_LOOKS, MAX_PAGES, PAGE_SIZE, Search, Verdict, verdict
from relayhub_happyhorse.settings import GONE_AFTER_S

NEW_S = 60.0
"""So long a task may be unknown because it has only just been made."""
NOT_NOW = frozenset({400, 409, 422})
"""How a cancel is refused."""


class TaskWire:
    """A :class:`relayhub.sdk.JobWire` that finds and cancels. There are no callbacks: they go through another service
    of the upstream, which tells its own customer only."""

    def __init__(self, endpoint: Endpoint, trade: Trade, pace: PollPace, clock: Clock, *, takes_data: bool) -> None:
        self._endpoint = endpoint
        self._trade = trade
        self._clock = clock
        self.pace = pace
        self.takes_data = takes_data

    def measure(self, model: str, request: MediaRequest) -> MediaUsage:
        return self._asked(model, request).usage

    def submit(self, model: str, request: MediaRequest, _reference: str) -> Steps[UpstreamJob]:
        """The upstream has no place for the reference."""
        wanted = self._asked(model, request)
        reply = yield self._endpoint.create(self._trade.path, wanted.body, task=True)
        id_ = id_of(output_of(self._endpoint.read(reply)))
        return UpstreamJob(id_, _handle(wanted, self._clock.now()))

    def poll(self, job: UpstreamJob) -> Steps[JobUpdate]:
        reply = yield self._endpoint.task(job.id)
        return self._update(self._endpoint.read(reply), job)

    def find(
        self,
        model: str,
        request: MediaRequest,
        _reference: str,
        since: float,
        until: float,
        owned: Collection[str] = (),
    ) -> Steps[UpstreamJob | Found]:
        wanted = self._asked(model, request)
        search = Search(wanted.model, since, until, frozenset(owned))
        for page in range(1, MAX_PAGES + 1):
            items, total = _page(self._endpoint.read((yield self._endpoint.listing(page, PAGE_SIZE))))
            search.feed(items, total)
            if search.complete or search.unclear or not items:
                break
        forgotten = self._clock.now() - since > GONE_AFTER_S
        if not search.complete or search.unclear or forgotten or len(search.candidates) > MAX_LOOKS:
            return Found.UNSURE
        left: dict[str, Verdict] = {}
        for id_ in search.candidates:
            output = output_of(self._endpoint.read((yield self._endpoint.task(id_))))
            if (said := verdict(output, wanted.prompt)) is not Verdict.OTHER:
                left[id_] = said
        if not left:
            return Found.NO
        if len(left) > 1 or Verdict.OPEN in left.values():
            return Found.UNSURE
        id_ = next(iter(left))
        return UpstreamJob(id_, _handle(wanted, search.candidates[id_]))

    def cancel(self, job: UpstreamJob) -> Steps[bool]:
        """Only what waits can be cancelled. A refusal is no news of what became of the job: it may be cancelled
        already."""
        reply: HttpReply = yield self._endpoint.cancel(job.id)
        if reply.status in NOT_NOW:
            output = output_of(self._endpoint.read((yield self._endpoint.task(job.id))))
            return STATES.get(status_of(output)) is JobState.CANCELLED
        self._endpoint.read(reply)
        return True

    # --- inside -------------------------------------------------------------------------------------------------------

    def _asked(self, model: str, request: MediaRequest) -> Asked:
        return self._trade.asked(model, request, private=self._endpoint.beside_us)

    def _update(self, answer: Mapping[str, object], job: UpstreamJob) -> JobUpdate:
        output = output_of(answer)
        status = status_of(output)
        if status == UNKNOWN:
            return self._unknown(job)
        state = STATES.get(status)
        if state is JobState.SUCCEEDED:
            artifacts = self._trade.artifacts(output)
            usage = self._trade.usage(usage_of(answer), len(artifacts), job.handle)
            return JobUpdate(state, artifacts=artifacts, usage=usage)
        return JobUpdate(state, failure=failure_of(output) if state is JobState.FAILED else None)

    def _unknown(self, job: UpstreamJob) -> JobUpdate:
        if self._clock.now() - float(job.handle.get("made_at", "0")) < NEW_S:
            return JobUpdate(JobState.QUEUED)
        return JobUpdate(JobState.FAILED, failure=JobFailure("upstream_lost", "The upstream no longer knows the job."))


def _handle(wanted: Asked, made_at: float) -> dict[str, str]:
    return {**wanted.handle, "made_at": str(made_at)}


def _page(answer: Mapping[str, object]) -> tuple[list[object], int]:
    """Raises ``UpstreamError``: a listing that cannot be read must not look like an empty one."""
    items, total = answer.get("data"), answer.get("total")
    if items is None and total == 0:
        return [], 0
    if not isinstance(items, list) or isinstance(total, bool) or not isinstance(total, int):
        raise upstream_broke("it is not a listing")
    return items, total
