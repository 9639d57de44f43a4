"""The section ``finalizeImage``: the final image of a detector and its full-depth sources."""

from __future__ import annotations

from pydantic import Field

from drpflow.config.ap_corr import ApCorrConfig
from drpflow.config.base import StrictModel, param
from drpflow.config.cosmic_rays import CosmicRayConfig
from drpflow.config.deblend import DeblendConfig
from drpflow.config.detection import DetectionConfig, SkySourcesConfig
from drpflow.config.measurement import ClassificationConfig, KronConfig, MeasurementConfig


class FinalizeImageConfig(StrictModel):
    """Final pixels and sources, each detector by itself."""

    seed: int = param(1, "seed of all that is random, together with the data ID", ge=0)
    mask_cosmic_rays: bool = param(
        True, "whether cosmic rays are looked for again, with the final PSF"
    )
    cosmic_rays: CosmicRayConfig = Field(
        default_factory=CosmicRayConfig, description="what is sharper than the final PSF"
    )
    above_first_background: bool = param(
        False,
        "whether sources are found and measured above the first background, which follows the "
        "glow of unresolved stars, and not above that of the final image, which does not: for "
        "crowded fields",
    )
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
        # The final PSF model leaves less of a ratio of fluxes than the first one;
        # docs/decisions/star-galaxy.md has the measurement.
        default_factory=lambda: MeasurementConfig(
            classification=ClassificationConfig(
                flux_ratio=0.985, error_factor=3.5, excess_limit=0.22
            )
        ),
        description="positions, shapes and fluxes",
    )
    kron: KronConfig = Field(default_factory=KronConfig, description="Kron fluxes")
    ap_corr: ApCorrConfig = Field(
        default_factory=lambda: ApCorrConfig(fluxes=("kronFlux",), required=()),
        description="correction of Kron fluxes for aperture; those of the other fluxes are "
        "finalizeCharacterization's",
    )
    match_radius_arcsec: float = param(
        0.2,
        "a source is a star of the models or of the global fits if it is this near",
        unit="arcsec",
        gt=0,
    )
