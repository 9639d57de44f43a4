"""Pixels that are broken: dead and hot columns, insensitive spots, hot pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.sim.amplifiers import Box
    from drpflow.sim.detector_config import DarkCurrent, Defects


@dataclass(frozen=True)
class Defect:
    """A box of broken pixels.

    Attributes
    ----------
    box
        Half-open (x0, x1, y0, y1), pixels of the detector.
    kind
        ``dead_column``, ``hot_column`` or ``dead_spot``.
    response
        What is left of the efficiency.
    dark_electron_s
        Dark current on top of the usual one, electron s-1.
    """

    box: Box
    kind: str
    response: float = 1.0
    dark_electron_s: float = 0.0

    @property
    def index(self) -> tuple[slice, slice]:
        """Array index of the box."""
        x0, x1, y0, y1 = self.box
        return slice(y0, y1), slice(x0, x1)


def draw_defects(
    config: Defects, shape: tuple[int, int], rng: np.random.Generator
) -> tuple[Defect, ...]:
    """Draw the defects of a detector.

    Numbers are Poissonian about the configured densities; columns scale with the number of
    columns, spots with the area.
    """
    ny, nx = shape
    columns, area = nx / 1024, nx * ny / 1024**2
    dead = [
        Defect(_column(shape, rng), "dead_column", response=rng.uniform(0, 0.3))
        for _ in range(rng.poisson(config.dead_columns * columns))
    ]
    hot = [
        Defect(
            _column(shape, rng),
            "hot_column",
            dark_electron_s=config.hot_column_electron_s * rng.lognormal(0, 0.6),
        )
        for _ in range(rng.poisson(config.hot_columns * columns))
    ]
    spots = [
        Defect(_spot(shape, rng), "dead_spot", response=rng.uniform(0.1, 0.7))
        for _ in range(rng.poisson(config.dead_spots * area))
    ]
    return (*dead, *hot, *spots)


def _column(shape: tuple[int, int], rng: np.random.Generator) -> Box:
    """Draw part of a column: from the faulty pixel to the detector's midline.

    The registers lie along the lower and the upper edge. Charge from beyond the fault has to pass
    it on its way out, so that all those pixels are lost.
    """
    ny, nx = shape
    x = int(rng.integers(2, nx - 2))
    half = ny // 2
    fault = int(rng.integers(0, half)) if rng.random() < 0.7 else 0
    return (x, x + 1, fault, half) if rng.random() < 0.5 else (x, x + 1, half, ny - fault)


def _spot(shape: tuple[int, int], rng: np.random.Generator) -> Box:
    ny, nx = shape
    width, height = (int(n) for n in rng.integers(1, 5, 2))
    x, y = int(rng.integers(2, nx - 6)), int(rng.integers(2, ny - 6))
    return x, x + width, y, y + height


def draw_hot_pixels(
    config: DarkCurrent, dark_electron_s: NDArray[np.float32], rng: np.random.Generator
) -> None:
    """Add hot pixels to a dark-current map, in place.

    Rates follow dN/dr ∝ r⁻² between the configured limits, as in real sensors.
    """
    number = int(rng.poisson(config.hot_fraction * dark_electron_s.size))
    where = rng.integers(0, dark_electron_s.size, number)
    low, high = 1 / config.hot_min_electron_s, 1 / config.hot_max_electron_s
    rate = 1 / (low - rng.random(number) * (low - high))
    np.add.at(dark_electron_s.reshape(-1), where, rate.astype(np.float32))
