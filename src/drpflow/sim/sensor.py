"""The fixed pattern of a simulated sensor: efficiency, dark current, defects, full well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drpflow.sim.defects import Defect, draw_defects, draw_hot_pixels
from drpflow.sim.streams import Stage, generator

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.sim.amplifiers import DetectorShape
    from drpflow.sim.detector_config import DarkCurrent, DetectorEffects, PixelResponse


@dataclass(frozen=True)
class Sensor:
    """Maps of one detector, all of shape (ny, nx).

    Attributes
    ----------
    response
        Efficiency relative to the mean detector, for light of no particular filter.
    dark_electron_s
        Dark current with hot pixels and columns, electron s-1.
    full_well_electron
        Charge at which a pixel overflows, electron; infinite where saturation is off.
    defects
        What is broken, as boxes.
    """

    response: NDArray[np.float32]
    dark_electron_s: NDArray[np.float32]
    full_well_electron: NDArray[np.float32]
    defects: tuple[Defect, ...]


def build_sensor(effects: DetectorEffects, detector: DetectorShape, seed: int) -> Sensor:
    """Draw the fixed pattern of one detector."""
    nx, ny = detector.size_pix
    shape = (ny, nx)
    response = pixel_response(effects.response, shape, seed, detector.id)
    dark = dark_current(effects.dark_current, shape, seed, detector.id)
    if effects.dark_current.enabled:
        rng = generator(seed, Stage.HOT_PIXELS, detector.id)
        draw_hot_pixels(effects.dark_current, dark, rng)
    defects: tuple[Defect, ...] = ()
    if effects.defects.enabled:
        rng = generator(seed, Stage.DEFECTS, detector.id)
        defects = draw_defects(effects.defects, shape, rng)
    for defect in defects:
        response[defect.index] *= defect.response
        dark[defect.index] += defect.dark_electron_s
    return Sensor(response, dark, _full_well(effects, shape, seed, detector.id), defects)


def _full_well(
    effects: DetectorEffects, shape: tuple[int, int], seed: int, detector_id: int
) -> NDArray[np.float32]:
    config = effects.saturation
    if not config.enabled:
        return np.full(shape, np.inf, np.float32)
    noise = generator(seed, Stage.FULL_WELL, detector_id).standard_normal(shape, dtype=np.float32)
    return np.float32(config.full_well_electron) * (1 + np.float32(config.pixel_rms) * noise)


def pixel_response(
    config: PixelResponse, shape: tuple[int, int], seed: int, detector_id: int
) -> NDArray[np.float32]:
    """Draw the efficiency map of a detector, without what depends on the filter.

    Mean of the detector, times a polynomial of the third order, times white noise from pixel to
    pixel, times tree rings. Ones if switched off.
    """
    if not config.enabled:
        return np.ones(shape, np.float32)
    rng = generator(seed, Stage.RESPONSE, detector_id)
    mean = 1 + config.detector_rms * rng.standard_normal()
    smooth = smooth_variation(shape, config.low_order_rms, rng)
    pixels = 1 + np.float32(config.pixel_rms) * rng.standard_normal(shape, dtype=np.float32)
    response = np.float32(mean) * smooth * pixels
    if config.tree_rings:
        rng = generator(seed, Stage.TREE_RINGS, detector_id)
        response *= _tree_rings(config, shape, rng)
    return response


def filter_response(
    config: PixelResponse, shape: tuple[int, int], seed: int, detector_id: int, physical_filter: str
) -> NDArray[np.float32]:
    """Draw the smooth part of the efficiency that one filter has besides the common map."""
    if not (config.enabled and config.filter_rms):
        return np.ones(shape, np.float32)
    rng = generator(seed, Stage.RESPONSE_FILTER, detector_id, physical_filter)
    return smooth_variation(shape, config.filter_rms, rng)


def smooth_variation(
    shape: tuple[int, int], rms: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Draw 1 + a polynomial of the third order with mean 0 and about the given rms."""
    y = np.linspace(-1, 1, shape[0])
    x = np.linspace(-1, 1, shape[1])
    terms = [(i, j) for i in range(4) for j in range(4 - i) if i + j]
    weights = np.zeros((4, 4))
    for i, j in terms:
        # Legendre polynomials have the variance 1/(2n + 1): each term gets an equal share.
        share = np.sqrt((2 * i + 1) * (2 * j + 1) / len(terms))
        weights[i, j] = rms * share * rng.standard_normal()
    return (1 + np.polynomial.legendre.leggrid2d(y, x, weights)).astype(np.float32)


def _tree_rings(
    config: PixelResponse, shape: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Rings about a point outside the detector (the axis of the boule), slowly changing pitch."""
    ny, nx = shape
    center_x, center_y = rng.uniform(-1.5, -0.3) * nx, rng.uniform(-1.5, -0.3) * ny
    y, x = np.ogrid[:ny, :nx]
    radius = np.hypot(x - center_x, y - center_y).astype(np.float32)
    phase = 2 * np.pi * radius / config.tree_ring_period_pix * (1 + radius / (8 * max(nx, ny)))
    return (1 + config.tree_rings * np.sin(phase + rng.uniform(0, 2 * np.pi))).astype(np.float32)


def dark_current(
    config: DarkCurrent, shape: tuple[int, int], seed: int, detector_id: int
) -> NDArray[np.float32]:
    """Draw the dark current without hot pixels, electron s-1: zeros if switched off."""
    if not config.enabled:
        return np.zeros(shape, np.float32)
    rng = generator(seed, Stage.DARK_CURRENT, detector_id)
    scatter = np.exp(np.float32(config.pixel_rms) * rng.standard_normal(shape, dtype=np.float32))
    return np.float32(config.rate_electron_s) * scatter + _glow(config, shape)


def _glow(config: DarkCurrent, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Glow of the four output amplifiers, falling off from each corner."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    corner_x = np.minimum(x, shape[1] - 1 - x)
    corner_y = np.minimum(y, shape[0] - 1 - y)
    length = 0.05 * max(shape)
    return (config.glow_electron_s * np.exp(-np.hypot(corner_x, corner_y) / length)).astype(
        np.float32
    )
