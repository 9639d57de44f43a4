"""Correlation of the noise of neighbouring pixels after resampling.

White noise of the detector becomes, at the places p and q of two pixels of the patch,

    cov(p, q) = V Σ_n w(p_x - n_x) w(q_x - n_x) · Σ_n w(p_y - n_y) w(q_y - n_y) ,

with q - p = J · lag. It depends on where p lies within a pixel of the detector: none at all where
grids coincide, most where they are half a pixel apart. The variance plane has the value of each
pixel; of the correlation the mean over the detector is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.data.coadd_psf import relative_jacobian
from drpflow.data.noise_covariance import NoiseCovariance
from drpflow.data.resampling_kernel import resampling_kernel
from drpflow.kernels.warp import lag_covariance

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.warp.inverse_map import PixelMap
    from drpflow.data.geometry import Box

    Floats: TypeAlias = NDArray[np.float64]

# Phases are many enough for correlations to 0.01, at 20 ms a detector.
_PLACES = 48


def kernel_covariance(x: Floats, y: Floats, jacobian: Floats, order: int) -> Floats:
    """Return the mean covariance of resampled white noise of variance 1, by lag.

    Parameters
    ----------
    x, y
        Places of pixels of the patch on the detector, shape (N,).
    jacobian
        d(detector pixels)/d(patch pixels) there, shape (N, 2, 2).
    order
        Order of the kernel: its taps on each side.

    Returns
    -------
    ndarray
        Shape (2k + 1, 2k + 1), lags in (row, column); beyond k kernels do not overlap.
    """
    scale = np.linalg.svd(jacobian, compute_uv=False).min()
    half = max(int(np.ceil(2 * order / scale)) - 1, 0)
    out = np.empty((2 * half + 1, 2 * half + 1))
    lag_covariance(x, y, np.ascontiguousarray(jacobian), resampling_kernel(order), out)
    return out


def mean_correlation(pixel_map: PixelMap, area: Box, order: int) -> NoiseCovariance:
    """Return the correlation of the pixels of a resampled detector whose own noise is white.

    Parameters
    ----------
    pixel_map
        Between tract and detector.
    area
        Footprint of the whole detector on the tract.
    order
        Order of the kernel: its taps on each side.
    """
    # A lattice that does not beat with that of the pixels.
    u = area.x0 + np.floor((np.arange(_PLACES) + 0.5) * area.width / _PLACES)
    v = area.y0 + np.floor((np.arange(_PLACES) + 0.5) * area.height / _PLACES)
    column, row = (w.ravel() for w in np.meshgrid(u, v))
    x, y = pixel_map.to_detector(column, row)
    there = np.isfinite(x) & np.isfinite(y)
    x, y, column, row = (w[there] for w in (x, y, column, row))
    jacobian = relative_jacobian(pixel_map.detector, x, y, pixel_map.tract, column, row)
    return NoiseCovariance.from_covariance(kernel_covariance(x, y, jacobian, order))
