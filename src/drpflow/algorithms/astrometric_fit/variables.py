"""Stars whose places scatter more than their errors allow."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from drpflow.kernels.astrometric_model import REJECTED, USED
from drpflow.kernels.astrometric_rows import count_states

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.astrometric_fit.fit import Fit

    Floats: TypeAlias = NDArray[np.float64]
    Ints: TypeAlias = NDArray[np.int32]
    Bools: TypeAlias = NDArray[np.bool_]

_MANY = 4
# Of the significance, for a star that had left to come back.
_BACK = 0.8


class Counts(NamedTuple):
    """Rows used and rejected, and the expectation of χ², per star."""

    used: Ints
    rejected: Ints
    dof: Floats


def star_parameters(fit: Fit) -> Floats:
    """Return how many of each star's five parameters the observations determine, (S,)."""
    found, sky = fit.found, fit.sky
    prior = sky.prior[sky.kind] + found.tied[:, None, None] * sky.share
    return np.asarray(5 - np.einsum("sij,sji->s", prior, found.covariance))


def count_rows(fit: Fit) -> Counts:
    """Return how many rows of each star count, and what χ² they should have."""
    found, first = fit.found, fit.rows.first
    used, rejected = (count_states(first, found.state, state) for state in (USED, REJECTED))
    return Counts(used, rejected, np.maximum(2 * used - star_parameters(fit), 0.0))


def variable_stars(fit: Fit, before: Bools | None = None) -> Bools:
    """Return which stars scatter too much, or have more rows rejected than used.

    Stars that did `before` must do so clearly less, so that none leaves and returns in turn.
    """
    used, rejected, dof = count_rows(fit)
    sigma = fit.config.noise.variable_sigma
    limit = sigma if before is None else sigma * np.where(before, _BACK, 1.0)
    excess = fit.found.chi2 - dof > limit * np.sqrt(2 * np.maximum(dof, 1.0))
    return np.asarray((excess & (dof > 2)) | ((rejected >= _MANY) & (rejected > used)))
