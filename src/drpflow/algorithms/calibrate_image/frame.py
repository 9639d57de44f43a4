"""A detector's image while it is calibrated."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from drpflow.data.background import Background
from drpflow.data.geometry import Box
from drpflow.data.mask import Mask

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.data.background import BackgroundLayer
    from drpflow.data.exposure import Exposure

    Image = NDArray[np.float32]

EMPTY = ("NO_DATA", "UNMASKEDNAN")
"""Planes of pixels that hold nothing."""
UNUSABLE = (*EMPTY, "BAD", "SAT", "CR", "SUSPECT")
"""Planes of pixels that are no measurement of the sky."""


@dataclass(eq=False)
class Frame:
    """Pixels in electrons, changed in place stage by stage.

    Parameters
    ----------
    image, variance
        Electrons and their square, float32, shape (ny, nx); less the background found so far.
    mask
        Flags.
    visit, detector
        The data ID, which seeds all that is random.
    seed
        The configuration's part of the seed.
    background
        What has been subtracted, layer by layer.
    """

    image: Image
    variance: Image
    mask: Mask
    visit: int
    detector: int
    seed: int = 1
    background: Background = field(default_factory=Background)

    @classmethod
    def of_exposure(cls, exposure: Exposure, visit: int, detector: int, seed: int) -> Frame:
        """Return a frame with pixels of its own."""
        image = np.array(exposure.image, np.float32)
        mask = Mask(np.array(exposure.mask.array, np.int32), exposure.mask.planes)
        return cls(image, np.array(exposure.variance, np.float32), mask, visit, detector, seed)

    @property
    def box(self) -> Box:
        """The pixels of the detector."""
        return Box.from_shape(self.image.shape)

    def rng(self, purpose: int) -> np.random.Generator:
        """Return the random numbers of one purpose, the same in every run."""
        return np.random.default_rng([self.seed, self.visit, self.detector, purpose])

    def subtract(self, name: str, layer: BackgroundLayer) -> None:
        """Take a background layer off the image, and note it."""
        self.background = self.background.add_layer(name, layer)
        self.image = self.background.subtract(self.image, names=[name])

    def restore(self) -> None:
        """Put the whole background back."""
        self.image = self.background.undo(self.image)
        self.background = Background()
