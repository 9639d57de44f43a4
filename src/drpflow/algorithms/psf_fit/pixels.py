"""What the modes do not describe: free values of the grid's points.

Residuals of all stars are brought onto the grid with the transpose of the interpolation, which for
a well sampled image is close to its inverse; each point then has a small system of its own for
the polynomial's terms. Values are shrunk by signal/(signal + noise), the powers being those of a
term in a ring about the centre, so that noise of the stars stays out of the wings of the model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.psf_fit.stars import Comparison

    Floats: TypeAlias = NDArray[np.float64]
    Bools: TypeAlias = NDArray[np.bool_]

_RING_PIX = 1.5


def back_project(
    residual: Floats, weight: Floats, flux: Floats, along_y: Floats, along_x: Floats
) -> tuple[Floats, Floats]:
    """Return fᵀSᵀ(w r) and f²(S∘S)ᵀw of each star on the grid, both (N, n_grid, n_grid).

    Parameters
    ----------
    residual, weight
        Shape (N, n, n); inverse variances, 0 for what is not used.
    flux
        Shape (N,).
    along_y, along_x
        Interpolation matrices of the stars, (N, n, n_grid).
    """
    right = along_y.transpose(0, 2, 1) @ (weight * residual) @ along_x
    power = np.square(along_y).transpose(0, 2, 1) @ weight @ np.square(along_x)
    return flux[:, None, None] * right, np.square(flux)[:, None, None] * power


def improve_pixels(
    current: Floats, seen: Comparison, design: Floats, fits: Bools, n_terms: int
) -> Floats:
    """Return new free values of the grid's first terms, from the residuals of some stars.

    Parameters
    ----------
    current
        Values that the residuals were formed with, shape (T, n_grid, n_grid).
    seen
        The model beside N stars.
    design
        Polynomial terms at the stars, shape (N, T).
    fits
        Which stars count, (N,).
    n_terms
        How many terms there shall be.
    """
    right, power = back_project(
        seen.residual[fits],
        seen.weight[fits],
        seen.places.flux[fits],
        seen.along_y[fits],
        seen.along_x[fits],
    )
    return update_pixels(current[:n_terms], right, power, design[fits, :n_terms])


def update_pixels(current: Floats, right: Floats, power: Floats, design: Floats) -> Floats:
    """Return new free values of the grid.

    Parameters
    ----------
    current
        Values that the residuals were formed with, shape (T, n_grid, n_grid).
    right, power
        What :func:`back_project` gave.
    design
        Polynomial terms at the stars, (N, T).

    Returns
    -------
    ndarray
        Shape (T, n_grid, n_grid).
    """
    n_terms, n_grid = current.shape[:2]
    target = np.tensordot(design.T, right, axes=1).reshape(n_terms, -1).T
    products = (design[:, :, None] * design[:, None, :]).reshape(len(design), -1)
    normal = np.tensordot(products.T, power, axes=1).reshape(n_terms, n_terms, -1)
    normal = normal.transpose(2, 0, 1)
    trace = np.einsum("paa->p", normal)
    ridge = 1e-6 * np.maximum(trace, 1e-6 * trace.max() + 1e-300)
    noise = np.linalg.inv(normal + ridge[:, None, None] * np.eye(n_terms))
    total = current.reshape(n_terms, -1).T + np.einsum("pab,pb->pa", noise, target)
    variance = np.einsum("paa->pa", noise)
    return (total * _trust(total, variance, n_grid)).T.reshape(current.shape)


def _trust(values: Floats, variance: Floats, n_grid: int) -> Floats:
    """Return signal/(signal + noise) of each value; the signal's power is that of its ring."""
    offsets = np.arange(n_grid) - n_grid // 2
    ring = (np.hypot(offsets[:, None], offsets) / _RING_PIX).astype(int).ravel()
    members = np.bincount(ring)
    trust = np.empty_like(values)
    for term in range(values.shape[1]):
        # The mean of (value² - noise)/noise is 0 ± √(2/members) where there is no signal.
        excess = np.square(values[:, term]) / variance[:, term] - 1
        signal = np.bincount(ring, excess) / members
        signal = np.maximum(signal - np.sqrt(2 / members), 0)
        trust[:, term] = (signal / (signal + 1))[ring]
    return trust
