"""Far wings of stars: the aureole of scattered light and the spikes of the spider.

The aureole falls as 1/(1 + (r/core)²) and is tapered to zero at its edge by (1 - (r/edge)²)²;
both have integrals in closed form, so that the total flux of a star stays what it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drpflow.sim.canvas import paste

if TYPE_CHECKING:
    from drpflow.sim.config import ArtifactConfig

SPIDER_ANGLE_DEG = 38.0
"""Turn of the spider against the focal plane's axes."""

_SPIKE_CORE_ARCSEC = 5.0
_SMALLEST_RADIUS_PIX = 16


@dataclass(frozen=True)
class Wings:
    """Wings in pixels of one detector.

    Parameters
    ----------
    aureole_fraction, core_pix, edge_pix
        Share of the light, and where the profile begins to fall and ends.
    spike_fraction, spike_core_pix, spike_sigma_pix
        Share of the light in the four spikes, length scale and half-width.
    angle_rad
        Turn of the spikes against the pixel axes.
    """

    aureole_fraction: float
    core_pix: float
    edge_pix: float
    spike_fraction: float
    spike_core_pix: float
    spike_sigma_pix: float
    angle_rad: float

    def aureole_peak(self) -> float:
        """Return the aureole's central surface brightness for a star of unit flux."""
        ratio = (self.core_pix / self.edge_pix) ** 2
        area = np.pi * self.core_pix**2
        area *= (1 + ratio) ** 2 * np.log1p(1 / ratio) - 1.5 - ratio
        return self.aureole_fraction / float(area)

    def reach_pix(self, flux_electron: float, limit_electron: float) -> int:
        """Return how far from a star its aureole exceeds a surface brightness."""
        if self.aureole_fraction == 0 or flux_electron * self.aureole_peak() <= limit_electron:
            return 0
        radius = self.core_pix * np.sqrt(flux_electron * self.aureole_peak() / limit_electron)
        return int(np.ceil(np.clip(radius, _SMALLEST_RADIUS_PIX, self.edge_pix)))

    def add_aureole(
        self, image: np.ndarray, x: float, y: float, flux_electron: float, limit_electron: float
    ) -> None:
        """Add a star's aureole where it exceeds `limit_electron` per pixel. 6 ns a pixel."""
        reach = self.reach_pix(flux_electron, limit_electron)
        if reach == 0:
            return
        patch = _patch(image, x, y, reach)
        if patch is None:
            return
        u, v, x0, y0 = patch
        r2 = v[:, None] ** 2 + u[None, :] ** 2
        taper = np.clip(1 - r2 / self.edge_pix**2, 0.0, None)
        taper *= taper
        taper /= 1 + r2 / self.core_pix**2
        taper *= flux_electron * self.aureole_peak()
        paste(image, taper, x0, y0)

    def add_spikes(
        self, image: np.ndarray, x: float, y: float, flux_electron: float, limit_electron: float
    ) -> None:
        """Add the four spikes where they exceed `limit_electron` per pixel."""
        peak = self.spike_fraction * flux_electron / 4 / (np.sqrt(2 * np.pi) * self.spike_sigma_pix)
        peak /= self.spike_core_pix
        if peak <= limit_electron:
            return
        reach = self.spike_core_pix * (np.sqrt(peak / limit_electron) - 1)
        patch = _patch(image, x, y, int(np.ceil(min(reach, 2 * self.edge_pix))) + 2)
        if patch is None:
            return
        u, v, x0, y0 = patch
        c, s = np.cos(self.angle_rad), np.sin(self.angle_rad)
        along = v[:, None] * s + u[None, :] * c
        across = v[:, None] * c - u[None, :] * s
        paste(image, peak * (self._arm(along, across) + self._arm(across, along)), x0, y0)

    def _arm(self, along: np.ndarray, across: np.ndarray) -> np.ndarray:
        """Return both directions of a spike, 1 at the centre."""
        inside = np.abs(across) < 5 * self.spike_sigma_pix
        arm = np.zeros_like(along)
        near = across[inside] / self.spike_sigma_pix
        fall = 1 + np.abs(along[inside]) / self.spike_core_pix
        arm[inside] = np.exp(-0.5 * near**2) / fall**2
        return arm


def wing_fraction(config: ArtifactConfig) -> float:
    """Return the share of every source's light that is in its far wings."""
    aureole = config.aureole_fraction if config.aureole else 0.0
    return aureole + (config.spike_fraction if config.spikes else 0.0)


def build_wings(
    config: ArtifactConfig, pixel_arcsec: float, fwhm_pix: float, detector_turn_deg: float
) -> Wings:
    """Return the wings as one detector sees them.

    Parameters
    ----------
    config
        The section ``artifacts``.
    pixel_arcsec
        Pixel scale.
    fwhm_pix
        Width of images, which is that of the spikes.
    detector_turn_deg
        Turn of the detector.
    """
    return Wings(
        aureole_fraction=config.aureole_fraction if config.aureole else 0.0,
        core_pix=config.aureole_core_arcsec / pixel_arcsec,
        edge_pix=config.aureole_edge_arcsec / pixel_arcsec,
        spike_fraction=config.spike_fraction if config.spikes else 0.0,
        spike_core_pix=_SPIKE_CORE_ARCSEC / pixel_arcsec,
        spike_sigma_pix=fwhm_pix / 2.355,
        angle_rad=float(np.deg2rad(SPIDER_ANGLE_DEG - detector_turn_deg)),
    )


def _patch(
    image: np.ndarray, x: float, y: float, reach: int
) -> tuple[np.ndarray, np.ndarray, int, int] | None:
    """Return offsets from (x, y) along both axes of the part of the image within `reach`."""
    ny, nx = image.shape
    x0, x1 = max(int(x) - reach, 0), min(int(x) + reach + 1, nx)
    y0, y1 = max(int(y) - reach, 0), min(int(y) + reach + 1, ny)
    if x0 >= x1 or y0 >= y1:
        return None
    return np.arange(x0, x1) - x, np.arange(y0, y1) - y, x0, y0
