"""Show what is done, what failed and why: a table of tasks and visits.

Reads the status files that each job writes last. Visits that are complete are counted in the
first line; --all lists them too. Whether a product is stale only snakemake can tell:
drpflow run -- --dry-run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drpflow.commands.output import console
from drpflow.commands.run import add_run_arguments, open_plan
from drpflow.io.status_files import summarize_failures
from drpflow.workflow.status import read_status

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from drpflow.io.status_files import Outcome
    from drpflow.workflow.status import Cell, RunStatus

_NAMED = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_run_arguments(parser)
    parser.add_argument("--all", action="store_true", help="list complete visits too")
    parser.add_argument("--visit", type=int, action="append", help="list this visit alone")


def run(args: argparse.Namespace) -> int:
    """Print the table and return 0, or 1 where something is not done."""
    plan = open_plan(args)
    status = read_status(plan)
    out = console()
    for warning in plan.warnings:
        out.print(f"warning: {warning}", markup=False, highlight=False)
    _print_table(status, _shown(status, args))
    print_failures(status, None if args.all else 20)
    return 0 if all(status.complete(visit) for visit in status.visits) else 1


def print_failures(status: RunStatus, longest: int | None = None) -> None:
    """Print the declared failures and what is incomplete, grouped by reason.

    Parameters
    ----------
    status
        The state of a run.
    longest
        Number of groups to print of each; all if None.
    """
    _print_groups("Lost", status.failed, longest)
    _print_groups("Some components missing", status.partial, longest)


def _print_groups(title: str, outcomes: Iterable[Outcome], longest: int | None) -> None:
    groups = summarize_failures(outcomes)
    out = console()
    if groups:
        out.print(f"\n{title} ({sum(len(members) for _, _, members in groups)}):")
    for task, reason, members in groups[:longest]:
        places = "; ".join(member.where for member in members[:_NAMED])
        more = f" and {len(members) - _NAMED} more" if len(members) > _NAMED else ""
        out.print(f"  {task} {places}{more}: {reason}", markup=False, highlight=False)
        if members[0].hint:
            out.print(f"    {members[0].hint}", markup=False, highlight=False)
        out.print(f"    log: {members[0].log}", markup=False, highlight=False)
    if longest is not None and len(groups) > longest:
        out.print(f"  … and {len(groups) - longest} more reasons: drpflow status --all")


def describe_losses(cell: Cell) -> str:
    """Return e.g. ``, 1 partial, 3 failed``; nothing where there is nothing to tell."""
    partial = f", {cell.partial} partial" if cell.partial else ""
    return partial + (f", {cell.failed} failed" if cell.failed else "")


def _shown(status: RunStatus, args: argparse.Namespace) -> list[int]:
    """Return the visits to list."""
    if args.visit:
        return [visit for visit in status.visits if visit in args.visit]
    return [visit for visit in status.visits if args.all or not status.complete(visit)]


def _print_table(status: RunStatus, visits: list[int]) -> None:
    from rich.table import Table

    complete = sum(status.complete(visit) for visit in status.visits)
    table = Table(title=f"{complete} of {len(status.visits)} visits are complete")
    table.add_column("visit", justify="right")
    for task in status.tasks:
        table.add_column(task, justify="right")
    table.add_row("all", *(_text(status.total(task)) for task in status.tasks), end_section=True)
    for visit in visits:
        cells = (status.cells.get((task, visit)) for task in status.tasks)
        table.add_row(str(visit), *(_text(cell) for cell in cells))
    console().print(table)


def _text(cell: Cell | None) -> str:
    """Return e.g. ``58/62, 1 partial, 3 failed``, coloured by how well it went."""
    if cell is None or not cell.expected:
        return ""
    text = f"{cell.done}/{cell.expected}{describe_losses(cell)}"
    if cell.failed:
        return f"[red]{text}[/red]"
    return f"[green]{text}[/green]" if cell.done == cell.expected else f"[yellow]{text}[/yellow]"
