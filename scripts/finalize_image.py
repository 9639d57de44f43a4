"""finalizeImage: final image and full-depth sources of a detector. docs/tasks/finalizeImage.md."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from drpflow.config.finalize_image import FinalizeImageConfig
from drpflow.workflow.task_runner import Failure, Partial, Task, main

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

OF_VISIT = ("visit-info", "visit-background", "final-visit-summary", "initial-visit-summary")
OF_PIECE = ("isolated-stars-source", "fgcm-standard-stars", "final-astrometry-residuals")


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--camera", required=True, help="camera file or name")
    parser.add_argument("--detector", required=True, type=int, help="id in the camera file")
    for name in ("initial-pvi", *OF_VISIT):
        parser.add_argument(f"--{name}", required=True, type=Path, help="of detector or visit")
    for name in ("final-characterization-stars", "warp-mask", *OF_PIECE):
        parser.add_argument(f"--{name}", help="path, with {tract} and {patch}, or {skypix}")
    for name in ("patches", "pieces", "solved"):
        parser.add_argument(f"--{name}", default="", help="such as 1-8,12; patches: 0:3-4,7;1:12")
    for name in ("pvi", "final-source-detector"):
        parser.add_argument(f"--{name}", required=True, type=Path, help="file to write")


def run(args: Namespace) -> dict[str, float | int | str] | Partial:
    from drpflow.io import final_image_files as files
    from drpflow.io.frame_geometry import read_geometry
    from drpflow.tasks import finalize_image as task
    from drpflow.workflow.number_lists import grouped_numbers, numbers

    of = read_geometry(args.camera, args.detector, args.visit_info)
    where = grouped_numbers(args.patches), numbers(args.pieces), numbers(args.solved)
    parts = files.read_inputs(of, vars(args), *where)
    first = task.FirstImage(*parts[:-4], task.KnownStars(*parts[-4:]))
    made = task.finalize_image(first, args.config)
    files.write_outputs(of, made.image, made.columns, vars(args))
    return Partial(made.numbers, made.problem) if made.problem else made.numbers


def write_stub(args: Namespace, failure: Failure) -> None:
    from drpflow.io import final_image_files as files
    from drpflow.io.frame_geometry import read_geometry
    from drpflow.tasks.finalize_image import nothing

    of = read_geometry(args.camera, args.detector, args.visit_info)
    failed = nothing(of.detector, of.visit_info, str(failure))
    files.write_outputs(of, failed, None, vars(args), lost=str(failure))


TASK = Task("finalizeImage", run, write_stub, add_arguments, FinalizeImageConfig)

if __name__ == "__main__":
    sys.exit(main(TASK))
