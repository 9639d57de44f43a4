"""Which visits are good, which to be watched, which bad, and by which figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drpflow.qa.checks import mood_of, percent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from drpflow.config.make_report import VisitLimitsConfig

NAMES = {
    "lost": "lost detectors",
    "width": "PSF width",
    "ellipticity": "ellipticity",
    "scatter": "zero points",
    "residual": "astrometry",
    "shallow": "depth",
}
"""What the report calls the figures of the configuration's section ``visit_limits``."""


@dataclass(frozen=True)
class VisitFigures:
    """What a visit is judged by; NaN where it is not known.

    Parameters
    ----------
    visit, band
        Which.
    lost, detectors
        Detectors of no use, and all of them.
    width_arcsec, ellipticity
        Of the PSF, medians over detectors.
    scatter_mmag
        Of zero points among detectors.
    residual_mas
        Distance to the reference stars, median over detectors.
    depth_mag
        Five sigma, median over detectors.
    """

    visit: int
    band: str
    lost: int
    detectors: int
    width_arcsec: float
    ellipticity: float
    scatter_mmag: float
    residual_mas: float
    depth_mag: float


@dataclass(frozen=True)
class VisitState:
    """What has come of a visit.

    Parameters
    ----------
    mood
        The worst of its figures: ``"good"``, ``"watch"`` or ``"bad"``.
    moods
        By figure, those that are not good.
    """

    mood: str
    moods: Mapping[str, str]

    def text(self) -> str:
        """Return the state and its reasons in words."""
        why = [NAMES[name] for name, mood in self.moods.items() if mood == self.mood]
        return f"{self.mood}: {', '.join(why)}" if why else self.mood


def visit_states(
    visits: Sequence[VisitFigures], limits: VisitLimitsConfig
) -> dict[int, VisitState]:
    """Return the states of visits; width and depth are judged by the median of their band."""
    found = {}
    typical = {band: _typical([v for v in visits if v.band == band])
               for band in {v.band for v in visits}}  # fmt: skip
    for v in visits:
        width, depth = typical[v.band]
        values = {
            "lost": percent(v.lost, v.detectors),
            "width": v.width_arcsec / width if width > 0 else float("nan"),
            "ellipticity": v.ellipticity,
            "scatter": v.scatter_mmag,
            "residual": v.residual_mas,
            "shallow": depth - v.depth_mag,
        }
        moods = {name: mood_of(value, getattr(limits, name)) for name, value in values.items()}
        moods = {name: mood for name, mood in moods.items() if mood in ("watch", "bad")}
        worst = "bad" if "bad" in moods.values() else "watch" if moods else "good"
        found[v.visit] = VisitState(worst, moods)
    return found


def _typical(visits: Sequence[VisitFigures]) -> tuple[float, float]:
    """Return median width and depth."""
    columns = np.array([(v.width_arcsec, v.depth_mag) for v in visits]).T
    known = [c[np.isfinite(c)] for c in columns]
    width, depth = (float(np.median(c)) if c.size else float("nan") for c in known)
    return width, depth


def in_order_of_interest(visits: Sequence[int], states: Mapping[int, VisitState]) -> list[int]:
    """Return visits, those that stand out first.

    Bad ones come before those to be watched and good ones; among alike ones, first the first, then
    those that halve the longest stretch of visits again and again, so that few show all of the run.
    """
    rank = {"bad": 0, "watch": 1}
    even = {visit: k for k, visit in enumerate(_spread(sorted(visits)))}
    moods = {visit: states[visit].mood if visit in states else "watch" for visit in visits}
    return sorted(visits, key=lambda visit: (rank.get(moods[visit], 2), even[visit]))


def _spread(numbers: list[int]) -> list[int]:
    """Return the first, and then the middles of ever shorter stretches."""
    found, stretches = numbers[:1], [numbers[1:]]
    while stretches:
        longer = []
        for stretch in stretches:
            middle = len(stretch) // 2
            found += stretch[middle : middle + 1]
            longer += [part for part in (stretch[:middle], stretch[middle + 1 :]) if part]
        stretches = longer
    return found
