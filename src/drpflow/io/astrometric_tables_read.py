"""Tables of anybody's positions, in any common format, as the astrometric solution takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drpflow.data.astrometric_tables import Observations, Stars
from drpflow.data.reference_stars import unit_vectors
from drpflow.data.visit_info import VisitInfo
from drpflow.errors import InputError
from drpflow.io.astrometric_sources import rows_of
from drpflow.io.plain_columns import column_of
from drpflow.io.reference_convert import read_raw_table
from drpflow.io.sheets import read_visits

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from drpflow.data.camera import Camera

    Floats: TypeAlias = NDArray[np.float64]
    Columns: TypeAlias = Mapping[str, NDArray[Any]]

OBSERVATION_COLUMNS = "star, visit, detector, x, y, x_err, y_err"
VISIT_COLUMNS = "visit, mjd, ra, dec, rotation"
STAR_COLUMNS = "star, ra, dec"
_TRUE = ("true", "t", "yes", "y", "1", "1.0")
_FALSE = ("false", "f", "no", "n", "0", "0.0")
# Columns of VisitInfo by name in the table.
_VISIT_NUMBERS = {
    "mjd": "mjd",
    "ra": "ra_deg",
    "dec": "dec_deg",
    "rotation": "rotation_deg",
    "hour_angle": "recorded_hour_angle_deg",
}


def read_visits_table(path: Path, camera: Camera) -> list[VisitInfo]:
    """Read the table of visits, or a visit sheet (``.tsv``).

    Columns are ``visit``, ``mjd`` (TAI, middle of the exposure), ``ra``, ``dec`` and ``rotation``
    (boresight and position angle of the focal plane's +y, deg), and if known ``band`` and
    ``hour_angle`` [deg]. The direction of the zenith, for refraction, follows from the place of the
    camera and the time.

    Returns
    -------
    list of VisitInfo
        By number.

    Raises
    ------
    InputError
        If a column is missing, a visit stands twice or a number is impossible.
    """
    if path.suffix == ".tsv":
        rows = [row._asdict() for row in read_visits(path)]
        texts = [{k: "" if v is None else str(v) for k, v in row.items()} for row in rows]
        infos = [VisitInfo.from_sheet_row(row, camera, str(path)) for row in texts]
        return sorted(infos, key=lambda info: info.visit)
    columns = read_raw_table(path).columns
    visits = _whole(columns, path, "visit", VISIT_COLUMNS)
    if np.unique(visits).size != visits.size:
        raise InputError(path, "a visit stands twice", "Give a row a visit")
    numbers = {name: _numbers(columns, path, name) for name in _VISIT_NUMBERS}
    bands = _texts(columns.get("band", np.full(visits.size, "")))
    site = camera.observatory
    infos = []
    for row in np.argsort(visits).tolist():
        known = {n: float(v[row]) for n, v in numbers.items() if v is not None}
        given: dict[str, Any] = {
            _VISIT_NUMBERS[name]: value for name, value in known.items() if np.isfinite(value)
        }
        try:
            info = VisitInfo(
                visit=int(visits[row]),
                band=bands[row],
                longitude_deg=site.longitude_deg,
                latitude_deg=site.latitude_deg,
                **given,
            )
        except ValueError as fault:
            problem = f"visit {visits[row]}: {fault}"
            raise InputError(path, problem, "Correct the table of visits") from None
        infos.append(info)
    return infos


def _numbers(columns: Columns, path: Path, name: str) -> Floats | None:
    """Return a column of the visits; None if it is one that may be missing, and is."""
    if name not in columns and name == "hour_angle":
        return None
    return _floats(columns, path, name, VISIT_COLUMNS)


def read_stars_table(path: Path) -> Stars:
    """Read the table of stars.

    Columns are ``star``, ``ra`` and ``dec`` [deg], and if wanted ``color`` [mag] and ``reserved``
    (true or false, 1 or 0).

    Raises
    ------
    InputError
        If a column is missing or holds something else, a star stands twice or a position is not
        finite.
    """
    columns = read_raw_table(path).columns
    star = _whole(columns, path, "star", STAR_COLUMNS)
    ra, dec = (_floats(columns, path, n, STAR_COLUMNS) for n in ("ra", "dec"))
    unknown = np.full(star.size, np.nan)
    color = _floats(columns, path, "color", STAR_COLUMNS) if "color" in columns else unknown
    reserved = _truth(columns, path, "reserved", star.size)
    try:
        return Stars(star, ra, dec, color, reserved)
    except ValueError as fault:
        raise InputError(path, str(fault), "Correct the table of stars") from None


class ObservationTable:
    """A table of observations, read once.

    Columns are ``visit``, ``detector``, ``x`` and ``y`` [pix] with their errors ``x_err`` and
    ``y_err``, if known ``xy_cov`` [pix²], and ``star``; or ``ra`` and ``dec`` [deg] of the
    detection, by which stars can be told apart.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    InputError
        If it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.columns = dict(read_raw_table(path).columns)

    @property
    def names_stars(self) -> bool:
        """Whether it says which observation is of which star."""
        return "star" in self.columns

    def places_deg(self) -> tuple[Floats, Floats]:
        """Return right ascension and declination as they were measured.

        Raises
        ------
        InputError
            If it has no such columns.
        """
        wanted = "ra and dec where no table of stars is given, or no column star"
        ra, dec = (_floats(self.columns, self.path, name, wanted) for name in ("ra", "dec"))
        return ra, dec

    def stars(self) -> Stars:
        """Return the stars at the mean places of their observations.

        Raises
        ------
        InputError
            If it has no places or no stars.
        """
        star = self._whole("star")
        ra, dec = self.places_deg()
        good = np.isfinite(ra) & np.isfinite(dec)
        ids, row = np.unique(star[good], return_inverse=True)
        # Means of unit vectors: right ascension 0 is a place like any other.
        x, y, z = (
            np.bincount(row, values, minlength=ids.size)
            for values in unit_vectors(ra[good], dec[good]).T
        )
        mean_ra, mean_dec = np.arctan2(y, x), np.arctan2(z, np.hypot(x, y))
        unknown = np.full(ids.size, np.nan)
        reserved = np.zeros(ids.size, np.bool_)
        return Stars(ids, np.degrees(mean_ra) % 360, np.degrees(mean_dec), unknown, reserved)

    def observations(
        self, visits: Sequence[VisitInfo], stars: Stars, camera: Camera
    ) -> tuple[Observations, int]:
        """Return the observations, and how many are of nothing that the other tables have.

        Parameters
        ----------
        visits, stars, camera
            What the rows of the observations count.

        Raises
        ------
        InputError
            If a column is missing.
        """
        tables = {
            "star": stars.id,
            "visit": np.array([info.visit for info in visits], np.int64),
            "detector": np.array([d.id for d in camera.detectors], np.int64),
        }
        rows = {name: rows_of(table, self._whole(name)) for name, table in tables.items()}
        kept = np.all([r >= 0 for r in rows.values()], axis=0)
        x, y, x_err, y_err = (
            _floats(self.columns, self.path, name, OBSERVATION_COLUMNS)[kept]
            for name in ("x", "y", "x_err", "y_err")
        )
        covariance = np.zeros(kept.size)
        if "xy_cov" in self.columns:
            covariance = _floats(self.columns, self.path, "xy_cov", OBSERVATION_COLUMNS)
        star, visit, detector = (rows[name][kept].astype(np.int32) for name in tables)
        xx, xy, yy = (v.astype(np.float32) for v in (x_err**2, covariance[kept], y_err**2))
        found = Observations(star, visit, detector, x, y, xx, xy, yy)
        return found, int(kept.size - kept.sum())

    def _whole(self, name: str) -> NDArray[np.int64]:
        return _whole(self.columns, self.path, name, OBSERVATION_COLUMNS)


def _floats(columns: Columns, path: Path, name: str, wanted: str) -> Floats:
    try:
        return np.asarray(column_of(columns, path, name, wanted), np.float64)
    except ValueError:
        raise InputError(path, f"column {name!r} holds no numbers", "Correct it") from None


def _whole(columns: Columns, path: Path, name: str, wanted: str) -> NDArray[np.int64]:
    """Return a column of numbers that tell things apart: none may be missing or broken."""
    values = np.asarray(column_of(columns, path, name, wanted))
    if values.dtype.kind in "iu":
        return values.astype(np.int64)
    fault = InputError(path, f"column {name!r} holds no whole numbers", "Number them")
    if values.dtype.kind == "f":
        # Beyond 2^53 neighbouring numbers have become one.
        with np.errstate(invalid="ignore"):
            whole = (values == np.floor(values)) & (np.abs(values) <= 2.0**53)
        if not whole.all():
            raise fault
    try:
        return values.astype(np.int64)
    except (ValueError, TypeError, OverflowError):
        raise fault from None


def _texts(values: NDArray[Any]) -> list[str]:
    """Return a column as texts; those of FITS tables are bytes."""
    return [
        (value.decode() if isinstance(value, bytes) else str(value)).strip()
        for value in np.asarray(values).tolist()
    ]


def _truth(columns: Columns, path: Path, name: str, n_rows: int) -> NDArray[np.bool_]:
    """Return a column of true and false, all false where there is none."""
    if name not in columns:
        return np.zeros(n_rows, np.bool_)
    values = np.asarray(columns[name])
    if values.dtype.kind == "b":
        return values
    words = [word.lower() for word in _texts(values)]
    unknown = sorted({*words} - {*_TRUE, *_FALSE})
    if unknown:
        remedy = f"It may hold {', '.join((*_TRUE, *_FALSE))}"
        raise InputError(path, f"column {name!r} holds {unknown[0]!r}", remedy)
    return np.array([word in _TRUE for word in words], np.bool_)
