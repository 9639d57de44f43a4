"""planCoaddition: what enters the coadds of a tract. docs/tasks/planCoaddition.md."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from drpflow.config.plan_coaddition import PlanCoadditionConfig
from drpflow.workflow.task_runner import Failure, Partial, Task, main

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--tract", required=True, type=int, help="the tract")
    parser.add_argument("--band", required=True, help="the band")
    parser.add_argument("--visits", required=True, help="visits that touch it, such as 1-8,12")
    parser.add_argument("--sky-map", required=True, help="section skyMap, as JSON")
    parser.add_argument(
        "--final-visit-summary", required=True, help="path with {visit} for the visit"
    )
    parser.add_argument("--coadd-plan", required=True, type=Path, help="file to write")


def run(args: Namespace) -> dict[str, float | int | str] | Partial:
    from drpflow.data.sky_map import sky_map_from_json
    from drpflow.io import coadd_plan_files as files
    from drpflow.tasks.plan_coaddition import NEEDED, plan_coaddition
    from drpflow.workflow.number_lists import numbers

    tract, visits = sky_map_from_json(args.sky_map).tract(args.tract), numbers(args.visits)
    rows, lacking = files.read_summaries(args.final_visit_summary, visits, NEEDED)
    made = plan_coaddition(rows, lacking, tract.pixel_scale_arcsec, args.config)
    files.write_plan(made.plan, visits, vars(args))
    return Partial(made.numbers, made.problem) if made.problem else made.numbers


def write_stub(args: Namespace, failure: Failure) -> None:  # noqa: ARG001 - the status tells it
    from drpflow.data.coadd_plan import CoaddPlan
    from drpflow.io.coadd_plan_files import write_plan
    from drpflow.workflow.number_lists import numbers

    write_plan(CoaddPlan({}), numbers(args.visits), vars(args))


TASK = Task("planCoaddition", run, write_stub, add_arguments, PlanCoadditionConfig)

if __name__ == "__main__":
    sys.exit(main(TASK))
