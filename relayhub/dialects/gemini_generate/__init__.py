"""Gemini's content generation, both sides."""

from relayhub.dialects.gemini_generate.dialect import GeminiGenerate
from relayhub.dialects.gemini_generate.errors import render_error
from relayhub.dialects.gemini_generate.target import GeminiTarget, ThinkingStyle

__all__ = ["GeminiGenerate", "GeminiTarget", "ThinkingStyle", "render_error"]
