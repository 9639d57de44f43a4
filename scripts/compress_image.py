"""compressImage: the final image in less space. docs/tasks/compressImage.md."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from drpflow.config.compress_image import CompressImageConfig
from drpflow.workflow.task_runner import Failure, Task, main

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--pvi", required=True, type=Path, help="what finalizeImage wrote")
    parser.add_argument("--camera", required=True, help="camera file or name")
    parser.add_argument("--detector", required=True, type=int, help="id in the camera file")
    parser.add_argument("--visit-info", required=True, type=Path, help="metadata of the visit")
    parser.add_argument("--compressed-pvi", required=True, type=Path, help="file to write")


def run(args: Namespace) -> dict[str, float | int]:
    from drpflow.io import compress_files as files
    from drpflow.io.frame_geometry import read_geometry
    from drpflow.tasks.compress_image import compress_image

    of = read_geometry(args.camera, args.detector, args.visit_info)
    seeds = files.dither_seeds("compressed_pvi", of.data_id)
    result = compress_image(files.read_pvi(args.pvi, of), seeds, args.config)
    files.write_compressed(of, result.exposure, result.pixels.tiled, vars(args))
    return result.numbers


def write_stub(args: Namespace, failure: Failure) -> None:
    from drpflow.io.compress_files import write_compressed
    from drpflow.io.frame_geometry import read_geometry
    from drpflow.tasks.compress_image import failed_exposure

    of = read_geometry(args.camera, args.detector, args.visit_info)
    failed = failed_exposure(of.detector, of.visit_info, str(failure))
    write_compressed(of, failed, None, vars(args))


TASK = Task("compressImage", run, write_stub, add_arguments, CompressImageConfig, __doc__ or "")

if __name__ == "__main__":
    sys.exit(main(TASK))
