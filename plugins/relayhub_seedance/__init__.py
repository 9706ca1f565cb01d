"""Seedance videos and Seedream images: Volcengine Ark, BytePlus ModelArk, and whoever speaks the same API."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from relayhub.sdk import ProviderType, hookimpl
from relayhub_seedance.provider import SeedanceProvider
from relayhub_seedance.settings import SeedanceSettings

SEEDANCE = ProviderType(
    name="seedance",
    settings=SeedanceSettings,
    build=SeedanceProvider,
    summary="Seedance videos and Seedream images (Volcengine Ark, BytePlus ModelArk)",
)


@hookimpl
def relayhub_register_providers() -> Iterable[ProviderType[Any]]:
    return [SEEDANCE]
