"""Tables of other surveys as reference catalogues: names, units, magnitudes and epochs.

Columns are known by the names that Gaia, VizieR, Pan-STARRS, SDSS and SkyMapper give them, and may
be named by the user instead. Units that a file states are obeyed; where it states none, those of
these surveys are taken: degrees, mas, mas/yr, years, AB magnitudes, nJy.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.data.reference_stars import (
    CORRELATION_COLUMNS,
    OPTIONAL_COLUMNS,
    ReferenceStars,
)
from drpflow.errors import InputError, suggest
from drpflow.io.reference_stars import MANDATORY_COLUMNS, UNITS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

_ZERO_POINT_MAG = 31.4
_JD_MINUS_MJD = 2400000.5
_J2000_MJD = 51544.5

# Other names of the columns of a reference table, lower case.
_SYNONYMS = {
    "id": ("source_id", "source", "objid", "object_id", "ps1_id", "thing_id"),
    "ra": ("ra_icrs", "raj2000", "ramean", "_raj2000", "ra_deg"),
    "dec": ("de_icrs", "dej2000", "decmean", "_dej2000", "dec_deg"),
    "ra_err": ("ra_error", "e_ra_icrs", "e_raj2000", "rameanerr"),
    "dec_err": ("dec_error", "e_de_icrs", "e_dej2000", "decmeanerr"),
    "pm_ra": ("pmra", "pm_ra_cosdec"),
    "pm_dec": ("pmdec", "pmde"),
    "pm_ra_err": ("pmra_error", "e_pmra"),
    "pm_dec_err": ("pmdec_error", "e_pmdec", "e_pmde"),
    "parallax": ("plx",),
    "parallax_err": ("parallax_error", "e_plx"),
    "epoch": ("ref_epoch", "epoch_mjd", "epochmean", "mean_epoch"),
    "ra_dec_corr": ("radecor",),
    "ra_pm_ra_corr": ("ra_pmra_corr", "rapmracor"),
    "ra_pm_dec_corr": ("ra_pmdec_corr", "rapmdecor"),
    "ra_parallax_corr": ("raplxcor",),
    "dec_pm_ra_corr": ("dec_pmra_corr", "depmracor"),
    "dec_pm_dec_corr": ("dec_pmdec_corr", "depmdecor"),
    "dec_parallax_corr": ("deplxcor",),
    "pm_ra_pm_dec_corr": ("pmra_pmdec_corr", "pmrapmdecor"),
    "pm_ra_parallax_corr": ("parallax_pmra_corr", "plxpmracor"),
    "pm_dec_parallax_corr": ("parallax_pmdec_corr", "plxpmdecor"),
}
# Magnitudes by name (lower case): band, column of its error, AB less the system's own. Gaia DR3's
# passbands from Vega to AB: Gaia EDR3 documentation, section 5.4.1.
_MAGNITUDES = (
    (r"phot_g_mean_mag", "gaia_g", "", 0.1136),
    (r"phot_bp_mean_mag", "gaia_bp", "", 0.0155),
    (r"phot_rp_mean_mag", "gaia_rp", "", 0.3561),
    (r"(g|bp|rp)mag_gaia", r"gaia_\1", "", 0.0),
    (r"([ugrizy])meanpsfmag", r"\1", r"\1meanpsfmagerr", 0.0),
    (r"psfmag_([ugriz])", r"\1", r"psfmagerr_\1", 0.0),
    (r"([ugrizy])_psf", r"\1", r"e_\1_psf", 0.0),
    (r"([ugrizy])mag", r"\1", r"e_\1mag", 0.0),
)
# Signal to noise of a flux, from which the error of a magnitude follows.
_OVER_ERROR = {f"gaia_{b}": f"phot_{b}_mean_flux_over_error" for b in ("g", "bp", "rp")}
_NJY = {"njy": 1.0, "ujy": 1e3, "microjansky": 1e3, "mjy": 1e6, "jy": 1e9, "nanomaggy": 3631.0}


@dataclass(frozen=True)
class ColumnNames:
    """What the user says about columns.

    Parameters
    ----------
    columns
        Column of the file by name in the reference table.
    magnitudes, magnitude_errors
        Column of a magnitude, and of its error, by band.
    fluxes, flux_errors
        Column of a flux, and of its error, by band.
    offsets_mag
        AB less the system of the magnitudes, by band.
    epoch
        Of all rows, a year or an MJD, where there is no column.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    magnitudes: Mapping[str, str] = field(default_factory=dict)
    magnitude_errors: Mapping[str, str] = field(default_factory=dict)
    fluxes: Mapping[str, str] = field(default_factory=dict)
    flux_errors: Mapping[str, str] = field(default_factory=dict)
    offsets_mag: Mapping[str, float] = field(default_factory=dict)
    epoch: float | None = None


