"""What a process has cost since it began: time, memory, reading and writing."""

from __future__ import annotations

import os
import resource
import sys
import time
from pathlib import Path
from typing import Final

_LOADED_S: Final = time.monotonic()
# getrusage(2) tells memory in kB, on macOS in bytes; blocks are of 512 bytes.
_BYTES_OF_RSS: Final = 1 if sys.platform == "darwin" else 1024
_BYTES_OF_BLOCK: Final = 512
_MB: Final = 1 << 20
# Field of /proc/self/stat, the name in brackets and what stands before it left out.
_START: Final = 19


def process_cost() -> dict[str, float]:
    """Return what this process, with those that it has waited for, has cost so far.

    Returns
    -------
    dict
        ``s`` since it began (it or the process that it is a fork of: whichever is later),
        ``cpu_time`` of user and system [s], ``max_rss``, ``io_in`` and ``io_out`` of disks [MB of
        2**20 bytes]: names and units of Snakemake's benchmark files.
    """
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    both = (own, children)
    return {
        "s": _age_s(),
        "max_rss": max(_peak_bytes(own), children.ru_maxrss * _BYTES_OF_RSS) / _MB,
        "io_in": sum(use.ru_inblock for use in both) * _BYTES_OF_BLOCK / _MB,
        "io_out": sum(use.ru_oublock for use in both) * _BYTES_OF_BLOCK / _MB,
        "cpu_time": sum(use.ru_utime + use.ru_stime for use in both),
    }


def _peak_bytes(own: resource.struct_rusage) -> int:
    """Return the most memory that this process has held.

    What Linux tells in its rusage may be that of another: a process that becomes another program
    keeps the mark of the one before, which of a fork is that of its parent.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        mark = next(line for line in lines if line.startswith("VmHWM:"))
        return int(mark.split()[1]) * 1024
    except (OSError, StopIteration):
        return own.ru_maxrss * _BYTES_OF_RSS


def _age_s() -> float:
    """Return how long ago this process began; where Linux does not say, when this was loaded."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        began_s = int(fields[_START]) / os.sysconf("SC_CLK_TCK")
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - began_s)
    except (OSError, AttributeError):
        return time.monotonic() - _LOADED_S
