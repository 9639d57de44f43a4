"""Response of the pixels to uniform light."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.data.mask import Mask


def divide_flat(
    image: NDArray[np.float32],
    variance: NDArray[np.float32],
    mask: Mask,
    flat: NDArray[np.float32],
    *,
    flat_variance: NDArray[np.float32] | None = None,
    minimum: float = 0.1,
    maximum: float = 10.0,
) -> None:
    """Divide an image by the flat, in place.

    ``image := image / f``, ``variance := (variance + image² var(f)) / f²`` with the image
    after division. Pixels whose response is outside the limits, or no number, are BAD and are
    not divided.

    Parameters
    ----------
    image, variance, mask
        electron, electron².
    flat
        f, response relative to the camera's median.
    flat_variance
        var(f).
    minimum, maximum
        Limits of f.
    """
    usable = (flat >= np.float32(minimum)) & (flat <= np.float32(maximum))
    if usable.all():
        divisor = flat
    else:
        mask.array[~usable] |= mask.bit("BAD")
        divisor = np.where(usable, flat, np.float32(1.0))
    image /= divisor
    if flat_variance is not None:
        noise = np.where(np.isfinite(flat_variance), flat_variance, np.float32(0.0))
        noise *= image
        noise *= image
        variance += noise
    variance /= divisor
    variance /= divisor
