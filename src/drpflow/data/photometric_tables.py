"""The tables of a global photometric calibration: observations, visits, detectors, stars.

Plain columns, checked once when they are made; numbers refer to rows by index, so that 10⁹
observations stay at 32 bytes each, 40 with a second flux for the clouds. Magnitudes are
instrumental, ``-2.5 log10(electron/s)``; the magnitude of a star above the atmosphere is such a
magnitude plus a zero point.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drpflow.data.columns import check_same_length, set_columns
from drpflow.data.record import frozen_array

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike, NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Float32: TypeAlias = NDArray[np.float32]
    Int32: TypeAlias = NDArray[np.int32]
    Int16: TypeAlias = NDArray[np.int16]
    Bools: TypeAlias = NDArray[np.bool_]

_HOURS_PER_DAY = 24.0


@dataclass(frozen=True, eq=False)
class Observations:
    """Stars seen by detectors, N rows in any order.

    Parameters
    ----------
    star, visit, detector
        Rows of :class:`Stars`, :class:`Visits` and :class:`Detectors`.
    mag, mag_err
        Instrumental magnitude ``-2.5 log10(electron/s)`` and its error, mag; NaN where the flux
        was not positive or not measured.
    u, v
        Place on the detector, -1 to 1 from edge to edge along x and y.
    cloud_mag, cloud_mag_err
        The same light measured with less noise, as a magnitude on any scale that is even over a
        detector image (such as a PSF flux), and its error; NaN where unknown. It tells where
        clouds are within an image, and nothing else. None without; both or neither.

    Raises
    ------
    ValueError
        If columns differ in length, an index is negative, or one of the cloud's columns stands
        alone.
    """

    star: Int32
    visit: Int32
    detector: Int32
    mag: Floats
    mag_err: Float32
    u: Float32
    v: Float32
    cloud_mag: Float32 | None = None
    cloud_mag_err: Float32 | None = None

    def __post_init__(self) -> None:
        if (self.cloud_mag is None) != (self.cloud_mag_err is None):
            raise ValueError("observations: 'cloud_mag' comes with 'cloud_mag_err'")
        second = () if self.cloud_mag is None else ("cloud_mag", "cloud_mag_err")
        set_columns(self, ("star", "visit", "detector"), np.int32)
        set_columns(self, ("mag",), np.float64)
        set_columns(self, ("mag_err", "u", "v", *second), np.float32)
        names = ("star", "visit", "detector", "mag", "mag_err", "u", "v", *second)
        check_same_length(self, names)
        for name in ("star", "visit", "detector"):
            if len(self) and getattr(self, name).min() < 0:
                raise ValueError(f"observations: column '{name}' has a negative index")

    def __len__(self) -> int:
        return self.star.size

    def take(self, rows: NDArray[Any]) -> Observations:
        """Return the observations of the given rows (indices or a mask)."""
        columns = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return Observations(**{n: c[rows] for n, c in columns.items() if c is not None})


@dataclass(frozen=True, eq=False)
class Visits:
    """Exposures of the whole camera, V rows in any order.

    Parameters
    ----------
    bands
        Names of the bands, in the order in which everything else counts them.
    id
        Visit numbers, different from each other.
    night
        Night of the visit, not negative (a calendar date or a count).
    mjd
        Middle of the exposure, TAI.
    band
        Row of `bands`.
    airmass
        sec z at the middle of the field and of the exposure.
    exposure_time_s
        Length of the exposure.
    ra_deg, dec_deg
        Boresight.
    fwhm_arcsec
        Seeing; NaN where unknown.
    pressure_hpa
        At the ground; NaN where unknown.
    hour
        Hours since a time of the night common to the visits of that night; made from `mjd` if not
        given.
    detector_airmass
        sec z of each detector's centre, shape (V, D); that of the visit if not given.
    physical_filters, physical_filter
        Names of the filters and each visit's; the bands if not given. Several filters may share a
        band.

    Raises
    ------
    ValueError
        If columns differ in length, an ID appears twice, a band is out of range, or an airmass or
        time is not finite.
    """

    bands: tuple[str, ...]
    id: NDArray[np.int64]
    night: Int32
    mjd: Floats
    band: Int16
    airmass: Floats
    exposure_time_s: Floats
    ra_deg: Floats
    dec_deg: Floats
    # The constructor fills in what is not given.
    fwhm_arcsec: Floats = None  # type: ignore[assignment]
    pressure_hpa: Floats = None  # type: ignore[assignment]
    hour: Floats = None  # type: ignore[assignment]
    detector_airmass: Floats | None = None
    physical_filters: tuple[str, ...] = ()
    physical_filter: Int16 = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        set_columns(self, ("id",), np.int64)
        set_columns(self, ("night",), np.int32)
        set_columns(self, ("band",), np.int16)
        object.__setattr__(self, "bands", tuple(self.bands))
        self._fill()
        floats = ("mjd", "airmass", "exposure_time_s", "ra_deg", "dec_deg")
        set_columns(self, (*floats, "fwhm_arcsec", "pressure_hpa", "hour"), np.float64)
        set_columns(self, ("physical_filter",), np.int16)
        names = ("id", "night", "band", "physical_filter", *floats)
        check_same_length(self, (*names, "fwhm_arcsec", "pressure_hpa", "hour"))
        self._check(floats)

    def _fill(self) -> None:
        """Put in what was not given."""
        n = np.size(self.id)
        unknown = np.full(n, np.nan)
        filled: dict[str, Any] = {"fwhm_arcsec": unknown, "pressure_hpa": unknown}
        filled["hour"] = _hours(np.asarray(self.night), np.asarray(self.mjd, np.float64))
        filled["physical_filter"] = self.band
        for name, value in filled.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        object.__setattr__(self, "physical_filters", tuple(self.physical_filters) or self.bands)
        if self.detector_airmass is not None:
            object.__setattr__(
                self, "detector_airmass", frozen_array(self.detector_airmass, np.float64, ndim=2)
            )

    def _check(self, finite: Iterable[str]) -> None:
        if np.unique(self.id).size != len(self):
            raise ValueError("visits: a visit ID appears twice")
        for name, limit in (("band", self.bands), ("physical_filter", self.physical_filters)):
            column = getattr(self, name)
            if len(self) and not (column.min() >= 0 and column.max() < len(limit)):
                raise ValueError(f"visits: '{name}' counts {limit}, but has {column.max()}")
        for name in finite:
            if not np.isfinite(getattr(self, name)).all():
                raise ValueError(f"visits: column '{name}' has values that are not finite")
        if len(self) and self.night.min() < 0:
            raise ValueError(f"visits: nights are not negative, but one is {self.night.min()}")
        if len(self) and (self.airmass.min() < 0.99 or self.exposure_time_s.min() <= 0):
            raise ValueError("visits: airmass is at least 1, exposure times are positive")
        by_detector = self.detector_airmass
        if by_detector is not None and len(by_detector) != len(self):
            raise ValueError(f"visits: {len(by_detector)} rows of airmass for {len(self)} visits")

    def __len__(self) -> int:
        return int(np.size(self.id))


@dataclass(frozen=True, eq=False)
class Detectors:
    """Where the detectors stand in the field, D rows.

    Parameters
    ----------
    id
        Numbers of the detectors.
    x_deg, y_deg
        Field angles of the centres, deg.
    matrix
        Field angle less that of the centre, per (u, v): deg, shape (D, 2, 2).

    Raises
    ------
    ValueError
        If columns differ in length, or a number appears twice.
    """

    id: Int32
    x_deg: Floats
    y_deg: Floats
    matrix: Floats

    def __post_init__(self) -> None:
        set_columns(self, ("id",), np.int32)
        set_columns(self, ("x_deg", "y_deg"), np.float64)
        object.__setattr__(self, "matrix", frozen_array(self.matrix, np.float64, ndim=3))
        check_same_length(self, ("id", "x_deg", "y_deg"))
        if self.matrix.shape != (len(self), 2, 2):
            raise ValueError(f"detectors: a matrix is (D, 2, 2), not {self.matrix.shape}")
        if np.unique(self.id).size != len(self):
            raise ValueError("detectors: a detector appears twice")

    def __len__(self) -> int:
        return self.id.size

    @property
    def radius_deg(self) -> float:
        """Distance of the farthest corner of a detector from the middle of the field."""
        if len(self) == 0:
            return 0.0
        corners = np.array([(1, 1), (1, -1), (-1, 1), (-1, -1)], np.float64)
        x, y = self.field(np.arange(len(self))[:, None], corners[:, 0], corners[:, 1])
        return float(np.hypot(x, y).max())

    def field(self, detector: ArrayLike, u: ArrayLike, v: ArrayLike) -> tuple[Floats, Floats]:
        """Return field angles, deg, of places on detectors (rows); shapes broadcast."""
        row, u, v = np.asarray(detector), np.asarray(u), np.asarray(v)
        m = self.matrix[row]
        return (
            self.x_deg[row] + m[..., 0, 0] * u + m[..., 0, 1] * v,
            self.y_deg[row] + m[..., 1, 0] * u + m[..., 1, 1] * v,
        )


@dataclass(frozen=True, eq=False)
class Stars:
    """Isolated stars, S rows.

    Parameters
    ----------
    id
        Numbers of the stars, different from each other.
    ra, dec
        Position, deg.
    reserved
        Kept out of every fit, for validation.
    reference_mag, reference_err
        AB magnitudes of a reference catalogue and errors, shape (S, B) with B the bands of
        :class:`Visits`; NaN where there is none. None if there is no catalogue.
    color_mag, color_wavelength_nm
        AB magnitudes of the catalogue in other bands, shape (S, C), and the effective wavelengths
        of these, (C,): they tell colours where the visits do not. None without.

    Raises
    ------
    ValueError
        If columns differ in length, or a number appears twice.
    """

    id: NDArray[np.int64]
    ra: Floats
    dec: Floats
    reserved: Bools
    reference_mag: Floats | None = None
    reference_err: Floats | None = None
    color_mag: Floats | None = None
    color_wavelength_nm: Floats | None = None

    def __post_init__(self) -> None:
        set_columns(self, ("id",), np.int64)
        set_columns(self, ("ra", "dec"), np.float64)
        set_columns(self, ("reserved",), np.bool_)
        check_same_length(self, ("id", "ra", "dec", "reserved"))
        if np.unique(self.id).size != len(self):
            raise ValueError("stars: a star appears twice")
        if (self.reference_mag is None) != (self.reference_err is None):
            raise ValueError("stars: reference magnitudes come with their errors")
        self._check_references()
        self._check_colors()

    def _check_references(self) -> None:
        if self.reference_mag is None or self.reference_err is None:
            return
        mag, err = (
            frozen_array(values, np.float64, ndim=2)
            for values in (self.reference_mag, self.reference_err)
        )
        if mag.shape != err.shape or len(mag) != len(self):
            raise ValueError(
                f"stars: {len(self)} stars, reference magnitudes {mag.shape}, errors {err.shape}"
            )
        object.__setattr__(self, "reference_mag", mag)
        object.__setattr__(self, "reference_err", err)

    def _check_colors(self) -> None:
        if (self.color_mag is None) != (self.color_wavelength_nm is None):
            raise ValueError("stars: magnitudes in other bands come with their wavelengths")
        if self.color_mag is None or self.color_wavelength_nm is None:
            return
        mag = frozen_array(self.color_mag, np.float64, ndim=2)
        set_columns(self, ("color_wavelength_nm",), np.float64)
        if mag.shape != (len(self), self.color_wavelength_nm.size):
            raise ValueError(
                f"stars: {len(self)} stars, magnitudes in other bands {mag.shape}, "
                f"{self.color_wavelength_nm.size} wavelengths"
            )
        object.__setattr__(self, "color_mag", mag)

    def __len__(self) -> int:
        return self.id.size

    def without_reference(self) -> Stars:
        """Return the stars as if there were no reference catalogue."""
        return Stars(self.id, self.ra, self.dec, self.reserved)

    def catalog(self, wavelength_nm: Floats) -> tuple[Floats, Floats] | None:
        """Return all magnitudes of the catalogue, those of the visits' bands first.

        Parameters
        ----------
        wavelength_nm
            Effective wavelengths of the visits' bands, (B,).

        Returns
        -------
        mag : ndarray, shape (S, B + C)
            NaN where unknown.
        wavelength_nm : ndarray, shape (B + C,)
            Effective wavelengths.
        """
        if self.reference_mag is None and self.color_mag is None:
            return None
        mag = self.reference_mag
        if mag is None:
            mag = np.full((len(self), wavelength_nm.size), np.nan)
        if self.color_mag is None or self.color_wavelength_nm is None:
            return mag, wavelength_nm
        wavelengths = np.concatenate([wavelength_nm, self.color_wavelength_nm])
        return np.hstack([mag, self.color_mag]), wavelengths


def check_tables(
    observations: Observations, visits: Visits, detectors: Detectors, stars: Stars
) -> None:
    """Check that the tables belong together.

    Raises
    ------
    ValueError
        If an index points beyond its table, or bands or detectors do not agree in number.
    """
    for name, limit in (("star", stars), ("visit", visits), ("detector", detectors)):
        column = getattr(observations, name)
        if column.size and column.max() >= len(limit):
            raise ValueError(f"observations: '{name}' {column.max()} of {len(limit)} rows")
    if stars.reference_mag is not None and stars.reference_mag.shape[1] != len(visits.bands):
        raise ValueError(
            f"stars: reference magnitudes in {stars.reference_mag.shape[1]} bands, "
            f"the visits have {len(visits.bands)}"
        )
    airmass = visits.detector_airmass
    if airmass is not None and airmass.shape != (len(visits), len(detectors)):
        raise ValueError(
            f"visits: airmass of {airmass.shape[1]} detectors, there are {len(detectors)}"
        )


def _hours(night: NDArray[Any], mjd: Floats) -> Floats:
    """Return hours since the mean time of each night's visits."""
    _, index = np.unique(night, return_inverse=True)
    if index.size == 0:
        return np.zeros(0)
    mean = np.bincount(index, mjd) / np.bincount(index)
    return (mjd - mean[index]) * _HOURS_PER_DAY
