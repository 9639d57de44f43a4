"""The section ``fgcm``: the global photometric calibration."""

from __future__ import annotations

from pydantic import Field, model_validator

from drpflow.config.base import StrictModel, param


class AirPriorConfig(StrictModel):
    """What is expected of a night's air before the stars are asked; centres: the standard air."""

    free: bool = param(True, "fit the air of each night; otherwise it is the standard air")
    min_visits: int = param(
        3, "photometric visits of a night from which its air is told; fewer: not a fit night", ge=1
    )
    ln_pwv_sigma: float = param(0.8, "natural logarithm of the water column", gt=0)
    ln_pwv_slope_sigma: float = param(0.05, "its change", unit="h-1", gt=0)
    ozone_sigma_dobson: float = param(30.0, "ozone", unit="dobson", gt=0)
    tau_sigma: float = param(0.04, "aerosol depth", gt=0)
    tau_slope_sigma: float = param(0.003, "its change", unit="h-1", gt=0)
    alpha_sigma: float = param(0.4, "Ångström exponent", gt=0)
    night_gray_mag: float = param(
        0.003,
        "expected gray change from night to night that nothing else tells; the fit finds its size",
        unit="mag",
        gt=0,
    )
    night_filter_mag: float = param(0.001, "the same by night and filter", unit="mag", gt=0)


class InstrumentPriorConfig(StrictModel):
    """What is expected of telescope, filters and detectors."""

    epochs_mjd: tuple[float, ...] = param(
        (), "when the mirror was cleaned or the camera opened: new star flats and drifts", unit="d"
    )
    drift_mag: float = param(
        0.02, "expected linear drift of the throughput over an epoch, each way", unit="mag", gt=0
    )
    flat_order: int = param(2, "order of the star flat of each detector", ge=1, le=4)
    flat_offset_mag: float = param(
        0.01, "expected difference between detectors; the fit finds its size", unit="mag", gt=0
    )
    flat_mag: float = param(
        0.003,
        "expected size of the terms of the star flat inside a detector; the fit finds it",
        unit="mag",
        gt=0,
    )
    passband_nm: float = param(
        0.2,
        "expected error of the effective wavelength of a detector's passband; 0: none is fitted",
        unit="nm",
        ge=0,
    )
    seeing_mag: float = param(
        0.005, "expected change of light outside the aperture with ln FWHM", unit="mag", ge=0
    )
    sensitivity: dict[str, float] = param(
        {}, "slope of stellar spectra inside a band over that between bands; 1 for bands not named"
    )
    sensitivity_sigma: float = param(
        0.5, "uncertainty of `sensitivity`, relative; 0: it is held", ge=0
    )


class GrayConfig(StrictModel):
    """Clouds and whatever else dims all colours alike."""

    order: int = param(2, "order of the gray over the field in the global fit", ge=0, le=4)
    max_parameters: int = param(
        8000, "parameters beyond which that order is lowered, down to 0", ge=10
    )
    clear_mag: float = param(
        0.002, "expected scatter of clear visits; the fit finds it", unit="mag", gt=0
    )
    clear_slope_mag: float = param(
        0.001, "expected unevenness of clear visits; the fit finds it", unit="mag", gt=0
    )
    min_clear_mag: float = param(0.0005, "smallest scatter of clear visits", unit="mag", gt=0)
    max_clear_mag: float = param(0.006, "largest scatter of clear visits", unit="mag", gt=0)
    cloud_mag: float = param(0.15, "mean loss by clouds", unit="mag", gt=0)
    cloud_fraction: float = param(0.2, "expected share of visits with clouds", gt=0, lt=1)
    haze_mag: float = param(
        0.006, "mean loss by haze that is too thin to be seen as cloud", unit="mag", gt=0
    )
    haze_fraction: float = param(0.1, "its expected share of visits without cloud", gt=0, lt=1)
    uneven_chance: float = param(
        1e-3, "chance of unevenness in clear visits below which a visit is not photometric", gt=0
    )
    cloud_slope_mag: float = param(
        0.02, "expected unevenness of clouds; the fit finds that of each visit", unit="mag", gt=0
    )
    photometric_mag: float = param(
        0.018,
        "dimming up to which a visit may count as photometric, whatever the scatter of the others",
        unit="mag",
        gt=0,
    )


