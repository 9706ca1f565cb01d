"""Dataclasses whose methods are compiled when they are first called, not when the class is made.

Python writes five or six methods for a dataclass and compiles each by itself. For the some four hundred that a hub imports
that is a fifth of its start, and most of these methods are never called: nobody prints, compares or hashes them.

Two things can be told from outside: until its first call a method's signature is that of anything, which a class without a
docstring then has as its docstring; and a ``__repr__``, which Python wraps once more, goes on through this one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Method = Callable[..., Any]
COMPILE = "_create_fn"
"""Python's own, until 3.12. From 3.13 on it compiles the methods of a class together and has none of this name: there they
are made as ever."""


@contextmanager
def methods_later() -> Iterator[None]:
    """Of dataclasses that are made while the block runs."""
    module = vars(dataclasses)
    at_once: Method | None = module.get(COMPILE)
    if at_once is None:
        yield
        return

    def later(name: str, *arguments: Any, **named: Any) -> Method:
        return _late(name, lambda: at_once(name, *arguments, **named))

    module[COMPILE] = later
    try:
        yield
    finally:
        module[COMPILE] = at_once


def _late(name: str, compiled: Callable[[], Method]) -> Method:
    """Stands for the method until its first call, which puts the method in its place."""
    made: Method | None = None

    def late(self: object, /, *arguments: object, **named: object) -> object:
        nonlocal made
        if made is None:
            made = compiled()
            made.__qualname__ = late.__qualname__
            for owner in type(self).__mro__:
                if vars(owner).get(name) is late:
                    setattr(owner, name, made)
        return made(self, *arguments, **named)

    late.__name__ = name
    return late
