"""Submitting: hold and job are durable before anything is sent, and nothing is sent twice."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import msgspec
import orjson
import structlog

from relayhub.jobs.asked import OPERATIONS, MediaCall, pack
from relayhub.jobs.binding import bound
from relayhub.jobs.callbacks import Callbacks
from relayhub.jobs.endings import Endings
from relayhub.jobs.lending import Lending
from relayhub.jobs.offers import Offer, Variants, needs, offers_of
from relayhub.jobs.records import about_job, rates_of
from relayhub.jobs.results import Results
from relayhub.jobs.watch import Watch
from relayhub.routing.catalog import Catalog, Resolved, Route
from relayhub.routing.driving import Driven
from relayhub.routing.provider import label
from relayhub.routing.router import Router, Way
from relayhub.sdk.clock import Clock
from relayhub.sdk.media import JobWire
from relayhub.sdk.provider import Steps
from relayhub.store.ids import new_job_id
from relayhub.store.intents import NewHold, OpenHold
from relayhub.store.job_intents import Changes, Once, Opened
from relayhub.store.jobs import Jobs
from relayhub.types.errors import ClientError, ErrorKind, HubError, RelayhubError, UpstreamError, upstream_broke
from relayhub.types.job import Job
from relayhub.types.media import (
    ImageRequest,
    JobState,
    MediaInput,
    MediaRequest,
    MediaResult,
    SpeechRequest,
    UpstreamJob,
    VideoRequest,
)
from relayhub.upstream.media import MediaFetcher

log = structlog.get_logger("relayhub.jobs")

ONCE_S = 24 * 3600.0
"""How long a client's name for a request is remembered."""

SUBMIT_S = 900.0
"""The longest that a submit may take, all its requests together: images that come at once take minutes."""

_ID = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_:~=@-]|\.(?!\.)){0,199}")

UNREADABLE = "upstream_invalid_response"


