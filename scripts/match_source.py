"""matchSource: sources of all visits to objects. docs/tasks/matchSource.md."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from drpflow.config.match_source import MatchSourceConfig
from drpflow.workflow.task_runner import Failure, Partial, Task, main

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def add_arguments(parser: ArgumentParser) -> None:
    for name, what in (("skypix", "HEALPix pixel, nested"), ("order", "its HEALPix order")):
        parser.add_argument(f"--{name}", required=True, type=int, help=what)
    parser.add_argument("--pixel-arcsec", required=True, type=float, help="pixel scale")
    parser.add_argument("--visits", required=True, help="visits about it, such as 1-8,12")
    for name in ("visit-info", "source"):
        parser.add_argument(f"--{name}", required=True, help="path with {visit} for the visit")
    parser.add_argument("--reference-stars", type=Path, help="reference catalogue")
    for name in ("source-matches", "source-matches-join"):
        parser.add_argument(f"--{name}", required=True, type=Path, help="file to write")


def run(args: Namespace) -> dict[str, float | int | str] | Partial:
    from drpflow.io import match_files as files
    from drpflow.io.associate_files import Region
    from drpflow.tasks import match_source as task
    from drpflow.workflow.number_lists import numbers

    where = args.order, args.skypix
    region = Region.about(*where, task.margin_arcsec(args.config, args.pixel_arcsec))
    read, faults = files.read_sources(numbers(args.visits), vars(args), region, task.SOURCE_COLUMNS)
    visits = [task.VisitSources.of(*part) for part in read]
    catalog = files.read_references(args.reference_stars, *where)
    found = task.match_source(visits, where, catalog, args.pixel_arcsec, args.config)
    files.write_outputs(found.matches, found.join, vars(args))
    counts = found.numbers | {"unreadable_visits": len(faults)}
    return Partial(counts, faults[0]) if faults else counts


def write_stub(args: Namespace, failure: Failure) -> None:  # noqa: ARG001 - the status tells it
    from drpflow.io.match_files import write_outputs

    write_outputs({}, {}, vars(args))


TASK = Task("matchSource", run, write_stub, add_arguments, MatchSourceConfig)

if __name__ == "__main__":
    sys.exit(main(TASK))
