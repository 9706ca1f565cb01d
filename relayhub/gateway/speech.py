"""Speech: one call from admission to settlement, whole or while the upstream still speaks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from relayhub.accounts.admission import Admission, Reservation
from relayhub.accounts.quote import Quote
from relayhub.gateway.answers import refuse_content
from relayhub.gateway.call import ClientLeft
from relayhub.gateway.departure import Departure, LeavingTerms
from relayhub.gateway.open_calls import OpenCalls
from relayhub.plugins.isolation import is_own
from relayhub.routing.catalog import Catalog, Route
from relayhub.routing.driving import Driven
from relayhub.routing.router import Router, Trial, Way
from relayhub.sdk.clock import Clock
from relayhub.sdk.media import SpeechWire, StreamingSpeechWire
from relayhub.sdk.ordering import CallView
from relayhub.store.intents import HoldAbout
from relayhub.types.call import Operation, Outcome, Principal, UsageRecord
from relayhub.types.errors import ClientError, ErrorKind, RelayhubError, UpstreamError, upstream_broke
from relayhub.types.media import MediaResult, MediaUsage, SpeechRequest
from relayhub.types.money import MAX_NANO
from relayhub.types.usage import Usage
from relayhub.upstream.body import read_error

log = structlog.get_logger("relayhub.call")

DIALECT = "openai.speech"

HELD_BACK = 64
"""Bytes of a stream that wait for the settlement: without them no player takes the file for complete."""


@dataclass(frozen=True, slots=True)
class SpeechCall:
    """``received_at``: monotonic seconds; ``platform``: the only provider that may serve it."""

    id: str
    principal: Principal
    request: SpeechRequest
    received_at: float
    platform: str | None = None
    user: str | None = None
    client: str = ""

    def view(self, model: str) -> CallView:
        """For plugins. ``model``: as it is listed."""
        who = self.principal
        return CallView(
            self.id, who.key_id, who.key_name, who.account_id, Operation.SPEECH.value, DIALECT, model, user=self.user
        )


class Listener(Protocol):
    """Where the audio goes. All raise ``ClientLeft``."""

    @property
    def begun(self) -> bool: ...
    async def write(self, audio: bytes, media_type: str) -> None:
        """The first call sends the head."""
        ...

    async def end(self, audio: bytes, media_type: str, usage: MediaUsage | None) -> None:
        """The last of it, or all."""
        ...


@dataclass(frozen=True, slots=True)
class Voice:
    """One way to have it spoken. ``most``, ``cost_nano``: upper bounds."""

    route: Route
    wire: SpeechWire
    most: MediaUsage
    cost_nano: int


@dataclass(slots=True)
class _Tally:
    """``sent``: the current attempt may have reached its upstream. ``streams``: it has been asked to speak piece by piece."""

    voice: Voice
    departure: Departure
    attempts: int = 0
    trial: Trial | None = None
    sent: bool = False
    streams: bool = False
    usage: MediaUsage | None = None
    first_byte_at: float | None = None
    settled: bool = field(default=False)


@dataclass(frozen=True, slots=True)
class SpeechCalls:
    """Serves calls; keeps no state of its own."""

    catalog: Catalog
    admission: Admission
    open_calls: OpenCalls
    clock: Clock
    router: Router = field(default_factory=Router)
    leaving: LeavingTerms = field(default_factory=LeavingTerms)

    async def serve(self, call: SpeechCall, listener: Listener) -> None:
        """Speak. Raises ``RelayhubError``: before ``listener.begun`` it becomes a status. However this ends, an admitted
        call leaves one usage row, and its hold is settled or released."""
        resolved = self.catalog.resolve(call.request.model, call.principal, Operation.SPEECH, call.platform)
        routes = self.router.order(resolved.routes, about=lambda: call.view(resolved.model))
        voices = _voices(routes, call.request)
        tally = _Tally(voices[0], self.leaving.departure(call.principal, resolved.routes, may_drain=False))
        amount = max(voice.cost_nano for voice in voices)
        tokens = max(voice.most.input_tokens + voice.most.output_tokens for voice in voices)
        with self.open_calls.track(call.principal.key_id):
            about = _about(call, resolved.model, voices[0])
            async with self.admission.admit(call.principal, amount, call.id, about, tokens=tokens) as reservation:
                try:
                    await self._attempt(voices, call, resolved.model, listener, tally, reservation)
                except RelayhubError as error:
                    outcome = Outcome.REJECTED if _is_refusal(error) else Outcome.UPSTREAM_ERROR
                    await self._settle(reservation, call, resolved.model, tally, outcome, error)
                    raise
                except (asyncio.CancelledError, ClientLeft):
                    await self._interrupted(reservation, call, resolved.model, tally)
                    raise

    def quote(self, principal: Principal, request: SpeechRequest, platform: str | None = None) -> Quote:
        """What it would hold; nothing is held, and nothing is sent. Raises ``ClientError``."""
        resolved = self.catalog.resolve(request.model, principal, Operation.SPEECH, platform)
        voice = max(_voices(resolved.routes, request), key=lambda voice: voice.cost_nano)
        return Quote(resolved.model, voice.route.price, voice.cost_nano, media=voice.most)

    async def _attempt(
        self,
        voices: Sequence[Voice],
        call: SpeechCall,
        model: str,
        listener: Listener,
        tally: _Tally,
        reservation: Reservation,
    ) -> None:
        """The next voice is tried only where this one certainly did not begin to speak. ``voices``: in the router's
        order."""
        failure: RelayhubError | None = None
        way = Way(self.router, [voice.route for voice in voices], Operation.SPEECH)
        by_route = {id(voice.route): voice for voice in voices}
        for route in way:
            voice = by_route[id(route)]
            tally.voice, tally.sent, tally.streams, tally.usage = voice, False, False, None
            tally.attempts += 1
            try:
                with way.trying(route) as tally.trial:
                    audio, media_type = await self._spoken(voice, call, listener, tally)
                await self._settle(reservation, call, model, tally, Outcome.COMPLETED)
                return await listener.end(audio, media_type, tally.usage)
            except ClientError as error:
                failure = failure or error
            except UpstreamError as error:
                tally.sent = error.delivered
                log.warning("attempt.failed", call_id=call.id, provider=voice.route.provider.name, code=error.code)
                if not way.goes_on(error, shown=listener.begun):
                    raise
                failure = error
        assert failure is not None
        raise failure

    async def _spoken(self, voice: Voice, call: SpeechCall, listener: Listener, tally: _Tally) -> tuple[bytes, str]:
        """The last piece, which is only sent once the call is accounted for, and the media type of all."""
        try:
            media_type = _streamed_as(voice, call.request)
            tally.streams = media_type is not None
            if media_type is None:
                return await self._whole(voice, call, tally)
            return await self._relay(voice, call, listener, tally, media_type), media_type
        except (RelayhubError, ClientLeft):
            raise
        except BaseException as error:
            # Plugin isolation: what was spoken until then is settled all the same.
            if not is_own(error):
                raise
            log.exception("provider.failed", provider=voice.route.provider.name)
            raise _plugin_broke(voice.route.provider.name) from error

    async def _whole(self, voice: Voice, call: SpeechCall, tally: _Tally) -> tuple[bytes, str]:
        provider = voice.route.provider
        driven = Driven[MediaResult](provider)
        tally.sent = True
        result = await driven.run(
            voice.wire.speak(voice.route.upstream_model, call.request), provider.deadlines.total_s
        )
        tally.usage = result.usage
        self._first_byte(tally)
        if len(result.artifacts) != 1 or result.artifacts[0].data is None:
            raise upstream_broke("it holds no audio")
        clip = result.artifacts[0]
        refuse_content({"content-type": clip.media_type or ""}, "text/html")
        return clip.data or b"", clip.media_type or "application/octet-stream"

    async def _relay(self, voice: Voice, call: SpeechCall, listener: Listener, tally: _Tally, media_type: str) -> bytes:
        wire, request, route = voice.wire, call.request, voice.route
        assert isinstance(wire, StreamingSpeechWire)
        asked = wire.stream_request(route.upstream_model, request)
        tally.sent = True
        async with route.provider.send(asked) as reply:
            if not 200 <= reply.status < 300:
                raise wire.error(await read_error(reply))
            refuse_content(reply.headers, "text/html")
            reader = wire.reader(request, reply.headers)
            waiting = b""
            async with aclosing(reply.chunks()) as chunks:
                async for data in chunks:
                    audio = reader.feed(data)
                    if not audio:
                        continue
                    self._first_byte(tally)
                    waiting += audio
                    if len(waiting) > HELD_BACK:
                        await listener.write(waiting[:-HELD_BACK], media_type)
                        tally.departure.delivered = True
                        waiting = waiting[-HELD_BACK:]
            last = reader.close()
            tally.usage = reader.usage
            return waiting + last

    def _first_byte(self, tally: _Tally) -> None:
        if tally.trial is None and tally.first_byte_at is not None:
            return
        now = self.clock.monotonic()
        if tally.first_byte_at is None:
            tally.first_byte_at = now
        if tally.trial is not None:
            tally.trial.first_byte(now)
            tally.trial = None

    async def _interrupted(self, reservation: Reservation, call: SpeechCall, model: str, tally: _Tally) -> None:
        by_hub = self.open_calls.cancelled_by_hub()
        outcome = Outcome.HUB_ERROR if by_hub else Outcome.CLIENT_LEFT
        await self._settle(reservation, call, model, tally, outcome, by_hub)
        if by_hub is not None:
            task = asyncio.current_task()
            assert task is not None
            task.uncancel()
            raise by_hub

    async def _settle(
        self,
        reservation: Reservation,
        call: SpeechCall,
        model: str,
        tally: _Tally,
        outcome: Outcome,
        error: RelayhubError | None = None,
    ) -> None:
        """Only the first call counts."""
        if tally.settled:
            return
        tally.settled = True
        record = self._record(call, model, tally, outcome, error)
        await reservation.settle(record)
        log.info(
            "call.finished",
            call_id=record.call_id,
            key=call.principal.key_name,
            client=call.client,
            model=record.model,
            provider=record.provider,
            operation=record.operation,
            outcome=record.outcome.value,
            error=record.error_code,
            cost_nano=record.cost_nano,
            attempts=record.attempts,
            duration_ms=record.duration_ms,
        )

    def _record(
        self, call: SpeechCall, model: str, tally: _Tally, outcome: Outcome, error: RelayhubError | None
    ) -> UsageRecord:
        """Charged: what was billed; else, for an answer that began, what it came to at most."""
        voice = tally.voice
        left = outcome is Outcome.CLIENT_LEFT
        forgiven = left and tally.departure.is_void
        measured = None if forgiven else tally.usage
        charged = measured if measured is not None or forgiven else self._estimated(tally, outcome)
        return UsageRecord(
            call_id=call.id,
            at=self.clock.now(),
            account_id=call.principal.account_id,
            key_id=call.principal.key_id,
            operation=Operation.SPEECH.value,
            dialect=DIALECT,
            model=model,
            provider=voice.route.provider.name,
            upstream_model=voice.route.upstream_model,
            stream=tally.streams,
            outcome=outcome,
            measured=measured is not None,
            usage=Usage() if charged is None else Usage(charged.input_tokens, charged.output_tokens),
            cost_nano=0 if charged is None else voice.route.price.media_nano(charged),
            price=voice.route.price.describe(),
            attempts=tally.attempts,
            status=200 if tally.first_byte_at is not None else None,
            error_code=error.code if error is not None else None,
            user_identifier=call.user,
            first_byte_ms=self._ms(call, tally.first_byte_at),
            duration_ms=self._ms(call, self.clock.monotonic()) or 0,
            media=charged,
            price_version=voice.route.price.version,
            upstream_cost_nano=voice.route.price.upstream_media_nano(charged),
            on_disconnect=tally.departure.policy if left else None,
        )

    def _estimated(self, tally: _Tally, outcome: Outcome) -> MediaUsage | None:
        spoke = tally.first_byte_at is not None
        charged = spoke or outcome is Outcome.COMPLETED or (outcome is Outcome.CLIENT_LEFT and tally.sent)
        return tally.voice.most if charged else None

    def _ms(self, call: SpeechCall, moment: float | None) -> int | None:
        return None if moment is None else round((moment - call.received_at) * 1000)


def _voices(routes: Sequence[Route], request: SpeechRequest) -> list[Voice]:
    """Raises the first ``ClientError`` if none can speak as asked."""
    refusal: RelayhubError | None = None
    voices: list[Voice] = []
    for route in routes:
        wire = route.provider.capabilities.speech
        if wire is None:
            continue
        try:
            most = wire.measure(route.upstream_model, request)
            voices.append(Voice(route, wire, most, min(route.price.media_nano(most), MAX_NANO)))
        except ClientError as error:
            refusal = refusal or error
        except BaseException as error:
            # Plugin isolation; nothing is awaited here.
            if isinstance(error, RelayhubError):
                raise
            log.exception("provider.failed", provider=route.provider.name)
    if not voices:
        raise refusal or ClientError(
            ErrorKind.NOT_FOUND,
            f"No provider of the model {request.model!r} speaks.",
            code="operation_not_supported",
            param="model",
        )
    return voices


def _streamed_as(voice: Voice, request: SpeechRequest) -> str | None:
    wire = voice.wire
    return wire.streams(voice.route.upstream_model, request) if isinstance(wire, StreamingSpeechWire) else None


def _about(call: SpeechCall, model: str, voice: Voice) -> HoldAbout:
    return HoldAbout(
        operation=Operation.SPEECH.value,
        dialect=DIALECT,
        model=model,
        provider=voice.route.provider.name,
        upstream_model=voice.route.upstream_model,
        stream=False,
        price=voice.route.price.describe(),
        user_identifier=call.user,
        price_version=voice.route.price.version,
    )


def _plugin_broke(provider: str) -> UpstreamError:
    return UpstreamError(
        ErrorKind.UPSTREAM_FAILED,
        "The provider of this model failed while handling the request; the operator's log has the reason.",
        code="provider_failed",
        retryable=False,
        delivered=True,
        detail=f"the plugin of provider {provider!r} raised",
    )


def _is_refusal(error: RelayhubError) -> bool:
    return isinstance(error, ClientError) or error.kind is ErrorKind.UPSTREAM_REJECTED
