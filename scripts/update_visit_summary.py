"""updateVisitSummary: the final components of a visit. docs/tasks/updateVisitSummary.md."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from drpflow.config.update_visit_summary import UpdateVisitSummaryConfig
from drpflow.workflow.task_runner import Failure, Partial, Task, main

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

INPUTS = ("visit-info", "initial-visit-summary", "visit-background",
          "final-characterization-summary", "final-characterization-stars", "fgcm-photo-calib",
          "fgcm-transmission-atmosphere")  # fmt: skip


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--camera", required=True, help="camera file or name")
    parser.add_argument("--order", required=True, type=int, help="HEALPix order of the solution")
    parser.add_argument("--pieces", required=True, help="pixels of the solution, such as 1-8,12")
    for name in INPUTS:
        parser.add_argument(f"--{name}", required=True, type=Path, help="of the visit")
    parser.add_argument("--initial-pvi", required=True, type=Path, nargs="+", help="of detectors")
    parser.add_argument(
        "--final-astrometry-wcs", required=True, help="path with {visit} and {skypix} for the pixel"
    )
    parser.add_argument("--reference-stars", type=Path, help="reference catalogue")
    parser.add_argument("--final-visit-summary", required=True, type=Path, help="file to write")


def run(args: Namespace) -> dict[str, float | int | str] | Partial:
    from drpflow.io import visit_summary_files as files
    from drpflow.tasks.update_visit_summary import update_visit_summary
    from drpflow.workflow.number_lists import numbers

    margin_deg = args.config.reference_margin_deg
    visit = files.read_inputs(vars(args), numbers(args.pieces), margin_deg)
    made = update_visit_summary(visit, files.opener(vars(args)), args.config)
    files.write_summary(made.summary, visit.info.visit, vars(args))
    return Partial(made.numbers, made.problem) if made.problem else made.numbers


def write_stub(args: Namespace, failure: Failure) -> None:
    from drpflow.io.characterization_files import visit_of
    from drpflow.io.visit_summary_files import write_summary
    from drpflow.tasks.update_visit_summary import nothing

    visit, detectors = visit_of(vars(args))
    write_summary(nothing(visit, tuple(detectors), str(failure)), visit, vars(args))


TASK = Task("updateVisitSummary", run, write_stub, add_arguments, UpdateVisitSummaryConfig)

if __name__ == "__main__":
    sys.exit(main(TASK))
