"""finalizeCharacterization: final PSFs of a visit. docs/tasks/finalizeCharacterization.md."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from drpflow.config.finalize_characterization import FinalizeCharacterizationConfig
from drpflow.workflow.task_runner import Failure, Partial, Task, main

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

OF_PIECE = ("isolated-stars-source", "fgcm-standard-stars")
OF_SOLUTION = ("solved-astrometry-stars", "solved-astrometry-wcs")


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--camera", required=True, help="camera file or name")
    for name in ("visit-info", "initial-visit-summary", "initial-stars"):
        parser.add_argument(f"--{name}", required=True, type=Path, help="of the visit")
    parser.add_argument("--initial-pvi", required=True, type=Path, nargs="+", help="of detectors")
    parser.add_argument("--visit-background", type=Path, help="of the visit, if there is one")
    parser.add_argument("--pieces", required=True, help="pixels of the association, such as 1-8,12")
    parser.add_argument("--solved", required=True, help="pixels of the astrometric solution")
    for name in (*OF_PIECE, *OF_SOLUTION):
        parser.add_argument(f"--{name}", required=True, help="path with {skypix} for the pixel")
    for name in ("final-characterization-summary", "final-characterization-stars"):
        parser.add_argument(f"--{name}", required=True, type=Path, help="file to write")


def run(args: Namespace) -> dict[str, float | int | str] | Partial:
    from drpflow.io import characterization_files as files
    from drpflow.tasks import finalize_characterization as task
    from drpflow.workflow.number_lists import numbers

    columns = (*task.NEEDED, *args.config.stars.bad_flags)
    given = files.read_inputs(vars(args), numbers(args.pieces), numbers(args.solved), columns)
    known = {d: task.FirstLook(*parts) for d, parts in given.detectors.items()}
    visit = task.VisitStars(**{**given._asdict(), "detectors": known})
    pixels = files.exposure_opener(args.initial_pvi)
    made = task.finalize_characterization(visit, pixels, args.config)
    files.write_outputs(made, visit.visit, vars(args))
    return Partial(made.numbers, made.problem) if made.problem else made.numbers


def write_stub(args: Namespace, failure: Failure) -> None:
    from drpflow.io import characterization_files as files
    from drpflow.tasks.finalize_characterization import nothing

    visit, detectors = files.visit_of(vars(args))
    files.write_outputs(nothing(visit, detectors, str(failure)), visit, vars(args))


CONFIG = FinalizeCharacterizationConfig
TASK = Task("finalizeCharacterization", run, write_stub, add_arguments, CONFIG)

if __name__ == "__main__":
    sys.exit(main(TASK))
