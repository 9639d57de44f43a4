"""The section ``modelVisitBackground``: one model of the sky for the whole focal plane."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from drpflow.config.base import StrictModel, param


class CellMaskConfig(StrictModel):
    """Which cells hold more than sky."""

    scales_pix: tuple[float, ...] = param(
        (32.0, 64.0, 128.0, 256.0),
        "widths of the Gaussian filters that look for what is wider than sources: outskirts of "
        "galaxies, nebulae, wings that the model of wings does not hold",
        unit="pix",
    )
    threshold: float = param(
        3.5, "what they find on either side of zero is masked", unit="sigma", gt=0
    )
    floor: float = param(
        4e-4,
        "unevenness of an empty sky, relative to it, that flat fields, frames and the light of "
        "undetected sources leave: it counts as noise beside that of photons",
        ge=0,
    )
    grow: float = param(1.0, "masks grow by this share of the filter's width", ge=0)
    clip_sigma: float = param(
        5.0, "cells farther than this from the model are left out", unit="sigma", gt=1
    )
    min_count_fraction: float = param(
        0.1, "a cell with a smaller share of sky pixels does not count", gt=0, lt=1
    )
    max_fraction: float = param(
        0.8,
        "a visit in which a larger share of the cells holds more than sky, or no sky at all, shows "
        "a nebula that fills the field",
        gt=0,
        lt=1,
    )
    rounds: int = param(8, "masks and models made in turn, at most", ge=1)


class WingsConfig(StrictModel):
    """Wings of bright stars."""

    enabled: bool = param(True, "fit and subtract them")
    faintest_mag: float = param(
        18.5, "stars fainter than this have no wings to speak of", unit="mag"
    )
    max_stars: int = param(2000, "the brightest so many stars of a visit are taken", ge=1)
    inner_arcsec: float = param(
        7.0, "wings begin here; further in is the star's image", unit="arcsec", gt=0
    )
    outer_arcsec: float = param(180.0, "wings end here", unit="arcsec", gt=0)
    nodes: int = param(9, "nodes of the profile, evenly spaced in log radius", ge=3)
    regions: int = param(
        3, "rings of the focal plane, of equal area, with profiles of their own", ge=1
    )
    smoothness: float = param(
        0.5, "by what share of itself the profile times r² changes between neighbouring nodes", gt=0
    )
    region_scatter: float = param(0.2, "by what share profiles of neighbouring rings differ", gt=0)
    visit_scatter: float = param(
        0.15, "by what share the profile of a visit differs from that of its band", gt=0
    )
    negligible_sigma: float = param(
        0.002,
        "how wrong the light of a star's wings may be anywhere, as a share of a pixel's noise: "
        "where that allows it they are interpolated between nodes",
        gt=0,
    )


class SuperpixelConfig(StrictModel):
    """The other method: robust means of large squares of the focal plane."""

    side_mm: float = param(7.0, "side of the squares", unit="mm", gt=0)
    min_fraction: float = param(
        0.1, "a square with a smaller share of good cells is filled from its neighbours", gt=0, lt=1
    )
    clip_sigma: float = param(3.0, "cells of a square that count", unit="sigma", gt=1)


class SkyModelConfig(StrictModel):
    """Polynomial over the focal plane, offsets of detectors, wings of stars."""

    max_order: int = param(
        6,
        "highest total degree of the polynomial over the focal plane; the evidence chooses one up "
        "to it",
        ge=0,
        le=12,
    )
    gradient_sigma: float = param(
        0.03,
        "size that is expected of its coefficients, relative to the sky: what the evidence weighs "
        "terms by, and what holds the model where there is nothing but a galaxy",
        gt=0,
    )
    pistons: Literal["evidence", "never"] = param(
        "evidence", "offsets of single detectors, of the size that the data give evidence for"
    )
    max_gradient: float = param(
        0.3,
        "a sky that changes by more than this share over the field holds a nebula that fills it",
        gt=0,
    )
    max_structure: float = param(
        0.03,
        "a sky whose local means scatter by more than this share about the model, all over the "
        "field, holds a nebula that fills it",
        gt=0,
    )
    mask: CellMaskConfig = Field(
        default_factory=CellMaskConfig, description="which cells hold more than sky"
    )
    wings: WingsConfig = Field(default_factory=WingsConfig, description="wings of bright stars")


class ModelVisitBackgroundConfig(SkyModelConfig):
    """The model of a visit, and how it is stored."""

    method: Literal["polynomial", "superpixels"] = param(
        "polynomial", "polynomial, or means of large squares of the focal plane"
    )
    node_pix: int = param(64, "spacing of the nodes that layers are stored at", unit="pix", ge=8)
    superpixels: SuperpixelConfig = Field(
        default_factory=SuperpixelConfig, description="the method of large squares"
    )
