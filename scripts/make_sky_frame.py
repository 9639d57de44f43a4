"""makeSkyFrame: the pattern of the empty sky in a filter. docs/tasks/makeSkyFrame.md."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from drpflow.config.make_sky_frame import MakeSkyFrameConfig
from drpflow.workflow.task_runner import Failure, Task, main

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

OF_VISIT = ("visit-info", "sky-samples", "initial-visit-summary", "initial-stars")


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--camera", required=True, help="camera file or name")
    parser.add_argument("--physical-filter", required=True, help="the filter")
    parser.add_argument("--visits", required=True, help="visits in it, such as 1-8,12")
    for name in OF_VISIT:
        parser.add_argument(f"--{name}", required=True, help="path with {visit} for the visit")
    parser.add_argument("--reference-stars", type=Path, help="reference catalogue")
    parser.add_argument("--sky-frame", required=True, type=Path, help="file to write")
    parser.add_argument("--sky-frame-stars", required=True, type=Path, help="file to write")


def run(args: Namespace) -> dict[str, float | int | str]:
    from drpflow.io import visit_background_files as files
    from drpflow.io.camera_yaml import load_camera
    from drpflow.tasks.make_sky_frame import VisitSky, make_sky_frame
    from drpflow.workflow.number_lists import numbers

    camera, options = load_camera(args.camera), vars(args)
    margin_deg = args.config.sky.wings.outer_arcsec / 3600
    read = {v: files.read_visit(options, camera, v, margin_deg)[0] for v in numbers(args.visits)}
    made = make_sky_frame({v: VisitSky(*p) for v, p in read.items()}, camera, args.config)
    files.write_sky_frame(made.table, options)
    files.write_frame_stars(made.stars, options)
    return made.numbers


def write_stub(args: Namespace, failure: Failure) -> None:  # noqa: ARG001 - the status tells it
    from drpflow.data.component_table import ComponentTable
    from drpflow.io.visit_background_files import write_frame_stars, write_sky_frame

    write_sky_frame(ComponentTable({}), vars(args))
    write_frame_stars({}, vars(args))


TASK = Task("makeSkyFrame", run, write_stub, add_arguments, MakeSkyFrameConfig)

if __name__ == "__main__":
    sys.exit(main(TASK))
