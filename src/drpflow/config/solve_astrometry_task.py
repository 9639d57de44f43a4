"""The section ``solveAstrometry``: the astrometric solution, and what it takes from a run."""

from __future__ import annotations

from pydantic import Field

from drpflow.config.base import StrictModel, param
from drpflow.config.solve_astrometry import SolveAstrometryConfig


class AstrometricCatalogConfig(StrictModel):
    """Which reference star belongs to which star."""

    match_radius_arcsec: float = param(
        0.5, "largest distance of a star to its reference", unit="arcsec", gt=0
    )
    unknown_error_mas: float = param(
        50.0,
        "error of reference positions for which the catalogue gives none",
        unit="mas",
        gt=0,
    )


class SolveAstrometryTaskConfig(SolveAstrometryConfig):
    """The task solveAstrometry."""

    catalog: AstrometricCatalogConfig = Field(
        default_factory=AstrometricCatalogConfig, description="stars and the reference catalogue"
    )
