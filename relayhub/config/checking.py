"""From a tree to pydantic models, strictly: no value is taken for another type, except text that came from outside."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from relayhub.config.problems import Problem
from relayhub.config.schema import Section
from relayhub.config.source import Place, Spot
from relayhub.config.tree import KeyPath, Node, dotted, mapping
from relayhub.config.words import cause, did_you_mean, listed

ModelT = TypeVar("ModelT", bound=BaseModel)
_Location = Sequence[str | int]

_SHORTEST_SECRET = 6
"""Characters; a value that is shorter is a port or a switch."""

_LISTS = frozenset({"tuple_type", "set_type", "frozen_set_type"})
_TEXTS = frozenset(
    {"path_type", "is_instance_of", "url_type", "bytes_type", "uuid_type", "decimal_type"}
    | {"date_type", "datetime_type", "time_type", "time_delta_type"}
)
"""What strict mode says of JSON's lists and texts behind a plugin's own ``mode="before"`` validator."""


class Checker:
    """Collects what is wrong. ``folder``: what relative paths are relative to."""

    def __init__(self, folder: Path, homes: Mapping[str, str] | None = None) -> None:
        """``homes``: top-level keys by the names that people put at the top level by mistake."""
        self.folder = folder
        self.problems: list[Problem] = []
        self._homes = homes or {}
        self._seen: set[tuple[Place, str]] = set()

    def add(self, spot: Spot, path: KeyPath, message: str, hint: str | None = None) -> None:
        """One place and cause is reported once, by however many ways it is found."""
        if (spot.place, message) not in self._seen:
            self._seen.add((spot.place, message))
            self.problems.append(Problem(spot, dotted(path), message, hint))

    def unknown_key(self, node: Node, path: KeyPath, known: Iterable[str]) -> None:
        """The value may be a secret under a mistyped name, so text and long numbers are not shown."""
        name = str(path[-1])
        for scalar in node.scalars():
            if len(str(scalar.value)) >= _SHORTEST_SECRET:
                scalar.spot.source.hide(scalar.spot.span)
        names = sorted(known)
        hint = did_you_mean(name, names)
        if hint is None and len(path) == 1 and name in self._homes:
            hint = f"It belongs under `{self._homes[name]}:`."
        self.add(node.at_key, path, f"unknown key `{name}`", hint or f"Known here: {listed(names)}.")

    def build(self, model: type[ModelT], node: Node, path: KeyPath) -> ModelT | None:
        """``node`` as ``model``, or ``None`` and problems. A value from outside that a field refuses is tried in its
        other reading."""
        node = _without_empty(node, [model])
        while True:
            built, errors = self._try(model, node)
            if built is not None:
                return built
            retry = node
            for error in errors:
                retry = _with_alternative(retry, error["loc"], error["type"])
            if retry is node:
                break
            node = retry
        for error in errors:
            if not any(_is_within(other["loc"], error["loc"]) for other in errors):
                self._report(error, model, node, path)
        return None

    def leniently(self, model: type[ModelT], node: Node) -> ModelT:
        """``node`` as ``model``, without the keys that are wrong."""
        node = _without_empty(node, [model])
        while True:
            built, errors = self._try(model, node)
            if built is not None:
                return built
            wrong = {str(error["loc"][0]) for error in errors if error["loc"]}
            kept = {key: child for key, child in node.entries.items() if key not in wrong}
            if len(kept) == len(node.entries):
                return model()
            node = mapping(kept, node)

    def _try(self, model: type[ModelT], node: Node) -> tuple[ModelT | None, list[ErrorDetails]]:
        """JSON in strict mode: a list may become a tuple, text a path or an enum, but nothing a number or a bool."""
        text, context = json.dumps(node.plain(), allow_nan=False), {"folder": self.folder}
        try:
            return model.model_validate_json(text, strict=True, context=context), []
        except ValidationError as error:
            errors = [details for details in error.errors(include_url=False) if not _is_spurious(details, node)]
        if errors:
            return None, errors
        try:
            return model.model_validate_json(text, context=context), []
        except ValidationError as error:
            return None, error.errors(include_url=False)

    def _report(self, error: ErrorDetails, model: type[BaseModel], root: Node, path: KeyPath) -> None:
        location = error["loc"]
        if error["type"] == "missing":
            node, known = _follow(root, location[:-1])
            self._missing(node, (*path, *known), str(location[-1]), _description(model, location))
            return
        node, known = _follow(root, location)
        if error["type"] == "extra_forbidden":
            self.unknown_key(node, (*path, *known), _keys_at(model, location[:-1]))
        elif not any(scalar.broken for scalar in node.scalars()):
            message, hint = cause(error, node)
            at_key = location[-1:] == ("[key]",) or isinstance(node.value, dict)
            self.add(node.at_key if at_key else node.spot, (*path, *known), message, hint)

    def _missing(self, node: Node, path: KeyPath, name: str, description: str | None) -> None:
        self.add(node.at_key, path, f"`{name}` is missing", f"{name}: {description}" if description else None)


def _is_within(inner: _Location, outer: _Location) -> bool:
    """An error of an item is why its list is "too short"; only the item's is reported."""
    return len(inner) > len(outer) and inner[: len(outer)] == outer


