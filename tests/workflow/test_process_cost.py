"""What a process has cost, beside what it is known to have done."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from drpflow.io.benchmark_files import COLUMNS, read_benchmarks, write_benchmark
from drpflow.workflow.process_cost import process_cost
from drpflow.workflow.task_runner import Task, main

HELD_MB = 600
# Works for half a second, holds 200 MB, waits for a child that works as long, sleeps.
WORK = """
import subprocess, sys, time
from drpflow.workflow.process_cost import process_cost
busy = "import time\\nwhile time.process_time() < 0.5: pass"
held = bytearray(200 << 20)
exec(busy)
subprocess.run([sys.executable, "-c", busy], check=True)
time.sleep(0.3)
print(*process_cost().values())
"""


def test_time_and_memory_are_those_of_the_process() -> None:
    held = bytearray(HELD_MB << 20)  # which is none of the other process's
    done = subprocess.run([sys.executable, "-c", WORK], capture_output=True, text=True, check=True)
    assert len(held) == HELD_MB << 20
    cost = dict(zip(process_cost(), map(float, done.stdout.split()), strict=True))
    assert set(cost) == set(COLUMNS)
    assert 1.0 <= cost["cpu_time"] < 2.5
    assert cost["s"] > cost["cpu_time"] + 0.2
    assert 200 < cost["max_rss"] < 400


def test_a_fork_begins_anew() -> None:
    """Its age is its own, to the 10 ms of the system's clock."""
    time.sleep(0.1)
    read, write = os.pipe()
    if os.fork() == 0:
        cost = process_cost()
        os.write(write, f"{cost['s']} {cost['cpu_time']}".encode())
        os._exit(0)
    os.wait()
    age_s, cpu_s = map(float, os.read(read, 100).split())
    assert age_s < process_cost()["s"] - 0.1
    assert cpu_s < process_cost()["cpu_time"]
    os.close(read)
    os.close(write)


def test_age_agrees_with_psutil() -> None:
    assert process_cost()["s"] == pytest.approx(
        time.time() - psutil.Process().create_time(), abs=1.0
    )


def test_a_written_file_reads_back(tmp_path: Path) -> None:
    cost = {"s": 2.5, "max_rss": 310.25, "io_in": 0.0, "io_out": 1.5, "cpu_time": 2.25}
    write_benchmark(tmp_path / "benchmarks/isr/visit=1/detector=0.tsv", cost)
    found = read_benchmarks(tmp_path)["isr"]
    assert {name: found[name].tolist() for name in COLUMNS} == {n: [cost[n]] for n in COLUMNS}


TASK = Task("isr", lambda args: None, None, lambda parser: None)


def test_a_task_writes_its_timing(tmp_path: Path) -> None:
    path = tmp_path / "benchmarks/isr/visit=1.tsv"
    assert main(TASK, ["--timing", str(path)]) == 0
    assert read_benchmarks(tmp_path)["isr"]["cpu_time"][0] > 0


def test_a_timing_that_cannot_be_written_costs_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "benchmarks").touch()
    assert main(TASK, ["--timing", str(tmp_path / "benchmarks/isr.tsv")]) == 0
    assert "time and memory are not recorded" in caplog.text