@dataclass(frozen=True, eq=False)
class RawTable:
    """Columns of a file with their units; numbers in float64, but identifiers as they are."""

    path: Path
    columns: Mapping[str, NDArray[Any]]
    units: Mapping[str, str]

    def __contains__(self, name: object) -> bool:
        return name in self.columns

    def find(self, name: str) -> str:
        """Return the name of a column that the user named, in its own case.

        Raises
        ------
        InputError
            If there is none.
        """
        lower = {known.lower(): known for known in self.columns}
        if name.lower() not in lower:
            hint = suggest(name, self.columns)
            known = ", ".join(self.columns)
            raise InputError(self.path, f"it has no column {name!r}{hint}", f"It has {known}")
        return lower[name.lower()]

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Return a column as numbers.

        Raises
        ------
        InputError
            If it holds none.
        """
        try:
            return np.asarray(self.columns[name], np.float64)
        except ValueError:
            problem = f"column {name!r} holds no numbers"
            raise InputError(self.path, problem, "Name another one") from None


def read_raw_table(path: Path) -> RawTable:
    """Read a table of any kind: Parquet, FITS, VOTable, ECSV or CSV (also .gz).

    Raises
    ------
    InputError
        If it cannot be read.
    """
    if not path.is_file():
        raise InputError(path, "there is no such file", "Check the name")
    kind = _format(path)
    try:
        if kind == "parquet":
            from drpflow.io.tables import read_table

            table = read_table(path)
            return RawTable(path, table.to_dict(), table.units)
        from astropy.table import Table

        options: dict[str, Any] = {"format": kind}
        if kind == "ascii.csv":
            options["guess"] = False
        found = Table.read(path, **options)
    except (OSError, ValueError, TypeError, IndexError) as error:
        raise InputError(path, f"it cannot be read as {kind} ({error})", "Check the file") from None
    columns = {name: _filled(found[name]) for name in found.colnames if found[name].ndim == 1}
    units = {name: str(found[name].unit or "") for name in columns}
    return RawTable(path, columns, units)


def _format(path: Path) -> str:
    name = path.name.lower().removesuffix(".gz").removesuffix(".bz2")
    kinds = {
        (".parquet", ".parq"): "parquet",
        (".fits", ".fit", ".fits.fz"): "fits",
        (".vot", ".votable", ".xml"): "votable",
        (".ecsv",): "ascii.ecsv",
        (".csv", ".txt"): "ascii.csv",
    }
    for endings, kind in kinds.items():
        if name.endswith(endings):
            return kind
    known = ", ".join(sorted(e for endings in kinds for e in endings))
    raise InputError(path, "its kind is not known by its name", f"Kinds: {known}; also .gz")


def _filled(column: Any) -> NDArray[Any]:
    """Return a column of astropy as an array, NaN or an empty text where it is masked."""
    values = np.asarray(column)
    mask = getattr(column, "mask", None)
    if mask is None or not np.any(mask):
        return values
    if values.dtype.kind in "iuf":
        values = values.astype(np.float64)
        values[np.asarray(mask)] = np.nan
    elif values.dtype.kind in "US":
        values = values.copy()
        values[np.asarray(mask)] = values.dtype.type()
    return values


def convert_table(table: RawTable, mapping: ColumnNames) -> tuple[ReferenceStars, int]:
    """Return a table as a reference catalogue, and how many rows without a position were left out.

    Raises
    ------
    InputError
        If a column is missing, in a unit of another kind, or there is no flux.
    """
    columns = {name: _own_column(table, name, mapping) for name in _all_names()}
    found = {name: values for name, values in columns.items() if values is not None}
    for name in MANDATORY_COLUMNS:
        if name not in found:
            option = "--epoch" if name == "epoch" else f"--column {name}=NAME"
            known = ", ".join(table.columns)
            raise InputError(
                table.path, f"no column is known as {name}", f"{option}; it has {known}"
            )
    fluxes = _fluxes(table, mapping)
    if not fluxes:
        known = ", ".join(table.columns)
        remedy = f"Name one: --magnitude BAND=NAME or --flux BAND=NAME; it has {known}"
        raise InputError(table.path, "no column is known as a magnitude or flux", remedy)
    for band, (flux, error) in fluxes.items():
        found |= {f"flux_{band}": flux, f"flux_{band}_err": error}
    stars = ReferenceStars.from_columns(found)
    good = np.isfinite(stars.ra) & np.isfinite(stars.dec) & np.isfinite(stars.epoch)
    return stars.select(good), int((~good).sum())


def concatenate(parts: Iterable[ReferenceStars]) -> ReferenceStars:
    """Return catalogues below each other; of rows with one id the first stays."""
    tables = [part.to_columns() for part in parts]
    names = dict.fromkeys(name for table in tables for name in table)
    rows = [len(table["id"]) for table in tables]
    columns = {
        name: np.concatenate(
            [t.get(name, np.full(n, np.nan)) for t, n in zip(tables, rows, strict=True)]
        )
        for name in names
    }
    _, first = np.unique(columns["id"], return_index=True)
    return ReferenceStars.from_columns({n: v[np.sort(first)] for n, v in columns.items()})


def _all_names() -> tuple[str, ...]:
    return (*MANDATORY_COLUMNS, *OPTIONAL_COLUMNS, *CORRELATION_COLUMNS)


def _own_column(table: RawTable, name: str, mapping: ColumnNames) -> NDArray[Any] | None:
    """Return a column of the reference table in its unit, None if the file has none."""
    lower = {known.lower(): known for known in table.columns}
    if name in mapping.columns:
        source: str | None = table.find(mapping.columns[name])
    else:
        source = next((lower[n] for n in (name, *_SYNONYMS[name]) if n in lower), None)
    if name == "epoch" and (source is None or mapping.epoch is not None):
        if mapping.epoch is None:
            return None
        rows = len(next(iter(table.columns.values())))
        return _epoch_mjd(table.path, np.full(rows, mapping.epoch))
    if source is None:
        return None
    if name == "id":
        return _identifiers(table, source)
    values = table.numbers(source)
    if name == "epoch":
        return _epoch_mjd(table.path, values)
    return values * _factor(table, source, UNITS.get(name, ""))


def _identifiers(table: RawTable, name: str) -> NDArray[np.int64]:
    values = table.columns[name]
    try:
        whole = values.astype(np.int64)
    except (ValueError, OverflowError):
        problem = f"column {name!r} holds no whole numbers"
        raise InputError(table.path, problem, "Name another one with --column id=NAME") from None
    if values.dtype.kind == "f" and not (whole == values).all():
        raise InputError(table.path, f"column {name!r} holds fractions", "Name another one")
    return whole


def _epoch_mjd(path: Path, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return epochs as MJD from Julian years, JD or MJD, which their size tells apart.

    Raises
    ------
    InputError
        If they are none of these.
    """
    if not values.size:  # a tile of a survey without stars
        return values
    middle = float(np.nanmedian(values)) if np.isfinite(values).any() else np.nan
    if 1850 < middle < 2200:
        return _J2000_MJD + (values - 2000.0) * 365.25
    if 2.4e6 < middle < 2.6e6:
        return values - _JD_MINUS_MJD
    if 1e4 < middle < 1e5:
        return values
    raise InputError(path, f"an epoch of {middle:g} is no year, JD or MJD", "Give --epoch")


