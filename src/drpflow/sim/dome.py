"""The flat-field screen: a lamp of its own colour, uneven, with reflected light."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drpflow.sim.sed import WAVELENGTH_NM, planck
from drpflow.sim.sky import smooth_map
from drpflow.sim.streams import SkyStage, generator

if TYPE_CHECKING:
    from collections.abc import Callable

    from drpflow.sim.config import SurveyConfig
    from drpflow.sim.optics import TrueOptics
    from drpflow.sim.throughput import Throughputs

_STRAY_WIDTH2 = 0.18
"""Square of the size of the reflected light, in units of the camera's radius, times two."""


def dome_illumination(
    config: SurveyConfig,
    optics: TrueOptics,
    throughputs: Throughputs,
    detector: int,
    physical_filter: str,
) -> np.ndarray:
    """Return the electrons that the lamp gives per pixel, relative to the camera's mean.

    It holds what lamp and sky share (vignetting, the pixels' area on the sky, the detectors'
    efficiencies in this filter) and what only the lamp has: the unevenness of the screen, the
    light reflected back into the camera, and its colour, by which detectors of different make
    compare otherwise than under the sky.

    Returns
    -------
    numpy.ndarray
        Shape (ny, nx).
    """
    light = _light(config, optics, physical_filter)
    efficiency = _lamp_electrons(config, throughputs, physical_filter)
    means = []
    for key, true in optics.detectors.items():
        nx, ny = true.place.size_pix
        middles = (np.arange(16) + 0.5) / 16
        x, y = np.meshgrid(middles * nx - 0.5, middles * ny - 0.5)
        means.append(efficiency[key] * light(*true.place.pixel_to_focal(x, y)).mean())
    level = efficiency[detector] / float(np.mean(means))
    return level * smooth_map(optics.detectors[detector].place, light)


def _light(
    config: SurveyConfig, optics: TrueOptics, physical_filter: str
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return the lamp's light on the focal plane; unevenness is common to all filters."""
    common = generator(config.seed, SkyStage.DOME)
    own = generator(config.seed, SkyStage.DOME, physical_filter)
    slopes = config.dome.screen_gradient * common.normal(size=3) * np.array([0.7, 0.7, 0.5])
    stray = config.dome.stray_light * own.uniform(0.6, 1.4)
    radius = config.instrument.optics.radius_mm

    def light(x_mm: np.ndarray, y_mm: np.ndarray) -> np.ndarray:
        u, v = x_mm / radius, y_mm / radius
        r2 = u * u + v * v
        screen = 1 + slopes[0] * u + slopes[1] * v + slopes[2] * r2
        direct = screen * optics.illumination(x_mm, y_mm)
        return (direct + stray * np.exp(-r2 / _STRAY_WIDTH2)) * optics.pixel_area(x_mm, y_mm)

    return light


def _lamp_electrons(
    config: SurveyConfig, throughputs: Throughputs, physical_filter: str
) -> dict[int, float]:
    """Return each detector's electrons for one lamp, in arbitrary units."""
    photons = planck(config.dome.lamp_temperature_k, WAVELENGTH_NM) * WAVELENGTH_NM
    photons = photons / photons.sum()
    return {
        key: float(photons @ throughputs.system(physical_filter, key))
        for key in throughputs.efficiency
    }
