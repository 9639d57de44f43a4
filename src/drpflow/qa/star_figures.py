"""Figures of the sources of a visit: which of them were taken for stars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drpflow.qa.canvas import data_uri, plain_canvas

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Sizes:
    """Brightness and size of sources.

    Parameters
    ----------
    magnitude
        AB, or instrumental where there is no zero point; shape (N,).
    size_pix
        √((xx + yy)/2) of the adaptive moments.
    used
        Whether the source made the PSF, or was kept to judge it.
    calibrated
        Whether magnitudes are AB.
    """

    magnitude: NDArray[np.float64]
    size_pix: NDArray[np.float64]
    used: NDArray[np.bool_]
    calibrated: bool


def size_magnitude(sizes: Sizes) -> str:
    """Draw sizes against magnitudes, the stars of the PSF on top: they should lie on one line."""
    figure, axes = plain_canvas()
    good = np.isfinite(sizes.magnitude) & np.isfinite(sizes.size_pix)
    for which, color, label in (
        (good & ~sizes.used, "0.65", "others"),
        (good & sizes.used, "#c8102e", "PSF stars"),
    ):
        axes.plot(
            sizes.magnitude[which],
            sizes.size_pix[which],
            ".",
            color=color,
            markersize=3,
            label=label,
        )
    stars = sizes.size_pix[good & sizes.used]
    if stars.size:
        axes.set_ylim(0.4 * float(np.median(stars)), 3 * float(np.median(stars)))
    if good.any():
        low, high = np.percentile(sizes.magnitude[good], [0.2, 99.8])
        axes.set_xlim(low - 0.3, high + 0.3)
    axes.set_xlabel("magnitude (AB)" if sizes.calibrated else "instrumental magnitude", fontsize=8)
    axes.set_ylabel("size √((Ixx + Iyy)/2) [pix]", fontsize=8)
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    return data_uri(figure)
