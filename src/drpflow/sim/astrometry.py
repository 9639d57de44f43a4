"""From a star's place in the catalogue to the pixel under its image, and back.

The way of the light: proper motion and parallax; aberration; refraction towards the zenith;
the gnomonic projection about the (equally displaced) boresight; the rotator; the smooth
distortion and the turbulence of the visit; the true optics. The boresight is the ICRS direction
from which light of the reference wavelength falls on the centre of the field.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drpflow.sim.earth import earth_position_au, east_north, ra_dec_deg, unit_vector

if TYPE_CHECKING:
    from drpflow.sim.optics import TrueOptics
    from drpflow.sim.random_field import Field
    from drpflow.sim.refraction import Air

MAS_PER_RAD = 180.0 / np.pi * 3.6e6
DAYS_PER_YEAR = 365.25


def propagate(
    ra_deg: np.ndarray,
    dec_deg: np.ndarray,
    pm_ra_mas_per_year: np.ndarray,
    pm_dec_mas_per_year: np.ndarray,
    parallax_mas: np.ndarray,
    years: float,
    mjd_tai: float,
) -> np.ndarray:
    """Return the directions in which stars are seen from the Earth, shape (N, 3).

    Parameters
    ----------
    ra_deg, dec_deg
        Positions at the epoch of the catalogue.
    pm_ra_mas_per_year, pm_dec_mas_per_year
        Proper motions, cos dec included.
    parallax_mas
        Parallaxes.
    years
        Julian years since that epoch.
    mjd_tai
        Time of observation, for the parallax.
    """
    start = unit_vector(ra_deg, dec_deg)
    east, north = east_north(start)
    drift = pm_ra_mas_per_year[:, None] * east + pm_dec_mas_per_year[:, None] * north
    moved = start + drift * (years / MAS_PER_RAD)
    moved = moved - parallax_mas[:, None] / MAS_PER_RAD * earth_position_au(mjd_tai)
    return moved / np.linalg.norm(moved, axis=1, keepdims=True)


@dataclass(frozen=True)
class VisitGeometry:
    """How the sky of one visit falls on the field.

    Parameters
    ----------
    boresight
        ICRS unit vector of the centre of the field.
    rotation_deg
        Position angle of focal-plane +y, east of north.
    zenith
        ICRS unit vector of the zenith.
    air
        For refraction; None without it.
    wavelength_nm
        Whose refraction defines the boresight: the mean of the reference star's light.
    velocity_c
        Velocity of the observer over that of light; zeros without aberration.
    flexure_mas
        The visit's smooth distortion in x and y, shape (2, 5): coefficients of x, y, x², xy
        and y², coordinates over the field's radius.
    radius_deg
        The field's radius.
    turbulence
        Displacement field of unit variance; None without it.
    turbulence_mas
        Its rms.
    """

    boresight: np.ndarray
    rotation_deg: float
    zenith: np.ndarray
    air: Air | None
    wavelength_nm: float
    velocity_c: np.ndarray
    flexure_mas: np.ndarray
    radius_deg: float
    turbulence: Field | None
    turbulence_mas: float

    @property
    def zenith_deg(self) -> float:
        """True zenith distance of the boresight."""
        return float(np.rad2deg(np.arccos(np.clip(self.boresight @ self.zenith, -1, 1))))

    def reference_refraction(self, direction: np.ndarray) -> np.ndarray:
        """Return the refraction [arcsec] at the reference wavelength, shape (N,)."""
        if self.air is None:
            return np.zeros(direction.shape[:-1])
        zenith_deg = np.rad2deg(np.arccos(np.clip(direction @ self.zenith, -1, 1)))
        return self.air.refraction_arcsec(self.wavelength_nm, zenith_deg)

    def sky_to_field(
        self, direction: np.ndarray, color_ratio: np.ndarray | float = 1.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return field angles [deg], turbulence included.

        Parameters
        ----------
        direction
            ICRS unit vectors as seen from the Earth, shape (N, 3).
        color_ratio
            Refraction of each source over that at the reference wavelength.
        """
        x, y = self._project(self._observed(direction, color_ratio))
        dx, dy = self.displacement_deg(x, y)
        return x + dx, y + dy

    def field_to_sky(
        self, x_deg: np.ndarray, y_deg: np.ndarray, color_ratio: float = 1.0
    ) -> np.ndarray:
        """Undo :meth:`sky_to_field` (to 1e-6 arcsec), shape (N, 3)."""
        x, y = x_deg, y_deg
        for _ in range(6):
            dx, dy = self.displacement_deg(x, y)
            x, y = x_deg - dx, y_deg - dy
        observed = self._deproject(x, y)
        true = observed
        for _ in range(5):
            true = true + observed - self._observed(true, color_ratio)
            true = true / np.linalg.norm(true, axis=-1, keepdims=True)
        return true

    def displacement_deg(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the visit's own distortion and turbulence at field angles [deg]."""
        u, v = x / self.radius_deg, y / self.radius_deg
        terms = (u, v, u**2, u * v, v**2)
        dx = sum(c * t for c, t in zip(self.flexure_mas[0], terms, strict=True))
        dy = sum(c * t for c, t in zip(self.flexure_mas[1], terms, strict=True))
        if self.turbulence is not None:
            moved = self.turbulence(x, y) * self.turbulence_mas
            dx, dy = dx + moved[0], dy + moved[1]
        return np.asarray(dx / 3.6e6), np.asarray(dy / 3.6e6)

    def zenith_field_angle_deg(self) -> float:
        """Return the direction of the zenith in the field, from +x towards +y."""
        east, north = east_north(self.boresight)
        x, y = self._rotate(east @ self.zenith, north @ self.zenith)
        return float(np.rad2deg(np.arctan2(y, x)))

    def _observed(self, direction: np.ndarray, color_ratio: np.ndarray | float) -> np.ndarray:
        """Apply aberration, then refraction."""
        seen = direction + self.velocity_c
        seen = seen / np.linalg.norm(seen, axis=-1, keepdims=True)
        if self.air is None:
            return seen
        lift = np.deg2rad(self.reference_refraction(seen) * color_ratio / 3600.0)
        upward = self.zenith - (seen @ self.zenith)[..., None] * seen
        norm = np.linalg.norm(upward, axis=-1, keepdims=True)
        upward = upward / np.where(norm > 1e-12, norm, 1.0)
        return np.cos(lift)[..., None] * seen + np.sin(lift)[..., None] * upward

    def _basis(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the observed boresight and the ICRS east and north carried along with it."""
        center = self._observed(self.boresight[None, :], 1.0)[0]
        _, north = east_north(self.boresight)
        north = north - (north @ center) * center
        north = north / np.linalg.norm(north)
        return center, np.cross(north, center), north

    def _project(self, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        center, east, north = self._basis()
        depth = seen @ center
        xi, eta = np.rad2deg(seen @ east / depth), np.rad2deg(seen @ north / depth)
        return self._rotate(xi, eta)

    def _deproject(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        center, east, north = self._basis()
        c, s = np.cos(np.deg2rad(self.rotation_deg)), np.sin(np.deg2rad(self.rotation_deg))
        xi, eta = np.deg2rad(-x * c + y * s), np.deg2rad(x * s + y * c)
        seen = center + xi[..., None] * east + eta[..., None] * north
        return seen / np.linalg.norm(seen, axis=-1, keepdims=True)

    def _rotate(self, xi: np.ndarray, eta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Turn (east, north) into field angles: +x is west where +y is north."""
        c, s = np.cos(np.deg2rad(self.rotation_deg)), np.sin(np.deg2rad(self.rotation_deg))
        return -xi * c + eta * s, xi * s + eta * c


def sky_to_pixel(
    optics: TrueOptics,
    detector: int,
    geometry: VisitGeometry,
    direction: np.ndarray,
    color_ratio: np.ndarray | float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels under the images of sources (anywhere, also off the detector)."""
    field_x, field_y = geometry.sky_to_field(direction, color_ratio)
    return optics.detectors[detector].from_focal(*optics.field_to_focal(field_x, field_y))


def pixel_to_sky(
    optics: TrueOptics,
    detector: int,
    geometry: VisitGeometry,
    x: np.ndarray,
    y: np.ndarray,
    color_ratio: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ICRS place [deg] from which light falls on these pixels."""
    field_x, field_y = optics.focal_to_field(*optics.detectors[detector].to_focal(x, y))
    return ra_dec_deg(geometry.field_to_sky(field_x, field_y, color_ratio))
