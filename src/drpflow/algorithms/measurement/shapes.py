"""Adaptive moments and Gaussian fluxes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.algorithms.measurement.work_image import plain_scene
from drpflow.config.measurement import ShapeConfig
from drpflow.kernels.moments import measure_moments, stack_moments

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from drpflow.kernels.stamps import Scene

    Columns = dict[str, NDArray[Any]]
    Float64 = NDArray[np.float64]

_SHORTEST_SHIFT_PIX = 2.0
_GAUSSIAN = 2.0
# Beyond it the response of the moments is not linear any more.
_LARGEST_KURTOSIS = 2.6


def measure_shapes(
    image: NDArray[np.float32],
    variance: NDArray[np.float32],
    bad: NDArray[np.bool_],
    x: ArrayLike,
    y: ArrayLike,
    sigma_guess_pix: float,
    config: ShapeConfig | None = None,
) -> dict[str, NDArray[Any]]:
    """Measure moments and Gaussian fluxes on an image as it is.

    Parameters
    ----------
    image, variance
        Shape (ny, nx), background subtracted, electron and electron².
    bad
        Pixels without a usable value.
    x, y
        Peaks, pixels, shape (n,).
    sigma_guess_pix
        Sigma of a typical point source; a guess wrong by a factor of two is good enough.
    config
        Limits of the iteration.

    Returns
    -------
    dict
        ``x``, ``y``, ``ixx``, ``iyy``, ``ixy``, ``flux``, ``flux_err`` (float64) and ``flag``
        (bool: the iteration failed, or a bad pixel lies within 3 sigma), shape (n,).

    Notes
    -----
    15 µs a source at 2 pixels sigma.
    """
    config = config or ShapeConfig()
    xs, ys = np.atleast_1d(np.asarray(x, float)), np.atleast_1d(np.asarray(y, float))
    scene = plain_scene(image, variance, bad)
    found, good = _moments(
        scene, np.zeros(xs.size, np.int64), xs, ys, sigma_guess_pix, _GAUSSIAN, config
    )
    names = ("x", "y", "ixx", "iyy", "ixy", "flux")
    columns: Columns = {name: found[:, i].copy() for i, name in enumerate(names)}
    columns["flux_err"] = np.sqrt(found[:, 12])
    columns["flag"] = ~good
    return columns


def shape_columns(
    scene: Scene, x: Float64, y: Float64, sigma_pix: float, kurtosis: float, config: ShapeConfig
) -> tuple[Columns, tuple[Float64, Float64], Float64]:
    """Measure all sources of a scene.

    Parameters
    ----------
    scene
        Rows are the sources.
    x, y
        Where to start, pixels, shape (n,).
    sigma_pix
        Sigma of the PSF.
    kurtosis
        Of the PSF, see `weighted_kurtosis`; for the errors.
    config
        Limits of the iteration.

    Returns
    -------
    columns
        Moments, their errors and the Gaussian flux, under the names of the star table.
    center
        x and y of the moments, the start where they failed.
    covariance
        Variances of these and their covariance, shape (n, 3), NaN where they failed.
    """
    found, good = _moments(scene, np.arange(x.size), x, y, sigma_pix, kurtosis, config)
    # Moments that lack pixels are kept with their flag, those that did not converge are not.
    error = np.sqrt(found[:, 9:12])
    columns: Columns = {
        "ixx": found[:, 2].copy(),
        "iyy": found[:, 3].copy(),
        "ixy": found[:, 4].copy(),
        "ixxErr": error[:, 0].astype(np.float32),
        "iyyErr": error[:, 1].astype(np.float32),
        "ixyErr": error[:, 2].astype(np.float32),
        "shape_flag": ~good,
        "gaussianFlux_instFlux": found[:, 5].copy(),
        "gaussianFlux_instFluxErr": np.sqrt(found[:, 12]),
        "gaussianFlux_flag": ~good,
    }
    failed = np.isnan(found[:, 0])
    center = np.where(failed, x, found[:, 0]), np.where(failed, y, found[:, 1])
    return columns, center, found[:, 6:9]


def weighted_kurtosis(image: Float64) -> float:
    """Return ⟨ρ⁴⟩ of an image under its adaptive weight: 2 for a Gaussian, more with wings.

    Parameters
    ----------
    image
        A source without noise near its centre, shape (n, n).

    Returns
    -------
    float
        At most 2.6; 2 where there are no moments.
    """
    n = len(image)
    middle = np.array([(n - 1) / 2])
    found = np.empty((1, 5))
    stack_moments(image[None], middle, middle, n / 8, found)
    x, y, xx, yy, xy = found[0]
    if np.isnan(x):
        return _GAUSSIAN
    dy, dx = np.mgrid[:n, :n] - np.array([y, x])[:, None, None]
    rho2 = (yy * dx**2 + xx * dy**2 - 2 * xy * dx * dy) / (xx * yy - xy**2)
    weighted = np.exp(-rho2 / 2) * image
    return float(min((weighted * rho2**2).sum() / weighted.sum(), _LARGEST_KURTOSIS))


def _moments(
    scene: Scene,
    rows: NDArray[np.int64],
    x: Float64,
    y: Float64,
    sigma_pix: float,
    kurtosis: float,
    config: ShapeConfig,
) -> tuple[Float64, NDArray[np.bool_]]:
    found = np.full((x.size, 13), np.nan)
    good = np.zeros(x.size, bool)
    shift = max(_SHORTEST_SHIFT_PIX, config.max_shift_sigma * sigma_pix)
    measure_moments(
        scene,
        rows,
        x,
        y,
        np.full(x.size, float(sigma_pix)),
        config.half_size_pix,
        np.array([shift, config.tolerance, kurtosis]),
        config.max_iterations,
        found,
        good,
    )
    return found, good
