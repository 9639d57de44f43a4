"""The section on deblending: how the light of a blend is divided among its peaks."""

from __future__ import annotations

from drpflow.config.base import StrictModel, param


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
