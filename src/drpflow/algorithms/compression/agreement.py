"""Whether pixels that were made again are those that were compressed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drpflow.data.tiled_plane import tiles_of
from drpflow.errors import AlgorithmError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float32 = NDArray[np.float32]
    Float64 = NDArray[np.float64]

# What rounding may add, in units of the last place of the pixel and in steps: the compressed
# pixel, the one that was compressed and the one made again are float32 each.
_ROUNDINGS = 4.0
_SLACK_STEPS = 1e-3
# Half a step is the largest error; a tile's mean error lies within so many standard deviations
# of 0, by chance beyond in one of 10⁹.
_MEAN_SIGMA = 6.0


@dataclass(frozen=True)
class Agreement:
    """How far pixels lie from their compressed form.

    Parameters
    ----------
    n_pixels
        Pixels with a value.
    n_different
        Pixels that are farther away than compression can have moved them, or have a value where
        the other has none.
    largest_steps
        Largest distance in tiles with loss, steps; at most 0.5 for equal pixels.
    rms_steps
        Root mean square, steps; 0.289 for equal pixels.
    largest_mean_sigma
        Largest mean of a tile, in standard deviations of it.
    """

    n_pixels: int
    n_different: int
    largest_steps: float
    rms_steps: float
    largest_mean_sigma: float

    @property
    def holds(self) -> bool:
        """Whether the pixels are the same but for the errors of compression."""
        return self.n_different == 0 and self.largest_mean_sigma <= _MEAN_SIGMA

    def numbers(self, plane: str) -> dict[str, float | int]:
        """Return figures for the status file."""
        return {
            f"{plane}_pixels_different": self.n_different,
            f"{plane}_largest_steps": self.largest_steps,
            f"{plane}_rms_steps": self.rms_steps,
            f"{plane}_largest_mean_sigma": self.largest_mean_sigma,
        }


def compare(
    plane: Float32, compressed: Float32, steps: Float64, tile_shape: tuple[int, int]
) -> Agreement:
    """Compare a plane with its compressed form.

    The error of compression is uniform in ± half a step and independent from pixel to pixel.
    So each pixel is tested against half a step, and the mean of each tile of N pixels against
    the step over √(12 N), which shows a change of the sky by a thousandth of its noise.

    Parameters
    ----------
    plane, compressed
        Shape (ny, nx).
    steps
        Of each tile; 0 for those without loss.
    tile_shape
        Rows and columns of a tile.
    """
    different = pixels = lossy = 0
    largest = total = largest_mean = 0.0
    for step, tile in zip(steps, tiles_of(plane.shape, tile_shape), strict=True):
        one, two = plane[tile], compressed[tile]
        there = ~np.isnan(one)
        different += int(np.count_nonzero(there == np.isnan(two)))
        here = there & np.isfinite(two) & np.isfinite(one)
        distance = one[here].astype(np.float64) - two[here]
        allowed = _ROUNDINGS * np.spacing(np.abs(one[here])) + step * (0.5 + _SLACK_STEPS)
        different += int(np.count_nonzero(np.abs(distance) > allowed))
        pixels += int(np.count_nonzero(there))
        # Pixels of exactly 0 are stored exactly.
        distance = distance[one[here] != 0]
        if step == 0 or distance.size == 0:
            continue
        distance /= step
        lossy += distance.size
        total += float(distance @ distance)
        largest = max(largest, float(np.abs(distance).max()))
        sigma = float(np.abs(distance.mean())) * (12 * distance.size) ** 0.5
        largest_mean = max(largest_mean, sigma)
    rms = (total / lossy) ** 0.5 if lossy else 0.0
    return Agreement(pixels, different, largest, rms, largest_mean)


def check(found: dict[str, Agreement]) -> None:
    """Check that all planes agree.

    Raises
    ------
    AlgorithmError
        Telling by how much they do not.
    """
    for plane, agreement in found.items():
        if agreement.holds:
            continue
        if agreement.n_different:
            what = (
                f"{agreement.n_different} of {agreement.n_pixels} pixels of the {plane} differ "
                f"from the compressed image, by up to {agreement.largest_steps:.3g} of its steps"
            )
        else:
            what = (
                f"the mean of the {plane} differs from that of the compressed image by "
                f"{agreement.largest_mean_sigma:.3g} standard deviations in a tile"
            )
        raise AlgorithmError(
            f"the detrended image is not the one that this image was made of: {what}",
            agreement.numbers(plane),
            "Code, configuration or calibrations of isr have changed since; run finalizeImage "
            "and compressImage again, or isr as it was",
        )
