"""A last word on the order of routes, for plugins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from relayhub.routing.catalog import Route
from relayhub.sdk.ordering import CallView, RouteView

Order: TypeAlias = Callable[[CallView, Sequence[RouteView]], Sequence[RouteView] | None]
"""Some of the views it is given, in another order; ``None``: no opinion."""

About: TypeAlias = Callable[[], CallView]
"""Only asked where somebody orders."""


def ordered(
    routes: Sequence[Route], views: Sequence[RouteView], chosen: Sequence[RouteView] | None
) -> tuple[Route, ...]:
    """``views``: one for each route, in the same order. Each route once."""
    if chosen is None:
        return tuple(routes)
    of = {id(view): route for view, route in zip(views, routes, strict=True)}
    return tuple(of[one] for one in dict.fromkeys(id(view) for view in chosen))
