"""Parts of final images with their sources, to be looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drpflow.algorithms.binning import bin_exposure, block_size
from drpflow.data.geometry import Box
from drpflow.qa.final_counts import ARTIFACTS
from drpflow.qa.final_data import read_final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drpflow.io.store import Store
    from drpflow.qa.final_counts import VisitCounts

    Floats: TypeAlias = NDArray[np.float64]
    Bools: TypeAlias = NDArray[np.bool_]

IMAGES = ("pvi", "compressed_pvi")
"""Either may be there: the first is deleted once the second is made."""

_SIDE_PIX, _BLOCKS = 1024, 420
_MOST_DETECTORS = 3
_UNUSABLE = ("NO_DATA",)
_COLUMNS = ["detector", "x", "y", "extendedness", "detect_isPrimary", "sky_source", *ARTIFACTS]


@dataclass(frozen=True, eq=False)
class Overlay:
    """A part of an image and the primary sources on it.

    Parameters
    ----------
    title
        What it shows.
    image
        In blocks.
    extent
        Left, right, lower and upper edge, pixels.
    x, y, extended, artifact
        Of the sources.
    """

    title: str
    image: NDArray[np.float32]
    extent: tuple[float, float, float, float]
    x: Floats
    y: Floats
    extended: Bools
    artifact: Bools


def read_overlays(store: Store, visits: Sequence[VisitCounts]) -> list[Overlay]:
    """Return overlays of that visit of each band in which artifacts spoil most sources."""
    found = []
    for band in dict.fromkeys(v.band for v in visits):
        mine = [v for v in visits if v.band == band and _images(store, v.visit)]
        if mine:
            found += _of_visit(store, max(mine, key=lambda v: (v.flagged[0], v.number)))
    return found


def _images(store: Store, visit: int) -> dict[int, str]:
    """Return the dataset type by which each detector of a visit can be seen."""
    return {
        int(i["detector"]): name for name in IMAGES[::-1] for i in store.query(name, visit=visit)
    }


def _of_visit(store: Store, of: VisitCounts) -> list[Overlay]:
    sources = read_final(store, of.visit, _COLUMNS)
    primary = sources["detect_isPrimary"] & ~sources["sky_source"]
    s: dict[str, Any] = {n: v[primary] for n, v in sources.items()}
    spoilt = s[ARTIFACTS[0]] | s[ARTIFACTS[1]]
    images = _images(store, of.visit)
    there = list(images)
    there.sort(key=lambda d: (-int((spoilt & (s["detector"] == d)).sum()), d))
    found = []
    for detector in sorted(there[:_MOST_DETECTORS]):
        rows = s["detector"] == detector
        exposure = store.get(images[detector], visit=of.visit, detector=detector)
        box = _part(exposure.box, s["x"][rows & spoilt], s["y"][rows & spoilt])
        cut = exposure.cutout(box)
        block, image = block_size(cut.shape, _BLOCKS), bin_exposure(cut, _BLOCKS, _UNUSABLE).image
        ny, nx = (n * block for n in image.shape)
        x0, y0 = cut.xy0
        rows &= box.contains(s["x"], s["y"])
        found.append(
            Overlay(
                f"visit {of.visit} ({of.band}), detector {detector}",
                image, (x0 - 0.5, x0 + nx - 0.5, y0 - 0.5, y0 + ny - 0.5),
                s["x"][rows], s["y"][rows], s["extendedness"][rows] > 0.5, spoilt[rows],
            )
        )  # fmt: skip
    return found


def _part(box: Box, x: Floats, y: Floats) -> Box:
    """Return the part of a detector that is shown: all, or that about most artifacts."""
    if max(box.width, box.height) <= _SIDE_PIX:
        return box
    middle = (float(np.median(x)), float(np.median(y))) if x.size else box.center
    x0, y0 = (
        int(np.clip(m - _SIDE_PIX / 2, low, max(high - _SIDE_PIX, low)))
        for m, low, high in zip(middle, box.xy0, (box.x1, box.y1), strict=True)
    )
    return Box(x0, min(x0 + _SIDE_PIX, box.x1), y0, min(y0 + _SIDE_PIX, box.y1))
