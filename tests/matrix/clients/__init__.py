"""The official SDKs, each behind the same few questions."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.matrix.clients.anthropic_messages import MessagesClient
from tests.matrix.clients.base import Client, Speaks
from tests.matrix.clients.gemini_generate import GenerateClient
from tests.matrix.clients.openai_node import NodeChat, NodeResponses
from tests.matrix.clients.openai_python import PythonChat, PythonResponses

CLIENTS: Mapping[str, Callable[[str, str], Client]] = {
    "chat-python": PythonChat,
    "chat-node": NodeChat,
    "responses-python": PythonResponses,
    "responses-node": NodeResponses,
    "messages": MessagesClient,
    "generate": GenerateClient,
}
"""Name in the tests → ``(url, key)`` → client."""

SDKS: Mapping[Speaks, tuple[str, ...]] = {
    Speaks.CHAT: (PythonChat.sdk, NodeChat.sdk),
    Speaks.RESPONSES: (PythonResponses.sdk, NodeResponses.sdk),
    Speaks.MESSAGES: (MessagesClient.sdk,),
    Speaks.GENERATE: (GenerateClient.sdk,),
}
"""Dialect → the clients that speak it, as the document names them."""

__all__ = ["CLIENTS", "SDKS", "Client", "Speaks"]
