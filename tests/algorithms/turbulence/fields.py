"""Displacement fields and stars in them."""

from __future__ import annotations

import numpy as np
from scipy.fft import irfft2, rfft2

from drpflow.algorithms.turbulence.process import GriddedField, ResidualSet
from drpflow.algorithms.turbulence.spectrum import Spectrum, modes


def drawn(spectrum: Spectrum, side_deg: float, seed: int) -> GriddedField:
    """Return a field over a square about 0, periodic far outside."""
    spacing = spectrum.shortest_deg / 8
    n = 2 * int(np.ceil((side_deg / 2 + 4 * spectrum.coherence_deg) / spacing))
    waves = modes(spectrum, (n, n), spacing)
    rng = np.random.default_rng(seed)
    e, b = rfft2(rng.normal(size=(2, n, n)), norm="ortho")
    kx, ky = waves.direction
    e, b = waves.root_along * e, waves.root_across * b
    values = irfft2(np.stack([kx * e - ky * b, ky * e + kx * b]), s=(n, n), norm="ortho")
    return GriddedField((-spacing * n / 2,) * 2, spacing, values, 0)


def seen(
    field: GriddedField, number: int, side_deg: float, noise_mas: float, seed: int
) -> tuple[ResidualSet, np.ndarray]:
    """Return stars spread over a square, their residuals, and the field at them."""
    rng = np.random.default_rng([seed, number])
    x, y = rng.uniform(-side_deg / 2, side_deg / 2, (2, number))
    true = field.at(x, y)
    sigma = noise_mas * 10 ** rng.uniform(-0.5, 0.5, number)
    dx, dy = true + sigma * rng.normal(size=(2, number))
    zero = np.zeros(number)
    return ResidualSet(x, y, dx, dy, sigma**2, zero, sigma**2), true


def polynomial_design(x: np.ndarray, y: np.ndarray, order: int) -> np.ndarray:
    """Return 1, x, y, x², … to a total degree, columns."""
    pairs = [(n - j, j) for n in range(order + 1) for j in range(n + 1)]
    return np.column_stack([x**i * y**j for i, j in pairs])
