"""The section ``skypix``: how the sky is cut into pieces that are worked on one by one."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from drpflow.config.base import StrictModel, param


class SkypixConfig(StrictModel):
    """HEALPix orders, and how well the visit sheet knows where the camera looked."""

    association_order: int = param(
        7,
        "HEALPix order of the pieces in which stars are associated: 7 is 0.46 degrees wide, each "
        "order higher halves that; memory of a piece is 0.8 GB per million sources",
        ge=3,
        le=12,
    )
    astrometry_order: int = param(
        3,
        "HEALPix order of the pieces in which astrometry is solved: 3 is 7.3 degrees wide. All "
        "visits that touch a piece are solved together; the more a piece is larger than the field "
        "of view, the fewer visits are solved more than once",
        ge=0,
        le=12,
    )
    margin_deg: float = param(
        0.1,
        "how far a detector may be from where visit sheet and camera file put it; a star farther "
        "off is in no piece",
        unit="deg",
        ge=0,
        le=10,
    )

    @model_validator(mode="after")
    def _nested(self) -> Self:
        if self.astrometry_order > self.association_order:
            raise ValueError(
                f"astrometry_order {self.astrometry_order} is finer than association_order "
                f"{self.association_order}; pieces of the one are parts of those of the other"
            )
        return self
