"""The section ``background`` of a task: the level of the sky, on a mesh of bins."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from drpflow.config.base import StrictModel, param


class SourceMaskConfig(StrictModel):
    """Which pixels are kept out of a measurement of the sky."""

    mask_threshold: float = param(
        3.0,
        "significance of a point source, on either side of zero, beyond which pixels are masked",
        unit="sigma",
        gt=0,
    )
    mask_grow_sigma: float = param(
        4.0, "masks grow by a disc of this radius, in sigmas of the PSF", unit="sigma", ge=0
    )
    crowded_grow_sigma: float = param(
        1.0, "where too much is masked, that radius shrinks to this one", unit="sigma", ge=0
    )
    diffuse_scales: tuple[float, ...] = param(
        (4.0,),
        "wings of stars and outskirts of galaxies are masked with filters wider than the PSF by "
        "these factors",
    )
    min_masked_fraction: float = param(
        0.02, "the threshold falls until this share of the pixels is masked", ge=0, lt=1
    )
    max_masked_fraction: float = param(
        0.93,
        "no more than this share is masked: wide filters are left out, radii shrink, then the "
        "threshold rises",
        gt=0,
        lt=1,
    )
    max_trials: int = param(25, "thresholds tried", ge=1)
    ignore: tuple[str, ...] = param(
        ("BAD", "SAT", "CR", "INTRP", "EDGE", "NO_DATA", "SUSPECT", "SPIKE", "STREAK", "CROSSTALK"),
        "mask planes whose pixels do not count",
    )

    @model_validator(mode="after")
    def _fractions_are_ordered(self) -> SourceMaskConfig:
        if self.min_masked_fraction >= self.max_masked_fraction:
            raise ValueError(
                f"min_masked_fraction {self.min_masked_fraction} must be below "
                f"max_masked_fraction {self.max_masked_fraction}"
            )
        return self


class BackgroundConfig(SourceMaskConfig):
    """A mesh of clipped means, and how sources are kept out of them."""

    box_pix: int = param(128, "side of the bins", unit="pix", ge=8)
    statistic: Literal["mean", "median"] = param(
        "mean",
        "level of a bin once sources are masked. Only the mean leaves apertures unbiased: it holds "
        "the light of undetected sources and the skewness of photon noise as they do",
    )
    clip_sigma: float = param(
        4.0,
        "pixels further from the level of their bin do not count. 3 would lower the mean of photon "
        "noise by 0.04 of its skewness (0.003 sigma for 130 electrons), 4 does by 0.003",
        unit="sigma",
        gt=1,
    )
    min_fraction: float = param(
        0.05,
        "a bin with a smaller share of usable pixels is filled from its neighbours",
        gt=0,
        lt=1,
    )
    outlier_sigma: float = param(
        5.0,
        "a bin that deviates this much from the median of the 3 × 3 bins about it, in robust "
        "sigmas of all such deviations (at least 0.05 of the noise of a pixel), is filled from "
        "its neighbours",
        unit="sigma",
        gt=0,
    )
    interpolation: Literal["bilinear", "spline"] = param(
        "spline", "how the level between the centres of bins is found"
    )
    first_statistic: Literal["mean", "median", "mode"] = param(
        "mode", "level of a bin before sources are masked; mode: 2.5 median - 1.5 mean"
    )
    first_clip_sigma: float = param(3.0, "clipping before sources are masked", unit="sigma", gt=1)
    rounds: int = param(3, "masks and meshes made in turn", ge=1)
    tolerance_sigma: float = param(
        0.005,
        "rounds end when no bin changes by more, in units of the noise of a pixel",
        unit="sigma",
        ge=0,
    )
