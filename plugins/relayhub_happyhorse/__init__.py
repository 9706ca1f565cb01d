"""HappyHorse videos, Qwen and Wan images: Alibaba Cloud Model Studio (DashScope)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from relayhub.sdk import ProviderType, hookimpl
from relayhub_happyhorse.provider import HappyHorseProvider
from relayhub_happyhorse.settings import HappyHorseSettings

HAPPYHORSE = ProviderType(
    name="happyhorse",
    settings=HappyHorseSettings,
    build=HappyHorseProvider,
    summary="HappyHorse videos, Qwen and Wan images (Alibaba Cloud Model Studio, DashScope)",
)


@hookimpl
def relayhub_register_providers() -> Iterable[ProviderType[Any]]:
    return [HAPPYHORSE]
