"""Write tables of a run for other programs: FITS, VOTable, or DS9 regions of the sources.

    drpflow export source visit=3 --format fits
    drpflow export source visit=1-8 band=g --format votable --columns sourceId,ra,dec,psfFlux
    drpflow export initial_stars_detector visit=3 detector=0 --format ds9

Takes dataset types that are tables, and aggregates and joins of such; a file for each data ID.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from drpflow.commands.output import console
from drpflow.commands.run import add_run_arguments, open_run
from drpflow.errors import InputError
from drpflow.io.store import Store
from drpflow.io.table_files import WRITERS, write_regions
from drpflow.workflow.constraints import constraints_of

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("name", help="dataset type, aggregate or join; see drpflow datasets")
    parser.add_argument("data_id", nargs="*", help="such as visit=1-8 detector=3 band=g")
    parser.add_argument("--format", choices=WRITERS, default="fits", help="(default: fits)")
    parser.add_argument("--output", type=Path, default=Path("export"), help="folder to write to")
    parser.add_argument("--columns", help="these alone, such as sourceId,ra,dec")
    parser.add_argument("--radius", type=float, default=2.0, help="of regions, arcsec (default: 2)")
    parser.add_argument("--force", action="store_true", help="write over files that exist")
    add_run_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Write the files."""
    store = Store(open_run(args).output)
    found = store.query(args.name, **constraints_of(store.table, args.name, args.data_id))
    if not found:
        given = " ".join(args.data_id)
        what = f"{args.name} {given}".rstrip()
        raise InputError(what, "there is none yet", f"`drpflow why {what}` tells what makes it")
    suffix, write = WRITERS[args.format]
    columns = args.columns.split(",") if args.columns else None
    for data_id in found:
        parts = [args.name, *(f"{key}={value}" for key, value in data_id.items())]
        path = args.output / ("_".join(parts) + suffix)
        if path.exists() and not args.force:
            raise InputError(path, "it exists", "Name another --output, or add --force")
        table = _table(store, args.name, columns, data_id)
        if args.format == "ds9":
            write_regions(path, table, args.radius)
        else:
            write(path, table)
        console().print(f"{path}: {len(table)} rows", markup=False, highlight=False)
    return 0


def _table(store: Store, name: str, columns: list[str] | None, data_id: dict[str, Any]) -> Any:
    from drpflow.data.table import Table

    value = store.get(name, columns=columns, **data_id)
    if not isinstance(value, Table):
        raise InputError(name, "it is no table", "Images are FITS files already: drpflow datasets")
    return value
