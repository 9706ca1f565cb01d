"""The head of a whole answer that came by the short way, joined around its id."""

from __future__ import annotations

import pytest

from relayhub.gateway.answers import JSON
from relayhub.types.call import Dialect
from relayhub.web.quick.answer import OK, whole_answer
from relayhub.web.quick.place import Place, answer_headers

DATE = "Wed, 21 Oct 2026 07:28:00 GMT"


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize("request_id", ["req_1", "100%", "%s%%", ""])
def test_it_is_the_head_that_any_whole_answer_has(dialect: Dialect, request_id: str) -> None:
    headers = {**answer_headers(request_id, dialect), "content-type": JSON}
    head = Place(dialect).whole_answer_head(request_id, 17, DATE)
    assert head == whole_answer(OK, headers, b"", DATE, 17)


@pytest.mark.parametrize("dialect", list(Dialect))
def test_nothing_but_ids_is_left_open_in_it(dialect: Dialect) -> None:
    assert len(Place(dialect)._around_id) == len(answer_headers("", dialect)) + 1
