"""``${VAR}``, ``${VAR:-default}`` and ``${VAR:?message}`` in strings, substituted after parsing; ``$$`` is a ``$``.
``RELAYHUB__SERVER__PORT=9000`` and flags set a value wherever the file has none or another."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from relayhub.config.problems import ConfigError, Problem
from relayhub.config.secrets import is_secret_name
from relayhub.config.source import Source, Spot
from relayhub.config.tree import KeyPath, Node, dotted, mapping, parse, scalar_of

PREFIX = "RELAYHUB__"

_REFERENCE = re.compile(
    r"\$\$|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?:(?P<op>:-|:\?)(?P<rest>[^}$]*))?\}|\$\{(?P<bad>[^}]*\}?)"
)


class Substitution:
    """One pass over one tree. What is missing or malformed is added to ``problems`` at its place."""

    def __init__(self, env: Mapping[str, str], problems: list[Problem]) -> None:
        self._env = env
        self._problems = problems

    def apply(self, node: Node, path: KeyPath = ()) -> Node:
        """``node`` with the references in all of its strings replaced; what an override set is text already."""
        if node.outside:
            return node
        match node.value:
            case dict():
                return mapping({key: self.apply(child, (*path, key)) for key, child in node.value.items()}, node)
            case tuple():
                items = tuple(self.apply(child, (*path, index)) for index, child in enumerate(node.value))
                return replace(node, value=items)
            case str() if "${" in node.value or "$$" in node.value:
                return self._text(node, node.value, path)
            case _:
                return node

    def _text(self, node: Node, text: str, path: KeyPath) -> Node:
        before = len(self._problems)
        result = _REFERENCE.sub(lambda match: self._replacement(match, node, path), text)
        if len(self._problems) > before:
            return replace(node, broken=True)
        if "${" not in text.replace("$$", ""):
            return replace(node, value=result)
        return outside(replace(node, value=result), result)

    def _replacement(self, match: re.Match[str], node: Node, path: KeyPath) -> str:
        name = match["name"]
        if match["bad"] is not None:
            self._malformed(node, path)
        elif name is None:
            return "$"
        elif value := self._env.get(name):
            return value
        elif match["op"] == ":-":
            return match["rest"]
        elif match["op"] is not None or name not in self._env:
            self._missing(name, match["rest"], node, path)
        return ""

    def _malformed(self, node: Node, path: KeyPath) -> None:
        message = "this is no reference to an environment variable"
        hint = "Write ${NAME}, ${NAME:-default} or ${NAME:?message}, none inside another; $${ for the text ${ itself."
        self._problems.append(Problem(node.spot, dotted(path), message, hint))

    def _missing(self, name: str, message: str | None, node: Node, path: KeyPath) -> None:
        state = "empty" if name in self._env else "not set"
        cause = f"the environment variable {name} is {state}"
        hint = f"Set it: export {name}=…, or give a default: ${{{name}:-…}}"
        self._problems.append(Problem(node.spot, dotted(path), f"{cause}: {message}" if message else cause, hint))


def outside(node: Node, text: str) -> Node:
    """A value that came as text: a field may have it as text, or as what YAML would make of it."""
    typed = scalar_of(text)
    alternative = replace(node, value=typed, outside=True) if not isinstance(typed, str) else None
    return replace(node, value=text, outside=True, alternative=alternative)


def apply_environment(root: Node, env: Mapping[str, str]) -> Node:
    """Every variable that begins with ``RELAYHUB__``; levels are separated by ``__``."""
    for name in sorted(env):
        if name.startswith(PREFIX) and len(name) > len(PREFIX):
            path = [part.lower() for part in name.removeprefix(PREFIX).split("__")]
            root = assign(root, path, env[name], Source(f"environment variable {name}"))
    return root


def assign(root: Node, path: Sequence[str], text: str, source: Source) -> Node:
    """Set ``path`` to ``text``, read as YAML. A level is matched to what is there regardless of case and of ``-`` for
    ``_``, because variables cannot have every name; numbers index lists."""
    spot = Spot(source)
    if not path:
        return _override(text, source, secret=False)
    key = _existing(root.entries, path[0])
    if isinstance(root.value, tuple):
        return _assign_item(root, path, text, source)
    child = root.entries.get(key) or Node({}, spot)
    value = assign(child, path[1:], text, source) if len(path) > 1 else _override(text, source, is_secret_name(key))
    return mapping({**root.entries, key: value.under(child.key or spot)}, root)


def _assign_item(root: Node, path: Sequence[str], text: str, source: Source) -> Node:
    items = list(root.value) if isinstance(root.value, tuple) else []
    if not path[0].isdecimal() or int(path[0]) >= len(items):
        return mapping(
            {path[0]: assign(Node({}, Spot(source)), path[1:], text, source)}, replace(root, spot=Spot(source))
        )
    index = int(path[0])
    items[index] = assign(items[index], path[1:], text, source)
    return replace(root, value=tuple(items))


def _override(text: str, source: Source, secret: bool) -> Node:
    """A flow collection or a scalar. A secret is never read as YAML: it is the text, whatever is in it."""
    spot = Spot(source)
    parsed = None if secret else _flow(text)
    if parsed is None or (isinstance(parsed.value, str) and not parsed.quoted):
        return outside(Node(text, spot), text)
    return replace(_moved(parsed, spot), alternative=Node(text, spot, outside=True))


def _flow(text: str) -> Node | None:
    problems: list[Problem] = []
    try:
        node = parse(text, Source("override"), problems)
    except ConfigError:
        return None
    return node if not problems else None


def _moved(node: Node, spot: Spot) -> Node:
    """An override has no lines: everything in it stands where the override itself does."""
    match node.value:
        case dict():
            return Node({key: _moved(child, spot).under(spot) for key, child in node.value.items()}, spot, outside=True)
        case tuple():
            return Node(tuple(_moved(child, spot) for child in node.value), spot, outside=True)
        case scalar:
            return Node(scalar, spot, outside=True)


def _existing(entries: Mapping[str, object], wanted: str) -> str:
    if wanted in entries:
        return wanted
    same = [key for key in entries if _loose(key) == _loose(wanted)]
    return same[0] if len(same) == 1 else wanted


def _loose(key: str) -> str:
    return re.sub(r"[^a-z0-9]", "_", key.lower())


def settled(node: Node) -> Node:
    """For a place without a type of its own: what came from outside unquoted is read as YAML."""
    match node.value:
        case dict():
            return mapping({key: settled(child) for key, child in node.value.items()}, node)
        case tuple():
            return replace(node, value=tuple(settled(child) for child in node.value))
        case str() if node.alternative is not None and not node.quoted:
            return node.alternative
        case _:
            return node
