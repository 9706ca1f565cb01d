"""One provider entry: the fields that all have, its plugin's own settings, its models."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from pydantic import BaseModel

from relayhub.config.checking import Checker, key_of, keys_of
from relayhub.config.env import settled
from relayhub.config.model import Credential, Model, ProviderConfig
from relayhub.config.model_entries import check_names, model_entries, model_of, read_text
from relayhub.config.schema import CORE_PROVIDER_FIELDS, CREDENTIAL_FIELDS, RESERVED_PROVIDER_NAMES, ProviderEntry
from relayhub.config.secrets import is_reference, is_secret_name, secret_fields
from relayhub.config.tree import KeyPath, Node, made, mapping
from relayhub.config.words import did_you_mean, listed

PROVIDER_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")

MAX_SECRET_FILE = 64 << 10
"""Bytes of a ``*_file``: the longest private key is far smaller."""

Types = Mapping[str, type[BaseModel]]
WhyMissing = Callable[[str], str | None]


def is_disabled(entry: Node) -> bool:
    """``enabled: false``, also where an environment variable says so."""
    enabled = entry.child("enabled")
    return enabled is not None and (
        enabled.value is False or (enabled.alternative is not None and enabled.alternative.value is False)
    )


class ProviderCheck:
    """Checks entries one by one. ``secrets`` collects the values that no report may show."""

    def __init__(self, checker: Checker, types: Types, why_missing: WhyMissing) -> None:
        self._checker = checker
        self._types = types
        self._why_missing = why_missing
        self.secrets: set[str] = set()

    def build(self, name: str, entry: Node) -> ProviderConfig | None:
        """``None`` and problems if anything in it is wrong."""
        path: KeyPath = ("providers", name)
        self._check_name(name, entry, path)
        if entry.value is None:
            entry = mapping({}, entry)
        if not isinstance(entry.value, dict):
            self._checker.add(entry.spot, path, "a provider is a mapping of settings")
            return None
        kind = entry.child("type") or made(name, entry.at_key)
        core = self._core(entry, kind, path)
        fields = self._checker.build(ProviderEntry, core, path)
        settings = self._each_settings(kind, entry, path)
        models = core.entries["models"]
        if fields is not None:
            check_names(fields.models, models, self._checker, (*path, "models"))
        if fields is None or not settings:
            return None
        credentials = self._credentials(fields, settings, entry, path)
        return _provider(name, fields, settings[0][0], entry, _models(fields, models), credentials)

    def _check_name(self, name: str, entry: Node, path: KeyPath) -> None:
        if name in RESERVED_PROVIDER_NAMES:
            message = f"a provider cannot be called `{name}`: relayhub serves the path /{name} itself"
            self._checker.add(entry.at_key, path, message, "Choose another name, and say type: if it was that too.")
        elif not PROVIDER_NAME.fullmatch(name):
            message = f"`{name}` cannot be the name of a provider"
            hint = "Small letters, digits, - and _, beginning with a letter or digit, 63 at most."
            self._checker.add(entry.at_key, path, message, hint)

    def _core(self, entry: Node, kind: Node, path: KeyPath) -> Node:
        fields = {key: child for key, child in entry.entries.items() if key in CORE_PROVIDER_FIELDS}
        fields["type"] = kind
        fields["models"] = model_entries(entry, self._checker, path)
        if "credentials" in fields:
            fields["credentials"] = _each(fields["credentials"], lambda key: key in CREDENTIAL_FIELDS)
        if "body_defaults" in fields:
            fields["body_defaults"] = settled(fields["body_defaults"])
        return mapping(fields, entry)

    def _each_settings(self, kind: Node, entry: Node, path: KeyPath) -> list[tuple[BaseModel, str]]:
        """The plugin's settings for each credential, or the entry's alone, with what is special in each. Empty: anything
        is wrong."""
        listed = entry.child("credentials")
        if listed is None or not isinstance(listed.value, tuple) or not listed.value:
            settings = self._settings(kind, entry, path)
            return [] if settings is None else [(settings, "")]
        built: list[tuple[BaseModel, str]] = []
        for index, item in enumerate(listed.value):
            if not isinstance(item.value, dict):
                continue  # whoever reads the list says so
            own = mapping({key: child for key, child in item.entries.items() if key not in CREDENTIAL_FIELDS}, item)
            for key in own.entries.keys() & CORE_PROVIDER_FIELDS:
                message = f"`{key}` is the same for all credentials of a provider"
                at = (*path, "credentials", index, key)
                self._checker.add(own.entries[key].at_key, at, message, "Move it up into the provider's entry.")
            settings = self._settings(kind, _joined(entry, own), (*path, "credentials", index))
            if settings is not None:
                built.append((settings, str(own.plain())))
        return built if len(built) == len(listed.value) else []

    def _credentials(
        self, fields: ProviderEntry, settings: list[tuple[BaseModel, str]], entry: Node, path: KeyPath
    ) -> tuple[Credential, ...]:
        """Checks that no two have one name: a secret that stands there twice, or the same name."""
        found: dict[str, Credential] = {}
        for index, (said, (own, special)) in enumerate(zip(fields.credentials, settings, strict=False)):
            name = said.name or _fingerprint(special)
            if name in found:
                spot = entry.entries["credentials"].child(index) or entry
                message = f"the {'credential' if said.name is None else 'name of a credential'} stands here twice"
                self._checker.add(spot.spot, (*path, "credentials", index), message)
            found[name] = Credential(name, said.weight, own)
        return tuple(found.values())

    def _settings(self, kind: Node, entry: Node, path: KeyPath) -> BaseModel | None:
        if not isinstance(kind.value, str) or kind.broken:
            return None
        model = self._types.get(kind.value)
        if model is None:
            self._unknown_type(kind, kind.value, path)
            return None
        own = {key: child for key, child in entry.entries.items() if key not in CORE_PROVIDER_FIELDS}
        values = self._from_files(own, model, path)
        values = self._without_unknown(values, model, path)
        self._keep_secret(values, model)
        return self._checker.build(model, mapping(values, entry), path)

    def _unknown_type(self, kind: Node, name: str, path: KeyPath) -> None:
        reason = self._why_missing(name)
        if reason is not None:
            self._checker.add(kind.spot, (*path, "type"), f"the provider type `{name}` is not available: {reason}")
            return
        known = f"Known types: {listed(sorted(self._types))}." if self._types else "No plugin offers any."
        hint = " ".join(filter(None, [did_you_mean(name, self._types), known, "`type:` names the plugin's type."]))
        self._checker.add(kind.spot, (*path, "type"), f"there is no provider type `{name}`", hint)

    def _without_unknown(self, values: dict[str, Node], model: type[BaseModel], path: KeyPath) -> dict[str, Node]:
        if model.model_config.get("extra") == "allow":
            return values
        keys = set(keys_of(model))
        siblings = {f"{key_of(model, name)}_file" for name in secret_fields(model)}
        for key, node in values.items():
            if key not in keys:
                self._checker.unknown_key(node, (*path, key), keys | siblings | CORE_PROVIDER_FIELDS)
        return {key: node for key, node in values.items() if key in keys}

    def _from_files(self, own: dict[str, Node], model: type[BaseModel], path: KeyPath) -> dict[str, Node]:
        """``api_key_file: path`` stands for ``api_key`` with what is in the file, blanks around it left away."""
        values = dict(own)
        keys = set(keys_of(model))
        for name in secret_fields(model):
            key = key_of(model, name)
            sibling = f"{key}_file"
            if sibling not in own or sibling in keys:
                continue
            node = values.pop(sibling)
            if key in own:
                self._checker.add(node.at_key, (*path, sibling), f"`{key}` and `{sibling}` are both set", "Keep one.")
            else:
                values[key] = self._from_file(node, (*path, sibling))
        return values

    def _from_file(self, node: Node, path: KeyPath) -> Node:
        try:
            if not isinstance(node.value, str) or not node.value or node.broken:
                raise ValueError("a path is needed")
            file = self._checker.folder / Path(node.value).expanduser()
            text = read_text(file, MAX_SECRET_FILE).strip()
            if not text:
                raise ValueError(f"{file} is empty")
        except ValueError as error:
            if not node.broken:
                hint = "A path in the config is relative to the config file."
                self._checker.add(node.spot, path, str(error), hint)
            return replace(node, value="", broken=True)
        self.secrets.add(text)
        return replace(node, value=text, outside=True, alternative=None)

    def _keep_secret(self, values: Mapping[str, Node], model: type[BaseModel]) -> None:
        """Fields that only their type makes secret; the names have been seen while parsing."""
        for name in secret_fields(model):
            node = values.get(key_of(model, name))
            for scalar in node.scalars() if node is not None else ():
                self.secrets.add(str(scalar.value))
                if not is_secret_name(name) and not is_reference(str(scalar.value)):
                    scalar.spot.source.hide(scalar.spot.span)


def _models(fields: ProviderEntry, models: Node) -> tuple[Model, ...]:
    return tuple(model_of(name, model, models.entries[name]) for name, model in fields.models.items())


def _each(items: Node, keep: Callable[[str], bool]) -> Node:
    """A list of mappings with these keys only."""
    if not isinstance(items.value, tuple):
        return items
    kept = (
        mapping({key: child for key, child in item.entries.items() if keep(key)}, item)
        if isinstance(item.value, dict)
        else item
        for item in items.value
    )
    return replace(items, value=tuple(kept))


def _joined(entry: Node, own: Node) -> Node:
    """The entry with a credential's fields in the place of its own, a secret's file being the same field."""
    said = {key.removesuffix("_file") for key in own.entries}
    rest = {
        key: child
        for key, child in entry.entries.items()
        if key != "credentials" and (key in CORE_PROVIDER_FIELDS or key.removesuffix("_file") not in said)
    }
    return mapping({**rest, **own.entries}, entry)


def _fingerprint(special: str) -> str:
    """Stays the same wherever the credential stands in the list, and says nothing of a real secret."""
    return hashlib.sha256(special.encode()).hexdigest()[:8]


def _provider(
    name: str,
    fields: ProviderEntry,
    settings: BaseModel,
    entry: Node,
    models: tuple[Model, ...],
    credentials: tuple[Credential, ...],
) -> ProviderConfig:
    return ProviderConfig(
        name=name,
        type=fields.type,
        settings=settings,
        models=models,
        headers=fields.headers,
        body_defaults=fields.body_defaults,
        proxy=fields.proxy,
        ca_file=fields.ca_file,
        timeouts=fields.timeouts,
        max_connections=fields.max_connections,
        default_video_model=fields.default_video_model,
        max_in_flight=fields.max_in_flight,
        credentials=credentials,
        spot=entry.at_key,
    )
