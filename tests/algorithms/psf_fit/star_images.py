"""Fields of stars whose PSF varies over the image in a known way, drawn by GalSim."""

from __future__ import annotations

from dataclasses import dataclass

import galsim
import numpy as np

from drpflow.data.geometry import Box
from drpflow.data.psf import Moments, adaptive_moments


@dataclass
class StarField:
    """Image, noise, and what is true."""

    image: np.ndarray
    variance: np.ndarray
    bad: np.ndarray
    x: np.ndarray
    y: np.ndarray
    flux: np.ndarray
    fwhm_pix: float

    @property
    def box(self) -> Box:
        return Box.from_shape(self.image.shape)


def profile(fwhm_pix: float, x: float, y: float, size: int) -> galsim.GSObject:
    """Kolmogorov's profile with coma-like skewness left out; 4 % wider across the image."""
    u, v = 2 * x / size - 1, 2 * y / size - 1
    base = galsim.Kolmogorov(fwhm=fwhm_pix * (1 + 0.02 * u + 0.01 * v * v))
    return galsim.Convolve(base.shear(e1=0.03 + 0.02 * v, e2=-0.02 + 0.02 * u), galsim.Pixel(1.0))


def draw(
    fwhm_pix: float, x: float, y: float, size: int, n: int, dx: float = 0, dy: float = 0
) -> np.ndarray:
    stamp = profile(fwhm_pix, x, y, size).drawImage(
        nx=n, ny=n, scale=1, offset=(dx, dy), method="no_pixel", dtype=float
    )
    return stamp.array


def star_field(
    number: int, size: int, fwhm_pix: float, rng: np.random.Generator, sky: float = 200.0
) -> StarField:
    """Stars with S/N from 60 to 1000, apart from each other."""
    half = int(6 * fwhm_pix)
    x, y = _apart(number, size, 3 * fwhm_pix, rng)
    area = 4 * np.pi * (fwhm_pix / 2.35) ** 2
    snr = 60 * (1000 / 60) ** rng.uniform(0, 1, number)
    flux = snr**2 / 2 * (1 + np.sqrt(1 + 4 * sky * area / snr**2))
    canvas = np.zeros((size + 2 * half, size + 2 * half))
    for a, b, f in zip(x, y, flux, strict=True):
        column, row = int(np.floor(a + 0.5)), int(np.floor(b + 0.5))
        stamp = draw(fwhm_pix, a, b, size, 2 * half + 1, a - column, b - row)
        canvas[row : row + 2 * half + 1, column : column + 2 * half + 1] += f * stamp
    clean = canvas[half:-half, half:-half] + sky
    noisy = rng.poisson(clean) + rng.normal(0, 5, clean.shape)
    variance = np.maximum(noisy, 1) + 25.0
    return StarField(
        (noisy - sky).astype(np.float32),
        variance.astype(np.float32),
        np.zeros(clean.shape, bool),
        x,
        y,
        flux,
        fwhm_pix,
    )


def true_shape(field: StarField, x: np.ndarray, y: np.ndarray) -> Moments:
    n = 2 * int(5 * field.fwhm_pix) + 1
    size = field.image.shape[0]
    images = [draw(field.fwhm_pix, a, b, size, n) for a, b in zip(x, y, strict=True)]
    return adaptive_moments(np.array(images))[0]


def _apart(
    number: int, size: int, distance: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    places: list[np.ndarray] = []
    while len(places) < number:
        candidate = rng.uniform(2 * distance, size - 2 * distance, 2)
        if all(np.hypot(*(candidate - p)) > distance for p in places):
            places.append(candidate)
    x, y = np.array(places).T
    return x, y
