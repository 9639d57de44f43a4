"""Make a reference catalogue: from another survey's table, a run's best visit, or its solution."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drpflow.commands.output import console
from drpflow.errors import DrpflowError, InputError
from drpflow.workflow.number_lists import spans

if TYPE_CHECKING:
    import argparse

    from drpflow.data.camera import Camera
    from drpflow.data.reference_stars import ReferenceStars
    from drpflow.data.sky_wcs import SkyWcs
    from drpflow.data.visit_info import VisitInfo
    from drpflow.io.store import Store

DEFAULT_REFERENCE = Path("reference/reference_stars.parquet")
SOLVED = Path("reference/solved_stars.parquet")
_CONFIG = Path("config/config.yaml")
_RELATIVE = (
    "relative: positions by the {wcs} WCS of visit {visit}, fluxes by taking 1 electron/s for "
    "{zero_point:g} mag; for comparing visits with each other only"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    convert = actions.add_parser(
        "convert",
        help="convert tables of Gaia, Pan-STARRS, SDSS … (FITS, CSV, ECSV, VOTable, Parquet)",
    )
    _add_convert(convert)
    frame = actions.add_parser(
        "from-frame", help="take the stars of a run's best visit, for want of another catalogue"
    )
    frame.add_argument(
        "--config", type=Path, default=_CONFIG, help=f"config file of the run [{_CONFIG}]"
    )
    frame.add_argument("--output", type=Path, help="file to write [reference_stars of the config]")
    frame.add_argument("--visit", type=int, help="take this visit, not the one with most stars")
    frame.add_argument("--band", help="take positions from a visit in this band")
    frame.add_argument(
        "--match-radius",
        type=float,
        default=1.0,
        metavar="ARCSEC",
        help="fluxes in other bands are those of their best visits' stars within this [1]",
    )
    frame.add_argument(
        "--zero-point", type=float, default=25.0, help="magnitude of 1 electron a second [25]"
    )
    frame.add_argument("--force", action="store_true", help="replace a file that exists")
    solution = actions.add_parser(
        "from-solution", help="take the stars that a run's global fits have solved, to extend it"
    )
    solution.add_argument(
        "--config", type=Path, default=_CONFIG, help=f"config file of the run [{_CONFIG}]"
    )
    solution.add_argument("--output", type=Path, default=SOLVED, help=f"file to write [{SOLVED}]")
    solution.add_argument("--force", action="store_true", help="replace a file that exists")


def _add_convert(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="tables")
    parser.add_argument(
        "--output",
        type=Path,
        default=DEFAULT_REFERENCE,
        help=f"file to write [{DEFAULT_REFERENCE}]",
    )
    parser.add_argument(
        "--order", type=int, help="HEALPix order of the files of a folder, for large catalogues"
    )
    for name, value, text in (
        ("column", "NAME=COLUMN", "column of the tables that holds id, ra, dec, pm_ra …"),
        ("magnitude", "BAND=COLUMN", "magnitude of a band (AB, unless --offset says more)"),
        ("magnitude-error", "BAND=COLUMN", "error of that magnitude"),
        ("flux", "BAND=COLUMN", "flux of a band (nJy unless the table says otherwise)"),
        ("flux-error", "BAND=COLUMN", "error of that flux"),
        ("offset", "BAND=MAG", "AB magnitude less the table's magnitude"),
    ):
        parser.add_argument(f"--{name}", action="append", default=[], metavar=value, help=text)
    parser.add_argument("--epoch", type=float, help="epoch of all rows: year, JD or MJD")
    parser.add_argument("--force", action="store_true", help="replace a file that exists")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    actions = {"convert": _convert, "from-frame": _from_frame, "from-solution": _from_solution}
    return actions[args.action](args)


def _convert(args: argparse.Namespace) -> int:
    from drpflow.io.reference_convert import (
        ColumnNames,
        concatenate,
        convert_table,
        read_raw_table,
    )
    from drpflow.io.reference_stars import write_reference_stars

    _check_output(args.output, args.force)
    names = ColumnNames(
        columns=_pairs(args.column, "--column"),
        magnitudes=_pairs(args.magnitude, "--magnitude"),
        magnitude_errors=_pairs(args.magnitude_error, "--magnitude-error"),
        fluxes=_pairs(args.flux, "--flux"),
        flux_errors=_pairs(args.flux_error, "--flux-error"),
        offsets_mag=_numbers(_pairs(args.offset, "--offset")),
        epoch=args.epoch,
    )
    parts, left_out = [], 0
    for path in args.files:
        stars, without_place = convert_table(read_raw_table(path), names)
        parts.append(stars)
        left_out += without_place
    whole = concatenate(parts)
    if not len(whole):
        files = ", ".join(map(str, args.files))
        raise InputError(files, "no row has a position", "Look at the tables' columns")
    write_reference_stars(args.output, whole, args.order)
    repeated = sum(len(part) for part in parts) - len(whole)
    _tell(args.output, whole)
    for number, what in ((left_out, "without a position"), (repeated, "that stood twice")):
        if number:
            console().print(f"Left out: {number} rows {what}.", highlight=False)
    if _CONFIG.is_file():
        _tell_next(_CONFIG, args.output)
    return 0


def _from_frame(args: argparse.Namespace) -> int:
    from drpflow.io.camera_yaml import load_camera
    from drpflow.io.reference_stars import write_reference_stars
    from drpflow.io.run_yaml import load_run
    from drpflow.io.store import Store

    config = load_run(args.config)
    output = args.output or config.reference_stars or DEFAULT_REFERENCE
    _check_output(output, args.force)
    store, camera = Store(config.output), load_camera(config.camera)
    visit = _best_visit(store, args.visit, args.band)
    stars, how = _stars_of(store, camera, visit, args.zero_point)
    stars = _with_other_bands(store, camera, stars, args)
    note = _RELATIVE.format(wcs=how, visit=visit, zero_point=args.zero_point)
    write_reference_stars(output, stars, note=note)
    _tell(output, stars)
    console().print(f"It is {note}.", highlight=False, soft_wrap=True)
    _tell_next(args.config, output)
    return 0


def _from_solution(args: argparse.Namespace) -> int:
    from drpflow.algorithms.solved_reference import (
        ASTROMETRY_COLUMNS,
        PHOTOMETRY_COLUMNS,
        held_maps,
        held_parameters,
        solved_reference,
    )
    from drpflow.data.solved_instrument import SolvedInstrument
    from drpflow.io.reference_stars import write_reference_stars
    from drpflow.io.run_yaml import load_run
    from drpflow.io.solved_instrument import INSTRUMENT, gather_solved_instrument
    from drpflow.io.solved_stars import read_solved_stars
    from drpflow.io.store import Store

    config = load_run(args.config)
    _check_output(args.output, args.force)
    store = Store(config.output)
    solved = read_solved_stars(store, ASTROMETRY_COLUMNS, PHOTOMETRY_COLUMNS)
    parts = gather_solved_instrument(store, config.solveAstrometry.model.epochs_mjd)
    instrument = SolvedInstrument(held_parameters(parts.parameters), held_maps(parts.wcs))
    stars = solved_reference(solved.astrometry, solved.photometry)
    note = f"the solution of visits {spans(solved.visits)} in {config.output}"
    write_reference_stars(args.output, stars, note=note, about={INSTRUMENT: instrument.to_meta()})
    _tell(args.output, stars)
    console().print(
        f"It is {note}. To tie later visits to it, give them a config file of their own:\n"
        f"  visits: [{max(solved.visits) + 1}-…]\n  output: …\n  reference_stars: {args.output}",
        highlight=False,
        soft_wrap=True,
        markup=False,
    )
    return 0


def _stars_of(
    store: Store, camera: Camera, visit: int, zero_point: float
) -> tuple[ReferenceStars, str]:
    """Return the stars of a visit, and what their WCSs are."""
    from drpflow.algorithms.relative_reference import relative_reference
    from drpflow.io.reference_convert import concatenate

    info = store.get("visit_info", visit=visit)
    parts, sources = [], set()
    for data_id in store.query("initial_stars_detector", visit=visit):
        wcs, source = _wcs(store, camera, info, data_id["detector"])
        columns = store.get("initial_stars_detector", **data_id).to_dict()
        parts.append(relative_reference(columns, wcs, info, zero_point))
        sources.add(source)
    return concatenate(parts), " or ".join(sorted(sources))


def _with_other_bands(
    store: Store, camera: Camera, stars: ReferenceStars, args: argparse.Namespace
) -> ReferenceStars:
    """Return the catalogue with fluxes in the run's other bands, as far as these match."""
    from drpflow.algorithms.relative_reference import with_bands_of

    visits = {data_id["visit"] for data_id in store.query("initial_stars_detector")}
    bands = {store.get("visit_info", visit=visit).band for visit in visits}
    for band in sorted(bands - set(stars.bands)):
        try:
            visit = _best_visit(store, None, band)
        except InputError:
            continue
        other, _ = _stars_of(store, camera, visit, args.zero_point)
        wider = with_bands_of(stars, other, args.match_radius)
        if wider is None:
            problem = f"Left out: band {band}; the stars of visit {visit} stand elsewhere."
            console().print(problem, highlight=False)
        else:
            stars = wider
    return stars


