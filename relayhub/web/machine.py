"""How much memory and how many descriptors this process may have, and has: from its control group and its own limits."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path

from relayhub.upstream.memory import Left
from relayhub.web.allocator import Allocator, process_allocator

UNKNOWN_MEMORY = 1 << 40
UNKNOWN_DESCRIPTORS = 8192
NO_LIMIT = 1 << 60
"""Kernels write "no limit" as a number beyond this."""

MOST_MEMORY = 0.9
"""Of what the process may have. Beyond it nothing new is begun."""

FULL = 0.95
"""Of the same. Beyond it no large answer is taken for what is under way; the rest is for what nobody counts: a moment's
copies, connections, the parts of Python."""

WORTH_A_LOOK = 0.5
"""Of the address space: below it, what the allocator keeps makes no difference."""

_PIECE = 16 << 10

CGROUPS = Path("/sys/fs/cgroup")
PROC = Path("/proc/self")


@dataclass(frozen=True, slots=True)
class Machine:
    """``cgroups``, ``proc``: where the kernel tells. ``share``: so many processes like this one have to get along.
    ``allocator``: of this process."""

    cgroups: Path = CGROUPS
    proc: Path = PROC
    share: int = 1
    allocator: Allocator = field(default_factory=process_allocator)
    _limit_files: Callable[[str], tuple[str, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_limit_files", lru_cache(1)(partial(_limit_files, self.cgroups)))

    def memory(self) -> int:
        """Bytes that this process may have: its part of the tightest of its control groups, or of what the machine has."""
        return min([_physical(), *self._group_limits()]) // self.share

    def memory_share(self) -> float:
        """Of that, what it has: 1.0 is all. Its own pages count, not what the kernel caches of files for it. Where the
        address space is limited, of that, less what is free to be used again."""
        resident, mapped = self._sizes()
        share, space = resident / self.memory(), _address_space()
        if space is None:
            return share
        if mapped > WORTH_A_LOOK * space:
            mapped -= self.allocator.free()
        return max(share, mapped / space)

    def memory_left(self) -> Left:
        """Until it is :data:`FULL`. What the allocator keeps is of use for small blocks only."""
        resident, mapped = self._sizes()
        memory, space = self.memory(), _address_space()
        left, kept = int(FULL * memory) - resident, int((FULL - MOST_MEMORY) * memory)
        if space is None:
            return Left(left, left, kept)
        unmapped = int(FULL * space) - mapped
        again = self.allocator.free() if mapped > WORTH_A_LOOK * space else 0
        most = min(left, unmapped + again)
        return Left(min(left, unmapped), most, kept if most == left else int((FULL - MOST_MEMORY) * space))

    def give_back(self) -> None:
        """What nobody can reach any more, though it holds itself, and then pages that were freed, to the system. The
        collector looks rarely at what is old, and a few bodies may hang on it. Takes some ten milliseconds."""
        gc.collect()
        self.allocator.give_back()

    def _sizes(self) -> tuple[int, int]:
        """Bytes in memory, and of address space; 0 where it cannot be known."""
        sizes = _numbers(f"{self.proc}/statm", 2)
        if len(sizes) < 2:
            return 0, 0
        page = os.sysconf("SC_PAGE_SIZE")
        return sizes[1] * page, sizes[0] * page

    def descriptors(self) -> int:
        if sys.platform == "win32":
            return UNKNOWN_DESCRIPTORS
        import resource

        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return UNKNOWN_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft

    def _group_limits(self) -> Iterator[int]:
        for file in self._limit_files(_text(f"{self.proc}/cgroup")):
            for limit in _numbers(file, 1):
                if 0 < limit < NO_LIMIT:
                    yield limit


def _limit_files(cgroups: Path, groups: str) -> tuple[str, ...]:
    """Of its own group and of all above it: each of them binds. ``groups``: as the kernel lists them."""
    files: list[str] = []
    for line in groups.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if number == "0" and not controllers:
            root, name = str(cgroups), "memory.max"
        elif "memory" in controllers.split(","):
            root, name = f"{cgroups}/memory", "memory.limit_in_bytes"
        else:
            continue
        parts = [part for part in group.split("/") if part and part != ".."]
        files += ["/".join((root, *parts[:depth], name)) for depth in range(len(parts), -1, -1)]
    return tuple(files)


def _physical() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return UNKNOWN_MEMORY


def _address_space() -> int | None:
    if sys.platform == "win32":
        return None
    import resource

    soft = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if soft == resource.RLIM_INFINITY else soft


def _text(file: str) -> str:
    """Without a file object, which takes several times as long to make as this takes to read: it is read in the turn of some
    call."""
    try:
        descriptor = os.open(file, os.O_RDONLY)
    except OSError:
        return ""
    said = b""
    try:
        while piece := os.read(descriptor, _PIECE):
            said += piece
        return said.decode("utf-8", "replace")
    except OSError:
        return ""
    finally:
        os.close(descriptor)


def _numbers(file: str, most: int) -> list[int]:
    """The first of them. ``max`` means no limit."""
    return [int(word) for word in _text(file).split(None, most)[:most] if word.isdigit()]
