"""Satellite trails: straight lines across the whole camera, out of focus, some of them flashing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drpflow.sim.streams import SkyStage, generator

if TYPE_CHECKING:
    from drpflow.sim.config import SurveyConfig
    from drpflow.sim.instrument import SimDetector
    from drpflow.sim.pointing import VisitTruth


@dataclass(frozen=True)
class Trail:
    """One trail in the focal plane.

    Parameters
    ----------
    x_mm, y_mm
        A point on it.
    angle_rad
        Its direction, from +x towards +y.
    mag_per_arcsec2
        Peak surface brightness, AB.
    defocus_arcsec
        Width (FWHM) beyond the seeing: the satellite is close, and has a size.
    flash_depth, flash_mm
        Relative depth and length of its flashing; depth 0 for a steady trail.
    """

    x_mm: float
    y_mm: float
    angle_rad: float
    mag_per_arcsec2: float
    defocus_arcsec: float
    flash_depth: float
    flash_mm: float

    def draw(
        self, detector: SimDetector, peak_electron: float, fwhm_pix: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the pixels of a detector that the trail touches, and their electrons.

        Parameters
        ----------
        detector
            The detector.
        peak_electron
            Electrons per pixel on its spine.
        fwhm_pix
            Its width.

        Returns
        -------
        pixels, electrons
            Flat indices into the detector's array, and values of the same length.
        """
        x, y = detector.focal_to_pixel(np.array(self.x_mm), np.array(self.y_mm))
        angle = self.angle_rad - np.deg2rad(detector.rotation_deg)
        c, s = np.cos(angle), np.sin(angle)
        nx, ny = detector.size_pix
        columns, rows = np.arange(nx) - float(x), np.arange(ny) - float(y)
        across = rows[:, None] * c - columns[None, :] * s
        sigma = fwhm_pix / 2.355
        pixels = np.flatnonzero(np.abs(across) < 6 * sigma)
        along = rows[pixels // nx] * s + columns[pixels % nx] * c
        profile = np.exp(-0.5 * (across.ravel()[pixels] / sigma) ** 2)
        wave = np.cos(2 * np.pi * along * detector.pixel_size_mm / self.flash_mm)
        return pixels, peak_electron * profile * (1 - self.flash_depth * (0.5 + 0.5 * wave))


def draw_trails(config: SurveyConfig, visit: VisitTruth, radius_mm: float) -> list[Trail]:
    """Draw the trails of one visit.

    Parameters
    ----------
    config
        The survey.
    visit
        The visit, which says how many.
    radius_mm
        Radius of the camera.
    """
    rng = generator(config.seed, SkyStage.TRAILS, visit.visit)
    found = []
    for _ in range(visit.trails):
        distance, place = radius_mm * rng.uniform(-0.7, 0.7), rng.uniform(0, np.pi)
        found.append(
            Trail(
                x_mm=float(-distance * np.sin(place)),
                y_mm=float(distance * np.cos(place)),
                angle_rad=float(place),
                mag_per_arcsec2=float(rng.uniform(*config.artifacts.trail_mag_per_arcsec2)),
                defocus_arcsec=float(rng.uniform(0.2, 1.3)),
                flash_depth=float(rng.uniform(0.3, 0.9) if rng.uniform() < 0.3 else 0.0),
                flash_mm=float(rng.uniform(2.0, 9.0)),
            )
        )
    return found
