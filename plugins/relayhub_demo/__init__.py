"""An upstream without a network: deterministic answers over the ordinary OpenAI wire, for trying things and for tests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from relayhub.sdk import ProviderType, hookimpl
from relayhub_demo.models import DEMO_MODELS, PRICES
from relayhub_demo.provider import DemoProvider, DemoSettings

DEMO = ProviderType(
    name="demo",
    settings=DemoSettings,
    build=DemoProvider,
    summary="Deterministic answers without a network",
    demo_models=DEMO_MODELS,
    prices=PRICES,
)


@hookimpl
def relayhub_register_providers() -> Iterable[ProviderType[Any]]:
    return [DEMO]
