"""The section ``measurement``: how positions, shapes and fluxes of sources are measured."""

from __future__ import annotations

from typing import TypeAlias

from pydantic import Field, model_validator

from drpflow.config.base import StrictModel, param
from drpflow.config.mask_planes import MaskPlane

Planes: TypeAlias = tuple[MaskPlane, ...]


class CentroidConfig(StrictModel):
    """Fit of the PSF model's position."""

    radius_sigma: float = param(
        4.0, "pixels within this distance are used, in sigma of the PSF", unit="sigma", gt=1
    )
    max_shift_sigma: float = param(
        2.5,
        "a fit that moves further than this from the centre of the moments, or from the peak, in "
        "sigma of the PSF, has failed; at least 2 pixels are allowed",
        unit="sigma",
        gt=0,
    )
    tolerance_pix: float = param(
        0.01, "the fit ends when a step is as short as this", unit="pix", gt=0, le=0.1
    )
    max_steps: int = param(12, "steps after which the fit has failed", ge=1)
    longest_step_pix: float = param(0.7, "longer steps are cut", unit="pix", gt=0)


class ShapeConfig(StrictModel):
    """Adaptive moments."""

    half_size_pix: int = param(
        60, "half the size of the stamp; sigma may reach a third of it", unit="pix", ge=8
    )
    max_iterations: int = param(100, "iterations after which the moments have failed", ge=5)
    tolerance: float = param(1e-5, "relative change of the moments that ends it", gt=0, lt=1)
    max_shift_sigma: float = param(
        2.5,
        "a centre further than this from the centroid, in sigma of the PSF, has failed; at least "
        "2 pixels are allowed",
        unit="sigma",
        gt=0,
    )


class CompensatedConfig(StrictModel):
    """Fluxes through filters of sum zero, which a constant background does not enter."""

    tophat_radius_pix: float = param(12.0, "radius of the disc", unit="pix", ge=2)
    tophat_ratio: float = param(1.7, "outer radius of the ring over that of the disc", gt=1)
    gaussian_ratio: float = param(2.0, "t: width of the outer Gaussian over the inner", gt=1)
    gaussian_containment: float = param(
        0.995, "share of the outer Gaussian within the filter's reach", gt=0.5, lt=1
    )


class LocalBackgroundConfig(StrictModel):
    """Background that is left about a source."""

    inner_sigma: float = param(
        7.0, "inner radius of the ring, in sigma of the PSF", unit="sigma", gt=0
    )
    outer_sigma: float = param(
        15.0, "outer radius of the ring, in sigma of the PSF", unit="sigma", gt=0
    )
    clip_sigma: float = param(3.0, "clipping of its pixels", unit="sigma", gt=1)
    min_pixels: int = param(20, "fewer pixels give no background", unit="pix", ge=2)

    @model_validator(mode="after")
    def _ordered(self) -> LocalBackgroundConfig:
        if self.outer_sigma <= self.inner_sigma:
            raise ValueError("outer_sigma must exceed inner_sigma")
        return self


class KronConfig(StrictModel):
    """Fluxes in ellipses that follow the light."""

    factor: float = param(2.5, "radius of the aperture over the Kron radius", gt=1, le=5)
    reach_sigma: float = param(
        6.0,
        "the Kron radius is the first moment of the light within this many sigma of the adaptive "
        "moments, and half of that at most",
        unit="sigma",
        gt=2,
    )
    half_size_pix: int = param(
        90, "half the size of the stamp: no aperture is longer", unit="pix", ge=16
    )


class ClassificationConfig(StrictModel):
    """Point source or not."""

    flux_ratio: float = param(
        0.95,
        "a source is extended when its PSF flux is below this share of its Gaussian flux, both "
        "corrected for aperture",
        gt=0,
        le=1,
    )
    error_factor: float = param(
        1.0,
        "by how many standard deviations of the difference of the two fluxes",
        unit="sigma",
        ge=0,
    )
    excess_limit: float | None = param(
        None,
        "errors count for less than this share of the Gaussian flux, however large they are: of a "
        "faint source the nearer class is taken; without a value they count in full",
        gt=0,
    )
    model_error: float = param(
        0.003, "part of that standard deviation: what the PSF model makes of the ratio", ge=0
    )
    size_margin: float = param(
        0.05, "a size that exceeds the PSF's by less than this share counts as equal", ge=0
    )
    points_of_blends: bool = param(
        False,
        "whether what the deblender separated as points (deblend.max_chi2) are points: for fields "
        "so crowded that a Gaussian of free size measures the neighbours",
    )


class MeasurementConfig(StrictModel):
    """All that is measured on sources."""

    centroid: CentroidConfig = Field(
        default_factory=CentroidConfig, description="positions by a fit of the PSF model"
    )
    shape: ShapeConfig = Field(default_factory=ShapeConfig, description="adaptive moments")
    compensated: CompensatedConfig = Field(
        default_factory=CompensatedConfig, description="fluxes that exclude the background"
    )
    local_background: LocalBackgroundConfig = Field(
        default_factory=LocalBackgroundConfig, description="background left about a source"
    )
    classification: ClassificationConfig = Field(
        default_factory=ClassificationConfig, description="point sources and extended ones"
    )
    excluded_planes: Planes = param(
        ("BAD", "SAT", "CR", "NO_DATA"),
        "pixels with these planes are left out of PSF fits; apertures and moments take their "
        "interpolated values",
    )
    empty_planes: Planes = param(
        ("NO_DATA",), "pixels with these planes have no value at all for any measurement"
    )
    min_psf_share: float = param(
        0.7,
        "a PSF flux from less than this share of the PSF's square sum is flagged",
        gt=0,
        le=1,
    )
    center_radius_pix: float = param(
        1.5, "pixels within this distance count as a source's centre for flags", unit="pix", gt=0
    )
