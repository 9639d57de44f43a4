"""The tables of a global astrometric solution: observations, visits, detectors, stars.

Plain columns, checked once when they are made; numbers refer to rows by index, so that an
observation takes 40 bytes. Positions on the sky are astrometric places: neither aberration nor the
deflection of light is in them, as none is in a :class:`~drpflow.data.sky_wcs.SkyWcs`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

import numpy as np

from drpflow.data.columns import check_finite, check_same_length, check_unique, set_columns
from drpflow.data.earth_orbit import earth_position_au
from drpflow.data.record import frozen_array
from drpflow.data.sky_wcs import DETECTOR, OPTICS, detector_map, optics_map
from drpflow.data.tan_projection import TanProjection

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike, NDArray

    from drpflow.data.camera import Camera
    from drpflow.data.plane_maps import PlaneMap

    Floats: TypeAlias = NDArray[np.float64]
    Float32: TypeAlias = NDArray[np.float32]
    Int64: TypeAlias = NDArray[np.int64]
    Int32: TypeAlias = NDArray[np.int32]
    Int16: TypeAlias = NDArray[np.int16]
    Bools: TypeAlias = NDArray[np.bool_]
    Stages: TypeAlias = tuple[tuple[str, PlaneMap], ...]

ANY_PARALLAX_MAS = 1000.0
"""Error of a parallax of which nothing is known: more than that of any star."""


@dataclass(frozen=True, eq=False)
class Observations:
    """Stars seen by detectors, N rows in any order.

    Parameters
    ----------
    star, visit, detector
        Rows of :class:`Stars`, :class:`Visits` and :class:`Detectors`.
    x, y
        Centroid, pixels.
    xx, xy, yy
        Its covariance, square pixels.

    Raises
    ------
    ValueError
        If columns differ in length, or an index is negative.
    """

    star: Int32
    visit: Int32
    detector: Int32
    x: Floats
    y: Floats
    xx: Float32
    xy: Float32
    yy: Float32

    def __post_init__(self) -> None:
        set_columns(self, ("star", "visit", "detector"), np.int32)
        set_columns(self, ("x", "y"), np.float64)
        set_columns(self, ("xx", "xy", "yy"), np.float32)
        check_same_length(self, self.__dataclass_fields__)
        for name in ("star", "visit", "detector"):
            if len(self) and getattr(self, name).min() < 0:
                raise ValueError(f"observations: column '{name}' has a negative index")

    def __len__(self) -> int:
        return self.star.size

    def take(self, rows: NDArray[Any]) -> Observations:
        """Return the observations of the given rows (indices or a mask)."""
        return Observations(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


@dataclass(frozen=True, eq=False)
class Visits:
    """Exposures of the whole camera, V rows in any order.

    Parameters
    ----------
    bands
        Names of the bands.
    id
        Visit numbers, different from each other.
    mjd
        Middle of the exposure, TAI.
    band
        Row of `bands`.
    ra_deg, dec_deg, rotation_deg
        Where the optical axis points and the position angle of focal-plane +y, as well as it is
        known: the tangent plane in which the visit's map is found.
    x_axis
        Where focal-plane +x points when +y points north.
    instrument_epoch
        Counts times between which the camera was touched: detectors have maps of their own in
        each. All zero if not given.
    zenith
        (east, north) of the unit vector towards the zenith, times the tangent of the zenith
        distance, at the middle of the field; shape (V, 2). NaN where unknown.
    earth_au
        Barycentric position of the observer, ICRS axes, AU, shape (V, 3); the Earth's at `mjd` if
        not given.

    Raises
    ------
    ValueError
        If columns differ in length, an ID appears twice, a band is out of range, or a time or a
        pointing is not finite.
    """

    bands: tuple[str, ...]
    id: Int64
    mjd: Floats
    band: Int16
    ra_deg: Floats
    dec_deg: Floats
    rotation_deg: Floats
    x_axis: Literal["west", "east"] = "west"
    # The constructor fills in what is not given.
    instrument_epoch: Int16 = None  # type: ignore[assignment]
    zenith: Floats = None  # type: ignore[assignment]
    earth_au: Floats = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        object.__setattr__(self, "bands", tuple(self.bands))
        set_columns(self, ("id",), np.int64)
        set_columns(self, ("mjd", "ra_deg", "dec_deg", "rotation_deg"), np.float64)
        if self.instrument_epoch is None:
            object.__setattr__(self, "instrument_epoch", np.zeros(len(self), np.int16))
        set_columns(self, ("band", "instrument_epoch"), np.int16)
        floats = ("mjd", "ra_deg", "dec_deg", "rotation_deg")
        check_same_length(self, ("id", "band", "instrument_epoch", *floats))
        check_unique(self, "id")
        check_finite(self, floats)
        self._fill()
        if len(self) and not (self.band.min() >= 0 and self.band.max() < len(self.bands)):
            raise ValueError(f"visits: 'band' counts {self.bands}, but has {self.band.max()}")
        if len(self) and self.instrument_epoch.min() < 0:
            raise ValueError("visits: 'instrument_epoch' counts from 0")

    def _fill(self) -> None:
        """Put in what was not given, and check the shapes."""
        if self.zenith is None:
            object.__setattr__(self, "zenith", np.full((len(self), 2), np.nan))
        if self.earth_au is None:
            places = [earth_position_au(t) for t in self.mjd.tolist()]
            object.__setattr__(self, "earth_au", np.array(places).reshape(-1, 3))
        for name, width in (("zenith", 2), ("earth_au", 3)):
            values = frozen_array(getattr(self, name), np.float64, ndim=2)
            if values.shape != (len(self), width):
                raise ValueError(f"visits: '{name}' is (V, {width}), not {values.shape}")
            object.__setattr__(self, name, values)

    def __len__(self) -> int:
        return self.id.size

    def take(self, rows: NDArray[Any]) -> Visits:
        """Return the given visits (indices or a mask)."""
        names = [n for n in self.__dataclass_fields__ if n not in ("bands", "x_axis")]
        return replace(self, **{name: getattr(self, name)[rows] for name in names})

    def projection(self, visit: int) -> TanProjection:
        """Return the tangent plane of a visit (row)."""
        return TanProjection(
            self.ra_deg[visit], self.dec_deg[visit], self.rotation_deg[visit], self.x_axis
        )


@dataclass(frozen=True, eq=False)
class Detectors:
    """The camera as its file describes it, D rows.

    Parameters
    ----------
    id
        Numbers of the detectors.
    size_pix
        Columns and rows, shape (D, 2).
    stages
        For each detector, the maps from its pixels to the field, degrees, with their names, as in
        :class:`~drpflow.data.sky_wcs.SkyWcs`.

    Raises
    ------
    ValueError
        If columns differ in length, or a number appears twice.
    """

    id: Int32
    size_pix: Int32
    stages: tuple[Stages, ...]

    def __post_init__(self) -> None:
        set_columns(self, ("id",), np.int32)
        object.__setattr__(self, "size_pix", frozen_array(self.size_pix, np.int32, ndim=2))
        object.__setattr__(self, "stages", tuple(tuple(item) for item in self.stages))
        check_unique(self, "id")
        if self.size_pix.shape != (len(self), 2) or len(self.stages) != len(self):
            raise ValueError(
                f"detectors: {len(self)} numbers, sizes of the shape {self.size_pix.shape}, "
                f"maps of {len(self.stages)}"
            )

    @classmethod
    def from_camera(cls, camera: Camera, ids: Iterable[int] | None = None) -> Self:
        """Return detectors of a camera: all in its order, or those asked for."""
        numbers = [d.id for d in camera.detectors] if ids is None else list(ids)
        detectors = [camera.detector(number) for number in numbers]
        optics = optics_map(camera.optics)
        return cls(
            np.array(numbers, np.int32),
            np.array([d.size_pix for d in detectors], np.int32).reshape(-1, 2),
            tuple(((DETECTOR, detector_map(d)), (OPTICS, optics)) for d in detectors),
        )

    def __len__(self) -> int:
        return self.id.size

    def take(self, rows: NDArray[np.intp]) -> Detectors:
        """Return the detectors with the given indices."""
        stages = tuple(self.stages[row] for row in rows.tolist())
        return Detectors(self.id[rows], self.size_pix[rows], stages)

    def field(self, detector: int, x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
        """Return field coordinates, degrees, of pixels on a detector (row)."""
        u, v = np.asarray(x, np.float64), np.asarray(y, np.float64)
        for _, item in self.stages[detector]:
            u, v = item.forward(u, v)
        return u, v

    def jacobian(self, detector: int, x: ArrayLike, y: ArrayLike) -> Floats:
        """Return d(field)/d(pixel), deg/pix, shape (..., 2, 2)."""
        u, v = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(y, np.float64))
        total: Floats = np.broadcast_to(np.eye(2), (*u.shape, 2, 2))
        for _, item in self.stages[detector]:
            u, v, own = item.forward_with_jacobian(u, v)
            total = own @ total
        return total


@dataclass(frozen=True, eq=False)
class ReferenceAstrometry:
    """What a reference catalogue says of each of S stars; rows of NaN where it says nothing.

    Parameters
    ----------
    ra_deg, dec_deg
        Barycentric position at `epoch_mjd`.
    pm_ra, pm_dec
        Proper motion, mas/yr, cos dec included; NaN if unknown.
    parallax
        mas; NaN if unknown, or with an error of `ANY_PARALLAX_MAS`: what is known then is that the
        place depends on it.
    covariance
        Of (east, north, pm_ra, pm_dec, parallax), mas and mas/yr, shape (S, 5, 5). Rows and columns
        of what is unknown count for nothing.
    epoch_mjd
        Time of the positions, MJD TAI.

    Raises
    ------
    ValueError
        If columns differ in length.
    """

    ra_deg: Floats
    dec_deg: Floats
    pm_ra: Floats
    pm_dec: Floats
    parallax: Floats
    covariance: Floats
    epoch_mjd: Floats

    def __post_init__(self) -> None:
        names = ("ra_deg", "dec_deg", "pm_ra", "pm_dec", "parallax", "epoch_mjd")
        set_columns(self, names, np.float64)
        check_same_length(self, names)
        covariance = frozen_array(self.covariance, np.float64, ndim=3)
        if covariance.shape != (len(self), 5, 5):
            raise ValueError(f"reference: covariances are (S, 5, 5), not {covariance.shape}")
        object.__setattr__(self, "covariance", covariance)

    def __len__(self) -> int:
        return self.ra_deg.size

    def take(self, rows: NDArray[Any]) -> ReferenceAstrometry:
        """Return the given rows (indices or a mask)."""
        return ReferenceAstrometry(
            *(getattr(self, name)[rows] for name in self.__dataclass_fields__)
        )

    @property
    def known(self) -> Bools:
        """Which stars have a position with an error in the catalogue."""
        return self.told[:, 0]

    @property
    def told(self) -> Bools:
        """Which of position, proper motion and parallax are told of each star, shape (S, 5)."""
        values = (self.ra_deg, self.dec_deg, self.pm_ra, self.pm_dec, self.parallax)
        diagonal = np.einsum("sii->si", self.covariance)
        told = np.isfinite(np.stack(values, axis=1)) & (diagonal > 0)
        told[:, 4] &= diagonal[:, 4] < ANY_PARALLAX_MAS**2
        position = told[:, :2].all(axis=1) & np.isfinite(self.epoch_mjd)
        told[:, :2] = True
        return told & position[:, None]


@dataclass(frozen=True, eq=False)
class Stars:
    """Isolated stars, S rows.

    Parameters
    ----------
    id
        Numbers of the stars, different from each other.
    ra_deg, dec_deg
        Position to start from, good to an arcsecond or so.
    color
        Colour that tells the refraction, mag; NaN where unknown.
    reserved
        Kept out of the fit of the maps, for validation.
    reference
        What a catalogue says of them, rows alike; None if there is no catalogue.

    Raises
    ------
    ValueError
        If columns differ in length, a number appears twice, or a position is not finite.
    """

    id: Int64
    ra_deg: Floats
    dec_deg: Floats
    color: Floats
    reserved: Bools
    reference: ReferenceAstrometry | None = None

    def __post_init__(self) -> None:
        set_columns(self, ("id",), np.int64)
        set_columns(self, ("ra_deg", "dec_deg", "color"), np.float64)
        set_columns(self, ("reserved",), np.bool_)
        check_same_length(self, ("id", "ra_deg", "dec_deg", "color", "reserved"))
        check_unique(self, "id")
        check_finite(self, ("ra_deg", "dec_deg"))
        if self.reference is not None and len(self.reference) != len(self):
            raise ValueError(
                f"stars: {len(self)} stars, {len(self.reference)} rows of the reference"
            )

    def __len__(self) -> int:
        return self.id.size

    def take(self, rows: NDArray[Any]) -> Stars:
        """Return the given stars (indices or a mask)."""
        names = ("id", "ra_deg", "dec_deg", "color", "reserved")
        columns = {name: getattr(self, name)[rows] for name in names}
        reference = None if self.reference is None else self.reference.take(rows)
        return replace(self, **columns, reference=reference)

    def without_reference(self) -> Stars:
        """Return the stars as if there were no reference catalogue."""
        return replace(self, reference=None)


def check_tables(
    observations: Observations, visits: Visits, detectors: Detectors, stars: Stars
) -> None:
    """Check that the tables belong together.

    Raises
    ------
    ValueError
        If an index points beyond its table.
    """
    for name, limit in (("star", stars), ("visit", visits), ("detector", detectors)):
        column = getattr(observations, name)
        if column.size and column.max() >= len(limit):
            raise ValueError(f"observations: '{name}' {column.max()} of {len(limit)} rows")
