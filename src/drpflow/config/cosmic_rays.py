"""The section on cosmic rays: which pixels are too sharp to be light, and how sharp light is."""

from __future__ import annotations

from drpflow.config.base import StrictModel, param


class CosmicRayConfig(StrictModel):
    """Pixels that stand out more sharply than the PSF allows."""

    min_significance: float = param(
        5.0, "least signal of a pixel that a track is found by", unit="sigma", gt=0
    )
    excess_significance: float = param(
        3.5,
        "by how much it must be sharper than a point source, against one pair of opposite "
        "neighbours",
        unit="sigma",
        gt=0,
    )
    tolerance: float = param(
        0.1, "part by which stars may be sharper than the PSF model says", ge=0, lt=1
    )
    grow_min_significance: float = param(
        2.5, "least signal of a pixel beside one that was found", unit="sigma", gt=0
    )
    grow_excess_significance: float = param(
        1.5, "by how much that one must be sharper than a point source", unit="sigma", ge=0
    )
    max_passes: int = param(10, "most steps from the first pixel of a track to its last", ge=0)
    block_pix: int = param(
        256, "side of the blocks in which the PSF is taken as constant", unit="pix", ge=16
    )
    max_fraction: float = param(
        0.08, "more pixels than this are no cosmic rays: the PSF or the noise is wrong", gt=0, le=1
    )


class PsfGuessConfig(StrictModel):
    """Width of the PSF from the curvature of peaks, before anything else is known."""

    min_significance: float = param(
        20.0, "least signal of a peak's brightest pixel", unit="sigma", gt=5
    )
    min_sigma_pix: float = param(
        0.65, "narrower peaks are no stars (a FWHM of 1.5 pixels)", unit="pix", gt=0
    )
    window: float = param(
        0.2, "stars are where most widths lie within this part of each other", gt=0, le=1
    )
    min_peaks: int = param(5, "fewer peaks there give no width", ge=2)
    max_peaks: int = param(20000, "peaks measured, the first ones of the image", ge=100)
