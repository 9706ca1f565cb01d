"""The official Gemini SDK for Python: generate, stream, count, embed."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from google import genai
from google.genai import errors, types

from tests.matrix.asked import Asked, Called, Failed, Got
from tests.matrix.clients.base import Client, Speaks, Tap
from tests.support.standins.scenes import End, Spent

WORDS = {
    End.STOP: "STOP",
    End.LENGTH: "MAX_TOKENS",
    End.STOP_SEQUENCE: "STOP",
    End.TOOLS: "STOP",
    End.FILTER: "SAFETY",
}


class GenerateClient(Client):
    sdk = "google-genai for Python"
    speaks = Speaks.GENERATE

    def __init__(self, url: str, key: str) -> None:
        self._tap = Tap()
        options = types.HttpOptions(base_url=url, httpx_client=self._tap.http)
        self._client = genai.Client(api_key=key, http_options=options)

    def ask(self, asked: Asked) -> Got:
        chunks: list[types.GenerateContentResponse] = []
        sent = {"model": asked.model, "contents": _contents(asked), "config": _config(asked)}
        try:
            if asked.stream:
                chunks.extend(self._client.models.generate_content_stream(**sent))
            else:
                chunks.append(self._client.models.generate_content(**sent))
        except errors.APIError as error:
            raise self._failed(error, chunks) from error
        return _got(chunks, self._tap.headers)

    def _failed(self, error: errors.APIError, before: Sequence[types.GenerateContentResponse]) -> Failed:
        status = int(error.code) if error.response is not None else None
        name, headers = type(error).__name__, self._tap.headers
        partial = "".join(chunk.text or "" for chunk in before)
        return Failed(name, status, str(error.status), str(error.message), headers=headers, partial=partial)

    def results(self, calls: Sequence[Called], outputs: Sequence[str], *, failed: bool = False) -> tuple[Any, ...]:
        word = "error" if failed else "output"
        answers = [
            types.FunctionResponse(id=call.id or None, name=call.name, response={word: output})
            for call, output in zip(calls, outputs, strict=True)
        ]
        parts = [types.Part(function_response=answer) for answer in answers]
        return (types.Content(role="user", parts=parts),)

    def bare(self, turn: tuple[Any, ...]) -> tuple[Any, ...]:
        [content] = turn
        parts = [types.Part(function_call=part.function_call) for part in content.parts if part.function_call]
        return (types.Content(role="model", parts=parts),)

    def word(self, end: End) -> str:
        return WORDS[end]

    def sayable(self, spent: Spent) -> Spent:
        return replace(spent, written=0)

    def count(self, asked: Asked) -> int | None:
        return self._client.models.count_tokens(model=asked.model, contents=_contents(asked)).total_tokens

    def embed(self, model: str, texts: Sequence[str]) -> list[list[float]] | None:
        contents = [types.Content(parts=[types.Part(text=text)]) for text in texts]
        answer = self._client.models.embed_content(model=model, contents=contents)
        return [list(embedding.values or ()) for embedding in answer.embeddings or ()]

    def models(self) -> list[str]:
        return [str(model.name).removeprefix("models/") for model in self._client.models.list()]

    def close(self) -> None:
        self._client.close()
        self._tap.http.close()


def _contents(asked: Asked) -> list[types.Content]:
    parts = [types.Part(text=asked.text)]
    if asked.image:
        parts.append(types.Part.from_bytes(data=base64.b64decode(asked.image), mime_type="image/png"))
    if asked.file:
        parts.append(types.Part.from_bytes(data=base64.b64decode(asked.file), mime_type="application/pdf"))
    return [types.Content(role="user", parts=parts), *asked.history]


def _config(asked: Asked) -> types.GenerateContentConfig:
    fields: dict[str, Any] = dict(asked.settings)
    if asked.system:
        fields["system_instruction"] = asked.system
    if asked.tools:
        declared = [
            types.FunctionDeclaration(
                name=tool.name,
                description=tool.description,
                parameters_json_schema=tool.parameters if tool.parameters["properties"] else None,
            )
            for tool in asked.tools
        ]
        fields["tools"] = [types.Tool(function_declarations=declared)]
    if asked.thinks:
        fields["thinking_config"] = types.ThinkingConfig(include_thoughts=True, thinking_level=types.ThinkingLevel.LOW)
    if asked.schema is not None:
        fields |= {"response_mime_type": "application/json", "response_json_schema": asked.schema}
    return types.GenerateContentConfig(
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True), **fields
    )


def _got(chunks: Sequence[types.GenerateContentResponse], headers: Mapping[str, str]) -> Got:
    parts = [part for chunk in chunks for part in _parts(chunk)]
    last = chunks[-1]
    reasons = [chunk.candidates[0].finish_reason for chunk in chunks if chunk.candidates]
    assert all(reason is None for reason in reasons[:-1]), "the finish reason stands in the last chunk only"
    blocked = last.prompt_feedback.block_reason if last.prompt_feedback else None
    finish = f"blocked:{blocked.value}" if blocked else str(reasons[-1].value if reasons and reasons[-1] else None)
    calls = [part.function_call for part in parts if part.function_call]
    return Got(
        text="".join(part.text or "" for part in parts if not part.thought),
        finish=finish,
        model=str(last.model_version),
        spent=_spent(last.usage_metadata),
        turn=(types.Content(role="model", parts=parts),),
        headers=headers,
        reasoning="".join(part.text or "" for part in parts if part.thought),
        calls=tuple(Called(call.id or "", str(call.name), call.args or {}) for call in calls),
    )


def _parts(chunk: types.GenerateContentResponse) -> list[types.Part]:
    content = chunk.candidates[0].content if chunk.candidates else None
    return list(content.parts or ()) if content else []


def _spent(usage: types.GenerateContentResponseUsageMetadata | None) -> Spent | None:
    if usage is None:
        return None
    thoughts = usage.thoughts_token_count or 0
    prompt, candidates = usage.prompt_token_count or 0, usage.candidates_token_count or 0
    assert usage.total_token_count == prompt + candidates + thoughts
    return Spent(prompt, candidates + thoughts, usage.cached_content_token_count or 0, 0, thoughts)