def _factor(table: RawTable, name: str, wanted: str) -> float:
    """Return what turns a column into a unit; 1 where the file states none.

    Raises
    ------
    InputError
        If the unit that it states is of another kind.
    """
    unit = table.units.get(name, "")
    if not unit:
        return 1.0
    from astropy import units as u

    try:
        return float(u.Unit(unit, parse_strict="raise").to(u.Unit(wanted)))
    except (ValueError, TypeError, u.UnitsError):
        problem = f"column {name!r} is in {unit!r}, which does not turn into {wanted!r}"
        raise InputError(table.path, problem, "Convert it, or name another column") from None


def _fluxes(table: RawTable, mapping: ColumnNames) -> dict[str, tuple[Any, Any]]:
    """Return flux and error by band, nJy: what the user names, else all that are known."""
    found: dict[str, tuple[Any, Any]] = {}
    for band, name in mapping.fluxes.items():
        error = mapping.flux_errors.get(band)
        found[band] = _flux(table, table.find(name), table.find(error) if error else None)
    for band, name in mapping.magnitudes.items():
        error = mapping.magnitude_errors.get(band)
        errors = table.numbers(table.find(error)) if error else None
        magnitude = table.numbers(table.find(name)) + mapping.offsets_mag.get(band, 0.0)
        found[band] = _from_magnitude(magnitude, errors)
    if found:
        return found
    for band, name in ((n[5:], n) for n in table.columns if re.fullmatch("flux_[A-Za-z0-9]+", n)):
        found[band] = _flux(table, name, f"{name}_err" if f"{name}_err" in table else None)
    lower = {known.lower(): known for known in table.columns}
    for name in table.columns:
        for pattern, template, error_template, offset in _MAGNITUDES:
            match = re.fullmatch(pattern, name.lower())
            if match and (band := match.expand(template)) not in found:
                error = lower.get(match.expand(error_template))
                to_ab = mapping.offsets_mag.get(band, offset)
                errors = table.numbers(error) if error else _over_error(table, band)
                found[band] = _from_magnitude(table.numbers(name) + to_ab, errors)
    return found


