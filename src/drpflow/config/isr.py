"""The section ``isr``: how the signature of the instrument is removed.

A calibration that is there is applied, unless ``skip`` names it; one that is not there is
done without, unless ``required`` names it.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import Field, model_validator

from drpflow.config.base import StrictModel, param
from drpflow.config.mask_planes import MaskPlane  # noqa: TC001 - pydantic evaluates it

CalibrationKind: TypeAlias = Literal[
    "bias",
    "dark",
    "flat",
    "defects",
    "ptc",
    "linearizer",
    "crosstalk",
    "brighter_fatter",
    "cti",
]


class SerialOverscanConfig(StrictModel):
    """Level of each row, from the columns read after its last pixel."""

    method: Literal["adaptive", "row", "spline", "constant", "none"] = param(
        "adaptive",
        "adaptive: row means, smoothed as much as their own scatter says they may be; row: row "
        "means as they are; spline: through the means of bins of rows; constant: one level an "
        "amplifier; none: only the pedestal",
    )
    statistic: Literal["mean", "median"] = param(
        "mean", "level of a row: clipped mean (less noise) or median"
    )
    skip_leading: int = param(
        4, "first columns left out, into which charge of the last pixels trails", unit="pix", ge=0
    )
    skip_trailing: int = param(1, "last columns left out", unit="pix", ge=0)
    clip_sigma: float = param(4.0, "clipping of pixels within a row", unit="sigma", gt=1)
    spline_bin: int = param(32, "rows in a bin of the spline", unit="pix", ge=2)
    trail_sigma: float = param(
        6.0,
        "a row whose first columns exceed its last ones by this holds trailed charge; its level "
        "is taken from its neighbours",
        unit="sigma",
        gt=0,
    )


class ParallelOverscanConfig(StrictModel):
    """Level of each column, from the rows read after the last imaging row."""

    method: Literal["none", "column", "constant"] = param(
        "none",
        "column: median of each column; constant: one level an amplifier. Must be what the bias "
        "frames were made with, else structure that they hold is taken off twice",
    )
    skip_leading: int = param(
        2, "first rows left out, into which charge of the last row trails", unit="pix", ge=0
    )
    bleed_sigma: float = param(
        6.0,
        "a column that exceeds its neighbourhood by this holds bled charge; its level is taken "
        "from the columns beside it",
        unit="sigma",
        gt=0,
    )


class OverscanConfig(StrictModel):
    """Bias level of the amplifiers."""

    serial: SerialOverscanConfig = Field(
        default_factory=SerialOverscanConfig, description="columns read after each row"
    )
    parallel: ParallelOverscanConfig = Field(
        default_factory=ParallelOverscanConfig, description="rows read after the last row"
    )
    pedestal_adu: float = param(
        0.0, "level taken off where an amplifier has no overscan", unit="adu"
    )


class SaturationConfig(StrictModel):
    """Which pixels hold no usable level, and what lies around them."""

    adc_maximum_adu: float = param(
        65535.0, "raw values from here on are saturated", unit="adu", gt=0
    )
    suspect_fraction: float = param(
        0.95, "fraction of the saturation level from which a pixel is SUSPECT", gt=0, le=1
    )
    grow_pix: int = param(1, "growth of saturated areas", unit="pix", ge=0, le=50)
    edge_bleed_min_columns: int = param(
        2,
        "saturated columns, side by side, that make a bleed which reaches the serial register "
        "spill along it",
        unit="pix",
        ge=1,
    )
    edge_bleed_sigma: float = param(
        5.0, "rows at the register that deviate by this are then saturated", unit="sigma", gt=0
    )
    edge_bleed_max_rows: int = param(100, "most rows so masked", unit="pix", ge=0)


class CrosstalkConfig(StrictModel):
    """Ghosts of one amplifier's signal in the others."""

    mask_sigma: float = param(
        1.0,
        "CROSSTALK marks the ghost of a saturated pixel where it exceeds this many read noises",
        unit="sigma",
        gt=0,
    )


class LinearizerConfig(StrictModel):
    """Non-linearity of the amplifiers."""

    interpolation: Literal["akima", "natural"] = param(
        "akima", "spline through the nodes of the calibration"
    )


class BrighterFatterConfig(StrictModel):
    """Repulsion by the charge that a pixel has collected already."""

    threshold_electron: float = param(
        1e-4,
        "converged when a pixel changes less than this, on average over a tile",
        unit="electron",
        gt=0,
    )
    max_iterations: int = param(10, "most iterations", ge=1, le=100)


