"""Which stars are held back to judge the model: only such as others can stand in for."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.data.polynomial import Basis2D, Domain

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.config.psf import PsfConfig
    from drpflow.data.geometry import Box

    Floats: TypeAlias = NDArray[np.float64]
    Bools: TypeAlias = NDArray[np.bool_]

# Without a star of leverage h, the variance of the model at its place is larger by 1/(1 - h).
_MAX_LEVERAGE = 0.3
_RIDGE = 1e-9


def reserve(
    x: Floats, y: Floats, flux: Floats, box: Box, config: PsfConfig, rng: np.random.Generator
) -> Bools:
    """Choose the stars that are held back, at random within classes of equal flux.

    None are where stars are few. A star that alone supports the polynomials at its place (the one
    bright star of a corner) stays in the fit, and the class goes without if all its stars do.
    The sample is thus of all fluxes and places where a model can be judged at all; at the places
    left out it is less certain than the sample tells.

    Parameters
    ----------
    x, y
        Places, pixels, shape (N,).
    flux
        Shape (N,), good to a factor of two.
    box
        The domain of the model.
    config
        Parameters.
    rng
        Random numbers.

    Returns
    -------
    ndarray of bool, shape (N,)
    """
    held = int(config.reserve_fraction * len(flux))
    held = max(min(held, len(flux) - config.min_used_with_reserve), 0)
    reserved = np.zeros(len(flux), bool)
    if not held:
        return reserved
    design = Basis2D(config.order, Domain.of_box(box)).design(x, y)
    weight = _weights(flux)
    for members in np.array_split(np.argsort(flux, kind="stable"), held):
        spared = members[_leverage(design, weight * ~reserved)[members] <= _MAX_LEVERAGE]
        if spared.size:
            reserved[rng.choice(spared)] = True
    return reserved


def _weights(flux: Floats) -> Floats:
    """Return the stars' weights in the fit, at most one.

    1/(σ² + S²) up to a factor: the noise σ of a shape is as 1/flux against the sky, and the
    scatter S that no polynomial follows is taken to be the noise of the median star.
    """
    light = np.square(np.maximum(flux, 0.0))
    return light / (light + max(float(np.median(light)), np.finfo(float).tiny))


def _leverage(design: Floats, weight: Floats) -> Floats:
    """Return diag B (Bᵀ W B)⁻¹ Bᵀ W, (N,): by how much each star draws the fit to itself."""
    normal = (design * weight[:, None]).T @ design
    ridge = _RIDGE * max(float(np.trace(normal)), 1.0)
    inverse = np.linalg.inv(normal + ridge * np.eye(len(normal)))
    return weight * np.einsum("ni,ij,nj->n", design, inverse, design, optimize=True)
