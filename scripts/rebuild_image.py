"""rebuildImage: the final image made again without loss. docs/tasks/rebuildImage.md."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from drpflow.workflow.task_runner import Failure, Task, main

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

INPUTS = ("post-isr-image", "visit-background", "compressed-pvi", "visit-info")


def add_arguments(parser: ArgumentParser) -> None:
    for name in INPUTS:
        parser.add_argument(f"--{name}", required=True, type=Path, help="of the detector's visit")
    parser.add_argument("--camera", required=True, help="camera file or name")
    parser.add_argument("--detector", required=True, type=int, help="id in the camera file")
    parser.add_argument("--rebuilt-pvi", required=True, type=Path, help="file to write")


def run(args: Namespace) -> dict[str, float | int]:
    from drpflow.io import compress_files as files
    from drpflow.io.frame_geometry import read_geometry
    from drpflow.tasks.rebuild_image import rebuild_image

    of = read_geometry(args.camera, args.detector, args.visit_info)
    result = rebuild_image(*files.read_rebuild_inputs(of, vars(args)))
    files.write_rebuilt(of, result.exposure, vars(args))
    return result.numbers


def write_stub(args: Namespace, failure: Failure) -> None:
    from drpflow.io.compress_files import write_rebuilt
    from drpflow.io.frame_geometry import read_geometry
    from drpflow.tasks.compress_image import failed_exposure

    of = read_geometry(args.camera, args.detector, args.visit_info)
    write_rebuilt(of, failed_exposure(of.detector, of.visit_info, str(failure)), vars(args))


TASK = Task("rebuildImage", run, write_stub, add_arguments, description=__doc__ or "")

if __name__ == "__main__":
    sys.exit(main(TASK))
