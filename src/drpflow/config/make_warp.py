"""The section ``makeWarp``: resampling of a visit to a patch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from drpflow.config.base import StrictModel, param
from drpflow.config.psf_match import PsfMatchConfig


class ResamplingConfig(StrictModel):
    """How the pixels of a detector become those of a patch."""

    kernel_order: Literal[3, 4, 5] = param(3, "taps of the resampling kernel on each side")
    map_step_pix: int = param(
        32, "spacing at which the map to the detector is exact, at most", unit="pix", ge=4
    )
    map_error_pix: float = param(
        1e-3, "largest error of the map between; the spacing is halved until it holds", unit="pix",
        gt=0,
    )  # fmt: skip
    mask_threshold: float = param(
        1e-3, "a pixel passes its mask on with a weight above this", ge=0, lt=1
    )
    max_lost_weight: float = param(
        0.04, "Σ |weight| on pixels without a value, above which there is no value", ge=0, lt=1
    )
    bad_planes: tuple[str, ...] = param(
        ("BAD", "SAT", "CR", "INTRP"), "mask planes that count for the masked fraction"
    )


class MakeWarpConfig(StrictModel):
    """Resampling of a visit to a patch, as it is and with a matched PSF."""

    resampling: ResamplingConfig = Field(
        default_factory=ResamplingConfig, description="from detectors to the patch"
    )
    matching: PsfMatchConfig = Field(
        default_factory=PsfMatchConfig, description="to the target PSF of the plan"
    )
