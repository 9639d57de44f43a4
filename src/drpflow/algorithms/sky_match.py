"""Pairs of positions on the sky."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.data.reference_stars import unit_vectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]

_ARCSEC_PER_RAD = 180 * 3600 / np.pi


@dataclass(frozen=True, eq=False)
class Pairs:
    """Rows that belong together, shape (N,), and their distance, arcsec."""

    first: NDArray[np.intp]
    second: NDArray[np.intp]
    separation_arcsec: Floats

    def __len__(self) -> int:
        return len(self.first)


def match_nearest(
    ra1_deg: Floats, dec1_deg: Floats, ra2_deg: Floats, dec2_deg: Floats, radius_arcsec: float
) -> Pairs:
    """Return the pairs in which each is the nearest to the other, within a radius.

    Positions that are not finite match nothing. N log N, by a tree of unit vectors, so that poles
    and the meridian are places like any other.
    """
    from scipy.spatial import cKDTree

    rows1 = np.flatnonzero(np.isfinite(ra1_deg) & np.isfinite(dec1_deg))
    rows2 = np.flatnonzero(np.isfinite(ra2_deg) & np.isfinite(dec2_deg))
    if not rows1.size or not rows2.size:
        none = np.zeros(0, np.intp)
        return Pairs(none, none, np.zeros(0))
    a = unit_vectors(ra1_deg[rows1], dec1_deg[rows1])
    b = unit_vectors(ra2_deg[rows2], dec2_deg[rows2])
    limit = 2 * np.sin(min(radius_arcsec / _ARCSEC_PER_RAD, np.pi) / 2)
    chord, nearest = cKDTree(b).query(a, distance_upper_bound=limit)
    _, back = cKDTree(a).query(b)
    found = np.flatnonzero(np.isfinite(chord))
    mutual = found[back[nearest[found]] == found]
    separation = 2 * np.arcsin(chord[mutual] / 2) * _ARCSEC_PER_RAD
    return Pairs(rows1[mutual], rows2[nearest[mutual]], separation)
