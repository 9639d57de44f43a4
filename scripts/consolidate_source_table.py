"""consolidateSourceTable: the sources of a visit. docs/tasks/consolidateSourceTable.md."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from drpflow.config.consolidate_source_table import ConsolidateSourceTableConfig
from drpflow.workflow.task_runner import Failure, Partial, Task, main

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--visit", required=True, type=int, help="visit")
    parser.add_argument(
        "--final-source-detector", required=True, type=Path, nargs="+", help="of each detector"
    )
    parser.add_argument("--final-visit-summary", required=True, type=Path, help="of the visit")
    for name in ("source", "source-coverage"):
        parser.add_argument(f"--{name}", required=True, type=Path, help="file to write")


def run(args: Namespace) -> dict[str, float | int | str] | Partial:
    from drpflow.io import source_files as files
    from drpflow.tasks.consolidate_source_table import Outline, consolidate_source_table

    tables = files.DetectorTables(args.final_source_detector)
    of = {d: Outline(*files.read_outline(args.final_visit_summary, d)) for d in tables.detectors}
    made = consolidate_source_table(tables.detectors, tables.read, of, args.visit, args.config)
    files.write_source(tables, made.rows, made.lost, vars(args))
    files.write_coverage(made.coverage, vars(args))
    return Partial(made.numbers, made.problem) if made.problem else made.numbers


def write_stub(args: Namespace, failure: Failure) -> None:
    from drpflow.data.moc import Moc
    from drpflow.io import source_files as files

    files.write_source(files.DetectorTables(()), {}, {}, vars(args), str(failure))
    files.write_coverage(Moc.from_uniq(args.config.coverage_order, ()), vars(args))


TASK = Task("consolidateSourceTable", run, write_stub, add_arguments, ConsolidateSourceTableConfig)

if __name__ == "__main__":
    sys.exit(main(TASK))