def _is_spurious(error: ErrorDetails, root: Node) -> bool:
    node, _ = _follow(root, error["loc"])
    is_list = isinstance(node.value, tuple) and error["type"] in _LISTS
    return is_list or (isinstance(node.value, str) and error["type"] in _TEXTS)


def _without_empty(node: Node, models: Sequence[type[BaseModel]]) -> Node:
    """In relayhub's own sections a key with nothing behind it (``server:``, all below it commented out) means the
    default. What an empty key means in a plugin's settings is the plugin's business."""
    if not isinstance(node.value, dict) or not any(issubclass(model, Section) for model in models):
        return node
    kept: dict[str, Node] = {}
    for key, child in node.value.items():
        fields = [field for model in models if (field := model.model_fields.get(key)) is not None]
        if child.value is not None or not fields:
            inner = [found for field in fields for found in _models_in(field.annotation)]
            kept[key] = _without_empty(child, inner or models)
    return mapping(kept, node)


def _follow(node: Node, location: _Location) -> tuple[Node, KeyPath]:
    """The node that pydantic means. Its locations have parts of its own (the arm of a union); those are skipped."""
    known: KeyPath = ()
    for part in location:
        child = node.child(part)
        if child is not None:
            node, known = child, (*known, part)
    return node, known


def _with_alternative(node: Node, location: _Location, kind: str) -> Node:
    """``node`` with the value at ``location`` in its other reading; ``node`` itself if there is none that could help: a
    number that is out of bounds is no better as text."""
    for index, part in enumerate(location):
        child = node.child(part)
        if child is None:
            continue
        changed = _with_alternative(child, location[index + 1 :], kind)
        return node if changed is child else _replaced(node, part, changed.under(child.key))
    hopeful = isinstance(node.value, str | float) or kind.endswith("_type")
    return node.alternative if node.alternative is not None and hopeful else node


def _replaced(node: Node, part: str | int, child: Node) -> Node:
    match node.value:
        case dict():
            return mapping({**node.value, str(part): child}, node)
        case tuple():
            items = (child if index == part else item for index, item in enumerate(node.value))
            return replace(node, value=tuple(items))
        case _:
            return node


def key_of(model: type[BaseModel], name: str) -> str:
    """What the YAML calls a field."""
    return model.model_fields[name].alias or name


def keys_of(model: type[BaseModel]) -> list[str]:
    return [key_of(model, name) for name in model.model_fields]


def _models_in(annotation: object) -> list[type[BaseModel]]:
    """The models that an annotation is made of, through ``| None``, lists and mappings."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for inner in get_args(annotation) for found in _models_in(inner)]


def _models_at(model: type[BaseModel], location: _Location) -> list[type[BaseModel]]:
    current = [model]
    for part in location:
        fields = [field for owner in current if (field := owner.model_fields.get(str(part))) is not None]
        current = [found for field in fields for found in _models_in(field.annotation)] or current
    return current


def _keys_at(model: type[BaseModel], location: _Location) -> set[str]:
    return {key for owner in _models_at(model, location) for key in keys_of(owner)}


def _description(model: type[BaseModel], location: _Location) -> str | None:
    fields = [owner.model_fields.get(str(location[-1])) for owner in _models_at(model, location[:-1])]
    return next((field.description for field in fields if field is not None), None)
