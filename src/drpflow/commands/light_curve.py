"""Draw the brightness of a place of the sky from visit to visit, from the final sources.

The place is given by right ascension and declination, or by a pixel of a visit; of each visit that
covers it the nearest final source counts, and where there is none, the depth is drawn. Writes the
figure (PNG, SVG or PDF, by the suffix) and the numbers beside it as TSV:

    drpflow light-curve --radec 150.123 -12.345 --name transient --output transient.png
    drpflow light-curve --pixel 12 0 288 215
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from drpflow.commands.output import console
from drpflow.commands.run import add_run_arguments, open_plan
from drpflow.errors import InputError, MissingDatasetError

if TYPE_CHECKING:
    import argparse

    from drpflow.io.store import Store
    from drpflow.qa.light_curves import LightCurve

_SUFFIXES = (".png", ".svg", ".pdf")
_DPI = 150


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument(
        "--radec", nargs=2, type=float, metavar=("RA", "DEC"), help="the place, degrees, ICRS"
    )
    place.add_argument(
        "--pixel", nargs=4, type=float, metavar=("VISIT", "DETECTOR", "X", "Y"),
        help="the place as a pixel of a visit, by its final WCS",
    )  # fmt: skip
    add_run_arguments(parser)
    parser.add_argument(
        "--results", type=Path, help="output root (default: that of the run folder)"
    )
    parser.add_argument("--name", default="light curve", help="what to call it")
    parser.add_argument(
        "--radius", type=float, default=1.0, metavar="ARCSEC",
        help="farthest that a source may be from the place (default: 1)",
    )  # fmt: skip
    parser.add_argument(
        "--output", type=Path, default=Path("light_curve.png"), help="figure to write"
    )


def run(args: argparse.Namespace) -> int:
    """Write figure and table; return 0."""
    from drpflow.io.store import Store
    from drpflow.qa.light_curves import draw_light_curve, read_light_curve

    output = args.output.absolute()
    if output.suffix not in _SUFFIXES:
        raise InputError(output, "no such kind of figure", f"End it in one of {_SUFFIXES}")
    if not 0 < args.radius < np.inf:
        raise InputError("--radius", f"{args.radius:g} is no distance", "Give arcsec above 0")
    root = (args.results or Path(open_plan(args).root)).absolute()
    store = Store(root)
    ra, dec = _place(store, args)
    made = read_light_curve(store, args.name, ra, dec, args.radius)
    if not made.visit.size:
        raise InputError(
            f"{ra:.5f} {dec:+.5f}", f"no visit with final sources in {root} covers this place",
            "Check the place, and that finalizeImage has run",
        )  # fmt: skip
    draw_light_curve(made).savefig(output, dpi=_DPI)
    sheet = write_sheet(output.with_suffix(".tsv"), made)
    seen = f"{int(made.detected.sum())} of {made.visit.size} visits that cover it"
    out = console()
    out.print(f"{made.name}: a source in {seen}", markup=False, highlight=False)
    for path in (output, sheet):
        out.print(f"written: {path}", markup=False, highlight=False)
    return 0


def _place(store: Store, args: argparse.Namespace) -> tuple[float, float]:
    from drpflow.qa.light_curves import place_of

    if args.radec is not None:
        return args.radec[0], args.radec[1]
    visit, detector, x, y = args.pixel
    try:
        return place_of(store, int(visit), int(detector), x, y)
    except MissingDatasetError as error:
        raise InputError(
            f"visit {visit:.0f}, detector {detector:.0f}", f"no final WCS: {error}",
            "Give the place by --radec",
        ) from error  # fmt: skip


def write_sheet(path: Path, of: LightCurve) -> Path:
    """Write the numbers, a row a visit; fluxes in nJy, separations in arcsec."""
    from drpflow.io.atomic import write_text

    columns = of.columns()
    lines = ["\t".join(columns)]
    rows = zip(*(v.tolist() for v in columns.values()), strict=True)
    lines += ["\t".join(_cell(v) for v in row) for row in rows]
    write_text(path, "\n".join(lines) + "\n")
    return path


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if not np.isfinite(value) else f"{value:.10g}"
    return str(value)
