"""The composition root: one ``Hub`` object built from a config, handed down to everything, started and stopped as one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog
from aiohttp.web import AppRunner

from relayhub import __version__
from relayhub.accounts.admission import Admission
from relayhub.accounts.keyring import KeyRing
from relayhub.accounts.pricing import Price
from relayhub.config import Config, ConfigError, Model, Problem, ProviderConfig
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
from relayhub.gateway.open_calls import OpenCalls
from relayhub.gateway.pipeline import Pipeline
from relayhub.gateway.tickets.calls import TicketCalls
from relayhub.plugins.host import PluginHost
from relayhub.routing.capabilities import Capabilities
from relayhub.routing.catalog import Catalog, ModelSpec, Route
from relayhub.routing.provider import Provider
from relayhub.sdk.clock import Clock
from relayhub.sdk.hookspecs import HubContext
from relayhub.sdk.provider import ProviderContext, TransportProvider
from relayhub.sdk.transport import Transport
from relayhub.store.steps import no_step
from relayhub.store.store import Store
from relayhub.types.call import Dialect, Operation
from relayhub.types.http import Deadlines
from relayhub.upstream.client import HttpTransport, NetworkOptions
from relayhub.upstream.media import MediaFetcher, MediaLimits
from relayhub.web.application import build_application, build_runner
from relayhub.web.context import WebContext
from relayhub.web.listener import listen, stop_listening

log = structlog.get_logger("relayhub")

USER_AGENT = f"relayhub/{__version__}"


@dataclass(slots=True)
class Hub:
    """A running hub. Build it with :func:`open_hub`, which also takes it down in the right order."""

    config: Config
    store: Store
    keyring: KeyRing
    catalog: Catalog
    providers: Mapping[str, Provider]
    open_calls: OpenCalls
    web: WebContext
    runner: AppRunner

    async def listen(self) -> str:
        """Open the door; returns the address."""
        return await listen(self.runner, self.config.server)

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
        store = await Store.open(config.store.path, durability=config.store.durability, clock=clock, on_step=on_step)
        stack.push_async_callback(store.close)
        store.ledger.on_settled(plugins.notify_settled)
        keyring = KeyRing(store.keys)
        await keyring.refresh()
        _run_beside(stack, keyring.run(clock))
        _run_beside(stack, store.epochs.run(clock))
        providers = build_providers(config, plugins, clock)
        for provider in providers.values():
            stack.push_async_callback(provider.transport.close)
        for lifespan in plugins.lifespans(HubContext(__version__, clock)):
            await stack.enter_async_context(lifespan)
        catalog = build_catalog(config, providers, created=int(clock.now()))
        codecs = build_codecs()
        conversations = Conversations(store.kept_turns, build_fetcher(config), clock)
        open_calls = OpenCalls()
        pipeline = Pipeline(
            catalog,
            codecs,
            Admission(store.ledger),
            open_calls,
            clock,
            config.quota.bytes_per_token,
            conversations,
        )
        counting = Counting(catalog, codecs, conversations)
        ticket_calls = TicketCalls(pipeline.serve, store.tickets, open_calls, clock)
        await stack.enter_async_context(ticket_calls.running())
        context = WebContext(
            config.server,
            keyring,
            catalog,
            codecs,
            pipeline,
            counting,
            ticket_calls,
            store,
            clock,
            config.server.trusted_proxies,
        )
        runner = build_runner(build_application(context))
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        yield Hub(config, store, keyring, catalog, providers, open_calls, context, runner)


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


def build_providers(config: Config, plugins: PluginHost, clock: Clock) -> dict[str, Provider]:
    """In the order of the config."""
    return {name: build_provider(name, entry, plugins, clock) for name, entry in config.providers.items()}


def build_provider(name: str, entry: ProviderConfig, plugins: PluginHost, clock: Clock) -> Provider:
    """The plugin's object, and the way to its upstream."""
    kind = plugins.provider_types[entry.type]
    built = kind.build(entry.settings, ProviderContext(name, clock, USER_AGENT))
    limits = entry.timeouts
    return Provider(
        name=name,
        type=entry.type,
        capabilities=Capabilities.of(built),
        transport=_transport(built, entry),
        deadlines=Deadlines(limits.connect_s, limits.first_byte_s, limits.idle_s, limits.total_s),
        headers=entry.headers,
        body_defaults=entry.body_defaults,
    )


def _transport(built: object, entry: ProviderConfig) -> Transport:
    if isinstance(built, TransportProvider):
        return built.transport()
    options = NetworkOptions(proxy=entry.proxy, ca_file=entry.ca_file, max_connections=entry.max_connections)
    return HttpTransport(options, USER_AGENT)


def build_catalog(config: Config, providers: Mapping[str, Provider], created: int) -> Catalog:
    """All models of all providers, in the order of the config. Raises ``ConfigError`` for models whose provider does not
    serve what they promise."""
    problems = [
        problem for name, entry in config.providers.items() for problem in _unserved(providers[name], entry.models)
    ]
    if problems:
        raise ConfigError(problems)
    fallback = config.quota.default_max_output_tokens
    specs = [
        _model_spec(model, providers[name], fallback)
        for name, entry in config.providers.items()
        for model in entry.models
    ]
    return Catalog(specs, created)


def _unserved(provider: Provider, models: Iterable[Model]) -> Iterator[Problem]:
    for model in models:
        for operation in model.settings.operations:
            if not provider.capabilities.serves(Operation(operation)):
                path = f"providers.{provider.name}.models.{model.name}"
                message = f"the provider type {provider.type!r} does not serve {operation}"
                yield Problem(model.spot, path, message, "Change the model's `operations:`, or leave it out.")


def _model_spec(model: Model, provider: Provider, fallback_output_tokens: int) -> ModelSpec:
    settings = model.settings
    return ModelSpec(
        name=model.name,
        route=Route(
            provider=provider,
            upstream_model=model.upstream,
            price=price_of(model),
            max_output_tokens=settings.max_output_tokens or fallback_output_tokens,
            image_form=settings.image_form,
        ),
        aliases=tuple(settings.aliases),
        operations=frozenset(Operation(operation) for operation in settings.operations),
        public=settings.public,
    )


def price_of(model: Model) -> Price:
    """The model's price as the accounts know it; a free model costs nothing."""
    price = model.price
    if price is None:
        return Price()
    return Price(price.input, price.output, price.cached_input, price.cache_write, price.reasoning, price.call)
