"""makeReport: one page on the whole run. docs/tasks/makeReport.md."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from drpflow.config.make_report import MakeReportConfig
from drpflow.workflow.task_runner import Task, main

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--store", required=True, type=Path, help="output root of the run")
    parser.add_argument("--rejected", type=Path, help="list of the files that ingest did not take")
    parser.add_argument("--report", required=True, type=Path, help="page to write (HTML)")


def run(args: Namespace) -> None:
    # Read by their names; so their code counts.
    import drpflow.data.background
    import drpflow.data.displacement_map
    import drpflow.data.look_up_table
    import drpflow.data.photo_calib
    import drpflow.data.psf
    import drpflow.data.sky_wcs  # noqa: F401
    from drpflow.qa.report import write_report

    write_report(args.store, args.report, args.config, rejected=args.rejected)


TASK = Task("makeReport", run, None, add_arguments, MakeReportConfig, __doc__ or "")

if __name__ == "__main__":
    sys.exit(main(TASK))
