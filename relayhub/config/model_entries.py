"""The models of a provider entry in one shape: name → entry, from a mapping, a list, ``models_file`` and defaults."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from relayhub.config.checking import Checker
from relayhub.config.model import Model
from relayhub.config.problems import ConfigError
from relayhub.config.schema import ModelConfig, dated
from relayhub.config.source import Source
from relayhub.config.tree import KeyPath, Node, mapping, parse

MAX_FILE = 4 << 20
"""Bytes of a config or models file: thousands of models fit."""

_CHARGES = ("price", "free")
_LINE_END = re.compile("\r\n|[\r\n\x85\u2028\u2029]")


def read_text(path: Path, limit: int = MAX_FILE) -> str:
    """Raises ``ValueError`` with the reason in words."""
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from error
    if len(data) > limit:
        raise ValueError(f"{path} is larger than {limit} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text (byte {error.start})") from error


def source_of(name: str, text: str) -> Source:
    """Lines end where YAML says they do, so that its marks fit."""
    return Source(name, tuple(_LINE_END.split(text)))


def model_entries(entry: Node, checker: Checker, path: KeyPath) -> Node:
    """``models`` of a provider entry as one mapping. What ``models`` says comes before ``models_file``, and that before
    ``model_defaults``; places stay with the values."""
    own = entry.child("models") or Node({}, entry.at_key)
    entries = _by_name(own, checker, (*path, "models"))
    if entries is None:
        return own
    file = entry.child("models_file")
    listed = _from_file(file, checker, (*path, "models_file")) if file is not None else {}
    defaults = entry.child("model_defaults")
    names = dict.fromkeys([*entries, *listed])
    return mapping({name: _merged(entries.get(name), listed.get(name), defaults) for name in names}, own)


def _merged(own: Node | None, listed: Node | None, defaults: Node | None) -> Node:
    """``price`` and ``free`` are one statement: who says one of them replaces both."""
    node = own or listed
    assert node is not None
    if node.value is not None and not isinstance(node.value, dict):
        return node
    merged: dict[str, Node] = {}
    for layer in (defaults, listed, own):
        said = layer.entries if layer is not None else {}
        if any(name in said for name in _CHARGES):
            merged = {key: value for key, value in merged.items() if key not in _CHARGES}
        merged.update(said)
    return mapping(merged, node)


def _by_name(node: Node, checker: Checker, path: KeyPath) -> dict[str, Node] | None:
    """``None``: neither a mapping nor a list, which the schema reports."""
    match node.value:
        case None:
            return {}
        case dict():
            return node.value
        case tuple():
            return _from_list(node.value, checker, path)
        case _:
            return None


def _from_list(items: tuple[Node, ...], checker: Checker, path: KeyPath) -> dict[str, Node]:
    entries: dict[str, Node] = {}
    for index, item in enumerate(items):
        name = item.child("name") or item
        if not isinstance(name.value, str):
            hint = 'For example: - gpt-4o, or: - {name: gpt-4o, price: {input: "2.50"}}'
            checker.add(item.spot, (*path, index), "a model's name is needed, or a mapping with a `name`", hint)
        elif name.value in entries:
            checker.add(name.spot, (*path, index), f"the model `{name.value}` stands here a second time")
        else:
            rest = {key: child for key, child in item.entries.items() if key != "name"}
            entries[name.value] = replace(mapping(rest, item), key=name.spot, outside=False)
    return entries


def _from_file(node: Node, checker: Checker, path: KeyPath) -> dict[str, Node]:
    """References are not substituted: an upstream chose these names, and must not get at our environment."""
    if not isinstance(node.value, str):
        return {}
    file = checker.folder / Path(node.value).expanduser()
    try:
        text = read_text(file)
        root = parse(text, source_of(str(file), text), checker.problems)
    except ValueError as error:
        checker.add(node.spot, path, str(error), "`relayhub models discover PROVIDER --write FILE` writes one.")
        return {}
    except ConfigError as error:
        checker.problems += error.problems
        return {}
    entries = _by_name(root, checker, path) if root is not None else {}
    if entries is None:
        checker.add(node.spot, path, f"{file} must be a list or a mapping of models")
    return entries or {}


def model_of(name: str, entry: ModelConfig, node: Node) -> Model:
    prices = () if entry.free else dated(entry.price)
    return Model(name, entry.upstream or name, prices, entry, node.at_key, dated(entry.cost))


def check_names(models: dict[str, ModelConfig], node: Node, checker: Checker, path: KeyPath) -> None:
    """What no single entry can know: names that clash within the provider, and where a ``*`` has no meaning."""
    owner = {name: name for name in models}
    for name, entry in models.items():
        place = node.child(name) or node
        aliases = place.child("aliases") or place
        for index, alias in enumerate(entry.aliases):
            spot = (aliases.child(index) or aliases).spot
            if alias in owner:
                message = f"the alias `{alias}` is taken by the model `{owner[alias]}` of this provider"
                checker.add(spot, (*path, name, "aliases", index), message)
            elif name.endswith("*"):
                checker.add(spot, (*path, name, "aliases", index), "a wildcard cannot have aliases")
            owner.setdefault(alias, name)
        _check_wildcard(name, entry, place, checker, (*path, name, "upstream"))


def _check_wildcard(name: str, entry: ModelConfig, node: Node, checker: Checker, path: KeyPath) -> None:
    stars = (entry.upstream or "").count("*")
    spot = (node.child("upstream") or node).spot
    if stars > 1:
        checker.add(spot, path, "only one * can stand for the rest of a name")
    elif stars and not name.endswith("*"):
        checker.add(spot, path, "a * here needs a public name that ends in *", "It stands for the rest of that name.")
