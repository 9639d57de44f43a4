"""Stars of known position and brightness, and where they stand at an epoch.

Positions move along straight lines in space (unit vectors, so that poles and the meridian of
right ascension zero are places like any other), and the annual parallax shifts them for an
observer on the Earth. What a catalogue does not know is NaN.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

import numpy as np

from drpflow.data.earth_orbit import earth_position_au
from drpflow.data.sky_geometry import in_circle_deg
from drpflow.errors import suggest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

    Floats: TypeAlias = NDArray[np.float64]

_MAS_PER_RAD = 180 * 3600e3 / np.pi
_DAYS_PER_YEAR = 365.25
_NJY_ZERO_POINT_MAG = 31.4

OPTIONAL_COLUMNS = (
    "ra_err",
    "dec_err",
    "pm_ra",
    "pm_dec",
    "pm_ra_err",
    "pm_dec_err",
    "parallax",
    "parallax_err",
)
"""Columns that a catalogue may lack; they are NaN then."""
ASTROMETRY = ("ra", "dec", "pm_ra", "pm_dec", "parallax")
"""What a catalogue may know of where a star is."""
CORRELATION_COLUMNS = tuple(
    f"{one}_{other}_corr" for k, one in enumerate(ASTROMETRY) for other in ASTROMETRY[k + 1 :]
)
"""Correlations of their errors; a catalogue that lacks one has zero."""


@dataclass(frozen=True, eq=False)
class ReferenceStars:
    """Reference stars, columns of length N; NaN stands for unknown.

    Parameters
    ----------
    id
        Numbers of the stars.
    ra, dec
        Position, ICRS, deg.
    epoch
        Of the positions, MJD TAI.
    ra_err, dec_err
        Errors of the position on the sky (``ra_err`` holds cos dec), mas.
    pm_ra, pm_dec, pm_ra_err, pm_dec_err
        Proper motion (``pm_ra`` holds cos dec) and errors, mas/yr; NaN counts as no motion.
    parallax, parallax_err
        Annual parallax and error, mas; NaN counts as zero.
    flux_njy, flux_err_njy
        AB flux and error by band, nJy.
    observer
        From where the positions are seen.
    correlation
        Correlations of the errors of `ASTROMETRY` by the names of `CORRELATION_COLUMNS`; what is
        not there, or NaN, counts as zero.

    Raises
    ------
    ValueError
        If columns differ in length, or the bands of fluxes and errors differ.
    """

    id: NDArray[np.int64]
    ra: Floats
    dec: Floats
    epoch: Floats
    ra_err: Floats
    dec_err: Floats
    pm_ra: Floats
    pm_dec: Floats
    pm_ra_err: Floats
    pm_dec_err: Floats
    parallax: Floats
    parallax_err: Floats
    flux_njy: Mapping[str, Floats] = field(default_factory=dict)
    flux_err_njy: Mapping[str, Floats] = field(default_factory=dict)
    observer: Literal["barycenter", "earth"] = "barycenter"
    correlation: Mapping[str, Floats] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.id)
        if set(self.flux_njy) != set(self.flux_err_njy):
            raise ValueError("fluxes and their errors are of different bands")
        for name in _column_names():
            dtype = np.int64 if name == "id" else np.float64
            object.__setattr__(self, name, _column(getattr(self, name), n, name, dtype))
        for name in ("flux_njy", "flux_err_njy", "correlation"):
            bands = {b: _column(v, n, f"{name}[{b}]") for b, v in getattr(self, name).items()}
            object.__setattr__(self, name, MappingProxyType(bands))

    @classmethod
    def from_columns(
        cls,
        columns: Mapping[str, ArrayLike],
        observer: Literal["barycenter", "earth"] = "barycenter",
    ) -> Self:
        """Build a catalogue from the columns of a reference table.

        Parameters
        ----------
        columns
            ``id``, ``ra``, ``dec``, ``epoch``, any of `OPTIONAL_COLUMNS` and
            `CORRELATION_COLUMNS`, and ``flux_<band>`` with or without ``flux_<band>_err``. Other
            columns are passed over.
        observer
            From where the positions are seen.

        Raises
        ------
        KeyError
            If one of the first four is missing.
        """
        n = len(np.asarray(columns["id"]))
        missing = np.full(n, np.nan)
        values = {name: columns[name] for name in ("id", "ra", "dec", "epoch")}
        values |= {name: columns.get(name, missing) for name in OPTIONAL_COLUMNS}
        bands = bands_of(columns)
        fluxes = {b: columns[f"flux_{b}"] for b in bands}
        errors = {b: columns.get(f"flux_{b}_err", missing) for b in bands}
        correlation = {name: columns[name] for name in CORRELATION_COLUMNS if name in columns}
        given: dict[str, Any] = {**values, "correlation": correlation}
        return cls(**given, flux_njy=fluxes, flux_err_njy=errors, observer=observer)  # type: ignore[arg-type]

    def to_columns(self) -> dict[str, NDArray[Any]]:
        """Return the columns of a reference table, as :meth:`from_columns` takes them."""
        columns: dict[str, NDArray[Any]] = {name: getattr(self, name) for name in _column_names()}
        columns |= self.correlation
        for band in self.bands:
            columns[f"flux_{band}"] = self.flux_njy[band]
            columns[f"flux_{band}_err"] = self.flux_err_njy[band]
        return columns

    def __len__(self) -> int:
        return len(self.id)

    @property
    def bands(self) -> tuple[str, ...]:
        """Bands with fluxes."""
        return tuple(self.flux_njy)

    def select(self, rows: NDArray[np.bool_] | NDArray[np.integer[Any]] | slice) -> ReferenceStars:
        """Return the stars that a boolean array marks, or that an array of numbers lists."""
        return replace(
            self,
            **{name: getattr(self, name)[rows] for name in _column_names()},
            flux_njy={b: v[rows] for b, v in self.flux_njy.items()},
            flux_err_njy={b: v[rows] for b, v in self.flux_err_njy.items()},
            correlation={name: v[rows] for name, v in self.correlation.items()},
        )

    def covariance(self) -> Floats:
        """Return the covariances of `ASTROMETRY`, mas and mas/yr, shape (N, 5, 5).

        Rows and columns of what has no error are NaN.
        """
        sigma = np.stack([getattr(self, f"{name}_err") for name in ASTROMETRY], axis=1)
        matrix = np.tile(np.eye(5), (len(self), 1, 1))
        rows, columns = np.triu_indices(5, 1)
        for i, j, name in zip(rows, columns, CORRELATION_COLUMNS, strict=True):
            if name in self.correlation:
                matrix[:, i, j] = matrix[:, j, i] = _zero(self.correlation[name])
        return matrix * sigma[:, :, None] * sigma[:, None, :]

    def seen_from_au(self) -> Floats:
        """Return the barycentric places from which the positions are seen, AU, shape (N, 3)."""
        if self.observer == "barycenter":
            return np.zeros((len(self), 3))
        times, row = np.unique(self.epoch, return_inverse=True)
        return np.array([earth_position_au(t) for t in times]).reshape(-1, 3)[row]

    def within(self, ra_deg: float, dec_deg: float, radius_deg: float) -> NDArray[np.intp]:
        """Return the rows of the stars within an angle of a position."""
        offset = unit_vectors(self.ra, self.dec) - unit_vectors(ra_deg, dec_deg)
        # The chord of an angle: exact for small ones, where the cosine is not.
        chord = 2 * np.sin(np.radians(min(radius_deg, 180.0)) / 2)
        return np.flatnonzero(np.einsum("ij,ij->i", offset, offset) <= chord**2)

    def magnitude(self, band: str) -> Floats:
        """Return AB magnitudes, NaN where the flux is not positive.

        Raises
        ------
        KeyError
            If there are no fluxes in this band.
        """
        if band not in self.flux_njy:
            known, hint = ", ".join(self.bands) or "none", suggest(band, self.bands)
            raise KeyError(f"no reference fluxes in band {band!r}{hint} (there are: {known})")
        flux = self.flux_njy[band]
        with np.errstate(invalid="ignore"):
            return _NJY_ZERO_POINT_MAG - 2.5 * np.log10(np.where(flux > 0, flux, np.nan))

    def color(self, blue: str, red: str) -> Floats:
        """Return colours, magnitude in `blue` less that in `red`.

        Raises
        ------
        KeyError
            If there are no fluxes in one of the bands.
        """
        return self.magnitude(blue) - self.magnitude(red)

    def at_epoch(self, mjd: float, unknown_motion_mas_yr: float = 5.0) -> ReferenceStars:
        """Return the stars as they are seen from the Earth at a time.

        The direction is that of ``p + m Δt - ϖ E``: p the unit vector at the catalogue's epoch, m
        the proper motion as a vector (radial velocities neglected), ϖ the parallax and E the
        Earth's barycentric position in AU. Aberration and light deflection are not applied, as
        they are not by :class:`~drpflow.data.sky_wcs.SkyWcs`: astrometric places.

        Parameters
        ----------
        mjd
            Time, MJD TAI.
        unknown_motion_mas_yr
            Dispersion of the proper motions of stars whose own is NaN; it enters their errors.

        Notes
        -----
        Errors are those of the catalogue, of motion times Δt, and of the parallax times the
        parallax factor, added in quadrature without correlations, of which the result has none.
        Applied twice, it gives the positions of the second time alone: the parallax of the first
        is taken off again.
        """
        earth_au, seen_from_au = earth_position_au(mjd), self.seen_from_au()
        years = (mjd - self.epoch) / _DAYS_PER_YEAR
        east, north, seen = _local_axes(self.ra, self.dec)
        motion = _zero(self.pm_ra)[:, None] * east + _zero(self.pm_dec)[:, None] * north
        parallax = _zero(self.parallax)[:, None] / _MAS_PER_RAD
        path = _normalized(seen + parallax * seen_from_au) + motion * years[:, None] / _MAS_PER_RAD
        ra, dec = _ra_dec(_normalized(path) - parallax * earth_au)
        east, north, seen = _local_axes(ra, dec)
        new_motion = motion / np.linalg.norm(path, axis=1, keepdims=True)
        grown = {}
        for name, axis in (("ra", east), ("dec", north)):
            pm, pm_err = getattr(self, f"pm_{name}"), getattr(self, f"pm_{name}_err")
            unknown = np.where(np.isnan(pm), unknown_motion_mas_yr, _zero(pm_err))
            shift = _dot(axis, seen_from_au - earth_au) * _zero(self.parallax_err)
            error = getattr(self, f"{name}_err")
            grown[f"{name}_err"] = np.sqrt(error**2 + (years * unknown) ** 2 + shift**2)
            grown[f"pm_{name}"] = np.where(np.isnan(pm), np.nan, _dot(new_motion, axis))
        epoch = np.full(len(self), float(mjd))
        grown |= {"ra": ra, "dec": dec, "epoch": epoch}
        return replace(self, observer="earth", correlation={}, **grown)


def bands_of(columns: Mapping[str, Any]) -> list[str]:
    """Return the bands of the columns ``flux_<band>``, in order."""
    fluxes = [c.removeprefix("flux_") for c in columns if c.startswith("flux_")]
    return [b for b in fluxes if not (b.endswith("_err") and b.removesuffix("_err") in fluxes)]


def unit_vectors(ra_deg: ArrayLike, dec_deg: ArrayLike) -> Floats:
    """Return unit vectors of positions, shape (..., 3)."""
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


def _column_names() -> list[str]:
    apart = ("flux_njy", "flux_err_njy", "observer", "correlation")
    return [f.name for f in fields(ReferenceStars) if f.name not in apart]


def _column(values: ArrayLike, n: int, name: str, dtype: type = np.float64) -> NDArray[Any]:
    array: NDArray[Any] = np.asarray(values, dtype)
    if array.shape != (n,):
        raise ValueError(f"{name} has the shape {array.shape}, id has {n} rows")
    return array


def _local_axes(ra_deg: Floats, dec_deg: Floats) -> tuple[Floats, Floats, Floats]:
    """Return unit vectors to the east, to the north and to the stars, each of shape (N, 3)."""
    ra = np.radians(ra_deg)
    east = np.stack([-np.sin(ra), np.cos(ra), np.zeros_like(ra)], axis=1)
    direction = unit_vectors(ra_deg, dec_deg)
    return east, np.cross(direction, east), direction


def _ra_dec(vectors: Floats) -> tuple[Floats, Floats]:
    x, y, z = vectors.T
    return in_circle_deg(np.degrees(np.arctan2(y, x))), np.degrees(np.arctan2(z, np.hypot(x, y)))


def _zero(values: Floats) -> Floats:
    return np.where(np.isnan(values), 0.0, values)


def _dot(a: Floats, b: Floats) -> Floats:
    return np.asarray((a * b).sum(axis=1))


def _normalized(vectors: Floats) -> Floats:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
