"""measureSky: the sky of a visit's detectors in small cells. docs/tasks/measureSky.md."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from drpflow.config.measure_sky import MeasureSkyConfig
from drpflow.workflow.task_runner import Failure, Partial, Task, main

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--visit", required=True, type=int, help="the visit")
    parser.add_argument(
        "--initial-pvi", required=True, type=Path, nargs="+", help="of each detector"
    )
    parser.add_argument(
        "--footprints", type=Path, nargs="*", default=[],
        help="masks of what is known from elsewhere, such as a coadd, in the order of exposures",
    )  # fmt: skip
    parser.add_argument("--sky-samples", required=True, type=Path, help="file to write")


def run(args: Namespace) -> dict[str, float | int | str] | Partial:
    from drpflow.io.sky_files import read_exposures, write_samples
    from drpflow.tasks.measure_sky import measure_visit

    made = measure_visit(read_exposures(args.initial_pvi, args.footprints), args.config)
    write_samples(made.samples, args.visit, vars(args))
    return Partial(made.numbers, made.problem) if made.problem else made.numbers


def write_stub(args: Namespace, failure: Failure) -> None:  # noqa: ARG001 - the status tells it
    from drpflow.io.sky_files import write_samples

    write_samples({}, args.visit, vars(args))


TASK = Task("measureSky", run, write_stub, add_arguments, MeasureSkyConfig)

if __name__ == "__main__":
    sys.exit(main(TASK))
