"""Light that belongs to no source: sky, gradients, scattered light."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drpflow.sim.streams import SkyStage, generator

if TYPE_CHECKING:
    from collections.abc import Callable

    from drpflow.sim.config import SurveyConfig
    from drpflow.sim.instrument import SimDetector
    from drpflow.sim.pointing import VisitTruth

NODE_STEP_PIX = 32
"""Spacing of the nodes on which smooth patterns are worked out."""


@dataclass(frozen=True)
class SkyPattern:
    """Shape of one visit's sky over the focal plane, relative to its centre.

    Parameters
    ----------
    gradient
        Coefficients of u, v, u², uv, v² (coordinates over the radius).
    blobs
        Scattered light fixed to the camera: x, y, width (over the radius) and amplitude,
        shape (n, 4).
    radius_mm
        Normalising radius.
    """

    gradient: np.ndarray
    blobs: np.ndarray
    radius_mm: float

    def sky(self, x_mm: np.ndarray, y_mm: np.ndarray) -> np.ndarray:
        """Return the sky proper, before vignetting."""
        u, v = x_mm / self.radius_mm, y_mm / self.radius_mm
        terms = (u, v, u * u, u * v, v * v)
        return 1 + sum(c * t for c, t in zip(self.gradient, terms, strict=True))

    def scattered(self, x_mm: np.ndarray, y_mm: np.ndarray) -> np.ndarray:
        """Return the scattered light, relative to the sky, not vignetted."""
        u, v = x_mm / self.radius_mm, y_mm / self.radius_mm
        total = np.zeros(np.broadcast_shapes(np.shape(u), np.shape(v)))
        for x, y, width, amplitude in self.blobs:
            total += amplitude * np.exp(-0.5 * ((u - x) ** 2 + (v - y) ** 2) / width**2)
        return total


def build_sky_pattern(config: SurveyConfig, visit: VisitTruth) -> SkyPattern:
    """Draw a visit's gradient; the scattered light is the camera's, by filter."""
    rng = generator(config.seed, SkyStage.SKY, visit.visit)
    gradient = config.sky.gradient * rng.normal(size=5) * np.array([1.0, 1.0, 0.4, 0.4, 0.4])
    fixed = generator(config.seed, SkyStage.SCATTERED, visit.physical_filter)
    blobs = np.stack(
        [
            fixed.uniform(-0.9, 0.9, 4),
            fixed.uniform(-0.9, 0.9, 4),
            fixed.uniform(0.12, 0.5, 4),
            config.sky.scattered * fixed.uniform(0.3, 1.0, 4),
        ],
        axis=1,
    )
    return SkyPattern(gradient, blobs, config.instrument.optics.radius_mm)


def smooth_map(
    detector: SimDetector, function: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> np.ndarray:
    """Evaluate a smooth function of the focal plane on all pixels of a detector.

    It is worked out on nodes some 32 pixels apart and carried over by cubic splines: 15 ns a
    pixel, and good to 1e-5 for the patterns here.
    """
    from scipy.interpolate import RectBivariateSpline

    nx, ny = detector.size_pix
    x, y = _nodes(nx), _nodes(ny)
    columns, rows = np.meshgrid(x, y)
    values = function(*detector.pixel_to_focal(columns, rows))
    return RectBivariateSpline(y, x, values)(np.arange(ny), np.arange(nx))


def _nodes(length: int) -> np.ndarray:
    return np.linspace(0.0, length - 1.0, max(length // NODE_STEP_PIX, 4) + 1)
