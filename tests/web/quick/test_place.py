"""The heads of answers that came by the short way, joined around their ids."""

from __future__ import annotations

import pytest

from relayhub.dialects.codec import Framing
from relayhub.gateway.answers import JSON
from relayhub.types.call import Dialect
from relayhub.web.answer_stream import STREAM_HEADERS, stream_type
from relayhub.web.quick.answer import OK, head_bytes, whole_answer
from relayhub.web.quick.place import Place, answer_headers

DATE = "Wed, 21 Oct 2026 07:28:00 GMT"


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize("request_id", ["req_1", "100%", "%s%%", ""])
def test_it_is_the_head_that_any_whole_answer_has(dialect: Dialect, request_id: str) -> None:
    headers = {**answer_headers(request_id, dialect), "content-type": JSON}
    head = Place(dialect).whole_answer_head(request_id, 17, DATE)
    assert head == whole_answer(OK, headers, b"", DATE, 17)


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize("framing", list(Framing))
def test_a_streams_is_told_apart_by_id_and_date_alone(dialect: Dialect, framing: Framing) -> None:
    place = Place(dialect)
    for request_id, date in [("req_1", DATE), ("req_2", DATE), ("100%", "Wed, 21 Oct 2026 07:28:01 GMT"), ("", "")]:
        assert place.stream_head(request_id, framing, date) == head_bytes(
            OK,
            {
                **STREAM_HEADERS,
                **answer_headers(request_id, dialect),
                "content-type": stream_type(framing),
                "transfer-encoding": "chunked",
                "date": date,
            },
        )


@pytest.mark.parametrize("dialect", list(Dialect))
def test_nothing_but_ids_is_left_open_in_it(dialect: Dialect) -> None:
    place, ids = Place(dialect), len(answer_headers("", dialect))
    for around in (place._around_id, place._around_id_of_events, place._around_id_of_array):
        assert len(around) == ids + 1
