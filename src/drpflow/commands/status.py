"""Show what is done, what failed and why: a line a task, and the visits that lost something.

Reads the status files that each job writes last; --visits has a line a visit as well. Bars:
█ done, ▓ some components missing, ▒ failed, ░ not done. Whether what is done is stale, and why,
`drpflow why` tells.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from drpflow.commands.output import console
from drpflow.commands.run import add_run_arguments, open_plan
from drpflow.errors import InputError
from drpflow.io.datasets import DatasetTable
from drpflow.io.status_files import summarize_failures, without_figures
from drpflow.workflow.number_lists import numbers, spans
from drpflow.workflow.status import read_status

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from rich.console import JustifyMethod
    from rich.table import Table
    from rich.text import Text

    from drpflow.io.sheets import RejectedRow
    from drpflow.io.status_files import Outcome
    from drpflow.workflow.status import Cell, RunStatus

_NAMED = 4
# Reasons of losses, and visits, that are printed unless all are asked for.
_MOST_REASONS, _MOST_VISITS = 20, 20
_BAR_WIDTH = 18
# How a bar shows what is done, incomplete, failed and not done.
_BAR = (("█", "green"), ("▓", "yellow"), ("▒", "red"), ("░", "dim"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_run_arguments(parser)
    parser.add_argument("--all", action="store_true", help="list all visits and all reasons")
    parser.add_argument(
        "--visits",
        nargs="?",
        const="",
        metavar="LIST",
        help="list every visit, or these, such as 1-8,12",
    )


def run(args: argparse.Namespace) -> int:
    """Print the tables and return 0, or 1 where something is not done."""
    plan = open_plan(args)
    status = read_status(plan)
    out = console()
    for warning in plan.warnings:
        out.print(f"warning: {warning}", markup=False, highlight=False)
    complete = sum(status.complete(visit) for visit in status.visits)
    out.print(f"{complete} of {len(status.visits)} visits are complete\n", highlight=False)
    out.print(_task_table(status))
    if args.all or args.visits is not None:
        out.print()
        out.print(_visit_table(status, _chosen(status, args.visits or "")))
    else:
        _print_losses(status)
    print_failures(status, None if args.all else _MOST_REASONS)
    return 0 if status.finished else 1


def print_failures(status: RunStatus, longest: int | None = None) -> None:
    """Print declared failures, what is incomplete and what was not taken, grouped by reason.

    Parameters
    ----------
    status
        The state of a run.
    longest
        Number of groups to print of each; all if None.
    """
    _print_groups("Lost", status.failed, longest)
    _print_groups("Some components missing", status.partial, longest)
    _print_rejected(status.rejected, longest)
    _print_strayed(status)


def _print_strayed(status: RunStatus) -> None:
    """Print which visits are so far from where the visit sheet puts them that coadds miss them."""
    far = status.strayed_arcsec
    if far:
        console().print(
            f"\nFar from the visit sheet ({len(far)}):\n"
            f"  visits {spans(far)}: up to {max(far.values()):.0f} arcsec; coadds are laid out for "
            f"{status.allowed_arcsec:.0f}, and patches beyond lack these visits\n"
            "    Correct the sheet, or raise skyMap.margin_deg, and run again",
            markup=False,
            highlight=False,
        )


def _print_rejected(rejected: Iterable[RejectedRow], longest: int | None) -> None:
    """Print the files that ingest did not take, grouped by reason, the most frequent first."""
    groups: dict[str, list[RejectedRow]] = defaultdict(list)
    for row in rejected:
        own = row.reason.replace(row.path, "").replace(Path(row.path).name, "")
        groups[without_figures(own)].append(row)
    ordered = sorted(groups.values(), key=lambda rows: (-len(rows), rows[0].path))
    out = console()
    if ordered:
        number = sum(map(len, ordered))
        out.print(f"\nNot taken by ingest ({number}):", highlight=False)
    for rows in ordered[:longest]:
        more = f" and {len(rows) - _NAMED} more" if len(rows) > _NAMED else ""
        files = ", ".join(row.path for row in rows[:_NAMED])
        out.print(f"  {files}{more}: {rows[0].reason}", markup=False, highlight=False)
    if longest is not None and len(ordered) > longest:
        out.print(f"  … and {len(ordered) - longest} more reasons: drpflow status --all")


def _print_groups(title: str, outcomes: Iterable[Outcome], longest: int | None) -> None:
    """Print the most frequent reasons, in the order of the flow: causes before what they cause."""
    groups = summarize_failures(outcomes)
    place_of = DatasetTable.load().task_place
    out = console()
    if groups:
        number = sum(len(members) for _, _, members in groups)
        out.print(f"\n{title} ({number}):", highlight=False)
    for task, reason, members in sorted(groups[:longest], key=lambda group: place_of(group[0])):
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


def _chosen(status: RunStatus, text: str) -> list[int]:
    """Return the visits that a list names, all if it is empty.

    Raises
    ------
    InputError
        If it is no list, or the run has none of them.
    """
    try:
        wanted = set(numbers(text))
    except ValueError:
        raise InputError("--visits", f"{text!r} is no list", "Write it like 1-8,12") from None
    chosen = [visit for visit in status.visits if not text or visit in wanted]
    if text and not chosen:
        remedy = f"Its visits are {spans(status.visits)}"
        raise InputError("--visits", f"the run has none of the visits {text}", remedy)
    return chosen


def _task_table(status: RunStatus) -> Table:
    """Return a row a task: bar, counts and losses."""
    table = _grid()
    for task in status.tasks:
        total = status.total(task)
        table.add_row(task, *_counts(total), describe_losses(total).removeprefix(", "))
    return table


def _visit_table(status: RunStatus, visits: Iterable[int]) -> Table:
    """Return a row a visit: bar and counts of its jobs, what it has lost and where it is."""
    table = _grid("right")
    for visit in visits:
        told = [*_losses(status, visit), *_where(status, visit)]
        table.add_row(str(visit), *_counts(status.total_of(visit)), "; ".join(told))
    return table


def _grid(first: JustifyMethod = "left") -> Table:
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    columns: tuple[JustifyMethod, ...] = (first, "left", "right", "left")
    for justify in columns:
        table.add_column(justify=justify)
    return table


def _print_losses(status: RunStatus) -> None:
    """Print the visits that have lost something, and which are not done yet."""
    lost = {visit: words for visit in status.visits if (words := _losses(status, visit))}
    out = console()
    if lost:
        out.print(f"\nVisits with losses ({len(lost)}):", highlight=False)
        table = _grid()
        for visit in list(lost)[:_MOST_VISITS]:
            table.add_row(f"  {visit}", "; ".join(lost[visit]))
        out.print(table, markup=False, highlight=False)
    if len(lost) > _MOST_VISITS:
        out.print(f"  … and {len(lost) - _MOST_VISITS} more: drpflow status --visits")
    waiting = [visit for visit in status.visits if status.total_of(visit).missing]
    if waiting:
        out.print(f"\nNot done yet: visits {spans(waiting)}", highlight=False)


def _losses(status: RunStatus, visit: int) -> list[str]:
    """Return e.g. ``calibrateImage 1 partial, 1 failed`` for each task with losses."""
    return [
        f"{task} {describe_losses(cell).removeprefix(', ')}"
        for task, cell in status.of_visit(visit).items()
        if cell.failed or cell.partial
    ]


def _where(status: RunStatus, visit: int) -> list[str]:
    """Return e.g. ``at isr 3/4``: the first task that is not done; nothing behind the last."""
    cells = status.of_visit(visit).items()
    return [f"at {task} {cell.done}/{cell.expected}" for task, cell in cells if cell.missing][:1]


def _counts(cell: Cell) -> tuple[Text, str]:
    """Return a bar of the counts, and e.g. ``58/62``."""
    from rich.text import Text

    ends = (cell.done, cell.partial, cell.failed, cell.missing)
    parts = zip(_BAR, bar_widths(ends, _BAR_WIDTH), strict=True)
    bar = Text.assemble(*((glyph * width, style) for (glyph, style), width in parts))
    return bar, f"{cell.done}/{cell.expected}"


def bar_widths(counts: tuple[int, ...], width: int) -> list[int]:
    """Return how many characters of a bar each count gets: in proportion, at least one.

    Parameters
    ----------
    counts
        Not negative; at most `width` of them positive.
    width
        Characters of the bar. Without any count it is empty.
    """
    total = sum(counts)
    if not total:
        return [0] * len(counts)
    exact = [width * count / total for count in counts]
    widths = [max(int(part), int(part > 0)) for part in exact]
    while (off := width - sum(widths)) != 0:
        errors = [part - given for part, given in zip(exact, widths, strict=True)]
        step = 1 if off > 0 else -1
        movable = [k for k, n in enumerate(widths) if n > 1 or (off > 0 and counts[k])]
        widths[max(movable, key=lambda k: step * errors[k])] += step
    return widths
