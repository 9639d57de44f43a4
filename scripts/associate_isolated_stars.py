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
    parser.add_argument("--counted-visits", default="", help="visits with their pieces: 1-8:31,32")
    for name in ("visit-info", "initial-visit-summary", "initial-stars"):
        parser.add_argument(f"--{name}", required=True, help="path with {visit} for the visit")
    for name in ("isolated-stars", "isolated-stars-source"):
        parser.add_argument(f"--{name}", required=True, type=Path, help="file to write")


def run(args: Namespace) -> dict[str, float | int | str] | Partial:
    from drpflow.io import associate_files as files
    from drpflow.tasks import associate_isolated_stars as task
    from drpflow.workflow.number_lists import grouped_numbers, numbers

    where = args.order, args.skypix
    region = files.Region.about(*where, task.margin_arcsec(args.config, args.pixel_arcsec))
    columns = files.star_columns(task.DETECTION_COLUMNS, args.config.detections.bad_flags)
    pieces = files.Pieces(args.order, grouped_numbers(args.counted_visits))
    parts, faults = files.read_visits(
        numbers(args.visits), vars(args), region, columns, task.SUMMARY_COLUMNS, pieces
    )
    visits = [task.VisitStars.of(*part[:3]) for part in parts]
    camera = task.CameraFacts(args.bands.split(","), args.pixel_arcsec)
    found = task.associate_isolated_stars(visits, task.Piece(*where), args.config, camera)
    files.write_outputs(found.stars, found.sources, vars(args))
    counts = found.numbers | {"unreadable_visits": len(faults)}
    problem = faults[0] if faults else files.astray(parts)
    return Partial(counts, problem) if problem else counts


def write_stub(args: Namespace, failure: Failure) -> None:  # noqa: ARG001 - the status tells it
    from drpflow.io.associate_files import write_outputs

    write_outputs({}, {}, vars(args))


TASK = Task("associateIsolatedStars", run, write_stub, add_arguments, AssociateIsolatedStarsConfig)

if __name__ == "__main__":
    sys.exit(main(TASK))
