"""Which names a key may use, and what the answer is for those it may not."""

from __future__ import annotations

import pytest

from relayhub.accounts.pricing import Price
from relayhub.routing.capabilities import Capabilities
from relayhub.routing.catalog import Catalog, ModelSpec, Resolved, Route
from relayhub.routing.provider import Provider
from relayhub.types.call import Operation, Principal
from relayhub.types.errors import ClientError, ErrorKind
from relayhub.types.http import Deadlines
from tests.support.transports import NoTransport


def route(provider: str, upstream: str) -> Route:
    built = Provider(provider, "any", Capabilities({}), NoTransport(), Deadlines(), {}, {})
    return Route(built, upstream, Price(), 4096)


def spec(name: str, provider: str = "p", *, upstream: str | None = None, **fields: object) -> ModelSpec:
    return ModelSpec(name, route(provider, upstream or name), **fields)  # type: ignore[arg-type]


CATALOG = Catalog(
    [
        spec("fast", aliases=("quick",)),
        spec("fast", "q", upstream="fast-2"),
        spec("secret", public=False),
        spec("embed", operations=frozenset({Operation.EMBEDDINGS})),
        spec("lab/*", upstream="*-preview"),
        spec("lab/big-*", "q", upstream="big/*"),
    ],
    created=1,
)


def principal(*models: str) -> Principal:
    return Principal("key_1", "k", "acct_1", frozenset(models) if models else None)


def resolve(asked: str, *models: str, operation: Operation = Operation.CHAT) -> Resolved:
    return CATALOG.resolve(asked, principal(*models), operation)


def upstreams(resolved: Resolved) -> list[tuple[str, str]]:
    return [(route.provider.name, route.upstream_model) for route in resolved.routes]


def test_routes_come_in_the_order_of_the_config() -> None:
    assert upstreams(resolve("fast")) == [("p", "fast"), ("q", "fast-2")]


def test_an_alias_is_the_model_itself() -> None:
    assert resolve("quick") == resolve("fast")
    assert resolve("quick").model == "fast"


def test_a_wildcard_passes_the_rest_of_the_name_on() -> None:
    assert upstreams(resolve("lab/one")) == [("p", "one-preview")]
    assert resolve("lab/one").model == "lab/one"


def test_the_longest_wildcard_wins() -> None:
    assert upstreams(resolve("lab/big-two")) == [("q", "big/two")]


@pytest.mark.parametrize("models", [("fast",), ("quick",), ("fa*",)])
def test_a_key_may_be_limited_by_name_alias_or_prefix(models: tuple[str, ...]) -> None:
    assert resolve("quick", *models).model == "fast"
    with pytest.raises(ClientError):
        resolve("secret", *models)


def test_unknown_and_forbidden_models_get_the_same_answer() -> None:
    def refusal(asked: str) -> ClientError:
        with pytest.raises(ClientError) as caught:
            resolve(asked, "fast")
        return caught.value

    unknown, forbidden = refusal("secrets"), refusal("secret")
    assert unknown.kind is forbidden.kind is ErrorKind.NOT_FOUND
    assert unknown.message.replace("secrets", "secret") == forbidden.message


def test_the_nearest_names_are_those_the_key_may_use() -> None:
    with pytest.raises(ClientError) as caught:
        resolve("embedd", "embed")
    assert "Did you mean 'embed'?" in caught.value.message


def test_a_model_that_does_not_serve_the_operation_says_so() -> None:
    with pytest.raises(ClientError) as caught:
        resolve("fast", operation=Operation.EMBEDDINGS)
    assert caught.value.code == "operation_not_supported"


def test_without_a_key_only_public_models_are_seen() -> None:
    assert [model.name for model in CATALOG.visible(None)] == ["fast", "embed"]
    assert [model.name for model in CATALOG.visible(principal())] == ["fast", "secret", "embed"]
    assert [model.name for model in CATALOG.visible(principal("secret"))] == ["secret"]


def test_finding_one_model_follows_the_same_rules() -> None:
    assert CATALOG.find("quick", None).name == "fast"
    assert CATALOG.find("lab/one", principal()).owner == "p"
    for asked, who in (("secret", None), ("fast", principal("embed")), ("nothing", principal())):
        with pytest.raises(ClientError):
            CATALOG.find(asked, who)


def on(platform: str, asked: str, *models: str) -> Resolved:
    return CATALOG.resolve(asked, principal(*models), Operation.CHAT, platform)


def test_a_platform_pins_its_provider() -> None:
    assert upstreams(on("q", "fast")) == [("q", "fast-2")]
    assert upstreams(on("p", "fast")) == [("p", "fast")]
    assert upstreams(on("q", "lab/big-two")) == [("q", "big/two")]
    assert upstreams(on("p", "lab/big-two")) == [("p", "big-two-preview")]


def test_a_platform_may_be_a_type_then_all_of_its_providers_serve() -> None:
    assert upstreams(on("any", "fast")) == [("p", "fast"), ("q", "fast-2")]


def test_on_a_platform_the_upstreams_name_is_known_and_the_model_stays_itself() -> None:
    resolved = on("q", "fast-2")
    assert (resolved.model, upstreams(resolved)) == ("fast", [("q", "fast-2")])
    with pytest.raises(ClientError):
        resolve("fast-2")
    with pytest.raises(ClientError):
        on("p", "fast-2")


def test_the_upstreams_name_is_no_way_around_a_keys_models() -> None:
    with pytest.raises(ClientError):
        on("q", "fast-2", "secret")
    assert on("q", "fast-2", "fast").model == "fast"


def test_an_unknown_platform_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ClientError) as caught:
        on("nowhere", "fast")
    assert (caught.value.kind, caught.value.code) == (ErrorKind.NOT_FOUND, "unknown_platform")
    assert "'any', 'p', 'q'" in caught.value.message


def test_counting_tokens_goes_with_chat() -> None:
    assert upstreams(resolve("secret", operation=Operation.COUNT_TOKENS)) == [("p", "secret")]
    with pytest.raises(ClientError):
        resolve("embed", operation=Operation.COUNT_TOKENS)


def test_a_platform_lists_its_own_models() -> None:
    assert [model.name for model in CATALOG.visible(principal(), "q")] == ["fast"]
    assert CATALOG.visible(None)[1].operations == ("embeddings",)
