"""What holds for every chat dialect, shown on all recorded exchanges."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from msgspec.structs import replace

from relayhub.dialects.codec import NativeStream
from relayhub.types.chat import UsageReported
from relayhub.types.errors import UpstreamError
from relayhub.types.http import HttpReply
from tests.dialects.codecs import (
    CODECS,
    FIXTURES,
    GEMINI,
    RESPONSES,
    encode_for,
    envelope_of,
    read_stream,
    told_by,
    told_by_reply,
    view_for,
)
from tests.dialects.observed import Fixture, splits

PAIRS = [(protocol, fixture) for protocol, found in FIXTURES.items() for fixture in found]
WHOLE = [(p, f) for p, f in PAIRS if not f.streamed and f.status == 200]
STREAMS = [(p, f) for p, f in PAIRS if f.streamed]
BAD_STREAMS = [(p, f) for p, f in STREAMS if "error" in f.expect or f.expect["finish"].startswith(("error", "failed"))]
GOOD_STREAMS = [pair for pair in STREAMS if pair not in BAD_STREAMS]
ERRORS = [(p, f) for p, f in PAIRS if f.status != 200]


def each(pairs: list[tuple[str, Fixture]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("protocol", "fixture"), pairs, ids=[f"{p}-{f.id}" for p, f in pairs])


def tap_all(tap: NativeStream, pieces: Iterable[bytes]) -> bytes:
    return b"".join([tap.feed(piece) for piece in pieces]) + tap.finish()


def without_model(body: bytes) -> Any:
    value = json.loads(body)
    value.pop("model", None)
    return value


@each([(p, f) for p, f in PAIRS if f.id != "error_400"])
def test_a_request_is_encoded_as_it_was_decoded(protocol: str, fixture: Fixture) -> None:
    codec = CODECS[protocol]
    asked = envelope_of(protocol, fixture.request, stream=fixture.streamed)
    request = codec.decode_request(fixture.request, asked)
    expected = without_model(fixture.request)
    if protocol == "openai_chat" and asked.stream:
        expected["stream_options"] = {"include_usage": True}
    encoded = encode_for(protocol, request)
    assert without_model(encoded.body) == expected
    assert encoded.dropped == ()


@each(WHOLE)
def test_an_answer_tells_the_same_in_both_lanes(protocol: str, fixture: Fixture) -> None:
    codec = CODECS[protocol]
    view = view_for(protocol, fixture.request)
    native, usage = codec.native_reply(fixture.response, view)
    assert native == fixture.response
    reply = codec.decode_reply(fixture.response)
    assert usage == reply.usage
    again = codec.decode_reply(codec.encode_reply(reply, view))
    assert told_by_reply(again) == told_by_reply(reply)


@each(GOOD_STREAMS)
def test_a_stream_tells_the_same_at_every_split(protocol: str, fixture: Fixture) -> None:
    codec = CODECS[protocol]
    whole = told_by(read_stream(codec, [fixture.response]))
    assert whole.finish is not None
    for pieces in splits(fixture.response):
        assert told_by(read_stream(codec, pieces)) == whole


@each(GOOD_STREAMS)
def test_a_stream_tells_the_same_in_both_lanes(protocol: str, fixture: Fixture) -> None:
    codec = CODECS[protocol]
    view = view_for(protocol, fixture.request, stream=True)
    shown = replace(view, envelope=replace(view.envelope, include_usage=True))
    told = told_by(read_stream(codec, [fixture.response]))
    for pieces in ([fixture.response], *splits(fixture.response)):
        tap = codec.native_stream(shown)
        native = tap_all(tap, pieces)
        assert told_by(read_stream(codec, [native])) == told
        assert tap.usage == told.usage
        decoder, encoder = codec.stream_decoder(), codec.stream_encoder(shown)
        translated = b"".join(encoder.encode(decoder.feed(piece)) for piece in pieces)
        translated += encoder.encode(decoder.close()) + encoder.finish()
        assert told_by(read_stream(codec, [translated])) == told


@each(GOOD_STREAMS)
def test_nothing_terminal_is_shown_before_the_end_is_asked_for(protocol: str, fixture: Fixture) -> None:
    codec = CODECS[protocol]
    view = view_for(protocol, fixture.request, stream=True)
    tap = codec.native_stream(view)
    decoder, encoder = codec.stream_decoder(), codec.stream_encoder(view)
    for early in (tap.feed(fixture.response), encoder.encode([*decoder.feed(fixture.response), *decoder.close()])):
        events = codec.stream_decoder().feed(early)
        assert not told_by(events).ended
        if protocol in (RESPONSES, GEMINI):  # the others allow for upstreams that leave the terminal event out
            with pytest.raises(UpstreamError):
                read_stream(codec, [early])


@each(GOOD_STREAMS)
def test_a_stream_that_breaks_off_is_an_error_in_both_lanes(protocol: str, fixture: Fixture) -> None:
    codec = CODECS[protocol]
    view = view_for(protocol, fixture.request, stream=True)
    cut = fixture.response[: len(fixture.response) // 2]
    with pytest.raises(UpstreamError):
        read_stream(codec, [cut])
    tap = codec.native_stream(view)
    with pytest.raises(UpstreamError):
        tap_all(tap, [cut])


@each(BAD_STREAMS)
def test_an_error_in_a_stream_is_one_in_both_lanes(protocol: str, fixture: Fixture) -> None:
    codec = CODECS[protocol]
    view = view_for(protocol, fixture.request, stream=True)
    for pieces in ([fixture.response], *splits(fixture.response)):
        with pytest.raises(UpstreamError) as translated:
            read_stream(codec, pieces)
        tap = codec.native_stream(view)
        with pytest.raises(UpstreamError) as native:
            tap_all(tap, pieces)
        assert native.value.code == translated.value.code
        assert native.value.delivered


@each(ERRORS)
def test_an_error_answer_is_read(protocol: str, fixture: Fixture) -> None:
    error = CODECS[protocol].decode_error(HttpReply(fixture.status, fixture.headers, fixture.response))  # type: ignore[attr-defined]
    assert isinstance(error, UpstreamError)
    assert error.status == fixture.status
    assert not error.delivered


@each(WHOLE)
def test_the_public_name_is_the_only_one_that_is_shown(protocol: str, fixture: Fixture) -> None:
    codec = CODECS[protocol]
    view = view_for(protocol, fixture.request, model="public-name", upstream="m")
    native, _ = codec.native_reply(fixture.response, view)
    field = "modelVersion" if protocol == GEMINI else "model"
    for shown in (native, codec.encode_reply(codec.decode_reply(fixture.response), view)):
        assert json.loads(shown).get(field) in ("public-name", None)


@pytest.mark.parametrize("client", list(CODECS))
@each(WHOLE)
def test_usage_totals_are_the_upstreams_in_every_clients_dialect(protocol: str, fixture: Fixture, client: str) -> None:
    reply = CODECS[protocol].decode_reply(fixture.response)
    view = view_for(client, FIXTURES[client][0].request)
    shown = CODECS[client].decode_reply(CODECS[client].encode_reply(reply, view)).usage
    assert reply.usage is not None
    assert shown is not None
    assert (shown.input_tokens, shown.output_tokens) == (reply.usage.input_tokens, reply.usage.output_tokens)
    assert shown.cached_tokens == reply.usage.cached_tokens


@pytest.mark.parametrize("client", list(CODECS))
@each(GOOD_STREAMS)
def test_a_stream_reaches_every_client_whole(protocol: str, fixture: Fixture, client: str) -> None:
    codec = CODECS[client]
    request = next(f for f in FIXTURES[client] if f.streamed).request
    view = view_for(client, request, stream=True)
    shown = replace(view, envelope=replace(view.envelope, include_usage=True))
    events = read_stream(CODECS[protocol], [fixture.response])
    encoder = codec.stream_encoder(shown)
    told, original = told_by(read_stream(codec, [encoder.encode(events) + encoder.finish()])), told_by(events)
    assert (told.text, told.refusal or told.text) == (original.text, original.refusal or original.text)
    assert [call[1:3] for call in told.calls] == [call[1:3] for call in original.calls]
    assert told.finish == original.finish
    if any(isinstance(event, UsageReported) for event in events):
        assert told.usage is not None
        assert original.usage is not None
        assert (told.usage.input_tokens, told.usage.output_tokens) == (
            original.usage.input_tokens,
            original.usage.output_tokens,
        )
