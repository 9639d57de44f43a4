"""The section ``consolidate_visit``: how a visit's detectors help each other."""

from __future__ import annotations

from pydantic import Field

from drpflow.config.base import StrictModel, param
from drpflow.config.photometry import DepthConfig, PhotometryConfig


class PointingConfig(StrictModel):
    """The visit's pointing from the WCSs of its detectors."""

    grid: int = param(8, "points along each side of a detector at which WCSs are compared", ge=2)
    max_detector_arcsec: float = param(
        10.0, "a WCS farther off the visit's pointing than this is wrong", unit="arcsec", gt=0
    )
    min_detectors_to_reject: int = param(
        3, "detectors that must agree before one that does not loses its WCS", ge=2
    )
    scale_sigma: float = param(
        3e-4,
        "how far scale and shear of a visit may be from the camera's (refraction, temperature)",
        gt=0,
    )
    detector_offset_arcsec: float = param(
        0.3, "how far detectors may be from where the camera file has them", unit="arcsec", gt=0
    )


class RescueConfig(StrictModel):
    """Detectors that lack a WCS or a zero point."""

    match_radius_arcsec: float = param(
        3.0, "reference stars are looked for within this of stars", unit="arcsec", gt=0
    )
    min_stars: int = param(5, "matched stars that make a shift of the WCS", ge=2)
    peak_arcsec: float = param(
        0.4, "pairs whose offsets agree within this are taken together", unit="arcsec", gt=0
    )
    min_significance: float = param(
        5.0,
        "how far their number must exceed that of chance pairs",
        unit="sigma",
        ge=0,
    )
    min_matched_share: float = param(
        0.3,
        "a WCS that the other detectors contradict stays if it brings this share of the stars onto "
        "reference stars, beyond chance, and theirs does not",
        ge=0,
        le=1,
    )
    clip_sigma: float = param(4.0, "pairs farther off are left out", unit="sigma", gt=1)
    centroid_floor_arcsec: float = param(
        0.01, "error of a position that is in no catalogue (turbulence)", unit="arcsec", gt=0
    )
    neighbor_scatter_mag: float = param(
        0.03, "scatter of zero points among detectors, beyond their errors", unit="mag", gt=0
    )
    response_mag: dict[str, dict[int, float]] = Field(
        default_factory=dict,
        description="zero point of each detector less the mean of all, by physical filter and "
        "detector; 0 where none is given",
        json_schema_extra={"unit": "mag"},
    )
    photometry: PhotometryConfig = Field(
        default_factory=PhotometryConfig, description="zero point of a detector with a new WCS"
    )


class ConsolidateVisitConfig(StrictModel):
    """Pointing, and what is made good from it."""

    pointing: PointingConfig = Field(
        default_factory=PointingConfig, description="the visit's pointing"
    )
    rescue: RescueConfig = Field(
        default_factory=RescueConfig, description="detectors without WCS or zero point"
    )
    depth: DepthConfig = Field(
        default_factory=DepthConfig, description="figures of depth for a detector with a new one"
    )
    reference_margin_deg: float = param(
        0.05, "margin around the field in which reference stars are read", unit="deg", ge=0
    )
