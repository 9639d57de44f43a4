"""The section ``solveAstrometry``: one astrometric solution of all visits."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from drpflow.config.base import StrictModel, param
from drpflow.config.turbulence import TurbulenceConfig


class AstrometricModelConfig(StrictModel):
    """The maps from pixels to the sky, and what is expected of them before the stars are asked."""

    detector_order: int = param(4, "order of the static map of each detector", ge=0, le=6)
    visit_order: int = param(3, "order of the map of each visit over the field", ge=1, le=7)
    detector_mas: float = param(
        200.0,
        "expected size of each term of a detector's map beyond the camera file; the fit finds that "
        "of each order",
        unit="mas",
        gt=0,
    )
    visit_mas: float = param(
        100.0,
        "expected size of each term of a visit's map from order 2 on; the fit finds that of each "
        "order",
        unit="mas",
        gt=0,
    )
    visit_linear_arcsec: float = param(
        60.0,
        "expected size of shift, turn, scale and shear of a visit beyond its start, at the edge of "
        "the field",
        unit="arcsec",
        gt=0,
    )
    find_sizes: bool = param(True, "find the sizes of the terms of each order by evidence")
    dcr_mas: float = param(
        30.0,
        "expected slope of differential refraction with colour towards the zenith, or in both "
        "directions where that is not known; 0: none is fitted",
        unit="mas mag-1",
        ge=0,
    )
    dcr_across_mas: float = param(
        1.0,
        "expected slope across the direction to the zenith, where that is known",
        unit="mas mag-1",
        gt=0,
    )
    reference_color_mag: float = param(
        0.78,
        "colour of the star for which the WCS holds: AB g - i of a star of 5500 K",
        unit="mag",
    )
    epochs_mjd: tuple[float, ...] = param(
        (), "when the camera was opened or warmed: new maps of the detectors", unit="d"
    )


class StarMotionConfig(StrictModel):
    """Positions, proper motions and parallaxes of the stars."""

    motions: bool = param(True, "fit proper motions and parallaxes")
    min_span_yr: float = param(
        0.25,
        "time between first and last visit below which stars without a reference do not move",
        unit="yr",
        ge=0,
    )
    pm_mas_yr: float = param(
        10.0, "expected proper motion in each coordinate; the fit finds it", unit="mas yr-1", gt=0
    )
    parallax_mas: float = param(1.0, "expected parallax; the fit finds it", unit="mas", gt=0)
    position_arcsec: float = param(
        1.0,
        "expected distance of a star from its start, without a reference",
        unit="arcsec",
        gt=0,
    )


class AstrometricNoiseConfig(StrictModel):
    """Errors of observations, outliers, reserved stars."""

    floor_mas: float = param(
        5.0,
        "scatter in each coordinate beside the errors of centroids (turbulence) to start with; the "
        "fit finds that of each visit",
        unit="mas",
        gt=0,
    )
    min_floor_mas: float = param(0.1, "smallest such scatter", unit="mas", gt=0)
    max_floor_mas: float = param(200.0, "largest such scatter", unit="mas", gt=0)
    max_error_mas: float = param(
        200.0, "largest error of a centroid that takes part", unit="mas", gt=0
    )
    clip_sigma: float = param(
        4.5, "residuals beyond this do not take part, standard deviations", unit="sigma", gt=2
    )
    variable_sigma: float = param(
        5.0, "significance of excess scatter from which a star's position varies", gt=0
    )


class AstrometricReferenceConfig(StrictModel):
    """The reference catalogue."""

    use: bool = param(True, "tie positions and motions to the catalogue")
    floor_mas: float = param(0.1, "scatter of the catalogue beside its errors", unit="mas", ge=0)
    clip_sigma: float = param(
        4.5, "stars farther from the catalogue than this are not tied to it", unit="sigma", gt=2
    )


class VisitCheckConfig(StrictModel):
    """Which visits and detectors take part."""

    min_stars: int = param(
        6, "stars shared with other visits or the catalogue without which a visit drops out", ge=3
    )
    max_offset_arcsec: float = param(
        2.0,
        "distance of a visit from where the others and the catalogue see its stars, beyond which "
        "its first WCS is wrong",
        unit="arcsec",
        gt=0,
    )
    max_misplaced: float = param(
        0.5, "share of a visit's stars that may be outliers; beyond it the visit drops out", gt=0
    )


class AstrometricSolverConfig(StrictModel):
    """The machinery."""

    max_passes: int = param(20, "passes of fitting, rejection and error floors at most", ge=1)
    tolerance_mas: float = param(
        0.02, "change of positions on the sky (rms) at which the fit ends", unit="mas", gt=0
    )
    max_dense_parameters: int = param(
        9000, "parameters up to which the normal equations are factored whole", ge=10
    )


class SolveAstrometryConfig(StrictModel):
    """One astrometric solution of all visits of a piece of the sky."""

    method: Literal["polynomials", "turbulence"] = param(
        "polynomials",
        "maps of detectors and visits alone, or with the turbulence of each visit taken out after "
        "them (a Gaussian process)",
    )
    model: AstrometricModelConfig = Field(
        default_factory=AstrometricModelConfig, description="maps from pixels to the sky"
    )
    stars: StarMotionConfig = Field(default_factory=StarMotionConfig, description="the stars")
    noise: AstrometricNoiseConfig = Field(
        default_factory=AstrometricNoiseConfig, description="errors and outliers"
    )
    reference: AstrometricReferenceConfig = Field(
        default_factory=AstrometricReferenceConfig, description="the reference catalogue"
    )
    visits: VisitCheckConfig = Field(
        default_factory=VisitCheckConfig, description="which visits take part"
    )
    solver: AstrometricSolverConfig = Field(
        default_factory=AstrometricSolverConfig, description="the machinery"
    )
    turbulence: TurbulenceConfig = Field(
        default_factory=TurbulenceConfig, description="the turbulence, where `method` asks for it"
    )

    @model_validator(mode="after")
    def _ordered(self) -> SolveAstrometryConfig:
        if self.noise.min_floor_mas > self.noise.max_floor_mas:
            raise ValueError("min_floor_mas is at most max_floor_mas")
        if list(self.model.epochs_mjd) != sorted(set(self.model.epochs_mjd)):
            raise ValueError("epochs_mjd grow")
        return self
