"""Binned images: small pictures of large frames, for people and for reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drpflow.data.exposure import Exposure
from drpflow.data.mask import Mask

if TYPE_CHECKING:
    from numpy.typing import NDArray


def bin_exposure(exposure: Exposure, side_pix: int, ignore: tuple[str, ...]) -> Exposure:
    """Average an exposure over square blocks of pixels.

    Parameters
    ----------
    exposure
        The exposure. Its pixels are read.
    side_pix
        Most blocks along the longer side; a last, partial block is dropped.
    ignore
        Mask planes whose pixels do not count.

    Returns
    -------
    Exposure
        Means of the pixels that count, their variance (as if the pixels were independent) and
        the OR of the masks of all pixels; a block in which no pixel counts is NaN and NO_DATA.
        Of the components, those that do not depend on pixels are kept.
    """
    step = block_size(exposure.shape, side_pix)
    use = np.isfinite(exposure.image) & ~exposure.mask.any(ignore)
    count = _sum(use, step)
    with np.errstate(invalid="ignore", divide="ignore"):
        image = _sum(np.where(use, exposure.image, 0), step) / count
        variance = _sum(np.where(use, exposure.variance, 0), step) / count**2
    mask = Mask(bin_bits(exposure.mask.array, step), exposure.mask.planes)
    mask.set("NO_DATA", count == 0)
    kept = {name: getattr(exposure, name) for name in ("detector", "visit_info")}
    return Exposure(
        image.astype(np.float32),
        mask,
        variance.astype(np.float32),
        unit=exposure.unit,
        components=kept,
        missing={"wcs": "the pixels were binned"},
        provenance=exposure.provenance,
    )


def block_size(shape: tuple[int, int], side_pix: int) -> int:
    """Return the side of the blocks, in pixels, that make at most `side_pix` of them."""
    return max(1, -(-max(shape) // side_pix))


def bin_bits(bits: NDArray[np.int32], step: int) -> NDArray[np.int32]:
    """Return the OR of the bits in each block of `step` × `step` pixels."""
    blocks = _blocks(bits, step)
    return np.bitwise_or.reduce(np.bitwise_or.reduce(blocks, axis=3), axis=1)


def _sum(values: NDArray[np.generic], step: int) -> NDArray[np.float64]:
    blocks: NDArray[np.float64] = _blocks(values, step).sum(axis=(1, 3), dtype=np.float64)
    return blocks


def _blocks(values: NDArray[np.generic], step: int) -> NDArray[np.generic]:
    """Return a view of shape (rows, step, columns, step)."""
    ny, nx = (n // step for n in values.shape)
    return values[: ny * step, : nx * step].reshape(ny, step, nx, step)
