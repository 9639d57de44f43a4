"""CPU time of jobs beside their work: interpreter, imports, kernels read from disk, first uses.

Run ``python benchmarks/bench_overhead.py CONFIG [--batch visit] [--tasks isr ...] [--whole]
[--repeat 2]`` in a copy of a finished run whose temporary products were kept; its products are
written anew.

The command of one job of each rule is taken from a dry run of all jobs, and done twice in one
process. What the second pass needs is the task's work; all else that the process has needed is
overhead, first uses of memory included. The last line weighs rules by their number of jobs, those
of the whole survey left out but with ``--whole``. What Snakemake and the shell take for a job is
measured by ``bench_dag.py --run``.
"""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
from collections import Counter
from typing import NamedTuple

from drpflow.paths import profile, script, snakefile

SURVEY_WIDE = ("fgcm", "fgcmMakeLookUpTable", "solveAstrometry", "finalizeAstrometry", "makeReport")
TWICE = """\
import runpy, sys, time
from drpflow.workflow.task_runner import main
task = runpy.run_path(sys.argv[1])["TASK"]
codes = [main(task, sys.argv[2:])]
first = time.process_time()
codes.append(main(task, sys.argv[2:]))
print(codes == [0, 0], first, time.process_time() - first)
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


def cost(task: str, words: list[str]) -> tuple[float, float]:
    """Return CPU seconds of a job in a process of its own, and of the same job again in it."""
    command = [sys.executable, "-c", TWICE, str(script(task)), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    good, first, second = (done.stdout.split() or ["False", "0", "0"])[-3:]
    if good != "True":
        raise SystemExit(f"{task} failed:\n{done.stderr[-2000:]}")
    return float(first), float(second)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("config")
    parser.add_argument("--batch", choices=["detector", "visit"], default="detector")
    parser.add_argument("--tasks", nargs="+")
    parser.add_argument("--whole", action="store_true", help="tasks of the whole survey as well")
    parser.add_argument("--repeat", type=int, default=2)
    args = parser.parse_args()
    print("| rule | jobs | CPU s a job | work | overhead |\n|---|---|---|---|---|")
    n_jobs, whole_s, overhead_s = 0, 0.0, 0.0
    for rule, job in jobs(args.config, args.batch).items():
        task = rule.removesuffix("OfVisit")
        left_out = () if args.tasks or args.whole else SURVEY_WIDE
        if task not in (args.tasks or [task]) or task in left_out:
            continue
        whole, work = min((cost(task, job.words) for _ in range(args.repeat)), key=sum)
        print(
            f"| {rule} | {job.number} | {whole:.2f} | {work:.2f} | {whole - work:.2f} |", flush=True
        )
        n_jobs += job.number
        whole_s += whole * job.number
        overhead_s += (whole - work) * job.number
    print(f"| all | {n_jobs} | {whole_s / n_jobs:.2f} | | {overhead_s / n_jobs:.2f} |")
    print(f"\noverhead {overhead_s / whole_s:.1%} of {whole_s:.0f} CPU s")


if __name__ == "__main__":
    main()
