"""What the Gemini service refuses beyond unknown names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tests.support.standins.base import is_base64, need

DATA = ("text", "inlineData", "fileData", "functionCall", "functionResponse", "executableCode", "codeExecutionResult")
MEDIA = re.compile(r"image/(png|jpeg|webp|heic|heif)|application/pdf|text/\w+|audio/\w+|video/\w+")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,127}")
FOREIGN = "skip_thought_signature_validator"
"""What the service takes in place of a signature for a call that another model made."""

BUDGETS = {"gemini-2.5-pro": (128, 32768), "gemini-2.5-flash": (0, 24576)}


def needs_signatures(model: str) -> bool:
    return model.startswith("gemini-3")


def check(body: Mapping[str, Any], model: str, issued: Mapping[str, str]) -> list[str]:
    """``issued``: signature → what it signs. Gives the signatures that came back. Raises ``Refusal``."""
    contents = body.get("contents") or []
    need(contents, "GenerateContentRequest.contents: contents is not specified")
    for at, content in enumerate(contents):
        _content(content, f"contents[{at}]")
    _turns(contents)
    need(contents[-1].get("role", "user") == "user", "Please ensure that the last turn is a user turn.")
    if needs_signatures(model):
        _signatures(contents, issued)
    system = body.get("systemInstruction")
    need(system is None or all("text" in part for part in system["parts"]), "systemInstruction supports only text")
    _generation(body.get("generationConfig") or {}, model)
    _tools(body)
    return [
        part["thoughtSignature"] for content in contents for part in content["parts"] if part.get("thoughtSignature")
    ]


def _content(content: Mapping[str, Any], path: str) -> None:
    need(content.get("role", "user") in ("user", "model", "function"), "Please use a valid role: user, model.")
    need(content.get("parts"), f"{path}.parts: must not be empty")
    for at, part in enumerate(content["parts"]):
        held = [name for name in DATA if name in part]
        need(len(held) == 1, f"{path}.parts[{at}].data: required oneof field 'data' must have one initialized field")
        if (blob := part.get("inlineData")) is not None:
            need(MEDIA.fullmatch(blob.get("mimeType", "")), f"Unsupported MIME type: {blob.get('mimeType')}")
            need(is_base64(blob["data"]), f"{path}.parts[{at}].inlineData.data: Base64 decoding failed")
        if (file := part.get("fileData")) is not None:
            need(
                not file["fileUri"].startswith("http") or "youtube.com" in file["fileUri"], "Unsupported file URI type."
            )


def _turns(contents: Sequence[Mapping[str, Any]]) -> None:
    calls: list[str] = []
    for at, content in enumerate(contents):
        parts = content["parts"]
        answers = [part["functionResponse"]["name"] for part in parts if "functionResponse" in part]
        need(
            not (answers or calls) or len(answers) == len(calls),
            "Please ensure that the number of function response parts is equal to the number of function call parts.",
        )
        need(answers == calls, f"contents[{at}]: function response names {answers} do not match the calls {calls}")
        calls = [part["functionCall"]["name"] for part in parts if "functionCall" in part]
        if calls:
            before = contents[at - 1].get("role", "user") if at else None
            need(content.get("role") == "model", "function calls belong to the role 'model'")
            need(
                before == "user" or before == "function",
                "Please ensure that function call turn comes immediately after a user or function response turn.",
            )
    need(not calls, "Please ensure that function calls are answered.")


def _signatures(contents: Sequence[Mapping[str, Any]], issued: Mapping[str, str]) -> None:
    """Every step of the current turn: its first call carries a signature, the very one that it was given with."""
    start = max(at for at, content in enumerate(contents) if _is_question(content))
    for at, content in enumerate(contents):
        calls = [part for part in content["parts"] if "functionCall" in part]
        if calls and at > start:
            name = calls[0]["functionCall"]["name"]
            need(
                calls[0].get("thoughtSignature"),
                "Function call is missing a thought_signature in functionCall parts. "
                f"Additional data, function call `{name}`, position {at}.",
            )
        for part in content["parts"]:
            signature = part.get("thoughtSignature")
            if not signature or signature == FOREIGN:
                continue
            need(signature in issued, "Thought signature is not valid.")
            need(
                "functionCall" not in part or issued[signature] == part["functionCall"]["name"],
                "Thought signature is not at the part it came on.",
            )


def _is_question(content: Mapping[str, Any]) -> bool:
    return content.get("role", "user") == "user" and not any("functionResponse" in part for part in content["parts"])


def _generation(config: Mapping[str, Any], model: str) -> None:
    need(0 <= config.get("temperature", 0) <= 2, "temperature must be in the range [0.0, 2.0]")
    need(0 <= config.get("topP", 0) <= 1, "top_p must be in the range [0.0, 1.0]")
    need(len(config.get("stopSequences", ())) <= 5, "The number of stop sequences must not exceed 5.")
    need(config.get("maxOutputTokens", 1) >= 1, "max_output_tokens must be positive")
    need("logprobs" not in config or config.get("responseLogprobs"), "logprobs needs response_logprobs")
    shaped = "responseSchema" in config or "responseJsonSchema" in config
    need(
        not shaped or config.get("responseMimeType") in ("application/json", "text/x.enum"),
        "response_schema needs response_mime_type 'application/json'",
    )
    need(
        not {"responseSchema", "responseJsonSchema"} <= config.keys(),
        "Only one of response_schema and response_json_schema may be set",
    )
    thinking = config.get("thinkingConfig") or {}
    need(
        not {"thinkingBudget", "thinkingLevel"} <= thinking.keys(),
        "You can only set only one of thinking budget and thinking level.",
    )
    if "thinkingLevel" in thinking:
        need(model.startswith("gemini-3"), "Thinking level is not supported for this model.")
    if (budget := thinking.get("thinkingBudget")) is not None and budget != -1:
        low, high = next((limits for name, limits in BUDGETS.items() if model.startswith(name)), (0, 32768))
        need(
            low <= budget <= high,
            f"The thinking budget {budget} is invalid. Please choose a value between {low} and {high}.",
        )


def _tools(body: Mapping[str, Any]) -> None:
    names = []
    for tool in body.get("tools") or ():
        for declaration in tool.get("functionDeclarations", ()):
            names.append(declaration["name"])
            need(NAME.fullmatch(declaration["name"]), f"Invalid function name: {declaration['name']!r}")
            need(
                not {"parameters", "parametersJsonSchema"} <= declaration.keys(),
                "parameters and parameters_json_schema are mutually exclusive",
            )
            _schema(declaration.get("parameters"), top=True)
    need(len(names) == len(set(names)), "Duplicate function declaration found.")
    calling = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
    allowed = calling.get("allowedFunctionNames") or []
    need(
        not allowed or calling.get("mode") in ("ANY", "VALIDATED"),
        "Allowed function names should only be set with mode ANY or VALIDATED.",
    )
    need(set(allowed) <= set(names), "allowed_function_names must be declared")
    need(calling.get("mode") not in ("ANY", "VALIDATED") or names, "Function calling mode needs function declarations.")


def _schema(schema: Mapping[str, Any] | None, *, top: bool = False) -> None:
    if schema is None:
        return
    need("type" in schema or "anyOf" in schema, "parameters: schema needs a type")
    if schema.get("type") == "OBJECT":
        need(schema.get("properties") or not top, "parameters.properties: should be non-empty for OBJECT type")
        need(set(schema.get("required", ())) <= set(schema.get("properties", {})), "required: property is not defined")
    need(schema.get("type") != "ARRAY" or "items" in schema, "items: missing field.")
    need("enum" not in schema or schema.get("type") == "STRING", "enum: only allowed for STRING type")
    for inner in schema.get("properties", {}).values():
        _schema(inner)
    _schema(schema.get("items"))
