"""The section on deblending: how the light of a blend is divided among its peaks."""

from __future__ import annotations

from pydantic import Field

from drpflow.config.base import StrictModel, param


class ClosePairConfig(StrictModel):
    """Peaks that are two point sources."""

    enabled: bool = param(True, "whether bright peaks are tried as pairs")
    min_significance: float = param(
        75.0, "fainter peaks are not tried: small edge-on galaxies fit as well", unit="sigma", gt=0
    )
    isolation_sigma: float = param(
        5.0, "a candidate has no other peak within this distance", unit="sigma", gt=2
    )
    min_elongation: float = param(
        0.35,
        "a candidate's moment along its axis exceeds that of the PSF by this, in sigma squared of "
        "the PSF; two equal stars at a distance of d sigma have d squared over 4",
        gt=0,
    )
    max_ratio: float = param(
        0.2, "and across its axis by no more than this part of that", ge=0, lt=1
    )
    position_rounds: int = param(
        8, "how often the PSF model is evaluated at improved positions", ge=1, le=20
    )
    sweeps: int = param(12, "visits of all sources in each joint fit", ge=1, le=100)
    max_shift_sigma: float = param(
        2.5, "a member lies within this many PSF sigmas of its first place", gt=0
    )
    max_chi2: float = param(1.5, "largest chi squared per pixel of the core of either member", gt=1)
    model_tolerance: float = param(
        0.015, "error of the PSF model in that comparison, as a part of it", ge=0
    )
    min_separation_sigma: float = param(
        1.5, "members are this far apart, in sigma of the PSF", unit="sigma", gt=0
    )
    min_flux_ratio: float = param(
        0.1, "flux of the fainter member over that of the brighter at least", ge=0, lt=1
    )


class DeblendConfig(StrictModel):
    """Division of footprints with several peaks into sources."""

    fit_radius_sigma: float = param(
        2.5, "pixels within this many PSF sigmas of a peak tell its flux as a point source", gt=0.5
    )
    core_radius_sigma: float = param(
        2.0, "pixels within this many PSF sigmas tell whether it is one", gt=0.5
    )
    stamp_radius_sigma: float = param(
        10.0, "a point source reaches this many PSF sigmas, if the PSF model does", gt=2
    )
    position_rounds: int = param(
        2, "how often the PSF model is evaluated at improved positions", ge=0, le=10
    )
    sweeps: int = param(5, "visits of all sources in each joint fit", ge=1, le=100)
    max_chi2: float = param(
        2.0, "largest chi squared per pixel of the core of a point source", gt=1
    )
    model_tolerance: float = param(
        0.03, "error of the PSF model in that comparison, as a part of it", ge=0
    )
    max_shift_sigma: float = param(
        1.0, "a point source lies within this many PSF sigmas of its peak", gt=0
    )
    min_usable_fraction: float = param(
        0.7, "least part of the core's pixels that must be usable to fit a point source", gt=0, le=1
    )
    min_significance: float = param(
        2.0, "a peak whose flux beside its neighbours is less is dropped", unit="sigma", ge=0
    )
    max_extended_radius_pix: int = param(
        100, "an extended source reaches this far", unit="pix", ge=8, le=2000
    )
    min_share: float = param(
        1e-3,
        "a source whose template is this part of the largest one at a pixel, or less, gets nothing "
        "of that pixel",
        ge=0,
        lt=1,
    )
    group_peaks: int = param(
        4000, "peaks treated at a time; a single blend with more is one group", ge=1
    )
    max_peaks: int = param(
        20_000,
        "blends with more peaks are not divided but flagged; one that large is no crowded field "
        "but a background that failed",
        ge=2,
    )
    max_area_pix: int = param(
        10_000_000, "blends with more pixels are not divided but flagged", unit="pix2", ge=100
    )
    close_pairs: ClosePairConfig = Field(
        default_factory=ClosePairConfig, description="peaks that are two point sources"
    )
