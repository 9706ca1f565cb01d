"""What the C library keeps of the memory that was freed, where it can be asked: with glibc on Linux. Elsewhere it is taken to
keep nothing, which is so with musl."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

from relayhub.upstream.memory import LARGE

ARENAS = 2
"""Heaps: the loop's, and one for all other threads, of which few do anything at a time. By itself glibc opens one for nearly
each of them, takes 64 MiB of address space for it, and keeps in each what is freed there."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_FIELDS = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
"""Of ``struct mallinfo2``, in its order."""


@dataclass(frozen=True, slots=True)
class Allocator:
    """``free``: bytes that are kept, in pieces of any size, for blocks smaller than :data:`LARGE` to come. Their address
    space is not given back, and their pages only by ``give_back``, which takes milliseconds. ``sort_out``: from
    then on a large block is mapped by itself, and given back when it is freed; for the whole process, idempotent. By itself
    glibc soon keeps blocks of up to 32 MiB in its heap, which cannot shrink while anything small lies above them; below
    :data:`LARGE`, mapping afresh for each answer would cost more than it brings."""

    free: Callable[[], int]
    give_back: Callable[[], object]
    sort_out: Callable[[], object]


def process_allocator() -> Allocator:
    """This process's."""
    silent = Allocator(lambda: 0, lambda: 0, lambda: 0)
    if sys.platform != "linux":
        return silent
    import ctypes

    class Found(ctypes.Structure):
        _fields_ = [(name, ctypes.c_size_t) for name in _FIELDS.split()]  # as ctypes wants it

    library = ctypes.CDLL(None)
    try:
        info, trim, option = library.mallinfo2, library.malloc_trim, library.mallopt
    except AttributeError:
        return silent
    info.restype = Found
    info.argtypes, trim.argtypes, option.argtypes = (), (ctypes.c_size_t,), (ctypes.c_int, ctypes.c_int)

    def sort_out() -> None:
        option(_M_ARENA_MAX, ARENAS)
        option(_M_MMAP_THRESHOLD, LARGE)
        option(_M_TRIM_THRESHOLD, 2 * LARGE)  # glibc's own proportion, which it keeps only by itself

    return Allocator(lambda: int(info().fordblks), lambda: trim(0), sort_out)
