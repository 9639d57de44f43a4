"""The section ``planCoaddition``."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from drpflow.config.base import StrictModel, param


class CutConfig(StrictModel):
    """Limits of one figure of a detector; larger figures are worse."""

    keep_below: float = param(..., "figures up to this are never a reason to leave out", ge=0)
    drop_above: float = param(..., "figures above this always are", gt=0)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.drop_above < self.keep_below:
            raise ValueError(
                f"drop_above {self.drop_above} is below keep_below {self.keep_below}; "
                "between them the survey's own distribution decides"
            )
        return self


class FloorConfig(StrictModel):
    """Limits of one figure of a detector; smaller figures are worse."""

    drop_below: float = param(..., "figures below this are always a reason to leave out", ge=0)
    keep_above: float = param(..., "figures from this on never are", ge=0)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.keep_above < self.drop_below:
            raise ValueError(
                f"keep_above {self.keep_above} is below drop_below {self.drop_below}; "
                "between them the survey's own distribution decides"
            )
        return self


def _cut(keep_below: float, drop_above: float, doc: str) -> CutConfig:
    cut = CutConfig(keep_below=keep_below, drop_above=drop_above)
    return Field(default=cut, description=doc)


class QualityConfig(StrictModel):
    """Which detectors are good enough, each figure with its limits."""

    sigma: float = param(
        5.0,
        "between its two limits, a figure may lie so many robust standard deviations on the bad "
        "side of the median of the tract's detectors in the band",
        gt=0,
    )
    min_detectors: int = param(
        12,
        "of fewer detectors no distribution is made, and only drop_above and drop_below count",
        ge=3,
    )
    psf_stars: FloorConfig = Field(
        default=FloorConfig(drop_below=1, keep_above=10),
        description="stars of the detector that its PSF was made from",
    )
    psf_size: CutConfig = _cut(1.4, 3.0, "sigma of the PSF on the sky over the median in the band")
    ellipticity: CutConfig = _cut(0.2, 0.6, "ellipticity of the PSF, (a² - b²) / (a² + b²)")
    psf_residual_ellipticity: CutConfig = _cut(
        0.05, 0.3, "median ellipticity of PSF stars minus PSF"
    )
    psf_size_scatter: CutConfig = _cut(
        0.05, 0.5, "scatter of the size of PSF stars minus PSF, over the PSF's size squared"
    )
    psf_size_range: CutConfig = _cut(
        0.25, 1.0, "range of the PSF's size over the image, over its size at the centre"
    )
    psf_flux_range: CutConfig = _cut(
        0.05, 0.5, "range of the PSF's aperture flux over the image, as a fraction"
    )
    ap_corr_range: CutConfig = _cut(
        0.15, 1.5, "range of the aperture correction over the image, over the sigma of the PSF"
    )
    extinction: CutConfig = _cut(
        0.5, 2.5, "zero point below the median in the band at equal exposure time, mag"
    )
    noise: CutConfig = _cut(
        3.0, 10.0, "noise of the sky at a fixed area and in nJy, over the median in the band"
    )
    zero_point_err: CutConfig = _cut(0.02, 0.2, "standard deviation of the zero point, mag")
    wcs_error: CutConfig = _cut(
        0.1, 0.5, "standard deviation of a position, over the sigma of the PSF"
    )
    masked_fraction: CutConfig = _cut(0.3, 0.8, "fraction of the pixels that are unusable")


class TargetConfig(StrictModel):
    """The PSF that visits are brought to where they are compared."""

    percentile: float = param(
        95.0,
        "so many percent of the visits at least are sharper than the target wherever they are "
        "used; of fewer than 20, all are",
        gt=0,
        le=100,
    )
    kernel_sigma_pix: float = param(
        0.8,
        "sigma of the kernel that takes the widest of these to the target: a narrower one is not "
        "sampled by pixels",
        unit="pix",
        gt=0,
        le=5,
    )
    min_fwhm_pix: float = param(
        4.0, "narrowest target, 2.355 sigma, in pixels of the coadd", unit="pix", gt=1, le=30
    )
    max_fwhm_pix: float = param(
        9.0,
        "widest target, 2.355 sigma, in pixels of the coadd; wider detectors are left out of the "
        "comparison, and stay in the coadd",
        unit="pix",
        gt=1,
        le=60,
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max_fwhm_pix < self.min_fwhm_pix:
            raise ValueError(f"max_fwhm_pix {self.max_fwhm_pix} < min_fwhm_pix {self.min_fwhm_pix}")
        return self


class PlanCoadditionConfig(StrictModel):
    """Which visits and detectors enter a coadd, their weights, and the PSF to compare them at."""

    weight: Literal["point_source", "sky"] = param(
        "point_source",
        "what the weights of visits make best: the signal-to-noise ratio of point sources, or "
        "that of the sky's surface (the inverse variance of the sky)",
    )
    quality: QualityConfig = Field(default_factory=QualityConfig, description="what is left out")
    target: TargetConfig = Field(
        default_factory=TargetConfig, description="the PSF at which visits are compared"
    )
