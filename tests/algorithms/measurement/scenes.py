"""Simulated stars on a grid, with their truth, for the tests of measurements."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drpflow.data.footprints import Footprints
from drpflow.data.heavy_footprints import HeavyFootprints
from drpflow.data.mask import Mask
from drpflow.data.psf import GaussianPsf, Psf

SKY, READ_NOISE = 200.0, 5.0


@dataclass
class Scene:
    """Stars on a noisy image, their footprints, and where they are."""

    image: NDArray[np.float32]
    variance: NDArray[np.float32]
    mask: Mask
    sources: HeavyFootprints
    psf: Psf
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    flux: NDArray[np.float64]

    @property
    def noise(self) -> float:
        """Standard deviation of an empty pixel."""
        return float(np.sqrt(SKY + READ_NOISE**2))


def draw(
    psf: Psf, shape: tuple[int, int], x: NDArray[np.float64], y: NDArray, flux: NDArray
) -> NDArray[np.float64]:
    image = np.zeros(shape)
    stamps, x0, y0 = psf.compute_images(x, y)
    for k in range(len(stamps)):
        v, u = np.mgrid[: stamps.shape[1], : stamps.shape[2]]
        v, u = v + y0[k], u + x0[k]
        ok = (v >= 0) & (u >= 0) & (v < shape[0]) & (u < shape[1])
        image[v[ok], u[ok]] += flux[k] * stamps[k][ok]
    return image


def star_field(
    n_side: int = 10,
    step: int = 40,
    flux: tuple[float, float] = (3e3, 1e5),
    sigma: float = 1.9,
    seed: int = 1,
    psf: Psf | None = None,
) -> Scene:
    """Return stars on a grid, one a cell, with photon and read noise."""
    rng = np.random.default_rng(seed)
    n = n_side * step
    psf = psf or GaussianPsf(sigma, half_size=max(12, int(6 * sigma)))
    cells = (np.arange(n_side) + 0.5) * step
    y, x = (part.ravel() + rng.uniform(-0.5, 0.5, n_side**2) for part in np.meshgrid(cells, cells))
    fluxes = 10 ** rng.uniform(*np.log10(flux), n_side**2)
    expected = draw(psf, (n, n), x, y, fluxes)
    image = rng.poisson(expected + SKY) + rng.normal(0, READ_NOISE, (n, n)) - SKY
    variance = np.maximum(image + SKY + READ_NOISE**2, READ_NOISE**2 / 4).astype(np.float32)
    image = image.astype(np.float32)
    labels = np.zeros((n, n), np.int32)
    reach = int(min(5 * sigma, step / 2 - 1))
    for k in range(x.size):
        column, row = round(x[k]), round(y[k])
        box = np.s_[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach]
        labels[box] = k + 1
    prints = Footprints.from_labels(labels, np.rint(x), np.rint(y), fluxes / 100)
    sources = HeavyFootprints.from_image(prints, image)
    return Scene(image, variance, Mask.zeros((n, n)), sources, psf, x, y, fluxes)


def robust_width(values: NDArray) -> float:
    """Return the standard deviation that a normal distribution of these quartiles has."""
    low, high = np.percentile(values[np.isfinite(values)], [25, 75])
    return float((high - low) / 1.349)
