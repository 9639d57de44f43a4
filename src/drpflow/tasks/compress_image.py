"""compressImage: the final image in less space, for the archive.

    pvi -> noise of each tile -> image and variance in steps of it, dithered, RICE -> compressed_pvi

Mask and components are kept as they are. ``docs/tasks/compressImage.md`` has the steps, their
parameters, costs and references.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from drpflow.algorithms.compression.quantize import CompressedPixels, compress_pixels
from drpflow.data.lost_exposure import lost_exposure
from drpflow.errors import AlgorithmError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drpflow.config.compress_image import CompressImageConfig
    from drpflow.data.camera import Detector
    from drpflow.data.exposure import Exposure
    from drpflow.data.visit_info import VisitInfo

_MADE_BEFORE = ("psf", "wcs", "photo_calib", "ap_corr", "background", "summary_stats")


@dataclass(frozen=True)
class CompressImageResult:
    """What compressImage makes of an image.

    Parameters
    ----------
    exposure
        ``pvi``, whose mask and components are kept.
    pixels
        What stands for its image and variance.
    numbers
        Figures for the status file.
    """

    exposure: Exposure
    pixels: CompressedPixels
    numbers: dict[str, float | int]


def compress_image(
    exposure: Exposure, seeds: Mapping[str, int], config: CompressImageConfig
) -> CompressImageResult:
    """Compress one detector's final image.

    Parameters
    ----------
    exposure
        What finalizeImage made.
    seeds
        Of the dither of ``image`` and ``variance``, 1 … 10000.
    config
        The section ``compressImage``.

    Raises
    ------
    AlgorithmError
        If there is no final image.
    """
    if exposure.mask.any("NO_DATA").all():
        reason = next(iter(exposure.missing.values()), "every pixel is NO_DATA")
        raise AlgorithmError(f"there is no final image: {reason}", hint="See finalizeImage")
    pixels = compress_pixels(exposure, seeds, config)
    return CompressImageResult(exposure, pixels, pixels.numbers())


def failed_exposure(detector: Detector, visit_info: VisitInfo | None, reason: str) -> Exposure:
    """Return the complete form of an image that does not exist: NaN, NO_DATA everywhere.

    Parameters
    ----------
    detector
        Gives the shape.
    visit_info
        The visit, if its metadata can be read.
    reason
        Why all components are missing.
    """
    return lost_exposure(detector, visit_info, reason, _MADE_BEFORE, "nJy")
