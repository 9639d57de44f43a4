"""isr: raw frame to detrended image in electrons, with variance and mask. docs/tasks/isr.md."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from drpflow.config.isr import CalibrationKind, IsrConfig
from drpflow.workflow.task_runner import Failure, Partial, Task, main

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

KINDS = ("weight", "mask", *(kind.replace("_", "-") for kind in get_args(CalibrationKind)))


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--raw", required=True, type=Path, help="raw frame (FITS)")
    parser.add_argument("--hdu", default="0", help="its HDU, index or name")
    parser.add_argument("--camera", required=True, help="camera file or name")
    parser.add_argument("--detector", required=True, type=int, help="id in the camera file")
    parser.add_argument("--visit-info", required=True, type=Path, help="metadata of the visit")
    for name in ("post-isr-image", "post-isr-thumbnail", "isr-statistics"):
        parser.add_argument(f"--{name}", required=True, type=Path, help="file to write")
    for name in KINDS:
        parser.add_argument(f"--{name}", type=Path, help="image or calibration (FITS)")
        parser.add_argument(f"--{name}-hdu", help="its HDU, if not the usual one")


def run(args: Namespace) -> dict[str, float | int | str] | Partial:
    from drpflow.algorithms.isr.context import frame_context
    from drpflow.io.isr_files import read_geometry, read_pixels, write_outputs
    from drpflow.tasks.isr import isr, make_thumbnail

    given = read_pixels(read_geometry(args.camera, args.detector, args.visit_info), vars(args))
    of = given.of
    context = frame_context(of.camera, of.detector, of.visit_info, given.frame.header,
                            str(args.raw), weight=given.weight, mask=given.mask)  # fmt: skip
    of_it = of.detector, of.visit_info, given.calibrations
    result = isr(given.frame.data, *of_it, args.config, context)
    thumbnail = make_thumbnail(result.exposure)
    write_outputs(of, result.exposure, thumbnail, result.statistics, vars(args))
    return Partial(result.numbers, result.problem) if result.problem else result.numbers


def write_stub(args: Namespace, failure: Failure) -> None:
    from drpflow.io.isr_files import read_geometry, write_outputs
    from drpflow.tasks.isr import failed_exposure, make_thumbnail

    of = read_geometry(args.camera, args.detector, args.visit_info)
    stub = failed_exposure(of.detector, of.visit_info, str(failure))
    write_outputs(of, stub, make_thumbnail(stub), None, vars(args))


TASK = Task("isr", run, write_stub, add_arguments, IsrConfig, __doc__ or "")

if __name__ == "__main__":
    sys.exit(main(TASK))
