"""Spreading of digitised values over the digitisation step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def dequantize(raw: NDArray[np.float32], rng: np.random.Generator) -> None:
    """Add uniform noise in [-1/2, 1/2) adu to each pixel, in place.

    Where the read noise is well below 1 adu, medians and histograms otherwise stick to
    integers. The variance grows by 1/12 adu².

    Parameters
    ----------
    raw
        Raw pixels, adu.
    rng
        Seeded from the data ID.
    """
    raw += rng.random(raw.shape, np.float32)
    raw -= np.float32(0.5)
