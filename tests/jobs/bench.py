"""The job engine on a real store, with a simulated upstream and a clock that the test turns."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import SecretStr

from relayhub.accounts.pricing import Price
from relayhub.accounts.tiers import tiers_of
from relayhub.jobs.asked import MediaCall
from relayhub.jobs.callbacks import Callbacks
from relayhub.jobs.endings import Endings
from relayhub.jobs.engine import JobEngine, Parallel
from relayhub.jobs.files import FileStore
from relayhub.jobs.lending import Lending
from relayhub.jobs.links import Links
from relayhub.jobs.looking import Looking
from relayhub.jobs.pace import Progress
from relayhub.jobs.results import FETCH, Results
from relayhub.jobs.submission import Submissions, Submitted
from relayhub.jobs.watch import Watch
from relayhub.jobs.webhooks import Webhooks
from relayhub.routing.capabilities import Capabilities
from relayhub.routing.catalog import Catalog, ModelSpec, Route
from relayhub.routing.credentials import Providers
from relayhub.routing.provider import Provider
from relayhub.store.jobs import Jobs
from relayhub.store.steps import no_step
from relayhub.store.usage import UsageFilter
from relayhub.testing import FakeClock
from relayhub.types.call import Operation, Principal
from relayhub.types.http import Deadlines, HttpReply, HttpRequest
from relayhub.types.job import Job
from relayhub.types.json import JsonObject
from relayhub.types.media import ImageRequest, MediaKind, MediaRequest, VideoRequest
from relayhub.upstream.download import Downloader
from relayhub.upstream.faults import broke_off, not_reached
from relayhub.upstream.media import MediaFetcher, MediaLimits
from relayhub.upstream.post import Poster
from tests.support.books import Books, open_books
from tests.testing.toy_media import KEY, Settings, ToyImages, ToyJobs, ToySimulator

CENT = 10_000_000
"""Nano-USD; a second of video costs one."""
PRICE = Price(video=tiers_of({"*": CENT}), image=tiers_of({"*": 2 * CENT}))
START = 100 * CENT


@dataclass
class Reply:
    """A :class:`relayhub.sdk.UpstreamReply`."""

    whole: HttpReply

    @property
    def status(self) -> int:
        return self.whole.status

    @property
    def headers(self) -> dict[str, str]:
        return dict(self.whole.headers)

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        yield self.whole.body


@dataclass
class Wired:
    """A transport straight into a simulator. ``before``, ``after``: what happens to each request on its way there and
    back; they may raise. ``reachable`` unset: nothing can be sent."""

    simulator: ToySimulator
    reachable: bool = True
    sent: list[HttpRequest] = field(default_factory=list)
    before: Callable[[HttpRequest], None] = lambda _: None
    after: Callable[[HttpRequest], None] = lambda _: None

    @asynccontextmanager
    async def send(self, request: HttpRequest, _deadlines: Deadlines) -> AsyncIterator[Reply]:
        if not self.reachable:
            raise not_reached("nobody listens")
        self.before(request)
        self.sent.append(request)
        try:
            reply = self.simulator.exchange(request)
        except (ConnectionResetError, TimeoutError) as error:
            raise broke_off(repr(error)) from error
        self.after(request)
        yield Reply(reply)

    async def close(self) -> None:
        return


@dataclass
class Upstream:
    name: str
    simulator: ToySimulator
    transport: Wired
    wire: ToyJobs
    provider: Provider


def upstream(name: str, clock: FakeClock, wire: type[ToyJobs] = ToyJobs) -> Upstream:
    simulator = ToySimulator(clock=clock)
    transport = Wired(simulator)
    jobs = wire(Settings(api_key=SecretStr(KEY)))
    able = Capabilities({}, jobs={MediaKind.VIDEO: jobs}, images=ToyImages(Settings(api_key=SecretStr(KEY))))
    provider = Provider(name, "toy", able, transport, Deadlines(), {}, {}, proxied=True)
    return Upstream(name, simulator, transport, jobs, provider)


@dataclass
class Bench:
    books: Books
    clock: FakeClock
    upstreams: list[Upstream]
    engine: JobEngine
    files: FileStore
    links: Links
    principal: Principal
    callbacks: Callbacks

    @property
    def jobs(self) -> Jobs:
        return self.books.store.jobs

    @property
    def simulator(self) -> ToySimulator:
        return self.upstreams[0].simulator

    @property
    def transport(self) -> Wired:
        return self.upstreams[0].transport

    def call(
        self, asked: MediaRequest | None = None, *, kind: MediaKind = MediaKind.VIDEO, **options: object
    ) -> MediaCall:
        request = asked or VideoRequest("film", "a cat", seconds=5)
        call = MediaCall("req_1", self.principal, kind, "openai.videos", None, request, "hash", 0.0)
        return replace(call, **options)  # type: ignore[arg-type]

    async def submit(self, asked: MediaRequest | None = None, **options: object) -> Job:
        return (await self.ask(asked, **options)).job

    async def ask(self, asked: MediaRequest | None = None, **options: object) -> Submitted:
        return await self.engine.submit(self.call(asked, **options))  # type: ignore[arg-type]

    async def images(self, count: int = 1) -> Job:
        return await self.submit(ImageRequest("paint", "a cat", count=count), kind=MediaKind.IMAGE)

    async def now(self, job: Job) -> Job:
        found = await self.jobs.get(job.id)
        assert found is not None
        return found

    async def turn(self, seconds: float = 0.0) -> None:
        """Let time go by, and the engine look at what is due then."""
        self.clock.advance(seconds)
        while await self.engine.turn():
            await self.engine.settle_looks()

    async def until_over(self, job: Job, step_s: float = 10.0, most: int = 50) -> Job:
        for _ in range(most):
            job = await self.now(job)
            if not job.is_open:
                return job
            await self.turn(step_s)
        raise AssertionError(f"{job.state} after {most} looks")

    async def usage(self) -> list[JsonObject]:
        return await self.books.store.usage.rows(UsageFilter(), 100)

    async def exact(self) -> None:
        assert await self.books.store.ledger.check() == []

    async def settled(self, cost_nano: int) -> None:
        """Nothing is held, and just so much was charged."""
        assert await self.books.money() == (START, cost_nano, 0)
        await self.exact()


@asynccontextmanager
async def open_bench(
    folder: Path,
    *,
    clock: FakeClock | None = None,
    names: Sequence[str] = ("toy",),
    wire: type[ToyJobs] = ToyJobs,
    on_step: Callable[[str], None] = no_step,
    parallel: Parallel | None = None,
    public: bool = True,
    credentials: bool = False,
) -> AsyncIterator[Bench]:
    clock = clock or FakeClock()
    async with open_books(folder / "books.db", total=START, clock=clock, on_step=on_step) as books:
        upstreams = [upstream(name, clock, wire) for name in names]
        if credentials:
            for number, one in enumerate(upstreams):
                weight = 0 if number else 1  # the first one's turn always comes first
                one.provider = replace(one.provider, name="toy", credential=one.name, weight=weight)
        routes = [Route(one.provider, "toy-film", PRICE, 0) for one in upstreams]
        models = {"film": Operation.VIDEO, "paint": Operation.IMAGE}
        specs = [
            ModelSpec(name, route, operations=frozenset({operation}))
            for name, operation in models.items()
            for route in routes
        ]
        files = FileStore(folder / "artifacts", 1 << 20)
        links = Links(lambda: "https://hub.example", lambda: [b"key"])
        jobs = books.store.jobs
        fetcher = MediaFetcher(MediaLimits(), "tests")
        watch = Watch(jobs, clock)
        results = Results(files, Downloader("tests", FETCH), clock, 7 * 86400)
        endings = Endings(jobs, watch, clock)
        lending = Lending(files, links, clock, public)
        providers = Providers(one.provider for one in upstreams)
        callbacks = Callbacks(
            jobs, providers, clock, lambda: "https://hub.example" if public else "", lambda: [b"callbacks"]
        )
        engine = JobEngine(
            jobs,
            books.store.epochs,
            Submissions(Catalog(specs, 0), jobs, results, lending, endings, watch, clock, fetcher, callbacks),
            Looking(providers, jobs, results, endings, Progress(jobs, clock), watch, clock),
            endings,
            watch,
            Webhooks(jobs, books.store.vault, Poster("tests", {"127.0.0.1"}), clock, lambda job, _: job.id.encode()),
            files,
            clock,
            parallel or Parallel(),
        )
        key = books.issued.key
        principal = Principal(key.id, key.name, books.account_id)
        yield Bench(books, clock, upstreams, engine, files, links, principal, callbacks)


def lose_answers(bench: Bench) -> None:
    """From now on every answer to a paid request is lost on its way back."""

    def after(request: HttpRequest) -> None:
        if request.method == "POST":
            raise broke_off("lost on its way back")

    bench.transport.after = after
