"""``generationConfig``, both ways. Fields of it that the hub has no word for are known by their path."""

from __future__ import annotations

from dataclasses import dataclass

from relayhub.dialects.effort import EFFORTS
from relayhub.dialects.fields import Fields
from relayhub.dialects.gemini_generate.names import keeping, kept, said_only
from relayhub.dialects.gemini_generate.scalars import take_integer, take_number, take_texts, take_word
from relayhub.dialects.gemini_generate.schemas import to_gemini
from relayhub.dialects.gemini_generate.tools import read_schema
from relayhub.types.chat import ChatRequest, FormatKind, OutputFormat, Reasoning, Sampling
from relayhub.types.json import Extras, Json, JsonObject

CONFIG = "generationConfig"
PREFIX = f"{CONFIG}."
THINKING = "thinkingConfig"
MIME, SCHEMA, JSON_SCHEMA = "responseMimeType", "responseSchema", "responseJsonSchema"
JSON, PLAIN = "application/json", "text/plain"
MODALITIES = "responseModalities"


@dataclass(frozen=True, slots=True)
class Config:
    """``others``: what is left, by path. ``essential``: those of them that change what is asked. ``spelled``: how
    things were said that the other fields say as well."""

    max_output_tokens: int | None
    choices: int
    sampling: Sampling
    output_format: OutputFormat | None
    reasoning: Reasoning | None
    others: Extras
    essential: tuple[str, ...]
    spelled: JsonObject


def decode_config(value: Json) -> Config:
    """Raises ``ClientError`` naming the place."""
    fields = Fields({} if value is None else value, CONFIG)
    spelled: JsonObject = {}
    sampling = _decode_sampling(fields)
    choices = take_integer(fields, "candidateCount")
    if choices == 1:
        spelled["candidateCount"] = 1
    cap = take_integer(fields, "maxOutputTokens")
    output = _decode_format(fields)
    reasoning = _decode_thinking(fields)
    if fields.peek(MODALITIES) in ([], ["TEXT"]):
        spelled[MODALITIES] = fields.take(MODALITIES)
    others = {PREFIX + key: item for key, item in fields.rest().items()}
    essential = tuple(name for name in (PREFIX + MODALITIES, PREFIX + MIME, PREFIX + SCHEMA) if others.get(name))
    return Config(cap, choices or 1, sampling, output, reasoning, others, essential, spelled)


def _decode_sampling(fields: Fields) -> Sampling:
    return Sampling(
        temperature=take_number(fields, "temperature"),
        top_p=take_number(fields, "topP"),
        top_k=take_integer(fields, "topK"),
        seed=take_integer(fields, "seed"),
        presence_penalty=take_number(fields, "presencePenalty"),
        frequency_penalty=take_number(fields, "frequencyPenalty"),
        stop=take_texts(fields, "stopSequences"),
        logprobs=fields.optional_flag("responseLogprobs"),
        top_logprobs=take_integer(fields, "logprobs"),
    )


def _decode_format(fields: Fields) -> OutputFormat | None:
    """``None`` for a type that the hub has no word for; then all of it stays."""
    mime = fields.peek(MIME)
    if mime not in (None, PLAIN, JSON):
        return None
    said = None if mime is None else True
    schema = fields.optional_object(JSON_SCHEMA)
    if schema is not None:
        fields.take(MIME)
        return OutputFormat(FormatKind.JSON_SCHEMA, schema=schema, extras=keeping({}, form=JSON_SCHEMA, mime=said))
    schema = fields.optional_object(SCHEMA)
    if schema is not None:
        fields.take(MIME)
        read, original = read_schema(schema)
        return OutputFormat(FormatKind.JSON_SCHEMA, schema=read, extras=keeping({}, schema=original, mime=said))
    match fields.take(MIME) if mime is not None else None:
        case "application/json":
            return OutputFormat(FormatKind.JSON_OBJECT)
        case "text/plain":
            return OutputFormat(FormatKind.TEXT)
        case _:
            return None


def _decode_thinking(fields: Fields) -> Reasoning | None:
    """A level that the hub does not know stays."""
    if fields.peek(THINKING) is None:
        return None
    inner = fields.inner(THINKING)
    said = inner.peek("thinkingLevel")
    level = take_word(inner, "thinkingLevel")
    effort = level.lower() if level is not None else None
    if effort is not None and effort not in EFFORTS:
        inner.keep("thinkingLevel", said)
        effort = None
    budget = take_integer(inner, "thinkingBudget")
    include = inner.optional_flag("includeThoughts")
    fields.rest(inner)
    return Reasoning(effort, budget, None, include)


def encode_config(request: ChatRequest) -> JsonObject | None:
    """Of a request of this dialect; ``None`` where nothing was said."""
    spelled = kept(request.extras).get(CONFIG)
    out: JsonObject = dict(spelled) if isinstance(spelled, dict) else {}
    out.update(said(limits_of(request)))
    out.update(said(sampling_of(request.sampling)))
    out.update(_encode_format(request.output_format))
    others = {key.removeprefix(PREFIX): value for key, value in request.extras.items() if key.startswith(PREFIX)}
    thinking = _encode_thinking(request.reasoning)
    more = others.pop(THINKING, None)
    if thinking is not None:
        out[THINKING] = {**thinking, **(more if isinstance(more, dict) else {})}
    out.update(others)
    return out if out or spelled is not None else None


def said(values: JsonObject) -> JsonObject:
    return {key: value for key, value in values.items() if value is not None}


def limits_of(request: ChatRequest) -> JsonObject:
    return {
        "maxOutputTokens": request.max_output_tokens,
        "candidateCount": None if request.choices == 1 else request.choices,
    }


def sampling_of(sampling: Sampling) -> JsonObject:
    return {
        "temperature": sampling.temperature,
        "topP": sampling.top_p,
        "topK": sampling.top_k,
        "seed": sampling.seed,
        "presencePenalty": sampling.presence_penalty,
        "frequencyPenalty": sampling.frequency_penalty,
        "stopSequences": None if sampling.stop is None else list(sampling.stop),
        "responseLogprobs": sampling.logprobs,
        "logprobs": sampling.top_logprobs,
    }


def _encode_format(output: OutputFormat | None) -> JsonObject:
    if output is None:
        return {}
    spelled = kept(output.extras)
    match output.kind:
        case FormatKind.TEXT:
            return {MIME: PLAIN}
        case FormatKind.JSON_OBJECT:
            return {MIME: JSON}
        case FormatKind.JSON_SCHEMA:
            out: JsonObject = {MIME: JSON} if spelled.get("mime") else {}
            if spelled.get("form") == JSON_SCHEMA:
                return {**out, JSON_SCHEMA: output.schema}
            return {**out, SCHEMA: spelled.get("schema") or to_gemini(output.schema or {}, SCHEMA)}


def _encode_thinking(wish: Reasoning | None) -> JsonObject | None:
    if wish is None:
        return None
    return said(
        {
            "includeThoughts": wish.include,
            "thinkingBudget": wish.budget_tokens,
            "thinkingLevel": wish.effort.upper() if wish.effort is not None else None,
        }
    )


def unspelled(extras: Extras) -> JsonObject:
    """Top-level fields: without what was kept, and without the config's."""
    return {key: value for key, value in said_only(extras).items() if not key.startswith(PREFIX)}
