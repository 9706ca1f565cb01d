"""Asking an upstream for its models."""

from __future__ import annotations

from relayhub.routing.provider import Provider
from relayhub.types.errors import ErrorKind, HubError
from relayhub.upstream.steps import drive


async def discover_models(provider: Provider) -> list[str]:
    """The upstream's own model names, sorted. Raises ``UpstreamError``, or ``HubError`` if the provider cannot list."""
    lister = provider.capabilities.lister
    if lister is None:
        raise HubError(
            ErrorKind.NOT_FOUND,
            f"The provider {provider.name!r} (type {provider.type!r}) cannot list its upstream's models.",
            code="discovery_not_supported",
        )
    return sorted(await drive(lister.list_models(), provider.transport, provider.deadlines))
