"""How the zero point of a detector is found, and what its depth is compared with."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from drpflow.config.base import StrictModel, param


class ReferenceColor(StrictModel):
    """A colour of the reference catalogue."""

    blue: str = param(..., "band whose magnitude comes first")
    red: str = param(..., "band whose magnitude is subtracted")
    pivot: float = param(
        ..., "colour for which the zero point holds: that of a star of 5500 K", unit="mag"
    )


class ZeroPointFieldConfig(StrictModel):
    """Variation of the zero point over a detector (clouds, a flat that is off)."""

    order: int = param(
        4, "highest order of the polynomial; 0 keeps the zero point constant", ge=0, le=5
    )
    min_evidence: float = param(
        3.0,
        "gain in the logarithm of the evidence from which the data are taken to show a variation",
        ge=0,
    )
    min_stars: int = param(15, "stars from which on one is looked for", ge=6)


class PhotometryConfig(StrictModel):
    """Zero point from reference stars."""

    flux: Literal["psfFlux", "normCompTophatFlux", "ap12Flux"] = param(
        "psfFlux", "flux that is compared with the catalogue"
    )
    min_snr: float = param(10.0, "smallest signal to noise of a star", gt=0)
    match_radius_arcsec: float = param(
        0.5, "largest distance of a star to its reference", unit="arcsec", gt=0
    )
    max_extendedness: float = param(0.5, "largest extendedness of a star", ge=0, le=1)
    max_blendedness: float = param(0.05, "largest share of neighbours' light at a star", ge=0, le=1)
    min_stars: int = param(3, "fewest stars that make a zero point", ge=1)
    clip_sigma: float = param(3.0, "stars farther off than this are left out", unit="sigma", gt=1)
    max_iterations: int = param(20, "rounds of fitting and clipping", ge=1)
    max_scatter_mag: float = param(
        0.25, "largest intrinsic scatter of the stars that are kept", unit="mag", gt=0
    )
    min_used_fraction: float = param(
        0.3, "smallest share of the stars that must agree on the zero point", ge=0, le=1
    )
    colors: tuple[ReferenceColor, ...] = Field(
        default=(
            ReferenceColor(blue="g", red="i", pivot=0.78),
            ReferenceColor(blue="g", red="r", pivot=0.58),
            ReferenceColor(blue="r", red="i", pivot=0.20),
            ReferenceColor(blue="gaia_bp", red="gaia_rp", pivot=0.61),
            ReferenceColor(blue="V", red="I", pivot=0.35),
            ReferenceColor(blue="B", red="V", pivot=0.59),
        ),
        description="colours of the colour term (AB); the first one that the catalogue has counts",
        json_schema_extra={"unit": ""},
    )
    color_term: dict[str, float] = Field(
        default_factory=dict,
        description="expected colour term by band: magnitudes that the instrument's flux of a star "
        "falls behind the catalogue's for a colour that is redder by 1 mag; 0 where none is given",
        json_schema_extra={"unit": ""},
    )
    color_term_sigma: float = param(
        0.03,
        "how far the true colour term may be from the expected one; 0 takes that as it is",
        ge=0,
    )
    color_dispersion_mag: float = param(
        0.5, "dispersion of the colours of stars whose own is unknown", unit="mag", ge=0
    )
    field: ZeroPointFieldConfig = Field(
        default_factory=ZeroPointFieldConfig, description="variation over the detector"
    )


class FiducialConfig(StrictModel):
    """Conditions under which an exposure counts as long as it was."""

    fwhm_arcsec: float = param(..., "image size", unit="arcsec", gt=0)
    sky_electron_per_s: float = param(
        ..., "brightness of the sky in a pixel", unit="electron s-1", gt=0
    )
    zero_point_mag: float = param(..., "AB magnitude of 1 electron a second", unit="mag")


class DepthConfig(StrictModel):
    """Figures of depth and sky."""

    snr: float = param(5.0, "signal to noise at the limiting magnitude", gt=0)
    sample_pixels: int = param(
        400_000, "pixels that the sky's level and noise are taken from", unit="pix", ge=1000
    )
    clip_sigma: float = param(4.0, "clipping of these pixels", unit="sigma", gt=1)
    fiducial: dict[str, FiducialConfig] = Field(
        default_factory=dict,
        description="fiducial conditions by band; without them no effective time is given",
        json_schema_extra={"unit": ""},
    )
