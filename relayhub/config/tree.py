"""YAML as values that remember where they stood."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

import yaml

from relayhub.config.problems import ConfigError, Problem
from relayhub.config.secrets import is_reference, is_secret_name
from relayhub.config.source import Source, Span, Spot
from relayhub.types.json import Json

KeyPath: TypeAlias = tuple[str | int, ...]
Scalar: TypeAlias = bool | int | float | str | None

MAX_DEPTH = 40
"""Nesting of a config: the deepest real one has 8 levels; an alias inside its own anchor would have no end."""

MAX_VALUES = 50_000
"""Values after aliases are followed: thousands of models fit, a few lines of nested aliases do not."""

_LONGEST_NUMBER = 40
"""Digits; what is longer is no number that a config could need."""

_TAG = "tag:yaml.org,2002:"
_CORE: tuple[tuple[str, str, str], ...] = (
    ("null", r"~|null|Null|NULL|", "~nN"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("merge", r"<<", "<"),
)
"""YAML 1.2's core schema: ``yes`` and ``off`` are text, ``1:30`` is no number, ``010`` is ten."""


class _Mark(Protocol):
    """Counted from 0; libyaml's marks and PyYAML's are different classes."""

    line: int
    column: int


class _Loader(yaml.CSafeLoader):
    yaml_implicit_resolvers = {
        first: [(_TAG + tag, re.compile(rf"^(?:{regex})$")) for tag, regex, firsts in _CORE if first in firsts]
        for first in {*"".join(firsts for _, _, firsts in _CORE)}
    } | {"": [(_TAG + "null", re.compile("^$"))]}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Node:
    """A value and where it stands. ``key``: where its key stands, for a value of a mapping.

    ``outside``: the value came from the environment or a flag, so it has no type of its own. ``alternative``: the other
    way to read it (``"8080"`` and 8080), for a field that refuses the first. ``broken``: a problem has been reported
    already and the value means nothing.
    """

    value: Scalar | tuple[Node, ...] | dict[str, Node]
    spot: Spot
    key: Spot | None = None
    quoted: bool = False
    outside: bool = False
    alternative: Node | None = None
    broken: bool = False

    @property
    def at_key(self) -> Spot:
        return self.key or self.spot

    @property
    def entries(self) -> dict[str, Node]:
        """The children of a mapping; nothing for anything else."""
        return self.value if isinstance(self.value, dict) else {}

    def plain(self) -> Json:
        """The value alone, JSON-able."""
        match self.value:
            case dict():
                return {key: child.plain() for key, child in self.value.items()}
            case tuple():
                return [child.plain() for child in self.value]
            case scalar:
                return scalar

    def child(self, part: str | int) -> Node | None:
        match self.value:
            case dict():
                return self.value.get(str(part))
            case tuple() if isinstance(part, int) and 0 <= part < len(self.value):
                return self.value[part]
            case _:
                return None

    def scalars(self) -> list[Node]:
        """Every scalar in it, in order."""
        match self.value:
            case dict():
                return [found for child in self.value.values() for found in child.scalars()]
            case tuple():
                return [found for child in self.value for found in child.scalars()]
            case _:
                return [self]

    def under(self, key: Spot | None) -> Node:
        """The same value as the value of another key."""
        return replace(self, key=key)


def mapping(entries: dict[str, Node], like: Node) -> Node:
    """These entries in the place of ``like``."""
    return replace(like, value=entries, alternative=None)


def empty(source: Source) -> Node:
    return Node({}, Spot(source, Span(1, 1, 1, 1) if source.lines else None))


def made(value: Json, spot: Spot) -> Node:
    """A node for a value that no text says."""
    match value:
        case dict():
            return Node({key: made(item, spot).under(spot) for key, item in value.items()}, spot)
        case list():
            return Node(tuple(made(item, spot) for item in value), spot)
        case scalar:
            return Node(scalar, spot)


