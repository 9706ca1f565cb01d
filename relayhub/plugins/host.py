"""The plugin host: loads what the config asks for, quarantines what fails, and asks the hooks."""

from __future__ import annotations

import difflib
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy
import structlog
from pydantic import BaseModel

from relayhub.plugins.doors import Candidate, candidates
from relayhub.plugins.loaded import LoadedPlugin, PluginError, QuarantinedPlugin
from relayhub.plugins.types import check_provider_type
from relayhub.sdk import hookspecs
from relayhub.sdk.hookspecs import HubContext
from relayhub.sdk.provider import ProviderType
from relayhub.types.call import UsageRecord
from relayhub.types.json import Json

if TYPE_CHECKING:
    import click

log = structlog.get_logger("relayhub.plugins")

FAILURES_BEFORE_MUTED = 5
"""A hook that keeps failing is no longer called: it would only fill the log."""


class PluginHost:
    """Immutable after :meth:`load`, but for the count of failures."""

    def __init__(self) -> None:
        self.plugins: tuple[LoadedPlugin, ...] = ()
        self.quarantined: tuple[QuarantinedPlugin, ...] = ()
        self._manager = pluggy.PluginManager("relayhub")
        self._manager.add_hookspecs(hookspecs)
        self._types: dict[str, dict[str, ProviderType[Any]]] = {}
        self._wanted: dict[str, str] = {}
        self._failures: Counter[str] = Counter()

    @classmethod
    def load(
        cls,
        *,
        dirs: Sequence[Path] = (),
        modules: Sequence[str] = (),
        disabled: Sequence[str] = (),
        allow: Sequence[str] | None = None,
    ) -> PluginHost:
        """Import and register. ``allow``: nothing else is even imported. Raises :class:`PluginError` when two plugins,
        or two provider types, have one name; everything else that goes wrong is quarantined."""
        host = cls()
        found = list(candidates(dirs, modules))
        built_in = {candidate.name for candidate in found if candidate.built_in}
        for candidate in found:
            # A disabled built-in makes room for another plugin of its name.
            left_out = candidate.name in disabled and (candidate.built_in or candidate.name not in built_in)
            if not left_out and (allow is None or candidate.name in allow):
                host.admit(candidate)
        return host

    # --- loading ------------------------------------------------------------------------------------------------------

    def admit(self, candidate: Candidate) -> None:
        """Import and register one plugin, or quarantine it. Raises :class:`PluginError` for a clash of names."""
        try:
            module = candidate.load()
            plugin = LoadedPlugin(
                candidate.name, module, candidate.source, candidate.origin, candidate.version or _version(module)
            )
            if self._is_known(plugin):
                return
            self._manager.register(module, name=plugin.name)
            self._check_hooks(plugin)
            types = self._provider_types(plugin)
        except PluginError:
            raise
        except BaseException as error:
            # Broad on purpose: a plugin that exits or raises anything at all must not take the hub with it.
            if isinstance(error, KeyboardInterrupt):
                raise
            self._quarantine(candidate, error)
            return
        self._types[plugin.name] = types
        self.plugins = (*self.plugins, plugin)

    def _is_known(self, plugin: LoadedPlugin) -> bool:
        """The same file through two doors is one plugin; another file under a taken name is an error."""
        for other in self.plugins:
            if _file(other.module) is not None and _file(other.module) == _file(plugin.module):
                return True
            if other.name == plugin.name:
                raise PluginError(
                    f"two plugins are called {plugin.name!r}: {other.origin} and {plugin.origin}. "
                    f"Rename one, or leave the first one out with plugins.disabled: [{plugin.name}]"
                )
        return False

    def _check_hooks(self, plugin: LoadedPlugin) -> None:
        """A hook that the hub does not know, or that is not marked as one, would never be called: nobody would notice."""
        known = [name for name in vars(hookspecs) if name.startswith("relayhub_")]
        callers = {caller.name for caller in self._manager.get_hookcallers(plugin.module) or []}
        written = {
            name for name, value in vars(plugin.module).items() if name.startswith("relayhub_") and callable(value)
        }
        for name in sorted(callers - set(known)):
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known hooks: {', '.join(known)}"
            raise ValueError(f"it implements the unknown hook {name}; {hint}")
        for name in sorted((written & set(known)) - callers):
            raise ValueError(f"its function {name} is not marked as a hook; put @hookimpl above it")
        self._manager.check_pending()

    def _provider_types(self, plugin: LoadedPlugin) -> dict[str, ProviderType[Any]]:
        types: dict[str, ProviderType[Any]] = {}
        for hook in self._implementations("relayhub_register_providers"):
            if hook.plugin_name != plugin.name:
                continue
            offered: Iterable[ProviderType[Any]] = hook.function()  # type: ignore[assignment]
            for kind in offered:
                check_provider_type(kind)
                self._check_free(kind.name, plugin, types)
                types[kind.name] = kind
        return types

    def _check_free(self, type_name: str, plugin: LoadedPlugin, own: Mapping[str, object]) -> None:
        owner = next((other for other in self.plugins if type_name in self._types[other.name]), None)
        if owner is not None or type_name in own:
            raise PluginError(
                f"two plugins offer the provider type {type_name!r}: {(owner or plugin).origin} and {plugin.origin}. "
                "Leave one out with plugins.disabled."
            )

    def _quarantine(self, candidate: Candidate, error: BaseException) -> None:
        reason = f"{type(error).__name__}: {error}".rstrip(": ")
        for registered in [m for n, m in self._manager.list_name_plugin() if n == candidate.name]:
            self._manager.unregister(registered)
        self.quarantined = (*self.quarantined, QuarantinedPlugin(candidate.name, candidate.origin, reason))
        log.warning("plugin.quarantined", plugin=candidate.name, origin=candidate.origin, reason=reason, exc_info=error)

    # --- what is offered ----------------------------------------------------------------------------------------------

    @property
    def provider_types(self) -> Mapping[str, ProviderType[Any]]:
        """By the name that ``type:`` says."""
        return {name: kind for types in self._types.values() for name, kind in types.items()}

    def types_of(self, plugin: str) -> list[ProviderType[Any]]:
        return list(self._types.get(plugin, {}).values())

    def settings_models(self) -> dict[str, type[BaseModel]]:
        return {name: kind.settings for name, kind in self.provider_types.items()}

    def why_missing(self, type_name: str) -> str | None:
        """Why a provider type is not there, if a quarantined plugin looks like the one that would have brought it."""
        for plugin in self.quarantined:
            if type_name in (plugin.name, plugin.name.removeprefix("relayhub_")):
                return f"its plugin {plugin.origin} is quarantined: {plugin.reason}"
        return None

    def demo_providers(self) -> dict[str, Json]:
        """Provider entries for demo mode: every type that needs no settings and offers models for it."""
        return {
            name: {"type": name, "models": _plain(kind.demo_models)}
            for name, kind in self.provider_types.items()
            if kind.demo_models
        }

    # --- telling ------------------------------------------------------------------------------------------------------

    def notify_settled(self, record: UsageRecord) -> None:
        """Tell every plugin; what one of them raises stays with it."""
        self._each("relayhub_call_settled", lambda hook: hook(record=record))

    def lifespans(self, context: HubContext) -> list[AbstractAsyncContextManager[None]]:
        """The context managers of plugins with a life of their own."""
        found: list[AbstractAsyncContextManager[None]] = []

        def collect(hook: Callable[..., AbstractAsyncContextManager[None] | None]) -> None:
            lifespan = hook(hub=context)
            if lifespan is not None:
                found.append(lifespan)

        self._each("relayhub_lifespan", collect)
        return found

    def register_commands(self, group: click.Group) -> None:
        """Let every plugin add its commands to ``relayhub x``."""
        self._each("relayhub_register_commands", lambda hook: hook(cli=group))

    def _each(self, hook: str, call: Callable[[Callable[..., Any]], object]) -> None:
        for implementation in self._implementations(hook):
            name = implementation.plugin_name
            if self._failures[name] >= FAILURES_BEFORE_MUTED:
                continue
            try:
                call(_taking_what_it_wants(implementation))
            except (Exception, SystemExit):
                # Broad on purpose: plugin isolation.
                self._failures[name] += 1
                muted = self._failures[name] >= FAILURES_BEFORE_MUTED
                log.exception("plugin.failed", plugin=name, hook=hook, muted=muted)

    def _implementations(self, hook: str) -> list[pluggy.HookImpl]:
        caller: pluggy.HookCaller = getattr(self._manager.hook, hook)
        return caller.get_hookimpls()


def _taking_what_it_wants(implementation: pluggy.HookImpl) -> Callable[..., Any]:
    """A hook may leave out arguments that it does not need."""

    def call(**arguments: object) -> object:
        return implementation.function(**{name: arguments[name] for name in implementation.argnames})

    return call


def _file(module: object) -> Path | None:
    file = getattr(module, "__file__", None)
    return Path(file).resolve() if isinstance(file, str) else None


def _version(module: object) -> str:
    version = getattr(module, "__version__", "")
    if version or not isinstance(name := getattr(module, "__name__", None), str):
        return str(version)
    return str(getattr(sys.modules.get(name.partition(".")[0]), "__version__", ""))


def _plain(value: object) -> Json:
    """Mappings and sequences of a descriptor as the plain JSON that the config reads."""
    match value:
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case None | bool() | int() | float() | str():
            return value
        case _:
            raise TypeError(f"demo_models may hold plain values only, not {value!r}")
