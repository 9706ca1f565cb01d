"""Circuits: what opens them, for how long, and what closes them again. Time is turned by hand."""

from __future__ import annotations

import pytest

from relayhub.dialects.upstream_errors import decode_error
from relayhub.routing.catalog import Route
from relayhub.routing.health import MAX_TRACKED, Cause, Health, State, Terms, Verdict, verdict_of
from relayhub.testing import FakeClock
from relayhub.types.errors import ErrorKind, HubError, UpstreamError, invalid_request
from relayhub.types.http import HttpReply
from relayhub.upstream import faults
from tests.routing.routes import route

FAILED = Verdict(Cause.FAILURES)
UP = route("up", "a")
SIBLING, OTHER_MODEL = route("up", "b"), route("up", "a", upstream="m2")


class Table:
    """A health table and its clock."""

    def __init__(self, **terms: float) -> None:
        self.clock = FakeClock()
        self.clock.advance(100)
        self.health = Health(self.clock, Terms(**terms))  # type: ignore[arg-type]

    def call(self, verdict: Verdict | None, *, way: object = UP) -> None:
        """A whole call, begun and ended at this moment."""
        assert isinstance(way, type(UP))
        began, (load, probe) = self.clock.monotonic(), self.health.begin(way)
        self.health.end(way, load)
        if verdict is None:
            self.health.answered(way, load, began, self.clock.monotonic())
            self.health.succeeded(way, began)
        else:
            self.health.failed(way, verdict, probe=probe)

    def state(self, way: object = UP) -> State:
        assert isinstance(way, type(UP))
        return self.health.standing(way).state

    def wait_s(self) -> float:
        return self.health.standing(UP).wait_s


def reply(status: int, **headers: str) -> UpstreamError:
    return decode_error(HttpReply(status, {name.replace("_", "-"): text for name, text in headers.items()}, b"{}"))


# --- what a failure says ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (reply(429, retry_after="7"), Verdict(Cause.RATE_LIMITED, 7.0)),
        (
            reply(429, retry_after="Wed, 21 Oct 2026 07:28:30 GMT", date="Wed, 21 Oct 2026 07:28:00 GMT"),
            Verdict(Cause.RATE_LIMITED, 30.0),
        ),
        (reply(429), Verdict(Cause.RATE_LIMITED)),
        (reply(429, retry_after="0"), Verdict(Cause.RATE_LIMITED)),
        (reply(503, retry_after="3"), Verdict(Cause.OVERLOADED, 3.0)),
        (reply(503), FAILED),
        (reply(401), Verdict(Cause.CREDENTIAL, whole_credential=True)),
        (reply(403), Verdict(Cause.CREDENTIAL)),
        (reply(402), Verdict(Cause.QUOTA, whole_credential=True)),
        (reply(500), FAILED),
        (faults.not_reached("refused"), FAILED),
        (faults.too_slow("head", 5), FAILED),
        (faults.truncated("short"), FAILED),
        (faults.upload_lost("disk"), None),
        (faults.not_sendable("url"), None),
        (reply(400), None),
        (invalid_request("no"), None),
        (HubError(ErrorKind.UNAVAILABLE, "no", code="x"), None),
    ],
)
def test_what_a_failure_says_of_its_route(error: BaseException, verdict: Verdict | None) -> None:
    assert verdict_of(error) == verdict


# --- opening ------------------------------------------------------------------------------------------------------------


def test_a_route_rests_after_so_many_failures_in_a_row() -> None:
    table = Table(failures=3)
    for _ in range(2):
        table.call(FAILED)
    assert table.state() is State.CLOSED
    table.call(FAILED)
    assert table.state() is State.OPEN
    assert table.wait_s() == 5


def test_a_success_in_between_begins_the_count_again() -> None:
    table = Table(failures=3)
    for verdict in (FAILED, FAILED, None, FAILED, FAILED):
        table.call(verdict)
    assert table.state() is State.CLOSED


def test_an_upstream_that_says_when_is_left_alone_until_then() -> None:
    table = Table()
    table.call(Verdict(Cause.RATE_LIMITED, 30.0))
    table.clock.advance(29.9)
    standing = table.health.standing(UP)
    assert (standing.state, standing.told, standing.last_resort) == (State.OPEN, True, False)
    table.clock.advance(0.2)
    assert table.state() is State.HALF_OPEN


def test_no_rest_is_longer_than_the_longest() -> None:
    table = Table(longest_rest_s=60)
    table.call(Verdict(Cause.RATE_LIMITED, 86400.0))
    assert table.wait_s() == 60


def test_a_limit_concerns_one_model_of_one_credential() -> None:
    table = Table()
    table.call(Verdict(Cause.RATE_LIMITED, 30.0))
    assert (table.state(SIBLING), table.state(OTHER_MODEL)) == (State.CLOSED, State.CLOSED)


def test_a_refused_credential_rests_with_all_its_models_and_no_other_does() -> None:
    table = Table()
    table.call(Verdict(Cause.CREDENTIAL, whole_credential=True))
    assert (table.state(), table.state(OTHER_MODEL), table.state(SIBLING)) == (State.OPEN, State.OPEN, State.CLOSED)
    assert table.health.standing(OTHER_MODEL).cause is Cause.CREDENTIAL


