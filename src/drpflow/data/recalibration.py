"""Taking a calibration off the pixels of an exposure and putting another one on.

What a task did to the pixels is ``(detrended - background) · c``, the background in electrons
before the calibration c, or in nJy after it; the background's unit says which. Undoing goes the
same way backwards. Each step rounds to float32 once, so that undoing and redoing one calibration
gives the pixels back to within a few units in the last place of the larger of pixel and background.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from drpflow.errors import AlgorithmError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from drpflow.data.background import Background
    from drpflow.data.exposure import Unit
    from drpflow.data.photo_calib import PhotoCalib

    Pixels = NDArray[np.float32]


@dataclass(frozen=True)
class PixelCalibration:
    """A background and a calibration, as applied to pixels or about to be.

    Parameters
    ----------
    photo_calib
        From electrons to nJy; None leaves pixels in electrons.
    background
        What is subtracted; None subtracts nothing.
    """

    photo_calib: PhotoCalib | None
    background: Background | None

    @property
    def unit(self) -> Unit:
        """Unit of pixels that have this calibration applied."""
        return "electron" if self.photo_calib is None else "nJy"

    def apply(self, image: Pixels, xy0: tuple[int, int]) -> Pixels:
        """Return detrended pixels, in electrons, with background subtracted and calibrated.

        Parameters
        ----------
        image
            Electrons, shape (ny, nx).
        xy0
            Detector coordinates (x, y) of the first pixel.

        Raises
        ------
        AlgorithmError
            If the background is in nJy and there is no calibration.
        """
        self.check()
        if self._background_unit == "electron":
            image = self._subtract(image, xy0)
        if self.photo_calib is not None:
            image, _ = self.photo_calib.calibrate_image(image, xy0=xy0)
        if self._background_unit == "nJy":
            image = self._subtract(image, xy0)
        return image

    def undo(self, image: Pixels, xy0: tuple[int, int]) -> Pixels:
        """Return the detrended pixels, in electrons: the inverse of :meth:`apply`."""
        self.check()
        if self._background_unit == "nJy":
            image = self._restore(image, xy0)
        if self.photo_calib is not None:
            image, _ = self.photo_calib.uncalibrate_image(image, xy0=xy0)
        if self._background_unit == "electron":
            image = self._restore(image, xy0)
        return image

    def apply_to_variance(self, variance: Pixels, xy0: tuple[int, int]) -> Pixels:
        """Return variance · c²."""
        if self.photo_calib is None:
            return variance
        return self.photo_calib.calibrate_variance(variance, xy0)

    def undo_on_variance(self, variance: Pixels, xy0: tuple[int, int]) -> Pixels:
        """Return variance / c²."""
        if self.photo_calib is None:
            return variance
        return self.photo_calib.uncalibrate_variance(variance, xy0)

    @property
    def _background_unit(self) -> str:
        return "" if self.background is None else self.background.unit

    def check(self) -> None:
        """Raise AlgorithmError if the background has a unit that the pixels never have."""
        if self._background_unit not in {"", "electron", "nJy"}:
            raise AlgorithmError(
                f"a background in {self._background_unit} fits neither electrons nor nJy"
            )
        if self._background_unit == "nJy" and self.photo_calib is None:
            raise AlgorithmError(
                "the background is in nJy, but there is no calibration from electrons to nJy"
            )

    def _subtract(self, image: Pixels, xy0: tuple[int, int]) -> Pixels:
        assert self.background is not None
        return self.background.subtract(image, xy0)

    def _restore(self, image: Pixels, xy0: tuple[int, int]) -> Pixels:
        assert self.background is not None
        return self.background.undo(image, xy0)
