"""The factor of the normal equations with what it was made of, so that its age shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.astrometric_fit.normal import Factor, System

    Floats: TypeAlias = NDArray[np.float64]

# Change of the information of any visit beside that of most of them.
_ANY = 4.0


@dataclass(frozen=True, eq=False)
class Factored:
    """A factor of the normal equations.

    Parameters
    ----------
    factor
        The factor.
    information
        Diagonal of the matrix without priors.
    prior
        Diagonal of the priors.
    by_visit
        What the rows of each visit told, (V,).
    """

    factor: Factor
    information: Floats
    prior: Floats
    by_visit: Floats

    def stale(self, system: System, tolerance: float) -> bool:
        """Return whether variances differ by more than a share, by weights, rows or priors."""
        now = system.found.sums[:, 3]
        change = np.abs(now - self.by_visit) / np.maximum(np.maximum(now, self.by_visit), 1e-300)
        change = change[system.epoch >= 0]
        if change.size and (np.median(change) > tolerance or change.max() > _ANY * tolerance):
            return True
        moved = np.abs(system.prior.diagonal - self.prior)
        return bool((moved > tolerance * (self.information + self.prior)).any())


def factored(system: System) -> Factored:
    """Return the factor of a linear problem."""
    factor, information = system.factor()
    by_visit = system.found.sums[:, 3].copy()
    return Factored(factor, information, system.prior.diagonal, by_visit)
