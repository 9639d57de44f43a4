"""The image of a detector that could not be made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drpflow.data.detector_info import DetectorInfo
from drpflow.data.exposure import Exposure
from drpflow.data.mask import Mask

if TYPE_CHECKING:
    from collections.abc import Iterable

    from drpflow.data.camera import Detector
    from drpflow.data.exposure import Unit
    from drpflow.data.visit_info import VisitInfo


def lost_exposure(
    detector: Detector,
    visit_info: VisitInfo | None,
    reason: str,
    missing: Iterable[str],
    unit: Unit = "electron",
) -> Exposure:
    """Return the complete form of an image that does not exist: NaN, NO_DATA everywhere.

    Parameters
    ----------
    detector
        Gives the shape.
    visit_info
        The visit, if its metadata can be read.
    reason
        Why there is none.
    missing
        Components that are missing for this reason.
    unit
        Of the pixels, had there been any.
    """
    mask = Mask.zeros(detector.shape)
    mask.array[:] = mask.bit("NO_DATA")
    instrument = visit_info.instrument if visit_info else ""
    return Exposure(
        np.full(detector.shape, np.nan, np.float32),
        mask,
        np.full(detector.shape, np.nan, np.float32),
        unit=unit,
        components={"visit_info": visit_info, "detector": DetectorInfo(detector, instrument)},
        missing=dict.fromkeys(missing, reason),
    )
