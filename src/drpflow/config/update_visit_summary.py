"""The section ``updateVisitSummary``: guards and statistics of the final summary of a visit."""

from __future__ import annotations

from pydantic import Field

from drpflow.config.base import StrictModel, param
from drpflow.config.consolidate_visit import PointingConfig
from drpflow.config.photometry import DepthConfig


class WcsGuardConfig(StrictModel):
    """When the final WCS of a detector is not believed."""

    max_corner_arcsec: float = param(
        0.5,
        "a WCS that moves a corner of the detector farther than this from where the preliminary "
        "one has it is dropped",
        unit="arcsec",
        gt=0,
    )
    rescued_sigma: float = param(
        3.0,
        "where the preliminary WCS is not the detector's own, so many times its stated error are "
        "added to that",
        unit="sigma",
        ge=0,
    )


class UpdateVisitSummaryConfig(StrictModel):
    """The final components of a visit, checked, and their statistics."""

    wcs: WcsGuardConfig = Field(
        default_factory=WcsGuardConfig, description="when a WCS is not believed"
    )
    pointing: PointingConfig = Field(
        default_factory=PointingConfig, description="the visit's pointing, fitted to the final WCSs"
    )
    depth: DepthConfig = Field(default_factory=DepthConfig, description="figures of depth and sky")
    match_radius_arcsec: float = param(
        0.5, "largest distance of a star to its reference", unit="arcsec", gt=0
    )
    reference_margin_deg: float = param(
        0.05, "margin around the field in which reference stars are read", unit="deg", ge=0
    )
