"""A survey of positions without pixels: what centroiding would have given.

Stars that move are seen by a mosaic through optics that distort, a telescope that bends and air
that disperses and trembles; some measurements are spoilt. Everything is known: to each pixel of
each visit the direction from which light falls on it, with and without the turbulence. Work is
vectorised by visit; 10⁶ measurements take about a minute, most of it the turbulence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drpflow.sim.astrometric_camera import AstrometricCamera, build_camera
from drpflow.sim.astrometric_stars import AstrometricStars, draw_stars
from drpflow.sim.astrometric_visits import (
    ZERO_COLOR,
    AstrometricVisit,
    WindyField,
    draw_turbulence,
    draw_visits,
)
from drpflow.sim.earth import ra_dec_deg
from drpflow.sim.streams import SkyStage, Stage, generator

if TYPE_CHECKING:
    from drpflow.sim.astrometric_config import AstrometricConfig

_MAS_PER_DEG = 3.6e6


@dataclass(frozen=True)
class Centroids:
    """What was measured (N rows), and the truth of it.

    Parameters
    ----------
    star, visit, detector
        Rows of the stars, visits and detectors.
    x, y
        Centroids, pixels.
    xx, xy, yy
        Their covariance as told, square pixels.
    true_x, true_y
        What a measurement without noise would have given.
    air_x, air_y
        What of it is turbulence: by how much it moved the image, pixels.
    spoilt
        Measurements with an error that nobody tells.
    """

    star: np.ndarray
    visit: np.ndarray
    detector: np.ndarray
    x: np.ndarray
    y: np.ndarray
    xx: np.ndarray
    xy: np.ndarray
    yy: np.ndarray
    true_x: np.ndarray
    true_y: np.ndarray
    air_x: np.ndarray
    air_y: np.ndarray
    spoilt: np.ndarray

    def __len__(self) -> int:
        return self.star.size


@dataclass(frozen=True)
class AstrometricSurvey:
    """A simulated survey.

    Parameters
    ----------
    config
        What was asked for.
    camera, visits, stars
        Detectors (D), visits (V), stars (S) that were seen at least once.
    centroids
        What was measured.
    start_matrix, start_offset_deg
        Coordinate systems to begin with: field = matrix · documented field + offset, for each
        visit and detector, shapes (V, D, 2, 2) and (V, D, 2). Straight lines through the truth,
        with the error that was asked for.
    """

    config: AstrometricConfig
    camera: AstrometricCamera
    visits: list[AstrometricVisit]
    stars: AstrometricStars
    centroids: Centroids
    start_matrix: np.ndarray
    start_offset_deg: np.ndarray

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands."""
        return tuple(b.band for b in self.config.visits.bands)

    def turbulence(self, visit: int) -> WindyField | None:
        """Return the turbulence of a visit (row)."""
        config, radius = self.config, self.camera.radius_deg
        return draw_turbulence(config.turbulence, config.seed, visit, radius)

    def pixel_to_sky(
        self,
        visit: int,
        detector: int,
        x: np.ndarray,
        y: np.ndarray,
        color: float = ZERO_COLOR,
        air: WindyField | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return where light comes from that falls on pixels, deg.

        Parameters
        ----------
        visit, detector
            Rows.
        x, y
            Pixels.
        color
            Of the star.
        air
            The turbulence, to have it in.
        """
        exposure = self.visits[visit]
        field = self.camera.distorted(*self.camera.from_pixel(detector, x, y))
        place = exposure.from_field(*field, air)
        factor = dispersion(self.config, exposure, np.asarray(color))
        direction = exposure.direction(*place)
        for _ in range(3):
            lift = exposure.lift_deg(direction)
            direction = exposure.direction(place[0] - factor * lift[0], place[1] - factor * lift[1])
        ra, dec = ra_dec_deg(direction)
        return ra, dec


def dispersion(config: AstrometricConfig, visit: AstrometricVisit, color: np.ndarray) -> np.ndarray:
    """Return by how much more stars of a colour are lifted than others, deg at tan z = 1."""
    strength = config.visits.bands[visit.band].dispersion_mas / _MAS_PER_DEG
    return strength * (ZERO_COLOR - color)


def simulate_astrometry(config: AstrometricConfig) -> AstrometricSurvey:
    """Draw a survey; equal configurations give equal surveys."""
    camera = build_camera(config.camera, config.seed)
    visits = draw_visits(config, camera.radius_deg)
    middle = float(np.mean([visit.mjd for visit in visits]))
    stars = draw_stars(config, camera, middle)
    parts = [_observe(config, camera, stars, visit) for visit in visits]
    names = Centroids.__dataclass_fields__
    columns = {name: np.concatenate([part[name] for part in parts]) for name in names}
    seen, columns["star"] = np.unique(columns["star"], return_inverse=True)
    columns["star"], stars = columns["star"].astype(np.int32), stars.take(seen)
    matrix, offset = _starts(config, camera, visits)
    return AstrometricSurvey(config, camera, visits, stars, Centroids(**columns), matrix, offset)


def _observe(
    config: AstrometricConfig,
    camera: AstrometricCamera,
    stars: AstrometricStars,
    visit: AstrometricVisit,
) -> dict[str, np.ndarray]:
    """Return the measurements of a visit."""
    near = np.flatnonzero(np.abs(stars.dec - visit.dec_deg) < 1.02 * camera.radius_deg)
    direction = stars.directions(visit.mjd)[near]
    lift, strength = visit.lift_deg(direction), dispersion(config, visit, stars.color[near])
    px, py = visit.plane(direction)
    px, py = px + strength * lift[0], py + strength * lift[1]
    reach = np.hypot(px, py) < 1.02 * camera.radius_deg
    rows, px, py = near[reach], px[reach], py[reach]
    air = draw_turbulence(config.turbulence, config.seed, visit.number, camera.radius_deg)
    detector, true_x, true_y = camera.locate(*visit.to_field(px, py, air))
    seen = detector >= 0
    rows, detector, true_x, true_y = rows[seen], detector[seen], true_x[seen], true_y[seen]
    still = camera.undistorted(*visit.to_field(px[seen], py[seen], None))
    still_x, still_y = camera.to_pixel(detector, *still)
    covariance, noise, spoilt = _noise(config, camera, visit, stars.mag[rows])
    return {
        "star": rows.astype(np.int32),
        "visit": np.full(rows.size, visit.number, np.int32),
        "detector": detector.astype(np.int32),
        "x": true_x + noise[0],
        "y": true_y + noise[1],
        **{n: c.astype(np.float32) for n, c in zip(("xx", "xy", "yy"), covariance, strict=True)},
        "true_x": true_x,
        "true_y": true_y,
        "air_x": (true_x - still_x).astype(np.float32),
        "air_y": (true_y - still_y).astype(np.float32),
        "spoilt": spoilt,
    }


def _noise(
    config: AstrometricConfig,
    camera: AstrometricCamera,
    visit: AstrometricVisit,
    mag: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return covariances (3, N), errors (2, N) in pixels and which are spoilt."""
    n = config.noise
    rng = generator(config.seed, Stage.PHOTONS, visit.number)
    error_mas = n.faint_error_mas * 10.0 ** (n.error_slope * (mag - config.field.faint_mag))
    error = error_mas * visit.seeing_arcsec / (_MAS_PER_DEG * camera.scale_deg)
    long, short = np.sqrt(n.elongation), 1 / np.sqrt(n.elongation)
    t = rng.uniform(0, np.pi)
    c, s = np.cos(t), np.sin(t)
    draws = rng.normal(size=(2, mag.size)) * np.array([[long], [short]])
    noise = error * np.stack([c * draws[0] - s * draws[1], s * draws[0] + c * draws[1]])
    terms = [
        (c * long) ** 2 + (s * short) ** 2,
        c * s * (long**2 - short**2),
        (s * long) ** 2 + (c * short) ** 2,
    ]
    spoilt = rng.uniform(size=mag.size) < n.outlier_fraction
    wild = n.outlier_mas / (_MAS_PER_DEG * camera.scale_deg)
    noise += spoilt * wild * rng.normal(size=(2, mag.size))
    return error**2 * np.array(terms)[:, None], noise, spoilt


def _starts(
    config: AstrometricConfig, camera: AstrometricCamera, visits: list[AstrometricVisit]
) -> tuple[np.ndarray, np.ndarray]:
    """Return coordinate systems to begin with: a plane through the truth, less well known."""
    number, side = camera.x_deg.size, camera.config.side_pix
    grid = np.linspace(0.0, side - 1.0, 5)
    x, y = (w.ravel() for w in np.meshgrid(grid, grid))
    matrix, offset = np.empty((len(visits), number, 2, 2)), np.empty((len(visits), number, 2))
    error = config.visits.start_error_mas / _MAS_PER_DEG
    for d in range(number):
        seen = camera.distorted(*camera.from_pixel(d, x, y))
        told = camera.distorted(*documented_place(camera, d, x, y))
        design = np.column_stack([*told, np.ones(x.size)])
        for visit in visits:
            rng = generator(config.seed, SkyStage.FLEXURE, visit.number, d)
            true = np.stack(visit.from_field(*seen, None), axis=1)
            found = np.linalg.lstsq(design, true, rcond=None)[0]
            matrix[visit.number, d] = found[:2].T
            offset[visit.number, d] = found[2] + rng.normal(0.0, error, 2)
    return matrix, offset


def documented_place(
    camera: AstrometricCamera, detector: int, x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return focal-plane angles of pixels as the camera's makers give them, deg."""
    middle = (camera.config.side_pix - 1) / 2
    u, v = (x - middle) * camera.scale_deg, (y - middle) * camera.scale_deg
    return camera.x_deg[detector] + u, camera.y_deg[detector] + v
