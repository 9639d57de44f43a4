"""Score the run of a simulated survey against its truth, stage by stage.

Compares the products that there are with the folder truth that `drpflow simulate` made, prints
the table, and writes it as the dataset truth_scores (Parquet) with a TSV beside it. The report
made after that shows it as its scoreboard. Needs nothing of the simulator, only its files.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from drpflow.commands.output import console
from drpflow.commands.run import add_run_arguments, open_plan
from drpflow.errors import InputError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from rich.table import Table

    from drpflow.qa.truth.score import Score

DATASET = "truth_scores"
_COLORS = {"good": "green", "bad": "red", "": ""}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("truth", type=Path, help="folder truth of the survey")
    add_run_arguments(parser)
    parser.add_argument(
        "--results", type=Path, help="output root to score (default: that of the run folder)"
    )
    parser.add_argument(
        "--output",
        type=Path,
        help="table to write, .parquet (default: that of the dataset truth_scores)",
    )
    parser.add_argument(
        "--tables-only", action="store_true",
        help="leave out what needs images: masks, backgrounds, PSFs",
    )  # fmt: skip
    parser.add_argument("--report", action="store_true", help="write the report anew as well")


def run(args: argparse.Namespace) -> int:
    """Score, print and write; return 0 whatever the scores are."""
    from drpflow.io.store import Store
    from drpflow.qa.truth.board import Board
    from drpflow.qa.truth.tables import TruthTables

    if args.output is not None and args.output.suffix != ".parquet":
        raise InputError(
            args.output, "the table is written as Parquet, with a TSV of the same name beside it",
            "End it in .parquet",
        )  # fmt: skip
    truth = TruthTables(args.truth.absolute())
    run = None if args.results else open_plan(args).run
    root = Path(args.results if run is None else run.output).absolute()
    store = Store(root)
    scores = Board(store, truth).scores(with_pixels=not args.tables_only)
    out = console()
    out.print(score_table(scores))
    met = sum(s.mood == "good" for s in scores)
    asked = sum(bool(s.mood) for s in scores)
    out.print(f"{met} of {asked} figures are as asked", highlight=False)
    path = args.output or store.table.path(root, DATASET)
    for written in write_scores(path, scores):
        out.print(f"written: {written}", markup=False, highlight=False)
    if args.report:
        from drpflow.qa.report import write_report

        page = store.table.path(root, "report")
        write_report(root, page, run.makeReport if run else None)
        out.print(f"report: {page}", markup=False, highlight=False)
    return 0


def score_table(scores: Sequence[Score]) -> Table:
    """Return the scores as a table for the terminal."""
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name, justify in (
        ("stage", "left"), ("figure", "left"), ("value", "left"), ("unit", "left"),
        ("number", "right"), ("asked", "left"), ("met", "left"),
    ):  # fmt: skip
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    last = ""
    for s in scores:
        stage = s.stage if s.stage != last else ""
        last = s.stage
        cells = stage, s.metric, s.text(), s.unit, str(s.number), s.asked, s.verdict
        table.add_row(*cells, style=_COLORS[s.mood])
    return table


def write_scores(path: Path, scores: Sequence[Score]) -> tuple[Path, Path]:
    """Write the scores as Parquet, and as TSV beside it; return both paths."""
    from drpflow.data.table import Table as DataTable
    from drpflow.io.atomic import write_text
    from drpflow.io.schemas import load_schema
    from drpflow.io.tables import write_table
    from drpflow.qa.truth.score import to_columns

    schema = load_schema(DATASET)
    columns = to_columns(scores)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_table(path, DataTable.from_columns(columns, schema))
    names = [c.name for c in schema.columns]
    rows = zip(*(columns[n].tolist() for n in names), strict=True)
    lines = ["\t".join(names), *("\t".join(_cell(v) for v in row) for row in rows)]
    sheet = path.with_suffix(".tsv")
    write_text(sheet, "\n".join(lines) + "\n")
    return path, sheet


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:.6g}"
    return str(value)
