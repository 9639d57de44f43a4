"""From amplifiers in the order of readout to the assembled detector."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drpflow.algorithms.isr.readout import detector_section

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drpflow.data.camera import Detector


def assemble(signals: Sequence[NDArray], detector: Detector) -> NDArray:
    """Put the amplifiers' pixels in their places in the detector.

    Parameters
    ----------
    signals
        Pixels of each amplifier in the order of readout.
    detector
        The detector; its amplifiers in the order of `signals`.

    Returns
    -------
    ndarray
        Shape ``detector.shape``, of the type of `signals`.
    """
    image = np.empty(detector.shape, signals[0].dtype)
    for signal, amp in zip(signals, detector.amplifiers, strict=True):
        detector_section(image, amp)[...] = signal
    return image
