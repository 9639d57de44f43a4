"""calibrateImage: first PSF, WCS, zero point and sources. docs/tasks/calibrateImage.md."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from drpflow.config.calibrate_image import CalibrateImageConfig
from drpflow.workflow.task_runner import Failure, Partial, Task, main

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

IMAGES = ("initial-pvi", "initial-thumbnail")
OTHERS = ("initial-background", "initial-stars-detector", "initial-stars-footprints-detector")


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--post-isr-image", required=True, type=Path, help="what isr wrote")
    parser.add_argument("--camera", required=True, help="camera file or name")
    parser.add_argument("--detector", required=True, type=int, help="id in the camera file")
    parser.add_argument("--visit-info", required=True, type=Path, help="metadata of the visit")
    parser.add_argument("--reference-stars", type=Path, help="reference catalogue (Parquet)")
    for name in (*IMAGES, *OTHERS):
        parser.add_argument(f"--{name}", required=True, type=Path, help="file to write")


def run(args: Namespace) -> dict[str, float | int | str] | Partial:
    from drpflow.io import calibrate_files as files
    from drpflow.io.frame_geometry import read_geometry
    from drpflow.tasks.calibrate_image import calibrate_image

    of = read_geometry(args.camera, args.detector, args.visit_info)
    exposure = files.read_exposure(args.post_isr_image, of)
    margin_pix = args.config.astrometry.pattern.max_offset_pix
    reference = files.read_references(args.reference_stars, exposure.wcs, margin_pix)
    result = calibrate_image(exposure, of.visit_info, reference, args.config)
    files.write_outputs(of, result.images, result.background, result.tables, vars(args))
    return Partial(result.numbers, result.failure) if result.failure else result.numbers


def write_stub(args: Namespace, failure: Failure) -> None:
    from drpflow.io import calibrate_files as files
    from drpflow.io.frame_geometry import read_geometry
    from drpflow.tasks.calibrate_image import failed_images

    of = read_geometry(args.camera, args.detector, args.visit_info)
    images = failed_images(of.detector, of.visit_info, str(failure))
    files.write_outputs(of, images, None, (None, None), vars(args))


TASK = Task("calibrateImage", run, write_stub, add_arguments, CalibrateImageConfig, __doc__ or "")

if __name__ == "__main__":
    sys.exit(main(TASK))
