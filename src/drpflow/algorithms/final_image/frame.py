"""A detector's final pixels, and the models that belong to them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from drpflow.data.geometry import Box

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.final_image.flux_scale import FluxScale
    from drpflow.data.ap_corr import ApCorrMap
    from drpflow.data.mask import Mask
    from drpflow.data.photo_calib import PhotoCalib
    from drpflow.data.psf import Psf
    from drpflow.data.sky_wcs import SkyWcs

    Image = NDArray[np.float32]


@dataclass(eq=False)
class FinalFrame:
    """Pixels in nJy.

    Parameters
    ----------
    image, variance
        nJy and nJy², float32, shape (ny, nx), less the final background.
    mask
        Flags; planes are set stage by stage.
    visit, detector
        The data ID, which seeds all that is random.
    band, physical_filter
        Of the visit.
    seed
        The configuration's part of the seed.
    glow
        What `image` has more than above the first background, nJy, float32, shape (ny, nx); None
        if there is no first background.
    """

    image: Image
    variance: Image
    mask: Mask
    visit: int
    detector: int
    band: str = ""
    physical_filter: str = ""
    seed: int = 1
    glow: Image | None = None

    @property
    def box(self) -> Box:
        """The pixels of the detector."""
        return Box.from_shape(self.image.shape)

    def rng(self, purpose: int) -> np.random.Generator:
        """Return the random numbers of one purpose, the same in every run."""
        return np.random.default_rng([self.seed, self.visit, self.detector, purpose])

    def above_glow(self) -> tuple[FinalFrame, dict[str, float | int | str]]:
        """Return the pixels above the first background, and figures of what was taken off.

        These pixels stay as they are; the mask is common to both. Figures: median over the image,
        and half of the range of the middle 68 % of the pixels, nJy a pixel.
        """
        if self.glow is None:
            return self, {}
        low, middle, high = (float(p) for p in np.percentile(self.glow, (16, 50, 84)))
        figures: dict[str, float | int | str] = {
            "glow_njy": middle,
            "glow_spread_njy": (high - low) / 2,
        }
        return replace(self, image=self.image - self.glow), figures


@dataclass(frozen=True, eq=False)
class FinalModels:
    """The final models of a detector.

    Parameters
    ----------
    psf, wcs, photo_calib
        As ``final_visit_summary`` has them.
    ap_corr
        As well; on the scale of finalizeCharacterization.
    scale
        What brings it to the scale that was calibrated, None if stars have to tell.
    wcs_error_arcsec
        Standard deviation of a position by the WCS, both coordinates together and without
        turbulence, NaN if it is not known.
    offset_error_mag
        Standard deviation of what all zero points of the band have in common, likewise.
    psf_of_others
        Whether no star of the detector is behind its PSF, which then is that of the detectors
        about it, and may be wrong for an image that is spoilt.
    """

    psf: Psf
    wcs: SkyWcs
    photo_calib: PhotoCalib
    ap_corr: ApCorrMap
    scale: FluxScale | None = None
    wcs_error_arcsec: float = float("nan")
    offset_error_mag: float = float("nan")
    psf_of_others: bool = False
