"""Tell what would run for a product, and what change is behind it.

Takes dataset types or tasks with a data ID, or files; without any, the whole run:

    drpflow why
    drpflow why initial_pvi visit=12 detector=3
    drpflow why demo/results/coadd

Nothing is run. The first causes stand alone; what runs since others do is counted.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from drpflow.commands.output import console
from drpflow.commands.run import add_run_arguments, open_plan
from drpflow.errors import InputError, suggest
from drpflow.workflow.constraints import constraints_of
from drpflow.workflow.dry_run import read_dry_run
from drpflow.workflow.reasons import reasons_of
from drpflow.workflow.repair import Repair
from drpflow.workflow.runner import Request
from drpflow.workflow.task_runner import data_id_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from drpflow.workflow.dry_run import PlannedJob
    from drpflow.workflow.plan import Plan

_NAMED = 4
_MOST_CAUSES = 20
# Targets that a printed command line names one by one.
_SHOWN_TARGETS = 3
_UP_TO_DATE = "up to date: nothing would run"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("target", nargs="?", help="dataset type, task, target or file")
    parser.add_argument("data_id", nargs="*", help="such as visit=12 detector=1-4")
    parser.add_argument("--all", action="store_true", help="list all causes, and all jobs of each")
    add_run_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Make the plan and tell it."""
    plan = open_plan(args)
    targets = find_targets(plan, args.target, args.data_id)
    request = Request(args.config, None, tuple(targets), extra=("--dry-run",))
    words = request.command()
    shown = words
    if len(targets) > _SHOWN_TARGETS:
        shown = ["snakemake", targets[0], "...", *words[1 + len(targets) :]]
    out = console()
    out.print("$ " + shlex.join(shown), markup=False, highlight=False, soft_wrap=True)
    lines = explain(list(read_dry_run(_dry_run(words))), plan, None if args.all else _NAMED)
    if damaged := list(Repair(plan, dry=True).begin()):
        lines = _with_damage(lines, damaged, None if args.all else _MOST_CAUSES)
    for line in lines:
        out.print(line, markup=False, highlight=False, soft_wrap=True)
    return 0


def _with_damage(lines: list[str], damaged: list[str], most: int | None) -> list[str]:
    """Return what would run with what is damaged, of which Snakemake knows nothing."""
    told = [f"  {line}" for line in damaged[:most]]
    if len(damaged) > len(told):
        told.append(f"  … and {len(damaged) - len(told)} more: --all")
    others = [] if lines == [_UP_TO_DATE] else lines
    return [f"{len(damaged)} files of the run are damaged", *told, *others]


def find_targets(plan: Plan, target: str | None, words: Iterable[str]) -> list[str]:
    """Return the files, or the rule, that a target stands for, as the rules name them.

    Raises
    ------
    InputError
        If it is nothing that the run makes.
    """
    table = plan.table
    if target is None:
        return []
    if target in table.datasets:
        template = table.path_template(target)
        return _chosen(plan, target, plan.expand(f"{plan.root}/{template}"), words)
    if target in table.tasks:
        jobs = plan.expand(plan.job_file("status", target, ".json"))
        return _chosen(plan, target, jobs, words)
    path = Path(target)
    if path.name == target and not path.exists():
        return [target]  # a rule such as `coadds`; Snakemake tells if there is none
    return [_as_rules_name_it(plan, path)]


def _chosen(plan: Plan, name: str, paths: list[str], words: Iterable[str]) -> list[str]:
    """Return those paths that a data ID selects, folders for those that a rule makes as one."""
    wanted = constraints_of(plan.table, name, words)
    chosen = [path for path in paths if _fits(path, wanted)]
    if not chosen:
        raise InputError(name, f"the run has none of {' '.join(words)}", "See drpflow status")
    return list(dict.fromkeys(_whole(plan, path) for path in chosen))


def _fits(path: str, wanted: dict[str, list[int | str]]) -> bool:
    said = data_id_of(path)
    return all(said.get(key) in values for key, values in wanted.items())


def _whole(plan: Plan, path: str) -> str:
    """Return the folder of a file that is one of many which its rule declares as a folder."""
    try:
        name = plan.table.locate(path).name
    except InputError:
        return path
    return plan.astrometry.folder(path) if plan.is_folder(name) else path


def _as_rules_name_it(plan: Plan, path: Path) -> str:
    """Return a file's path as it is below the output root of the config."""
    root = Path(plan.root)
    try:
        inside = path.resolve().relative_to(root.resolve())
    except ValueError:
        remedy = f"Name something below {root}; for frames and calibrations, see drpflow ingest"
        raise InputError(path, "the run does not make it", remedy) from None
    name = inside.parts[0] if inside.parts else ""
    if (root / inside).is_dir() and name in plan.table.datasets and len(inside.parts) == 1:
        raise InputError(path, "it is a folder of many products", f"Say drpflow why {name}")
    return _whole(plan, str(root / inside))


def _dry_run(words: list[str]) -> str:
    """Return what Snakemake says it would do.

    Raises
    ------
    InputError
        If it makes no plan.
    """
    command = [sys.executable, "-m", *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise InputError(words[1], f"no plan can be made ({' '.join(lines[-2:])})", _remedy(words))
    return done.stdout + done.stderr


def _remedy(words: list[str]) -> str:
    targets = ("all", "prompt", "calibration", "coadds", "final", "rebuilt", "report")
    return f"See drpflow datasets{suggest(words[1], targets)}"


def explain(jobs: list[PlannedJob], plan: Plan, most: int | None = _NAMED) -> list[str]:
    """Return what would run and why, a line each.

    Parameters
    ----------
    jobs
        The jobs that would run.
    plan
        The run as it stands.
    most
        Jobs named for each cause; all if None.
    """
    if not jobs:
        return [_UP_TO_DATE]
    order = {task: place for place, task in enumerate(plan.tasks)}
    # Snakemake lists jobs in an order that changes from one plan to the next.
    jobs = sorted(jobs, key=lambda job: (order.get(job.task, len(order)), job.name))
    causes: dict[tuple[str, str], list[PlannedJob]] = defaultdict(list)
    for job in jobs:
        if not job.follows:
            causes[job.rule, "; ".join(reasons_of(job, plan)) or "its inputs are new"].append(job)
    following = Counter(job.rule for job in jobs if job.follows)
    lines = [f"{len(jobs)} jobs would run"]
    shown = list(causes.items())[: None if most is None else _MOST_CAUSES]
    for (rule, why), members in shown:
        places = "; ".join(job.wildcards for job in members[:most] if job.wildcards)
        more = f" and {len(members) - most} more" if most and len(members) > most else ""
        lines += [f"  {rule} {places}{more}".rstrip(), f"    {why}"]
    if len(causes) > len(shown):
        lines.append(f"  … and {len(causes) - len(shown)} more causes: --all")
    if following:
        counts = ", ".join(f"{rule} {count}" for rule, count in following.items())
        lines.append(f"  since their inputs are made again: {counts}")
    return lines
