"""What the host demands of a provider type before it is offered to the config."""

from __future__ import annotations

import re

from pydantic import BaseModel

from relayhub.config import CORE_PROVIDER_FIELDS
from relayhub.sdk.provider import SDK_VERSION, ProviderType

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


def check_provider_type(kind: object) -> None:
    """Raises ``TypeError`` or ``ValueError`` saying what is wrong with the descriptor and what to do."""
    if not isinstance(kind, ProviderType):
        raise TypeError(f"relayhub_register_providers returned {kind!r}, which is not a ProviderType")
    if kind.sdk != SDK_VERSION:
        raise ValueError(
            f"its provider type {kind.name!r} is made for plugin contract {kind.sdk}, this relayhub speaks "
            f"{SDK_VERSION}; install a release of the plugin that fits"
        )
    if not NAME.fullmatch(kind.name):
        raise ValueError(f"{kind.name!r} is not a provider type name: small letters, digits, - and _ only")
    if not (isinstance(kind.settings, type) and issubclass(kind.settings, BaseModel)):
        raise TypeError(f"the settings of provider type {kind.name!r} must be a pydantic model class")
    clashes = sorted(CORE_PROVIDER_FIELDS & set(kind.settings.model_fields))
    if clashes:
        raise ValueError(
            f"the settings of provider type {kind.name!r} use {', '.join(clashes)}, which every provider entry has "
            "already; rename them"
        )
