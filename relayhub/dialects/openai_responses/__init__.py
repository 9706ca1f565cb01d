"""OpenAI's Responses, both sides."""

from relayhub.dialects.openai_responses.dialect import OpenAIResponses

__all__ = ["OpenAIResponses"]
