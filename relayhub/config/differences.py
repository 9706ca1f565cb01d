"""What is different between two configs, for people: paths and values, secrets masked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import PurePath

import orjson
from pydantic import BaseModel, SecretBytes, SecretStr

from relayhub.config.model import Config
from relayhub.config.output import View, effective, tree_of
from relayhub.types.json import Json, JsonObject

MAX_SHOWN = 160
"""Characters of one value."""


class Kind(StrEnum):
    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


_SIGNS = {Kind.ADDED: "+", Kind.REMOVED: "-", Kind.CHANGED: "~"}


@dataclass(frozen=True, slots=True)
class Change:
    """``before`` and ``after`` as they are shown; empty where there is none. ``restart``: it comes into force with the next
    start, and ``before`` stays until then."""

    path: str
    kind: Kind
    before: str = ""
    after: str = ""
    restart: bool = False

    def __str__(self) -> str:
        values = " → ".join(value for value in (self.before, self.after) if value)
        if self.kind is Kind.CHANGED and self.before == self.after:
            values = "(changed, and secret)" if self.before else ""
        later = " (needs a restart)" if self.restart else ""
        return f"{'!' if self.restart else _SIGNS[self.kind]} {self.path}{': ' if values else ''}{values}{later}"

    def as_dict(self) -> JsonObject:
        return {
            "path": self.path,
            "kind": self.kind.value,
            "before": self.before,
            "after": self.after,
            "restart": self.restart,
        }

    @classmethod
    def of_dict(cls, said: JsonObject) -> Change:
        """From :meth:`as_dict`. Raises ``ValueError``."""
        path, before, after = (str(said.get(name, "")) for name in ("path", "before", "after"))
        return cls(path, Kind(str(said.get("kind"))), before, after, bool(said.get("restart")))


def changes_between(before: Config, after: Config) -> list[Change]:
    """In the order of the file; what was removed comes last of its section. Secrets are compared, and shown masked."""
    hidden = _Pair(tree_of(before, _REVEALED), tree_of(after, _REVEALED))
    shown = _Pair(effective(before), effective(after))
    return list(_changes((), _named(hidden), _named(shown)))


@dataclass(frozen=True, slots=True)
class _Pair:
    before: Json
    after: Json


def _changes(path: tuple[str, ...], real: _Pair, shown: _Pair) -> Iterator[Change]:
    if real.before == real.after:
        return
    if not (isinstance(real.before, dict) and isinstance(real.after, dict) and (real.before or real.after)):
        yield Change(".".join(path), Kind.CHANGED, _value(shown.before), _value(shown.after))
        return
    for name in dict.fromkeys((*real.after, *real.before)):
        inner, before, after = (*path, name), _child(shown.before, name), _child(shown.after, name)
        if name not in real.before:
            yield Change(".".join(inner), Kind.ADDED, after=_value(after))
        elif name not in real.after:
            yield Change(".".join(inner), Kind.REMOVED, before=_value(before))
        else:
            yield from _changes(inner, _Pair(real.before[name], real.after[name]), _Pair(before, after))


def _named(pair: _Pair) -> _Pair:
    return _Pair(_by_name(pair.before), _by_name(pair.after))


def _by_name(value: Json) -> Json:
    """Lists of things that have names as mappings, so that one of them can be said to have changed."""
    match value:
        case dict():
            return {name: _by_name(item) for name, item in value.items()}
        case [{"name": str()}, *_]:
            return {str(item["name"]): _by_name(item) for item in value if isinstance(item, dict)}
        case _:
            return value


def _child(value: Json, name: str) -> Json:
    return value.get(name) if isinstance(value, dict) else None


def _value(value: Json) -> str:
    """One line. Of something large, what was said of it and not what is true of everything."""
    text = orjson.dumps(_essence(value)).decode()
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"


def _essence(value: Json) -> Json:
    if not isinstance(value, dict):
        return value
    said: JsonObject = {name: item for name, item in value.items() if item not in (None, {}, [])}
    models = said.get("models")
    if "type" not in said or not isinstance(models, dict):
        return said
    plain: JsonObject = {name: item for name, item in said.items() if isinstance(item, str)}
    return {**plain, "models": [*models]}


# --- what is compared -------------------------------------------------------------------------------------------------


def _revealed_settings(settings: BaseModel) -> JsonObject:
    revealed = _revealed(settings.model_dump(by_alias=True))
    assert isinstance(revealed, dict)
    return revealed


def _revealed(value: object) -> Json:
    """Plain JSON, secrets and all. Never shown to anybody."""
    match value:
        case SecretStr() | SecretBytes():
            return str(value.get_secret_value())
        case Mapping():
            return {str(name): _revealed(item) for name, item in value.items()}
        case list() | tuple():
            return [_revealed(item) for item in value]
        case set() | frozenset():
            return [*sorted(str(_revealed(item)) for item in value)]
        case None | bool() | int() | float() | str():
            return value
        case PurePath():
            return str(value)
        case _:
            return repr(value)


_REVEALED = View(_revealed_settings, lambda value: value)


def waiting(change: Change) -> Change:
    """The same change, put off until the next start."""
    return replace(change, restart=True)
