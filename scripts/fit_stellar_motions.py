"""fitStellarMotions: motions of the stars of all sources. docs/tasks/fitStellarMotions.md."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from drpflow.config.fit_stellar_motions import FitStellarMotionsConfig
from drpflow.workflow.task_runner import Failure, Partial, Task, main

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def add_arguments(parser: ArgumentParser) -> None:
    for name, what in (("skypix", "HEALPix pixel, nested"), ("order", "its HEALPix order")):
        parser.add_argument(f"--{name}", required=True, type=int, help=what)
    parser.add_argument("--visits", required=True, help="visits about it, such as 1-8,12")
    parser.add_argument("--pieces", default="", help="pixels of the astrometry, written alike")
    for name in ("visit-info", "source", "final-visit-summary"):
        parser.add_argument(f"--{name}", required=True, help="path with {visit} for the visit")
    parser.add_argument(
        "--final-astrometry-visits", required=True, help="path with {skypix} for the pixel"
    )
    for name in ("source-matches", "source-matches-join"):
        parser.add_argument(f"--{name}", required=True, type=Path, help="of the pixel")
    parser.add_argument("--reference-stars", type=Path, help="reference catalogue")
    parser.add_argument("--stellar-motions", required=True, type=Path, help="file to write")


def run(args: Namespace) -> dict[str, float | int | str] | Partial:
    from drpflow.io import motion_files as files
    from drpflow.tasks.fit_stellar_motions import fit_stellar_motions
    from drpflow.workflow.number_lists import numbers

    given, faults = files.read_inputs(vars(args), numbers(args.visits), numbers(args.pieces))
    made = fit_stellar_motions(given, args.config)
    files.write_outputs(made.stars, made.notes, vars(args))
    problem = files.trouble(faults)
    return Partial(made.numbers, problem) if problem else made.numbers


def write_stub(args: Namespace, failure: Failure) -> None:
    from drpflow.io.motion_files import write_outputs

    write_outputs({}, [str(failure)], vars(args))


TASK = Task("fitStellarMotions", run, write_stub, add_arguments, FitStellarMotionsConfig)

if __name__ == "__main__":
    sys.exit(main(TASK))
