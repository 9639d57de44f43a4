"""A calibrated image of sky and stars, for the tests of compression."""

from __future__ import annotations

import numpy as np

from drpflow.data.exposure import Exposure
from drpflow.data.mask import Mask

SHAPE = (256, 320)
SKY_ELECTRON, READ_NOISE_ELECTRON, NJY = 200.0, 5.0, 2.5
SIGMA = NJY * (SKY_ELECTRON + READ_NOISE_ELECTRON**2) ** 0.5


def make_scene(seed: int = 1, n_stars: int = 12, flux_electron: float = 2e4) -> Exposure:
    """Poisson sky less its mean, stars with DETECTED about them, in nJy."""
    rng = np.random.default_rng(seed)
    light = np.full(SHAPE, SKY_ELECTRON)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    mask = Mask.zeros(SHAPE)
    for y0, x0 in rng.uniform((10, 10), (SHAPE[0] - 10, SHAPE[1] - 10), (n_stars, 2)):
        r2 = (x - x0) ** 2 + (y - y0) ** 2
        light += flux_electron * np.exp(-r2 / 8) / (8 * np.pi)
        mask.set("DETECTED", r2 < 12**2)
    electrons = rng.poisson(light) + rng.normal(0, READ_NOISE_ELECTRON, SHAPE)
    image = (NJY * (electrons - SKY_ELECTRON)).astype(np.float32)
    variance = (NJY**2 * (electrons + READ_NOISE_ELECTRON**2)).astype(np.float32)
    return Exposure(image, mask, variance, unit="nJy")