@dataclass(frozen=True, slots=True)
class Submitted:
    """``replayed``: from before, by the same named request."""

    job: Job
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Submissions:
    """Everything it needs is handed in; it keeps no state of its own. Run :meth:`submit` in a task that the engine owns: a
    client that leaves must not end it."""

    catalog: Catalog
    jobs: Jobs
    results: Results
    lending: Lending
    endings: Endings
    watch: Watch
    clock: Clock
    fetcher: MediaFetcher
    callbacks: Callbacks
    lookup_after_s: float = 60.0
    """A submit without an answer may appear in the upstream's listing this much later."""
    router: Router = field(default_factory=Router)

    async def submit(self, call: MediaCall) -> Submitted:
        """A job that an upstream has accepted, or may have; for images that come at once, one that has ended. Raises
        ``RelayhubError`` where none has: the job is failed then and its hold given back. ``UpstreamError.delivered``:
        the job is there, and will be looked after."""
        resolved = self.catalog.resolve(call.request.model, call.principal, OPERATIONS[call.kind], call.platform)
        routes, refusal = self._routes(resolved, call)
        variants = await self._variants(call, resolved)
        try:
            offers = offers_of(routes, resolved, call.kind, variants, call.source)
            job = self._new(call, resolved.model, offers[0])
            opened = await self._open(call, job, offers)
        except RelayhubError:
            await self.lending.take_back(call.request, variants.lent)
            raise
        if opened.replayed:
            await self.lending.take_back(call.request, variants.lent)
            return await self._replay(opened.job_id, same_body=opened.same_body)
        job = replace(job, hold_id=opened.hold_id)
        if refusal is not None:
            await self.lending.take_back(call.request, variants.lent)
            await self.endings.refuse(job, refusal)
            raise refusal
        return Submitted(await self._send(job, offers))

    async def _open(self, call: MediaCall, job: Job, offers: Sequence[Offer]) -> Opened:
        return await self.jobs.open(
            self._hold(call, job, offers),
            job,
            pack(call.request),
            once=self._once(call),
            webhook=call.callback_url,
        )

    def _routes(self, resolved: Resolved, call: MediaCall) -> tuple[Sequence[Route], RelayhubError | None]:
        """Where nobody can take it now, the refusal comes later: a request that has been served needs nobody."""
        source = call.source
        preferred = None if source is None else label(source.provider, source.credential)
        try:
            return self.router.order(resolved.routes, preferred, lambda: call.view(resolved.model)), None
        except RelayhubError as error:
            return resolved.routes, error

    async def _variants(self, call: MediaCall, resolved: Resolved) -> Variants:
        """Raises ``ClientError`` naming the input that cannot be had or lent."""
        request = call.request
        fetches, lends = needs(resolved, call.kind, request)
        fetched = await self._fetched(request) if fetches else None
        return Variants(request, fetched, await self.lending.with_links(request) if lends else None)

    async def _fetched(self, request: MediaRequest) -> MediaRequest:
        if isinstance(request, SpeechRequest):
            return request
        return replace(request, inputs=tuple([await self._fetch(given) for given in request.inputs]))

    async def _fetch(self, given: MediaInput) -> MediaInput:
        url = given.media.url
        return given if url is None else replace(given, media=await self.fetcher.fetch(url, given.field))

    def _new(self, call: MediaCall, model: str, offer: Offer) -> Job:
        now = self.clock.now()
        seconds = call.request.seconds if isinstance(call.request, VideoRequest) else None
        return Job(
            id=new_job_id(),
            call_id=call.id,
            kind=call.kind,
            dialect=call.dialect,
            platform=call.platform,
            account_id=call.principal.account_id,
            key_id=call.principal.key_id,
            user_identifier=call.user,
            model=model,
            provider=offer.route.provider.name,
            upstream_model=offer.route.upstream_model,
            price=offer.route.price.describe(),
            rates=rates_of(offer.route.price),
            usage=offer.usage,
            state=JobState.NEW,
            progress=0,
            seconds=seconds if seconds is not None else _whole_seconds(offer),
            created_at=now,
            next_at=now,
            parent_id=call.source.job_id if call.source is not None else None,
            attempts=1,
            handle=bound({}, offer.route.provider.credential),
        )

    def _hold(self, call: MediaCall, job: Job, offers: Sequence[Offer]) -> OpenHold:
        """The dearest of the offers: any of them may have to do it."""
        amount = max(offer.cost_nano for offer in offers)
        about = about_job(job, OPERATIONS[call.kind].value)
        video_ms = max(offer.usage.video_ms for offer in offers)
        who = call.principal
        new = NewHold(call.id, who.key_id, who.account_id, amount, about, video_ms=video_ms)
        return OpenHold(new, msgspec.json.encode(about).decode())

    def _once(self, call: MediaCall) -> Once | None:
        if call.once is None:
            return None
        return Once(call.once, call.body_hash, self.clock.now() + ONCE_S)

    async def _replay(self, job_id: str, *, same_body: bool) -> Submitted:
        if not same_body:
            raise ClientError(
                ErrorKind.UNPROCESSABLE,
                "This Idempotency-Key was used with another request; use a new one for a new request.",
                code="idempotency_key_reused",
            )
        job = await self.jobs.get(job_id)
        if job is None:
            raise HubError(ErrorKind.INTERNAL, "The first request's job is gone.", code="job_lost")
        if job.state is JobState.NEW:
            raise in_flight()
        if job.upstream_id is None and job.state is JobState.FAILED:
            raise _failed_before(job)
        return Submitted(job, replayed=True)

    # --- sending ------------------------------------------------------------------------------------------------------

    async def _send(self, job: Job, offers: Sequence[Offer]) -> Job:
        """The next offer is tried only where this one certainly did not take the request."""
        failure: RelayhubError | None = None
        way = Way(self.router, [offer.route for offer in offers], OPERATIONS[job.kind])
        by_route = {id(offer.route): offer for offer in offers}
        for number, route in enumerate(way):
            offer = by_route[id(route)]
            if number:
                job = await self._moved_on(job, offer)
            try:
                with way.trying(route):
                    return await self._attempt(job, offer)
            except ClientError as error:
                failure = failure or error
            except UpstreamError as error:
                self._log(job, error)
                if error.delivered:
                    return await self._unknown(job, offer, error)
                failure = error
                if not way.goes_on(error, shown=False):
                    break
        assert failure is not None
        await self.endings.refuse(job, failure)
        raise failure

    async def _moved_on(self, job: Job, offer: Offer) -> Job:
        """Written before the next one is asked: whoever looks after the job later must know whom."""
        route = offer.route
        moved = replace(
            job,
            provider=route.provider.name,
            upstream_model=route.upstream_model,
            price=route.price.describe(),
            rates=rates_of(route.price),
            usage=offer.usage,
            attempts=job.attempts + 1,
            handle=bound({}, route.provider.credential),
        )
        changes: Changes = {
            "provider": moved.provider,
            "upstream_model": moved.upstream_model,
            "price": moved.price,
            "rates": moved.rates,
            "usage": orjson.dumps(moved.usage).decode(),
            "attempts": moved.attempts,
            "handle": orjson.dumps(dict(moved.handle)).decode(),
        }
        if not await self.jobs.move(job.id, {JobState.NEW}, changes, visible=False):
            raise _taken_over()
        return moved

    async def _attempt(self, job: Job, offer: Offer) -> Job:
        provider, request = offer.route.provider, offer.request
        if offer.jobs is not None:
            steps = self._steps(offer.jobs, offer, job.id)
            return await self._accepted(job, offer, await Driven[UpstreamJob](provider).run(steps, SUBMIT_S))
        assert offer.images is not None
        assert isinstance(request, ImageRequest)
        return await self._at_once(job, offer, request)

    def _steps(self, wire: JobWire, offer: Offer, job_id: str) -> Steps[UpstreamJob]:
        """Begun only where it is driven: whatever breaks in the wire is the provider's failure."""
        called_back = self.callbacks.with_address(wire, job_id)
        return (yield from called_back.submit(offer.route.upstream_model, offer.request, job_id))

    async def _accepted(self, job: Job, offer: Offer, upstream: UpstreamJob) -> Job:
        assert offer.jobs is not None
        if not is_id(upstream.id):
            raise upstream_broke("its id for the job is none")
        now = self.clock.now()
        queued = replace(
            job,
            state=JobState.QUEUED,
            upstream_id=upstream.id,
            handle=bound(upstream.handle, offer.route.provider.credential),
            submitted_at=now,
            next_at=now + offer.jobs.pace.first_s,
        )
        moved = await self.jobs.move(job.id, {JobState.NEW, JobState.SUBMIT_UNKNOWN}, accepted_changes(queued))
        self.watch.changed(job.id)
        if moved:
            return queued
        found = await self.jobs.get(job.id) or queued
        if not found.is_open:
            log.error("job.accepted_too_late", job_id=job.id, provider=job.provider, upstream_id=upstream.id)
        return found

    async def _at_once(self, job: Job, offer: Offer, request: ImageRequest) -> Job:
        assert offer.images is not None
        driven = Driven[MediaResult](offer.route.provider)
        made = await driven.run(offer.images.generate(offer.route.upstream_model, request), SUBMIT_S)
        try:
            kept = await self.results.keep(job, offer.route.provider, made.artifacts, driven.hosts)
        except RelayhubError as error:
            raise _made_and_lost(error) from error
        if not await self.endings.succeed(job, kept, made.usage):
            await self.results.drop(kept)
        return await self.jobs.get(job.id) or job

    async def _unknown(self, job: Job, offer: Offer, error: UpstreamError) -> Job:
        """It may have been accepted. A job is looked up later; an answer that was to come at once is lost."""
        if offer.jobs is None:
            await self.endings.refuse(job, error)
            raise error
        next_at = self.clock.now() + self.lookup_after_s
        unknown = replace(job, state=JobState.SUBMIT_UNKNOWN, next_at=next_at, submitted_at=self.clock.now())
        changes: Changes = {
            "state": unknown.state.value,
            "next_at": next_at,
            "submitted_at": unknown.submitted_at,
            "lease_until": 0.0,
        }
        await self.jobs.move(job.id, {JobState.NEW}, changes)
        self.watch.changed(job.id)
        if error.code == UNREADABLE:
            raise _unreadable(job, error)
        return unknown

    def _log(self, job: Job, error: UpstreamError) -> None:
        log.warning(
            "attempt.failed",
            job_id=job.id,
            provider=job.provider,
            model=job.model,
            attempt=job.attempts,
            code=error.code,
            status=error.status,
            delivered=error.delivered,
        )  # what it said is left out: upstreams repeat prompts, and the job has the rest of it


