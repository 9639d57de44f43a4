"""Write the report of a run: what was lost and why, and how good the rest is.

The workflow writes the same page as its last step; this makes it at any time, from whatever
there is so far.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from drpflow.commands.output import console
from drpflow.commands.run import add_run_arguments, open_plan

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_run_arguments(parser)
    parser.add_argument(
        "--output", type=Path, help="page to write (default: that of the dataset type report)"
    )


def run(args: argparse.Namespace) -> int:
    """Write the page."""
    from drpflow.qa.report import write_report

    plan = open_plan(args)
    output = args.output or plan.table.path(plan.root, "report")
    write_report(plan.run.output, output)
    console().print(f"report: {output}", markup=False, highlight=False)
    return 0
