"""Stand-ins for the vendors' services: each replays the scenes of the recorded fixtures on its own wire, and refuses what
the real service would refuse."""

from __future__ import annotations

from tests.support.standins.anthropic import AnthropicStandIn
from tests.support.standins.gemini import GeminiStandIn
from tests.support.standins.openai import OpenAIStandIn

__all__ = ["AnthropicStandIn", "GeminiStandIn", "OpenAIStandIn"]
