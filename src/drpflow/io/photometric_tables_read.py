"""Tables of anybody's photometry, in any common format, as the photometric fit takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from drpflow.data.photometric_tables import Observations, Stars, Visits
from drpflow.errors import InputError, suggest
from drpflow.io.fgcm_sources import MAG_PER_RELATIVE
from drpflow.io.plain_columns import column_of
from drpflow.io.reference_convert import read_raw_table

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from drpflow.data.camera import Camera

    Columns: TypeAlias = Mapping[str, NDArray[Any]]

OBSERVATION_COLUMNS = (
    "star, visit, detector, mag and mag_err (or flux and flux_err), u and v (or x and y); "
    "cloud_mag comes with cloud_mag_err (cloud_flux with cloud_flux_err)"
)
VISIT_COLUMNS = "visit, physical_filter (or band), night, mjd, airmass, exposure_time_s, ra, dec"
STAR_COLUMNS = "star, ra, dec"
# Catalogues write 99 for a magnitude that is not known; no star is fainter or brighter than this.
_MAX_MAG = 50.0
# Places may be so much off the edge of a detector; what is farther off is no place on it.
_MAX_PLACE = 1.05
# The MJD of the year 3501: larger ones are Julian dates.
_MAX_MJD = 1e6
_MAX_NIGHT = 2**31
# Any of these asks for a second flux.
_CLOUD = {"cloud_mag", "cloud_mag_err", "cloud_flux", "cloud_flux_err"}
# Texts that stand for a gap.
_NOTHING = ("", "n/a", "nan", "none", "--")
_TRUE, _FALSE = ("true", "t", "yes", "1", "1.0"), ("false", "f", "no", "0", "0.0", "")


class ObservationRows(NamedTuple):
    """Observations as a table had them.

    Parameters
    ----------
    observations
        Those of visits, detectors and stars that the other tables have.
    ids
        Columns ``star``, ``visit`` and ``detector`` of the same rows.
    dropped
        How many rows are not among them.
    """

    observations: Observations
    ids: dict[str, NDArray[np.int64]]
    dropped: int


def read_visits_table(path: Path, camera: Camera) -> Visits:
    """Read the table of visits.

    Columns are ``visit``, ``physical_filter`` or ``band``, ``night``, ``mjd``, ``airmass`` (sec z),
    ``exposure_time_s``, ``ra`` and ``dec`` [deg], and if known ``fwhm_arcsec`` and
    ``pressure_hpa``. Without ``night``, or in its gaps, it is the whole part of mjd less half a day
    and plus the longitude in parts of the circle. Nights that are texts, or no whole numbers from 0
    to 2³¹ - 1, are numbered in their order.

    Raises
    ------
    InputError
        If a column is missing, or a filter is not in the camera file.
    """
    columns = _filled_table(path)
    filters = _filters(columns, path, camera)
    known = {item.physical_filter: item.band for item in camera.filters}
    used = {known[name] for name in filters}
    bands = tuple(dict.fromkeys(b for b in known.values() if b in used))
    names = tuple(name for name in known if known[name] in used)
    floats = {
        name: np.asarray(column_of(columns, path, name, VISIT_COLUMNS), float)
        for name in ("mjd", "airmass", "exposure_time_s", "ra", "dec")
    }
    if (floats["mjd"] > _MAX_MJD).any():
        problem = f"mjd = {floats['mjd'].max():.2f} is a Julian date"
        raise InputError(path, problem, "Subtract 2400000.5")
    optional = {
        name: np.asarray(columns[name], float)
        for name in ("fwhm_arcsec", "pressure_hpa")
        if name in columns
    }
    try:
        return Visits(
            bands=bands,
            id=_whole(columns, path, "visit", VISIT_COLUMNS),
            night=_nights(columns, floats["mjd"], camera),
            mjd=floats["mjd"],
            band=np.array([bands.index(known[name]) for name in filters], np.int16),
            airmass=floats["airmass"],
            exposure_time_s=floats["exposure_time_s"],
            ra_deg=floats["ra"],
            dec_deg=floats["dec"],
            physical_filters=names,
            physical_filter=np.array([names.index(name) for name in filters], np.int16),
            **optional,
        )
    except ValueError as fault:
        raise InputError(path, str(fault), "Correct the table of visits") from None


def read_stars_table(
    path: Path, bands: tuple[str, ...], wavelength_nm: Mapping[str, float] | None = None
) -> Stars:
    """Read the table of stars.

    Columns are ``star``, ``ra`` and ``dec`` [deg], if wanted ``reserved``, and reference
    magnitudes (AB) ``mag_<band>`` with their errors ``mag_<band>_err``. Those in bands that no
    visit has tell colours.

    Parameters
    ----------
    path
        The table.
    bands
        Bands of the visits.
    wavelength_nm
        Effective wavelengths of other bands of catalogues; those not named are passed over.

    Raises
    ------
    InputError
        If a column is missing, or a star stands twice.
    """
    columns = _filled_table(path)
    star = _whole(columns, path, "star", STAR_COLUMNS)
    ra, dec = (np.asarray(column_of(columns, path, n, STAR_COLUMNS), float) for n in ("ra", "dec"))
    reserved = _truths(columns, path, "reserved", star.size)
    mag, err = (
        np.stack(
            [
                np.asarray(columns.get(f"mag_{b}{end}", np.full(star.size, np.nan)), float)
                for b in bands
            ],
            axis=1,
        )
        for end in ("", "_err")
    )
    mag = np.where(np.abs(mag) < _MAX_MAG, mag, np.nan)
    known = (mag, err) if np.isfinite(mag).any() else (None, None)
    try:
        return Stars(
            star, ra, dec, reserved, *known, *_other_bands(columns, bands, wavelength_nm or {})
        )
    except ValueError as fault:
        raise InputError(path, str(fault), "Correct the table of stars") from None


def _other_bands(
    columns: Columns, bands: tuple[str, ...], wavelength_nm: Mapping[str, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | tuple[None, None]:
    """Return magnitudes in bands that no visit has, and their wavelengths."""
    others = [b for b in wavelength_nm if b not in bands and f"mag_{b}" in columns]
    if not others:
        return None, None
    mag = np.stack([np.asarray(columns[f"mag_{b}"], float) for b in others], axis=1)
    mag = np.where(np.abs(mag) < _MAX_MAG, mag, np.nan)
    return mag, np.array([wavelength_nm[b] for b in others])


def read_observations_table(
    path: Path, visits: Visits, stars: Stars, camera: Camera
) -> ObservationRows:
    """Read the table of observations.

    Columns are ``star``, ``visit``, ``detector``; ``mag`` and ``mag_err`` (instrumental,
    -2.5 log10 of electrons a second) or ``flux`` and ``flux_err`` (electrons); ``u`` and ``v``
    (-1 to 1 over the detector) or ``x`` and ``y`` (pixels); if wanted, another flux of less noise
    to follow clouds by, as ``cloud_mag`` and ``cloud_mag_err`` or ``cloud_flux`` and
    ``cloud_flux_err``. Fluxes that are not positive, magnitudes that no star has (99) and places
    off the detector are unknown: NaN.

    Raises
    ------
    InputError
        If a column is missing.
    """
    columns = _filled_table(path)
    ids = np.array([d.id for d in camera.detectors])
    tables = {"star": stars.id, "visit": visits.id, "detector": ids}
    numbers = {n: _whole(columns, path, n, OBSERVATION_COLUMNS, gaps=True) for n in tables}
    rows = [_rows(table, numbers[name]) for name, table in tables.items()]
    kept = np.all([r >= 0 for r in rows], axis=0)
    star, visit, detector = (r[kept].astype(np.int32) for r in rows)
    given = {name: values[kept] for name, values in columns.items()}
    seconds = visits.exposure_time_s[visit]
    mag, err = _magnitudes(given, path, seconds)
    u, v = _places(given, path, detector, camera)
    second = _magnitudes(given, path, seconds, "cloud_") if _CLOUD & given.keys() else ()
    single = (a.astype(np.float32) for a in (err, u, v, *second))
    observations = Observations(star, visit, detector, mag, *single)
    given_ids = {name: values[kept] for name, values in numbers.items()}
    return ObservationRows(observations, given_ids, int(kept.size - kept.sum()))


def _filled_table(path: Path) -> dict[str, NDArray[Any]]:
    columns = dict(read_raw_table(path).columns)
    if not columns or not len(next(iter(columns.values()))):
        raise InputError(path, "it has no rows", "Check the table")
    return columns


def _whole(
    columns: Columns, path: Path, name: str, wanted: str, *, gaps: bool = False
) -> NDArray[np.int64]:
    """Return a column of whole numbers; where it may have gaps, the least integer stands there."""
    given = np.asarray(column_of(columns, path, name, wanted))
    try:
        if given.dtype.kind in "iubUS":
            return given.astype(np.int64)
        values = given.astype(np.float64)
    except ValueError:
        raise InputError(path, f"column {name!r} holds no whole numbers", "Number them") from None
    unknown = ~np.isfinite(values)
    wrong = (values != np.round(values)) & ~unknown | (unknown & (not gaps))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        problem = f"column {name!r} has {given[row]} in row {row}, which is no whole number"
        raise InputError(path, problem, "Number them")
    return np.where(unknown, np.iinfo(np.int64).min, np.where(unknown, 0, values).astype(np.int64))


def _texts(values: NDArray[Any]) -> list[str]:
    """Return values as texts; FITS files have bytes."""
    found = (v.decode() if isinstance(v, bytes) else str(v) for v in values.tolist())
    return [text.strip() for text in found]


def _truths(columns: Columns, path: Path, name: str, size: int) -> NDArray[np.bool_]:
    """Return a column of true and false, as such, as 1 and 0 or as texts; false without it."""
    if name not in columns:
        return np.zeros(size, np.bool_)
    values = np.asarray(columns[name])
    if values.dtype.kind == "b":
        return values
    texts = np.array([text.lower() for text in _texts(values)], np.str_)
    true, false = (np.isin(texts, kinds) for kinds in (_TRUE, _FALSE))
    if not (true | false).all():
        row = int(np.flatnonzero(~(true | false))[0])
        problem = f"column {name!r} has {texts[row]} in row {row}, neither true nor false"
        raise InputError(path, problem, "Write true or false, or 1 or 0")
    return np.asarray(true)


def _filters(columns: Columns, path: Path, camera: Camera) -> list[str]:
    """Return the filter of each visit; a band stands for its first filter."""
    if "physical_filter" in columns:
        known = {item.physical_filter: item.physical_filter for item in camera.filters}
    else:
        known = {i.band: i.physical_filter for i in reversed(camera.filters)}
    given = column_of(
        columns, path, "physical_filter" if "physical_filter" in columns else "band", VISIT_COLUMNS
    )
    names = _texts(given)
    for name in names:
        if name not in known:
            problem = f"the camera file has no filter {name!r}{suggest(name, known)}"
            raise InputError(path, problem, f"It has {', '.join(known)}")
    return [known[name] for name in names]


def _nights(columns: Columns, mjd: NDArray[np.float64], camera: Camera) -> NDArray[np.int32]:
    """Return the night of each visit: as given, as far as it is, else that of the local noon."""
    longitude = camera.observatory.longitude_deg or 0.0
    by_time = np.floor(np.nan_to_num(mjd) - 0.5 + longitude / 360).astype(np.int32)
    if "night" not in columns:
        return by_time
    given = np.asarray(columns["night"])
    if given.dtype.kind not in "iuf":
        given = np.array(_texts(given), np.str_)
        return _numbered(given, np.isin(np.char.lower(given), _NOTHING), by_time)
    unknown = ~np.isfinite(given)
    whole = np.where(unknown, 0, given)
    if unknown.any() or whole.min() < 0 or whole.max() >= _MAX_NIGHT or (whole % 1).any():
        return _numbered(whole, unknown, by_time)
    return whole.astype(np.int32)


def _numbered(
    label: NDArray[Any], unknown: NDArray[np.bool_], by_time: NDArray[np.int32]
) -> NDArray[np.int32]:
    """Return numbers from 0 for the labels of nights; where these are unknown the time tells.

    A visit of unknown night belongs to the night of others at the same date, if there is one.
    """
    night = np.full(label.size, -1, np.int64)
    names, night[~unknown] = np.unique(label[~unknown], return_inverse=True)
    of_date = dict(zip(by_time[~unknown].tolist(), night[~unknown].tolist(), strict=True))
    for date in np.unique(by_time[unknown]).tolist():
        mine = unknown & (by_time == date)
        night[mine] = of_date.setdefault(date, names.size + len(of_date))
    return np.unique(night, return_inverse=True)[1].astype(np.int32)


def _rows(table: NDArray[Any], values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where values stand in a table, -1 for those that do not."""
    if not table.size:
        return np.full(values.size, -1)
    order = np.argsort(table)
    place = np.minimum(np.searchsorted(table[order], values), table.size - 1)
    return np.where(table[order[place]] == values, order[place], -1)


