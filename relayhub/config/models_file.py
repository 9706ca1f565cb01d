"""Adding what was discovered to a ``models_file`` that somebody has worked on: what stands there stays as it is written,
comments included. New models are put at the end, and models without a price get the one that is known of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import yaml

from relayhub.config.output import discovered_line, discovered_yaml, flow, origin_line

_CHARGED = frozenset({"price", "free", "<<"})
"""What says that somebody has decided; a merge key may bring a price from elsewhere."""

Prices = Mapping[str, Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class MergedModels:
    """``added``, ``priced``: the models that are new, and those that got a price; ``unlisted``: those that the upstream does
    not list, which stay."""

    text: str
    added: tuple[str, ...]
    priced: tuple[str, ...]
    unlisted: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Edit:
    """``start``, ``end``: characters to be replaced."""

    start: int
    end: int
    text: str


def merged_models(
    text: str, names: Sequence[str], prices: Prices, origin: str | None, settled: Collection[str] = ()
) -> MergedModels:
    """``origin``: where the prices are from. ``settled``: models whose price is decided elsewhere. Raises ``ValueError`` for
    a text that is no mapping of models, or one that cannot be added to."""
    entries = _entries(text)
    if not text.strip():
        return MergedModels(discovered_yaml(names, prices, origin), tuple(names), (), ())
    open_ = [name for name in prices if name in entries and name in names and name not in settled]
    edits = {name: _edit(text, entries[name], prices[name]) for name in open_}
    made = {name: edit for name, edit in edits.items() if edit is not None}
    added = tuple(name for name in names if name not in entries)
    changed = _applied(text, made.values())
    whole = _with_new(changed, added, prices, origin if made or any(name in prices for name in added) else None)
    _check(whole, {**dict.fromkeys(added), **made})
    return MergedModels(whole, added, tuple(made), tuple(name for name in entries if name not in names))


def _entries(text: str) -> dict[str, yaml.Node]:
    """By name."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ValueError(f"it is not valid YAML: {' '.join(str(error).split())}") from None
    if root is None:  # nothing but comments
        return {}
    if not isinstance(root, yaml.MappingNode) or root.flow_style or root.start_mark.column:
        raise ValueError("it is not a list of models, each on a line of its own")
    return {str(key.value): _own(value, root) for key, value in root.value}


def _own(value: yaml.Node, root: yaml.MappingNode) -> yaml.Node:
    """A value that stands elsewhere, too, is nobody's to change."""
    shared = sum(1 for _, other in root.value if other is value) > 1
    return yaml.ScalarNode("tag:yaml.org,2002:str", "") if shared else value


def _edit(text: str, node: yaml.Node, price: Mapping[str, object]) -> _Edit | None:
    """``None`` for an entry that says what it costs, or that is not understood."""
    match node:
        case yaml.ScalarNode(tag="tag:yaml.org,2002:null"):
            start, end = node.start_mark.index, node.end_mark.index
            space = "" if text[start - 1 : start].isspace() else " "
            return _Edit(start, end, space + flow({"price": price}))
        case yaml.MappingNode() if not _CHARGED.intersection(str(key.value) for key, _ in node.value):
            return _into_mapping(text, node, flow({"price": price})[1:-1])
        case _:
            return None


def _into_mapping(text: str, node: yaml.MappingNode, said: str) -> _Edit | None:
    if not node.flow_style:
        first = node.value[0][0].start_mark
        return _Edit(first.index, first.index, f"{said}\n{' ' * first.column}")
    start = node.start_mark.index
    if text[start] != "{":  # an anchor or a tag stands there
        return None
    return _Edit(start + 1, start + 1, f"{said}, " if node.value else said)


def _applied(text: str, edits: Iterable[_Edit]) -> str:
    """From the end on, so that places stay what they are."""
    for edit in sorted(edits, key=lambda edit: edit.start, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


def _with_new(text: str, added: Sequence[str], prices: Prices, origin: str | None) -> str:
    lines = [] if origin is None else [origin_line(origin)]
    lines += [discovered_line(name, prices) for name in added]
    if not lines:
        return text
    return text + ("" if text.endswith("\n") else "\n") + "\n".join(lines) + "\n"


def _check(text: str, names: Mapping[str, object]) -> None:
    """A file with an end mark, or anchors in odd places, cannot be added to like this."""
    try:
        found = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        found = None
    keys = {str(key.value) for key, _ in found.value} if isinstance(found, yaml.MappingNode) else set()
    if not keys.issuperset(names):
        raise ValueError("nothing can be added at its end")
