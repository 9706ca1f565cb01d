"""Acme: an upstream with a language of its own. Whole answers are JSON, streams are JSON lines."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from relayhub.sdk import ProviderType, hookimpl
from relayhub_acme.provider import AcmeProvider, AcmeSettings

ACME = ProviderType(name="acme", settings=AcmeSettings, build=AcmeProvider, summary="Acme's talking machines")


@hookimpl
def relayhub_register_providers() -> Iterable[ProviderType[Any]]:
    return [ACME]
