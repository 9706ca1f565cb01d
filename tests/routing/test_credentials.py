"""Several credentials of one provider: who is asked about what was made with one of them."""

from __future__ import annotations

import pytest

from relayhub.routing.credentials import Providers, keeper
from tests.routing.routes import provider


def credential(providers: Providers, name: str, wanted: str | None) -> str | None:
    found = keeper(providers, name, wanted)
    return None if found is None else found.label


SEVERAL = Providers([provider("p", "a"), provider("q"), provider("p", "b")])


def test_a_provider_is_its_first_credential_and_all_can_be_had() -> None:
    assert list(SEVERAL) == ["p", "q"]
    assert SEVERAL["p"].label == "p#a"
    assert [one.label for one in SEVERAL.credentials("p")] == ["p#a", "p#b"]
    assert len(SEVERAL.every()) == 3


@pytest.mark.parametrize(
    ("wanted", "found"),
    [("b", "p#b"), ("a", "p#a"), (None, "p#a"), ("gone", None)],
)
def test_only_the_account_that_made_it_is_asked(wanted: str | None, found: str | None) -> None:
    assert credential(SEVERAL, "p", wanted) == found


def test_a_credential_that_stands_alone_is_the_renewed_one() -> None:
    alone = Providers([provider("p", "new")])
    assert credential(alone, "p", "old") == "p#new"
    assert credential(Providers([provider("p")]), "p", "old") == "p"


def test_an_entry_that_is_gone_can_tell_nothing() -> None:
    assert credential(SEVERAL, "r", None) is None
