"""A stand-in for MiniMax T2A v2: hexadecimal audio, whole or in events, and errors that come with a 200."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

import orjson

from relayhub_tts.simulator import Answer, Recorded, Rejected, SpeechSimulator, characters_of, require, sound, split

MODELS = frozenset(f"speech-{version}-{kind}" for version in ("2.8", "2.6", "02", "01") for kind in ("hd", "turbo"))
VOICES = frozenset(
    {"male-qn-qingse", "male-qn-jingying", "male-qn-badao", "male-qn-daxuesheng"}
    | {"female-shaonv", "female-yujie", "female-chengshu", "female-tianmei"}
)
EMOTIONS = frozenset({"happy", "sad", "angry", "fearful", "disgusted", "surprised", "calm", "fluent", "whisper"})
MISSING_EMOTIONS: Mapping[str, frozenset[str]] = {
    "2.8": frozenset({"whisper"}),
    "02": frozenset({"fluent", "whisper"}),
    "01": frozenset({"fluent", "whisper"}),
}
FORMATS = ("mp3", "pcm", "flac", "wav", "opus", "pcmu_raw", "pcmu_wav")
SAMPLE_RATES = (8000, 16000, 22050, 24000, 32000, 44100)
BIT_RATES = (32000, 64000, 128000, 256000)
FIELDS = frozenset(
    {"model", "text", "stream", "stream_options", "output_format", "voice_setting", "audio_setting", "language_boost"}
    | {"pronunciation_dict", "voice_modify", "timbre_weights", "subtitle_enable"}
)
VOICE_FIELDS = frozenset({"voice_id", "speed", "vol", "pitch", "emotion", "text_normalization", "latex_read"})
AUDIO_FIELDS = frozenset({"sample_rate", "bitrate", "format", "channel", "force_cbr"})
LONGEST = 10_000
MOST_INVISIBLE = 0.1
TRACE = "01b8bf9bb7433cc75c18eee6cfa8fe21"
MS_PER_CHARACTER = 104
MESSAGES: Mapping[int, str] = {
    1001: "request timeout",
    1002: "rate limit exceeded(RPM)",
    1008: "insufficient balance",
    1026: "input new_sensitive",
    1027: "output new_sensitive",
    1039: "rate limit exceeded(TPM)",
}


class MiniMaxSimulator(SpeechSimulator):
    """``repeats``: whether the last event of a stream repeats the whole clip even where it is asked not to, as some
    relays do. ``group_id``: what must stand in the address, if anything."""

    endpoint = "/t2a_v2"
    result_type = "audio/mpeg"

    def __init__(self, *, root: str = "/v1", repeats: bool = False, group_id: str | None = None, **more: Any) -> None:
        super().__init__(root=root, **more)
        self._repeats = repeats
        self._group_id = group_id

    def error(self, status: int) -> Answer:
        return Answer.json(_base(1000, f"It failed with {status}."), status)

    @staticmethod
    def refusal(code: int) -> Answer:
        """An error with a 200, to be injected."""
        return Answer.json(_base(code, MESSAGES.get(code, "it was refused")))

    def rejection(self, rejected: Rejected) -> Answer:
        code = int(rejected.code) if rejected.code.isdecimal() else 1000
        return Answer.json(_base(code, rejected.message), rejected.status)

    def unauthorized(self) -> Rejected:
        return Rejected(200, "1004", "login fail: Please carry the API secret key in the 'Authorization' field")

    def broken(self, code: int | str) -> bytes:
        return _event(_base(int(code), "it went wrong while speaking"))

    def speak(self, request: Recorded) -> Answer:
        if self._group_id is not None and parse_qs(request.query).get("GroupId") != [self._group_id]:
            raise Rejected(200, "1004", "login fail: the GroupId does not match")
        body = _checked(request)
        text, format_ = str(body["text"]), _format(body)
        audio = sound(text, format_)
        if body.get("stream"):
            return self._stream(text, format_, audio, body)
        return self.spoken(text, Answer.json(_last(text, format_, self._whole(body, audio, format_))))

    def _whole(self, body: Mapping[str, object], audio: bytes, format_: str) -> str:
        if body.get("output_format", "hex") == "hex":
            return audio.hex()
        return self.publish(Answer(body=audio, headers={"content-type": "audio/mpeg"}), f"clip.{format_}")

    def _stream(self, text: str, format_: str, audio: bytes, body: Mapping[str, object]) -> Answer:
        options = body.get("stream_options")
        excluded = isinstance(options, dict) and options.get("exclude_aggregated_audio") is True
        last = "" if excluded and not self._repeats else audio.hex()
        parts = [_event({"data": {"audio": part.hex(), "status": 1, "ced": ""}, **_base()}) for part in split(audio)]
        return self.streamed(text, [*parts, _event(_last(text, format_, last))])


def _event(told: Mapping[str, object]) -> bytes:
    return b"data: " + orjson.dumps(told) + b"\n\n"


def _base(code: int = 0, message: str = "success") -> dict[str, object]:
    return {"trace_id": TRACE, "base_resp": {"status_code": code, "status_msg": message}}


def _last(text: str, format_: str, audio: str) -> dict[str, object]:
    info = {
        "audio_length": len(text) * MS_PER_CHARACTER,
        "audio_sample_rate": 32_000,
        "audio_size": len(audio) // 2,
        "bitrate": 128_000,
        "word_count": len(text),
        "invisible_character_ratio": 0,
        "usage_characters": characters_of(text),
        "audio_format": format_,
        "audio_channel": 1,
    }
    return {"data": {"audio": audio, "status": 2, "ced": ""}, "extra_info": info, **_base()}


# --- what is checked --------------------------------------------------------------------------------------------------


def _invalid(name: str) -> Rejected:
    return Rejected(200, "2013", f"invalid params, {name} is not valid")


def _checked(request: Recorded) -> dict[str, object]:
    require(request.headers.get("content-type", "").startswith("application/json"), _invalid("content-type"))
    body = request.json()
    require(body.keys() <= FIELDS, _invalid(", ".join(sorted(body.keys() - FIELDS))))
    require(body.get("model") in MODELS, _invalid("model"))
    _check_text(body.get("text"))
    stream = body.get("stream", False)
    require(isinstance(stream, bool), _invalid("stream"))
    require(body.get("output_format", "hex") in (("hex",) if stream else ("hex", "url")), _invalid("output_format"))
    _check_voice(_group(body, "voice_setting", VOICE_FIELDS), str(body["model"]))
    _check_audio(_group(body, "audio_setting", AUDIO_FIELDS), stream=bool(stream))
    return body


def _check_text(text: object) -> None:
    if not isinstance(text, str) or not 0 < len(text) < LONGEST:
        raise _invalid("text")
    invisible = sum(not character.isprintable() and character not in "\n\r\t" for character in text)
    require(invisible <= MOST_INVISIBLE * len(text), Rejected(200, "1042", "too many invisible characters"))


def _check_voice(voice: Mapping[str, object], model: str) -> None:
    require(voice.get("voice_id") in VOICES, Rejected(200, "20132", "invalid samples or voice_id"))
    require(_within(voice.get("speed", 1), 0.5, 2), _invalid("voice_setting.speed"))
    require(_within(voice.get("vol", 1), 1e-9, 10), _invalid("voice_setting.vol"))
    pitch = voice.get("pitch", 0)
    require(isinstance(pitch, int) and _within(pitch, -12, 12), _invalid("voice_setting.pitch"))
    missing = next((names for version, names in MISSING_EMOTIONS.items() if f"-{version}-" in model), frozenset())
    require(voice.get("emotion", "calm") in EMOTIONS - missing, _invalid("voice_setting.emotion"))


def _check_audio(audio: Mapping[str, object], *, stream: bool) -> None:
    format_ = audio.get("format", "mp3")
    require(format_ in FORMATS and not (stream and format_ == "wav"), _invalid("audio_setting.format"))
    require(audio.get("sample_rate", 32000) in SAMPLE_RATES, _invalid("audio_setting.sample_rate"))
    require(audio.get("bitrate", 128000) in BIT_RATES, _invalid("audio_setting.bitrate"))
    require(audio.get("channel", 1) in (1, 2), _invalid("audio_setting.channel"))


def _format(body: Mapping[str, object]) -> str:
    audio = body.get("audio_setting")
    return str(audio.get("format", "mp3")) if isinstance(audio, dict) else "mp3"


def _group(body: Mapping[str, object], name: str, fields: frozenset[str]) -> Mapping[str, object]:
    group = body.get(name, {})
    if not isinstance(group, dict) or not group.keys() <= fields:
        raise _invalid(name)
    return group


def _within(value: object, low: float, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
