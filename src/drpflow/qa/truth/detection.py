"""What was found of what there is: completeness, and detections of nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drpflow.qa.merit import away_from, match, nearness, rms
from drpflow.qa.truth.tables import STAR_LIKE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.qa.truth.tables import Frame

    Floats: TypeAlias = NDArray[np.float64]
    Bools: TypeAlias = NDArray[np.bool_]

DEPTH_BINS = {"S/N 5": (4.5, 5.5), "S/N 7": (6.5, 7.5), "S/N 10": (9, 11), "S/N 20": (18, 22)}
"""Limits of the bins of true signal to noise in which completeness is counted."""

BLENDED = ", partly blended"
"""Suffix of the bins of sources that a neighbour disturbs, but does not cover."""


def match_radius_pix(fwhm_pix: float) -> float:
    """Return how far a detection may lie from the source that it is of."""
    return max(1.5, 0.4 * fwhm_pix)


class Depth:
    """Counts detections of points of known S/N, and those of nothing, away from masks.

    Parameters
    ----------
    frame
        The truth.
    dead
        Pixels near which nothing counts.
    """

    def __init__(self, frame: Frame, dead: Bools) -> None:
        self.frame, self.dead = frame, dead
        s, reach = frame.sources, int(np.ceil(1.5 * frame.fwhm_pix))
        self.radius = match_radius_pix(frame.fwhm_pix)
        self.reach = reach
        point = np.isin(s["kind"], STAR_LIKE) & away_from(s["x"], s["y"], dead, reach)
        near = nearness(s["x"], s["y"], s["flux_electron"], frame.fwhm_pix)
        # Closer than half of that, and two images are one.
        self.counting = {"": point & (near < 1), BLENDED: point & (near >= 1) & (near < 2)}

    def completeness(self, x: Floats, y: Floats) -> dict[str, tuple[int, int]]:
        """Return (found, there) by bin of S/N."""
        s = self.frame.sources
        seen = np.flatnonzero(s["snr"] >= 2)
        found = np.zeros(len(s["x"]), bool)
        found[seen[match(x, y, s["x"][seen], s["y"][seen], self.radius)[1]]] = True
        counts = {}
        for name, (low, high) in DEPTH_BINS.items():
            for suffix, counting in self.counting.items():
                these = counting & (s["snr"] >= low) & (s["snr"] < high)
                counts[name + suffix] = (int((found & these).sum()), int(these.sum()))
        return counts

    def false(self, x: Floats, y: Floats) -> int:
        """Return the number of detections that no true source explains."""
        from scipy.spatial import cKDTree

        s = self.frame.sources
        near = np.flatnonzero(away_from(x, y, self.dead, self.reach))
        seen = s["snr"] >= 1
        tree = cKDTree(np.column_stack([s["x"][seen], s["y"][seen]]))
        # A blend that was not separated is no false detection, nor are the wings of what is bright.
        distance, which = tree.query(np.column_stack([x[near], y[near]]), k=1)
        reach = self.frame.fwhm_pix * np.clip(np.sqrt(s["snr"][seen][which] / 100), 1, 4)
        return int((distance > reach).sum())


def wcs_error_pix(wcs: Any, frame: Frame) -> float:
    """Return the rms distance over the detector between a WCS and the truth, pixels."""
    x, y = wcs.world_to_pixel_values(frame.grid["ra"], frame.grid["dec"])
    if not np.isfinite(x).all():
        return float("inf")
    return rms(np.hypot(x - frame.grid["x"], y - frame.grid["y"]))
