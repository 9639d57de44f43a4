"""How the sky is cut into tracts: rings, HEALPix pixels, or one field.

A layout says where its tracts are, how far each reaches, and whose each place of the sky is.
Each place of the sky is the own of one tract at most; tracts overlap beyond that.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.data.healpix import pixel_centers_deg, pixel_radius_deg, pixels_of_deg
from drpflow.data.tan_projection import TanProjection

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from drpflow.config.sky_map import FieldConfig

    Floats: TypeAlias = NDArray[np.float64]
    Integers: TypeAlias = NDArray[np.int64]

# Points on a side of a tract's own part of the sky from which its size on the plane is taken. The
# sides bulge by less than 1e-3 of themselves between two.
_POINTS_A_SIDE = 129
# The pixels of a HEALPix tract are followed to so many orders more.
_FINER = 5
_DEG_PER_RAD = 180 / np.pi


class Layout(ABC):
    """Tracts numbered from 0."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of tracts."""

    @abstractmethod
    def projection(self, tract: int) -> TanProjection:
        """Return the tangent plane of a tract; its tangent point is the centre of the tract."""

    @abstractmethod
    def half_size_deg(self, tract: int) -> tuple[float, float]:
        """Return half of width and height of a tract on its tangent plane, without overlap."""

    @abstractmethod
    def centers_deg(self) -> tuple[Floats, Floats]:
        """Return the centres of all tracts."""

    @abstractmethod
    def owner(self, ra_deg: ArrayLike, dec_deg: ArrayLike) -> Integers:
        """Return the tracts whose own places are; -1 where there is none."""

    @property
    @abstractmethod
    def reach_deg(self) -> float:
        """Upper limit of the distance from a tract's centre to its farthest point, no overlap."""


class Rings(Layout):
    """Rings of equal height in declination, cut into tracts of about that width, and two poles.

    Tract 0 is about the south pole, the last about the north pole; between them rings go from
    south to north and each to the east. With 120 rings these are the 18,938 tracts of the sky
    map that LSST uses, under the same numbers.

    Parameters
    ----------
    rings
        Number of rings.
    first_ra_deg
        Right ascension of the centre of each ring's first tract.
    """

    def __init__(self, rings: int, first_ra_deg: float = 0.0) -> None:
        self.height_deg = 180.0 / (rings + 1)
        """Height of a ring, and diameter of a polar tract."""
        self._first_ra = first_ra_deg
        south = -90.0 + self.height_deg * (np.arange(rings) + 0.5)
        self._dec = south + self.height_deg / 2
        # A ring is widest at its edge nearest to the equator.
        edge = np.minimum(np.abs(south), np.abs(south + self.height_deg))
        around = 360.0 * np.cos(np.radians(edge)) / self.height_deg
        self._count = around.astype(np.int64) + 1
        self._start = np.concatenate([[1], 1 + np.cumsum(self._count)])

    @property
    def size(self) -> int:
        """Number of tracts."""
        return int(self._start[-1]) + 1

    def projection(self, tract: int) -> TanProjection:
        """Return the tangent plane of a tract, north up and east to the left."""
        if tract in (0, self.size - 1):
            return TanProjection(0.0, -90.0 if tract == 0 else 90.0, x_axis="west")
        ring = self._ring_of(tract)
        ra = self._first_ra + (tract - self._start[ring]) * 360.0 / self._count[ring]
        return TanProjection(float(ra % 360.0), float(self._dec[ring]), x_axis="west")

    def half_size_deg(self, tract: int) -> tuple[float, float]:
        """Return half of width and height of a tract on its tangent plane, without overlap."""
        if tract in (0, self.size - 1):
            half = float(np.tan(np.radians(self.height_deg / 2)) * _DEG_PER_RAD)
            return half, half
        ring = self._ring_of(tract)
        step = np.linspace(-0.5, 0.5, _POINTS_A_SIDE)
        ra = 360.0 / self._count[ring] * step
        dec = self._dec[ring] + self.height_deg * step
        outline = np.concatenate(
            [np.stack([ra, np.full_like(ra, d)], axis=1) for d in (dec[0], dec[-1])]
            + [np.stack([np.full_like(dec, a), dec], axis=1) for a in (ra[0], ra[-1])]
        )
        plane = TanProjection(0.0, float(self._dec[ring]))
        xi, eta = np.abs(plane.from_sky(*outline.T))
        return float(xi.max()), float(eta.max())

    def centers_deg(self) -> tuple[Floats, Floats]:
        """Return the centres of all tracts."""
        inner = [self._first_ra + np.arange(n) * 360.0 / n for n in self._count]
        ra = np.concatenate([[0.0], *inner, [0.0]]) % 360.0
        dec = np.concatenate([[-90.0], np.repeat(self._dec, self._count), [90.0]])
        return ra, dec

    def owner(self, ra_deg: ArrayLike, dec_deg: ArrayLike) -> Integers:
        """Return the tracts whose own places are."""
        ra, dec = np.broadcast_arrays(np.asarray(ra_deg, float), np.asarray(dec_deg, float))
        ring = np.floor((dec + 90.0) / self.height_deg - 0.5).astype(np.int64)
        inner = np.clip(ring, 0, len(self._count) - 1)
        count = self._count[inner]
        turn = ((ra - self._first_ra) / 360.0 * count + 0.5) % count
        tract = self._start[inner] + np.minimum(turn.astype(np.int64), count - 1)
        tract = np.where(ring < 0, 0, tract)
        return np.where(ring >= len(self._count), self.size - 1, tract)

    @cached_property
    def reach_deg(self) -> float:
        """Distance from a tract's centre to its farthest point, without overlap: the largest."""
        ends = (0, *map(int, self._start[:-1]))
        return max(_reach(*self.half_size_deg(tract)) for tract in ends)

    def _ring_of(self, tract: int) -> int:
        return int(np.searchsorted(self._start, tract, side="right")) - 1


