"""The recorded wire, through both lanes and every half of the codec, however the network cuts it."""

from __future__ import annotations

import json

import pytest

from relayhub.dialects.openai_chat import OpenAIChat
from relayhub.types.errors import ClientError, ErrorKind, UpstreamError
from relayhub.types.http import HttpReply
from tests.dialects.observed import (
    Fixture,
    check,
    fixtures,
    frames_of,
    observe_reply,
    observe_stream,
    splits,
    through_native,
    through_translation,
)
from tests.dialects.views import decoded, encoded, view

CODEC = OpenAIChat()
ALL = fixtures("openai_chat")
STREAMS = [fixture for fixture in ALL if fixture.streamed]
REPLIES = [fixture for fixture in ALL if not fixture.streamed and fixture.status == 200]
ERRORS = [fixture for fixture in ALL if fixture.status != 200]


def named(found: list[Fixture]) -> pytest.MarkDecorator:
    assert found
    return pytest.mark.parametrize("fixture", found, ids=[fixture.id for fixture in found])


@named([fixture for fixture in ALL if fixture.id != "error_400"])
def test_a_request_comes_back_equal_with_usage_asked_for(fixture: Fixture) -> None:
    expected = json.loads(fixture.request)
    if expected.get("stream"):
        expected["stream_options"] = {"include_usage": True}
    request = decoded(CODEC, fixture.request)
    assert json.loads(CODEC.encode_request(request, model=request.model).body) == expected


@named([fixture for fixture in ALL if fixture.id != "error_400"])
def test_a_request_passes_the_byte_lane_untouched_but_for_what_must_change(fixture: Fixture) -> None:
    envelope = CODEC.envelope(fixture.request)
    passed = CODEC.native_request(fixture.request, model=envelope.model, envelope=envelope)
    if envelope.stream and not envelope.include_usage:
        assert json.loads(passed) == {**json.loads(fixture.request), "stream_options": {"include_usage": True}}
    else:
        assert passed is fixture.request
    renamed = CODEC.native_request(fixture.request, model="other", envelope=envelope)
    assert json.loads(renamed) == {**json.loads(passed), "model": "other"}


def test_an_empty_conversation_is_refused_as_the_fixture_says() -> None:
    [fixture] = [fixture for fixture in ERRORS if fixture.id == "error_400"]
    with pytest.raises(ClientError) as caught:
        CODEC.envelope(fixture.request)
    assert (caught.value.code, caught.value.param) == ("empty_array", "messages")


@named(REPLIES)
def test_a_reply_shows_the_same_in_both_lanes(fixture: Fixture) -> None:
    native, usage = CODEC.native_reply(fixture.response, view(rename_to=None))
    assert native is fixture.response
    reply = CODEC.decode_reply(fixture.response)
    translated = encoded(CODEC, reply)
    assert reply.usage == usage
    check(observe_reply(native), fixture.expect)
    assert observe_reply(native) == observe_reply(translated)
    assert json.loads(translated) == json.loads(fixture.response)


@named(ERRORS)
def test_an_error_answer_is_read(fixture: Fixture) -> None:
    error = CODEC.decode_error(HttpReply(fixture.status, fixture.headers, fixture.response))
    if fixture.status == 429:
        assert (error.kind, error.retry_after_s) == (ErrorKind.UPSTREAM_RATE_LIMITED, 1.5)
        return
    expected = fixture.expect["error"]
    shown = {"status": error.status, "code": error.code, "type": error.type, "param": error.param}
    assert (error.kind, shown) == (ErrorKind.UPSTREAM_REJECTED, expected)


@named(STREAMS)
@pytest.mark.parametrize("rename_to", [None, "public-name"])
def test_the_byte_lane_shows_what_is_expected_at_every_split(fixture: Fixture, rename_to: str | None) -> None:
    whole: bytes | None = None
    for pieces in splits(fixture.response):
        stream = CODEC.native_stream(view(rename_to=rename_to, include_usage=True))
        if "error" in fixture.expect:
            with pytest.raises(UpstreamError) as caught:
                through_native(stream, pieces)
            passed: bytes = caught.value.partial  # type: ignore[attr-defined]
        else:
            passed = through_native(stream, pieces)
            if rename_to is None:
                assert passed == fixture.response
        if whole is None:
            whole = passed
            check(observe_stream(passed), fixture.expect)
        assert passed == whole


@named(STREAMS)
def test_the_translated_lane_shows_the_same_at_every_split(fixture: Fixture) -> None:
    native = CODEC.native_stream(view(rename_to="public-name", include_usage=True))
    if "error" in fixture.expect:
        with pytest.raises(UpstreamError) as expected:
            through_native(native, [fixture.response])
        shown = observe_stream(expected.value.partial)  # type: ignore[attr-defined]
    else:
        shown = observe_stream(through_native(native, [fixture.response]))
    whole: bytes | None = None
    for pieces in splits(fixture.response):
        encoder = CODEC.stream_encoder(view(model="public-name", include_usage=True))
        if "error" in fixture.expect:
            with pytest.raises(UpstreamError) as caught:
                through_translation(CODEC.stream_decoder(), encoder, pieces)
            written: bytes = caught.value.partial  # type: ignore[attr-defined]
            assert caught.value.code == expected.value.code
        else:
            written = through_translation(CODEC.stream_decoder(), encoder, pieces)
        if whole is None:
            whole = written
            seen = observe_stream(written)
            check(seen, fixture.expect)
            assert (seen.usage is None) == (shown.usage is None)
            seen.usage = shown.usage
            assert seen == shown
        assert written == whole


@named(STREAMS)
def test_both_lanes_count_the_same_characters_and_usage(fixture: Fixture) -> None:
    native = CODEC.native_stream(view(rename_to=None, include_usage=False))
    native.feed(fixture.response)
    events = CODEC.stream_decoder().feed(fixture.response)
    texts = [getattr(event, "text", "") + getattr(event, "arguments", "") for event in events]
    assert native.delivered_chars == len("".join(texts))
    usages = [usage for event in events if (usage := getattr(event, "usage", None)) is not None]
    assert native.usage == (usages[-1] if usages else None)


@named([fixture for fixture in STREAMS if "usage" in fixture.expect])
def test_usage_is_hidden_from_a_client_that_did_not_ask(fixture: Fixture) -> None:
    hidden = through_native(CODEC.native_stream(view(rename_to=None, include_usage=False)), [fixture.response])
    assert all(event == "[DONE]" or event["choices"] for event in frames_of(hidden))
    encoder = CODEC.stream_encoder(view(model="m", include_usage=False))
    written = through_translation(CODEC.stream_decoder(), encoder, [fixture.response])
    assert all(event == "[DONE]" or "usage" not in event for event in frames_of(written))
