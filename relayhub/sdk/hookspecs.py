"""The hooks. They find things and tell things, at start-up and reload or after a commit, never per chunk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pluggy

from relayhub.sdk.clock import Clock
from relayhub.types.call import UsageRecord

if TYPE_CHECKING:
    import click

    from relayhub.sdk.ingress import IngressType
    from relayhub.sdk.ordering import CallView, RouteView
    from relayhub.sdk.provider import ProviderType

hookspec = pluggy.HookspecMarker("relayhub")
hookimpl = pluggy.HookimplMarker("relayhub")


@dataclass(frozen=True, slots=True)
class HubContext:
    """What a plugin with a life of its own may know of the hub."""

    version: str
    clock: Clock


@hookspec
def relayhub_register_providers() -> Iterable[ProviderType[Any]]:  # type: ignore[empty-body]
    """Return the provider types of this plugin: descriptors only, no I/O."""


@hookspec
def relayhub_register_ingresses() -> Iterable[IngressType]:  # type: ignore[empty-body]
    """Return client dialects of this plugin's own: descriptors only, no I/O. Provisional."""


@hookspec
def relayhub_register_commands(cli: click.Group) -> None:
    """Add sub-commands to ``relayhub x``."""


@hookspec(firstresult=True)
def relayhub_order_routes(call: CallView, routes: Sequence[RouteView]) -> Sequence[RouteView] | None:
    """Return some of ``routes``, in the order in which they are to be tried, or ``None`` for no opinion; the first plugin
    that has one decides. ``routes``: those that may be tried now, in the hub's order. An empty answer refuses the call.
    Called once a call, on the request path: no I/O here. A plugin that raises, takes long or returns what it was not given
    is ignored."""


@hookspec
def relayhub_call_settled(record: UsageRecord) -> None:
    """A call's usage row has been committed; called exactly once, off the request path. Must not do I/O itself: hand
    the record to a task that ``relayhub_lifespan`` owns."""


@hookspec
def relayhub_lifespan(hub: HubContext) -> AbstractAsyncContextManager[None] | None:
    """Return a context manager that is entered when the hub has started and left before it stops."""
