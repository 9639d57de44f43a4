"""The visits of an astrometric survey: pointings, bending, refraction, turbulence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drpflow.sim.earth import east_north, unit_vector
from drpflow.sim.random_field import Field, displacement_field
from drpflow.sim.streams import SkyStage, generator

if TYPE_CHECKING:
    from drpflow.sim.astrometric_config import AstrometricConfig, TurbulenceConfig

ZERO_COLOR = 0.6
"""Colour of the star that is not displaced by the dispersion of the air."""
_DEG_PER_HOUR = 15.041
_MAS_PER_DEG = 3.6e6
_ORDERS = [(n - j, j) for n in (2, 3) for j in range(n + 1)]
_ROUNDS = 8


@dataclass(frozen=True)
class WindyField:
    """A displacement by the air, stretched along the wind, of given rms.

    Parameters
    ----------
    field
        Of unit variance, without a direction.
    matrix
        A, symmetric, of determinant 1: the displacement is that of the delay φ(A x), so A ∇φ(A x).
    rms_mas
        Of each coordinate, averaged over both.
    """

    field: Field
    matrix: np.ndarray
    rms_mas: float

    def __call__(self, x_deg: np.ndarray, y_deg: np.ndarray) -> np.ndarray:
        """Return the displacement [deg] at field angles, shape (2, …)."""
        (a, b), (_, d) = self.matrix
        moved = self.field(a * x_deg + b * y_deg, b * x_deg + d * y_deg)
        norm = np.sqrt((self.matrix**2).sum() / 2)
        shift = np.stack([a * moved[0] + b * moved[1], b * moved[0] + d * moved[1]])
        return shift * (self.rms_mas / norm / _MAS_PER_DEG)


@dataclass(frozen=True)
class AstrometricVisit:
    """One visit as it truly was.

    Parameters
    ----------
    number, night, band
        Place in the survey, night, row of the bands.
    mjd
        Middle of the exposure, TAI.
    ra_deg, dec_deg, rotation_deg
        Boresight and position angle of the field's +y as the header tells them: the tangent plane.
    zenith
        Unit vector to the zenith, equatorial.
    seeing_arcsec
        FWHM.
    offset_deg
        Displacement in the tangent plane: the error of the boresight told, shape (2,).
    linear
        What turns, stretches and shears the field, shape (2, 2): field = (1 + linear) place.
    flexure_deg
        Coefficients of order 2 and 3 in places over the field's radius, shape (2, terms).
    radius_deg
        The field's radius.
    """

    number: int
    night: int
    band: int
    mjd: float
    ra_deg: float
    dec_deg: float
    rotation_deg: float
    zenith: np.ndarray
    seeing_arcsec: float
    offset_deg: np.ndarray
    linear: np.ndarray
    flexure_deg: np.ndarray
    radius_deg: float

    def plane(self, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return places in the tangent plane [deg] of unit vectors (N, 3), in camera axes."""
        east, north, out = self._axes()
        depth = direction @ out
        depth = np.where(depth > 0.1, depth, np.nan)
        xi, eta = (np.rad2deg(direction @ axis / depth) for axis in (east, north))
        return self._turned(xi, eta)

    def direction(self, x_deg: np.ndarray, y_deg: np.ndarray) -> np.ndarray:
        """Undo :meth:`plane`."""
        east, north, out = self._axes()
        t = np.deg2rad(self.rotation_deg)
        xi, eta = x_deg * np.cos(t) + y_deg * np.sin(t), -x_deg * np.sin(t) + y_deg * np.cos(t)
        vector = out + np.deg2rad(xi)[..., None] * east + np.deg2rad(eta)[..., None] * north
        return vector / np.linalg.norm(vector, axis=-1, keepdims=True)

    def lift_deg(self, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return tan z times the direction to the zenith, in camera axes, over 1 deg."""
        east, north = east_north(direction)
        height = np.maximum(direction @ self.zenith, 0.1)
        up = [(axis @ self.zenith) / height for axis in (east, north)]
        return self._turned(up[0], up[1])

    def zenith_tangent(self) -> np.ndarray:
        """Return (east, north) of the direction to the zenith times tan z, at the boresight."""
        out = unit_vector(self.ra_deg, self.dec_deg)
        east, north = east_north(out)
        return np.array([east @ self.zenith, north @ self.zenith]) / (out @ self.zenith)

    def to_field(
        self, x_deg: np.ndarray, y_deg: np.ndarray, air: WindyField | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return field angles of places in the tangent plane, as the optics see them."""
        dx, dy = self._shift(x_deg, y_deg, air)
        return x_deg + dx, y_deg + dy

    def from_field(
        self, x_deg: np.ndarray, y_deg: np.ndarray, air: WindyField | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Undo :meth:`to_field`."""
        px, py = x_deg, y_deg
        for _ in range(_ROUNDS):
            dx, dy = self._shift(px, py, air)
            px, py = x_deg - dx, y_deg - dy
        return px, py

    def _shift(
        self, x: np.ndarray, y: np.ndarray, air: WindyField | None
    ) -> tuple[np.ndarray, np.ndarray]:
        u, v = x / self.radius_deg, y / self.radius_deg
        powers = np.stack([u**i * v**j for i, j in _ORDERS])
        shift = np.tensordot(self.flexure_deg, powers, axes=1)
        shift += np.tensordot(self.linear, np.stack([x, y]), axes=1)
        shift += self.offset_deg.reshape(2, *(1,) * np.ndim(x))
        if air is not None:
            shift += air(x, y)
        return shift[0], shift[1]

    def _axes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        out = unit_vector(self.ra_deg, self.dec_deg)
        east, north = east_north(out)
        return east, north, out

    def _turned(self, xi: np.ndarray, eta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        t = np.deg2rad(self.rotation_deg)
        return xi * np.cos(t) - eta * np.sin(t), xi * np.sin(t) + eta * np.cos(t)


def draw_visits(config: AstrometricConfig, radius_deg: float) -> list[AstrometricVisit]:
    """Draw all visits in the order in which they were taken."""
    f, v = config.field, config.visits
    hours = (np.arange(v.visits_per_night) + 0.5) / v.visits_per_night - 0.5
    visits = []
    for number in range(len(v.days) * v.visits_per_night):
        night, k = divmod(number, v.visits_per_night)
        hour = float(hours[k] * v.hours)
        rng = generator(config.seed, SkyStage.POINTING, number)
        offset = rng.uniform(-0.5, 0.5, 2) * f.dither_deg
        dec = f.dec_deg + offset[1]
        rotation = rng.choice(f.rotations_deg) + rng.normal(0.0, f.rotation_jitter_deg)
        visits.append(
            AstrometricVisit(
                number=number,
                night=night,
                band=(k + night) % len(v.bands),
                mjd=v.first_mjd + v.days[night] + hour / 24,
                ra_deg=float((f.ra_deg + offset[0] / np.cos(np.deg2rad(dec))) % 360.0),
                dec_deg=float(dec),
                rotation_deg=float(rotation),
                zenith=unit_vector(f.ra_deg + hour * _DEG_PER_HOUR, v.latitude_deg),
                seeing_arcsec=float(rng.uniform(*config.noise.seeing_arcsec)),
                radius_deg=radius_deg,
                **_bending(config, number),
            )
        )
    return visits


def _bending(config: AstrometricConfig, number: int) -> dict[str, np.ndarray]:
    v = config.visits
    rng = generator(config.seed, SkyStage.FLEXURE, number)
    turn = np.deg2rad(rng.normal(0.0, v.turn_arcsec / 3600.0))
    # Of the polynomials' rms over a disc, that at the rim is some twice as large.
    amplitude = v.flexure_mas / _MAS_PER_DEG / np.sqrt(len(_ORDERS) / 2)
    return {
        "offset_deg": rng.normal(0.0, v.pointing_arcsec / 3600.0, 2),
        "linear": rng.normal(0.0, v.scale, (2, 2)) + turn * np.array([[0.0, 1.0], [-1.0, 0.0]]),
        "flexure_deg": amplitude * rng.normal(size=(2, len(_ORDERS))),
    }


def draw_turbulence(
    config: TurbulenceConfig, seed: int, number: int, radius_deg: float
) -> WindyField | None:
    """Draw the turbulence of a visit; None if there is none."""
    if config.rms_mas == 0:
        return None
    rng = generator(seed, SkyStage.TURBULENCE, number)
    t, stretch = rng.uniform(0, np.pi), np.sqrt(config.stretch)
    axes = np.array([[np.cos(t), np.sin(t)], [-np.sin(t), np.cos(t)]])
    # Along the wind the delay changes slower.
    matrix = axes.T @ np.diag([1 / stretch, stretch]) @ axes
    reach = 2.0 * radius_deg * stretch
    field = displacement_field(rng, config.coherence_deg, reach, config.curl_fraction)
    return WindyField(field, matrix, config.rms_mas)
