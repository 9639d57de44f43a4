"""Errors of fluxes: a star's own noise, apart from the error of the aperture correction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The least of its error that a star has for itself: what rounding leaves of it.
_LEAST_OWN = 0.01


def own_errors(
    flux: NDArray[Any], error: NDArray[Any], correction: NDArray[Any], correction_err: NDArray[Any]
) -> NDArray[Any]:
    """Return errors without that of the aperture correction.

    That error holds the scatter of single stars about the correction and what all stars of an image
    share, which is part of the zero point. Left in, it makes bright stars count no more than faint
    ones.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        shared = flux * correction_err / correction
        own = error**2 - np.nan_to_num(shared, nan=0.0, posinf=0.0, neginf=0.0) ** 2
    return np.sqrt(np.maximum(own, (_LEAST_OWN * error) ** 2))
