"""The section ``makeSkyFrame``: the pattern of the empty sky in a filter."""

from __future__ import annotations

from pydantic import Field

from drpflow.config.base import StrictModel, param
from drpflow.config.model_visit_background import SkyModelConfig


class MakeSkyFrameConfig(StrictModel):
    """Shape of the empty sky on each detector, and patterns that come and go."""

    min_visits: int = param(3, "visits that a frame needs", ge=2)
    max_visits: int = param(
        60, "no more visits enter, those with the most cells of blank sky", ge=2
    )
    smooth_pix: int = param(
        64,
        "side of the bins that the smooth part of a detector's shape is made from, at least; "
        "larger where a detector would have more than 24 of them in a row",
        unit="pix",
        ge=16,
    )
    lengths: tuple[float, ...] = param(
        (0.06, 0.09, 0.13, 0.2, 0.3, 0.45, 0.7),
        "correlation lengths of that part that are tried, in units of the detector's side",
    )
    mesh_pix: int = param(
        128,
        "side of the bins of what the smooth part leaves, as far as it is real",
        unit="pix",
        ge=16,
    )
    max_patterns: int = param(6, "patterns, at most", ge=0)
    min_visits_per_pattern: int = param(
        6, "visits that each pattern needs: 30 visits may give 5", ge=3
    )
    held_out: float = param(
        0.2, "share of the bins that test how many patterns there are", gt=0, lt=1
    )
    rounds: int = param(4, "skies of visits and shapes of detectors made in turn", ge=1)
    clip_sigma: float = param(
        4.0, "a visit's cell farther than this from the others' does not count", unit="sigma", gt=1
    )
    sky: SkyModelConfig = Field(
        default_factory=lambda: SkyModelConfig(max_order=3),
        description="what each visit has by itself",
    )
