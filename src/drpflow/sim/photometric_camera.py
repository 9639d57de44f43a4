"""The camera of a photometric survey: places, passbands and flat errors of its detectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drpflow.sim.sed import WAVELENGTH_NM
from drpflow.sim.streams import SkyStage, generator
from drpflow.sim.throughput import detector_efficiency, filter_curve, mirror_curve

if TYPE_CHECKING:
    from drpflow.sim.photometric_config import CameraConfig, PhotometricConfig

_EDGE_WIDTH = 0.06
"""How far from a detector's edge light is lost, as a part of its half side."""


@dataclass(frozen=True)
class PhotometricCamera:
    """Detectors (D) in a grid, and filters, one a band (B).

    Parameters
    ----------
    config
        The configuration.
    seed
        Of the survey.
    x_deg, y_deg
        Field angles of the detectors' centres, shape (D,).
    grid
        Detector in each place of the grid, -1 where there is none, shape (rows, columns).
    curves
        Electrons per photon without the air, shape (B, D, wavelengths).
    documented
        The same as the camera's makers give it.
    """

    config: CameraConfig
    seed: int
    x_deg: np.ndarray
    y_deg: np.ndarray
    grid: np.ndarray
    curves: np.ndarray
    documented: np.ndarray

    @property
    def half_side_deg(self) -> float:
        """Half a detector's side."""
        return self.config.detector_deg / 2

    @property
    def radius_deg(self) -> float:
        """Distance of the farthest corner from the middle."""
        reach = self.half_side_deg
        return float(np.hypot(np.abs(self.x_deg) + reach, np.abs(self.y_deg) + reach).max())

    def locate(
        self, x_deg: np.ndarray, y_deg: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the detector (-1 for none) and the place u, v on it of field angles."""
        rows, columns = self.grid.shape
        pitch = self.config.detector_deg + self.config.gap_deg
        fx, fy = x_deg / pitch + (columns - 1) / 2, y_deg / pitch + (rows - 1) / 2
        i, j = np.rint(fx).astype(np.int64), np.rint(fy).astype(np.int64)
        u, v = ((f - k) * pitch / self.half_side_deg for f, k in ((fx, i), (fy, j)))
        inside = (i >= 0) & (i < columns) & (j >= 0) & (j < rows)
        inside &= (np.abs(u) < 1) & (np.abs(v) < 1)
        detector = np.full(i.shape, -1)
        detector[inside] = self.grid[j[inside], i[inside]]
        return detector, u, v


def build_camera(config: PhotometricConfig) -> PhotometricCamera:
    """Lay out the detectors and draw their efficiencies."""
    c = config.camera
    grid = np.full(c.rows * c.columns, -1)
    places = np.setdiff1d(np.arange(grid.size), c.without)
    grid[places] = np.arange(places.size)
    row, column = np.divmod(places, c.columns)
    pitch = c.detector_deg + c.gap_deg
    filters = np.array([filter_curve(f) for f in c.filters]) * mirror_curve(WAVELENGTH_NM)
    efficiency = np.array([detector_efficiency(config.seed, d) for d in range(places.size)])
    return PhotometricCamera(
        config=c,
        seed=config.seed,
        x_deg=(column - (c.columns - 1) / 2) * pitch,
        y_deg=(row - (c.rows - 1) / 2) * pitch,
        grid=grid.reshape(c.rows, c.columns),
        curves=filters[:, None, :] * efficiency,
        documented=_documented(config, efficiency),
    )


def _documented(config: PhotometricConfig, efficiency: np.ndarray) -> np.ndarray:
    """Return the curves with the errors of those who measured them, shape (B, D, …)."""
    c = config.camera
    documented = []
    for item in c.filters:
        rng = generator(config.seed, SkyStage.INSTRUMENT, item.band)
        curve = filter_curve(item, rng.normal(0.0, c.filter_error_nm))
        middle, half = (item.upper_nm + item.lower_nm) / 2, (item.upper_nm - item.lower_nm) / 2
        tilt = np.clip((WAVELENGTH_NM - middle) / half, -1.5, 1.5)
        errors = 1 + rng.normal(0.0, c.throughput_error, (len(efficiency), 1)) * tilt
        documented.append(curve * mirror_curve(WAVELENGTH_NM) * efficiency * errors)
    return np.array(documented)


@dataclass(frozen=True)
class StarFlat:
    """What the flats have wrong: light lost, mag, by band, detector and place.

    Parameters
    ----------
    field
        Coefficients of r², r⁴, x and y over the field, per band, shape (B, 4).
    detector
        Loss per epoch, band and detector, shape (2, B, D).
    inside
        Coefficients of u, v, u², v² and uv inside a detector, shape (B, D, 5).
    """

    field: np.ndarray
    detector: np.ndarray
    inside: np.ndarray

    def mag(
        self,
        camera: PhotometricCamera,
        epoch: int,
        band: int,
        place: tuple[np.ndarray, np.ndarray, np.ndarray],
    ) -> np.ndarray:
        """Return the loss at places (detector, u, v) before (0) or after (1) the cleaning."""
        detector, u, v = place
        half = camera.half_side_deg
        x = (camera.x_deg[detector] + half * u) / camera.radius_deg
        y = (camera.y_deg[detector] + half * v) / camera.radius_deg
        r2 = x**2 + y**2
        loss = np.stack([r2, r2**2, x, y], axis=-1) @ self.field[band]
        loss += self.detector[epoch, band, detector]
        terms = np.stack([u, v, u**2 - 1 / 3, v**2 - 1 / 3, u * v], axis=-1)
        loss += (terms * self.inside[band, detector]).sum(axis=-1)
        for w in (u, v):
            loss += camera.config.edge_mag * np.exp(-(1 - np.abs(w)) / _EDGE_WIDTH)
        return loss


def draw_star_flat(camera: PhotometricCamera) -> StarFlat:
    """Draw the flats' errors: alike in all bands, but not the same."""
    c = camera.config
    bands, detectors = camera.curves.shape[:2]
    rng = generator(camera.seed, SkyStage.DOME)
    shape = np.array([1.0, -0.4, 0.25, 0.25])
    field = c.star_flat_mag * shape * (rng.normal(size=4) + 0.5 * rng.normal(size=(bands, 4)))
    common = rng.normal(size=detectors)
    own = 0.5 * rng.normal(size=(bands, detectors))
    before = c.detector_offset_mag * (common + own)
    after = before + c.epoch_change_mag * rng.normal(size=(bands, detectors))
    inside = c.detector_flat_mag * rng.normal(size=(bands, detectors, 5))
    return StarFlat(field, np.stack([before, after]), inside)