def _best_visit(store: Store, visit: int | None, band: str | None) -> int:
    """Return the visit with most clean sources.

    Raises
    ------
    InputError
        If no visit has any.
    """
    from drpflow.algorithms.relative_reference import count_clean

    wanted: dict[str, Any] = {} if visit is None else {"visit": visit}
    if band is not None:
        wanted["band"] = band
    counts: dict[int, int] = {}
    for data_id in store.query("initial_stars_detector", **wanted):
        columns = store.get("initial_stars_detector", **data_id).to_dict()
        counts[data_id["visit"]] = counts.get(data_id["visit"], 0) + count_clean(columns)
    if not any(counts.values()):
        problem = "no visit has sources" + (f" in band {band!r}" if band else "")
        remedy = "Run calibrateImage first (drpflow run), without a reference catalogue"
        raise InputError(str(store), problem, remedy)
    return max(counts, key=lambda key: (counts[key], -key))


def _wcs(store: Store, camera: Camera, info: VisitInfo, detector: int) -> tuple[SkyWcs, str]:
    """Return the best WCS there is of a detector, and what it is.

    Raises
    ------
    InputError
        If there is none.
    """
    from drpflow.data.sky_wcs import SkyWcs

    for name, what in (("initial_pvi", "fitted"), ("post_isr_image", "first")):
        try:
            wcs = store.get(f"{name}.wcs", visit=info.visit, detector=detector)
        except DrpflowError:
            continue
        if isinstance(wcs, SkyWcs):
            return wcs, what
    if info.ra_deg is None or info.dec_deg is None:
        problem = f"visit {info.visit} has neither a WCS nor a pointing"
        raise InputError(str(store), problem, "Give ra_deg and dec_deg in the visit sheet")
    rotation_deg = info.rotation_deg or 0.0
    model = SkyWcs.from_camera(camera, detector, info.ra_deg, info.dec_deg, rotation_deg)
    return model, "camera's"


