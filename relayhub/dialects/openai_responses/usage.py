"""Usage objects, both ways."""

from __future__ import annotations

from relayhub.dialects.fields import nested
from relayhub.dialects.openai_chat.usage import read_usage as read_chat_usage
from relayhub.types.json import Json, JsonObject
from relayhub.types.usage import Usage


def read_usage(value: Json) -> Usage | None:
    """``None`` where there is no usage, or none that can be believed; the rules are those of chat completions."""
    if not isinstance(value, dict):
        return None
    return read_chat_usage(
        {
            "prompt_tokens": value.get("input_tokens"),
            "completion_tokens": value.get("output_tokens"),
            "prompt_tokens_details": nested(value, "input_tokens_details"),
            "completion_tokens_details": nested(value, "output_tokens_details"),
        }
    )


def write_usage(usage: Usage) -> JsonObject:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
