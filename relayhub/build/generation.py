"""One config made into objects: a snapshot that never changes. A reload makes the next one, and whatever has begun keeps
the one it began with, for as long as it needs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from relayhub.accounts.admission import Admission
from relayhub.accounts.keyring import KeyRing
from relayhub.build.catalog import build_catalog
from relayhub.build.providers import USER_AGENT, BuiltEntry, kept_for_jobs, providers_of
from relayhub.build.routing import routing_terms
from relayhub.config import Config
from relayhub.gateway.conversation import Conversations
from relayhub.gateway.counting import Counting
from relayhub.gateway.departure import LeavingTerms
from relayhub.gateway.draining import Drains
from relayhub.gateway.lanes import Codecs
from relayhub.gateway.open_calls import OpenCalls
from relayhub.gateway.pipeline import Pipeline
from relayhub.gateway.speech import SpeechCalls
from relayhub.jobs.build import BuiltCare, build_care
from relayhub.jobs.engine import JobEngine
from relayhub.jobs.watch import Watch
from relayhub.plugins.host import PluginHost
from relayhub.routing.catalog import Catalog
from relayhub.routing.credentials import Providers
from relayhub.routing.health import Elsewhere
from relayhub.routing.provider import Provider
from relayhub.routing.router import Router
from relayhub.sdk.clock import Clock
from relayhub.store.store import Store
from relayhub.types.share import WHOLE, Share
from relayhub.upstream.media import MediaFetcher, MediaLimits
from relayhub.upstream.memory import BodyMemory
from relayhub.web.address import Address
from relayhub.web.admin.context import AdminContext, admin_context
from relayhub.web.context import Serving
from relayhub.web.media_desk import MediaDesk


@dataclass(frozen=True, slots=True)
class Lasting:
    """What outlives every config."""

    store: Store
    keyring: KeyRing
    plugins: PluginHost
    clock: Clock
    codecs: Codecs
    open_calls: OpenCalls
    admission: Admission
    address: Address
    watch: Watch
    share: Share = WHOLE
    elsewhere: Elsewhere | None = None
    """The other processes of this hub."""
    drains: Drains = field(default_factory=Drains)
    memory: BodyMemory = field(default_factory=BodyMemory)


@dataclass(frozen=True, slots=True)
class Generation:
    """``number``: 0 for the config of the start. ``removed``: providers of earlier configs whose jobs may still be open."""

    number: int
    config: Config
    entries: Mapping[str, BuiltEntry]
    providers: Providers
    removed: Sequence[Provider]
    catalog: Catalog
    router: Router
    pipeline: Pipeline
    counting: Counting
    speech: SpeechCalls
    jobs: BuiltCare
    admin: AdminContext

    def serving(self, engine: JobEngine) -> Serving:
        """What the handlers need of it."""
        config = self.config
        named = {name: entry.default_video_model for name, entry in config.providers.items()}
        media = MediaDesk(
            engine,
            self.speech,
            self.jobs.care.files,
            self.jobs.links,
            self.jobs.callbacks,
            {name: model for name, model in named.items() if model},
            config.jobs.default_video_model,
            config.jobs.image_wait_s,
        )
        codecs = self.pipeline.codecs
        return Serving(config.server, self.catalog, codecs, self.pipeline, self.counting, media, self.admin)


@dataclass(frozen=True, slots=True)
class Offer:
    """What a config has to offer: its providers and their models."""

    entries: Mapping[str, BuiltEntry]
    providers: Providers
    catalog: Catalog


def build_offer(config: Config, entries: Mapping[str, BuiltEntry], clock: Clock) -> Offer:
    """``entries``: the config's providers. Takes a moment where there are thousands of models; may be called in a thread.
    Raises ``ConfigError``."""
    providers = providers_of(entries)
    return Offer(entries, providers, build_catalog(config, providers, created=int(clock.now()), now=clock.now))


def build_generation(
    config: Config,
    offer: Offer,
    lasting: Lasting,
    before: Generation | None = None,
    removed: Sequence[Provider] = (),
) -> Generation:
    """``before``: the one in force, for what was learnt. ``removed``: providers that jobs may still be asked about at.
    Changes nothing that serves."""
    store, clock, codecs = lasting.store, lasting.clock, lasting.codecs
    providers, catalog = offer.providers, offer.catalog
    terms = routing_terms(config.routing, lasting.share)
    router = (
        Router(clock, terms, elsewhere=lasting.elsewhere, ordering=lasting.plugins.ordering)
        if before is None
        else before.router.renewed(terms)
    )
    fetcher = build_fetcher(config)
    conversations = Conversations(store.kept_turns, fetcher, clock)
    quota = config.quota
    leaving = LeavingTerms(quota.on_disconnect, quota.drain_s, lasting.share.exact(quota.drains))
    admin = (
        admin_context(config, store, lasting.keyring, clock, catalog, router)
        if before is None
        else before.admin.renewed(config, catalog, router)
    )
    return Generation(
        number=0 if before is None else before.number + 1,
        config=config,
        entries=offer.entries,
        providers=providers,
        removed=removed,
        catalog=catalog,
        router=router,
        pipeline=Pipeline(
            catalog,
            codecs,
            lasting.admission,
            lasting.open_calls,
            clock,
            config.quota.bytes_per_token,
            conversations,
            router,
            leaving=leaving,
            drains=lasting.drains,
        ),
        counting=Counting(catalog, codecs, conversations),
        speech=SpeechCalls(catalog, lasting.admission, lasting.open_calls, clock, router, leaving),
        jobs=build_care(
            config,
            store,
            catalog,
            kept_for_jobs(providers, removed),
            clock,
            USER_AGENT,
            lambda: lasting.address.base,
            fetcher,
            router,
            lasting.watch,
            lasting.share,
        ),
        admin=admin,
    )


def build_fetcher(config: Config) -> MediaFetcher:
    """The way to media that requests link to."""
    media = config.media
    return MediaFetcher(MediaLimits(media.max_size, media.timeout_s, frozenset(media.private_hosts)), USER_AGENT)
