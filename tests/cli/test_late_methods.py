"""A dataclass whose methods are compiled late is a dataclass like any other."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from dataclasses import FrozenInstanceError, dataclass, field, replace
from typing import Any, ClassVar

import pytest

from relayhub.cli.late_methods import methods_later

until_3_12 = pytest.mark.skipif(sys.version_info >= (3, 13), reason="compiles the methods of a class together")


def late_pair() -> Any:
    with methods_later():

        @dataclass(frozen=True, slots=True, order=True)
        class Late:
            left: int
            right: list[int] = field(default_factory=list, compare=False)
            known: ClassVar[int] = 7

            def __post_init__(self) -> None:
                if self.left < 0:
                    raise ValueError("left")

    return Late


def at_once_pair() -> Any:
    @dataclass(frozen=True, slots=True, order=True)
    class Late:
        left: int
        right: list[int] = field(default_factory=list, compare=False)
        known: ClassVar[int] = 7

        def __post_init__(self) -> None:
            if self.left < 0:
                raise ValueError("left")

    return Late


def code_of(kind: Any, name: str) -> str:
    return str(vars(kind)[name].__code__.co_filename)


@until_3_12
def test_a_method_is_compiled_at_its_first_call_and_stands_in_its_place() -> None:
    kind = late_pair()
    assert code_of(kind, "__init__").endswith("late_methods.py")
    one, other = kind(1), kind(1)
    assert code_of(kind, "__init__") == "<string>"
    assert code_of(kind, "__eq__").endswith("late_methods.py")
    assert one == other
    assert code_of(kind, "__eq__") == "<string>"


@pytest.mark.parametrize("make", [late_pair, at_once_pair])
def test_it_does_what_it_would_have_done(make: Callable[[], Any]) -> None:
    kind = make()
    one = kind(1, [2])
    for _ in range(2):
        assert repr(one).endswith("Late(left=1, right=[2])")
        assert one == kind(left=1) != kind(2)
        assert hash(one) == hash(kind(1))
        assert one < kind(2)
        assert replace(one, left=3).right == [2]
        with pytest.raises(FrozenInstanceError):
            one.left = 5
        with pytest.raises(ValueError, match="left"):
            kind(-1)
        with pytest.raises(TypeError, match=r"Late\.__init__\(\) missing 1 required positional argument: 'left'"):
            kind()
    assert kind.__init__.__qualname__ == f"{kind.__qualname__}.__init__"


def test_what_inherits_from_it_uses_the_same_methods() -> None:
    with methods_later():

        @dataclass
        class Base:
            left: int

        class Plain(Base):
            def __init__(self, left: int) -> None:
                super().__init__(left + 1)

        @dataclass
        class More(Base):
            right: int = 0

    assert (Plain(1).left, Base(1).left) == (2, 1)
    assert (More(1, 2), Base(3)) == (More(1, 2), Base(3))


def test_dataclasses_that_are_made_later_are_made_as_ever() -> None:
    before = dict(vars(dataclasses))
    with methods_later():
        pass
    assert dict(vars(dataclasses)) == before
