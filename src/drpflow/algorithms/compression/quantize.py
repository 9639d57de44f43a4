"""An exposure's image and variance in tiles, each in steps of its own noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drpflow.algorithms.compression.noise import TileNoise, tile_noise
from drpflow.data.tiled_plane import TiledMask, TiledPlane, compress_mask, compress_plane

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drpflow.config.compress_image import CompressImageConfig
    from drpflow.data.exposure import Exposure

SOURCES = ("DETECTED", "DETECTED_NEGATIVE", "SPIKE", "STREAK", "BRIGHT_OBJECT")
"""Planes of pixels with light that is no sky."""
UNUSABLE = ("NO_DATA", "UNMASKEDNAN", "BAD", "SAT", "CR", "INTRP", "SUSPECT", "CROSSTALK")
"""Planes of pixels whose values say nothing of the noise of the sky."""

_MASK_ROWS = 16


@dataclass(frozen=True, eq=False)
class CompressedPixels:
    """Image, variance and mask of an exposure, compressed.

    Parameters
    ----------
    image, variance
        The planes, with loss.
    mask
        Its bits, without.
    noise
        What the steps were made of.
    """

    image: TiledPlane
    variance: TiledPlane
    mask: TiledMask
    noise: TileNoise

    @property
    def planes(self) -> dict[str, TiledPlane]:
        """The planes with loss by name."""
        return {"image": self.image, "variance": self.variance}

    @property
    def tiled(self) -> dict[str, TiledPlane | TiledMask]:
        """All by name."""
        return {**self.planes, "mask": self.mask}

    def numbers(self) -> dict[str, float | int]:
        """Return figures for the status file."""
        pixels = self.image.shape[0] * self.image.shape[1]
        sizes = self.image.n_bytes, self.variance.n_bytes
        numbers: dict[str, float | int] = {
            "compression_factor": 8 * pixels / sum(sizes),
            "bits_per_pixel_image": 8 * sizes[0] / pixels,
            "bits_per_pixel_variance": 8 * sizes[1] / pixels,
            "bits_per_pixel_mask": 8 * self.mask.n_bytes / pixels,
            "tiles": len(self.image.coded),
            "tiles_noise_measured": self.noise.n_measured,
            "tiles_lossless_image": self.image.n_exact,
            "tiles_lossless_variance": self.variance.n_exact,
        }
        if np.isfinite(self.noise.sigma).any():
            numbers["noise_njy"] = float(np.nanmedian(self.noise.sigma))
        return numbers


def compress_pixels(
    exposure: Exposure, seeds: Mapping[str, int], config: CompressImageConfig
) -> CompressedPixels:
    """Compress image and variance of an exposure, with loss, and its mask.

    The image is stored in steps of σ/q, σ the noise of the tile's sky. The variance is stored in
    steps of a fraction ε of the sky's own variance: it needs no more digits than that, since what
    is made of it (errors, weights) needs relative accuracy, and its scatter, which is that of the
    photons, costs bits and carries nothing.

    Parameters
    ----------
    exposure
        Image, mask and variance.
    seeds
        Of the dither of ``image`` and ``variance``, 1 … 10000.
    config
        q, ε and the size of the tiles.
    """
    mask, (ny, nx) = exposure.mask, exposure.shape
    tile_shape = (tile_side(ny, config.tile_pix), tile_side(nx, config.tile_pix))
    image, variance = exposure.image, exposure.variance
    noise = tile_noise(image, variance, mask.any(SOURCES), mask.any(UNUSABLE), tile_shape)
    steps = noise.sigma / config.quantize_level
    variance_steps = noise.variance * config.variance_step
    return CompressedPixels(
        compress_plane(image, steps, tile_shape, seeds["image"]),
        compress_plane(variance, variance_steps, tile_shape, seeds["variance"]),
        compress_mask(mask.array, (_strip(ny), nx)),
        noise,
    )


def tile_side(size: int, wanted: int) -> int:
    """Return the divisor of an image's side that is nearest to what is wanted, within twice.

    Standard readers take tiles that the edge cuts off, but not all programs do: DS9 fails on
    them up to 8.3 for RICE, up to 8.8 for GZIP. Where there is no such divisor it is `wanted`.
    """
    near = [side for side in range(max(wanted // 2, 1), 2 * wanted + 1) if size % side == 0]
    if not near:
        return min(size, wanted)
    return min(near, key=lambda side: max(side / wanted, wanted / side))


def _strip(rows: int) -> int:
    """Return the rows of the mask's tiles, which are as wide as it is: none is cut off."""
    return max(n for n in range(1, _MASK_ROWS + 1) if rows % n == 0)