# --- closing ------------------------------------------------------------------------------------------------------------


def opened(**terms: float) -> Table:
    table = Table(failures=1, **terms)
    table.call(FAILED)
    return table


def test_one_probe_at_a_time_finds_out() -> None:
    table = opened()
    table.clock.advance(5)
    assert table.health.begin(UP)[1] is True
    assert table.health.standing(UP).probing
    assert table.health.begin(UP)[1] is False


def test_a_probe_that_answers_closes_and_one_that_fails_rests_twice_as_long() -> None:
    table = opened()
    table.clock.advance(5)
    table.call(FAILED)
    assert (table.state(), table.wait_s()) == (State.OPEN, 10)
    table.clock.advance(10)
    table.call(None)
    assert table.state() is State.CLOSED
    table.call(FAILED)
    assert table.wait_s() == 5


def test_others_may_come_as_soon_as_the_probe_begins_to_answer() -> None:
    table = opened()
    table.clock.advance(5)
    began = table.clock.monotonic()
    load, _ = table.health.begin(UP)
    table.health.answered(UP, load, began, table.clock.monotonic())
    assert table.state() is State.CLOSED


def test_a_probe_whose_client_left_makes_room_for_another() -> None:
    table = opened()
    table.clock.advance(5)
    load, probe = table.health.begin(UP)
    table.health.end(UP, load)
    table.health.abandoned(UP, probe=probe)
    assert table.health.begin(UP)[1] is True


def test_a_call_from_before_neither_closes_nor_lengthens() -> None:
    table = Table(failures=1)
    began = table.clock.monotonic()
    load, _ = table.health.begin(UP)
    table.clock.advance(1)
    table.call(FAILED)
    table.health.answered(UP, load, began, table.clock.monotonic())
    table.health.succeeded(UP, began)
    assert table.state() is State.OPEN
    table.health.failed(UP, FAILED, probe=False)
    assert (table.state(), table.wait_s()) == (State.OPEN, 5)


def test_a_call_from_after_closes_even_while_the_route_should_rest() -> None:
    table = opened()
    table.clock.advance(1)
    table.call(None)
    assert table.state() is State.CLOSED


def test_an_upstream_that_is_asked_beside_calls_rests_on_or_waits_for_its_probe() -> None:
    table = opened()
    assert not table.health.rested("up#a")
    table.clock.advance(5)
    assert table.health.rested("up#a")
    table.health.rest_on("up#a")
    assert (table.state(), table.wait_s()) == (State.OPEN, 10)


# --- load ---------------------------------------------------------------------------------------------------------------


def test_a_provider_is_full_with_all_its_credentials_together() -> None:
    table = Table()
    first, second = route("up", "a", max_in_flight=2), route("up", "b", max_in_flight=2)
    load, _ = table.health.begin(first)
    table.health.begin(second)
    assert table.health.standing(first).full
    assert not table.health.is_well(second)
    table.health.end(first, load)
    assert not table.health.standing(first).full
    assert table.health.busy("up") == 1


def test_the_first_byte_is_smoothed() -> None:
    table = Table()
    for took_s in (1.0, 2.0):
        began = table.clock.monotonic()
        table.clock.advance(took_s)
        load, _ = table.health.begin(UP)
        table.health.answered(UP, load, began, table.clock.monotonic())
    assert table.health.standing(UP).first_byte_s == pytest.approx(1.3)


def test_a_wildcards_names_without_end_are_not_kept_without_end() -> None:
    table = opened()
    for number in range(MAX_TRACKED + 10):
        table.call(FAILED, way=route("up", "a", upstream=f"x{number}"))
    assert len(table.health._circuits) <= MAX_TRACKED
    assert len(table.health._loads) <= MAX_TRACKED


def busy(table: Table, way: Route) -> tuple[int, int]:
    """Calls under way by this route, and at its provider."""
    return table.health.standing(way).busy, table.health.busy(way.provider.name)


def test_the_load_of_a_call_under_way_outlives_all_newer_ones() -> None:
    table = Table()
    load, _ = table.health.begin(UP)
    for number in range(MAX_TRACKED + 10):
        table.call(None, way=route("up", "a", upstream=f"x{number}"))
    assert busy(table, UP) == (1, 1)
    again, _ = table.health.begin(UP)
    assert again is load
    for _ in range(2):
        table.health.end(UP, load)
    assert busy(table, UP) == (0, 0)


def test_the_load_of_a_call_under_way_outlives_its_credential() -> None:
    table = Table()
    load, _ = table.health.begin(UP)
    table.health.forget("up#a")
    assert busy(table, UP) == (1, 1)
    table.health.end(UP, load)
    assert busy(table, UP) == (0, 0)
    table.health.forget("up#a")
    assert table.health.observed("up#a") == []


def test_an_end_that_is_told_twice_is_counted_once() -> None:
    table = Table()
    load, _ = table.health.begin(UP)
    for _ in range(2):
        table.health.end(UP, load)
    assert busy(table, UP) == (0, 0)
    table.health.begin(UP)
    assert busy(table, UP) == (1, 1)
