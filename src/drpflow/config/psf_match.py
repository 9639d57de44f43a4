"""How images are brought to a common PSF."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from drpflow.config.base import StrictModel, param


class PsfMatchConfig(StrictModel):
    """Matching of PSF models, and the convolution that follows from it."""

    method: Literal["alard_lupton", "fourier"] = param(
        "alard_lupton",
        "`alard_lupton`: sums of Gaussians times polynomials; `fourier`: any pixels, by a "
        "regularised division of the transforms",
    )
    cell_size_pix: float = param(
        128.0, "PSF models are compared on a grid of places this far apart", unit="pix", gt=0
    )
    max_cells: int = param(
        12, "most places along a side: on large detectors they are further apart", ge=2, le=64
    )
    order: int = param(4, "degree of the polynomials of place", ge=0, le=8)
    kernel_size_pix: int | None = param(
        None, "rows and columns of the kernel, odd; null: as far as the target reaches", unit="pix"
    )
    kernel_edge: float = param(
        1e-3,
        "the kernel reaches as far as the target exceeds this fraction of its peak",
        gt=0,
        lt=0.5,
    )
    max_kernel_size_pix: int = param(61, "largest kernel that is chosen", unit="pix", ge=5)
    max_kernel_to_psf: float = param(
        2.0,
        "largest kernel, in sizes of the images of the PSF: a larger one would rest on pixels of "
        "which the PSF model says nothing",
        ge=1,
    )
    widths_pix: tuple[float, ...] | None = param(
        None, "sigmas of the Gaussians; null: scaled with both PSFs", unit="pix"
    )
    width_factors: tuple[float, ...] = param(
        (0.7, 1.4, 3.0),
        "sigmas of the Gaussians in units of √(σ²(target) - σ²(PSF)), or of `min_width` σ(target) "
        "if that is more",
    )
    min_width: float = param(0.55, "see `width_factors`", gt=0)
    degrees: tuple[int, ...] = param(
        (4, 2, 2), "degrees of the polynomials in the kernel's pixels, one for each Gaussian"
    )
    regularisation: float = param(
        1e-6,
        "penalty on Σ K², beside Σ (P * K - T)² of PSFs of sum 1: what the PSF passes by less than "
        "the root of this is not restored",
        ge=0,
    )
    deconvolution: Literal["refuse", "allow"] = param(
        "refuse", "what happens where the PSF is wider than the target"
    )
    deconvolution_tolerance: float = param(
        0.05,
        "a PSF that is wider than the target by up to this fraction does not yet count as wider; "
        "one that is so along one axis alone is refused if it cannot be matched well",
        ge=0,
    )
    max_noise_gain: float = param(
        1.0, "a kernel with Σ K² above this, for a sum of 1, deconvolves, whatever the widths", gt=0
    )
    no_data_weight: float = param(
        1e-3,
        "pixels of which the kernel finds more than this fraction of its weight on pixels without "
        "data have no data themselves",
        gt=0,
        lt=1,
    )
    mask_threshold: float = param(
        0.01,
        "other mask planes grow to where the kernel exceeds this fraction of its peak",
        gt=0,
        lt=1,
    )
    compression: float = param(
        1e-4,
        "change of the kernel's pixels, as a fraction of its peak, for the sake of fewer "
        "convolutions",
        ge=0,
        lt=0.01,
    )

    @model_validator(mode="after")
    def _lists_fit(self) -> Self:
        widths = self.width_factors if self.widths_pix is None else self.widths_pix
        if not widths or len(widths) != len(self.degrees) or min(widths) <= 0:
            raise ValueError("each Gaussian has a positive width and a degree")
        if not 0 <= min(self.degrees) <= max(self.degrees) <= 8:
            raise ValueError("degrees are from 0 to 8")
        if self.kernel_size_pix is not None and (
            self.kernel_size_pix % 2 == 0 or self.kernel_size_pix < 5
        ):
            raise ValueError("kernel_size_pix is odd, and at least 5")
        return self
