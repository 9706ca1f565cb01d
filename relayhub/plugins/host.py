"""The plugin host: loads what the config asks for, quarantines what fails, and asks the hooks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy
import structlog
from pydantic import BaseModel

from relayhub.plugins.doors import Candidate, candidates
from relayhub.plugins.hooks import check_hooks
from relayhub.plugins.ingresses import Ingress, check_ingress_type
from relayhub.plugins.isolation import Isolation
from relayhub.plugins.loaded import LoadedPlugin, PluginError, QuarantinedPlugin
from relayhub.plugins.types import check_provider_type
from relayhub.plugins.watchdog import Watchdog
from relayhub.routing.ordering import Order
from relayhub.sdk import hookspecs
from relayhub.sdk.hookspecs import HubContext
from relayhub.sdk.ingress import IngressType
from relayhub.sdk.ordering import CallView, RouteView
from relayhub.sdk.provider import ProviderType
from relayhub.types.call import UsageRecord
from relayhub.types.json import Json

if TYPE_CHECKING:
    import click

log = structlog.get_logger("relayhub.plugins")


class PluginHost:
    """Immutable after :meth:`load`, but for the count of failures."""

    def __init__(self) -> None:
        self.plugins: tuple[LoadedPlugin, ...] = ()
        self.quarantined: tuple[QuarantinedPlugin, ...] = ()
        self._manager = pluggy.PluginManager("relayhub")
        self._manager.add_hookspecs(hookspecs)
        self._types: dict[str, dict[str, ProviderType[Any]]] = {}
        self.ingresses: tuple[Ingress, ...] = ()
        self._origins: dict[str, str] = {}
        self._files: set[Path] = set()
        self._left_out: dict[str, str] = {}
        self._isolation = Isolation()
        self.watchdog = Watchdog(lambda: self.plugins)

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
            if candidate.name in disabled and (candidate.built_in or candidate.name not in built_in):
                host._left_out[candidate.name] = f"is left out by plugins.disabled: [{candidate.name}]"
            elif allow is not None and candidate.name not in allow:
                host._left_out[candidate.name] = "is not in plugins.allow"
            else:
                host.admit(candidate)
        return host

    # --- loading ------------------------------------------------------------------------------------------------------

    def admit(self, candidate: Candidate) -> None:
        """Import and register one plugin, or quarantine it. Raises :class:`PluginError` for a clash of names."""
        file = None
        try:
            file = candidate.locate()
            if file is not None and file in self._files:
                return  # the same file through another door; it must not run twice
            self._claim(candidate, file)
            module = candidate.load()
            version = candidate.version or _version(module)
            plugin = LoadedPlugin(candidate.name, module, candidate.source, candidate.origin, version)
            self._manager.register(module, name=plugin.name)
            check_hooks(self._manager, module)
            types = self._provider_types(plugin)
            ingresses = self._ingresses_of(plugin)
        except PluginError:
            raise
        except BaseException as error:
            # Broad on purpose: a plugin that exits or raises anything at all must not take the hub with it.
            if isinstance(error, KeyboardInterrupt):
                raise
            self._quarantine(candidate, error, file)
            return
        self._types[plugin.name] = types
        self.ingresses = (*self.ingresses, *ingresses)
        self.plugins = (*self.plugins, plugin)

    def _claim(self, candidate: Candidate, file: Path | None) -> None:
        """Before it is imported: a plugin that never loads must not disturb the one that has its name."""
        taken = self._origins.get(candidate.name)
        if taken is not None:
            raise PluginError(
                f"two plugins are called {candidate.name!r}: {taken} and {candidate.origin}. "
                f"Rename one, or leave the first one out with plugins.disabled: [{candidate.name}]"
            )
        self._origins[candidate.name] = candidate.origin
        if file is not None:
            self._files.add(file)

    def _provider_types(self, plugin: LoadedPlugin) -> dict[str, ProviderType[Any]]:
        types: dict[str, ProviderType[Any]] = {}
        for hook in self._implementations("relayhub_register_providers"):
            if hook.plugin_name != plugin.name:
                continue
            offered: object = hook.function()
            if not isinstance(offered, Iterable):
                raise TypeError(f"relayhub_register_providers returned {offered!r}; return a list of ProviderType")
            for kind in offered:
                check_provider_type(kind)
                self._check_free(kind.name, plugin, types)
                types[kind.name] = kind
        return types

    def _check_free(self, type_name: str, plugin: LoadedPlugin, own: Mapping[str, object]) -> None:
        if type_name in own:
            raise ValueError(f"it offers the provider type {type_name!r} twice; rename one")
        owner = next((other for other in self.plugins if type_name in self._types[other.name]), None)
        if owner is not None:
            raise PluginError(
                f"two plugins offer the provider type {type_name!r}: {owner.origin} and {plugin.origin}. "
                f"Leave one out with plugins.disabled: [{owner.name}] or [{plugin.name}]"
            )

    def _ingresses_of(self, plugin: LoadedPlugin) -> list[Ingress]:
        found: list[Ingress] = []
        for hook in self._implementations("relayhub_register_ingresses"):
            if hook.plugin_name != plugin.name:
                continue
            offered: object = hook.function()
            if not isinstance(offered, Iterable):
                raise TypeError(f"relayhub_register_ingresses returned {offered!r}; return a list of IngressType")
            for kind in offered:
                check_ingress_type(kind)
                self._check_way_in(kind, plugin, found)
                found.append(Ingress(plugin.name, kind))
        return found

    def _check_way_in(self, kind: IngressType, plugin: LoadedPlugin, own: Sequence[Ingress]) -> None:
        for other in (*self.ingresses, *own):
            same = {kind.name} & {other.name} or {*kind.paths} & {*other.kind.paths}
            if same and other.plugin == plugin.name:
                raise ValueError(f"it offers {sorted(same)[0]!r} twice; name and paths of each ingress are its own")
            if same:
                raise PluginError(
                    f"two plugins bring the ingress {sorted(same)[0]!r}: {other.plugin} and {plugin.name}. "
                    f"Leave one out with plugins.disabled: [{other.plugin}] or [{plugin.name}]"
                )

    def _quarantine(self, candidate: Candidate, error: BaseException, file: Path | None) -> None:
        reason = f"{type(error).__name__}: {error}".rstrip(": ")
        for registered in [module for name, module in self._manager.list_name_plugin() if name == candidate.name]:
            self._manager.unregister(registered)
        self.quarantined = (*self.quarantined, QuarantinedPlugin(candidate.name, candidate.origin, reason, file))
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
        """Why a provider type is not there, if a plugin that is left out or quarantined looks like the one that would
        have brought it: by its name, or because its source names the type."""
        for plugin in self.quarantined:
            if type_name in (plugin.name, plugin.name.removeprefix("relayhub_")) or plugin.mentions(type_name):
                return f"its plugin {plugin.origin} is quarantined: {plugin.reason}"
        left_out = self._left_out.get(type_name)
        return None if left_out is None else f"the plugin {type_name} {left_out}"

    def demo_providers(self) -> dict[str, Json]:
        """Provider entries for demo mode: every type that needs no settings and offers models for it."""
        return {
            name: {"type": name, "models": _plain(kind.demo_models)}
            for name, kind in self.provider_types.items()
            if kind.demo_models
        }

    @property
    def ordering(self) -> Order | None:
        """The last word on the order of routes; ``None``: nobody wants it."""
        return self._order if self._implementations("relayhub_order_routes") else None

    def _order(self, call: CallView, routes: Sequence[RouteView]) -> Sequence[RouteView] | None:
        """The first opinion, in the order in which plugins were loaded."""
        chosen: list[Sequence[RouteView]] = []

        def ask(_: str, hook: Callable[..., object]) -> None:
            if not chosen and (said := hook(call=call, routes=routes)) is not None:
                chosen.append(_among(routes, said))

        self._each("relayhub_order_routes", ask)
        return chosen[0] if chosen else None

    # --- telling ------------------------------------------------------------------------------------------------------

    @property
    def hears_of_settlements(self) -> bool:
        """Whether any of the plugins that are loaded by now wants to be told."""
        return bool(self._implementations("relayhub_call_settled"))

    def notify_settled(self, record: UsageRecord) -> None:
        """Tell every plugin; what one of them raises stays with it."""
        self._each("relayhub_call_settled", lambda _, hook: hook(record=record))

    def lifespans(self, context: HubContext) -> list[AbstractAsyncContextManager[None]]:
        """The context managers of plugins with a life of their own. One that cannot be entered or left is logged and
        does not disturb the others."""
        found: list[AbstractAsyncContextManager[None]] = []

        def collect(plugin: str, hook: Callable[..., object]) -> None:
            lifespan = hook(hub=context)
            if lifespan is None:
                return
            if not isinstance(lifespan, AbstractAsyncContextManager):
                raise TypeError(f"relayhub_lifespan returned {lifespan!r}, which is not an async context manager")
            found.append(self._isolation.lifespan(plugin, lifespan))

        self._each("relayhub_lifespan", collect)
        return found

    def register_commands(self, group: click.Group) -> None:
        """Let plugins add their commands to ``group``."""
        self._each("relayhub_register_commands", lambda _, hook: hook(cli=group))

    def _each(self, hook: str, call: Callable[[str, Callable[..., object]], object]) -> None:
        """Call each plugin's implementation of ``hook``, in the order in which they were loaded."""
        for implementation in self._implementations(hook):
            plugin = implementation.plugin_name
            self._isolation.call(plugin, hook, partial(call, plugin, _taking_what_it_wants(implementation)))

    def _implementations(self, hook: str) -> list[pluggy.HookImpl]:
        caller: pluggy.HookCaller = getattr(self._manager.hook, hook)
        return caller.get_hookimpls()


def _taking_what_it_wants(implementation: pluggy.HookImpl) -> Callable[..., object]:
    """A hook may leave out arguments that it does not need."""

    def call(**arguments: object) -> object:
        return implementation.function(**{name: arguments[name] for name in implementation.argnames})

    return call


def _among(routes: Sequence[RouteView], said: object) -> Sequence[RouteView]:
    """Raises ``TypeError`` or ``ValueError`` for what is none of them."""
    if not isinstance(said, Sequence):
        raise TypeError(f"relayhub_order_routes returned {said!r}; return a list of the routes it was given")
    given = {id(route) for route in routes}
    if any(id(route) not in given for route in said):
        raise ValueError("relayhub_order_routes returned a route that it was not given")
    return said


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
