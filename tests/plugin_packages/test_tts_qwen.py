"""Qwen speech: the suites, the recorded exchanges, and what goes wrong."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import orjson
import pytest

import relayhub_tts
from relayhub.sdk import (
    Artifact,
    ClientError,
    Effect,
    ErrorKind,
    HttpReply,
    MediaResult,
    MediaUsage,
    ProviderContext,
    SpeechRequest,
    UpstreamError,
)
from relayhub.testing import (
    Cut,
    FakeClock,
    Fault,
    Hang,
    JobStep,
    RefusedSpeech,
    RegistrationSuite,
    SpeechSample,
    SpeechWireSuite,
    Spoken,
    Streamed,
    drive,
    replaying,
)
from relayhub_tts.provider import TtsProvider
from relayhub_tts.qwen import QwenSpeech
from relayhub_tts.settings import TtsSettings
from relayhub_tts.simulated_qwen import QwenSimulator

FIXTURES = Path(__file__).parent.parent / "fixtures" / "media" / "qwen_tts"
KEY = "sk-canary-qwen-0123456789"
MODEL = "qwen3-tts-flash"
TEXT = "你好,这是一个测试。"


def fixture(name: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((FIXTURES / f"{name}.json").read_text())
    return value


def answered(name: str) -> HttpReply:
    response = fixture(name)["response"]
    headers = {key.lower(): value for key, value in response["headers"].items()}
    if "body_base64" in response:
        return HttpReply(response["status"], headers, base64.b64decode(response["body_base64"]))
    return HttpReply(response["status"], headers, orjson.dumps(response["body"]))


def events(name: str) -> bytes:
    """A recorded stream, as DashScope writes it."""
    return b"".join(
        f"id:{told['id']}\nevent:{told['event']}\n:{told['comment']}\ndata:".encode()
        + orjson.dumps(told["data"])
        + b"\n\n"
        for told in fixture(name)["response"]["sse"]
    )


def reply(value: object, status: int = 200) -> HttpReply:
    return HttpReply(status, {"content-type": "application/json"}, orjson.dumps(value))


def speech(**changes: Any) -> SpeechRequest:
    return SpeechRequest(**{"model": MODEL, "text": TEXT, "voice": "Cherry", **changes})


def wire(**settings: Any) -> QwenSpeech:
    parsed = TtsSettings.model_validate({"vendor": "qwen", "api_key": KEY, **settings})
    built = TtsProvider(parsed, ProviderContext("under-test", FakeClock(), "relayhub/test")).speech()
    assert isinstance(built, QwenSpeech)
    return built


def sent(request: SpeechRequest, **settings: Any) -> Any:
    body = wire(**settings).stream_request(request.model, request).body
    assert isinstance(body, bytes)
    return orjson.loads(body)


WAV = answered("wav_download").body
PCM = b"".join(
    base64.b64decode(told["data"]["output"]["audio"]["data"]) for told in fixture("stream")["response"]["sse"]
)
TOLD = MediaUsage(characters=17)
STREAM = HttpReply(200, {"content-type": "text/event-stream"}, events("stream"))
INSTRUCTED = "qwen3-tts-instruct-flash-2026-01-26"


class TestQwen(RegistrationSuite, SpeechWireSuite):
    provider_type = relayhub_tts.TTS
    package = relayhub_tts
    settings = {"vendor": "qwen", "api_key": KEY}
    error_body = '{"request_id": "r-1", "code": "InvalidParameter", "message": "{message}"}'
    speech_samples = (
        SpeechSample(speech(), MediaUsage(characters=18)),
        SpeechSample(speech(text="Hello!", voice="alloy", format="pcm", speed=1.0), MediaUsage(characters=6)),
        SpeechSample(speech(text="你好" * 100, format="wav", vendor={"language_type": "Chinese"})),
        SpeechSample(speech(model=INSTRUCTED, instructions="Whisper", vendor={"optimize_instructions": True})),
    )
    refused_speech = (
        RefusedSpeech(speech(format="mp3"), "response_format"),
        RefusedSpeech(speech(speed=1.5), "speed"),
        RefusedSpeech(speech(instructions="Whisper"), "instructions"),
        RefusedSpeech(speech(text=" "), "input"),
        RefusedSpeech(speech(text="a" * 601), "input"),
        RefusedSpeech(speech(text="\ud800"), "input"),
        RefusedSpeech(speech(voice=""), "voice"),
        RefusedSpeech(speech(model="qwen3-tts-flash-realtime"), "model"),
        RefusedSpeech(speech(vendor={"language_type": "Klingon"}), "language_type"),
        RefusedSpeech(speech(vendor={"optimize_instructions": True}), "optimize_instructions"),
        RefusedSpeech(speech(model=INSTRUCTED, vendor={"optimize_instructions": 1}), "optimize_instructions"),
        RefusedSpeech(speech(vendor={"sample_rate": 24000}), "sample_rate"),
    )
    spoken = (
        Spoken(
            speech(),
            (answered("nonstream"), answered("wav_download")),
            MediaResult((Artifact(data=WAV, media_type="audio/wav"),), TOLD),
        ),
        Spoken(speech(format="pcm"), (STREAM,), MediaResult((Artifact(data=PCM, media_type="audio/pcm"),), TOLD)),
    )
    streamed = (Streamed(speech(format="pcm"), STREAM.body, PCM, usage=TOLD),)
    broken_stream = STREAM.body[: STREAM.body.index(b"id:2")] + events("stream_error")

    def speech_simulator(self, clock: FakeClock) -> QwenSimulator:
        return QwenSimulator(clock=clock, keys=(KEY,))


def test_the_recording_is_read_to_its_last_sample() -> None:
    assert hashlib.sha256(PCM).hexdigest() == fixture("stream")["canonical"]["pcm_sha256"]


def test_the_request_is_the_recorded_one() -> None:
    recorded = fixture("stream")["request"]
    asked = wire(language="Chinese").stream_request(MODEL, speech(format="pcm"))
    assert isinstance(asked.body, bytes)
    assert orjson.loads(asked.body) == recorded["body"]
    assert asked.url == f"https://dashscope.aliyuncs.com{recorded['path']}"
    assert (asked.headers["authorization"], asked.headers["x-dashscope-sse"]) == (f"Bearer {KEY}", "enable")


def test_a_whole_clip_is_asked_without_a_stream_and_fetched_without_the_key() -> None:
    driven = drive(wire().speak(MODEL, speech()), replaying([answered("nonstream"), answered("wav_download")]))
    first, second = driven.requests
    assert "x-dashscope-sse" not in first.headers
    assert (second.method, second.effect) == ("GET", Effect.NONE)
    assert second.url == fixture("nonstream")["response"]["body"]["output"]["audio"]["url"]
    assert "authorization" not in second.headers


def test_a_clip_that_is_paid_for_is_fetched_again_when_that_fails() -> None:
    gone = [answered("nonstream"), HttpReply(502, {}, b""), HttpReply(200, {}, b""), answered("wav_download")]
    assert drive(wire().speak(MODEL, speech()), replaying(gone)).result.artifacts[0].data == WAV


@pytest.mark.parametrize("status", [302, 403, 404, 500])
def test_a_clip_that_cannot_be_fetched_counts_as_delivered(status: int) -> None:
    answers = [answered("nonstream"), *[HttpReply(status, {}, b"<Error/>")] * 3]
    with pytest.raises(UpstreamError) as lost:
        drive(wire().speak(MODEL, speech()), replaying(answers))
    assert lost.value.delivered
    assert not lost.value.retryable


@pytest.mark.parametrize("link", ["ftp://x/1.wav", "//x/1.wav", "https://x/a b", "https://[x/1", "nothing"])
def test_a_link_that_is_none_is_not_followed(link: str) -> None:
    told = {"output": {"audio": {"url": link}, "finish_reason": "stop"}}
    with pytest.raises(UpstreamError):
        drive(wire().speak(MODEL, speech()), replaying([reply(told)]))


def test_a_clip_that_is_no_audio_is_not_passed_off_as_some() -> None:
    with pytest.raises(UpstreamError) as broken:
        drive(wire().speak(MODEL, speech()), replaying([answered("nonstream"), HttpReply(200, {}, b"<html>")]))
    assert broken.value.delivered


def test_samples_in_the_answer_become_a_file_that_knows_its_length() -> None:
    told = {"output": {"audio": {"data": base64.b64encode(PCM).decode(), "url": ""}, "finish_reason": "stop"}}
    result = drive(wire().speak(MODEL, speech()), replaying([reply(told)])).result
    assert result.artifacts == (Artifact(data=WAV, media_type="audio/wav"),)


def test_what_the_answer_does_not_tell_is_charged_as_measured() -> None:
    told = {**fixture("nonstream")["response"]["body"], "usage": None}
    result = drive(wire().speak(MODEL, speech()), replaying([reply(told), answered("wav_download")])).result
    assert result.usage == wire().measure(MODEL, speech())


def test_an_older_model_tells_tokens() -> None:
    told = {**fixture("nonstream")["response"]["body"], "usage": {"input_tokens": 14, "output_tokens": 105}}
    result = drive(wire().speak("qwen-tts", speech()), replaying([reply(told), answered("wav_download")])).result
    assert result.usage is not None
    assert (result.usage.input_tokens, result.usage.output_tokens) == (14, 105)


def test_bare_samples_stream_and_a_file_does_not() -> None:
    assert wire().streams(MODEL, speech(format="pcm")) == "audio/pcm"
    assert wire().streams(MODEL, speech(format="wav")) is None
    assert wire().streams(MODEL, speech()) is None


def test_audio_comes_while_the_upstream_still_speaks() -> None:
    reader = wire().reader(speech(format="pcm"), STREAM.headers)
    first = STREAM.body.index(b"id:2")
    assert PCM.startswith(reader.feed(STREAM.body[:first]))
    assert reader.usage is None
    assert len(reader.feed(STREAM.body[first:])) > 0


def test_openais_voices_are_mapped_and_others_pass() -> None:
    assert sent(speech(voice="alloy"))["input"]["voice"] == "Cherry"
    assert sent(speech(voice="Kiki"))["input"]["voice"] == "Kiki"
    assert sent(speech(voice="alloy"), voices={"alloy": "Kai"})["input"]["voice"] == "Kai"
    assert sent(speech(voice="onyx"), voices={"alloy": "Kai"})["input"]["voice"] == "Ethan"


def test_an_account_can_keep_its_own_voices_to_itself() -> None:
    settings = {"voices": {"narrator": "my-cloned-voice"}, "only_mapped_voices": True}
    for voice, sends in (("narrator", "my-cloned-voice"), ("my-cloned-voice", "my-cloned-voice"), ("alloy", "Cherry")):
        assert sent(speech(voice=voice), **settings)["input"]["voice"] == sends
    with pytest.raises(ClientError, match="voice"):
        wire(**settings).measure(MODEL, speech(voice="another-clone"))


def test_what_the_operator_ignores_is_left_out_and_named() -> None:
    lax = wire(ignore=["speed", "instructions"])
    asked = lax.stream_request(MODEL, speech(speed=2, instructions="Whisper"))
    assert asked.dropped == ("speed", "instructions")
    assert isinstance(asked.body, bytes)
    assert orjson.loads(asked.body)["input"].keys() == {"text", "voice", "language_type"}


def test_a_clients_language_comes_before_the_operators() -> None:
    assert sent(speech())["input"]["language_type"] == "Auto"
    assert sent(speech(), language="French")["input"]["language_type"] == "French"
    spoken = sent(speech(vendor={"language_type": "German"}), language="French")
    assert spoken["input"]["language_type"] == "German"


def test_a_workspace_and_another_region_can_be_named() -> None:
    asked = wire(workspace="ws-1", base_url="https://dashscope-intl.aliyuncs.com/api/v1").stream_request(
        MODEL, speech()
    )
    assert asked.headers["x-dashscope-workspace"] == "ws-1"
    assert asked.url.startswith("https://dashscope-intl.aliyuncs.com/api/v1/services/")


def test_new_models_can_be_described() -> None:
    traits = {"qwen4-tts-*": {"like": INSTRUCTED, "max_characters": 700}}
    request = speech(model="qwen4-tts-flash", text="a" * 700, instructions="Whisper")
    assert sent(request, model_traits=traits)["input"]["instructions"] == "Whisper"


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "Arrearage", ErrorKind.UPSTREAM_FAILED),
        (400, "Throttling.AllocationQuota", ErrorKind.UPSTREAM_RATE_LIMITED),
        (404, "ModelNotFound", ErrorKind.UPSTREAM_FAILED),
        (403, "AccessDenied.Unpurchased", ErrorKind.UPSTREAM_FAILED),
        (503, "ServiceUnavailable", ErrorKind.UPSTREAM_OVERLOADED),
    ],
)
def test_refusals_that_another_route_may_help(status: int, code: str, kind: ErrorKind) -> None:
    error = wire().error(reply({"code": code, "message": "no", "request_id": "r-7"}, status))
    assert (error.kind, error.retryable, error.delivered, error.status) == (kind, True, False, status)
    assert "r-7" in str(error.detail)
    assert "r-7" not in error.message


def test_refused_content_is_named_as_such() -> None:
    error = wire().error(reply({"code": "DataInspectionFailed", "message": "no"}, 400))
    assert (error.kind, error.code, error.retryable) == (ErrorKind.UPSTREAM_REJECTED, "content_policy", False)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("error_bad_auth", ErrorKind.UPSTREAM_FAILED),
        ("error_bad_voice", ErrorKind.UPSTREAM_REJECTED),
        ("error_rate_limited", ErrorKind.UPSTREAM_RATE_LIMITED),
    ],
)
def test_recorded_errors(name: str, kind: ErrorKind) -> None:
    with pytest.raises(UpstreamError) as error:
        drive(wire().speak(MODEL, speech()), replaying([answered(name)]))
    assert (error.value.kind, error.value.delivered) == (kind, False)


def test_a_stream_that_begins_with_a_refusal_was_not_executed() -> None:
    with pytest.raises(UpstreamError) as refused:
        wire().reader(speech(format="pcm"), STREAM.headers).feed(events("stream_error"))
    assert (refused.value.kind, refused.value.delivered) == (ErrorKind.UPSTREAM_REJECTED, False)


def test_an_unknown_error_within_a_200_may_have_been_executed() -> None:
    with pytest.raises(UpstreamError) as error:
        drive(wire().speak(MODEL, speech()), replaying([reply({"code": "Strange", "message": "?"})]))
    assert error.value.delivered


def test_an_error_in_place_of_a_stream_is_read() -> None:
    said = {"code": "InvalidApiKey", "message": f"{KEY} is wrong"}
    reader = wire().reader(speech(format="pcm"), {"content-type": "application/json"})
    assert reader.feed(orjson.dumps(said)) == b""
    with pytest.raises(UpstreamError) as error:
        reader.close()
    assert KEY not in error.value.message
    assert error.value.kind is ErrorKind.UPSTREAM_FAILED


# --- against the simulator --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_", ["wav", "pcm"])
@pytest.mark.parametrize(("status", "delivered"), [(429, False), (503, False), (500, True), (504, True)])
def test_injected_statuses_are_told_truthfully(format_: str, status: int, delivered: bool) -> None:
    upstream = QwenSimulator(keys=(KEY,))
    upstream.inject(Fault(status, step=JobStep.PAY))
    with pytest.raises(UpstreamError) as error:
        drive(wire().speak(MODEL, speech(format=format_)), upstream.exchange)
    assert error.value.delivered is delivered
    assert upstream.counters.executions == 0


@pytest.mark.parametrize(("what", "raised"), [(Cut(), ConnectionError), (Hang(), TimeoutError)])
def test_a_lost_answer_is_never_asked_for_again(what: Any, raised: type[Exception]) -> None:
    upstream = QwenSimulator(keys=(KEY,))
    upstream.inject(Fault(what, step=JobStep.PAY, executed=True))
    with pytest.raises(raised):
        drive(wire().speak(MODEL, speech()), upstream.exchange)
    assert upstream.counters.executions == 1


def test_a_link_that_fails_once_is_asked_again_and_paid_once() -> None:
    upstream = QwenSimulator(keys=(KEY,))
    upstream.inject(Fault(502, step=JobStep.FETCH))
    result = drive(wire().speak(MODEL, speech()), upstream.exchange).result
    assert result.usage is not None
    assert result.usage.characters == upstream.characters == 16 + 2
    assert (upstream.counters.executions, upstream.steps[JobStep.FETCH]) == (1, 2)


def test_a_stream_that_breaks_while_speaking_was_delivered() -> None:
    upstream = QwenSimulator(keys=(KEY,))
    upstream.break_off("InternalError")
    with pytest.raises(UpstreamError) as error:
        drive(wire().speak(MODEL, speech(format="pcm")), upstream.exchange)
    assert error.value.delivered
    assert not error.value.retryable
