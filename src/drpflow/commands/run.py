"""Run the workflow of this folder, from wherever it stands.

Prints the equivalent snakemake command, clears what a killed run has left behind, shows
progress, and ends with a list of the visits and detectors that were lost and why. Everything
after -- goes to snakemake, e.g.:

    drpflow run --cores 8
    drpflow run prompt --cores 8
    drpflow run --cores 8 -- --dry-run
    drpflow run --profile slurm
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from drpflow.commands.output import console, errors
from drpflow.errors import InputError
from drpflow.workflow.repair import Repair
from drpflow.workflow.runner import DEFAULT_CONFIG, Request, run_snakemake
from drpflow.workflow.snakemake_log import find_machine_fault

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from drpflow.config.run import RunConfig
    from drpflow.workflow.plan import Plan
    from drpflow.workflow.runner import Result
    from drpflow.workflow.shards import Shard

TAKES_EXTRA = True
# -n, among Snakemake's other options of one letter that take no value.
_DRY_LETTERS = re.compile("-[aFfklpSDt]*n")
_LONGEST_LIST = 20
_NO_CATALOGUE = (
    "note: no reference catalogue: neither WCS nor zero point. `drpflow reference` makes one."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "targets",
        nargs="*",
        help="all (the default), prompt, calibration, coadds, final, rebuilt, report, or files",
    )
    add_run_arguments(parser)
    add_engine_arguments(parser)
    parser.add_argument(
        "--retry-failed",
        action="store_true",
        help="also run jobs again whose failure, or partial failure, was recorded",
    )
    parser.add_argument(
        "--shard", metavar="NAME", help="this piece of the run alone, as drpflow shards names it"
    )


def add_engine_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say how Snakemake shall run."""
    parser.add_argument(
        "--cores",
        type=int,
        help="jobs at a time (default: the cores of this machine, or what a profile says)",
    )
    parser.add_argument("--profile", default="default", help="default, or slurm: docs/cluster.md")
    parser.add_argument(
        "--take-over", action="store_true", help="the owner on another machine is dead: go on"
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="first read every product, and make again what has changed by itself on the disk",
    )
    parser.add_argument("--verbose", action="store_true", help="show all that snakemake says")


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say which run is meant."""
    parser.add_argument(
        "--config",
        type=Path,
        default=DEFAULT_CONFIG,
        help=f"config file (default: {DEFAULT_CONFIG} in the run folder)",
    )
    parser.add_argument(
        "--directory", type=Path, default=Path(), help="run folder (default: the current one)"
    )


def run(args: argparse.Namespace) -> int:
    """Run the workflow and return Snakemake's exit code."""
    from drpflow.workflow.plan import check_reference
    from drpflow.workflow.shards import parse

    plan = open_plan(args)
    check_reference(plan.run)
    shard = parse(args.shard) if args.shard else None
    if shard is not None and (args.targets or args.retry_failed):
        fault = "a shard has its own targets, and forces nothing"
        raise InputError("--shard", fault, "Leave --retry-failed and other targets out")
    for warning in plan.warnings:
        errors().print(f"warning: {warning}", markup=False, highlight=False)
    if plan.run.reference_stars is None:
        errors().print(_NO_CATALOGUE, markup=False, highlight=False)
    _check_folders(plan)
    more = _force_failed(plan) if args.retry_failed else ()
    result = start(args, plan, shard=shard, targets=tuple(args.targets), more=more)
    if shard is None and not is_dry_run(args.extra):
        _summarize(plan, result)
    return result.code


