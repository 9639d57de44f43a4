"""CPU time of jobs beside their work: start of the process, kernels read from disk, first uses.

Run ``python benchmarks/bench_overhead.py CONFIG [--batch visit] [--tasks isr ...] [--whole]
[--repeat 2] [--own-process]`` in a copy of a finished run whose temporary products were kept; its
products are written anew.

The command of one job of each rule is taken from a dry run of all jobs, and done three times in
one process: a fork of the job server, with the client that waits for it, as on the user's machine;
or with ``--own-process`` a process of its own, as on a cluster. What the third pass needs is the
task's work on memory that the process holds already; the second pass begins with none, as the
first, so that what it needs beyond the third is the clearing of memory; what the first needs beyond
the second is the start. The last line weighs rules by their number of jobs, those of the whole
survey left out but with ``--whole``. What Snakemake and the shell take for a job is measured by
``bench_dag.py --run``.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import re
import resource
import shlex
import subprocess
import sys
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from drpflow.paths import profile, script, snakefile
from drpflow.workflow import job_client
from drpflow.workflow.job_server import load_tasks, run_task

if TYPE_CHECKING:
    from collections.abc import Callable

    from drpflow.workflow.task_runner import Task

SURVEY_WIDE = ("fgcm", "fgcmMakeLookUpTable", "solveAstrometry", "finalizeAstrometry", "makeReport")
PASSES = """\
import runpy, sys
sys.path.insert(0, sys.argv[1])
from bench_overhead import passes
print(*passes(runpy.run_path(sys.argv[2])["TASK"], sys.argv[2:]))
"""


class Job(NamedTuple):
    """A rule's first job, and how many there are."""

    words: list[str]
    number: int


def jobs(config: str, batch: str) -> dict[str, Job]:
    """Return a job of each rule."""
    words = ["--cores", "1", "--snakefile", str(snakefile()), "--workflow-profile", str(profile())]
    words += ["--dry-run", "--forceall", "--printshellcmds", "all"]
    words += ["--configfile", config, "--config", f"batch={batch}"]
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *words], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    commands: dict[str, list[str]] = {}
    counts: Counter[str] = Counter()
    rule = ""
    for line in (done.stdout + done.stderr).splitlines():
        if match := re.match(r"(?:local)?rule (\w+):$", line):
            rule = match[1]
            counts[rule] += 1
        elif "python " in line and "DRPFLOW_SCRIPTS" in line:
            command = line[line.index("python ") :].partition(" > ")[0]
            commands.setdefault(rule, shlex.split(command)[2:])
    return {rule: Job(found, counts[rule]) for rule, found in commands.items()}


class Cost(NamedTuple):
    """CPU seconds of a job: of its start, of the clearing of memory, of its work."""

    start: float
    memory: float
    work: float


def passes(task: Task, command: list[str]) -> list[float]:
    """Do a job three times in this process; return the CPU seconds of each.

    Memory goes back to the system before the second time.
    """
    ends = [0.0]
    for number in range(3):
        if number == 1:
            ctypes.CDLL(None).malloc_trim(0)
        if run_task(task, command):
            return []
        ends.append(time.process_time())
    return [end - begin for begin, end in pairwise(ends)]


def as_cost(task: str, said: str, more_s: float = 0.0) -> Cost:
    """Return the cost of a job from the words of the process that has measured it."""
    found = [float(word) for word in said.split()[-3:]]
    if len(found) < 3:
        raise SystemExit(f"{task} failed")
    first, second, third = found
    return Cost(max(0.0, first - second) + more_s, max(0.0, second - third), min(second, third))


def cost_in_own_process(task: str, words: list[str]) -> Cost:
    """Return the cost of a job in a process of its own."""
    here = str(Path(__file__).parent)
    command = [sys.executable, "-c", PASSES, here, str(script(task)), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return as_cost(task, done.stdout)


def cost_in_fork(tasks: dict[str, Task]) -> Callable[[str, list[str]], Cost]:
    """Return the function that measures the same in forks of this process."""
    client_s = cost_of_client()

    def cost(task: str, words: list[str]) -> Cost:
        read, write = os.pipe()
        if os.fork() == 0:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            os.dup2(nowhere, 2)
            command = [str(script(task)), *words]
            os.write(write, " ".join(map(str, passes(tasks[command[0]], command))).encode())
            os._exit(0)
        os.close(write)
        with os.fdopen(read) as stream:
            said = stream.read()
        os.wait()
        return as_cost(task, said, client_s)

    return cost


def cost_of_client(repeat: int = 20) -> float:
    """Return CPU seconds of a client that finds no server, and does nothing else."""
    code = f"import runpy; runpy.run_path({job_client.__file__!r})['ask']([])"
    words = [sys.executable, "-S", "-P", "-c", code]
    environment = os.environ | {job_client.VARIABLE: "nobody"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(repeat):
        subprocess.run(words, env=environment, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used / repeat


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("config")
    parser.add_argument("--batch", choices=["detector", "visit"], default="detector")
    parser.add_argument("--tasks", nargs="+")
    parser.add_argument("--whole", action="store_true", help="tasks of the whole survey as well")
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--own-process", action="store_true", help="without a job server")
    args = parser.parse_args()
    if args.own_process:
        measure, server_s = cost_in_own_process, 0.0
    else:
        measure = cost_in_fork(load_tasks())
        server_s = time.process_time()
        print(f"The job server has taken {server_s:.2f} CPU s to start.\n")
    print("| rule | jobs | CPU s a job | start | memory | work |\n|---|---|---|---|---|---|")
    n_jobs, total = 0, Cost(0.0, 0.0, 0.0)
    for rule, job in jobs(args.config, args.batch).items():
        task = rule.removesuffix("OfVisit")
        left_out = () if args.tasks or args.whole else SURVEY_WIDE
        if task not in (args.tasks or [task]) or task in left_out:
            continue
        cost = min((measure(task, job.words) for _ in range(args.repeat)), key=sum)
        print(row(rule, job.number, cost), flush=True)
        n_jobs += job.number
        total = Cost(*(t + job.number * c for t, c in zip(total, cost, strict=True)))
    print(row("all", n_jobs, Cost(*(t / n_jobs for t in total))))
    whole = sum(total)
    print(f"\nOf {whole:.0f} CPU s: start {total.start / whole:.1%}", end=", ")
    if server_s:
        share = (total.start + server_s) / (whole + server_s)
        print(f"with that of the server {share:.1%}", end=", ")
    print(f"clearing of memory {total.memory / whole:.1%}")


def row(rule: str, number: int, cost: Cost) -> str:
    """Return a line of the table."""
    return f"| {rule} | {number} | {sum(cost):.2f} | " + " | ".join(f"{c:.2f}" for c in cost) + " |"


if __name__ == "__main__":
    main()
