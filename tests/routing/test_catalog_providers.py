"""A key may be for some providers only: for it the others' models do not exist."""

from __future__ import annotations

import pytest

from relayhub.types.call import Operation, Principal
from relayhub.types.errors import ClientError, ErrorKind
from tests.routing.test_catalog import CATALOG, upstreams


def key(*providers: str) -> Principal:
    return Principal("key_1", "k", "acct_1", providers=frozenset(providers))


def test_only_routes_of_its_providers_serve_a_key() -> None:
    assert upstreams(CATALOG.resolve("fast", key("q"), Operation.CHAT)) == [("q", "fast-2")]
    assert upstreams(CATALOG.resolve("fast", key("any"), Operation.CHAT)) == [("p", "fast"), ("q", "fast-2")]
    assert upstreams(CATALOG.resolve("lab/big-two", key("q"), Operation.CHAT)) == [("q", "big/two")]


@pytest.mark.parametrize("asked", ["secret", "embed", "lab/one"])
def test_what_only_others_serve_is_unknown_to_it(asked: str) -> None:
    with pytest.raises(ClientError) as caught:
        CATALOG.resolve(asked, key("q"), Operation.CHAT)
    assert (caught.value.kind, caught.value.code) == (ErrorKind.NOT_FOUND, "model_not_found")
    with pytest.raises(ClientError):
        CATALOG.find(asked, key("q"))


def test_a_list_shows_what_a_key_may_use() -> None:
    assert [card.name for card in CATALOG.visible(key("q"))] == ["fast"]
    assert CATALOG.find("fast", key("q")).owner == "q"
    assert CATALOG.first_serving(Operation.EMBEDDINGS, key("q")) is None
    assert CATALOG.first_serving(Operation.EMBEDDINGS, key("p")) == "embed"
