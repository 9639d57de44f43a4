"""The section ``finalizeCharacterization``: final PSF and aperture corrections of a visit."""

from __future__ import annotations

from pydantic import Field

from drpflow.config.ap_corr import ApCorrConfig
from drpflow.config.base import StrictModel, param
from drpflow.config.final_psf import FinalPsfConfig
from drpflow.config.measurement import MeasurementConfig


class FinalStarsConfig(StrictModel):
    """Which isolated stars make the models."""

    min_snr: float = param(20.0, "least signal-to-noise ratio of the first PSF flux", gt=0)
    max_stars: int = param(600, "brightest stars of a detector that are used", ge=3)
    bad_flags: tuple[str, ...] = param(
        ("psfFlux_flag", "pixelFlags_suspect"),
        "flags of isolated_stars_source that keep a detection out",
    )


class FinalizeCharacterizationConfig(StrictModel):
    """Final PSF and aperture corrections, all detectors of a visit together."""

    stars: FinalStarsConfig = Field(
        default_factory=FinalStarsConfig, description="isolated stars that make the models"
    )
    psf: FinalPsfConfig = Field(default_factory=FinalPsfConfig, description="model of the PSF")
    measurement: MeasurementConfig = Field(
        default_factory=MeasurementConfig, description="positions, shapes and fluxes"
    )
    ap_corr: ApCorrConfig = Field(
        default_factory=ApCorrConfig, description="corrections of fluxes for aperture"
    )
