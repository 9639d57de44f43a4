"""The section ``detection`` of a task: where sources are, and which pixels are theirs."""

from __future__ import annotations

from drpflow.config.base import StrictModel, param


class DetectionConfig(StrictModel):
    """Sources above a fixed threshold."""

    threshold: float = param(
        5.0, "signal-to-noise ratio of a point source above which pixels are detected", gt=0
    )
    min_area_pix: int = param(
        1, "a source has at least so many pixels above the threshold", unit="pix", ge=1
    )
    grow_sigma: float = param(
        2.4, "footprints grow by a disc of this radius, in sigmas of the PSF", unit="sigma", ge=0
    )
    min_prominence: float = param(
        3.5,
        "a peak rises this far above the pass to a higher peak; smaller ones are noise on the "
        "slope of their neighbour",
        unit="sigma",
        ge=0,
    )
    relative_prominence: float = param(
        0.1,
        "the same, as a fraction of the significance of the pass: keeps ripples of the wings "
        "of bright stars from becoming sources",
        ge=0,
    )
    pass_ratio: float = param(
        0.8,
        "passes between peaks count down to this fraction of the threshold: noise that the faint "
        "wings of a bright star lift above the threshold is joined to the star there. 1: only "
        "those above the threshold count",
        gt=0,
        le=1,
    )


class AdaptiveDetectionConfig(StrictModel):
    """Bright sources, with the threshold raised in crowded fields and lowered in empty ones."""

    threshold: float = param(10.0, "first threshold", unit="sigma", gt=0)
    peak_ratio: float = param(
        5.0, "a source is kept if its peak reaches this multiple of the threshold", ge=1
    )
    min_threshold: float = param(
        4.0, "the threshold is not lowered beyond this", unit="sigma", gt=0
    )
    step: float = param(1.5, "factor by which the threshold changes", gt=1)
    max_trials: int = param(20, "thresholds tried", ge=1)
    max_peaks: int = param(3000, "most peaks on the detector: the threshold rises", ge=1)
    max_peaks_in_footprint: int = param(
        800, "most peaks in one footprint: the threshold rises", ge=1
    )
    min_footprints: int = param(15, "fewest footprints: the threshold falls", ge=1)
    enough_isolated: int = param(
        100, "footprints of one peak that are always enough to find stars among", ge=1
    )
    isolated_fraction: float = param(
        0.45, "share of footprints of one peak that is enough where there are fewer", ge=0, le=1
    )
    min_area_pix: int = param(
        1, "a source has at least so many pixels above the threshold", unit="pix", ge=1
    )
    grow_sigma: float = param(
        2.4, "footprints grow by a disc of this radius, in sigmas of the PSF", unit="sigma", ge=0
    )
    min_prominence: float = param(
        3.5, "a peak rises this far above the pass to a higher peak", unit="sigma", ge=0
    )
    relative_prominence: float = param(
        0.1, "the same, as a fraction of the significance of the pass", ge=0
    )


class SkySourcesConfig(StrictModel):
    """Places without sources, measured like sources to see what the sky does to fluxes."""

    number: int = param(100, "places on a detector, fewer where it is full", ge=0)
    radius_pix: float = param(
        8.0, "no detected or unusable pixel within this distance", unit="pix", gt=0
    )