class VarianceConfig(StrictModel):
    """Noise model of the pixels."""

    floor_fraction: float = param(
        0.25, "least variance, as a fraction of the squared read noise", gt=0, le=1
    )


class FlatConfig(StrictModel):
    """Response of the pixels to uniform light."""

    minimum: float = param(0.1, "pixels of a smaller response are BAD, and not divided", gt=0)
    maximum: float = param(10.0, "pixels of a larger response are BAD, and not divided", gt=0)


class AmpOffsetConfig(StrictModel):
    """Steps of the level between neighbouring amplifiers."""

    enabled: bool = param(False, "match the levels across the borders of amplifiers")
    strip_pix: int = param(64, "width of the strips compared", unit="pix", ge=1)
    inset_pix: int = param(5, "their distance from the border", unit="pix", ge=0)
    min_unmasked_fraction: float = param(
        0.5, "least part of a strip that must be free of masked pixels and sources", gt=0, le=1
    )
    max_offset_electron: float = param(
        5.0, "steps larger than this are not believed", unit="electron", gt=0
    )


class InterpolationConfig(StrictModel):
    """Cosmetic filling of defects, saturated and lost pixels."""

    planes: tuple[Literal["BAD", "SAT", "SUSPECT", "UNMASKEDNAN"], ...] = param(
        ("BAD", "SAT", "UNMASKEDNAN"), "planes whose pixels are filled"
    )
    max_gap_pix: int = param(
        64, "gaps that are longer than this along both rows and columns stay", unit="pix", ge=1
    )


class DetrendedConfig(StrictModel):
    """Frames that someone has detrended already (``input: detrended``)."""

    electron_per_unit: float | None = param(
        None,
        "factor to electrons; by default the amplifiers' gain for frames in adu, 1 for electron",
        unit="electron",
        gt=0,
    )
    sky: Literal["kept", "subtracted"] = param(
        "kept", "whether the frames still hold their sky, whose noise the variance must include"
    )
    mask_planes: dict[MaskPlane, int] = Field(
        default_factory=dict,
        description="plane: bits of the given mask image that mean it (as a number, 5 for bits "
        "0 and 2); without, every pixel that is not zero is BAD",
        json_schema_extra={"unit": ""},
    )


class IsrConfig(StrictModel):
    """Raw frame to detrended image in electrons, with variance and mask."""

    input: Literal["raw", "detrended"] = param(
        "raw", "raw frames, or frames detrended already, which only get variance and mask"
    )
    required: tuple[CalibrationKind, ...] = param(
        ("bias", "flat"), "calibrations without which a frame is not processed"
    )
    skip: tuple[CalibrationKind, ...] = param((), "calibrations not to use even if they are there")
    seed: int = param(1, "seed of all that is random, together with the data ID", ge=0)
    dequantize: bool = param(False, "spread each raw value uniformly over its digitisation step")
    max_read_noise_electron: float = param(
        25.0, "an amplifier that is noisier is BAD", unit="electron", gt=0
    )
    max_sky_fraction: float = param(
        0.5, "a frame whose sky takes more of the range of its amplifiers is told of", gt=0
    )
    overscan: OverscanConfig = Field(
        default_factory=OverscanConfig, description="bias level of the amplifiers"
    )
    saturation: SaturationConfig = Field(
        default_factory=SaturationConfig, description="saturated pixels and what lies around"
    )
    crosstalk: CrosstalkConfig = Field(
        default_factory=CrosstalkConfig, description="ghosts of other amplifiers"
    )
    linearizer: LinearizerConfig = Field(
        default_factory=LinearizerConfig, description="non-linearity"
    )
    brighter_fatter: BrighterFatterConfig = Field(
        default_factory=BrighterFatterConfig, description="repulsion by collected charge"
    )
    variance: VarianceConfig = Field(default_factory=VarianceConfig, description="noise model")
    flat: FlatConfig = Field(default_factory=FlatConfig, description="response of the pixels")
    amp_offset: AmpOffsetConfig = Field(
        default_factory=AmpOffsetConfig, description="steps between amplifiers"
    )
    interpolation: InterpolationConfig = Field(
        default_factory=InterpolationConfig, description="filling of defects and saturation"
    )
    detrended: DetrendedConfig = Field(
        default_factory=DetrendedConfig, description="frames detrended by others"
    )

    @model_validator(mode="after")
    def _no_contradiction(self) -> IsrConfig:
        both = sorted(set(self.required) & set(self.skip))
        if both:
            raise ValueError(f"{both[0]!r} stands in 'skip' and in 'required': take it out of one")
        return self
