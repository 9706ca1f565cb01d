"""``POST /v1/audio/transcriptions`` and ``/v1/audio/translations``: a form with a recording in, JSON, text or events
out."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from relayhub.dialects.codec import ClientView, Envelope, NativeStream
from relayhub.dialects.fields import invalid_value
from relayhub.dialects.multipart import Form
from relayhub.dialects.openai_chat.envelope import read_model, read_user
from relayhub.dialects.openai_chat.native import renamed
from relayhub.dialects.openai_chat.upstream_json import parse_tolerantly, valid_utf8
from relayhub.dialects.openai_chat.usage import read_usage
from relayhub.dialects.openai_native.audio_stream import Transcript, TranscriptStream, WholeTranscript
from relayhub.dialects.openai_native.counts import input_and_output
from relayhub.dialects.openai_native.dialect import JSON, NativeAnswer
from relayhub.dialects.openai_native.json_bodies import read_object
from relayhub.dialects.upstream_errors import in_stream_error
from relayhub.types.call import Dialect
from relayhub.types.errors import upstream_broke
from relayhub.types.http import Body, HttpReply, SpoolSlice
from relayhub.types.json import Json, JsonObject
from relayhub.types.usage import Usage

TEXT, SSE = "text/plain; charset=utf-8", "text/event-stream"

TEXT_FORMATS = frozenset({"text", "srt", "vtt"})
"""Asked for by ``response_format``; every other one is JSON."""

WANTED = ("model", "stream", "response_format", "user")
"""The fields that the hub itself reads."""

BYTES_PER_TOKEN = 200
"""For the hold: speech is rarely sent below 16 kbit/s, and models count about ten tokens a second."""

_FLAGS = {"true": True, "1": True, "false": False, "0": False, "": False}


class AudioEnvelope(Envelope, frozen=True):
    """``form``: where everything stands in the body; ``response_format``: as asked for."""

    form: Form = msgspec.field(default_factory=lambda: Form((), {}, 0))
    response_format: str = "json"


class OpenAIAudio:
    """See :class:`relayhub.dialects.openai_native.dialect.NativeDialect`. Its envelopes are :class:`AudioEnvelope`."""

    name: str = Dialect.OPENAI_AUDIO.value

    def native_request(self, body: Body, *, model: str, envelope: Envelope) -> Body:
        """``body``: the whole spool as one piece."""
        assert isinstance(envelope, AudioEnvelope)
        if model == envelope.model:
            return body
        whole = body[0]
        assert isinstance(whole, SpoolSlice)
        pieces: list[bytes | SpoolSlice] = []
        at = whole.start
        for start, end, content in envelope.form.changes("model", model.encode()):
            pieces += [SpoolSlice(whole.spool, at, start), content]
            at = end
        return (*pieces, SpoolSlice(whole.spool, at, whole.end))

    def native_reply(self, reply: HttpReply, view: ClientView) -> NativeAnswer:
        assert isinstance(view.envelope, AudioEnvelope)
        if view.envelope.response_format in TEXT_FORMATS:
            return _read_text(reply)
        body, value = read_object(reply.body, "a transcript")
        text, usage = _said(value)
        return NativeAnswer(renamed(body, view.rename_to), usage, len(text))

    def native_stream(self, headers: Mapping[str, str], view: ClientView) -> NativeStream:
        """Some models do not stream, whatever is asked, and answer as a whole."""
        assert isinstance(view.envelope, AudioEnvelope)
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == JSON:
            return WholeTranscript(_of_json)
        if kind != SSE and view.envelope.response_format in TEXT_FORMATS:
            return WholeTranscript(_of_text)
        return TranscriptStream(read_audio_usage, rename_to=view.rename_to)


def read_envelope(form: Form) -> AudioEnvelope:
    """Raises ``ClientError`` naming the field."""
    values: JsonObject = dict(form.values)
    stream = _FLAGS.get(form.values.get("stream", "").strip().lower())
    if stream is None:
        raise invalid_value("stream", "must be true or false")
    media_bytes = sum(len(part) for part in form.parts if part.is_file or part.name == "file")
    return AudioEnvelope(
        model=read_model(values),
        stream=stream,
        include_usage=True,
        output_cap=None,
        choices=1,
        user=read_user(values),
        text_bytes=sum(map(len, form.parts)) - media_bytes,
        media_tokens=-(-media_bytes // BYTES_PER_TOKEN),
        form=form,
        response_format=form.values.get("response_format", "json"),
    )


def read_audio_usage(value: Json) -> Usage | None:
    """OpenAI's ``{"type": "tokens", …}``, or chat's counts. What is billed by time, ``{"type": "duration", …}``, used no
    tokens: such a model is priced by call. ``None``: the upstream does not say."""
    if not isinstance(value, dict):
        return None
    if (usage := input_and_output(value) or read_usage(value)) is not None:
        return usage
    return Usage() if value.get("type") == "duration" or type(value.get("seconds")) in (int, float) else None


def _said(value: JsonObject) -> tuple[str, Usage | None]:
    """The text of a whole answer, and what it used. Raises ``UpstreamError``."""
    text = value.get("text")
    if not isinstance(text, str):
        raise upstream_broke("it has no text")
    return text, read_audio_usage(value.get("usage"))


def _read_text(reply: HttpReply) -> NativeAnswer:
    """Text, subtitles; an upstream that only writes JSON may answer with that. An empty one is silence."""
    said = reply.headers.get("content-type", "")
    value = parse_tolerantly(reply.body) if reply.body.lstrip().startswith(b"{") else None
    if value is not None and value.get("error"):
        raise in_stream_error(value["error"])
    if value is not None and isinstance(value.get("text"), str):
        text, usage = _said(value)
        return NativeAnswer(reply.body, usage, len(text), said or JSON)
    return NativeAnswer(reply.body, None, len(valid_utf8(reply.body).decode()), said or TEXT)


def _of_json(body: bytes) -> Transcript:
    _, value = read_object(body, "a transcript")
    return Transcript(*_said(value), value.get("usage"))


def _of_text(body: bytes) -> Transcript:
    return Transcript(valid_utf8(body).decode())
