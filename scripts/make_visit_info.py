"""makeVisitInfo: row of the visit sheet to visit-wide metadata. docs/tasks/makeVisitInfo.md."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from drpflow.workflow.task_runner import Failure, Task, main

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--row", required=True, help="the row as a JSON object")
    parser.add_argument("--camera", required=True, help="camera file or name")
    parser.add_argument("--visit-info", required=True, type=Path, help="JSON file to write")


def run(args: Namespace) -> dict[str, float | int | str]:
    from drpflow.io.camera_yaml import load_camera
    from drpflow.io.records import write_component_json
    from drpflow.tasks.make_visit_info import make_visit_info

    visit_info, numbers = make_visit_info(json.loads(args.row), load_camera(args.camera))
    write_component_json(args.visit_info, visit_info)
    return numbers


def write_stub(args: Namespace, failure: Failure) -> None:  # noqa: ARG001 - the status tells it
    from drpflow.io.camera_yaml import load_camera
    from drpflow.io.records import write_component_json
    from drpflow.tasks.make_visit_info import stub_visit_info

    stub = stub_visit_info(json.loads(args.row), load_camera(args.camera))
    write_component_json(args.visit_info, stub)


TASK = Task("makeVisitInfo", run, write_stub, add_arguments, description=__doc__ or "")

if __name__ == "__main__":
    sys.exit(main(TASK))
