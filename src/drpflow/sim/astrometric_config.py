"""What a survey of positions without pixels consists of."""

from __future__ import annotations

from pydantic import Field

from drpflow.config.base import StrictModel, param
from drpflow.sim.star_field import Fraction, Positive, StarFieldConfig


class BandConfig(StrictModel):
    """A filter, as far as it matters to positions."""

    band: str = param(..., "name of the band")
    dispersion_mas: float = param(
        ...,
        "by how much more a star bluer by one magnitude is lifted towards the zenith, at tan z = 1",
        unit="mas mag-1",
    )


BANDS = (
    BandConfig(band="g", dispersion_mas=42.0),
    BandConfig(band="r", dispersion_mas=11.0),
    BandConfig(band="i", dispersion_mas=5.0),
)
"""The filters of the simulated camera."""


class FieldConfig(StarFieldConfig):
    """Where the telescope points, and the stars there."""

    motion_mas_per_year: float = param(
        5.0, "rms proper motion of each coordinate, most stars", unit="mas yr-1", ge=0
    )
    fast_fraction: Fraction = param(0.05, "share of stars that move eight times as fast")
    parallax_mas: float = param(1.0, "mean parallax (exponential)", unit="mas", ge=0)
    color_unknown_fraction: Fraction = param(0.03, "share of stars without a colour")
    color_error_mag: float = param(0.02, "rms error of the colours told", unit="mag", ge=0)


class CameraConfig(StrictModel):
    """A mosaic of equal detectors behind optics that distort."""

    columns: int = param(3, "detectors along x", ge=1)
    rows: int = param(3, "detectors along y", ge=1)
    without: tuple[int, ...] = param((), "places in the grid without a detector, row by row")
    side_pix: int = param(2048, "columns and rows of a detector", unit="pix", ge=64)
    detector_deg: float = param(0.2, "side of a detector", unit="deg", gt=0)
    gap_deg: float = param(0.01, "gap between detectors", unit="deg", ge=0)
    radial: float = param(
        2e-3, "third-order distortion per square of the field's radius, as documented"
    )
    offset_arcsec: float = param(
        0.8, "rms displacement of detectors from their documented places", unit="arcsec", ge=0
    )
    turn_arcsec: float = param(100.0, "rms turn of detectors", unit="arcsec", ge=0)
    distortion_mas: float = param(
        30.0, "rms static distortion of a detector (order 2 to 4)", unit="mas", ge=0
    )


class VisitsConfig(StrictModel):
    """When the telescope looks, and how it bends."""

    latitude_deg: float = param(-30.24, "of the observatory", unit="deg", ge=-90, le=90)
    first_mjd: float = param(60700.2, "middle of the first night, TAI", unit="d")
    days: tuple[int, ...] = param((0, 95, 370, 731), "days after the first night", unit="d")
    visits_per_night: int = param(5, "visits a night", ge=1)
    hours: float = param(5.0, "their span, about the field's culmination", unit="h", ge=0)
    bands: tuple[BandConfig, ...] = param(BANDS, "filters, taken by turns", min_length=1)
    pointing_arcsec: float = param(1.0, "rms error of the boresight told", unit="arcsec", ge=0)
    turn_arcsec: float = param(20.0, "rms error of the position angle told", unit="arcsec", ge=0)
    scale: float = param(2e-5, "rms change of scale and shear", ge=0)
    flexure_mas: float = param(
        30.0, "rms distortion of a visit at the field's rim (order 2 and 3)", unit="mas", ge=0
    )
    start_error_mas: float = param(
        50.0, "rms error of the coordinate systems to begin with", unit="mas", ge=0
    )


class TurbulenceConfig(StrictModel):
    """What the air of a visit displaces, with a von Kármán spectrum."""

    rms_mas: float = param(5.0, "rms displacement of each coordinate", unit="mas", ge=0)
    coherence_deg: float = param(
        0.033, "separation at which its correlation is 1/e", unit="deg", gt=0
    )
    curl_fraction: Fraction = param(0.05, "share of the power that is not a gradient")
    stretch: float = param(
        1.3, "length of its patches along the wind over that across it", ge=1, le=4
    )


class NoiseConfig(StrictModel):
    """Errors of single measurements."""

    seeing_arcsec: tuple[Positive, Positive] = param((0.7, 1.3), "range of FWHM", unit="arcsec")
    faint_error_mas: float = param(
        25.0, "centroid error of a star of `faint_mag` in seeing of 1 arcsec", unit="mas", gt=0
    )
    error_slope: float = param(0.3, "d log10 (error) / dm", unit="mag-1", gt=0)
    elongation: float = param(1.2, "axis ratio of the error ellipses", ge=1)
    outlier_fraction: Fraction = param(0.05, "share of measurements spoilt by something")
    outlier_mas: float = param(100.0, "rms of what spoils them", unit="mas", ge=0)


class ReferenceConfig(StrictModel):
    """A reference catalogue like that of Gaia."""

    epoch_mjd: float = param(57388.5, "its epoch, TAI", unit="d")
    fraction: Fraction = param(0.4, "share of the stars brighter than faint_mag that it has")
    faint_mag: float = param(19.5, "faintest entry", unit="mag")
    error_mas: float = param(0.3, "error of its positions at faint_mag", unit="mas", gt=0)
    error_slope: float = param(0.15, "d log10 (error) / dm", unit="mag-1", ge=0)
    motion_factor: float = param(1.1, "error of motions over that of positions", unit="yr-1", gt=0)
    parallax_factor: float = param(1.2, "error of parallaxes over that of positions", gt=0)
    outlier_fraction: Fraction = param(0.01, "share of entries of another star")


class AstrometricConfig(StrictModel):
    """Positions of stars on many visits of one field, without pixels."""

    seed: int = param(1, "everything random follows from it", ge=0)
    field: FieldConfig = Field(default_factory=FieldConfig)
    camera: CameraConfig = Field(default_factory=CameraConfig)
    visits: VisitsConfig = Field(default_factory=VisitsConfig)
    turbulence: TurbulenceConfig = Field(default_factory=TurbulenceConfig)
    noise: NoiseConfig = Field(default_factory=NoiseConfig)
    reference: ReferenceConfig = Field(default_factory=ReferenceConfig)
