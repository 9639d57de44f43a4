"""The section ``fitStellarMotions``: places, proper motions and parallaxes of single stars."""

from __future__ import annotations

from pydantic import Field

from drpflow.config.base import StrictModel, param

_BAD = (
    "centroid_flag",
    "psfFlux_flag",
    "pixelFlags_badCenter",
    "pixelFlags_crCenter",
    "pixelFlags_edge",
    "pixelFlags_interpolatedCenter",
    "pixelFlags_nodata",
    "pixelFlags_saturatedCenter",
    "pixelFlags_suspectCenter",
    "pixelFlags_artifactCenter",
    "pixelFlags_streakCenter",
)


class MotionModelConfig(StrictModel):
    """When motions are told, and what is expected of those that are not."""

    min_visits: int = param(3, "visits without which no motion is told", ge=3)
    min_span_yr: float = param(
        0.25, "time between first and last visit without which none is", unit="yr", ge=0
    )
    max_condition: float = param(
        1000.0,
        "largest condition number of the correlations of place, motion and parallax with which "
        "they are told of a star that is not tied to the catalogue: errors of places are larger "
        "than without them by up to a third of its root",
        gt=1,
    )
    pm_mas_yr: float = param(
        10.0, "proper motion expected of stars of which none is told", unit="mas yr-1", gt=0
    )
    parallax_mas: float = param(1.0, "parallax expected of such stars", unit="mas", gt=0)


class MotionNoiseConfig(StrictModel):
    """Errors of single positions, and those that are no good."""

    bad_flags: tuple[str, ...] = param(_BAD, "flags of source with which a position does not count")
    floor_mas: float = param(
        5.0,
        "scatter in each coordinate beside the errors of centroids, where the astrometric "
        "solution tells none",
        unit="mas",
        gt=0,
    )
    find_floors: bool = param(True, "find the scatter of each visit from the stars themselves")
    floor_rows: float = param(
        20.0, "that many positions the solution's scatter of a visit is worth", gt=0
    )
    scale_sigma: float = param(
        4.0,
        "errors of centroids are scaled if all residuals together differ from them by more than "
        "this",
        unit="sigma",
        gt=0,
    )
    max_error_mas: float = param(500.0, "largest error that counts", unit="mas", gt=0)
    clip_sigma: float = param(
        4.5, "positions farther than this from what the others say do not count", unit="sigma", gt=2
    )
    max_clipped: float = param(0.34, "largest share of a star's positions that may not", ge=0, lt=1)
    variable_sigma: float = param(
        5.0, "significance of excess scatter from which a star is flagged", gt=0
    )
    flux_scatter: float = param(
        0.05,
        "relative scatter of stars' true fluxes about their mean, with which a flux near the "
        "limit is judged",
        gt=0,
    )


class MotionReferenceConfig(StrictModel):
    """The reference catalogue."""

    use: bool = param(True, "places and motions of the catalogue count as a measurement")
    parallax_zero_point_mas: float = param(
        0.0, "what the catalogue's parallaxes are too large by", unit="mas"
    )
    floor_mas: float = param(0.1, "scatter of the catalogue beside its errors", unit="mas", ge=0)
    clip_sigma: float = param(
        4.5, "stars farther from the catalogue than this are not tied to it", unit="sigma", gt=2
    )


class StarColorConfig(StrictModel):
    """Colours, which tell how much the air refracts a star."""

    max_error_mag: float = param(
        0.3, "largest error of a colour that is taken as it is", unit="mag", gt=0
    )
    floor_mag: float = param(
        0.02, "scatter of colours beside the errors of fluxes", unit="mag", ge=0
    )
    sequence_bins: int = param(12, "pieces of the sequence by which one colour tells another", ge=2)


class FitStellarMotionsConfig(StrictModel):
    """Places, proper motions and parallaxes, WCSs held fixed."""

    min_sources: int = param(2, "sources of a group that are fitted", ge=1)
    model: MotionModelConfig = Field(
        default_factory=MotionModelConfig, description="when motions are told"
    )
    noise: MotionNoiseConfig = Field(
        default_factory=MotionNoiseConfig, description="errors and outliers"
    )
    reference: MotionReferenceConfig = Field(
        default_factory=MotionReferenceConfig, description="the reference catalogue"
    )
    color: StarColorConfig = Field(default_factory=StarColorConfig, description="colours")
