"""What is kept of a key's way to a model, and until when."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest
from pydantic import SecretStr

from relayhub.accounts.pricing import Price
from relayhub.accounts.tariff import SINCE_EVER, Tariff
from relayhub.dialects.codec import Envelope
from relayhub.dialects.openai_chat import OpenAIChat
from relayhub.gateway.call import Call
from relayhub.gateway.course import Courses
from relayhub.gateway.departure import LeavingTerms
from relayhub.gateway.lanes import Codecs
from relayhub.gateway.steady import SteadyWays
from relayhub.routing.capabilities import Capabilities
from relayhub.routing.catalog import Catalog, ModelSpec, Route
from relayhub.routing.provider import Provider
from relayhub.sdk import NativeCall, ProviderContext
from relayhub.testing import FakeClock
from relayhub.types.call import Dialect, Operation, Principal
from relayhub.types.errors import ClientError
from relayhub.types.http import Deadlines, HttpRequest
from relayhub.types.on_disconnect import OnDisconnect
from relayhub.types.usage import Usage
from relayhub.upstream.lean.transport import LeanTransport
from relayhub.upstream.options import NetworkOptions
from relayhub_openai.provider import OpenAIProvider, OpenAIWire
from relayhub_openai.settings import OpenAISettings

KEY = Principal("key_1", "k", "acc_1")
OLD, NEW = Price(input=1), Price(input=2)


class Bench:
    def __init__(self, transport: LeanTransport) -> None:
        self.clock = FakeClock()
        self.transport = transport

    def route(self, name: str, price: Price = OLD, tariff: Tariff | None = None) -> Route:
        settings = OpenAISettings(api_key=SecretStr("sk"), base_url="https://up.example/v1")
        built = OpenAIProvider(settings, ProviderContext(name, self.clock, "relayhub/test"))
        able = Capabilities.of(built)
        provider = Provider(name, "openai", able, self.transport, Deadlines(), {}, {}, proxied=True)
        return Route(provider, "m-up", price, 100, tariff=tariff)

    def courses(self, *routes: Route, terms: LeavingTerms | None = None) -> Courses:
        return self.courses_of([ModelSpec("m", route) for route in routes], terms)

    def courses_of(self, specs: Sequence[ModelSpec], terms: LeavingTerms | None = None) -> Courses:
        catalog = Catalog(specs, 0, self.clock.now)
        codecs = Codecs({Dialect.OPENAI_CHAT: OpenAIChat()}, {})
        return Courses(catalog, SteadyWays(codecs), terms or LeavingTerms(), self.clock)

    def later(self, seconds: float, price: Price = NEW, *, before: Price | None = OLD) -> Tariff:
        """Another price from then on. ``before``: the one until then."""
        dated = [(self.clock.now() + seconds, price)]
        return Tariff.of(dated if before is None else [(SINCE_EVER, before), *dated])


def call(principal: Principal = KEY, *, stream: bool = False, model: str = "m") -> Call:
    envelope = Envelope(model, stream, include_usage=True, output_cap=None, choices=1, user=None)
    return Call("req_1", principal, Operation.CHAT, Dialect.OPENAI_CHAT, b"{}", envelope, 0.0)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    transport = LeanTransport(NetworkOptions(), "relayhub/test")
    yield Bench(transport)
    await transport.close()


async def test_the_same_course_is_found_again(bench: Bench) -> None:
    courses = bench.courses(bench.route("up"))
    found = courses.of(call())
    assert found is not None
    assert courses.of(call()) is found
    assert courses.of(call(stream=True)) is not found


async def test_a_price_counts_from_its_moment_on(bench: Bench) -> None:
    courses = bench.courses(bench.route("up", tariff=bench.later(60)))
    prices = []
    for _ in range(3):
        found = courses.of(call())
        assert found is not None
        prices.append((found.route.price, found.about.price))
        bench.clock.advance(30)
    assert prices == [(OLD, OLD.describe())] * 2 + [(NEW, NEW.describe())]


async def test_a_second_provider_counts_from_its_first_price_on(bench: Bench) -> None:
    """Also where nothing changes for the first one."""
    courses = bench.courses(bench.route("up"), bench.route("other", tariff=bench.later(60, before=None)))
    assert courses.of(call()) is not None
    bench.clock.advance(60)
    assert courses.of(call()) is None


async def test_what_has_no_price_yet_is_asked_for_anew(bench: Bench) -> None:
    courses = bench.courses(bench.route("up", tariff=bench.later(60, before=None)))
    with pytest.raises(ClientError) as refused:
        courses.of(call())
    assert refused.value.code == "not_priced"
    bench.clock.advance(60)
    found = courses.of(call())
    assert found is not None
    assert found.route.price == NEW


async def test_a_key_that_was_changed_has_a_course_of_its_own(bench: Bench) -> None:
    courses = bench.courses(bench.route("up", Price(input=1000)))
    full = courses.of(call())
    half = courses.of(call(replace(KEY, discount_ppm=500_000)))
    assert full is not None
    assert half is not None
    assert full.route.price.cost_nano(Usage(1_000_000)) == 2 * half.route.price.cost_nano(Usage(1_000_000)) > 0
    with pytest.raises(ClientError):
        courses.of(call(replace(KEY, models=frozenset({"other"}))))


@pytest.mark.parametrize("of_key", [True, False])
async def test_a_call_that_may_go_on_without_its_client_has_none(bench: Bench, of_key: bool) -> None:
    drain = OnDisconnect.DRAIN
    key = replace(KEY, on_disconnect=drain) if of_key else KEY
    courses = bench.courses(bench.route("up"), terms=LeavingTerms() if of_key else LeavingTerms(drain))
    assert courses.of(call(key)) is None


@pytest.mark.parametrize("stream", [False, True])
async def test_a_course_of_whole_answers_is_brief(bench: Bench, stream: bool) -> None:
    found = bench.courses(bench.route("up")).of(call(stream=stream))
    assert found is not None
    assert found.is_brief is not stream


@pytest.mark.parametrize("dropped", [(), ("seed",)])
async def test_a_course_whose_clients_are_told_what_was_dropped_is_not_brief(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, dropped: tuple[str, ...]
) -> None:
    request = OpenAIWire.request

    def dropping(wire: OpenAIWire, asked: NativeCall) -> HttpRequest:
        return replace(request(wire, asked), dropped=dropped)

    monkeypatch.setattr(OpenAIWire, "request", dropping)
    found = bench.courses(bench.route("up")).of(call())
    assert found is not None
    assert found.way.dropped == dropped
    assert found.is_brief is not bool(dropped)


async def test_a_course_of_a_fallback_is_not_brief(bench: Bench) -> None:
    """Where it is the only route, for the model itself has no price yet: its calls have its name in their rows."""
    unpriced, other = bench.route("up", tariff=bench.later(60, before=None)), bench.route("other")
    specs = [ModelSpec("m", unpriced, fallbacks=("n",)), ModelSpec("n", other)]
    courses = bench.courses_of(specs)
    found, own = courses.of(call()), courses.of(call(model="n"))
    assert found is not None
    assert own is not None
    assert (found.resolved.model, found.route.model, found.is_brief) == ("m", "n", False)
    assert (own.resolved.model, own.route.model, own.is_brief) == ("n", None, True)