def scalar_of(text: str) -> Scalar:
    """``text`` as YAML would read it without quotes, if it is a scalar at all."""
    for tag, regex, _ in _CORE:
        if tag != "merge" and re.fullmatch(regex, text):
            return _typed(tag, text)
    return text


def _typed(tag: str, text: str) -> Scalar:
    match tag:
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int" if len(text) <= _LONGEST_NUMBER:
            return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
        case "float" if math.isfinite(number := float(text)):
            return number
        case _:
            return text


def parse(text: str, source: Source, problems: list[Problem]) -> Node | None:
    """The root, or ``None`` for an empty text. What YAML cannot read raises ``ConfigError``; duplicate keys, unknown
    tags and the like are added to ``problems``."""
    try:
        _check_depth(text, source)
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        raise ConfigError([_syntax_problem(error, source)]) from None
    except yaml.reader.ReaderError as error:
        raise ConfigError([_character_problem(error, text, source)]) from None
    source.parsed = True
    return _Builder(source, problems).build(root, (), 0, secret=False) if root is not None else None


def _check_depth(text: str, source: Source) -> None:
    """Before the parser that calls itself for every level sees it."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        match event:
            case yaml.CollectionStartEvent():
                depth += 1
            case yaml.CollectionEndEvent():
                depth -= 1
        if depth > MAX_DEPTH:
            raise ConfigError([_too_deep(Spot(source, _span(event.start_mark, event.end_mark)))])


def _too_deep(spot: Spot) -> Problem:
    return Problem(spot, "", f"nested deeper than {MAX_DEPTH} levels")


def _span(start: _Mark | None, end: _Mark | None) -> Span:
    if start is None or end is None:
        return Span(1, 1, 1, 1)
    return Span(start.line + 1, start.column + 1, end.line + 1, end.column + 1)


def _syntax_problem(error: yaml.MarkedYAMLError, source: Source) -> Problem:
    mark = error.problem_mark or error.context_mark
    span = _span(mark, mark)
    cause, hint = _syntax_words(error, source, span)
    return Problem(Spot(source, span), "", f"this is not valid YAML: {cause}", hint)


def _syntax_words(error: yaml.MarkedYAMLError, source: Source, span: Span) -> tuple[str, str | None]:
    text = source.lines[span.line - 1] if span.line <= len(source.lines) else ""
    match error.problem or "":
        case "found character that cannot start any token" if text[span.column - 1 : span.column] == "\t":
            return "a tab stands where only spaces may", "Indent with spaces."
        case "found character that cannot start any token":
            return f"a value cannot begin with {text[span.column - 1 : span.column]}", "Put the value in quotes."
        case "mapping values are not allowed in this context":
            return "there is a `:` where no key can be", "Check the indentation, or put the value in quotes."
        case "found undefined alias":
            return "this alias has no anchor", "Put the value in quotes if the * is part of it."
        case "but found another document":
            return "a second document begins here", "Keep one document per file."
        case "found unexpected end of stream" if error.context_mark is not None:
            return f"a quote that opens in line {error.context_mark.line + 1} is never closed", None
        case problem if problem.startswith("did not find expected ','") and "${" in text:
            return f"{problem} {error.context or ''}".rstrip(), 'Between { } or [ ] write "${VAR}" in quotes.'
        case problem:
            context = f" {error.context}" if error.context else ""
            return f"{problem}{context}", None


def _character_problem(error: yaml.reader.ReaderError, text: str, source: Source) -> Problem:
    """libyaml counts bytes."""
    before = text.encode()[: error.position].decode(errors="ignore")
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    character = error.character if isinstance(error.character, int) else ord(error.character)
    message = f"this is not valid YAML: the character U+{character:04X} cannot be in it"
    return Problem(Spot(source, Span(line, column, line, column + 1)), "", message)


class _Builder:
    """Turns composed nodes into ours; follows aliases, merges ``<<``."""

    def __init__(self, source: Source, problems: list[Problem]) -> None:
        self._source = source
        self._problems = problems
        self._count = 0

    def _spot(self, node: yaml.Node) -> Spot:
        return Spot(self._source, _span(node.start_mark, node.end_mark))

    def build(self, node: yaml.Node, path: KeyPath, depth: int, *, secret: bool) -> Node:
        """``secret``: a key above it says so."""
        self._count += 1
        if depth > MAX_DEPTH:
            raise ConfigError([_too_deep(self._spot(node))])
        if self._count > MAX_VALUES:
            raise ConfigError([Problem(self._spot(node), "", f"more than {MAX_VALUES} values, aliases followed")])
        match node:
            case yaml.MappingNode() if node.tag == _TAG + "map":
                return Node(self._entries(node, path, depth, secret=secret), self._spot(node))
            case yaml.SequenceNode() if node.tag == _TAG + "seq":
                items = [
                    self.build(item, (*path, index), depth + 1, secret=secret) for index, item in enumerate(node.value)
                ]
                return Node(tuple(items), self._spot(node))
            case yaml.ScalarNode():
                return self._scalar(node, path, secret=secret)
            case _:
                return self._unsupported(node, path)

    def _scalar(self, node: yaml.ScalarNode, path: KeyPath, *, secret: bool) -> Node:
        text, spot = str(node.value), self._spot(node)
        if secret and not is_reference(text):
            self._source.hide(spot.span)
        tag = node.tag.removeprefix(_TAG)
        quoted = bool(node.style)
        if tag in ("str", "merge"):
            return Node(text, spot, quoted=quoted)
        value = scalar_of(text) if tag in ("null", "bool", "int", "float") else text
        if isinstance(value, str) and not _is_long_number(text):
            return self._unsupported(node, path)
        return Node(value, spot, quoted=quoted)

    def _unsupported(self, node: yaml.Node, path: KeyPath) -> Node:
        tag = node.tag.replace(_TAG, "!!")
        self._problems.append(
            Problem(self._spot(node), dotted(path), f"the tag {tag} does not fit here", "Leave the tag away.")
        )
        return Node(None, self._spot(node), broken=True)

    def _entries(self, node: yaml.MappingNode, path: KeyPath, depth: int, *, secret: bool) -> dict[str, Node]:
        merged: dict[str, Node] = {}
        own: dict[str, Node] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _TAG + "merge":
                merged = {**self._merged(value_node, path, depth, secret=secret), **merged}
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                self._problems.append(Problem(self._spot(key_node), dotted(path), "a key must be plain text"))
                continue
            key, spot = str(key_node.value), self._spot(key_node)
            child = self.build(value_node, (*path, key), depth + 1, secret=secret or is_secret_name(key)).under(spot)
            if key in own:
                first = own[key].at_key.place.line
                message = f"the key `{key}` stands here a second time; the first is in line {first}"
                self._problems.append(Problem(spot, dotted((*path, key)), message, "Keep one of the two."))
                continue
            own[key] = child
        return {**merged, **own}

    def _merged(self, node: yaml.Node, path: KeyPath, depth: int, *, secret: bool) -> dict[str, Node]:
        """``<<: *anchor`` or a list of them; of a list the first one wins."""
        nodes: Sequence[yaml.Node] = node.value if isinstance(node, yaml.SequenceNode) else [node]
        merged: dict[str, Node] = {}
        for item in nodes:
            built = self.build(item, path, depth + 1, secret=secret)
            if not isinstance(built.value, dict):
                self._problems.append(Problem(built.spot, dotted(path), "`<<` takes a mapping or a list of mappings"))
            merged = {**built.entries, **merged}
        return merged


def _is_long_number(text: str) -> bool:
    return re.fullmatch(r"[-+]?[0-9.]+([eE][-+]?[0-9]+)?", text) is not None


def dotted(path: KeyPath) -> str:
    return ".".join(map(str, path))