def _magnitudes(
    columns: Columns, path: Path, exposure_time_s: NDArray[np.float64], prefix: str = ""
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return magnitudes and errors, of columns that begin with `prefix`."""

    def column(name: str) -> NDArray[np.float64]:
        return np.asarray(column_of(columns, path, prefix + name, OBSERVATION_COLUMNS), float)

    if f"{prefix}mag" in columns or f"{prefix}mag_err" in columns:
        mag, err = column("mag"), column("mag_err")
        return np.where(np.abs(mag) < _MAX_MAG, mag, np.nan), err
    flux, error = column("flux"), column("flux_err")
    flux = np.where(flux > 0, flux, np.nan)
    return -2.5 * np.log10(flux / exposure_time_s), MAG_PER_RELATIVE * error / flux


def _places(
    columns: Columns, path: Path, detector: NDArray[np.int32], camera: Camera
) -> list[NDArray[np.float64]]:
    """Return places from -1 to 1, NaN off the detector."""
    if "u" in columns and "v" in columns:
        u, v = (np.asarray(columns[n], float) for n in ("u", "v"))
    else:
        x, y = (
            np.asarray(column_of(columns, path, n, OBSERVATION_COLUMNS), float) for n in ("x", "y")
        )
        size = np.array([d.size_pix for d in camera.detectors], float)[detector]
        u, v = (2 * x + 1) / size[:, 0] - 1, (2 * y + 1) / size[:, 1] - 1
    inside = np.maximum(np.abs(u), np.abs(v)) <= _MAX_PLACE
    return [np.where(inside, w, np.nan) for w in (u, v)]