def _over_error(table: RawTable, band: str) -> NDArray[np.float64] | None:
    name = _OVER_ERROR.get(band, "")
    if name not in table:
        return None
    with np.errstate(divide="ignore"):
        return np.asarray(2.5 / np.log(10) / table.numbers(name))


def _from_magnitude(
    magnitude: NDArray[np.float64], error: NDArray[np.float64] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return flux and error, nJy; NaN for values such as -999 and 99 that stand for none."""
    magnitude = np.where((magnitude > -10) & (magnitude < 40), magnitude, np.nan)
    flux = 10 ** (0.4 * (_ZERO_POINT_MAG - magnitude))
    if error is None:
        return flux, np.full(len(flux), np.nan)
    good = (error > 0) & (error < 10)
    return flux, np.where(good, flux * error * np.log(10) / 2.5, np.nan)


def _flux(table: RawTable, name: str, error: str | None) -> tuple[Any, Any]:
    values = table.numbers(name) * _flux_factor(table, name)
    if error is None:
        return values, np.full(len(values), np.nan)
    return values, table.numbers(error) * _flux_factor(table, error)


def _flux_factor(table: RawTable, name: str) -> float:
    unit = table.units.get(name, "").replace(" ", "")
    # mJy and MJy differ by case only; everything else is spelled in many ways.
    key = unit.lower()
    if not unit:
        return 1.0
    if key not in _NJY or unit.startswith("MJ"):
        problem = f"column {name!r} is in {unit!r}, which does not turn into nJy"
        raise InputError(table.path, problem, f"Units of flux: {', '.join(_NJY)}")
    return _NJY[key]
