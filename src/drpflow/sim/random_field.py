"""Random fields on the sky with a von Kármán spectrum: turbulence, clouds, image shapes.

The spectrum is ``P(k) ∝ (k² + k0²)^(-11/6)`` in two dimensions. Its correlation function,
``(k0 r)^(5/6) K_{5/6}(k0 r)``, has fallen to 1/e at ``k0 r = 1.4656``; that separation is the
coherence length by which fields are asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

E_FOLDING_K0_R = 1.4656
_MAX_GRID = 1024


@dataclass(frozen=True)
class Field:
    """A periodic map on a regular grid, evaluated by cubic splines.

    Parameters
    ----------
    coefficients
        Spline coefficients, shape (components, n, n).
    spacing_deg
        Step of the grid.
    """

    coefficients: np.ndarray
    spacing_deg: float

    def __call__(self, x_deg: np.ndarray, y_deg: np.ndarray) -> np.ndarray:
        """Evaluate at points of the field, shape (components, …)."""
        from scipy.ndimage import map_coordinates

        half = self.coefficients.shape[-1] // 2
        x, y = np.broadcast_arrays(x_deg, y_deg)
        points = np.stack([y.ravel(), x.ravel()]) / self.spacing_deg + half
        values = [
            map_coordinates(c, points, order=3, mode="grid-wrap", prefilter=False)
            for c in self.coefficients
        ]
        return np.array(values).reshape(len(values), *x.shape)


def scalar_field(
    rng: np.random.Generator, coherence_deg: float, diameter_deg: float, components: int = 1
) -> Field:
    """Draw independent fields of mean 0 and expected variance 1.

    Parameters
    ----------
    rng
        Source of randomness.
    coherence_deg
        Separation at which the correlation is 1/e.
    diameter_deg
        Size of the region where the field will be used; it repeats at twice that or more.
    components
        Number of fields.
    """
    n, spacing = _grid(coherence_deg, diameter_deg)
    amplitude = _amplitude(n, spacing, coherence_deg)
    waves = np.fft.fft2(rng.normal(size=(components, n, n))) * amplitude
    return _field(np.fft.ifft2(waves).real, spacing)


def displacement_field(
    rng: np.random.Generator, coherence_deg: float, diameter_deg: float, curl_fraction: float
) -> Field:
    """Draw a vector field, mostly a gradient, of expected variance 1 for each coordinate.

    Light is bent along the gradient of a delay, so a displacement by the air is free of curl
    but for what the wind does during the exposure.

    Parameters
    ----------
    rng, coherence_deg, diameter_deg
        As for :func:`scalar_field`.
    curl_fraction
        Share of the power in the curl.
    """
    n, spacing = _grid(coherence_deg, diameter_deg)
    amplitude = _amplitude(n, spacing, coherence_deg)
    along, across = np.fft.fft2(rng.normal(size=(2, n, n))) * amplitude
    kx, ky = _directions(n)
    # Gradient and curl parts each share their power between the coordinates: √2 restores
    # unit variance for each.
    along, across = along * np.sqrt(2 * (1 - curl_fraction)), across * np.sqrt(2 * curl_fraction)
    waves = 1j * np.stack([kx * along - ky * across, ky * along + kx * across])
    return _field(np.fft.ifft2(waves).real, spacing)


def _grid(coherence_deg: float, diameter_deg: float) -> tuple[int, float]:
    spacing = coherence_deg / 16
    needed = max(2 * diameter_deg, 8 * coherence_deg) / spacing
    n = min(1 << int(np.ceil(np.log2(needed))), _MAX_GRID)
    return n, max(spacing, 2 * diameter_deg / n)


def _amplitude(n: int, spacing_deg: float, coherence_deg: float) -> np.ndarray:
    """Return by what to multiply white noise of unit variance."""
    k = 2 * np.pi * np.fft.fftfreq(n, spacing_deg)
    k0 = E_FOLDING_K0_R / coherence_deg
    power = (k[:, None] ** 2 + k[None, :] ** 2 + k0**2) ** (-11 / 6)
    power[0, 0] = 0.0
    return np.sqrt(power / power.mean())


def _directions(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the unit wave vectors; zero where a real field has no direction (Nyquist)."""
    k = np.fft.fftfreq(n)
    k[n // 2] = 0.0
    kx, ky = np.meshgrid(k, k)
    norm = np.hypot(kx, ky)
    norm[norm == 0] = np.inf
    return kx / norm, ky / norm


def _field(values: np.ndarray, spacing_deg: float) -> Field:
    from scipy.ndimage import spline_filter

    coefficients = np.array([spline_filter(v, order=3, mode="grid-wrap") for v in values])
    return Field(coefficients, spacing_deg)
