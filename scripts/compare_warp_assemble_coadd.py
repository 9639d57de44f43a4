"""compareWarpAssembleCoadd: a coadd without what moves. docs/tasks/compareWarpAssembleCoadd.md."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from drpflow.config.compare_warp_assemble_coadd import CompareWarpAssembleCoaddConfig
from drpflow.workflow.task_runner import Failure, Partial, Task, main

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--tract", required=True, type=int, help="number of the tract")
    parser.add_argument("--patch", required=True, type=int, help="number of the patch")
    parser.add_argument("--band", required=True, help="the band")
    parser.add_argument("--visits", required=True, help="visits that touch it, such as 1-8,12")
    parser.add_argument("--sky-map", required=True, help="the section skyMap as JSON")
    parser.add_argument("--coadd-plan", required=True, type=Path, help="of tract and band")
    for name in ("direct-warp", "psf-matched-warp"):
        parser.add_argument(f"--{name}", required=True, help="path with {visit} for the visit")
    for name in ("coadd", "coadd-n-image"):
        parser.add_argument(f"--{name}", required=True, type=Path, help="file to write")
    parser.add_argument("--warp-mask", required=True, help="files to write, path with {visit}")


def run(args: Namespace) -> dict[str, float | int | str] | Partial:
    from drpflow.io import coadd_files as files
    from drpflow.tasks.compare_warp_assemble_coadd import CoaddOf, compare_warp_assemble_coadd
    from drpflow.workflow.number_lists import numbers

    options = vars(args)
    of = CoaddOf(*files.read_inputs(options, numbers(args.visits)))
    made = compare_warp_assemble_coadd(of, args.config)
    files.write_products(made.coadd, made.n_image, made.masks, options)
    return Partial(made.numbers, made.problem) if made.problem else made.numbers


def write_stub(args: Namespace, failure: Failure) -> None:
    from drpflow.io import coadd_files as files
    from drpflow.tasks.compare_warp_assemble_coadd import nothing
    from drpflow.workflow.number_lists import numbers

    options = vars(args)
    made = nothing(*files.read_patch(options), numbers(args.visits), str(failure))
    files.write_products(made.coadd, made.n_image, made.masks, options)


TASK = Task(
    "compareWarpAssembleCoadd", run, write_stub, add_arguments, CompareWarpAssembleCoaddConfig
)

if __name__ == "__main__":
    sys.exit(main(TASK))
