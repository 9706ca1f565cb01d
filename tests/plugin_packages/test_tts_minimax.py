"""MiniMax speech: the suites, the recorded exchanges, and what goes wrong."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import orjson
import pytest

import relayhub_tts
from relayhub.sdk import (
    Artifact,
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
from relayhub_tts.minimax import MiniMaxSpeech
from relayhub_tts.provider import TtsProvider
from relayhub_tts.settings import TtsSettings
from relayhub_tts.simulated_minimax import MiniMaxSimulator

FIXTURES = Path(__file__).parent.parent / "fixtures" / "media" / "minimax_tts"
KEY = "eyJ-canary-minimax-0123456789"
MODEL = "MiniMax/speech-2.8-turbo"
TEXT = "你好,这是一个测试。"
EVENTS = {"content-type": "text/event-stream"}


def fixture(name: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((FIXTURES / f"{name}.json").read_text())
    return value


def answered(name: str) -> HttpReply:
    response = fixture(name)["response"]
    headers = {key.lower(): value for key, value in response["headers"].items()}
    return HttpReply(response["status"], headers, orjson.dumps(response["body"]))


def line(told: object) -> bytes:
    return b"data: " + orjson.dumps(told) + b"\n\n"


def events(name: str) -> bytes:
    return b"".join(line(told["data"]) for told in fixture(name)["response"]["sse"])


def reply(value: object, status: int = 200) -> HttpReply:
    return HttpReply(status, {"content-type": "application/json"}, orjson.dumps(value))


def speech(**changes: Any) -> SpeechRequest:
    return SpeechRequest(**{"model": MODEL, "text": TEXT, "voice": "male-qn-qingse", **changes})


def wire(**settings: Any) -> MiniMaxSpeech:
    parsed = TtsSettings.model_validate({"vendor": "minimax", "api_key": KEY, **settings})
    built = TtsProvider(parsed, ProviderContext("under-test", FakeClock(), "relayhub/test")).speech()
    assert isinstance(built, MiniMaxSpeech)
    return built


def sent(request: SpeechRequest, **settings: Any) -> Any:
    body = wire(**settings).stream_request(request.model, request).body
    assert isinstance(body, bytes)
    return orjson.loads(body)


CLIP = bytes.fromhex(fixture("nonstream_hex")["response"]["body"]["data"]["audio"])
TOLD = MediaUsage(characters=18)
RESULT = MediaResult((Artifact(data=CLIP, media_type="audio/mpeg"),), TOLD)
EVERYTHING: dict[str, Any] = {
    "vol": 1.5,
    "pitch": -2,
    "emotion": "happy",
    "text_normalization": True,
    "latex_read": False,
    "sample_rate": 44100,
    "bitrate": 256000,
    "channel": 2,
    "force_cbr": True,
    "language_boost": "Chinese,Yue",
    "pronunciation_dict": {"tone": ["处理/(chu3)(li3)"]},
    "voice_modify": {"pitch": 10, "intensity": -5, "timbre": 0, "sound_effects": "robotic"},
    "something_unsaid": None,
}


class TestMiniMax(RegistrationSuite, SpeechWireSuite):
    provider_type = relayhub_tts.TTS
    package = relayhub_tts
    settings = {"vendor": "minimax", "api_key": KEY, "group_id": "1890001"}
    error_body = '{"trace_id": "t-1", "base_resp": {"status_code": 2013, "status_msg": "{message}"}}'
    speech_samples = (
        SpeechSample(speech(), MediaUsage(characters=18)),
        SpeechSample(speech(model="MiniMax/speech-2.8-hd", text="Hello!", voice="alloy", format="wav", speed=0.5)),
        SpeechSample(speech(text="你好" * 1000, format="pcm", vendor={"sample_rate": 24000, "channel": 1})),
        SpeechSample(speech(format="flac", vendor={"voice_setting": {"vol": 2}, "audio_setting": {"channel": 2}})),
        SpeechSample(speech(format="opus")),
        SpeechSample(speech(format="mp3", vendor=EVERYTHING)),
    )
    refused_speech = (
        RefusedSpeech(speech(format="aac"), "response_format"),
        RefusedSpeech(speech(speed=0.25), "speed"),
        RefusedSpeech(speech(speed=4), "speed"),
        RefusedSpeech(speech(speed=float("nan")), "speed"),
        RefusedSpeech(speech(instructions="Whisper"), "instructions"),
        RefusedSpeech(speech(text=""), "input"),
        RefusedSpeech(speech(text="a" * 10_000), "input"),
        RefusedSpeech(speech(voice=" "), "voice"),
        RefusedSpeech(speech(model="speech-9"), "model"),
        RefusedSpeech(speech(vendor={"subtitle_enable": True}), "subtitle_enable"),
        RefusedSpeech(speech(vendor={"emotion": "whisper"}), "emotion"),
        RefusedSpeech(speech(vendor={"vol": 0}), "vol"),
        RefusedSpeech(speech(vendor={"pitch": 1.5}), "pitch"),
        RefusedSpeech(speech(vendor={"sample_rate": 48000}), "sample_rate"),
        RefusedSpeech(speech(vendor={"sample_rate": 24001}), "sample_rate"),
        RefusedSpeech(speech(format="pcm", vendor={"sample_rate": 32000}), "sample_rate"),
        RefusedSpeech(speech(format="pcm", vendor={"channel": 2}), "channel"),
        RefusedSpeech(speech(format="wav", vendor={"bitrate": 128000}), "bitrate"),
        RefusedSpeech(speech(vendor={"language_boost": "Klingon"}), "language_boost"),
        RefusedSpeech(speech(vendor={"pronunciation_dict": ["a"]}), "pronunciation_dict"),
        RefusedSpeech(speech(vendor={"voice_modify": {"speed": 1}}), "voice_modify.speed"),
        RefusedSpeech(speech(vendor={"voice_modify": {"pitch": 101}}), "voice_modify.pitch"),
        RefusedSpeech(speech(vendor={"voice_setting": {"voice_id": "x"}}), "voice_setting.voice_id"),
        RefusedSpeech(speech(vendor={"voice_setting": {"tempo": 1}}), "voice_setting.tempo"),
        RefusedSpeech(speech(vendor={"audio_setting": 1}), "audio_setting"),
    )
    spoken = (
        Spoken(speech(), (answered("nonstream_hex"),), RESULT),
        Spoken(speech(), (answered("nonstream_url"), HttpReply(200, {}, CLIP)), RESULT),
    )
    streamed = (
        Streamed(speech(), events("stream_excluded"), CLIP, usage=TOLD),
        Streamed(speech(), events("stream_default_aggregated"), CLIP, usage=TOLD),
        Streamed(speech(), events("stream_excluded") + b"data: [DONE]\n\n", CLIP, usage=TOLD),
    )
    broken_stream = line(fixture("stream_excluded")["response"]["sse"][0]["data"]) + line(
        {"base_resp": {"status_code": 1002, "status_msg": "rate limit"}}
    )

    def speech_simulator(self, clock: FakeClock) -> MiniMaxSimulator:
        return MiniMaxSimulator(clock=clock, keys=(KEY,), group_id="1890001")


@pytest.mark.parametrize("name", ["nonstream_hex", "stream_excluded", "stream_default_aggregated"])
def test_the_recordings_are_read_to_their_last_byte(name: str) -> None:
    assert hashlib.sha256(CLIP).hexdigest() == fixture(name)["canonical"]["audio_sha256"]


def test_the_request_is_the_recorded_one() -> None:
    recorded = fixture("stream_excluded")["request"]
    asked = wire().stream_request(MODEL, speech(speed=1.0, vendor={"vol": 1.0, "pitch": 0, "channel": 1}))
    assert isinstance(asked.body, bytes)
    assert orjson.loads(asked.body) == recorded["body"]
    assert asked.url == f"https://api.minimax.io{recorded['path']}"
    whole = next(wire().speak(MODEL, speech(speed=1.0, vendor={"vol": 1.0, "pitch": 0, "channel": 1})))
    assert isinstance(whole.body, bytes)
    assert orjson.loads(whole.body) == fixture("nonstream_hex")["request"]["body"]


def test_a_link_in_the_place_of_audio_is_fetched_without_the_key() -> None:
    driven = drive(wire().speak(MODEL, speech()), replaying([answered("nonstream_url"), HttpReply(200, {}, CLIP)]))
    assert (driven.requests[1].method, driven.requests[1].effect) == ("GET", Effect.NONE)
    assert "authorization" not in driven.requests[1].headers


def test_a_group_is_part_of_the_address_and_cannot_break_out_of_it() -> None:
    assert wire(group_id="a&b=c").stream_request(MODEL, speech()).url.endswith("/v1/t2a_v2?GroupId=a%26b%3Dc")


def test_pcm_has_the_rate_that_players_expect() -> None:
    assert sent(speech(format="pcm"), sample_rate=44100)["audio_setting"] == {
        "format": "pcm",
        "sample_rate": 24000,
        "channel": 1,
    }
    assert sent(speech(format="flac"), sample_rate=44100)["audio_setting"]["sample_rate"] == 44100


def test_a_clients_language_comes_before_the_operators() -> None:
    assert "language_boost" not in sent(speech())
    assert sent(speech(), language="French")["language_boost"] == "French"
    assert sent(speech(vendor={"language_boost": "German"}), language="French")["language_boost"] == "German"


def test_openais_voices_are_mapped_and_others_pass() -> None:
    assert sent(speech(voice="echo"))["voice_setting"]["voice_id"] == "male-qn-qingse"
    assert sent(speech(voice="my-clone"))["voice_setting"]["voice_id"] == "my-clone"
    assert sent(speech(voice="echo"), voices={"echo": "my-clone"})["voice_setting"]["voice_id"] == "my-clone"


def test_what_the_operator_ignores_is_left_out_and_named() -> None:
    asked = wire(ignore=["instructions"]).stream_request(MODEL, speech(instructions="Whisper"))
    assert asked.dropped == ("instructions",)
    assert b"Whisper" not in asked.body  # type: ignore[operator]


@pytest.mark.parametrize(
    ("format_", "type_"),
    [(None, "audio/mpeg"), ("flac", "audio/flac"), ("pcm", "audio/pcm"), ("wav", None), ("opus", None)],
)
def test_what_can_be_streamed(format_: str | None, type_: str | None) -> None:
    assert wire().streams(MODEL, speech(format=format_)) == type_


@pytest.mark.parametrize(
    ("format_", "audio", "type_"),
    [
        ("mp3", b"RIFF\0\0\0\0WAVEfmt ", "audio/wav"),
        ("pcm", b"RIFF\0\0\0\0WAVEfmt ", "audio/wav"),
        ("pcm", b"\xff\xfb\x90\x64", "audio/pcm"),
        ("opus", b"OggS\0", "audio/ogg"),
        ("opus", b"\x01\x02", "application/octet-stream"),
    ],
)
def test_the_type_is_that_of_the_bytes(format_: str, audio: bytes, type_: str) -> None:
    told = {"data": {"audio": audio.hex(), "status": 2}, "base_resp": {"status_code": 0}}
    result = drive(wire().speak(MODEL, speech(format=format_)), replaying([reply(told)])).result
    assert result.artifacts == (Artifact(data=audio, media_type=type_),)


def test_what_the_answer_does_not_tell_is_charged_as_measured() -> None:
    told = {"data": {"audio": "fffb", "status": 2}, "base_resp": {"status_code": 0}}
    result = drive(wire().speak(MODEL, speech()), replaying([reply(told)])).result
    assert result.usage == wire().measure(MODEL, speech()) == MediaUsage(characters=19)


# --- errors that come with a 200 --------------------------------------------------------------------------------------

REJECTED, FAILED = ErrorKind.UPSTREAM_REJECTED, ErrorKind.UPSTREAM_FAILED
LIMITED, LATE = ErrorKind.UPSTREAM_RATE_LIMITED, ErrorKind.UPSTREAM_TIMEOUT
TABLE = [
    ("error_bad_auth_1004", FAILED, True, False),
    ("error_bad_key_2049", FAILED, True, False),
    ("error_bad_param_2013", REJECTED, False, False),
    ("error_bad_voice_20132", REJECTED, False, False),
    ("error_balance_1008", FAILED, True, False),
    ("error_rate_limited_1002", LIMITED, True, False),
    ("error_token_rate_1039", LIMITED, True, False),
    ("error_timeout_1001", LATE, True, True),
]


@pytest.mark.parametrize(("name", "kind", "retryable", "delivered"), TABLE)
def test_recorded_errors(name: str, kind: ErrorKind, retryable: bool, delivered: bool) -> None:
    with pytest.raises(UpstreamError) as raised:
        drive(wire().speak(MODEL, speech()), replaying([answered(name)]))
    error = raised.value
    assert (error.kind, error.retryable, error.delivered, error.status) == (kind, retryable, delivered, 200)
    assert "01b8bf9bb7433cc75c18eee6cfa8fe21" in str(error.detail)


@pytest.mark.parametrize(("name", "kind", "retryable", "delivered"), TABLE)
@pytest.mark.parametrize("manner", ["application/json", "text/event-stream", "events"])
def test_recorded_errors_in_place_of_a_stream(
    name: str, kind: ErrorKind, retryable: bool, delivered: bool, manner: str
) -> None:
    body = answered(name).body
    with pytest.raises(UpstreamError) as raised:
        _heard({"content-type": manner}, b"data: " + body + b"\n\n" if manner == "events" else body)
    assert (raised.value.kind, raised.value.retryable, raised.value.delivered) == (kind, retryable, delivered)


@pytest.mark.parametrize(("code", "delivered"), [(1026, False), (1027, True)])
def test_refused_content_is_named_as_such(code: int, delivered: bool) -> None:
    with pytest.raises(UpstreamError) as raised:
        drive(wire().speak(MODEL, speech()), replaying([reply({"base_resp": {"status_code": code}})]))
    assert (raised.value.kind, raised.value.code) == (REJECTED, "content_policy")
    assert (raised.value.retryable, raised.value.delivered) == (False, delivered)


@pytest.mark.parametrize("code", [1000, 1013, 1024, 1033, 7777, -1])
def test_after_other_codes_nobody_knows(code: int) -> None:
    with pytest.raises(UpstreamError) as raised:
        drive(wire().speak(MODEL, speech()), replaying([reply({"base_resp": {"status_code": code}})]))
    assert raised.value.delivered


def test_a_400_is_what_its_code_says() -> None:
    assert wire().error(reply({"base_resp": {"status_code": 1008}}, 400)).code != "1008"
    assert wire().error(reply({"base_resp": {"status_code": 1008}}, 400)).retryable
    assert not wire().error(reply({"base_resp": {"status_code": 1000}}, 400)).delivered


def test_an_answer_of_a_relay_that_does_not_stream_is_read_all_the_same() -> None:
    assert _heard({"content-type": "application/json"}, answered("nonstream_hex").body) == CLIP


def test_an_answer_without_events_and_end_is_given_up() -> None:
    reader = wire().reader(speech(), {"content-type": "application/json"})
    for _ in range(24):
        reader.feed(b"x" * (1 << 20))
    with pytest.raises(UpstreamError, match="longer"):
        reader.feed(b"x")


@pytest.mark.parametrize(
    "body",
    [
        line({"data": {"audio": "fffb", "status": 1}}),
        line({"data": {"audio": "", "status": 2}}),
        line({"data": {"audio": "xyz", "status": 1}}),
        b"data: nothing\n\n",
        b": a comment\n\n",
    ],
)
def test_a_stream_without_an_end_or_without_audio_is_an_error(body: bytes) -> None:
    with pytest.raises(UpstreamError) as raised:
        _heard(EVENTS, body)
    assert raised.value.delivered


def _heard(headers: dict[str, str], body: bytes) -> bytes:
    reader = wire().reader(speech(), headers)
    return reader.feed(body) + reader.close()


# --- against the simulator --------------------------------------------------------------------------------------------


def streamed(upstream: MiniMaxSimulator, request: SpeechRequest) -> bytes:
    answer = upstream.exchange(wire().stream_request(request.model, request))
    reader = wire().reader(request, answer.headers)
    return reader.feed(answer.body) + reader.close()


@pytest.mark.parametrize("repeats", [False, True])
def test_a_stream_has_the_clip_once(repeats: bool) -> None:
    upstream = MiniMaxSimulator(keys=(KEY,), repeats=repeats)
    whole = drive(wire().speak(MODEL, speech()), upstream.exchange).result.artifacts[0].data
    assert streamed(upstream, speech()) == whole
    assert upstream.characters == 2 * 18


@pytest.mark.parametrize(("status", "delivered"), [(429, False), (503, False), (500, True), (504, True)])
def test_injected_statuses_are_told_truthfully(status: int, delivered: bool) -> None:
    upstream = MiniMaxSimulator(keys=(KEY,))
    upstream.inject(Fault(status, step=JobStep.PAY))
    with pytest.raises(UpstreamError) as error:
        drive(wire().speak(MODEL, speech()), upstream.exchange)
    assert error.value.delivered is delivered
    assert upstream.counters.executions == 0


@pytest.mark.parametrize("code", [1002, 1008, 1026, 1039])
def test_refusals_with_a_200_were_not_executed(code: int) -> None:
    upstream = MiniMaxSimulator(keys=(KEY,))
    upstream.inject(Fault(MiniMaxSimulator.refusal(code), step=JobStep.PAY))
    with pytest.raises(UpstreamError) as error:
        drive(wire().speak(MODEL, speech()), upstream.exchange)
    assert not error.value.delivered
    assert upstream.counters.executions == 0


@pytest.mark.parametrize(("what", "raised"), [(Cut(), ConnectionError), (Hang(), TimeoutError)])
def test_a_lost_answer_is_never_asked_for_again(what: Any, raised: type[Exception]) -> None:
    upstream = MiniMaxSimulator(keys=(KEY,))
    upstream.inject(Fault(what, step=JobStep.PAY, executed=True))
    with pytest.raises(raised):
        drive(wire().speak(MODEL, speech()), upstream.exchange)
    assert upstream.counters.executions == 1


def test_a_stream_that_breaks_while_speaking_was_delivered() -> None:
    upstream = MiniMaxSimulator(keys=(KEY,))
    upstream.break_off(1002)
    with pytest.raises(UpstreamError) as error:
        streamed(upstream, speech())
    assert (error.value.delivered, error.value.retryable) == (True, False)
