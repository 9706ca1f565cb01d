"""The composition root: one ``Hub`` object built from a config, handed down to everything, started and stopped as one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

import structlog
from aiohttp.web import AppRunner

from relayhub import __version__
from relayhub.accounts.admission import Admission
from relayhub.accounts.keyring import KeyRing
from relayhub.accounts.price_book import tariff_of
from relayhub.config import Config, ConfigError, Model, Problem, ProviderConfig, RoutingConfig
from relayhub.dialects.anthropic_messages import AnthropicMessages
from relayhub.dialects.gemini_embeddings import GeminiEmbeddings
from relayhub.dialects.gemini_generate import GeminiGenerate
from relayhub.dialects.openai_chat import OpenAIChat
from relayhub.dialects.openai_embeddings import OpenAIEmbeddings
from relayhub.dialects.openai_native import JinaRerank, OpenAIAudio, OpenAICompletions, OpenAIModerations
from relayhub.dialects.openai_responses import OpenAIResponses
from relayhub.gateway.conversation import Conversations
from relayhub.gateway.counting import Counting
from relayhub.gateway.lanes import Codecs
from relayhub.gateway.named import NamedServing
from relayhub.gateway.open_calls import OpenCalls
from relayhub.gateway.pipeline import Pipeline
from relayhub.gateway.speech import SpeechCalls
from relayhub.gateway.tickets.calls import TicketCalls
from relayhub.jobs.build import build_jobs
from relayhub.plugins.host import PluginHost
from relayhub.routing.budget import BudgetTerms
from relayhub.routing.capabilities import Capabilities
from relayhub.routing.catalog import Catalog, ModelSpec, Route
from relayhub.routing.credentials import Providers
from relayhub.routing.health import Terms as CircuitTerms
from relayhub.routing.probing import Probing
from relayhub.routing.provider import Provider
from relayhub.routing.router import Router, RoutingTerms
from relayhub.routing.selection import Strategy
from relayhub.sdk.clock import Clock
from relayhub.sdk.hookspecs import HubContext
from relayhub.sdk.provider import ProviderContext, TransportProvider
from relayhub.sdk.transport import Transport
from relayhub.store.steps import no_step
from relayhub.store.store import Store
from relayhub.store.windows import Calendar
from relayhub.types.call import Dialect, Operation
from relayhub.types.http import Deadlines
from relayhub.upstream.media import MediaFetcher, MediaLimits
from relayhub.upstream.network import open_transport
from relayhub.upstream.options import NetworkOptions
from relayhub.web.address import Address
from relayhub.web.admin.context import admin_context
from relayhub.web.application import build_application, build_runner
from relayhub.web.context import WebContext
from relayhub.web.listener import listen, stop_listening
from relayhub.web.media_desk import MediaDesk

log = structlog.get_logger("relayhub")

USER_AGENT = f"relayhub/{__version__}"


@dataclass(slots=True)
class Hub:
    """A running hub. Build it with :func:`open_hub`, which also takes it down in the right order."""

    config: Config
    store: Store
    keyring: KeyRing
    catalog: Catalog
    providers: Providers
    router: Router
    open_calls: OpenCalls
    web: WebContext
    runner: AppRunner
    address: Address

    async def listen(self) -> str:
        """Open the door; returns the address."""
        url = await listen(self.runner, self.config.server)
        self.address.listening(self.config.server, url)
        return url

    async def drain(self) -> int:
        """Refuse new calls, let the open ones finish up to ``server.drain_s``, cut the rest. Returns how many were cut."""
        self.web.draining = True
        await stop_listening(self.runner)
        cut = await self.open_calls.drain(self.config.server.drain_s)
        log.info("hub.drained", cut=cut)
        return cut


@asynccontextmanager
async def open_hub(
    config: Config, plugins: PluginHost, clock: Clock, on_step: Callable[[str], None] = no_step
) -> AsyncIterator[Hub]:
    """Everything but the listening socket. On leaving: plugins' lifespans, connections, then the store, whose writer
    commits what is queued. ``on_step``: see :mod:`relayhub.store.steps`. Raises ``StoreError`` or ``HubError`` if the
    store cannot be opened."""
    async with AsyncExitStack() as stack:
        store = await Store.open(
            config.store.path,
            durability=config.store.durability,
            clock=clock,
            on_step=on_step,
            calendar=Calendar(config.quota.zone),
        )
        stack.push_async_callback(store.close)
        store.ledger.on_settled(plugins.notify_settled)
        keyring = KeyRing(store.keys)
        await keyring.refresh()
        _run_beside(stack, keyring.run(clock))
        _run_beside(stack, store.epochs.run(clock))
        _run_beside(stack, store.usage_rollups.run(clock, config.usage.keep_raw))
        providers = build_providers(config, plugins, clock)
        for transport in {id(provider.transport): provider.transport for provider in providers.every()}.values():
            stack.push_async_callback(transport.close)
        for lifespan in plugins.lifespans(HubContext(__version__, clock)):
            await stack.enter_async_context(lifespan)
        catalog = build_catalog(config, providers, created=int(clock.now()), now=clock.now)
        codecs = build_codecs()
        conversations = Conversations(store.kept_turns, build_fetcher(config), clock)
        open_calls = OpenCalls()
        if config.quota.revoked_streams == "cut":
            keyring.on_blocked(open_calls.cut_key)
        admission = Admission(store.ledger, clock)
        router = Router(clock, routing_terms(config.routing))
        _run_beside(stack, Probing(router, providers).run())
        pipeline = Pipeline(
            catalog,
            codecs,
            admission,
            open_calls,
            clock,
            config.quota.bytes_per_token,
            conversations,
            router,
        )
        counting = Counting(catalog, codecs, conversations)
        ticket_calls = TicketCalls(pipeline.serve, store.tickets, open_calls, clock)
        await stack.enter_async_context(ticket_calls.running())
        named = NamedServing(pipeline.serve, store.named_calls, open_calls, clock)
        await stack.enter_async_context(named.running())
        address = Address()
        built = build_jobs(
            config, store, catalog, providers, clock, USER_AGENT, lambda: address.base, build_fetcher(config), router
        )
        await stack.enter_async_context(built.engine.running())
        media = MediaDesk(
            built.engine,
            SpeechCalls(catalog, admission, open_calls, clock, router),
            built.files,
            built.links,
            built.callbacks,
            {name: entry.default_video_model for name, entry in config.providers.items() if entry.default_video_model},
            config.jobs.default_video_model,
            config.jobs.image_wait_s,
        )
        context = WebContext(
            config.server,
            keyring,
            catalog,
            codecs,
            pipeline,
            counting,
            ticket_calls,
            named,
            media,
            store,
            clock,
            config.server.trusted_proxies,
        )
        runner = build_runner(build_application(context, admin_context(config, store, keyring, clock, catalog, router)))
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        yield Hub(config, store, keyring, catalog, providers, router, open_calls, context, runner, address)


def _run_beside(stack: AsyncExitStack, work: Coroutine[object, object, None]) -> None:
    """Run a background loop for as long as the hub is open."""
    task = asyncio.create_task(work)

    async def stop() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    stack.push_async_callback(stop)


def build_codecs() -> Codecs:
    """Every dialect that clients may speak."""
    return Codecs(
        chat={
            Dialect.OPENAI_CHAT: OpenAIChat(),
            Dialect.OPENAI_RESPONSES: OpenAIResponses(),
            Dialect.ANTHROPIC_MESSAGES: AnthropicMessages(),
            Dialect.GEMINI_GENERATE: GeminiGenerate(),
        },
        embeddings={
            Dialect.OPENAI_EMBEDDINGS: OpenAIEmbeddings(),
            Dialect.GEMINI_EMBEDDINGS: GeminiEmbeddings(),
        },
        native={
            Dialect.OPENAI_COMPLETIONS: OpenAICompletions(),
            Dialect.OPENAI_MODERATIONS: OpenAIModerations(),
            Dialect.OPENAI_AUDIO: OpenAIAudio(),
            Dialect.JINA_RERANK: JinaRerank(),
        },
    )


def build_fetcher(config: Config) -> MediaFetcher:
    """The way to media that requests link to."""
    media = config.media
    return MediaFetcher(MediaLimits(media.max_size, media.timeout_s, frozenset(media.private_hosts)), USER_AGENT)


def build_providers(config: Config, plugins: PluginHost, clock: Clock) -> Providers:
    """In the order of the config."""
    return Providers(
        provider
        for name, entry in config.providers.items()
        for provider in build_credentials(name, entry, plugins, clock)
    )


def build_credentials(name: str, entry: ProviderConfig, plugins: PluginHost, clock: Clock) -> Iterator[Provider]:
    """The plugin's object once for each credential; connections to the upstream are shared."""
    if not entry.credentials:
        yield build_provider(name, entry, plugins, clock)
    shared: Transport | None = None
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
    return Provider(
        name=name,
        type=entry.type,
        capabilities=Capabilities.of(built),
        transport=_transport(built, entry, transport),
        deadlines=Deadlines(limits.connect_s, limits.first_byte_s, limits.idle_s, limits.total_s),
        headers=entry.headers,
        body_defaults=entry.body_defaults,
        proxied=entry.proxy is not None or isinstance(built, TransportProvider),
        max_in_flight=entry.max_in_flight,
    )


