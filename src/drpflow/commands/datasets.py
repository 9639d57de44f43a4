"""List the dataset types: what each is, which task writes it and where it lies.

With names, shows all that config/datasets.yaml says of these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drpflow.commands.output import console
from drpflow.io.datasets import DatasetTable

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("names", nargs="*", help="dataset types to describe in full")
    parser.add_argument("--task", help="only what this task writes")
    parser.add_argument("--keep", choices=["temporary", "run", "kept"], help="only those kept so")


def run(args: argparse.Namespace) -> int:
    """Print the table."""
    table = DatasetTable.load()
    if args.names:
        for name in args.names:
            _describe(table, name)
        return 0
    _list(table, args)
    return 0


def _list(table: DatasetTable, args: argparse.Namespace) -> None:
    from rich.table import Table

    rows = Table("dataset type", "dimensions", "task", "kept", "what it is", show_lines=False)
    for name, entry in table.datasets.items():
        if args.task in {None, entry.task} and args.keep in {None, entry.keep}:
            dimensions = ", ".join(entry.dimensions)
            rows.add_row(name, dimensions, entry.task, entry.keep, entry.doc)
    console().print(rows)
    if not (args.task or args.keep):
        for kind, entries in (
            ("views", table.views),
            ("aggregates", table.aggregates),
            ("joins", table.joins),
        ):
            console().print(f"{kind}: {', '.join(entries)}", highlight=False)


def _describe(table: DatasetTable, name: str) -> None:
    out = console()
    for entries in (table.views, table.aggregates, table.joins):
        if name in entries:
            values = entries[name].model_dump()
            break
    else:
        values = table.dataset(name).model_dump()
    out.print(f"[bold]{name}[/bold]: {values.pop('doc')}", highlight=False)
    for key, value in values.items():
        if value in (None, (), {}):
            continue
        text = ", ".join(value) if isinstance(value, tuple) else value
        out.print(f"  {key}: {text}", markup=False, highlight=False)