class FitNoiseConfig(StrictModel):
    """Errors of observations, outliers, variable stars."""

    floor_mag: float = param(
        0.003, "scatter beside known errors to start with; the fit finds it", unit="mag", gt=0
    )
    min_floor_mag: float = param(0.0003, "smallest such scatter", unit="mag", ge=0)
    shared_mag: float = param(
        0.003,
        "expected size of what the stars of a detector image have in common; the fit finds it; "
        "0: nothing",
        unit="mag",
        ge=0,
    )
    max_error_mag: float = param(0.11, "largest error of observations used", unit="mag", gt=0)
    taper_sigma: float = param(3.0, "residuals beyond this lose weight", unit="sigma", gt=1)
    clip_sigma: float = param(5.0, "residuals beyond this have none", unit="sigma", gt=1)
    variable_sigma: float = param(
        5.0, "significance of excess scatter from which a star is variable", unit="sigma", gt=0
    )


class ReferenceConfig(StrictModel):
    """The reference catalogue."""

    use: bool = param(True, "tie the scale to reference stars")
    floor_mag: float = param(0.01, "scatter to start with; the fit finds it", unit="mag", gt=0)
    max_error_mag: float = param(0.1, "largest error of reference stars", unit="mag", gt=0)
    systematic_mag: float = param(
        0.005,
        "expected error of the catalogue that neighbours share; the fit finds its size; 0: none",
        unit="mag",
        ge=0,
    )
    systematic_deg: float = param(0.5, "size of regions that share them", unit="deg", gt=0)
    color_term_sigma: float = param(
        0.05, "expected colour term against the catalogue; 0: none", ge=0
    )
    color_pivot_mag: float = param(
        0.0,
        "colour at which catalogue and camera agree whatever the colour term; 0 for AB magnitudes, "
        "which are equal in all passbands for constant f_ν",
        unit="mag",
    )
    color_percentile: tuple[float, float] = param(
        (5.0, 95.0), "range of colours of reference stars used", unit="%"
    )


class ZeroPointConfig(StrictModel):
    """The zero point that each detector of each visit gets."""

    min_stars: int = param(5, "stars on a detector below which it is flagged", ge=1)
    max_error_mag: float = param(0.05, "largest error of a zero point", unit="mag", gt=0)
    max_cloud_mag: float = param(1.0, "most dimming of a visit with zero points", unit="mag", gt=0)
    max_cells: int = param(10, "cells of a detector, each way, in which clouds are resolved", ge=1)
    stars_per_cell: int = param(1, "stars that a cell should have", ge=1)
    patch_order: int = param(
        10,
        "largest order of the polynomial that clouds have over a detector in the end",
        ge=0,
        le=12,
    )
    min_evidence: float = param(
        3.0,
        "natural logarithm of the odds above which unevenness beyond the polynomial counts in a "
        "clear visit; 0 in others",
    )


class FgcmConfig(StrictModel):
    """The global photometric calibration."""

    air: AirPriorConfig = Field(default_factory=AirPriorConfig, description="the air")
    instrument: InstrumentPriorConfig = Field(
        default_factory=InstrumentPriorConfig, description="telescope and camera"
    )
    gray: GrayConfig = Field(default_factory=GrayConfig, description="clouds")
    noise: FitNoiseConfig = Field(default_factory=FitNoiseConfig, description="errors")
    reference: ReferenceConfig = Field(
        default_factory=ReferenceConfig, description="the reference catalogue"
    )
    zero_points: ZeroPointConfig = Field(default_factory=ZeroPointConfig, description="zero points")
    max_cycles: int = param(20, "cycles of fitting at most", ge=2)
    min_cycles: int = param(4, "cycles of fitting at least", ge=2)
    tolerance_mag: float = param(
        2e-4, "change of zero points (rms) at which cycles end", unit="mag", gt=0
    )
    default_color_mag: float = param(
        0.5,
        "colour between neighbouring bands of a star of which none is known, per 150 nm",
        unit="mag",
    )

    @model_validator(mode="after")
    def _ordered(self) -> FgcmConfig:
        if self.min_cycles > self.max_cycles:
            raise ValueError("min_cycles is at most max_cycles")
        if self.noise.taper_sigma > self.noise.clip_sigma:
            raise ValueError("taper_sigma is at most clip_sigma")
        if list(self.instrument.epochs_mjd) != sorted(set(self.instrument.epochs_mjd)):
            raise ValueError("epochs_mjd grow")
        return self
