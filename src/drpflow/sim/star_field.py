"""Where the surveys without pixels point, and how bright the stars there are."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from drpflow.config.base import StrictModel, param

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]


class StarFieldConfig(StrictModel):
    """Where the telescope points, and the stars there."""

    ra_deg: float = param(150.1, "middle of the field", unit="deg", ge=0, lt=360)
    dec_deg: float = param(-12.3, "middle of the field", unit="deg", ge=-80, le=80)
    dither_deg: float = param(0.2, "boresights fill a square of this side", unit="deg", ge=0)
    rotations_deg: tuple[float, ...] = param(
        (-60.0, -20.0, 20.0, 60.0), "position angles, drawn at random", unit="deg"
    )
    rotation_jitter_deg: float = param(1.0, "rms added to them", unit="deg", ge=0)
    stars_per_detector: float = param(300.0, "mean number of stars on a detector", gt=0)
    bright_mag: float = param(15.0, "brightest star (r)", unit="mag")
    faint_mag: float = param(20.3, "faintest star (r)", unit="mag")
    count_slope: float = param(0.2, "d log10 (dN/dm) / dm", unit="mag-1", gt=0)
    reserved_fraction: Fraction = param(0.1, "share of stars kept for validation")


def draw_magnitudes(rng: np.random.Generator, config: StarFieldConfig, number: int) -> np.ndarray:
    """Return magnitudes whose counts grow by the slope."""
    low, high = 10.0 ** (config.count_slope * np.array([config.bright_mag, config.faint_mag]))
    return np.log10(rng.uniform(low, high, number)) / config.count_slope
