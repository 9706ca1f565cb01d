"""Anthropic's Messages API."""

from relayhub.dialects.anthropic_messages.dialect import AnthropicMessages
from relayhub.dialects.anthropic_messages.errors import render_error
from relayhub.dialects.anthropic_messages.target import AnthropicTarget, ThinkingStyle

__all__ = ["AnthropicMessages", "AnthropicTarget", "ThinkingStyle", "render_error"]
