"""The providers of a config: built anew where their entry is another one, taken over where it is the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from relayhub import __version__
from relayhub.config import Config, ProviderConfig
from relayhub.plugins.host import PluginHost
from relayhub.routing.capabilities import Capabilities
from relayhub.routing.credentials import Providers, keeper
from relayhub.routing.provider import Provider
from relayhub.sdk.clock import Clock
from relayhub.sdk.provider import ProviderContext, TransportProvider
from relayhub.sdk.transport import Transport
from relayhub.types.http import Deadlines
from relayhub.upstream.memory import BodyMemory
from relayhub.upstream.network import open_transport
from relayhub.upstream.options import NetworkOptions
from relayhub.upstream.retiring import RetirableTransport, Retiring
from relayhub.upstream.timed import TimedTransport

USER_AGENT = f"relayhub/{__version__}"


@dataclass(frozen=True, slots=True)
class BuiltEntry:
    """One entry of ``providers:``, and what was built for it: one provider for each credential. ``authority``: a digest of
    its ``ca_file``, whose content may change under its name."""

    entry: ProviderConfig
    authority: str
    providers: tuple[Provider, ...]

    def serves(self, entry: ProviderConfig, authority: str) -> bool:
        """Whether building ``entry`` would make the same; which models it has does not matter."""
        return self.reaches(entry, authority) and _made_of(self.entry) == _made_of(entry)

    def reaches(self, entry: ProviderConfig, authority: str) -> bool:
        """Whether its connections would do for ``entry``."""
        ours, theirs = self.entry, entry
        same = (ours.type, ours.proxy, ours.ca_file, ours.max_connections) == (
            theirs.type,
            theirs.proxy,
            theirs.ca_file,
            theirs.max_connections,
        )
        return same and self.authority == authority


def _made_of(entry: ProviderConfig) -> tuple[object, ...]:
    credentials = tuple((one.name, one.weight, one.settings) for one in entry.credentials)
    return (
        entry.settings,
        dict(entry.headers),
        dict(entry.body_defaults),
        entry.timeouts,
        entry.max_in_flight,
        credentials,
    )


def build_entries(
    config: Config,
    plugins: PluginHost,
    clock: Clock,
    before: Mapping[str, BuiltEntry] | None = None,
    number: int = 0,
    memory: BodyMemory | None = None,
) -> dict[str, BuiltEntry]:
    """By name, in the order of the config. ``before``: from the config that is in force, to take over what is the same.
    ``number``: the how manieth config of this process it is. ``memory``: what counts all answers that are held whole."""
    memory = memory or BodyMemory()
    return {
        name: _build_entry(name, entry, plugins, clock, (before or {}).get(name), number, memory)
        for name, entry in config.providers.items()
    }


def _build_entry(
    name: str,
    entry: ProviderConfig,
    plugins: PluginHost,
    clock: Clock,
    before: BuiltEntry | None,
    number: int,
    memory: BodyMemory,
) -> BuiltEntry:
    authority = _digest(entry.ca_file)
    if before is not None and before.serves(entry, authority):
        return replace(before, entry=entry)
    shared = None
    if before is not None and before.reaches(entry, authority) and not before.providers[0].own_transport:
        shared = before.providers[0].transport
    built = build_credentials(name, entry, plugins, clock, shared)
    return BuiltEntry(entry, authority, tuple(replace(provider, since=number, memory=memory) for provider in built))


def _digest(file: Path | None) -> str:
    try:
        return "" if file is None else hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return ""  # whoever opens it for its connections says what is wrong


def providers_of(entries: Mapping[str, BuiltEntry]) -> Providers:
    return Providers(provider for entry in entries.values() for provider in entry.providers)


def build_providers(config: Config, plugins: PluginHost, clock: Clock) -> Providers:
    """In the order of the config."""
    return providers_of(build_entries(config, plugins, clock))


def build_credentials(
    name: str, entry: ProviderConfig, plugins: PluginHost, clock: Clock, shared: Transport | None = None
) -> Iterator[Provider]:
    """The plugin's object once for each credential; connections to the upstream are shared."""
    if not entry.credentials:
        yield build_provider(name, entry, plugins, clock, shared)
    for credential in entry.credentials:
        built = build_provider(name, replace(entry, settings=credential.settings), plugins, clock, shared)
        shared = built.transport
        yield replace(built, credential=credential.name, weight=credential.weight)


def build_provider(
    name: str, entry: ProviderConfig, plugins: PluginHost, clock: Clock, transport: Transport | None = None
) -> Provider:
    """The plugin's object, and the way to its upstream. ``transport``: shared with another credential, unless the plugin
    has one of its own."""
    kind = plugins.provider_types[entry.type]
    built = kind.build(entry.settings, ProviderContext(name, clock, USER_AGENT))
    limits = entry.timeouts
    own = isinstance(built, TransportProvider)
    return Provider(
        name=name,
        type=entry.type,
        capabilities=Capabilities.of(built),
        transport=_transport(built, entry, transport),
        deadlines=Deadlines(limits.connect_s, limits.first_byte_s, limits.idle_s, limits.total_s),
        headers=entry.headers,
        body_defaults=entry.body_defaults,
        proxied=entry.proxy is not None or own,
        max_in_flight=entry.max_in_flight,
        own_transport=own,
    )


def _transport(built: object, entry: ProviderConfig, shared: Transport | None) -> Transport:
    if isinstance(built, TransportProvider):
        return Retiring(TimedTransport(built.transport()))
    if shared is not None:
        return shared
    options = NetworkOptions(proxy=entry.proxy, ca_file=entry.ca_file, max_connections=entry.max_connections)
    return open_transport(options, USER_AGENT)


def transports_of(providers: Iterable[Provider]) -> list[RetirableTransport]:
    """Each once."""
    found = {id(provider.transport): provider.transport for provider in providers}
    return [transport for transport in found.values() if isinstance(transport, RetirableTransport)]


def kept_for_jobs(providers: Providers, removed: Sequence[Provider]) -> Providers:
    """Whom jobs are asked about: ``providers``, and of ``removed`` those that nobody there stands for."""
    orphans = [one for one in removed if keeper(providers, one.name, one.credential) is None]
    return Providers([*providers.every(), *orphans])
