"""The section ``skyMap``: how the sky is cut into tracts and patches, on which coadds are made."""

from __future__ import annotations

from typing import Literal

from pydantic import ValidationInfo, field_validator

from drpflow.config.base import StrictModel, param

# A patch of fewer pixels costs more in opening files than in work on its pixels.
SMALLEST_PATCH_PIX = 100
USUAL_PATCH_PIX = 1000, 4000
"""Least and largest side of a patch that is not given: of smaller ones, the warps are mostly border
and margin; of larger ones, an image takes more than 200 MB of memory."""


class FieldConfig(StrictModel):
    """The one tract of the layout ``field``: a rectangle on its tangent plane."""

    ra_deg: float = param(..., "right ascension of its centre", unit="deg", ge=0, lt=360)
    dec_deg: float = param(..., "declination of its centre", unit="deg", ge=-90, le=90)
    width_deg: float = param(..., "its width, along x", unit="deg", gt=0, le=20)
    height_deg: float = param(..., "its height, along y", unit="deg", gt=0, le=20)
    rotation_deg: float = param(0.0, "position angle of its +y, east of north", unit="deg")


class SkyMapConfig(StrictModel):
    """Tracts, each with one tangent plane, and the patches that they consist of."""

    layout: Literal["rings", "healpix", "field"] = param(
        "rings",
        "how the sky is cut into tracts: rings of equal height in declination, HEALPix pixels, or "
        "one tract about a field, which covers nothing else",
    )
    pixel_scale_arcsec: float | None = param(
        None,
        "side of a coadd's pixel at the centre of a tract; that of the camera if unset",
        unit="arcsec",
        gt=0,
        le=60,
    )
    rings: int = param(
        120,
        "rings between the polar tracts, for the layout rings; tracts are 180 degrees / "
        "(rings + 1) high",
        ge=12,
        le=2000,
    )
    first_ra_deg: float = param(
        0.0,
        "right ascension of the centre of each ring's first tract, for the layout rings",
        unit="deg",
        ge=0,
        lt=360,
    )
    order: int = param(
        5,
        "HEALPix order of the layout healpix: 5 is 1.8 degrees wide, each order higher halves that",
        ge=3,
        le=10,
    )
    field: FieldConfig | None = param(None, "the tract of the layout field; none otherwise")
    tract_overlap_deg: float = param(
        1 / 60,
        "how far a tract of rings or healpix reaches beyond the part of the sky that is its own",
        unit="deg",
        ge=0,
        le=2,
    )
    patch_border_pix: int = param(
        100,
        "how far the image of a patch reaches beyond the part that is its own, within its tract",
        unit="pix",
        ge=0,
        le=2000,
    )
    patch_inner_pix: int | None = param(
        None,
        "largest side of the part that is a patch's own; a tract is divided evenly. If unset, that "
        "of the camera's largest detector, but 1000 to 4000",
        unit="pix",
        ge=SMALLEST_PATCH_PIX,
        le=30000,
    )
    warp_margin_pix: int = param(
        208,
        "how far warps reach beyond the image of their patch, so that what is decided about its "
        "outermost pixels sees the same surroundings in neighbouring patches",
        unit="pix",
        ge=0,
        le=2000,
    )
    margin_deg: float | None = param(
        None,
        "how far a detector may be from where visit sheet and camera file put it: visits that are "
        "farther off are missing from patches, and drpflow status tells them. If unset, that of "
        "skypix, but at most half the shorter side of the camera's field: a telescope that points "
        "worse misses its targets",
        unit="deg",
        ge=0,
        le=10,
    )
    tracts: tuple[int, ...] | None = param(
        None, "tracts whose coadds are made; all that visits touch if unset"
    )

    @field_validator("patch_inner_pix")
    @classmethod
    def _larger_than_border(cls, size: int | None, info: ValidationInfo) -> int | None:
        border = info.data.get("patch_border_pix", 0)
        if size is not None and size < 2 * border:
            raise ValueError(
                f"a patch is at least twice as large as its border of {border} pixels, "
                "so that only neighbours overlap; make it larger, or patch_border_pix smaller"
            )
        return size
