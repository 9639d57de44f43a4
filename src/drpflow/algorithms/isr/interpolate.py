"""Cosmetic filling of defects and saturated pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drpflow.kernels import interpolation as kernels

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from drpflow.data.mask import Mask

# Where a bad row crosses a bad column there is nothing along either. Such a spot, if it is no
# larger than this, is filled in a second pass from what the first one filled.
_CROSSING_PIX = 3


def interpolate(
    image: NDArray[np.float32],
    variance: NDArray[np.float32],
    mask: Mask,
    planes: Iterable[str] = ("BAD", "SAT", "UNMASKEDNAN"),
    *,
    max_gap_pix: int = 64,
) -> int:
    """Fill masked pixels from their neighbours along rows and columns, in place.

    Each pixel gets the mean of its row's and its column's estimate, weighted by 1/gap²: bad
    columns are bridged along rows, bleeds too, round cores from all four sides. Gaps of up to
    three pixels are bridged by a cubic, longer ones by a straight line. INTRP is set where a
    pixel was filled. Pixels without data neither are filled nor serve as neighbours, and a gap
    that is too long both ways keeps what it has.

    Parameters
    ----------
    image, variance, mask
        The image.
    planes
        Planes whose pixels are filled.
    max_gap_pix
        Longest gap that is bridged, pixels.

    Returns
    -------
    int
        Number of pixels filled.
    """
    wanted = mask.any(planes) & ~mask.any("NO_DATA")
    rows, columns = np.divmod(np.flatnonzero(wanted), wanted.shape[1])
    if rows.size == 0:
        return 0
    unusable = wanted | mask.any(("NO_DATA", "UNMASKEDNAN"))
    total = 0
    for gap in (max_gap_pix, min(max_gap_pix, _CROSSING_PIX)):
        filled = np.zeros(rows.size, np.bool_)
        kernels.fill(image, variance, unusable, rows, columns, gap, filled)
        mask.array[rows[filled], columns[filled]] |= mask.bit("INTRP")
        unusable[rows[filled], columns[filled]] = False
        rows, columns = rows[~filled], columns[~filled]
        total += int(filled.sum())
    return total
