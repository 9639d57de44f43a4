"""Small fields of stars with a Gaussian PSF, and their footprints, made without the project."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from drpflow.data.footprints import Footprints

SKY_ELECTRON = 400.0


@dataclass(frozen=True)
class StarField:
    """Stars and their expected electrons."""

    sigma: float
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    flux: NDArray[np.float64]
    light: NDArray[np.float64]

    def observe(
        self, light: NDArray[np.float64], rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Add noise; return image and variance."""
        variance = light + SKY_ELECTRON
        image = light + rng.normal(size=light.shape) * np.sqrt(variance)
        return image.astype(np.float32), variance.astype(np.float32)


def gaussian(size: int, x0: float, y0: float, sigma: float, flux: float) -> NDArray[np.float64]:
    """Return an image of one star, sampled at the centres of the pixels."""
    along_x = np.exp(-0.5 * ((np.arange(size) - x0) / sigma) ** 2)
    along_y = np.exp(-0.5 * ((np.arange(size) - y0) / sigma) ** 2)
    return flux / (2 * np.pi * sigma**2) * along_y[:, None] * along_x


def stars_at(size: int, sigma: float, stars: list[tuple[float, float, float]]) -> StarField:
    """Return a field of the given stars (x, y, flux)."""
    light = np.zeros((size, size))
    for x, y, flux in stars:
        light += gaussian(size, x, y, sigma, flux)
    columns = np.array(stars).T
    return StarField(sigma, columns[0], columns[1], columns[2], light)


def star_field(
    size: int,
    number: int,
    sigma: float,
    rng: np.random.Generator,
    log_flux: tuple[float, float] = (3, 5),
) -> StarField:
    """Return a field of stars at random places."""
    x, y = rng.uniform(5, size - 6, (2, number))
    flux = 10 ** rng.uniform(*log_flux, number)
    return stars_at(size, sigma, list(zip(x, y, flux, strict=True)))


def find_footprints(image: NDArray[np.float32], sigma: float, threshold: float = 5.0) -> Footprints:
    """Detect in a plain way: matched filter, threshold, growth, local maxima."""
    noise = np.sqrt(SKY_ELECTRON / (4 * np.pi * sigma**2))
    smoothed = ndimage.gaussian_filter(image.astype(float), sigma) / noise
    above = smoothed > threshold
    labels, _ = ndimage.label(ndimage.binary_dilation(above, iterations=round(2.4 * sigma)))
    y, x = np.nonzero(above & (smoothed == ndimage.maximum_filter(smoothed, 3)))
    return Footprints.from_labels(labels, x, y, smoothed[y, x])
