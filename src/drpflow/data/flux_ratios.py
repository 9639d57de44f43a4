"""Ratios of two fluxes of the same stars, from image to image."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class FluxRatios(NamedTuple):
    """First fluxes of the isolated stars of an image, in all visits of its band.

    Attributes
    ----------
    star, image
        Whose and on which detector image, shape (n,).
    here
        Detections on the image itself, shape (n,).
    log_ratio
        ln of the reference flux over the flux that was calibrated, NaN where either is not known
        well, shape (n,).
    """

    star: NDArray[np.int64]
    image: NDArray[np.int64]
    here: NDArray[np.bool_]
    log_ratio: NDArray[np.float64]
