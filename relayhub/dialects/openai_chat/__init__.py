"""OpenAI's chat completions, both sides."""

from relayhub.dialects.openai_chat.dialect import OpenAIChat

__all__ = ["OpenAIChat"]
