"""fgcm: zero points of all visits from one fit. docs/tasks/fgcm.md."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from drpflow.config.fgcm_task import FgcmTaskConfig
from drpflow.workflow.task_runner import Failure, Partial, Task, main

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

OF_VISIT = ("visit-info", "initial-visit-summary")
OF_SKYPIX = ("isolated-stars", "isolated-stars-source")


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--camera", required=True, help="camera file or name")
    parser.add_argument("--visits", required=True, help="the visits, such as 1-8,12")
    parser.add_argument("--skypix", required=True, help="the HEALPix pixels, written alike")
    for name in (*OF_VISIT, "fgcm-photo-calib", "fgcm-transmission-atmosphere"):
        parser.add_argument(f"--{name}", required=True, help="path with {visit} for the visit")
    for name in (*OF_SKYPIX, "fgcm-standard-stars"):
        parser.add_argument(f"--{name}", required=True, help="path with {skypix} for the pixel")
    for name in ("fgcm-look-up-table", "fgcm-zero-points", "fgcm-parameters"):
        parser.add_argument(f"--{name}", required=True, type=Path, help="file")
    parser.add_argument("--reference-stars", type=Path, help="reference catalogue")


def run(args: Namespace) -> dict[str, float | int | str] | Partial:
    from drpflow.io import fgcm_files as files
    from drpflow.tasks.fgcm import Survey, fgcm
    from drpflow.workflow.number_lists import numbers

    given = files.read_inputs(vars(args), numbers(args.visits), numbers(args.skypix))
    made = fgcm(Survey(**given._asdict()), args.config, progress=print)
    files.write_outputs(made, vars(args))
    return Partial(made.numbers, made.problem) if made.problem else made.numbers


def write_stub(args: Namespace, failure: Failure) -> None:
    from drpflow.io import fgcm_files as files
    from drpflow.tasks.fgcm import nothing
    from drpflow.workflow.number_lists import numbers

    made = nothing(numbers(args.visits), numbers(args.skypix), str(failure))
    files.write_outputs(made, vars(args))


TASK = Task("fgcm", run, write_stub, add_arguments, FgcmTaskConfig)

if __name__ == "__main__":
    sys.exit(main(TASK))
