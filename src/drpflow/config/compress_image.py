"""The section ``compressImage``: how much of a pixel is kept."""

from __future__ import annotations

from drpflow.config.base import StrictModel, param


class CompressImageConfig(StrictModel):
    """The final images in less space: image and variance with loss, all else without."""

    quantize_level: float = param(
        16.0,
        "pixels are stored in steps of the tile's noise over this: 16 adds an error of 1.8 % of "
        "the noise, and makes the noise 0.016 % larger",
        ge=2,
        le=1000,
    )
    variance_step: float = param(
        0.03,
        "the variance is stored in steps of this fraction of the variance of the tile's sky: "
        "0.03 errs by 0.9 % rms in a pixel of sky, and by less elsewhere",
        gt=0,
        le=0.5,
    )
    tile_pix: int = param(
        128,
        "side of the tiles that are compressed each by itself, with its own noise; a cut-out reads "
        "the tiles that it touches",
        unit="pix",
        ge=16,
        le=4096,
    )