def _pairs(values: list[str], option: str) -> dict[str, str]:
    found = {}
    for text in values:
        name, sign, value = text.partition("=")
        if not (name and sign and value):
            raise InputError(option, f"{text!r} is no NAME=VALUE", "Write it like r=rmag")
        found[name] = value
    return found


def _numbers(pairs: dict[str, str]) -> dict[str, float]:
    try:
        return {name: float(value) for name, value in pairs.items()}
    except ValueError as error:
        raise InputError("--offset", str(error), "Write it like r=0.1") from None


def _check_output(path: Path, force: bool) -> None:
    if path.exists() and not force:
        raise InputError(path, "it exists already", "Give another --output, or --force")


def _tell(path: Path, stars: ReferenceStars) -> None:
    bands = ", ".join(stars.bands)
    console().print(
        f"Written: {path}, {len(stars)} stars with fluxes in {bands}.",
        highlight=False,
        soft_wrap=True,
    )


def _tell_next(config: Path, catalogue: Path) -> None:
    """Have the config file name the catalogue where it waits for one, and tell what comes next.

    The line that `drpflow init` writes as a comment is opened. All else that a config file says
    is its author's to change.
    """
    from drpflow.io.atomic import write_text
    from drpflow.io.config_file import read_config_file

    line = f"reference_stars: {catalogue}"
    named = read_config_file(config).get("reference_stars")
    if named is None:
        pattern = rf"(?m)^# *{re.escape(line)} *$"
        text, count = re.subn(pattern, lambda _: line, config.read_text())
        if count == 1:
            write_text(config, text)
            named = str(catalogue)
    if named == str(catalogue):
        told = f"{config} names it. Next: drpflow run, which calibrates all frames with it."
    else:
        told = f"To use it, write into {config}: {line}"
    console().print(told, highlight=False, soft_wrap=True, markup=False)
