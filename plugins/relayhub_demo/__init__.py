"""An upstream without a network: deterministic answers over the ordinary OpenAI wire, for trying things and for tests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from relayhub.sdk import ProviderContext, ProviderType, hookimpl
from relayhub_demo.models import DEMO_MODELS, PRICES
from relayhub_demo.settings import DemoSettings

if TYPE_CHECKING:
    from relayhub_demo.provider import DemoProvider


def build(settings: DemoSettings, context: ProviderContext) -> DemoProvider:
    """A hub that has no such upstream never loads what it is made of."""
    from relayhub_demo.provider import DemoProvider

    return DemoProvider(settings, context)


DEMO = ProviderType(
    name="demo",
    settings=DemoSettings,
    build=build,
    summary="Deterministic answers without a network",
    demo_models=DEMO_MODELS,
    prices=PRICES,
)


@hookimpl
def relayhub_register_providers() -> Iterable[ProviderType[Any]]:
    return [DEMO]
