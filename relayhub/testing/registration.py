"""Rules for the descriptor of a provider type, its settings and its package."""

from __future__ import annotations

import ast
import builtins
import io
import re
import socket
import typing
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

from pydantic import BaseModel, SecretStr, ValidationError

from relayhub.plugins.doors import Candidate
from relayhub.plugins.host import PluginHost
from relayhub.plugins.loaded import Source
from relayhub.plugins.types import check_provider_type
from relayhub.sdk import (
    ChatProvider,
    EmbeddingProvider,
    ImageProvider,
    JobProvider,
    NativeProvider,
    ProviderContext,
    ProviderType,
    SpeechProvider,
    Transport,
    TransportProvider,
)
from relayhub.testing.clock import FakeClock

SECRET = re.compile(r"(^|_)(key|token|secret|password)s?$")
CAPABILITIES = (NativeProvider, ChatProvider, EmbeddingProvider, ImageProvider, SpeechProvider, JobProvider)


class ProviderCase:
    """What every suite knows of the provider under test.

    ``settings``: valid settings; give every secret a value that stands nowhere else, so that a leak can be seen.
    """

    provider_type: ClassVar[ProviderType[Any]]
    settings: ClassVar[Mapping[str, object]] = {}

    def build(self) -> object:
        """The provider, as the hub would build it."""
        return self.provider_type.build(self.parsed(), ProviderContext("under-test", FakeClock(), "relayhub/test"))

    def parsed(self) -> BaseModel:
        settings: BaseModel = self.provider_type.settings.model_validate(dict(self.settings))
        return settings

    def secrets(self) -> list[str]:
        """The texts that must never be shown."""
        settings = self.parsed()
        values = [getattr(settings, name) for name in type(settings).model_fields]
        return [value.get_secret_value() for value in values if isinstance(value, SecretStr)]


class RegistrationSuite(ProviderCase):
    """``package``: the plugin's import package (or module)."""

    package: ClassVar[ModuleType]

    def test_the_host_accepts_the_descriptor(self) -> None:
        """Name, settings model, plugin contract; no setting takes the name of a field every provider has."""
        check_provider_type(self.provider_type)

    def test_the_package_registers_the_provider_type(self) -> None:
        """As the hub would load it: hooks that are marked, known, synchronous, and return what they should."""
        host = PluginHost()
        host.admit(Candidate("under-test", Source.MODULE, "the plugin under test", "", lambda: self.package))
        reasons = [plugin.reason for plugin in host.quarantined]
        assert not reasons, f"the hub would quarantine the plugin: {reasons[0]}"
        assert self.provider_type in host.provider_types.values(), (
            "relayhub_register_providers of the package does not return this provider type"
        )

    def test_the_summary_is_one_line(self) -> None:
        summary = self.provider_type.summary
        assert summary.strip() and "\n" not in summary, "say in one line what the provider type is for"

    def test_unknown_settings_are_refused(self) -> None:
        try:
            self.provider_type.settings.model_validate({**self.settings, "no_such_setting": 1})
        except ValidationError:
            return
        raise AssertionError('set model_config = ConfigDict(extra="forbid"): a typing error would go unnoticed')

    def test_every_setting_is_described(self) -> None:
        fields = self.provider_type.settings.model_fields
        silent = [name for name, field in fields.items() if not field.description]
        assert not silent, f"describe {silent} with Field(description=…): it becomes help and documentation"

    def test_secrets_are_secret_strings(self) -> None:
        fields = self.provider_type.settings.model_fields
        plain = [name for name, field in fields.items() if SECRET.search(name) and not _is_secret(field.annotation)]
        assert not plain, f"make {plain} a pydantic SecretStr: plain strings end up in logs and tracebacks"

    def test_secrets_do_not_show_in_a_repr(self) -> None:
        shown = repr(self.build()) + repr(self.parsed())
        leaked = [secret for secret in self.secrets() if secret in shown]
        assert not leaked, "a repr shows a secret: keep it as SecretStr, and leave it out of dataclass reprs"

    def test_building_does_no_io(self) -> None:
        with _no_io():
            self.build()

    def test_it_can_do_something(self) -> None:
        built = self.build()
        assert isinstance(built, CAPABILITIES), "implement at least one capability: chat, images, jobs …"

    def test_a_transport_is_one(self) -> None:
        built = self.build()
        if isinstance(built, TransportProvider):
            transport: Transport = built.transport()
            assert callable(transport.send) and callable(transport.close), "transport() must return a Transport"

    def test_the_package_imports_nothing_of_the_hub_but_its_sdk(self) -> None:
        wrong = [
            f"{file.name}:{line} imports {name}"
            for file in _sources(self.package)
            for line, name in _imports(file)
            if name.split(".")[0] == "relayhub" and not _is_public(name, file)
        ]
        assert not wrong, f"import from relayhub.sdk only, the rest changes without notice: {wrong}"


def _is_public(name: str, file: Path) -> bool:
    """A simulator of the upstream may stand in the package, on the published base for one; plugins never import it."""
    published = ("relayhub.sdk", "relayhub.testing") if file.stem == "simulator" else ("relayhub.sdk",)
    return any(name == package or name.startswith(f"{package}.") for package in published)


def _is_secret(annotation: object) -> bool:
    """``SecretStr`` itself, or inside of unions and ``Annotated``."""
    return annotation is SecretStr or any(_is_secret(inner) for inner in typing.get_args(annotation))


def _sources(package: ModuleType) -> list[Path]:
    file = Path(str(package.__file__))
    return sorted(file.parent.rglob("*.py")) if file.name == "__init__.py" else [file]


def _imports(file: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.lineno, node.module or ""


@contextmanager
def _no_io() -> Iterator[None]:
    """Any socket or file that is opened meanwhile fails the test."""

    class NoSocket(socket.socket):
        def __init__(self, *_: object, **__: object) -> None:
            raise AssertionError("build() opened a socket: leave I/O to the wire's requests")

    def no_file(file: object, *_: object, **__: object) -> typing.NoReturn:
        raise AssertionError(f"build() opened {file}: the config reads files (api_key_file) before it builds")

    swaps: list[tuple[Any, str, object]] = [
        (socket, "socket", NoSocket),
        (builtins, "open", no_file),
        (io, "open", no_file),
    ]
    real = [(owner, name, getattr(owner, name)) for owner, name, _ in swaps]
    try:
        for owner, name, fake in swaps:
            setattr(owner, name, fake)
        yield
    finally:
        for owner, name, original in real:
            setattr(owner, name, original)
