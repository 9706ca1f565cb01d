"""Where each dialect is served, and in which shape an error under a path is told.

Prefixes are data: ``/v1`` (and Gemini's ``/v1beta``, ``/v1alpha``), ``/api/relay/v1``, and each of the first three below
``/{platform}``, where only that provider serves.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from relayhub.dialects.openai_chat.errors import ErrorProfile
from relayhub.types.call import Dialect

PLATFORM = "/{platform:[^/{}]+}"
"""A provider's configured name, else its type."""

VERSIONS = ("/v1", "/v1beta", "/v1alpha")
GEMINI_ONLY = frozenset({"v1beta", "v1alpha"})


@dataclass(frozen=True, slots=True)
class Mount:
    """``public_models``: ``GET …/models`` answers without a key (seed 002 promises it for ``/v1``, seed 000 does not for
    ``/api/relay/v1``)."""

    prefix: str
    profile: ErrorProfile
    public_models: bool = False


OPENAI_MOUNTS = (
    Mount("/v1", ErrorProfile.OPENAI, public_models=True),
    Mount("/api/relay/v1", ErrorProfile.RELAY),
    Mount(f"{PLATFORM}/v1", ErrorProfile.OPENAI, public_models=True),
)

_UNDER_MOUNT = re.compile(
    r"/(?:api/relay/(?P<relay>v1)|(?:(?!api/)[^/]+/)?(?P<version>v1|v1beta|v1alpha))(?P<rest>/.*)?"
)


@dataclass(frozen=True, slots=True)
class Manner:
    """How a path's errors are told. ``profile``: only for the OpenAI dialects."""

    dialect: Dialect
    profile: ErrorProfile = ErrorProfile.OPENAI


def manner_of(path: str, headers: Mapping[str, str], query: Mapping[str, str], base_path: str) -> Manner | None:
    """The manner of the mount that a request path lies under; ``None`` outside of all. ``headers`` and ``query`` decide
    where several dialects share a path (the model list)."""
    if not path.startswith(base_path):
        return None
    match = _UNDER_MOUNT.fullmatch(path[len(base_path) :])
    if match is None:
        return None
    profile = ErrorProfile.RELAY if match["relay"] else ErrorProfile.OPENAI
    rest = match["rest"] or ""
    if match["version"] in GEMINI_ONLY:
        return Manner(Dialect.GEMINI_GENERATE)
    if rest == "/messages" or rest.startswith("/messages/"):
        return Manner(Dialect.ANTHROPIC_MESSAGES)
    if rest == "/models" or rest.startswith("/models/"):
        return Manner(models_dialect(rest, headers, query), profile)
    return Manner(Dialect.OPENAI_RESPONSES if rest.startswith("/responses") else Dialect.OPENAI_CHAT, profile)


def models_dialect(path: str, headers: Mapping[str, str], query: Mapping[str, str]) -> Dialect:
    """Whose client asks under ``…/models``: each official SDK leaves its own trace."""
    if ":" in path.rpartition("/")[2]:
        return Dialect.GEMINI_GENERATE
    if "anthropic-version" in headers:
        return Dialect.ANTHROPIC_MESSAGES
    if "x-goog-api-key" in headers or "x-goog-api-client" in headers or "pageSize" in query or "key" in query:
        return Dialect.GEMINI_GENERATE
    return Dialect.OPENAI_CHAT
