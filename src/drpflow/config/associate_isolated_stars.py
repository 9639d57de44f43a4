"""The section ``associateIsolatedStars``: which detections are one star, and which are used."""

from __future__ import annotations

from pydantic import Field

from drpflow.config.base import StrictModel, param

_BAD = (
    "centroid_flag",
    "psfFlux_flag",
    # Where the moments fail, something else lies on the star: a satellite, a ghost.
    "shape_flag",
    "deblend_skipped",
    "pixelFlags_edge",
    "pixelFlags_nodata",
    "pixelFlags_saturated",
    "pixelFlags_badCenter",
    "pixelFlags_suspectCenter",
    "pixelFlags_interpolatedCenter",
    "pixelFlags_crCenter",
)


class DetectionConfig(StrictModel):
    """Which detections may stand for a star. Those that may not still count as neighbours."""

    min_snr: float = param(8.0, "least significance of the PSF flux", unit="sigma", gt=0)
    max_snr: float | None = param(
        None, "largest significance of the PSF flux; none if unset", unit="sigma", gt=0
    )
    max_blendedness: float = param(
        0.05, "largest share of the light that belongs to neighbours", ge=0, le=1
    )
    bad_flags: tuple[str, ...] = param(_BAD, "flags of initial_stars that forbid it")


class ShapeConfig(StrictModel):
    """Stars and galaxies, by the size of all detections together."""

    max_excess: float = param(
        0.06, "largest Ixx + Iyy of a star over that of the PSF, less 1, in the mean", gt=0
    )
    sigma: float = param(
        2.8, "that many errors of the mean are allowed, in quadrature", unit="sigma", ge=0
    )
    max_uncertain: float = param(0.35, "largest excess of a star however large its error", gt=0)
    floor: float = param(
        0.02, "error of the PSF's size in a visit, in quadrature to that of the source's", gt=0
    )


class IsolationConfig(StrictModel):
    """When a star is alone."""

    radius_arcsec: float = param(
        2.0, "nothing else may be detected within this of a star", unit="arcsec", gt=0
    )
    radius_pix: float = param(
        2.0, "the same in pixels; the larger of the two counts", unit="pix", ge=0
    )
    neighbor_flux_share: float = param(
        0.003,
        "neighbours fainter than this share of the star, in the same visit, do not count",
        ge=0,
        lt=1,
    )
    max_disturbed_share: float = param(
        0.1,
        "a star with a neighbour in more than this share of its visits is not alone; in others, "
        "the neighbour is a flaw of the visit, whose detection of the star is left out",
        ge=0,
        lt=1,
    )
    max_displaced_share: float = param(
        0.5,
        "visits that show something beside a star, and not the star, may be this share of those "
        "that show it: proper motion, and WCSs that are wrong",
        ge=0,
        lt=1,
    )
    forgive_one_of: int = param(
        4, "with so many visits or more, one neighbour is forgiven in any case", ge=2
    )


class CoverageConfig(StrictModel):
    """Whether a star is seen where it should be; what is not is an asteroid or a cosmic ray."""

    min_seen_share: float = param(
        0.5,
        "a star is seen in more than this share of the visits that should see it, if these are "
        "two or more",
        ge=0,
        lt=1,
    )
    margin_mag: float = param(
        0.75,
        "a visit should see a star so much brighter than its limit at five sigma",
        unit="mag",
        ge=0,
    )


class ReserveConfig(StrictModel):
    """Stars that no fit uses, so that every fit can be judged by them."""

    fraction: float = param(0.1, "share of the sky whose stars are reserved", ge=0, lt=1)
    cell_order: int = param(
        13,
        "HEALPix order of the cells that are reserved as a whole: 13 is 26 arcsec wide",
        ge=8,
        le=18,
    )
    seed: int = param(0, "another number reserves other cells", ge=0, lt=2**32)


class AssociateIsolatedStarsConfig(StrictModel):
    """Detections of all visits to isolated stars."""

    match_radius_arcsec: float = param(
        1.0, "detections this near are of one source", unit="arcsec", gt=0
    )
    match_radius_pix: float = param(
        1.0, "the same in pixels; the larger of the two counts", unit="pix", ge=0
    )
    detections: DetectionConfig = Field(
        default_factory=DetectionConfig, description="which detections may stand for a star"
    )
    isolation: IsolationConfig = Field(
        default_factory=IsolationConfig, description="when a star is alone"
    )
    coverage: CoverageConfig = Field(
        default_factory=CoverageConfig, description="whether it is seen where it should be"
    )
    shape: ShapeConfig = Field(default_factory=ShapeConfig, description="stars and galaxies")
    min_sources: int = param(1, "detections that make a star", ge=1)
    position_floor_arcsec: float = param(
        0.003, "error of a position beyond that of the centroid (turbulence)", unit="arcsec", gt=0
    )
    position_floor_pix: float = param(
        0.025, "the same in pixels (first WCSs, coarse pixels), in quadrature", unit="pix", ge=0
    )
    reserve: ReserveConfig = Field(
        default_factory=ReserveConfig, description="stars that no fit uses"
    )