def start(
    args: argparse.Namespace,
    plan: Plan,
    *,
    shard: Shard | None = None,
    targets: tuple[str, ...] = (),
    more: tuple[str, ...] = (),
) -> Result:
    """Run Snakemake to its end, and tell what went wrong with it.

    Parameters
    ----------
    args
        What the user said of the run and of how Snakemake shall run.
    plan
        The run.
    shard
        The piece of it that is wanted; all if None.
    targets
        Rules or files that are wanted.
    more
        Arguments for Snakemake, beside those that the user gave.
    """
    from drpflow.workflow.shards import TARGET, snakemake_words

    if shard is not None:
        targets, more = (TARGET,), snakemake_words(plan, shard)
    dry = is_dry_run(args.extra)
    whole = shard is not None or not targets or "all" in targets
    repair = Repair(plan, thorough=args.verify, dry=dry, shard=shard, whole=whole)
    result = run_snakemake(
        Request(
            config=args.config,
            cores=args.cores or (_own_cores() if args.profile == "default" else None),
            targets=targets,
            profile=args.profile,
            extra=(*args.extra, *more),
            take_over=args.take_over,
            verbose=args.verbose or dry,
        ),
        prepare=repair.begin,
    )
    if dry:
        return result
    told = _faults(result)
    if damage := list(repair.end()):
        result.code = result.code or 1
    for line in [*told, *damage]:
        errors().print(line, markup=False, highlight=False)
    return result


def is_dry_run(words: Iterable[str]) -> bool:
    """Return whether arguments of Snakemake ask for a dry run, alone or with other letters.

    >>> is_dry_run(["-np"])
    True
    """
    return any(
        _DRY_LETTERS.match(word) or (len(word) >= len("--dry") and _is_dry_option(word))
        for word in words
    )


def _is_dry_option(word: str) -> bool:
    return any(option.startswith(word) for option in ("--dry-run", "--dryrun"))


def open_plan(args: argparse.Namespace) -> Plan:
    """Enter the run folder and return its plan."""
    from drpflow.workflow.plan import load_plan

    return load_plan(open_run(args))


def open_run(args: argparse.Namespace) -> RunConfig:
    """Enter the run folder and return its configuration."""
    from drpflow.errors import InputError
    from drpflow.io.run_yaml import load_run

    if not args.directory.is_dir():
        raise InputError(args.directory, "there is no such folder", "Check --directory")
    if args.directory.resolve() != Path.cwd():
        if args.config != DEFAULT_CONFIG:
            args.config = args.config.absolute()
        os.chdir(args.directory)
    return load_run(args.config)


def _own_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _check_folders(plan: Plan) -> None:
    """Raise if Snakemake's notes or the products cannot be written."""
    for folder in (Path.cwd(), Path(plan.root)):
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        if not os.access(there, os.W_OK | os.X_OK):
            problem = "nothing can be written into it (permission denied)"
            raise InputError(there, problem, "Give yourself the right to (chmod), or use another")


def _force_failed(plan: Plan) -> tuple[str, ...]:
    from drpflow.workflow.status import read_status

    status = read_status(plan)
    files = [str(outcome.path) for outcome in (*status.failed, *status.partial)]
    return ("--forcerun", *files) if files else ()


def _summarize(plan: Plan, result: Result) -> None:
    """Tell what there is now, what was lost, and what went wrong."""
    from drpflow.commands.status import describe_losses, print_failures
    from drpflow.workflow.status import read_status

    status = read_status(plan)
    out = console()
    if result.up_to_date:
        out.print("Nothing to do: every product is up to date.")
    for task in status.tasks:
        total = status.total(task)
        if total.expected:
            lost = describe_losses(total)
            out.print(f"{task}: {total.done} of {total.expected} done{lost}", highlight=False)
    print_failures(status, _LONGEST_LIST)
    out.print(f"products: {plan.root}", markup=False, highlight=False)
    report = plan.table.path(plan.root, "report")
    if report.is_file():
        out.print(f"report:   {report}", markup=False, highlight=False)


def _faults(result: Result) -> list[str]:
    """Return what Snakemake has told before it failed, but in a job."""
    if not result.code or result.failed:
        return []
    fault = find_machine_fault(result.lines)
    return [f"snakemake: {fault}"] if fault else list(result.lines)
