"""Kling videos and images: both generations of its API."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from relayhub.sdk import ProviderContext, ProviderType, hookimpl
from relayhub_kling.settings import KlingSettings

if TYPE_CHECKING:
    from relayhub_kling.provider import KlingProvider


def build(settings: KlingSettings, context: ProviderContext) -> KlingProvider:
    """A hub that has no such upstream never loads what it is made of."""
    from relayhub_kling.provider import KlingProvider

    return KlingProvider(settings, context)


KLING = ProviderType(
    name="kling",
    settings=KlingSettings,
    build=build,
    summary="Kling videos and images (classic and second generation API)",
)


@hookimpl
def relayhub_register_providers() -> Iterable[ProviderType[Any]]:
    return [KLING]
