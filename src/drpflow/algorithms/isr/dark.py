"""Dark current."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def subtract_dark(
    image: NDArray[np.float32],
    dark: NDArray[np.float32],
    exposure_time_s: float,
    variance: NDArray[np.float32] | None = None,
) -> None:
    """Subtract the dark current that was collected, in place.

    Parameters
    ----------
    image
        electron.
    dark
        Dark current, electron s-1.
    exposure_time_s
        Exposure time, s.
    variance
        Increased by the noise of the dark charge (where it is positive), electron².
    """
    charge = np.multiply(dark, np.float32(exposure_time_s))
    image -= charge
    if variance is not None:
        variance += np.maximum(charge, np.float32(0.0), out=charge)
