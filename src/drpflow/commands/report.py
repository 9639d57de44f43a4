"""Write the report of a run: what was lost and why, and how good the rest is.

The workflow writes the same page as its last step (`snakemake report` makes it with all that it
needs); this makes it at any time, from whatever there is so far.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from drpflow.commands.output import console
from drpflow.commands.run import add_run_arguments, open_plan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_run_arguments(parser)
    parser.add_argument(
        "--output", type=Path, help="page to write (default: that of the dataset type report)"
    )
    parser.add_argument(
        "--visits", type=_numbers, metavar="NUMBERS",
        help="visits that are shown with their figures, such as 3,10-12 (default: those that "
        "stand out, as many as makeReport.visit_pages_mb allows)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Write the page."""
    from drpflow.qa.report import write_report

    plan = open_plan(args)
    output = args.output or plan.table.path(plan.root, "report")
    write_report(
        plan.run.output, output, plan.run.makeReport, args.visits, rejected=Path(plan.rejected)
    )
    console().print(f"report: {output}", markup=False, highlight=False)
    return 0


def _numbers(text: str) -> list[int]:
    from drpflow.workflow.number_lists import numbers

    try:
        return numbers(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list such as 3,10-12") from None
