"""The Gemini service's messages, as far as requests of text models need them: names it does not know are refused, as its
JSON reader does. Both spellings of a name are taken."""

from __future__ import annotations

import re
from typing import Any, TypeAlias

from tests.support.standins.base import Refusal

Spec: TypeAlias = "dict[str, Any] | list[Any] | frozenset[str] | str"

TEXT, NUMBER, FLAG, BYTES, ANY, OBJECT = "text", "number", "flag", "bytes", "any", "object"

_TYPES = frozenset({"TYPE_UNSPECIFIED", "STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL"})
SCHEMA: dict[str, Any] = dict.fromkeys(("format", "title", "description", "pattern"), TEXT)
SCHEMA |= dict.fromkeys(("minItems", "maxItems", "minProperties", "maxProperties", "minLength", "maxLength"), NUMBER)
SCHEMA |= {"type": _TYPES, "nullable": FLAG, "enum": [TEXT], "required": [TEXT], "propertyOrdering": [TEXT]}
SCHEMA |= {"minimum": NUMBER, "maximum": NUMBER, "example": ANY, "default": ANY}
SCHEMA |= {"items": SCHEMA, "anyOf": [SCHEMA], "properties": {"*": SCHEMA}}

BLOB = {"mimeType": TEXT, "data": BYTES, "displayName": TEXT}
FILE = {"mimeType": TEXT, "fileUri": TEXT, "displayName": TEXT}
PART: dict[str, Any] = {
    "text": TEXT,
    "thought": FLAG,
    "thoughtSignature": BYTES,
    "inlineData": BLOB,
    "fileData": FILE,
    "functionCall": {"id": TEXT, "name": TEXT, "args": OBJECT},
    "functionResponse": {
        "id": TEXT,
        "name": TEXT,
        "response": OBJECT,
        "parts": [{"inlineData": BLOB, "fileData": FILE}],
        "willContinue": FLAG,
        "scheduling": TEXT,
    },
    "executableCode": {"language": TEXT, "code": TEXT},
    "codeExecutionResult": {"outcome": TEXT, "output": TEXT},
    "videoMetadata": OBJECT,
    "mediaResolution": ANY,
}
CONTENT = {"role": TEXT, "parts": [PART]}
DECLARATION = {
    "name": TEXT,
    "description": TEXT,
    "behavior": TEXT,
    "parameters": SCHEMA,
    "parametersJsonSchema": ANY,
    "response": SCHEMA,
    "responseJsonSchema": ANY,
}
TOOL = {
    "functionDeclarations": [DECLARATION],
    "googleSearch": OBJECT,
    "urlContext": OBJECT,
    "codeExecution": OBJECT,
}
THINKING = {
    "includeThoughts": FLAG,
    "thinkingBudget": NUMBER,
    "thinkingLevel": frozenset({"MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH"}),
}
GENERATION = {
    **dict.fromkeys(("temperature", "topP", "topK", "candidateCount", "maxOutputTokens", "seed", "logprobs"), NUMBER),
    **dict.fromkeys(("presencePenalty", "frequencyPenalty"), NUMBER),
    "stopSequences": [TEXT],
    "responseLogprobs": FLAG,
    "responseMimeType": TEXT,
    "responseSchema": SCHEMA,
    "responseJsonSchema": ANY,
    "responseModalities": [frozenset({"TEXT", "IMAGE", "AUDIO"})],
    "mediaResolution": TEXT,
    "imageConfig": OBJECT,
    "speechConfig": OBJECT,
    "thinkingConfig": THINKING,
}
CALLING = {
    "mode": frozenset({"AUTO", "ANY", "NONE", "VALIDATED"}),
    "allowedFunctionNames": [TEXT],
    "streamFunctionCallArguments": FLAG,
}
GENERATE = {
    "model": TEXT,
    "contents": [CONTENT],
    "systemInstruction": CONTENT,
    "tools": [TOOL],
    "toolConfig": {"functionCallingConfig": CALLING, "retrievalConfig": OBJECT},
    "safetySettings": [{"category": TEXT, "threshold": TEXT}],
    "generationConfig": GENERATION,
    "cachedContent": TEXT,
    "serviceTier": TEXT,
    "store": FLAG,
    "labels": OBJECT,
    "continuationToken": TEXT,
}
COUNT = {"contents": [CONTENT], "generateContentRequest": GENERATE}
EMBED = {
    "model": TEXT,
    "content": CONTENT,
    "taskType": TEXT,
    "title": TEXT,
    "outputDimensionality": NUMBER,
    "embedContentConfig": OBJECT,
}
BATCH = {"requests": [EMBED]}

_SNAKE = re.compile(r"_([a-z])")


def camel(name: str) -> str:
    return _SNAKE.sub(lambda match: match[1].upper(), name)


def parse(value: Any, spec: Spec, path: str = "") -> Any:
    """The message with camelCase names. Raises :class:`Refusal` in the words of the service's JSON reader."""
    match spec:
        case dict():
            return _message(value, spec, path)
        case [inner]:
            if not isinstance(value, list):
                raise Refusal(f"Invalid JSON payload received. Expected an array at '{path}'.")
            return [parse(item, inner, f"{path}[{at}]") for at, item in enumerate(value)]
        case frozenset():
            if not isinstance(value, str) or value not in spec:
                raise Refusal(f"Invalid value at '{path}' (TYPE_ENUM), {value!r}")
            return value
        case _:
            _scalar(value, str(spec), path)
            return value


def _message(value: Any, spec: dict[str, Any], path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Refusal(f"Invalid value at '{path}', expected a message")
    if "*" in spec:
        return {name: parse(item, spec["*"], f"{path}[{name}]") for name, item in value.items()}
    out = {}
    for name, item in value.items():
        known = camel(name)
        if known not in spec:
            raise Refusal(f"Invalid JSON payload received. Unknown name \"{name}\" at '{path}': Cannot find field.")
        if known in out:
            raise Refusal(f"Invalid value at '{path}' (oneof), field '{known}' is already set")
        out[known] = parse(item, spec[known], f"{path}.{known}" if path else known)
    return out


def _scalar(value: Any, kind: str, path: str) -> None:
    right = {
        TEXT: isinstance(value, str),
        BYTES: isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9+/_-]*={0,2}", value) is not None,
        NUMBER: isinstance(value, int | float) and not isinstance(value, bool),
        FLAG: isinstance(value, bool),
        OBJECT: isinstance(value, dict),
        ANY: True,
    }
    if not right[kind]:
        raise Refusal(f"Invalid value at '{path}' ({kind}), {value!r}")
