"""Marking of pixels that are known, or found, to be unusable."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.data.calibrations import Defects
    from drpflow.data.mask import Mask


def mark_defects(mask: Mask, defects: Defects) -> None:
    """Set BAD in the boxes of a defect list, in place; what lies outside is ignored."""
    bad = mask.bit("BAD")
    for x0, x1, y0, y1 in np.maximum(defects.boxes, 0).tolist():
        mask.array[y0:y1, x0:x1] |= bad


def mark_unusable(image: NDArray[np.float32], variance: NDArray[np.float32], mask: Mask) -> None:
    """Mark what cannot be used whatever its cause, in place.

    A pixel that is not finite becomes NaN, and UNMASKEDNAN unless BAD, SAT or NO_DATA explains
    it. Any other pixel without a positive variance is BAD.
    """
    lost = ~np.isfinite(image)
    mask.array[~(variance > 0) & ~lost] |= mask.bit("BAD")
    if lost.any():
        explained = mask.any(("BAD", "SAT", "NO_DATA"))
        image[lost] = np.nan
        mask.array[lost & ~explained] |= mask.bit("UNMASKEDNAN")
