"""Small made-up fields: stars and galaxies of known places and fluxes on a known sky."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Float32 = NDArray[np.float32]


def add_stars(
    image: Float64, x: Float64, y: Float64, flux: Float64, sigma_pix: float, *, wings: float = 0.0
) -> None:
    """Add round Gaussians; a share `wings` of the light goes into a Moffat profile (beta 2)."""
    ny, nx = image.shape
    half = int(np.ceil(5 * sigma_pix)) if not wings else int(40 * sigma_pix)
    core = 1.0 / (2 * np.pi * sigma_pix**2)
    scale2 = (3 * sigma_pix) ** 2
    for x0, y0, f in zip(x, y, flux, strict=True):
        left, right = max(0, int(x0) - half), min(nx, int(x0) + half + 1)
        low, high = max(0, int(y0) - half), min(ny, int(y0) + half + 1)
        u = np.arange(left, right) - x0
        v = (np.arange(low, high) - y0)[:, None]
        r2 = u**2 + v**2
        profile = (1 - wings) * core * np.exp(-0.5 * r2 / sigma_pix**2)
        if wings:
            profile += wings / (np.pi * scale2) * (1 + r2 / scale2) ** -2
        image[low:high, left:right] += f * profile


def observed(
    image: Float64, rng: np.random.Generator, *, read_noise: float = 5.0
) -> tuple[Float32, Float32]:
    """Return a noisy image of electrons and its variance, estimated as from real pixels."""
    noisy = rng.poisson(image) + rng.normal(0, read_noise, image.shape)
    return noisy.astype(np.float32), (np.maximum(noisy, 1) + read_noise**2).astype(np.float32)
