"""Memory that arrays have given back, kept for the next ones."""

from __future__ import annotations

import ctypes
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

# Parameters of mallopt(3), as <malloc.h> of the GNU C library numbers them.
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
# Larger arrays go back all the same. Older C libraries refuse the first of these limits.
_LARGEST_BYTES: Final = (1 << 30, 1 << 25)
_NEVER: Final = (1 << 31) - 1


def keep_freed_memory() -> None:
    """Let this process keep what it frees, instead of giving it back at once.

    The GNU C library maps each array above 32 MB anew and gives it back when it dies; the system
    then clears every page of the next one, which takes up to a sixth of the CPU time of a task on
    images of 4096 x 4096 pixels and two fifths of that of simulating them. Kept memory is cleared
    once. The largest memory of a process grows by 5 % at most, since the heap has gaps
    (benchmarks/README.md, Workflow). Other C libraries are left as they are.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # musl has none
        set_thresholds(mallopt)


def set_thresholds(mallopt: Callable[[int, int], int]) -> None:
    """Set how large an array may be, and how much may be free, before memory is given back.

    The second alone would do harm: with it the library no longer raises the first by itself, from
    the 128 kB with which it begins.

    Parameters
    ----------
    mallopt
        Sets a parameter of the C library; returns 0 where it refuses.
    """
    if any(mallopt(_M_MMAP_THRESHOLD, size) for size in _LARGEST_BYTES):
        mallopt(_M_TRIM_THRESHOLD, _NEVER)
