"""finalizeAstrometry: the astrometric solution again. docs/tasks/finalizeAstrometry.md."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from drpflow.config.finalize_astrometry import FinalizeAstrometryConfig
from drpflow.workflow.task_runner import Failure, Partial, Task, main

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

OF_VISIT = ("visit-info", "initial-visit-summary", "final-characterization-stars")
OF_PIECE = ("isolated-stars", "isolated-stars-source", "fgcm-standard-stars")
WCS = ("solved-astrometry-wcs", "final-astrometry-wcs")
TABLES = ("stars", "visits", "residuals")


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--camera", required=True, help="camera file or name")
    for name in ("skypix", "order", "association-order"):
        parser.add_argument(f"--{name}", required=True, type=int, help="HEALPix pixel and orders")
    parser.add_argument("--visits", required=True, help="visits about it, such as 1-8,12")
    parser.add_argument("--pieces", required=True, help="pixels of the association, written alike")
    for name in (*OF_VISIT, *WCS):
        parser.add_argument(f"--{name}", required=True, help="path with {visit} for the visit")
    for name in OF_PIECE:
        parser.add_argument(f"--{name}", required=True, help="path with {skypix} for the pixel")
    for name in (f"{when}-astrometry-{what}" for when in ("solved", "final") for what in TABLES):
        parser.add_argument(f"--{name}", required=True, type=Path, help="of the piece")
    parser.add_argument("--reference-stars", type=Path, help="reference catalogue")


def run(args: Namespace) -> dict[str, float | int | str] | Partial:
    from drpflow.io import final_astrometry_files as files
    from drpflow.tasks.finalize_astrometry import finalize_astrometry
    from drpflow.workflow.number_lists import numbers

    given = files.read_inputs(vars(args), numbers(args.visits), numbers(args.pieces))
    made = finalize_astrometry(given, args.config, progress=print)
    files.write_outputs(made, made.passed_on, made.about, vars(args))
    return Partial(made.numbers, made.problem) if made.problem else made.numbers


def write_stub(args: Namespace, failure: Failure) -> None:
    from drpflow.io import final_astrometry_files as files
    from drpflow.io.astrometric_files import detectors_of
    from drpflow.tasks.finalize_astrometry import nothing
    from drpflow.workflow.number_lists import numbers

    made = nothing(numbers(args.visits), detectors_of(vars(args)), str(failure))
    files.write_outputs(made, made.passed_on, made.about, vars(args))


TASK = Task("finalizeAstrometry", run, write_stub, add_arguments, FinalizeAstrometryConfig)

if __name__ == "__main__":
    sys.exit(main(TASK))