def _transport(built: object, entry: ProviderConfig, shared: Transport | None) -> Transport:
    if isinstance(built, TransportProvider):
        return built.transport()
    if shared is not None:
        return shared
    options = NetworkOptions(proxy=entry.proxy, ca_file=entry.ca_file, max_connections=entry.max_connections)
    return open_transport(options, USER_AGENT)


def routing_terms(said: RoutingConfig) -> RoutingTerms:
    circuit = said.circuit
    return RoutingTerms(
        strategy=Strategy(said.strategy),
        failovers=said.failovers,
        retry_delivered_chat=said.retry_delivered_chat,
        hedge_after_s=said.hedge_after_s,
        probe_s=said.probe_s,
        retries=BudgetTerms(said.retries.share, said.retries.per_s),
        circuit=CircuitTerms(circuit.failures, circuit.rest_s, circuit.longest_rest_s),
    )


def build_catalog(
    config: Config, providers: Providers, created: int, now: Callable[[], float] | None = None
) -> Catalog:
    """All models of all providers, in the order of the config, each once for every credential. Raises ``ConfigError`` for
    models whose provider does not serve what they promise, and for fall-backs that there are none of."""
    models = {name: entry.models for name, entry in config.providers.items()}
    problems = [problem for name, listed in models.items() for problem in _unserved(providers[name], listed)]
    problems += _without_fallback(models)
    if problems:
        raise ConfigError(problems)
    fallback = config.quota.default_max_output_tokens
    specs = [
        _model_spec(model, provider, fallback, config.currencies)
        for name, listed in models.items()
        for model in listed
        for provider in providers.credentials(name)
    ]
    return Catalog(specs, created, now)


