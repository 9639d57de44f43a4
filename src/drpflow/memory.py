"""Memory that arrays have given back, kept for the next ones."""

from __future__ import annotations

import ctypes
import sys
from typing import Final

# Parameters of mallopt(3), as <malloc.h> of the GNU C library numbers them.
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_LARGEST_ARRAY_BYTES: Final = 1 << 30
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
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_ARRAY_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _NEVER)
