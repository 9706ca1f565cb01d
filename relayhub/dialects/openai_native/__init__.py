"""The rest of OpenAI's surface: endpoints that are only ever relayed to upstreams which serve them too. One small codec
each; what they have in common stands in :mod:`relayhub.dialects.openai_native.dialect`."""

from relayhub.dialects.openai_native.audio import OpenAIAudio
from relayhub.dialects.openai_native.completions import OpenAICompletions
from relayhub.dialects.openai_native.dialect import NativeAnswer, NativeDialect
from relayhub.dialects.openai_native.moderations import OpenAIModerations
from relayhub.dialects.openai_native.rerank import JinaRerank

__all__ = [
    "JinaRerank",
    "NativeAnswer",
    "NativeDialect",
    "OpenAIAudio",
    "OpenAICompletions",
    "OpenAIModerations",
]
