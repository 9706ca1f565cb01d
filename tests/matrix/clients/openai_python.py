"""The official OpenAI SDK for Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import openai

from tests.matrix.asked import Asked, Failed
from tests.matrix.clients.base import Tap
from tests.matrix.clients.openai_chat import ChatClient
from tests.matrix.clients.openai_responses import ResponsesClient, body_of

SDK = "openai for Python"


class PythonSDK:
    def __init__(self, url: str, key: str) -> None:
        self.tap = Tap()
        self.client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, http_client=self.tap.http)

    def create(self, endpoint: Any, body: Mapping[str, Any]) -> tuple[list[dict[str, Any]], Mapping[str, str]]:
        values: list[dict[str, Any]] = []
        try:
            answer = endpoint.create(**body)
            for value in answer if body.get("stream") else [answer]:
                values.append(value.to_dict(mode="json"))
        except openai.APIError as error:
            raise self._failed(error, values) from error
        return values, self.tap.headers

    def _failed(self, error: openai.APIError, before: Sequence[Mapping[str, Any]]) -> Failed:
        return Failed(
            type(error).__name__,
            error.status_code if isinstance(error, openai.APIStatusError) else None,
            f"{error.type}/{error.code}",
            error.message,
            param=error.param,
            headers=self.tap.headers,
            partial="".join(
                choice["delta"].get("content") or "" for chunk in before for choice in chunk.get("choices", ())
            ),
        )

    def embed(self, model: str, texts: Sequence[str]) -> list[list[float]]:
        answer = self.client.embeddings.create(model=model, input=list(texts))
        assert [item.index for item in answer.data] == list(range(len(texts)))
        return [item.embedding for item in answer.data]

    def models(self) -> list[str]:
        return [model.id for model in self.client.models.list()]

    def close(self) -> None:
        self.client.close()


class PythonChat(ChatClient):
    sdk = SDK

    def __init__(self, url: str, key: str) -> None:
        self._sdk = PythonSDK(url, key)

    def create(self, body: Mapping[str, Any]) -> tuple[list[dict[str, Any]], Mapping[str, str]]:
        return self._sdk.create(self._sdk.client.chat.completions, body)

    def count(self, asked: Asked) -> int | None:
        return None

    def embed(self, model: str, texts: Sequence[str]) -> list[list[float]] | None:
        return self._sdk.embed(model, texts)

    def models(self) -> list[str]:
        return self._sdk.models()

    def close(self) -> None:
        self._sdk.close()


class PythonResponses(ResponsesClient):
    sdk = SDK

    def __init__(self, url: str, key: str) -> None:
        self._sdk = PythonSDK(url, key)

    def create(self, body: Mapping[str, Any]) -> tuple[list[dict[str, Any]], Mapping[str, str]]:
        return self._sdk.create(self._sdk.client.responses, body)

    def count(self, asked: Asked) -> int | None:
        body = {name: value for name, value in body_of(asked).items() if name not in ("store", "include", "stream")}
        return self._sdk.client.responses.input_tokens.count(**body).input_tokens

    def embed(self, model: str, texts: Sequence[str]) -> list[list[float]] | None:
        return None

    def models(self) -> list[str]:
        return self._sdk.models()

    def close(self) -> None:
        self._sdk.close()
