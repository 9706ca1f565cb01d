"""The three doors: entry points, dropped-in files, named modules. Nothing is imported here until it is asked for."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType

from relayhub.plugins.loaded import Source

GROUP = "relayhub"
BUILT_IN = "relayhub-gateway"
DROP_INS = "relayhub_dropins"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A plugin that could be loaded. ``file``: to see that two doors lead to the same one; ``None`` before import."""

    name: str
    source: Source
    origin: str
    version: str
    load: Callable[[], object]
    built_in: bool = False


def candidates(dirs: Sequence[Path], modules: Sequence[str]) -> Iterator[Candidate]:
    """Everything that the doors offer, built-ins first, then in a fixed order."""
    yield from sorted(_installed(), key=lambda candidate: (not candidate.built_in, candidate.name))
    for folder in dirs:
        yield from _dropped_in(folder)
    for module in modules:
        yield Candidate(module.rpartition(".")[2], Source.MODULE, module, "", _importer(module))


def _installed() -> Iterator[Candidate]:
    seen: set[tuple[str, str]] = set()
    for point in entry_points(group=GROUP):
        if (point.name, point.value) in seen:  # an editable install can be found twice
            continue
        seen.add((point.name, point.value))
        yield _from_entry_point(point)


def _from_entry_point(point: EntryPoint) -> Candidate:
    name = point.dist.name if point.dist is not None else "?"
    version = point.dist.version if point.dist is not None else ""
    origin = f"{name} {version} ({point.value})"
    return Candidate(point.name, Source.ENTRY_POINT, origin, version, point.load, built_in=name == BUILT_IN)


def _dropped_in(folder: Path) -> Iterator[Candidate]:
    """``acme.py`` and ``acme/__init__.py`` are the plugin ``acme``; names that begin with ``_`` or ``.`` are none."""
    if not folder.is_dir():
        missing = f"plugins.dirs names {folder}, which is not a folder"
        yield Candidate(folder.name, Source.DROP_IN, str(folder), "", _failing(missing))
        return
    for path in sorted(folder.iterdir()):
        file = path / "__init__.py" if path.is_dir() else path
        if path.name.startswith(("_", ".")) or file.suffix != ".py" or not file.is_file():
            continue
        yield Candidate(path.stem, Source.DROP_IN, str(path), "", _file_importer(path.stem, file))


def _importer(module: str) -> Callable[[], ModuleType]:
    return lambda: importlib.import_module(module)


def _failing(reason: str) -> Callable[[], object]:
    def load() -> object:
        raise FileNotFoundError(reason)

    return load


def _file_importer(name: str, file: Path) -> Callable[[], ModuleType]:
    def load() -> ModuleType:
        qualified = f"{DROP_INS}.{name}"
        _ensure_parent()
        folders = [str(file.parent)] if file.name == "__init__.py" else None
        spec = importlib.util.spec_from_file_location(qualified, file, submodule_search_locations=folders)
        if spec is None or spec.loader is None:
            raise ImportError(f"{file} cannot be imported")
        module = importlib.util.module_from_spec(spec)
        sys.modules[qualified] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            sys.modules.pop(qualified, None)
            raise
        return module

    return load


def _ensure_parent() -> None:
    """Drop-ins are sub-modules of a package that exists only in memory, so that they cannot hide an installed one."""
    if DROP_INS not in sys.modules:
        parent = ModuleType(DROP_INS, "Plugins that were dropped into a folder.")
        parent.__path__ = []
        sys.modules[DROP_INS] = parent
