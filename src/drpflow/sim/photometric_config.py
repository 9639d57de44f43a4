"""What a survey of photometry without pixels consists of."""

from __future__ import annotations

from pydantic import Field

from drpflow.config.base import StrictModel, param
from drpflow.sim.config import FilterConfig
from drpflow.sim.star_field import Fraction, Positive, StarFieldConfig

FILTERS = (
    FilterConfig(physical_filter="sim_g", band="g", lower_nm=402, upper_nm=548, sky_mag=21.9),
    FilterConfig(physical_filter="sim_r", band="r", lower_nm=553, upper_nm=688, sky_mag=20.9),
    FilterConfig(physical_filter="sim_i", band="i", lower_nm=692, upper_nm=818, sky_mag=20.0),
)
"""The filters of the simulated camera."""


class FieldConfig(StarFieldConfig):
    """Where the telescope points, and the stars there."""

    dither_deg: float = param(0.6, "boresights fill a square of this side", unit="deg", ge=0)
    reddening_mag: float = param(0.04, "mean E(B-V)", unit="mag", ge=0)
    variable_fraction: Fraction = param(0.03, "share of variable stars")
    variable_amplitude_mag: float = param(0.08, "median semi-amplitude", unit="mag", ge=0)


class CameraConfig(StrictModel):
    """A mosaic of equal detectors, and what is imperfect in its light path."""

    filters: tuple[FilterConfig, ...] = param(FILTERS, "the filters, one a band", min_length=1)
    columns: int = param(3, "detectors along x", ge=1)
    rows: int = param(3, "detectors along y", ge=1)
    without: tuple[int, ...] = param((), "places in the grid without a detector, row by row")
    detector_deg: float = param(0.2, "side of a detector", unit="deg", gt=0)
    gap_deg: float = param(0.01, "gap between detectors", unit="deg", ge=0)
    collecting_area_m2: float = param(5.0, "unobstructed aperture", unit="m2", gt=0)
    star_flat_mag: float = param(
        0.015, "flat error over the field: dome light that is not sky light", unit="mag", ge=0
    )
    detector_offset_mag: float = param(0.01, "rms of the detectors' gain errors", unit="mag", ge=0)
    detector_flat_mag: float = param(0.003, "rms of flat errors inside a detector", unit="mag")
    edge_mag: float = param(0.003, "light lost at a detector's edge", unit="mag", ge=0)
    epoch_change_mag: float = param(
        0.003, "rms change of the detectors at the cleaning", unit="mag", ge=0
    )
    throughput_error: float = param(
        0.01, "rms tilt of the documented throughput curves over a filter", ge=0
    )
    filter_error_nm: float = param(0.3, "rms error of their edges", unit="nm", ge=0)


class NightsConfig(StrictModel):
    """When the telescope looks, and through what."""

    latitude_deg: float = param(-30.24, "of the observatory", unit="deg", ge=-90, le=90)
    first_mjd: float = param(60700.2, "middle of the first night, TAI", unit="d")
    days: tuple[int, ...] = param((0, 1, 7, 19, 33, 40), "days after the first night", unit="d")
    visits_per_night: int = param(12, "visits a night", ge=1)
    hours: float = param(7.0, "their span, about the field's culmination", unit="h", ge=0)
    culmination_h: float = param(0.6, "rms shift of that per night", unit="h", ge=0)
    exposure_time_s: float = param(30.0, "exposure time", unit="s", gt=0)
    seeing_arcsec: tuple[Positive, Positive] = param((0.7, 1.4), "range of FWHM", unit="arcsec")
    water_mm: tuple[float, float] = param((1.0, 9.0), "range of nightly water vapour", unit="mm")
    water_scatter: float = param(0.03, "rms relative change between visits", ge=0)
    aerosol_depth: tuple[float, float] = param((0.02, 0.15), "range at 550 nm and airmass 1")
    ozone_dobson: tuple[float, float] = param((240.0, 310.0), "range of ozone", unit="DU")
    cleaning_day: float = param(25.0, "the mirror is cleaned before this day", unit="d")
    dust_mag_per_day: float = param(0.0008, "loss of throughput at 600 nm", unit="mag d-1", ge=0)
    throughput_scatter_mag: float = param(0.0005, "rms change a night", unit="mag", ge=0)


class GrayConfig(StrictModel):
    """Losses that have no colour."""

    clear_mag: float = param(0.001, "scatter of clear visits", unit="mag", ge=0)
    haze_fraction: Fraction = param(0.08, "share of visits with haze: photometric all the same")
    haze_mag: tuple[float, float] = param((0.002, 0.012), "range of its extinction", unit="mag")
    cloud_fraction: Fraction = param(0.15, "share of visits with cloud")
    cloud_mag: tuple[Positive, Positive] = param((0.025, 0.6), "range of its mean", unit="mag")
    cloud_gradient: float = param(
        0.25, "rms change of cloud from the middle to the rim of the field, relative", ge=0
    )
    cloud_structure: float = param(0.1, "rms of patches, relative to the mean", ge=0)
    cloud_deg: float = param(0.5, "size of patches", unit="deg", gt=0)
    aperture_mag_per_arcsec2: float = param(
        0.004, "light outside the aperture, growing as the square of the FWHM", unit="mag arcsec-2"
    )


class NoiseConfig(StrictModel):
    """Errors of single measurements."""

    aperture_arcsec2: float = param(25.0, "area whose sky counts", unit="arcsec2", gt=0)
    read_noise_electron: float = param(100.0, "of that area", unit="electron", ge=0)
    flat_mag: float = param(0.0012, "errors that no catalogue tells (flat, profile)", unit="mag")
    outlier_fraction: Fraction = param(0.02, "share of measurements spoilt by something")
    outlier_mag: float = param(0.08, "rms of what spoils them", unit="mag", ge=0)
    min_signal_to_noise: float = param(10.0, "fainter measurements are not in the catalogue", ge=0)


class ReferenceCatalogConfig(StrictModel):
    """A reference catalogue in passbands of its own."""

    fraction: Fraction = param(0.12, "share of the stars brighter than faint_mag that it has")
    faint_mag: float = param(18.5, "faintest entry (r)", unit="mag")
    floor_mag: float = param(0.006, "smallest error", unit="mag", ge=0)
    outlier_fraction: Fraction = param(0.02, "share of wrong entries")
    pattern_mag: float = param(0.003, "rms of its errors over the sky", unit="mag", ge=0)
    pattern_deg: float = param(0.5, "size of their patches", unit="deg", gt=0)
    passband_shift_nm: float = param(2.0, "rms shift of its passbands", unit="nm", ge=0)


class PhotometricConfig(StrictModel):
    """Photometry of many visits of one field, without pixels."""

    seed: int = param(1, "everything random follows from it", ge=0)
    field: FieldConfig = Field(default_factory=FieldConfig)
    camera: CameraConfig = Field(default_factory=CameraConfig)
    nights: NightsConfig = Field(default_factory=NightsConfig)
    gray: GrayConfig = Field(default_factory=GrayConfig)
    noise: NoiseConfig = Field(default_factory=NoiseConfig)
    reference: ReferenceCatalogConfig = Field(default_factory=ReferenceCatalogConfig)
