"""rebuildImage: the final image made again without loss.

    post_isr_image, visit_background, calibration and mask of compressed_pvi
    -> final pixels -> cosmic rays filled -> compared with compressed_pvi -> rebuilt_pvi

It refuses where what it is given is not what the image was made of. ``docs/tasks/rebuildImage.md``
has the steps, costs and references.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drpflow.algorithms.compression.agreement import check, compare
from drpflow.algorithms.final_image.pixels import fill_cosmic_rays, final_pixels
from drpflow.data.recalibration import PixelCalibration
from drpflow.errors import AlgorithmError, MissingDatasetError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drpflow.data.background import Background
    from drpflow.data.exposure import Exposure
    from drpflow.data.geometry import Box

    Steps = tuple[NDArray[np.float64], tuple[int, int]]

# Backgrounds are compared on so many points a side for the message.
_POINTS = 33


@dataclass(frozen=True)
class RebuildImageResult:
    """What rebuildImage makes.

    Parameters
    ----------
    exposure
        ``rebuilt_pvi``.
    numbers
        Figures for the status file.
    """

    exposure: Exposure
    numbers: dict[str, float | int]


def rebuild_image(
    detrended: Exposure, compressed: Exposure, background: Background, steps: Mapping[str, Steps]
) -> RebuildImageResult:
    """Make one detector's final image again.

    Parameters
    ----------
    detrended
        What isr makes: electrons.
    compressed
        What compressImage kept of the final image: its mask and components are taken; its
        image and variance are what the result is compared with.
    background
        The detector's component of ``visit_background``.
    steps
        Steps of each tile, and shape of the tiles, of the compressed ``image`` and
        ``variance``.

    Raises
    ------
    AlgorithmError
        If there was no final image, or the background or the detrended image is not the one
        of which it was made.
    """
    if compressed.mask.any("NO_DATA").all():
        reason = next(iter(compressed.missing.values()), "every pixel is NO_DATA")
        raise AlgorithmError(f"there was no final image: {reason}", hint="See finalizeImage")
    if detrended.shape != compressed.shape:
        raise AlgorithmError(
            f"the detrended image has the shape {detrended.shape}, the compressed one "
            f"{compressed.shape}"
        )
    try:
        photo_calib, used = compressed.require("photo_calib", "background")
    except MissingDatasetError as error:
        raise AlgorithmError(str(error), hint="See finalizeImage") from error
    _check_background(background, used, compressed.box)
    image, variance = final_pixels(
        detrended.image,
        detrended.variance,
        PixelCalibration(None, None),
        PixelCalibration(photo_calib, background),
        compressed.xy0,
    )
    mask = compressed.mask.copy()
    n_hit = fill_cosmic_rays(image, variance, mask)
    found = {
        "image": compare(image, compressed.image, *steps["image"]),
        "variance": compare(variance, compressed.variance, *steps["variance"]),
    }
    check(found)
    numbers: dict[str, float | int] = {"cosmic_ray_pixels": n_hit}
    for plane, agreement in found.items():
        numbers |= agreement.numbers(plane)
    return RebuildImageResult(compressed.replace(image=image, variance=variance), numbers)


def _check_background(given: Background, used: Background, box: Box) -> None:
    """Raise AlgorithmError if a background is not the one that was used."""
    if given.to_record() == used.to_record():
        return
    if given.unit != used.unit:
        raise AlgorithmError(
            f"visit_background is in {given.unit}, but was in {used.unit} when the image was made",
            hint=_HINT,
        )
    x, y = np.linspace(box.x0, box.x1 - 1, _POINTS), np.linspace(box.y0, box.y1 - 1, _POINTS)
    change = sum(layer.evaluate_grid(x, y) for _, layer in given.layers) - sum(
        layer.evaluate_grid(x, y) for _, layer in used.layers
    )
    largest = float(np.abs(change).max())
    raise AlgorithmError(
        f"visit_background has changed since the image was made of it, on this detector by up to "
        f"{largest:.3g} {given.unit}",
        {"background_change": largest},
        _HINT,
    )


_HINT = (
    "Run finalizeImage and compressImage again with the new visit_background, or give the old one"
)
