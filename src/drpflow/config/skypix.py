"""The section ``skypix``: how the sky is cut into pieces that are worked on one by one."""

from __future__ import annotations

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
    margin_deg: float = param(
        0.1,
        "how far a detector may be from where visit sheet and camera file put it; a star farther "
        "off is in no piece",
        unit="deg",
        ge=0,
        le=10,
    )
