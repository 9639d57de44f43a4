"""The camera of an astrometric survey: optics that distort, detectors not quite where they seem.

From a direction to a pixel: field angles, the inverse of the documented radial distortion, the
true place and turn of the detector, its static distortion. The last is a polynomial in the place
on the detector that is *added to the pixel*, so that nothing here has the form of a fit's maps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drpflow.sim.streams import SkyStage, generator

if TYPE_CHECKING:
    from drpflow.sim.astrometric_config import CameraConfig

PIXEL_MM = 0.015
_ORDERS = [(n - j, j) for n in (2, 3, 4) for j in range(n + 1)]
"""Powers of the place on the detector in its static distortion."""
_ROUNDS = 8


@dataclass(frozen=True)
class AstrometricCamera:
    """Detectors (D) in a grid.

    Parameters
    ----------
    config
        The configuration.
    x_deg, y_deg
        Documented centres of the detectors before the optics distort, shape (D,).
    grid
        Detector in each place of the grid, -1 where there is none, shape (rows, columns).
    offset_deg
        True centres less documented ones, shape (D, 2).
    turn_rad
        Turn of the detectors, +x towards +y, shape (D,).
    distortion_pix
        Coefficients of the static distortion, shape (D, 2, terms).
    """

    config: CameraConfig
    x_deg: np.ndarray
    y_deg: np.ndarray
    grid: np.ndarray
    offset_deg: np.ndarray
    turn_rad: np.ndarray
    distortion_pix: np.ndarray

    @property
    def scale_deg(self) -> float:
        """Side of a pixel in the middle of the field, deg."""
        return self.config.detector_deg / self.config.side_pix

    @property
    def radius_deg(self) -> float:
        """Distance of the farthest corner from the middle."""
        reach = self.config.detector_deg / 2
        return float(np.hypot(np.abs(self.x_deg) + reach, np.abs(self.y_deg) + reach).max())

    def undistorted(self, x_deg: np.ndarray, y_deg: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return focal-plane angles [deg] of field angles: p with p (1 + a (p/R)²) = field."""
        radius2 = self.radius_deg**2
        factor = np.ones(np.shape(x_deg))
        square = (x_deg**2 + y_deg**2) / radius2
        # Contracts by 2 a per round: eight rounds leave 1e-20 for a = 2e-3.
        for _ in range(_ROUNDS):
            factor = 1.0 / (1.0 + self.config.radial * square * factor**2)
        return x_deg * factor, y_deg * factor

    def distorted(self, x_deg: np.ndarray, y_deg: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Undo :meth:`undistorted`."""
        factor = 1.0 + self.config.radial * (x_deg**2 + y_deg**2) / self.radius_deg**2
        return x_deg * factor, y_deg * factor

    def locate(
        self, x_deg: np.ndarray, y_deg: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return detector (-1 for none) and pixel of field angles."""
        px, py = self.undistorted(x_deg, y_deg)
        rows, columns = self.grid.shape
        pitch = self.config.detector_deg + self.config.gap_deg
        i = np.rint(px / pitch + (columns - 1) / 2).astype(np.int64)
        j = np.rint(py / pitch + (rows - 1) / 2).astype(np.int64)
        known = (i >= 0) & (i < columns) & (j >= 0) & (j < rows)
        detector = np.full(i.shape, -1)
        detector[known] = self.grid[j[known], i[known]]
        x, y = self.to_pixel(np.maximum(detector, 0), px, py)
        side = self.config.side_pix
        inside = (x > -0.5) & (x < side - 0.5) & (y > -0.5) & (y < side - 0.5)
        return np.where(inside, detector, -1), x, y

    def to_pixel(
        self, detector: np.ndarray, px_deg: np.ndarray, py_deg: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return pixels of focal-plane angles on given detectors."""
        dx = px_deg - self.x_deg[detector] - self.offset_deg[detector, 0]
        dy = py_deg - self.y_deg[detector] - self.offset_deg[detector, 1]
        c, s = np.cos(self.turn_rad[detector]), np.sin(self.turn_rad[detector])
        middle = (self.config.side_pix - 1) / 2
        x = (c * dx + s * dy) / self.scale_deg + middle
        y = (-s * dx + c * dy) / self.scale_deg + middle
        moved = self._static(detector, x, y)
        return x + moved[0], y + moved[1]

    def from_pixel(
        self, detector: int, x: np.ndarray, y: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return focal-plane angles of pixels."""
        u, v = np.asarray(x, float), np.asarray(y, float)
        which = np.full(u.shape, detector)
        for _ in range(_ROUNDS):
            moved = self._static(which, u, v)
            u, v = x - moved[0], y - moved[1]
        middle = (self.config.side_pix - 1) / 2
        du, dv = (u - middle) * self.scale_deg, (v - middle) * self.scale_deg
        c, s = np.cos(self.turn_rad[detector]), np.sin(self.turn_rad[detector])
        px = self.x_deg[detector] + self.offset_deg[detector, 0] + c * du - s * dv
        py = self.y_deg[detector] + self.offset_deg[detector, 1] + s * du + c * dv
        return px, py

    def _static(self, detector: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the static distortion [pix] at undisturbed pixels, shape (2, …)."""
        half = self.config.side_pix / 2
        u, v = (x - half) / half, (y - half) / half
        powers = np.stack([u**i * v**j for i, j in _ORDERS], axis=-1)
        coefficients = self.distortion_pix[detector]
        return np.stack([(powers * coefficients[..., k, :]).sum(axis=-1) for k in (0, 1)])


def build_camera(config: CameraConfig, seed: int) -> AstrometricCamera:
    """Lay out the detectors and draw what is wrong with them."""
    grid = np.full(config.rows * config.columns, -1)
    places = np.setdiff1d(np.arange(grid.size), config.without)
    grid[places] = np.arange(places.size)
    row, column = np.divmod(places, config.columns)
    pitch = config.detector_deg + config.gap_deg
    number = places.size
    rng = generator(seed, SkyStage.DETECTOR_OPTICS)
    # rms 1 over a square for coefficients of rms 1/√(Σ <u²ⁱ> <v²ʲ>).
    norm = np.sqrt(sum(1 / ((2 * i + 1) * (2 * j + 1)) for i, j in _ORDERS))
    mas_per_pix = 3.6e6 * config.detector_deg / config.side_pix
    amplitude = config.distortion_mas / mas_per_pix / norm
    return AstrometricCamera(
        config=config,
        x_deg=(column - (config.columns - 1) / 2) * pitch,
        y_deg=(row - (config.rows - 1) / 2) * pitch,
        grid=grid.reshape(config.rows, config.columns),
        offset_deg=rng.normal(0.0, config.offset_arcsec / 3600.0, (number, 2)),
        turn_rad=np.deg2rad(rng.normal(0.0, config.turn_arcsec / 3600.0, number)),
        distortion_pix=amplitude * rng.normal(size=(number, 2, len(_ORDERS))),
    )
