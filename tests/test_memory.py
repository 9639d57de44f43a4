"""Freed memory stays with a process that keeps it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from drpflow.memory import set_thresholds

ARRAY_MIB = 256
# What a process holds when it has made and dropped a large array, less what it held before, MiB.
HELD = f"""
import numpy as np
from drpflow.memory import keep_freed_memory
def held():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))
before = held()
if {{keeps}}:
    keep_freed_memory()
array = np.ones({ARRAY_MIB} << 17)
del array
print(held() - before)
"""


def held_mib(*, keeps: bool) -> float:
    done = subprocess.run(
        [sys.executable, "-c", HELD.format(keeps=keeps)], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems are left as they are")
def test_the_memory_of_a_large_array_stays_for_the_next() -> None:
    assert held_mib(keeps=False) < 0.1 * ARRAY_MIB
    assert held_mib(keeps=True) > 0.9 * ARRAY_MIB


@pytest.mark.parametrize(("largest", "kept"), [(1 << 40, 1 << 30), (1 << 25, 1 << 25), (0, None)])
def test_a_library_that_refuses_large_arrays_keeps_smaller_ones(
    largest: int, kept: int | None
) -> None:
    taken: dict[int, int] = {}

    def mallopt(parameter: int, value: int) -> int:
        if parameter == -3 and value > largest:
            return 0
        taken[parameter] = value
        return 1

    set_thresholds(mallopt)
    assert taken.get(-3) == kept
    assert (-1 in taken) == (kept is not None), "the other threshold never alone"
