"""The gnomonic (TAN) projection, by unit vectors.

Angles are never differenced, so that neither RA = 0/360 nor the poles are special, and an error
stays near 1e-16 of a radian (2e-11 arcsec) anywhere. See Calabretta & Greisen (2002, A&A 395,
1077), section 5.1.3, for the same projection in angles.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

import numpy as np

from drpflow.data.sky_geometry import in_circle_deg

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

    Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class TanProjection:
    """From field coordinates (fx, fy) to the sky.

    Field coordinates are those of the plane that touches the sphere at the tangent point, in
    degrees (radians of the plane times 180/π), in the frame of the camera:

    * x_axis ``"east"``: xi = fx cos t + fy sin t, eta = -fx sin t + fy cos t;
    * x_axis ``"west"``: xi = -fx cos t + fy sin t, eta = fx sin t + fy cos t,

    with xi east, eta north and t = `rotation_deg`, the position angle of +fy, east of north.

    Parameters
    ----------
    ra_deg, dec_deg
        The tangent point, ICRS.
    rotation_deg
        Position angle of +fy.
    x_axis
        Where +fx points when +fy points north.

    Raises
    ------
    ValueError
        If an angle is not finite, or the declination is beyond a pole.
    """

    ra_deg: float
    dec_deg: float
    rotation_deg: float = 0.0
    x_axis: Literal["east", "west"] = "east"

    def __post_init__(self) -> None:
        for name in ("ra_deg", "dec_deg", "rotation_deg"):
            object.__setattr__(self, name, float(getattr(self, name)))
        if not (np.isfinite([self.ra_deg, self.rotation_deg]).all() and abs(self.dec_deg) <= 90):
            raise ValueError(
                f"no tangent point: ra {self.ra_deg}, dec {self.dec_deg}, "
                f"rotation {self.rotation_deg} deg"
            )
        if self.x_axis not in ("east", "west"):
            raise ValueError(f"x_axis is 'east' or 'west', not {self.x_axis!r}")

    def to_sky(self, fx: ArrayLike, fy: ArrayLike) -> tuple[Floats, Floats]:
        """Return (ra, dec) in degrees, ra in [0, 360)."""
        vector = self._vector(fx, fy)
        ra = in_circle_deg(np.degrees(np.arctan2(vector[1], vector[0])))
        return ra, np.degrees(np.arctan2(vector[2], np.hypot(vector[0], vector[1])))[()]

    def from_sky(self, ra_deg: ArrayLike, dec_deg: ArrayLike) -> tuple[Floats, Floats]:
        """Return (fx, fy); NaN for points 90° or more from the tangent point."""
        vector = unit_vectors(ra_deg, dec_deg)
        depth, along_x, along_y = np.tensordot(self.axes, vector, axes=1)
        # Points at the horizon would be at 1e16 degrees; nothing there has a pixel.
        depth = np.where(depth > 1e-12, depth, np.nan)
        return np.degrees(along_x / depth)[()], np.degrees(along_y / depth)[()]

    def jacobian(self, fx: ArrayLike, fy: ArrayLike) -> Floats:
        """Return d(east, north)/d(fx, fy) on the sky at points, shape (..., 2, 2).

        With w = t + fx X + fy Y (t the tangent point, X and Y unit vectors of the field axes),
        the direction is w/|w| and a unit vector e at right angles to it has
        e · d(w/|w|)/d(fx) = e · X / |w|.
        """
        w = self._vector(fx, fy)
        horizontal = np.hypot(w[0], w[1])
        length = np.sqrt(w[0] ** 2 + w[1] ** 2 + w[2] ** 2)
        # At a pole east is where right ascension 90° points, as in to_sky.
        at_pole = horizontal == 0
        safe = np.where(at_pole, 1.0, horizontal)
        cos_ra, sin_ra = np.where(at_pole, 1.0, w[0] / safe), np.where(at_pole, 0.0, w[1] / safe)
        sin_dec, cos_dec = w[2] / length, horizontal / length
        local = np.array(
            [
                [-sin_ra, cos_ra, np.zeros_like(sin_ra)],
                [-sin_dec * cos_ra, -sin_dec * sin_ra, cos_dec],
            ]
        )
        # local: (2, 3, ...); field axes: (2, 3).
        return np.einsum("ik...,jk->...ij", local, self.axes[1:]) / length[..., None, None]

    def to_meta(self) -> dict[str, Any]:
        """Return the JSON-able form."""
        return {
            "ra_deg": self.ra_deg,
            "dec_deg": self.dec_deg,
            "rotation_deg": self.rotation_deg,
            "x_axis": self.x_axis,
        }

    @classmethod
    def from_meta(cls, meta: Mapping[str, Any]) -> Self:
        """Rebuild the projection from :meth:`to_meta`."""
        return cls(**meta)

    @cached_property
    def axes(self) -> Floats:
        """Unit vectors of the tangent point, +fx and +fy, shape (3, 3), one a row."""
        ra, dec, t = np.radians([self.ra_deg, self.dec_deg, self.rotation_deg])
        east = np.array([-np.sin(ra), np.cos(ra), 0.0])
        north = np.array([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)])
        along_x = east * np.cos(t) - north * np.sin(t)
        if self.x_axis == "west":
            along_x = -along_x
        along_y = east * np.sin(t) + north * np.cos(t)
        return np.array([unit_vectors(self.ra_deg, self.dec_deg), along_x, along_y])

    def _vector(self, fx: ArrayLike, fy: ArrayLike) -> Floats:
        """Return w = t + fx X + fy Y, shape (3, ...); not of unit length."""
        fx, fy = np.broadcast_arrays(np.radians(fx), np.radians(fy))
        t, along_x, along_y = self.axes
        shape = (3,) + (1,) * fx.ndim
        return t.reshape(shape) + along_x.reshape(shape) * fx + along_y.reshape(shape) * fy


def unit_vectors(ra_deg: ArrayLike, dec_deg: ArrayLike) -> Floats:
    """Return unit vectors, shape (3, ...)."""
    ra, dec = np.broadcast_arrays(np.radians(ra_deg), np.radians(dec_deg))
    return np.array([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])


def separation_deg(
    ra1_deg: ArrayLike, dec1_deg: ArrayLike, ra2_deg: ArrayLike, dec2_deg: ArrayLike
) -> Floats:
    """Return the angle between two directions, degrees, good to rounding at any distance.

    atan2(|a × b|, a · b): the arc cosine alone loses half the digits of small angles.
    """
    ra1_deg, dec1_deg, ra2_deg, dec2_deg = np.broadcast_arrays(ra1_deg, dec1_deg, ra2_deg, dec2_deg)
    a, b = unit_vectors(ra1_deg, dec1_deg), unit_vectors(ra2_deg, dec2_deg)
    cross = np.linalg.norm(np.cross(a, b, axis=0), axis=0)
    return np.degrees(np.arctan2(cross, (a * b).sum(axis=0)))[()]
