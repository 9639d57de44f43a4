"""solveAstrometry: WCSs and stars from one fit to all visits. docs/tasks/solveAstrometry.md."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from drpflow.config.solve_astrometry_task import SolveAstrometryTaskConfig
from drpflow.workflow.task_runner import Failure, Partial, Task, main

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

OF_VISIT = ("visit-info", "initial-visit-summary")
OF_PIECE = ("isolated-stars", "isolated-stars-source", "fgcm-standard-stars")
TABLES = ("solved-astrometry-stars", "solved-astrometry-visits", "solved-astrometry-residuals")


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--camera", required=True, help="camera file or name")
    for name in ("skypix", "order", "association-order"):
        parser.add_argument(f"--{name}", required=True, type=int, help="HEALPix pixel and orders")
    parser.add_argument("--visits", required=True, help="visits about it, such as 1-8,12")
    parser.add_argument("--pieces", required=True, help="pixels of the association, written alike")
    for name in (*OF_VISIT, "solved-astrometry-wcs"):
        parser.add_argument(f"--{name}", required=True, help="path with {visit} for the visit")
    for name in OF_PIECE:
        parser.add_argument(f"--{name}", required=True, help="path with {skypix} for the pixel")
    for name in TABLES:
        parser.add_argument(f"--{name}", required=True, type=Path, help="file to write")
    parser.add_argument("--reference-stars", type=Path, help="reference catalogue")


def run(args: Namespace) -> dict[str, float | int | str] | Partial:
    from drpflow.io import astrometric_files as files
    from drpflow.tasks.solve_astrometry import solve_astrometry
    from drpflow.workflow.number_lists import numbers

    given = files.read_inputs(vars(args), numbers(args.visits), numbers(args.pieces))
    made = solve_astrometry(given, args.config, progress=print)
    files.write_outputs(made, vars(args))
    return Partial(made.numbers, made.problem) if made.problem else made.numbers


def write_stub(args: Namespace, failure: Failure) -> None:
    from drpflow.io import astrometric_files as files
    from drpflow.tasks.solve_astrometry import nothing
    from drpflow.workflow.number_lists import numbers

    detectors = files.detectors_of(vars(args))
    files.write_outputs(nothing(numbers(args.visits), detectors, str(failure)), vars(args))


TASK = Task("solveAstrometry", run, write_stub, add_arguments, SolveAstrometryTaskConfig)

if __name__ == "__main__":
    sys.exit(main(TASK))
