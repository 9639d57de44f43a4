"""modelVisitBackground: one sky for the whole focal plane. docs/tasks/modelVisitBackground.md."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from drpflow.config.model_visit_background import ModelVisitBackgroundConfig
from drpflow.workflow.task_runner import Failure, Partial, Task, main

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

INPUTS = ("visit-info", "sky-samples", "initial-visit-summary", "initial-stars",
          "fgcm-photo-calib", "sky-frame", "sky-frame-stars")  # fmt: skip


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--camera", required=True, help="camera file or name")
    parser.add_argument("--visit", required=True, type=int, help="the visit")
    for name in INPUTS:
        parser.add_argument(f"--{name}", required=True, type=Path, help="file to read")
    parser.add_argument("--reference-stars", type=Path, help="reference catalogue")
    parser.add_argument("--visit-background", required=True, type=Path, help="file to write")


def run(args: Namespace) -> dict[str, float | int | str] | Partial:
    from drpflow.io import visit_background_files as files
    from drpflow.io.camera_yaml import load_camera
    from drpflow.tasks.make_sky_frame import VisitSky
    from drpflow.tasks.model_visit_background import model_visit_background

    camera, options = load_camera(args.camera), vars(args)
    margin_deg = args.config.wings.outer_arcsec / 3600
    parts, detectors = files.read_visit(options, camera, args.visit, margin_deg)
    frames, stars = files.read_frames(args.sky_frame), files.read_frame_stars(args.sky_frame_stars)
    made = model_visit_background(VisitSky(*parts), frames, detectors, camera, args.config, stars)
    files.write_visit_background(made.table, args.visit, options)
    return Partial(made.numbers, made.problem) if made.problem else made.numbers


def write_stub(args: Namespace, failure: Failure) -> None:  # noqa: ARG001 - the status tells it
    from drpflow.data.component_table import ComponentTable
    from drpflow.io.visit_background_files import write_visit_background

    write_visit_background(ComponentTable({}), args.visit, vars(args))


TASK = Task("modelVisitBackground", run, write_stub, add_arguments, ModelVisitBackgroundConfig)

if __name__ == "__main__":
    sys.exit(main(TASK))
