"""A distorted detector with known stars, and a tract."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from drpflow.data.exposure import Exposure
from drpflow.data.geometry import Box
from drpflow.data.mask import Mask
from drpflow.data.photo_calib import PhotoCalib
from drpflow.data.plane_maps import AffineMap, PolynomialMap
from drpflow.data.polynomial import Basis2D, Domain
from drpflow.data.psf import GaussianPsf
from drpflow.data.sky_wcs import SkyWcs
from drpflow.data.tan_projection import TanProjection

SCALE_DEG = 0.2 / 3600


def tract_wcs(scale: float = 1.0) -> SkyWcs:
    """North up; the tangent point at pixel (1000, 1000)."""
    matrix = SCALE_DEG * scale * np.eye(2)
    return SkyWcs(
        (("tract", AffineMap(matrix, -matrix @ [1000.0, 1000.0])),), TanProjection(150.0, 2.0)
    )


def detector_wcs(
    n: int = 400, turn_deg: float = 12.0, distortion: float = 0.003, away_deg: float = 0.0
) -> SkyWcs:
    """A detector about the tangent point whose pixels grow and shear by `distortion` across it."""
    t = np.radians(turn_deg)
    matrix = SCALE_DEG * np.array([[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]])
    middle = (n - 1) / 2
    basis = Basis2D(3, Domain(-0.5, n - 0.5, -0.5, n - 0.5), "power")
    y, x = (v.ravel() for v in np.mgrid[: n : n // 12, : n : n // 12].astype(float))
    u, v = (x - middle) / n, (y - middle) / n
    warped = (
        n * (u + distortion * (u * u + u * v + 0.5 * u**3)) + 0.37,
        n * (v + distortion * (v * v - 0.3 * u * u + u * v * v)) - 0.21,
    )
    distorted = PolynomialMap.fit(basis, x, y, *warped)
    return SkyWcs(
        (("distortion", distorted), ("detector", AffineMap(matrix, np.zeros(2)))),
        TanProjection(150.0 + away_deg, 2.0),
        (n, n),
    )


@dataclass(frozen=True)
class Stars:
    """Places on the detector and fluxes, nJy."""

    x: np.ndarray
    y: np.ndarray
    flux: np.ndarray


def stars(n: int = 400, spacing: int = 50, seed: int = 1) -> Stars:
    """Stars on a jittered lattice, far from the edges."""
    rng = np.random.default_rng(seed)
    at = np.arange(45, n - 44, spacing, dtype=float)
    x, y = (v.ravel() + rng.uniform(-3, 3, at.size**2) for v in np.meshgrid(at, at))
    return Stars(x, y, rng.uniform(1e4, 1e6, x.size))


def draw(found: Stars, shape: tuple[int, int], sigma_pix: float) -> np.ndarray:
    """Return the image, float64: Gaussians sampled at the pixels."""
    y, x = (np.arange(m)[:, None] for m in shape)
    along_x = np.exp(-((x - found.x) ** 2) / (2 * sigma_pix**2)) / np.sqrt(2 * np.pi) / sigma_pix
    along_y = np.exp(-((y - found.y) ** 2) / (2 * sigma_pix**2)) / np.sqrt(2 * np.pi) / sigma_pix
    return (along_y * found.flux) @ along_x.T


def exposure(
    image: np.ndarray,
    wcs: SkyWcs,
    *,
    variance: float = 100.0,
    sigma_pix: float = 1.6,
    xy0: tuple[int, int] = (0, 0),
    **components,
) -> Exposure:
    """Return an exposure in nJy with all that resampling needs."""
    given = {
        "wcs": wcs,
        "psf": GaussianPsf(sigma_pix),
        "photo_calib": PhotoCalib.identity(),
        **components,
    }
    return Exposure(
        image.astype(np.float32),
        Mask.zeros(image.shape),
        np.full(image.shape, variance, np.float32),
        unit="nJy",
        xy0=xy0,
        components=given,
    )


def measure(
    image: np.ndarray, box: Box, x: np.ndarray, y: np.ndarray, radius: int, sigma: float
) -> np.ndarray:
    """Return (x, y, flux) of stars: Gaussian-weighted centroids, sums over squares."""
    out = np.empty((3, x.size))
    for k, (u, v) in enumerate(zip(x, y, strict=True)):
        around = Box.around(u, v, radius)
        part = image[around.slices(box.xy0)].astype(np.float64)
        cu, cv = u, v
        for _ in range(25):
            weight = np.exp(
                -((around.x[None] - cu) ** 2 + (around.y[:, None] - cv) ** 2) / (2 * sigma**2)
            )
            total = (weight * part).sum()
            du = (weight * part * (around.x[None] - cu)).sum() / total
            dv = (weight * part * (around.y[:, None] - cv)).sum() / total
            cu, cv = cu + 2 * du, cv + 2 * dv
        out[:, k] = cu, cv, part.sum()
    return out
