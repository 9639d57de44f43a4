"""The section ``finalizeCharacterization.psf``: the final PSF models of a visit."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from drpflow.config.base import StrictModel, param
from drpflow.config.psf import StarImagesConfig


class PlacePriorConfig(StrictModel):
    """What the astrometric solution says of the places of stars."""

    use: bool = param(True, "whether it is used at all")
    floor_pix: float = param(
        0.01, "error of predicted places that is always allowed for", unit="pix", gt=0
    )
    max_offset_pix: float = param(
        1.0,
        "predictions that are off by more than this, in the median of a detector, are not used",
        unit="pix",
        gt=0,
    )
    min_stars: int = param(
        10, "stars of a visit that the error of predictions is found from, at least", ge=3
    )


class PiffConfig(StrictModel):
    """The method `piff`: Piff's PixelGrid and BasisPolynomial, an optional extra."""

    size_pix: int = param(25, "pixels of the model on a side, odd", unit="pix", ge=7)
    order: int = param(2, "degree of the polynomials of place", ge=0, le=6)
    lanczos: int = param(11, "order of the interpolation kernel", ge=3, le=20)
    max_snr: float = param(200.0, "weights of brighter stars are lowered to this", gt=0)
    outlier_sigma: float = param(4.0, "stars of larger χ² are left out", unit="sigma", gt=1)
    max_iterations: int = param(15, "rounds of rejection", ge=1)


class FinalPsfConfig(StarImagesConfig):
    """Final models of the point spread function, of all detectors of a visit."""

    method: Literal["focal_plane", "detectors", "piff"] = param(
        "focal_plane",
        "`focal_plane`: all detectors together, each with terms of its own; `detectors`: each by "
        "itself; `piff`: each by Piff",
    )
    order: int = param(4, "highest degree of the polynomials over the focal plane", ge=0, le=8)
    detector_order: int = param(
        2,
        "highest degree of the terms that each detector has beyond; of all terms, if it is fitted "
        "by itself",
        ge=0,
        le=6,
    )
    color_order: int = param(
        1,
        "highest degree with which the change by colour may vary over the focal plane",
        ge=0,
        le=4,
    )
    color: bool = param(True, "whether images change with the colour of the star")
    pedestal: bool = param(
        True,
        "whether sizes may change with 1/flux, as by an error of the background or the light of "
        "unknown neighbours; it is no part of the PSF",
    )
    background_level: bool = param(
        True,
        "whether each star has a level of background of its own, as large as the rims of the "
        "stars' images show beyond their noise",
    )
    place_prior: PlacePriorConfig = Field(
        default_factory=PlacePriorConfig, description="places of stars by the astrometric solution"
    )
    piff: PiffConfig = Field(default_factory=PiffConfig, description="the method `piff`")
