"""consolidateVisit: the detectors of a visit side by side. docs/tasks/consolidateVisit.md."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from drpflow.config.consolidate_visit import ConsolidateVisitConfig
from drpflow.workflow.task_runner import Failure, Partial, Task, main

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--camera", required=True, help="camera file or name")
    parser.add_argument("--visit-info", required=True, type=Path, help="metadata of the visit")
    for name in ("initial-pvi", "initial-stars-detector"):
        parser.add_argument(
            f"--{name}", required=True, type=Path, nargs="+", help="of each detector"
        )
    parser.add_argument("--reference-stars", type=Path, help="reference catalogue")
    for name in ("initial-visit-summary", "initial-stars"):
        parser.add_argument(f"--{name}", required=True, type=Path, help="file to write")


def run(args: Namespace) -> dict[str, float | int | str] | Partial:
    from drpflow.io.consolidate_files import (
        read_detectors,
        read_references,
        read_visit,
        write_outputs,
    )
    from drpflow.tasks.consolidate_visit import DetectorProducts, consolidate_visit

    camera, of = read_visit(args.camera, args.visit_info)
    parts = read_detectors(args.initial_pvi, args.initial_stars_detector, of.visit)
    wcss = {d: p.components["wcs"] for d, p in parts.items() if "wcs" in p.components}
    margin_deg = args.config.reference_margin_deg
    references = read_references(args.reference_stars, camera, wcss, margin_deg)
    products = {d: DetectorProducts(*p) for d, p in parts.items()}
    result = consolidate_visit(products, camera, of, args.config, references)
    write_outputs(result.summary, result.stars, of.visit, vars(args))
    return Partial(result.numbers, result.problem) if result.problem else result.numbers


def write_stub(args: Namespace, failure: Failure) -> None:  # noqa: ARG001 - the status tells it
    from drpflow.io.consolidate_files import read_visit, write_outputs
    from drpflow.tasks.consolidate_visit import consolidate_visit

    camera, of = read_visit(args.camera, args.visit_info)
    nothing = consolidate_visit({}, camera, of, args.config)
    write_outputs(nothing.summary, nothing.stars, of.visit, vars(args))


TASK = Task("consolidateVisit", run, write_stub, add_arguments, ConsolidateVisitConfig)

if __name__ == "__main__":
    sys.exit(main(TASK))
