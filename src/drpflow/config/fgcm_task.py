"""The section ``fgcm``: the global photometric calibration, and what it takes from a run."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from drpflow.config.base import StrictModel, param
from drpflow.config.fgcm import FgcmConfig


class FgcmSourcesConfig(StrictModel):
    """Which detections and reference stars are compared."""

    flux: Literal["normCompTophatFlux", "psfFlux", "ap12Flux", "compGaussianFlux3"] = param(
        "normCompTophatFlux",
        "flux that is calibrated; the compensated one does not feel errors of the background",
    )
    cloud_flux: Literal["psfFlux", "compGaussianFlux3", "none"] = param(
        "psfFlux",
        "flux of less noise by which clouds are followed inside an image, on the scale of `flux`; "
        "`none`: by `flux` alone",
    )
    match_radius_arcsec: float = param(
        0.5, "largest distance of a star to its reference", unit="arcsec", gt=0
    )

    @property
    def second_flux(self) -> str | None:
        """The flux for the clouds, None if it is no other than `flux`."""
        return None if self.cloud_flux in ("none", self.flux) else self.cloud_flux


class FgcmTaskConfig(FgcmConfig):
    """The task fgcm."""

    sources: FgcmSourcesConfig = Field(
        default_factory=FgcmSourcesConfig, description="detections and reference stars"
    )
