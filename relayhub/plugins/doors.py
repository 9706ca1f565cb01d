"""The three doors: entry points, dropped-in files, named modules. Nothing is imported here until it is asked for."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint, entry_points
from pathlib import Path
from types import ModuleType

from relayhub.plugins.loaded import Source

GROUP = "relayhub"
BUILT_IN = "relayhub-gateway"
DROP_INS = "relayhub_dropins"


def _nowhere() -> None:
    return None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A plugin that could be loaded.

    ``locate``: its file, found without running it, to see that two doors lead to the same one; ``None`` where it is not
    all that the file holds. May raise what importing a parent package raises.
    """

    name: str
    source: Source
    origin: str
    version: str
    load: Callable[[], object]
    locate: Callable[[], Path | None] = _nowhere
    built_in: bool = False


def candidates(dirs: Sequence[Path], modules: Sequence[str]) -> Iterator[Candidate]:
    """Everything that the doors offer, built-ins first, then in a fixed order."""
    yield from sorted(_installed(), key=lambda found: (not found.built_in, found.name, found.origin))
    for folder in dirs:
        yield from _dropped_in(folder)
    for module in modules:
        yield _named(module)


# --- entry points -----------------------------------------------------------------------------------------------------


def _installed() -> Iterator[Candidate]:
    seen: set[tuple[str, str]] = set()
    named: dict[Distribution, tuple[str, str]] = {}
    for point in entry_points(group=GROUP):
        if (point.name, point.value) in seen:  # an editable install can be found twice
            continue
        seen.add((point.name, point.value))
        if point.dist is None:
            yield _from_entry_point(point, "?", "")
            continue
        if point.dist not in named:
            said = point.dist.metadata  # read anew whenever it is asked for
            named[point.dist] = (said["Name"], said["Version"])
        yield _from_entry_point(point, *named[point.dist])


def _from_entry_point(point: EntryPoint, name: str, version: str) -> Candidate:
    # `package:attribute` is one of perhaps several plugins in that file.
    locate = _nowhere if point.attr else _module_finder(point.module)
    origin = f"{name} {version} ({point.value})"
    return Candidate(point.name, Source.ENTRY_POINT, origin, version, point.load, locate, built_in=name == BUILT_IN)


# --- named modules ----------------------------------------------------------------------------------------------------


def _named(module: str) -> Candidate:
    name = module.rpartition(".")[2]
    return Candidate(name, Source.MODULE, module, "", lambda: importlib.import_module(module), _module_finder(module))


def _module_finder(module: str) -> Callable[[], Path | None]:
    def locate() -> Path | None:
        try:
            spec = importlib.util.find_spec(module)
        except (ImportError, ValueError):
            return None  # loading it says better what is wrong
        return Path(spec.origin).resolve() if spec is not None and spec.has_location and spec.origin else None

    return locate


# --- dropped-in files -------------------------------------------------------------------------------------------------


def _dropped_in(folder: Path) -> Iterator[Candidate]:
    """``acme.py`` and ``acme/__init__.py`` are the plugin ``acme``; names that begin with ``_`` or ``.`` are none."""
    if not folder.is_dir():
        yield _unusable(folder, f"plugins.dirs names {folder}, which is not a folder")
        return
    try:
        found = sorted(folder.iterdir())
    except OSError as error:
        yield _unusable(folder, f"plugins.dirs names {folder}, which cannot be read: {error.strerror or error}")
        return
    for path in found:
        file = path / "__init__.py" if path.is_dir() else path
        if path.name.startswith(("_", ".")) or file.suffix != ".py" or not file.is_file():
            continue
        yield Candidate(path.stem, Source.DROP_IN, str(path), "", _file_importer(path.stem, file), file.resolve)


def _unusable(folder: Path, reason: str) -> Candidate:
    def load() -> object:
        raise FileNotFoundError(reason)

    return Candidate(str(folder), Source.DROP_IN, str(folder), "", load, folder.resolve)


def _file_importer(name: str, file: Path) -> Callable[[], ModuleType]:
    def load() -> ModuleType:
        qualified = f"{DROP_INS}.{name}"
        _ensure_parent()
        folders = [str(file.parent)] if file.name == "__init__.py" else None
        spec = importlib.util.spec_from_file_location(qualified, file, submodule_search_locations=folders)
        if spec is None or spec.loader is None:
            raise ImportError(f"{file} cannot be imported")
        module = importlib.util.module_from_spec(spec)
        _forget(qualified)
        sys.modules[qualified] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            _forget(qualified)
            raise
        return module

    return load


def _forget(qualified: str) -> None:
    """Leave nothing of a failed or earlier import behind, its sub-modules included."""
    for name in [name for name in sys.modules if name == qualified or name.startswith(f"{qualified}.")]:
        del sys.modules[name]


def _ensure_parent() -> None:
    """Drop-ins are sub-modules of a package that exists only in memory, so that they cannot hide an installed one."""
    if DROP_INS not in sys.modules:
        parent = ModuleType(DROP_INS, "Plugins that were dropped into a folder.")
        parent.__path__ = []
        sys.modules[DROP_INS] = parent
