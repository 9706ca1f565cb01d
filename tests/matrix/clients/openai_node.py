"""The official OpenAI SDK for Node, in one process that takes a call per line."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.matrix.asked import Asked, Failed
from tests.matrix.clients.openai_chat import ChatClient
from tests.matrix.clients.openai_responses import ResponsesClient, body_of

SDK = "openai for Node"
DRIVER = Path(__file__).with_name("openai_node.mjs")


class NodeSDK:
    def __init__(self, url: str, key: str) -> None:
        node = shutil.which("node")
        assert node is not None
        self._process = subprocess.Popen(
            [node, str(DRIVER), f"{url}/v1", key], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def call(self, method: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """``values`` and ``headers``. Raises ``Failed``."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"method": method, "body": body}) + "\n")
        self._process.stdin.flush()
        answer: Mapping[str, Any] = json.loads(self._process.stdout.readline())
        if "error" in answer:
            raise _failed(answer)
        return answer

    def create(self, method: str, body: Mapping[str, Any]) -> tuple[list[dict[str, Any]], Mapping[str, str]]:
        answer = self.call(method, body)
        return answer["values"], answer["headers"]

    def models(self) -> list[str]:
        return [model["id"] for model in self.call("models.list", {})["values"]]

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


def _failed(answer: Mapping[str, Any]) -> Failed:
    error = answer["error"]
    said = [choice["delta"].get("content") or "" for chunk in answer["values"] for choice in chunk.get("choices", ())]
    return Failed(
        error["name"],
        error["status"],
        f"{error['type']}/{error['code']}",
        error["message"],
        param=error["param"],
        headers=answer["headers"],
        partial="".join(said),
    )


class NodeChat(ChatClient):
    sdk = SDK

    def __init__(self, url: str, key: str) -> None:
        self._sdk = NodeSDK(url, key)

    def create(self, body: Mapping[str, Any]) -> tuple[list[dict[str, Any]], Mapping[str, str]]:
        return self._sdk.create("chat.completions.create", body)

    def count(self, asked: Asked) -> int | None:
        return None

    def embed(self, model: str, texts: Sequence[str]) -> list[list[float]] | None:
        [answer] = self._sdk.call("embeddings.create", {"model": model, "input": list(texts)})["values"]
        return [item["embedding"] for item in answer["data"]]

    def models(self) -> list[str]:
        return self._sdk.models()

    def close(self) -> None:
        self._sdk.close()


class NodeResponses(ResponsesClient):
    sdk = SDK

    def __init__(self, url: str, key: str) -> None:
        self._sdk = NodeSDK(url, key)

    def create(self, body: Mapping[str, Any]) -> tuple[list[dict[str, Any]], Mapping[str, str]]:
        return self._sdk.create("responses.create", body)

    def count(self, asked: Asked) -> int | None:
        body = {name: value for name, value in body_of(asked).items() if name not in ("store", "include", "stream")}
        [answer] = self._sdk.call("responses.inputTokens.count", body)["values"]
        return int(answer["input_tokens"])

    def embed(self, model: str, texts: Sequence[str]) -> list[list[float]] | None:
        return None

    def models(self) -> list[str]:
        return self._sdk.models()

    def close(self) -> None:
        self._sdk.close()