def _without_fallback(models: Mapping[str, Iterable[Model]]) -> Iterator[Problem]:
    """Fall-backs that no provider has, or that are the model itself."""
    names = {name for listed in models.values() for model in listed for name in (model.name, *model.settings.aliases)}
    prefixes = tuple(name[:-1] for name in names if name.endswith("*"))
    for provider, listed in models.items():
        for model in listed:
            path = f"providers.{provider}.models.{model.name}.fallbacks"
            for name in model.settings.fallbacks:
                if name == model.name or name in model.settings.aliases:
                    yield Problem(model.spot, path, f"the model {name!r} cannot be its own fall-back")
                elif name not in names and not name.startswith(prefixes or ("\0",)):
                    hint = "Name a model that some provider here has."
                    yield Problem(model.spot, path, f"there is no model {name!r} to fall back to", hint)


def _unserved(provider: Provider, models: Iterable[Model]) -> Iterator[Problem]:
    for model in models:
        for operation in model.settings.operations:
            if not provider.capabilities.serves(Operation(operation)):
                path = f"providers.{provider.name}.models.{model.name}"
                message = f"the provider type {provider.type!r} does not serve {operation}"
                yield Problem(model.spot, path, message, "Change the model's `operations:`, or leave it out.")


def _model_spec(
    model: Model, provider: Provider, fallback_output_tokens: int, currencies: Mapping[str, int]
) -> ModelSpec:
    settings, tariff = model.settings, tariff_of(model, currencies)
    return ModelSpec(
        name=model.name,
        route=Route(
            provider=provider,
            upstream_model=model.upstream,
            price=tariff.prices[0][1],
            tariff=tariff,
            max_output_tokens=settings.max_output_tokens or fallback_output_tokens,
            image_form=settings.image_form,
            priority=settings.priority,
            weight=settings.weight,
        ),
        aliases=tuple(settings.aliases),
        operations=frozenset(Operation(operation) for operation in settings.operations),
        public=settings.public,
        fallbacks=settings.fallbacks,
    )
