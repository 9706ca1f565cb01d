"""Every dialect that clients may speak."""

from __future__ import annotations

from collections.abc import Mapping

from relayhub.dialects.anthropic_messages import AnthropicMessages
from relayhub.dialects.codec import ClientDialect
from relayhub.dialects.gemini_embeddings import GeminiEmbeddings
from relayhub.dialects.gemini_generate import GeminiGenerate
from relayhub.dialects.openai_chat import OpenAIChat
from relayhub.dialects.openai_embeddings import OpenAIEmbeddings
from relayhub.dialects.openai_native import JinaRerank, OpenAIAudio, OpenAICompletions, OpenAIModerations
from relayhub.dialects.openai_responses import OpenAIResponses
from relayhub.gateway.lanes import Codecs
from relayhub.types.call import Dialect


def build_codecs(foreign: Mapping[str, ClientDialect]) -> Codecs:
    """``foreign``: those of plugins."""
    return Codecs(
        chat={
            Dialect.OPENAI_CHAT: OpenAIChat(),
            Dialect.OPENAI_RESPONSES: OpenAIResponses(),
            Dialect.ANTHROPIC_MESSAGES: AnthropicMessages(),
            Dialect.GEMINI_GENERATE: GeminiGenerate(),
        },
        embeddings={
            Dialect.OPENAI_EMBEDDINGS: OpenAIEmbeddings(),
            Dialect.GEMINI_EMBEDDINGS: GeminiEmbeddings(),
        },
        native={
            Dialect.OPENAI_COMPLETIONS: OpenAICompletions(),
            Dialect.OPENAI_MODERATIONS: OpenAIModerations(),
            Dialect.OPENAI_AUDIO: OpenAIAudio(),
            Dialect.JINA_RERANK: JinaRerank(),
        },
        foreign=foreign,
    )