def is_id(upstream_id: str) -> bool:
    """Whether it can stand in a path as it is: what an upstream says must not lead anywhere else."""
    return _ID.fullmatch(upstream_id) is not None


def accepted_changes(job: Job) -> Changes:
    """The columns of a job that an upstream has accepted; it is nobody's then."""
    return {
        "state": job.state.value,
        "upstream_id": job.upstream_id,
        "handle": orjson.dumps(dict(job.handle)).decode(),
        "submitted_at": job.submitted_at,
        "next_at": job.next_at,
        "lease_until": 0.0,
    }


def _whole_seconds(offer: Offer) -> float | None:
    return offer.usage.video_ms / 1000 if offer.usage.video_ms else None


def in_flight() -> ClientError:
    return ClientError(
        ErrorKind.CONFLICT,
        "The first request with this Idempotency-Key is still being served; ask again in a moment.",
        code="idempotency_in_flight",
        retry_after_s=1.0,
    )


def _failed_before(job: Job) -> RelayhubError:
    """What the first request was told, as far as it is known."""
    return UpstreamError(
        ErrorKind.UPSTREAM_FAILED,
        job.error_message or "The first request with this Idempotency-Key failed.",
        code=job.error_code or "upstream_failed",
        retryable=False,
        delivered=True,
    )


def _taken_over() -> HubError:
    return HubError(ErrorKind.INTERNAL, "The job was ended while it was being submitted.", code="job_taken_over")


def _made_and_lost(error: RelayhubError) -> UpstreamError:
    """They are made and paid for: neither another upstream nor a client's library may ask for them again by itself."""
    return UpstreamError(
        ErrorKind.UPSTREAM_FAILED,
        error.message,
        code=error.code,
        retryable=False,
        delivered=True,
        detail=error.detail,
    )


def _unreadable(job: Job, error: UpstreamError) -> UpstreamError:
    return UpstreamError(
        ErrorKind.UPSTREAM_FAILED,
        f"The upstream took the request, but its answer could not be read. Do not send it again: ask for the job {job.id},"
        " which is being looked up.",
        code="submit_unknown",
        retryable=False,
        delivered=True,
        status=error.status,
        detail=error.detail,
    )
