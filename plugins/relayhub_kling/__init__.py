"""Kling videos and images: both generations of its API."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from relayhub.sdk import ProviderType, hookimpl
from relayhub_kling.provider import KlingProvider
from relayhub_kling.settings import KlingSettings

KLING = ProviderType(
    name="kling",
    settings=KlingSettings,
    build=KlingProvider,
    summary="Kling videos and images (classic and second generation API)",
)


@hookimpl
def relayhub_register_providers() -> Iterable[ProviderType[Any]]:
    return [KLING]
