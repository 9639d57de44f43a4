"""associateIsolatedStars: detections to stars. docs/tasks/associateIsolatedStars.md."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from drpflow.config.associate_isolated_stars import AssociateIsolatedStarsConfig
from drpflow.workflow.task_runner import Failure, Partial, Task, main

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def add_arguments(parser: ArgumentParser) -> None:
    for name, what in (("skypix", "HEALPix pixel, nested"), ("order", "its HEALPix order")):
        parser.add_argument(f"--{name}", required=True, type=int, help=what)
    parser.add_argument("--bands", required=True, help="bands of the camera, as a list g,r,i")
    parser.add_argument("--pixel-arcsec", required=True, type=float, help="pixel scale")
    parser.add_argument("--visits", required=True, help="visits about it, such as 1-8,12")
    for name in ("visit-info", "initial-visit-summary", "initial-stars"):
        parser.add_argument(f"--{name}", required=True, help="path with {visit} for the visit")
    for name in ("isolated-stars", "isolated-stars-source"):
        parser.add_argument(f"--{name}", required=True, type=Path, help="file to write")


def run(args: Namespace) -> dict[str, float | int | str] | Partial:
    from drpflow.io import associate_files as files
    from drpflow.tasks import associate_isolated_stars as task
    from drpflow.workflow.number_lists import numbers

    margin_arcsec = task.margin_arcsec(args.config, args.pixel_arcsec)
    region = files.Region.about(args.order, args.skypix, margin_arcsec)
    columns = files.star_columns(task.DETECTION_COLUMNS, args.config.detections.bad_flags)
    parts, faults = files.read_visits(
        numbers(args.visits), vars(args), region, columns, task.SUMMARY_COLUMNS
    )
    if faults and not parts:
        raise faults[0]
    visits = [task.VisitStars.of(*part) for part in parts]
    piece = task.Piece(args.order, args.skypix)
    camera = task.CameraFacts(args.bands.split(","), args.pixel_arcsec)
    found = task.associate_isolated_stars(visits, piece, args.config, camera)
    files.write_outputs(found.stars, found.sources, vars(args))
    counts = found.numbers | {"unreadable_visits": len(faults)}
    return Partial(counts, faults[0]) if faults else counts


def write_stub(args: Namespace, failure: Failure) -> None:  # noqa: ARG001 - the status tells it
    from drpflow.io.associate_files import write_outputs

    write_outputs({}, {}, vars(args))


TASK = Task("associateIsolatedStars", run, write_stub, add_arguments, AssociateIsolatedStarsConfig)

if __name__ == "__main__":
    sys.exit(main(TASK))
