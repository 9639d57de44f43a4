"""makeWarp: a visit resampled to a patch. docs/tasks/makeWarp.md."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from drpflow.config.make_warp import MakeWarpConfig
from drpflow.workflow.task_runner import Failure, Partial, Task, main

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

INPUTS = ("visit-info", "coadd-plan", "final-visit-summary", "visit-background")


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--tract", required=True, type=int, help="number of the tract")
    parser.add_argument("--patch", required=True, type=int, help="number of the patch")
    parser.add_argument("--sky-map", required=True, help="the section skyMap as JSON")
    parser.add_argument("--detectors", required=True, help="that may reach it, such as 1-8,12")
    for name in INPUTS:
        parser.add_argument(f"--{name}", required=True, type=Path, help="of visit or band")
    parser.add_argument("--initial-pvi", required=True, type=Path, nargs="+", help="of detectors")
    for name in ("direct-warp", "psf-matched-warp"):
        parser.add_argument(f"--{name}", required=True, type=Path, help="file to write")


def run(args: Namespace) -> dict[str, float | int | str] | Partial:
    from drpflow.io import warp_files as files
    from drpflow.tasks.make_warp import WarpOf, make_warp
    from drpflow.workflow.number_lists import numbers

    options = vars(args)
    of = WarpOf(*files.read_inputs(options, numbers(args.detectors)))
    made = make_warp(of, files.exposure_opener(options), args.config)
    files.write_warps((made.direct, made.matched), options)
    return Partial(made.numbers, made.problem) if made.problem else made.numbers


def write_stub(args: Namespace, failure: Failure) -> None:
    from drpflow.io import warp_files as files
    from drpflow.tasks.make_warp import WarpOf, nothing

    options = vars(args)
    of = WarpOf(*files.read_patch(options), {}, {}, None)
    files.write_warps(nothing(of, str(failure)), options)


TASK = Task("makeWarp", run, write_stub, add_arguments, MakeWarpConfig)

if __name__ == "__main__":
    sys.exit(main(TASK))
