"""Solve the astrometry of many visits together, from plain tables of any survey."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from drpflow.commands.output import console
from drpflow.errors import InputError

if TYPE_CHECKING:
    import argparse

    import numpy as np
    from numpy.typing import NDArray

    from drpflow.algorithms.astrometric_fit.result import Pass
    from drpflow.config.solve_astrometry_task import SolveAstrometryTaskConfig
    from drpflow.data.astrometric_survey import AstrometricSurvey
    from drpflow.data.astrometric_tables import Stars
    from drpflow.io.astrometric_tables_read import ObservationTable
    from drpflow.tasks.solve_astrometry import Solved

    Floats = NDArray[np.float64]

_STARS = "solved_astrometry_stars.parquet"
# HEALPix order of the circles in which the reference catalogue is read.
_CIRCLES_ORDER = 7
# Sentences of a kind that are printed; the table of visits has all.
_MOST_TOLD = 30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "--observations",
        type=Path,
        required=True,
        help="table: star, visit, detector, x, y, x_err, y_err [pix]; if known xy_cov; ra and dec "
        "[deg] where stars are not given",
    )
    parser.add_argument(
        "--visits",
        type=Path,
        required=True,
        help="table: visit, mjd, ra, dec, rotation; if known band, hour_angle; or a visits.tsv",
    )
    parser.add_argument(
        "--stars", type=Path, help="table: star, ra, dec; if known color (g - i), reserved"
    )
    parser.add_argument("--reference", type=Path, help="reference catalogue (drpflow reference)")
    parser.add_argument("--camera", required=True, help="camera file, or name of a known camera")
    parser.add_argument("--config", type=Path, help="config file; its section solveAstrometry")
    parser.add_argument(
        "--link-arcsec",
        type=float,
        default=0.5,
        help="distance within which observations without a column star are of one star, and of "
        "which in the table of stars [0.5]",
    )
    parser.add_argument(
        "--output", type=Path, default=Path("astrometry"), help="folder to write [astrometry]"
    )
    parser.add_argument("--force", action="store_true", help="replace files that exist")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from drpflow.io.astrometric_files import write_tables
    from drpflow.tasks.solve_astrometry import solve_astrometry

    if (args.output / _STARS).exists() and not args.force:
        problem, remedy = "it exists", "Name another --output, or add --force"
        raise InputError(args.output / _STARS, problem, remedy)
    config = _config(args.config)
    survey, dropped = _read(args)
    if dropped:
        console().print(f"{dropped} observations of other visits, detectors or stars left out")
    made = solve_astrometry(survey, config, progress=_tell_pass)
    write_tables(made, args.output)
    _tell(args.output, made)
    return 0


def _config(path: Path | None) -> SolveAstrometryTaskConfig:
    """Return the section of a config file; the defaults without one."""
    from drpflow.config.base import validate
    from drpflow.config.solve_astrometry_task import SolveAstrometryTaskConfig
    from drpflow.io.config_file import read_sections

    section = read_sections(path).get("solveAstrometry")
    return validate(SolveAstrometryTaskConfig, section, path or "--config")


def _read(args: argparse.Namespace) -> tuple[AstrometricSurvey, int]:
    """Return the tables, and how many observations belong to nothing in them."""
    import numpy as np

    from drpflow.data.astrometric_survey import AstrometricSurvey, VisitInput
    from drpflow.data.healpix import pixels_of_deg
    from drpflow.data.star_color import ColorMeaning
    from drpflow.io import astrometric_tables_read as tables
    from drpflow.io.camera_yaml import load_camera
    from drpflow.io.reference_regions import read_references_about

    camera = load_camera(args.camera)
    infos = tables.read_visits_table(args.visits, camera)
    table = tables.ObservationTable(args.observations)
    named = table.names_stars
    if not named:
        table.columns["star"] = _linked(*table.places_deg(), args.link_arcsec)
    stars = table.stars() if args.stars is None else tables.read_stars_table(args.stars)
    if args.stars is not None and not named:
        table.columns["star"] = _named(table, stars, args.link_arcsec)
    observations, dropped = table.observations(infos, stars, camera)
    piece = pixels_of_deg(_CIRCLES_ORDER, stars.ra_deg, stars.dec_deg)
    unknown = (np.nan, np.nan, np.nan)
    detectors = dict.fromkeys(d.id for d in camera.detectors)
    survey = AstrometricSurvey(
        camera,
        [VisitInput(info, unknown, detectors) for info in infos],
        {},
        observations,
        stars,
        np.ones(len(stars), np.bool_),
        ColorMeaning(("g", "i")),
        read_references_about(args.reference, stars.ra_deg, stars.dec_deg, piece),
    )
    return survey, dropped


def _linked(ra_deg: Floats, dec_deg: Floats, link_arcsec: float) -> NDArray[np.int64]:
    """Return the number of the star of each place: friends of friends."""
    import numpy as np

    from drpflow.algorithms.friends_of_friends import SkyGrid
    from drpflow.data.reference_stars import unit_vectors

    star = np.full(ra_deg.size, -1, np.int64)
    good = np.isfinite(ra_deg) & np.isfinite(dec_deg)
    star[good] = SkyGrid.build(unit_vectors(ra_deg[good], dec_deg[good]), link_arcsec).friends()
    return star


def _named(table: ObservationTable, stars: Stars, link_arcsec: float) -> NDArray[np.int64]:
    """Return the number that the table of stars has for the star of each observation.

    Groups of observations that no star is near get a number that no star has.
    """
    import numpy as np

    from drpflow.algorithms.sky_match import match_nearest

    groups = table.stars()
    if not len(stars) or not len(groups):
        return np.full(table.columns["star"].size, -1, np.int64)
    places = groups.ra_deg, groups.dec_deg, stars.ra_deg, stars.dec_deg
    pairs = match_nearest(*places, link_arcsec)
    number = np.full(int(groups.id.max()) + 2, int(stars.id.min()) - 1, np.int64)
    number[groups.id[pairs.first]] = stars.id[pairs.second]
    # The last number is that of observations without a place: group -1.
    return np.asarray(number[table.columns["star"]])


def _tell_pass(found: Pass) -> None:
    console().print(
        f"pass {found.number}: places moved by {found.change_mas:.3f} mas, "
        f"{found.n_rejected} of {found.n_used + found.n_rejected} observations rejected, "
        f"scatter {found.floor_mas:.1f} mas",
        highlight=False,
    )


def _tell(output: Path, made: Solved) -> None:
    """Print what was found."""
    from drpflow.tasks.solve_astrometry import first_of

    out, numbers = console(), made.numbers
    out.print(
        f"{numbers['n_stars']} stars, {numbers['n_visits']} visits: stated errors of the WCSs "
        f"{numbers['wcs_error_mas']} mas, scatter beside the errors of centroids "
        f"{numbers['floor_mas']} mas (medians)",
        highlight=False,
    )
    for note in first_of(made.notes, _MOST_TOLD):
        out.print(f"note: {note}", highlight=False)
    for sentence in first_of(made.held, _MOST_TOLD):
        out.print(f"left open: {sentence}", highlight=False)
    if made.problem is not None:
        out.print(f"lost: {made.problem.message}", highlight=False)
    out.print(f"wrote the tables solved_astrometry_* in {output}")
