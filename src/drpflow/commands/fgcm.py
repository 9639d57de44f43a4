"""Calibrate the photometry of many visits together, from plain tables of any survey."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from drpflow.commands.output import console
from drpflow.errors import InputError

if TYPE_CHECKING:
    import argparse

    from numpy.typing import NDArray

    from drpflow.algorithms.fgcm import FgcmResult
    from drpflow.algorithms.fgcm.cycles import Cycle
    from drpflow.data.camera import Camera
    from drpflow.data.look_up_table import LookUpTable
    from drpflow.data.photometric_tables import Observations, Stars, Visits
    from drpflow.io.photometric_tables_read import ObservationRows

_TABLES = ("fgcm_zero_points", "fgcm_standard_stars", "fgcm_parameters", "fgcm_observations")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "--observations",
        type=Path,
        required=True,
        help="table: star, visit, detector, mag and mag_err (or flux and flux_err), "
        "u and v (or x and y); if known cloud_mag and cloud_mag_err (or cloud_flux and "
        "cloud_flux_err), a flux of less noise to follow clouds by",
    )
    parser.add_argument(
        "--visits",
        type=Path,
        required=True,
        help="table: visit, physical_filter (or band), night, mjd, airmass, exposure_time_s, "
        "ra, dec; if known fwhm_arcsec, pressure_hpa",
    )
    parser.add_argument(
        "--stars",
        type=Path,
        required=True,
        help="table: star, ra, dec; if known mag_<band>, mag_<band>_err of a catalogue, reserved",
    )
    parser.add_argument("--camera", required=True, help="camera file, or name of a known camera")
    parser.add_argument(
        "--look-up-table", type=Path, help="passbands through any air [made from the camera file]"
    )
    parser.add_argument("--config", type=Path, help="config file; its sections fgcm… count")
    parser.add_argument("--output", type=Path, default=Path("fgcm"), help="folder to write [fgcm]")
    parser.add_argument("--force", action="store_true", help="replace files that exist")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from drpflow.algorithms.fgcm import calibrate
    from drpflow.algorithms.fgcm.nominal_passbands import NOMINAL_WAVELENGTH_NM
    from drpflow.algorithms.photometric_input import check_usable, detectors_of
    from drpflow.algorithms.photometric_reasons import of_whole_visits, reasons
    from drpflow.config.base import validate
    from drpflow.config.fgcm_task import FgcmTaskConfig
    from drpflow.io.camera_yaml import load_camera
    from drpflow.io.config_file import read_sections
    from drpflow.io.photometric_tables_read import (
        read_observations_table,
        read_stars_table,
        read_visits_table,
    )

    _check_output(args)
    camera = load_camera(args.camera)
    sections = read_sections(args.config)
    config = validate(FgcmTaskConfig, sections.get("fgcm"), args.config or "--config")
    table = _look_up_table(args, sections)
    visits = read_visits_table(args.visits, camera)
    stars = read_stars_table(args.stars, visits.bands, NOMINAL_WAVELENGTH_NM)
    given = read_observations_table(args.observations, visits, stars, camera)
    observations = given.observations
    if given.dropped:
        console().print(
            f"{given.dropped} observations of other visits, detectors or stars left out"
        )
    _check_filters(args.visits, visits, table)
    check_usable(observations)
    result = calibrate(
        observations, visits, detectors_of(camera), stars, table, config, progress=_tell_cycle
    )
    if observations.cloud_mag is not None:
        _tell_second_flux(result)
    without = reasons(result, observations, stars, config)
    _write(args.output, result, visits, stars, observations, camera)
    _write_observations(args.output, result, given)
    _tell(args.output, result, visits, of_whole_visits(without, *result.zero_point.shape))
    return 0


def _check_output(args: argparse.Namespace) -> None:
    for name in _TABLES:
        path = args.output / f"{name}.parquet"
        if path.exists() and not args.force:
            raise InputError(path, "it exists", "Name another --output, or add --force")


def _look_up_table(args: argparse.Namespace, sections: dict[str, Any]) -> LookUpTable:
    from drpflow.config.base import validate
    from drpflow.config.fgcm_make_look_up_table import FgcmMakeLookUpTableConfig
    from drpflow.io.absorption import read_absorption
    from drpflow.io.look_up_table_files import read_look_up_table, read_throughputs
    from drpflow.tasks.fgcm_make_look_up_table import fgcm_make_look_up_table

    if args.look_up_table is not None:
        return read_look_up_table(args.look_up_table)
    given = sections.get("fgcmMakeLookUpTable")
    config = validate(FgcmMakeLookUpTableConfig, given, args.config or "--config")
    camera, curves = read_throughputs(args.camera)
    made = fgcm_make_look_up_table(camera, curves, read_absorption(), config)
    if "nominal" in made.numbers:
        console().print(f"guessed passbands: {made.numbers['nominal']}", highlight=False)
    return made.table


def _check_filters(path: Path, visits: Visits, table: LookUpTable) -> None:
    """Check that the passband of each filter is known.

    Raises
    ------
    InputError
        Naming the first filter of which it is not.
    """
    missing = [name for name in visits.physical_filters if name not in table.filters]
    if missing:
        raise InputError(
            path,
            f"the passband of filter {missing[0]!r} is not known",
            f"Give its throughput in the camera file; known are {', '.join(table.filters)}",
        )


def _write(
    output: Path,
    result: FgcmResult,
    visits: Visits,
    stars: Stars,
    observations: Observations,
    camera: Camera,
) -> None:
    import numpy as np

    from drpflow.algorithms.photometric_products import (
        flags_of,
        parameter_columns,
        standard_star_columns,
        zero_point_columns,
    )
    from drpflow.io.schemas import load_schema
    from drpflow.io.tables import write_table

    flag = flags_of(result)
    ids = np.array([d.id for d in camera.detectors], np.int32)
    standard = standard_star_columns(result, stars, observations)
    standard.pop("row")
    tables = {
        "fgcm_zero_points": zero_point_columns(result, flag, visits, ids),
        "fgcm_standard_stars": standard,
        "fgcm_parameters": parameter_columns(result),
    }
    for name, columns in tables.items():
        schema = load_schema(name).without({"skypix"})
        write_table(output / f"{name}.parquet", columns, schema, dataset=name)


def _write_observations(output: Path, result: FgcmResult, given: ObservationRows) -> None:
    """Write the calibrated magnitude of each observation, in the order of the table given."""
    from drpflow.data.table import Table
    from drpflow.io.tables import write_table

    columns: dict[str, NDArray[Any]] = {
        **given.ids,
        "mag_calibrated": result.calibrated(given.observations),
        "mag_err": given.observations.mag_err,
        "zero_point_err": result.zero_point_error[
            given.observations.visit, given.observations.detector
        ].astype("f4"),
    }
    docs = {
        "mag_calibrated": "AB magnitude in the standard passband, NaN for none",
        "mag_err": "error of the magnitude given",
        "zero_point_err": "error of the zero point beside what all of a band have in common",
    }
    table = Table.from_columns(columns, units=dict.fromkeys(docs, "mag"), descriptions=docs)
    write_table(output / "fgcm_observations.parquet", table)


def _tell_cycle(cycle: Cycle) -> None:
    console().print(
        f"cycle {cycle.number + 1}: zero points moved by {1e3 * cycle.change_mag:.2f} mmag, "
        f"{cycle.n_photometric} photometric visits",
        highlight=False,
    )


def _tell(output: Path, result: FgcmResult, visits: Visits, without: dict[int, str]) -> None:
    """Print what was found; `without`: why visits have no zero point, by row."""
    import numpy as np
    from rich.table import Table

    rows = Table("band", "visits", "photometric", "zero points", "error, mmag", "stars")
    for k, band in enumerate(result.bands):
        mine = result.visit_band == k
        error = result.zero_point_error[mine]
        known = np.isfinite(result.zero_point[mine])
        middle = f"{1e3 * np.median(error[known]):.2f}" if known.any() else ""
        stars = int(np.isfinite(result.standard_mag[:, k]).sum())
        counts = (int(mine.sum()), int(result.photometric[mine].sum()), int(known.sum()))
        rows.add_row(band, *(str(n) for n in counts), middle, str(stars))
    out = console()
    out.print(rows)
    for text in _left_out(result):
        out.print(text, highlight=False)
    for row, why in without.items():
        out.print(f"visit {visits.id[row]} has no zero point: {why}", highlight=False)
    for note in result.notes:
        out.print(f"note: {note}", highlight=False)
    out.print(f"wrote {', '.join(f'{name}.parquet' for name in _TABLES)} in {output}")


def _left_out(result: FgcmResult) -> list[str]:
    """Return which observations were not used, in sentences."""
    r = result.rejected
    counts = {
        "without a usable flux, error or place": r.not_finite,
        "whose errors are too large for the fit": r.large_error,
        "of a star that stands twice in its visit, the poorer one": r.duplicate,
        "of stars that are seen once and are in no catalogue": r.single,
    }
    return [f"{n} observations {what} left out of the fit" for what, n in counts.items() if n]


def _tell_second_flux(result: FgcmResult) -> None:
    import numpy as np

    used = np.isfinite(result.cloud_flux_offset)
    alone = int((~used & (result.n_star > 0)).sum())
    console().print(
        f"clouds are followed by the second flux on {int(used.sum())} detector images, by the "
        f"first on {alone} others"
    )
