"""Stars whose places scatter more than their errors allow."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from drpflow.kernels.astrometric_model import REJECTED, USED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.astrometric_fit.fit import Fit

    Floats: TypeAlias = NDArray[np.float64]
    Ints: TypeAlias = NDArray[np.int32]
    Bools: TypeAlias = NDArray[np.bool_]

_MANY = 4


class Counts(NamedTuple):
    """Rows used and rejected, and the expectation of χ², per star."""

    used: Ints
    rejected: Ints
    dof: Floats


def count_rows(fit: Fit) -> Counts:
    """Return how many rows of each star count, and what χ² they should have."""
    found, sky, first = fit.found, fit.sky, fit.rows.first
    used, rejected = (_per_star(found.state == state, first) for state in (USED, REJECTED))
    prior = sky.prior[sky.kind] + found.tied[:, None, None] * sky.share
    held = np.einsum("sij,sji->s", prior, found.covariance)
    return Counts(used, rejected, np.maximum(2 * used - (5 - held), 0.0))


def variable_stars(fit: Fit) -> Bools:
    """Return which stars scatter too much, or have more rows rejected than used."""
    used, rejected, dof = count_rows(fit)
    sigma = fit.config.noise.variable_sigma
    excess = fit.found.chi2 - dof > sigma * np.sqrt(2 * np.maximum(dof, 1.0))
    return np.asarray((excess & (dof > 2)) | ((rejected >= _MANY) & (rejected > used)))


def _per_star(take: Bools, first: NDArray[np.int64]) -> Ints:
    total = np.concatenate([[0], np.cumsum(take)])
    return (total[first[1:]] - total[first[:-1]]).astype(np.int32)
