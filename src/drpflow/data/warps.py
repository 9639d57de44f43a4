"""A visit on the pixels of a tract."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from drpflow.data.exposure import Exposure


@dataclass(frozen=True, eq=False)
class Warp:
    """A visit on the pixels of a tract.

    Parameters
    ----------
    visit
        The visit.
    weight
        Its weight on the whole tract, nJy⁻².
    direct
        The visit resampled. Its pixels, and those of the next, are read by parts.
    matched
        The same with the common PSF; None where it has none.
    psf_area_pix
        Effective area (Σp)²/Σp² of its PSF on the whole tract, pixels; NaN if it is not known.
    """

    visit: int
    weight: float
    direct: Exposure
    matched: Exposure | None
    psf_area_pix: float = float("nan")

    def __post_init__(self) -> None:
        if not 0 < self.weight < np.inf:
            raise ValueError(f"visit {self.visit}: weight {self.weight}")
