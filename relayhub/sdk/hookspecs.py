"""The hooks. They find things and tell things, at start-up and reload or after a commit, never per chunk."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pluggy

from relayhub.sdk.clock import Clock
from relayhub.types.call import UsageRecord

if TYPE_CHECKING:
    import click

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
def relayhub_register_commands(cli: click.Group) -> None:
    """Add sub-commands to ``relayhub x``."""


@hookspec
def relayhub_call_settled(record: UsageRecord) -> None:
    """A call's usage row has been committed; called exactly once, off the request path. Must not do I/O itself: hand
    the record to a task that ``relayhub_lifespan`` owns."""


@hookspec
def relayhub_lifespan(hub: HubContext) -> AbstractAsyncContextManager[None] | None:
    """Return a context manager that is entered when the hub has started and left before it stops."""
