"""Seedance videos and Seedream images: Volcengine Ark, BytePlus ModelArk, and whoever speaks the same API."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from relayhub.sdk import ProviderContext, ProviderType, hookimpl
from relayhub_seedance.settings import SeedanceSettings

if TYPE_CHECKING:
    from relayhub_seedance.provider import SeedanceProvider


def build(settings: SeedanceSettings, context: ProviderContext) -> SeedanceProvider:
    """A hub that has no such upstream never loads what it is made of."""
    from relayhub_seedance.provider import SeedanceProvider

    return SeedanceProvider(settings, context)


SEEDANCE = ProviderType(
    name="seedance",
    settings=SeedanceSettings,
    build=build,
    summary="Seedance videos and Seedream images (Volcengine Ark, BytePlus ModelArk)",
)


@hookimpl
def relayhub_register_providers() -> Iterable[ProviderType[Any]]:
    return [SEEDANCE]
