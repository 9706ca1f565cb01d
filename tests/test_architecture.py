"""The dependency rule: arrows point down the list, and each kind of library lives in its room only."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Any, get_args, get_type_hints

import msgspec
import pytest

from relayhub import dialects, gateway, store
from relayhub.dialects.codec import Envelope
from relayhub.dialects.multipart import Form
from relayhub.dialects.openai_native.audio import AudioEnvelope
from relayhub.gateway.call import Call
from relayhub.gateway.departure import Departure
from relayhub.store.intents import EndHold, HoldAbout, NewHold, OpenHold
from relayhub.types import http
from relayhub.types.call import Principal, UsageRecord

ROOT = Path(__file__).parent.parent
CORE = ROOT / "relayhub"
PLUGINS = ROOT / "plugins"

LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"app", "build", "cli", "running", "testing", "__main__"}),
    frozenset({"web"}),
    frozenset({"gateway", "jobs"}),
    frozenset({"accounts", "routing", "plugins", "upstream"}),
    frozenset({"store", "config"}),
    frozenset({"sdk"}),
    frozenset({"dialects"}),
    frozenset({"types"}),
)
LEVEL = {name: len(LAYERS) - level for level, names in enumerate(LAYERS) for name in names}

ROOMS = {
    "aiohttp": {"web", "upstream", "app", "testing"},
    "sqlalchemy": {"store"},
    "alembic": {"store"},
    "aiosqlite": {"store"},
    "sqlite3": {"store"},
    "yaml": {"config"},
    "pluggy": {"plugins", "sdk"},
    "click": {"cli", "sdk", "plugins", "testing"},
    "rich_click": {"cli"},
    "rich": {"cli"},
}
PLUGIN_LIBRARIES = ("jwt",)
"""Parsers of an upstream's own formats."""
PURE_PACKAGES = ("types", "dialects")
PURE_MODULES = (
    "accounts/pricing.py",
    "accounts/quote.py",
    "routing/catalog.py",
    "routing/selection.py",
    "routing/health.py",
    "routing/budget.py",
    "accounts/tiers.py",
    "jobs/states.py",
)
PURE_JSON = {"orjson", "msgspec"}
PROVIDERS = re.compile(
    r"kling|seedance|happyhorse|deepseek|qwen|kimi|moonshot|minimax|volc|dashscope|doubao|mistral|groq|claude", re.I
)


@dataclass(frozen=True)
class Import:
    file: Path
    line: int
    module: str
    name: str | None = None
    type_checking: bool = False

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line} imports {self.module}"


def imports_of(file: Path) -> Iterator[Import]:
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(file, node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno} has a relative import"
            for alias in node.names:
                yield Import(file, node.lineno, node.module or "", alias.name)


def sources(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*.py") if "__pycache__" not in path.parts)


def package_of(file: Path) -> str:
    return file.relative_to(CORE).parts[0].removesuffix(".py")


def test_imports_point_down_the_layers() -> None:
    wrong = []
    for file in sources(CORE):
        package = package_of(file)
        if package == "__init__":
            continue
        for found in imports_of(file):
            parts = found.module.split(".")
            target = parts[1] if len(parts) > 1 else (found.name or "")
            if parts[0] != "relayhub" or target in ("__version__", package):
                continue
            if LEVEL[target] > LEVEL[package]:
                wrong.append(str(found))
    assert not wrong, wrong


def test_nobody_imports_private_names_of_another_package() -> None:
    wrong = [
        str(found)
        for file in sources(CORE) + sources(PLUGINS)
        for found in imports_of(file)
        if found.module.startswith("relayhub")
        and any(part.startswith("_") and part != "__version__" for part in (*found.module.split("."), found.name or ""))
    ]
    assert not wrong, wrong


def test_each_library_stays_in_its_room() -> None:
    wrong = []
    for file in sources(CORE):
        package = package_of(file)
        for found in imports_of(file):
            rooms = ROOMS.get(found.module.split(".")[0])
            if rooms is not None and package not in rooms:
                wrong.append(str(found))
    assert not wrong, wrong


def test_types_and_dialects_use_only_what_is_pure() -> None:
    import sys

    wrong = []
    for package, allowed in (("types", {"relayhub.types"}), ("dialects", {"relayhub.types", "relayhub.dialects"})):
        libraries = PURE_JSON if package == "dialects" else {"msgspec"}
        for file in sources(CORE / package):
            for found in imports_of(file):
                top = found.module.split(".")[0]
                own = any(found.module == name or found.module.startswith(name + ".") for name in allowed)
                if not own and top not in sys.stdlib_module_names and top not in libraries:
                    wrong.append(str(found))
    assert not wrong, wrong


def test_pure_modules_have_no_async() -> None:
    files = [file for package in PURE_PACKAGES for file in sources(CORE / package)]
    files += [CORE / name for name in PURE_MODULES]
    wrong = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for file in files
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith)
    ]
    assert not wrong, wrong


