"""The section ``calibrateImage``: first PSF, WCS, zero point and sources of a detector."""

from __future__ import annotations

from pydantic import Field

from drpflow.config.ap_corr import ApCorrConfig
from drpflow.config.astrometry import AstrometryConfig
from drpflow.config.background import BackgroundConfig
from drpflow.config.base import StrictModel, param
from drpflow.config.cosmic_rays import CosmicRayConfig, PsfGuessConfig
from drpflow.config.deblend import DeblendConfig
from drpflow.config.detection import AdaptiveDetectionConfig, DetectionConfig, SkySourcesConfig
from drpflow.config.measurement import MeasurementConfig
from drpflow.config.photometry import DepthConfig, PhotometryConfig
from drpflow.config.psf import PsfConfig, StarSelectionConfig


class CalibrateImageConfig(StrictModel):
    """First background, PSF, astrometry and photometry, each detector by itself."""

    seed: int = param(1, "seed of all that is random, together with the data ID", ge=0)
    psf_guess: PsfGuessConfig = Field(
        default_factory=PsfGuessConfig,
        description="image size with which stars are first looked for",
    )
    fallback_fwhm_pix: float = param(4.0, "that size where too few peaks tell it", unit="pix", gt=1)
    sharpest_fraction: float = param(
        0.7,
        "stars may be sharper than the guess by this factor: what is sharper still is a cosmic "
        "ray from the start",
        gt=0.1,
        le=1,
    )
    mask_cosmic_rays: bool = param(True, "whether cosmic rays are looked for")
    background: BackgroundConfig = Field(
        default_factory=BackgroundConfig, description="level of the sky"
    )
    cosmic_rays: CosmicRayConfig = Field(
        default_factory=CosmicRayConfig, description="what is sharper than a star"
    )
    bright_detection: AdaptiveDetectionConfig = Field(
        default_factory=AdaptiveDetectionConfig, description="sources among which stars are found"
    )
    star_selection: StarSelectionConfig = Field(
        default_factory=StarSelectionConfig, description="stars, told by their size"
    )
    psf: PsfConfig = Field(default_factory=PsfConfig, description="model of the PSF")
    detection: DetectionConfig = Field(
        default_factory=DetectionConfig, description="sources of the catalogue"
    )
    sky_sources: SkySourcesConfig = Field(
        default_factory=SkySourcesConfig, description="places without a source"
    )
    deblend: DeblendConfig = Field(
        default_factory=DeblendConfig, description="division of blends into sources"
    )
    measurement: MeasurementConfig = Field(
        default_factory=MeasurementConfig, description="positions, shapes and fluxes"
    )
    ap_corr: ApCorrConfig = Field(
        default_factory=ApCorrConfig, description="corrections of fluxes for aperture"
    )
    astrometry: AstrometryConfig = Field(
        default_factory=AstrometryConfig, description="from pixels to the sky"
    )
    photometry: PhotometryConfig = Field(
        default_factory=PhotometryConfig, description="from electrons to nJy"
    )
    depth: DepthConfig = Field(default_factory=DepthConfig, description="sky noise and depth")
