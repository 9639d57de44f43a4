"""Faults of the machine by the hundred, and whether the same command puts everything right.

    python benchmarks/fault_trials.py FOLDER [--small] [--jobs 100] [--kills 60] [--halves 4]
        [--rounds 4] [--disks 5] [--rights 1] [--raws 1] [--nodes 1] [--seed 1]

FOLDER is a run folder whose run is complete, temporary products kept; if there is none, two visits
of the survey ``tiny`` (``--small``: the survey of the workflow tests) are run there, which is the
reference: what stands under the name of a product must at any moment have the bytes that it has
there, and nothing may be missing once the same command has ended. Of the report all is compared but
the chapter on run times. All trials happen in a copy, FOLDER.trial; wrong products are kept in
FOLDER.wrong.

Jobs are killed by hand (fault_jobs.py). Runs are killed from raw frames on, as a whole or in part:
a job, the shell about it, Snakemake, drpflow, all at once; what some of these kills left is kept as
FOLDER.half.N (fault_runs.py), where files are harmed (fault_files.py), disks are full and rights
missing (fault_machine.py), and a node of SLURM vanishes (fault_slurm.py).
"""

from __future__ import annotations

import argparse
import random
import shutil
from collections import Counter
from pathlib import Path

from drpflow.workflow.task_runner import start_process

start_process(1)  # before numpy is loaded: of two threads, sums have other last digits

from fault_files import damage, damage_notes  # noqa: E402
from fault_folder import Folder, Row, Trials, make_reference  # noqa: E402
from fault_jobs import kill_jobs  # noqa: E402
from fault_machine import full_disk, rights, unreadable_raw  # noqa: E402
from fault_runs import HIT, half_ways, kill_runs  # noqa: E402
from fault_slurm import vanished_nodes  # noqa: E402


def print_table(rows: dict[str, Row], hit: Counter[str]) -> None:
    print("| fault | trials | wrong products | missing products | command failed | what is said |")
    print("|---|---|---|---|---|---|")
    for kind, row in rows.items():
        counts = " | ".join(str(n) for n in (row.trials, row.wrong, row.missing, row.failed))
        print(f"| {kind} | {counts} | {row.message.replace('|', chr(92) + '|')} |")
    kills = hit.pop(HIT, 0)
    jobs = ", ".join(f"{script} {number}" for script, number in hit.most_common())
    print(f"\n{kills} kills of runs; jobs that ran then: {jobs}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--small", action="store_true", help="the survey of the workflow tests")
    parser.add_argument("--jobs", type=int, default=100, help="jobs killed by hand")
    parser.add_argument("--kills", type=int, default=60, help="kills of runs")
    parser.add_argument("--mean", type=float, default=8.0, help="mean time between kills, s")
    parser.add_argument("--go-on", action="store_true", help="with what killed trials have left")
    parser.add_argument("--halves", type=int, default=4, help="killed runs to be kept")
    parser.add_argument("--rounds", type=int, default=4, help="rounds of harmed late products")
    parser.add_argument("--files", type=int, default=8, help="files harmed in a round")
    parser.add_argument("--disks", type=int, default=5, help="full disks")
    parser.add_argument("--rights", type=int, default=1, help="0: no trials of rights")
    parser.add_argument("--raws", type=int, default=1, help="raw frames that cannot be read")
    parser.add_argument("--nodes", type=int, default=1, help="nodes that vanish")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    reference = Folder(args.folder.absolute(), args.small)
    if not reference.folder.exists():
        make_reference(reference)
    work = Folder(reference.folder.with_name(f"{reference.folder.name}.trial"), args.small)
    trials = Trials(reference, work, random.Random(args.seed))
    hit: Counter[str] = Counter()
    try:
        kill_jobs(trials, args.jobs)
        if args.kills:
            for half in half_ways(trials) if not args.go_on else []:
                shutil.rmtree(half)
            hit = kill_runs(trials, args.kills, args.mean, args.halves, go_on=args.go_on)
        damage(trials, args.rounds, args.files)
        damage_notes(trials, bool(args.rounds))
        full_disk(trials, args.disks)
        rights(trials, bool(args.rights))
        unreadable_raw(trials, args.raws)
        vanished_nodes(trials, args.nodes)
    finally:
        print_table(trials.rows, hit)


if __name__ == "__main__":
    main()
