"""fgcmMakeLookUpTable: passbands through any air. docs/tasks/fgcmMakeLookUpTable.md."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from drpflow.config.fgcm_make_look_up_table import FgcmMakeLookUpTableConfig
from drpflow.workflow.task_runner import Failure, Partial, Task, main

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--camera", required=True, help="camera file or name")
    parser.add_argument("--absorption", type=Path, help="another table of what the air absorbs")
    parser.add_argument("--fgcm-look-up-table", required=True, type=Path, help="file to write")


def run(args: Namespace) -> dict[str, float | int | str] | Partial:
    from drpflow.io.absorption import read_absorption
    from drpflow.io.look_up_table_files import read_throughputs, write_look_up_table
    from drpflow.tasks.fgcm_make_look_up_table import fgcm_make_look_up_table

    camera, curves = read_throughputs(args.camera)
    made = fgcm_make_look_up_table(camera, curves, read_absorption(args.absorption), args.config)
    write_look_up_table(args.fgcm_look_up_table, made.table)
    return Partial(made.numbers, made.problem) if made.problem else made.numbers


def write_stub(args: Namespace, failure: Failure) -> None:  # noqa: ARG001 - the status tells it
    from drpflow.io.absorption import read_absorption
    from drpflow.io.camera_yaml import load_camera
    from drpflow.io.look_up_table_files import write_look_up_table
    from drpflow.tasks.fgcm_make_look_up_table import empty_table

    nothing = empty_table(load_camera(args.camera), read_absorption(), args.config)
    write_look_up_table(args.fgcm_look_up_table, nothing)


TASK = Task("fgcmMakeLookUpTable", run, write_stub, add_arguments, FgcmMakeLookUpTableConfig)

if __name__ == "__main__":
    sys.exit(main(TASK))
