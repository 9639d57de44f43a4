"""The subsection ``solveAstrometry.turbulence``: what polynomials can not follow."""

from __future__ import annotations

from drpflow.config.base import StrictModel, param


class TurbulenceConfig(StrictModel):
    """A Gaussian process for each visit, on the residuals of the fitted stars."""

    rounds: int = param(
        2, "solutions with the turbulence taken out, each of them giving new residuals", ge=1, le=5
    )
    coherence_deg: float = param(
        0.05, "separation at which its correlation has fallen to 1/e, to begin with", unit="deg",
        gt=0,
    )  # fmt: skip
    max_separation_deg: float = param(
        0.3, "separations up to which residuals are compared to find its spectrum", unit="deg", gt=0
    )
    nodes_per_coherence: float = param(
        5.0, "nodes of the maps over that separation, across the wind", ge=2, le=20
    )
    min_stars: int = param(
        50, "stars of a visit below which its turbulence is not looked for", ge=10
    )
    folds: int = param(
        5, "parts into which a visit's stars are cut; each is predicted by the others", ge=2, le=20
    )
    min_gain: float = param(
        0.02,
        "share by which that must reduce the weighted squares of residuals for it to be kept",
        ge=0,
        lt=1,
    )
