"""The section ``finalizeAstrometry``: the astrometric solution from final centroids."""

from __future__ import annotations

from typing import Literal

from drpflow.config.base import param
from drpflow.config.solve_astrometry_task import SolveAstrometryTaskConfig


class FinalizeAstrometryConfig(SolveAstrometryTaskConfig):
    """The task finalizeAstrometry: that of solveAstrometry, and when it may be spared."""

    method: Literal["polynomials", "turbulence"] = param(
        "turbulence",
        "maps of detectors and visits alone, or with the turbulence of each visit taken out after "
        "them (a Gaussian process)",
    )
    min_change_mas: float = param(
        1.0,
        "median change of the WCSs that the new centroids let expect, below which the solution of "
        "solveAstrometry is passed on, if it was made by the same method; 0: it is always made "
        "anew",
        unit="mas",
        ge=0,
    )