def test_plugins_import_only_the_sdk_and_themselves() -> None:
    import sys

    wrong = []
    for plugin in sorted(path for path in PLUGINS.iterdir() if path.is_dir()):
        for file in sources(plugin):
            for found in imports_of(file):
                top = found.module.split(".")[0]
                fine = top == plugin.name or found.module == "relayhub.sdk" or found.module.startswith("relayhub.sdk.")
                # A simulator of the upstream stands on the published base; no other file of the plugin imports it.
                fine = fine or (file.stem == "simulator" and found.module == "relayhub.testing")
                if top == "relayhub" and not fine:
                    wrong.append(str(found))
                libraries = (plugin.name, "relayhub", "pydantic", "orjson", *PLUGIN_LIBRARIES)
                if top not in libraries and top not in sys.stdlib_module_names:
                    wrong.append(str(found))
    assert not wrong, wrong


def test_no_provider_is_named_in_the_core() -> None:
    wrong = []
    for file in sources(CORE):
        tree = ast.parse(file.read_text())
        docstrings = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        for node in ast.walk(tree):
            texts = [
                getattr(node, field)
                for field in ("id", "attr", "name", "arg")
                if isinstance(getattr(node, field, None), str)
            ]
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
                texts.append(node.value)
            wrong += [f"{file.relative_to(ROOT)}:{node.lineno} {text!r}" for text in texts if PROVIDERS.search(text)]
    assert not wrong, wrong


def test_there_is_no_mutable_module_state() -> None:
    wrong = []
    for file in sources(CORE) + sources(PLUGINS):
        tree = ast.parse(file.read_text())
        wrong += [
            f"{file.relative_to(ROOT)}:{node.lineno} global" for node in ast.walk(tree) if isinstance(node, ast.Global)
        ]
        for node in tree.body:
            value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
            names = [t.id for t in getattr(node, "targets", [getattr(node, "target", None)]) if isinstance(t, ast.Name)]
            empty = isinstance(value, ast.List | ast.Dict | ast.Set) and not ast.unparse(value).strip("[]{}() ")
            if empty:
                wrong.append(f"{file.relative_to(ROOT)}:{node.lineno} {names} starts empty, so somebody fills it")
    assert not wrong, wrong


def test_what_the_collector_leaves_alone_holds_only_values() -> None:
    """A cycle through a struct with ``gc=False`` is never freed. Whoever gives one a field of another type says here why
    nothing in it can lead back."""
    values = {bool, bytes, float, int, object, str, type(None), msgspec.Raw}  # what is any object was read from JSON
    records = {Form, HoldAbout, Principal, http.SpoolSlice, UsageRecord}
    """Where the parts of a body stand, what is known of a call, who asks, a part of a file on the disk: none of them knows a
    call, or what asks the ledger."""
    for package in (dialects, gateway, store):
        for module in walk_packages(package.__path__, f"{package.__name__}."):
            if ".migrations" not in module.name:
                import_module(module.name)
    ours = [struct for struct in _below(msgspec.Struct) if struct.__module__.startswith("relayhub.")]
    found = {struct for struct in ours if not struct.__struct_config__.gc}
    assert {AudioEnvelope, Call, Departure, Envelope, NewHold, OpenHold, EndHold} <= found
    wrong = []
    for struct in found:
        for name, hint in get_type_hints(struct, localns=vars(http)).items():  # aliases are of there
            if name in struct.__struct_fields__:
                strange = {kind for kind in _kinds(hint) - values - records - found if not issubclass(kind, Enum)}
                wrong += [f"{struct.__name__}.{name} may be a {kind.__name__}" for kind in strange]
    assert not wrong, wrong


def _below(base: Any) -> Iterator[Any]:
    for one in base.__subclasses__():
        yield one
        yield from _below(one)


def _kinds(hint: Any) -> set[Any]:
    """The types that a hint is made of."""
    inner = [one for one in get_args(hint) if one is not Ellipsis]
    return set().union(*map(_kinds, inner)) if inner else {hint}


def test_only_the_clock_sleeps() -> None:
    wrong = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for file in sources(CORE) + sources(PLUGINS)
        if file != CORE / "sdk" / "clock.py"
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("asyncio.sleep", "time.sleep")
    ]
    assert not wrong, wrong


@pytest.mark.parametrize("package", [name for names in LAYERS for name in sorted(names) if (CORE / name).is_dir()])
def test_every_package_says_what_it_is(package: str) -> None:
    assert ast.get_docstring(ast.parse((CORE / package / "__init__.py").read_text()))
