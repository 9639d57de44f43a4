"""The section ``astrometry`` of calibrateImage: from pixels to the sky."""

from __future__ import annotations

from pydantic import Field, model_validator

from drpflow.config.base import StrictModel, param


class PatternMatchConfig(StrictModel):
    """Finding which source is which reference star, from a poor pointing."""

    max_offset_pix: float = param(
        250.0, "largest error of the pointing, in each coordinate", unit="pix", gt=0
    )
    max_rotation_deg: float = param(
        1.0,
        "largest error of the rotation; 180 searches all angles, in seconds instead of "
        "milliseconds",
        unit="deg",
        ge=0,
        le=180,
    )
    max_scale_error: float = param(
        0.01,
        "largest relative error of the pixel scale with which a pattern is looked for",
        ge=0,
        le=0.3,
    )
    vote_pix: float = param(
        3.0,
        "cell in which pairs that ask for one shift are counted; more than the distortion that "
        "the camera file does not know",
        unit="pix",
        gt=0,
    )
    sources: tuple[int, ...] = param(
        (150, 150, 400, 400), "brightest sources taken, at each of the attempts"
    )
    reference_ratio: tuple[float, ...] = param(
        (1.5, 6.0, 3.0, 25.0),
        "brightest references taken per source on the same area, at each of the attempts",
    )
    max_references: int = param(10000, "references taken at most", ge=10)
    candidates: int = param(25, "peaks of the count that are looked at closer", ge=1)
    max_log10_chance: float = param(
        -5.0,
        "a match is accepted if the decimal logarithm of the probability to find one as good by "
        "chance, anywhere in the search, is below this",
        lt=0,
    )

    @model_validator(mode="after")
    def _same_length(self) -> PatternMatchConfig:
        if len(self.sources) != len(self.reference_ratio) or not self.sources:
            raise ValueError("sources and reference_ratio list as many attempts, at least one")
        return self


class AstrometryConfig(StrictModel):
    """The first astrometric calibration of one detector."""

    pattern: PatternMatchConfig = Field(
        default_factory=PatternMatchConfig, description="finding the match"
    )
    min_snr: float = param(5.0, "signal-to-noise ratio of the sources used", ge=0)
    min_matches: int = param(6, "matches without which there is no fit", ge=3)
    max_order: int = param(
        5,
        "highest order of the polynomial on top of the camera's model; how much of each order is "
        "let in, the data decide",
        ge=1,
        le=7,
    )
    linear_prior: float = param(
        2e-3, "expected error of scale and shear of the camera's model", gt=0
    )
    distortion_pix: float = param(
        0.05,
        "expected size of each quadratic term beyond the camera's model, half of it for each "
        "order more; matters where stars are few",
        unit="pix",
        gt=0,
    )
    floor_mas: float = param(
        5.0,
        "expected scatter beside errors of centroids and catalogue (turbulence); the fit finds "
        "the scatter itself, with this as a start that matters where stars are few",
        unit="mas",
        gt=0,
    )
    floor_spread: float = param(1.0, "uncertainty of `floor_mas`, natural logarithm", gt=0)
    match_sigma: float = param(
        5.0, "radius within which sources and references are matched in the fit", unit="sigma", gt=0
    )
    clip_sigma: float = param(4.0, "clipping of residuals", unit="sigma", gt=1)
    clip_mag: float = param(
        4.0,
        "clipping of differences in magnitude between source and reference, robust standard "
        "deviations",
        unit="sigma",
        gt=1,
    )
    max_rounds: int = param(10, "rounds of matching and fitting", ge=1)
    color: tuple[str, str] = param(
        ("g", "i"), "reference bands, blue and red, whose colour tells the refraction of a star"
    )
    reference_color_mag: float = param(
        0.78,
        "colour of the star for which the WCS holds: AB g - i of a star of 5500 K",
        unit="mag",
    )
    dcr_prior_mas: float = param(
        60.0,
        "expected slope of refraction with colour at 45 degrees from the zenith; 0: none is fitted",
        unit="mas mag-1",
        ge=0,
    )
    dcr_curvature_prior_mas: float = param(
        15.0, "the same for its curvature; 0: none is fitted", unit="mas mag-2", ge=0
    )
    max_camera_scale_error: float = param(
        5e-3,
        "largest relative error of the camera file's pixel scale; beyond it the camera file is "
        "wrong and there is no WCS",
        gt=0,
    )
    max_shear: float = param(5e-3, "the same for the shear", gt=0)
    max_epoch_error_yr: float = param(
        1.0,
        "largest difference between the epoch at which the proper motions fit best and the "
        "exposure's; beyond it, if significant, the catalogue's epoch is wrong",
        unit="yr",
        gt=0,
    )
    max_scatter_pix: float = param(
        0.8, "largest scatter of bright stars about the fit", unit="pix", gt=0
    )
    max_error_pix: float = param(
        0.3, "largest error of the WCS, rms over the detector, as the fit expects it", unit="pix"
    )
