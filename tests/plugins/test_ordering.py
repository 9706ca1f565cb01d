"""A plugin has the last word on the order of routes, within what it was given; one that misbehaves has none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from relayhub.plugins.host import PluginHost
from relayhub.plugins.isolation import FAILURES_BEFORE_MUTED
from relayhub.routing.catalog import Route
from relayhub.routing.router import Router
from relayhub.sdk import CallView, RouteView
from relayhub.testing import FakeClock
from relayhub.types.call import Operation
from relayhub.types.errors import ErrorKind, HubError
from tests.routing.routes import route

CALL = CallView("req_1", "key_1", "private-1", "acc_1", "chat", "openai.chat", "m")

HEAD = """
from dataclasses import replace
from relayhub.sdk import hookimpl

@hookimpl
def relayhub_order_routes(call, routes):
"""

Ordered = Callable[..., list[str]]


@pytest.fixture
def ordered(tmp_path: Path) -> Ordered:
    def ordered(*bodies: str, call: CallView = CALL) -> list[str]:
        """The providers a, b and c as these plugins would have them tried."""
        for number, body in enumerate(bodies):
            (tmp_path / f"plugin_{number}.py").write_text(HEAD + f"    {body}\n")
        host = PluginHost.load(dirs=[tmp_path])
        assert host.quarantined == ()
        return tried(host, call)

    return ordered


def tried(host: PluginHost, call: CallView = CALL) -> list[str]:
    router = Router(FakeClock(), ordering=host.ordering)
    routes = [route("a"), route("b"), route("c")]
    return [one.provider.name for one in router.way(routes, Operation.CHAT, about=lambda: call)]


def test_it_may_reorder(ordered: Ordered) -> None:
    assert ordered("return routes[::-1]") == ["c", "b", "a"]


def test_it_may_drop(ordered: Ordered) -> None:
    assert ordered("return [route for route in routes if route.provider == 'b']") == ["b"]


def test_it_sees_the_call(ordered: Ordered) -> None:
    body = "return routes[1:] if call.key_name.startswith('private-') else None"
    assert ordered(body) == ["b", "c"]


def test_the_first_opinion_decides(ordered: Ordered) -> None:
    assert ordered("return None", "return routes[:2]", "return routes[2:]") == ["a", "b"]


def test_no_opinion_leaves_the_hubs_order(ordered: Ordered) -> None:
    assert ordered("return None") == ["a", "b", "c"]


def test_each_route_is_tried_once(ordered: Ordered) -> None:
    assert ordered("return [*routes, *routes]") == ["a", "b", "c"]


def test_dropping_all_refuses_the_call(ordered: Ordered) -> None:
    with pytest.raises(HubError) as caught:
        ordered("return []")
    assert (caught.value.kind, caught.value.code) == (ErrorKind.NO_ROUTE, "no_route")


@pytest.mark.parametrize(
    "body",
    [
        "raise RuntimeError('bug')",
        "raise SystemExit(1)",
        "return [replace(routes[0], provider='mine')]",
        "return [None]",
        "return 7",
        "return 'abc'",
    ],
)
def test_one_that_misbehaves_is_ignored_and_muted_in_the_end(tmp_path: Path, body: str) -> None:
    (tmp_path / "broken.py").write_text(HEAD + f"    call_count.append(1)\n    {body}\ncall_count = []\n")
    (tmp_path / "sound.py").write_text(HEAD + "    return routes[::-1]\n")
    host = PluginHost.load(dirs=[tmp_path])
    for _ in range(FAILURES_BEFORE_MUTED + 3):
        assert tried(host) == ["c", "b", "a"]
    broken = next(plugin for plugin in host.plugins if plugin.name == "broken")
    assert len(broken.module.call_count) == FAILURES_BEFORE_MUTED  # type: ignore[attr-defined]


def test_what_it_is_shown_is_not_what_the_hub_works_with(ordered: Ordered) -> None:
    assert ordered("object.__setattr__(routes[0], 'provider', 'x'); return routes") == ["a", "b", "c"]


def test_it_is_shown_how_busy_a_route_is(tmp_path: Path) -> None:
    (tmp_path / "least_busy.py").write_text(HEAD + "    return sorted(routes, key=lambda route: route.busy)\n")
    router = Router(FakeClock(), ordering=PluginHost.load(dirs=[tmp_path]).ordering)
    routes: list[Route] = [route("a"), route("b")]
    with router.way(routes, Operation.CHAT).trying(routes[0]):
        assert [one.provider.name for one in router.order(routes, about=lambda: CALL)] == ["b", "a"]


def test_without_such_a_plugin_nobody_is_asked_and_nothing_is_built() -> None:
    host = PluginHost.load()
    assert host.ordering is None

    def never() -> CallView:
        raise AssertionError("built for nobody")

    router = Router(FakeClock(), ordering=host.ordering)
    assert len(router.order([route("a"), route("b")], about=never)) == 2


def test_the_view_says_what_a_rule_may_need() -> None:
    seen: list[RouteView] = []

    def look(call: CallView, routes: object) -> None:
        assert isinstance(routes, tuple)
        seen.extend(routes)

    Router(FakeClock(), ordering=look).order([route("a")], about=lambda: CALL)
    assert seen == [RouteView("a", seen[0].provider_type, None, seen[0].upstream_model, 1, None, 0, 0, None)]