class Healpix(Layout):
    """HEALPix pixels, in the nested scheme.

    Parameters
    ----------
    order
        Resolution.
    """

    def __init__(self, order: int) -> None:
        self._order = order

    @property
    def size(self) -> int:
        """Number of tracts."""
        return 12 << 2 * self._order

    def projection(self, tract: int) -> TanProjection:
        """Return the tangent plane of a tract, north up and east to the left."""
        ra, dec = pixel_centers_deg(self._order, tract)
        return TanProjection(float(ra), float(dec), x_axis="west")

    def half_size_deg(self, tract: int) -> tuple[float, float]:
        """Return half of width and height of a tract on its tangent plane, without overlap."""
        parts = (tract << 2 * _FINER) + np.arange(1 << 2 * _FINER)
        ra, dec = pixel_centers_deg(self._order + _FINER, parts)
        xi, eta = np.abs(self.projection(tract).from_sky(ra, dec))
        # Parts are small: 1.1 allows for the plane's scale at its edge, at most 1.07.
        more = 1.1 * pixel_radius_deg(self._order + _FINER)
        return float(xi.max()) + more, float(eta.max()) + more

    def centers_deg(self) -> tuple[Floats, Floats]:
        """Return the centres of all tracts."""
        return pixel_centers_deg(self._order, np.arange(self.size))

    def owner(self, ra_deg: ArrayLike, dec_deg: ArrayLike) -> Integers:
        """Return the tracts whose own places are."""
        return pixels_of_deg(self._order, ra_deg, dec_deg)

    @property
    def reach_deg(self) -> float:
        """Upper limit of the distance from a tract's centre to its farthest point, no overlap.

        To a corner of the square about the circle that holds every pixel.
        """
        side = 1.1 * (pixel_radius_deg(self._order) + pixel_radius_deg(self._order + _FINER))
        return _reach(side, side)


class Field(Layout):
    """One tract.

    Parameters
    ----------
    field
        Where it is, and how large.
    """

    def __init__(self, field: FieldConfig) -> None:
        self._half = field.width_deg / 2, field.height_deg / 2
        self._projection = TanProjection(
            field.ra_deg, field.dec_deg, field.rotation_deg, x_axis="west"
        )

    @property
    def size(self) -> int:
        """Number of tracts."""
        return 1

    def projection(self, tract: int) -> TanProjection:  # noqa: ARG002 - there is one
        """Return the tangent plane of the tract."""
        return self._projection

    def half_size_deg(self, tract: int) -> tuple[float, float]:  # noqa: ARG002
        """Return half of width and height of the tract on its tangent plane."""
        return self._half

    def centers_deg(self) -> tuple[Floats, Floats]:
        """Return the centre of the tract."""
        return np.array([self._projection.ra_deg]), np.array([self._projection.dec_deg])

    def owner(self, ra_deg: ArrayLike, dec_deg: ArrayLike) -> Integers:
        """Return 0 in the field, and -1 elsewhere."""
        x, y = self._projection.from_sky(ra_deg, dec_deg)
        inside = (np.abs(x) <= self._half[0]) & (np.abs(y) <= self._half[1])
        return np.where(inside, 0, -1).astype(np.int64)

    @property
    def reach_deg(self) -> float:
        """Distance from the centre to a corner."""
        return _reach(*self._half)


def _reach(half_width: float, half_height: float) -> float:
    """Return the distance on the sky of a rectangle's corner on the plane, degrees."""
    return float(np.degrees(np.arctan(np.hypot(half_width, half_height) / _DEG_PER_RAD)))
