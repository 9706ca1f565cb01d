"""HappyHorse videos, Qwen and Wan images: Alibaba Cloud Model Studio (DashScope)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from relayhub.sdk import ProviderContext, ProviderType, hookimpl
from relayhub_happyhorse.settings import HappyHorseSettings

if TYPE_CHECKING:
    from relayhub_happyhorse.provider import HappyHorseProvider


def build(settings: HappyHorseSettings, context: ProviderContext) -> HappyHorseProvider:
    """A hub that has no such upstream never loads what it is made of."""
    from relayhub_happyhorse.provider import HappyHorseProvider

    return HappyHorseProvider(settings, context)


HAPPYHORSE = ProviderType(
    name="happyhorse",
    settings=HappyHorseSettings,
    build=build,
    summary="HappyHorse videos, Qwen and Wan images (Alibaba Cloud Model Studio, DashScope)",
)


@hookimpl
def relayhub_register_providers() -> Iterable[ProviderType[Any]]:
    return [HAPPYHORSE]
