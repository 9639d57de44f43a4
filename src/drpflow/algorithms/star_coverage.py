"""In how many visits a star is seen, of those that should see it.

An asteroid, a cosmic ray or a piece of a trail looks like a star in one visit. That other visits
covered the place, were deep enough, and saw nothing, tells them apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.config.associate_isolated_stars import CoverageConfig

    Floats: TypeAlias = NDArray[np.float64]
    Integers: TypeAlias = NDArray[np.int64]
    Bools: TypeAlias = NDArray[np.bool_]

_LIMIT_SNR = 5.0


@dataclass(frozen=True, eq=False)
class Footprints:
    """Detectors of visits on the sky, F rows.

    Parameters
    ----------
    visit
        Which visit, counted as in the detections.
    band
        Which band, counted from 0.
    corners
        Unit vectors of the corners, around the detector, shape (F, 4, 3); finite.
    limit_njy
        Flux of a star at five sigma; NaN where unknown.
    """

    visit: Integers
    band: Integers
    corners: Floats
    limit_njy: Floats

    def __len__(self) -> int:
        return self.visit.size


@dataclass(frozen=True, eq=False)
class Sightings:
    """Stars seen in visits, one row each.

    Parameters
    ----------
    star, visit
        Rows of the stars, and which visit.
    flux_njy
        Calibrated flux; NaN where unknown.
    snr
        Significance of the flux; NaN where unknown.
    """

    star: Integers
    visit: Integers
    flux_njy: Floats
    snr: Floats


def coverage(
    vectors: Floats,
    sightings: Sightings,
    footprints: Footprints,
    n_band: int,
    config: CoverageConfig,
) -> tuple[Integers, Integers]:
    """Return in how many visits stars should be seen, and in how many of these they are.

    A visit should see a star if the star lies on one of its detectors and its mean flux in that
    band, from the visits that saw it, exceeds the limit by the margin. Where there is no zero
    point, the limit is unknown: the mean significance in that band must then exceed five sigma by
    twice the margin, since visits differ.

    Parameters
    ----------
    vectors
        Directions of the stars, shape (S, 3).
    sightings
        All detections of the stars, fit for use or not.
    footprints
        Detectors of all visits about these stars.
    n_band
        Number of bands.
    config
        Parameters.

    Returns
    -------
    expected, met : ndarray of int64, shape (S,)

    Notes
    -----
    1 s for 50,000 stars and 1000 detectors.
    """
    n = len(vectors)
    expected, met = np.zeros(n, np.int64), np.zeros(n, np.int64)
    bright = _Brightness(sightings, footprints, n, n_band, config)
    places = _Places(vectors)
    rows = np.flatnonzero(places.touched(footprints.corners))
    rows = rows[np.argsort(footprints.visit[rows], kind="stable")]
    order = np.argsort(sightings.visit, kind="stable")
    sorted_visits = sightings.visit[order]
    starts = np.flatnonzero(np.diff(footprints.visit[rows], prepend=-1))
    for of_visit in np.split(rows, starts)[1:]:
        covered = np.zeros(n, bool)
        for k in of_visit:
            inside = places.inside(footprints.corners[k])
            covered[inside[bright.enough(inside, k)]] = True
        visit = footprints.visit[of_visit[0]]
        first, end = np.searchsorted(sorted_visits, [visit, visit + 1])
        seen = np.zeros(n, bool)
        seen[sightings.star[order[first:end]]] = True
        expected += covered
        met += covered & seen
    return expected, met


def is_lasting(expected: Integers, met: Integers, config: CoverageConfig) -> Bools:
    """Return which stars are seen where they should be."""
    return (expected < 2) | (met > config.min_seen_share * expected)


class _Brightness:
    """Mean fluxes and significances of stars by band, against the limits of detectors."""

    def __init__(
        self,
        sightings: Sightings,
        footprints: Footprints,
        n: int,
        n_band: int,
        config: CoverageConfig,
    ) -> None:
        # Bands of the visits, -1 where no detector tells.
        last = max(footprints.visit.max(initial=-1), sightings.visit.max(initial=-1))
        bands = np.full(int(last) + 1, -1)
        bands[footprints.visit] = footprints.band
        band = bands[sightings.visit]
        self._flux, self._snr = (
            _means(values, sightings.star, band, n, n_band)
            for values in (sightings.flux_njy, sightings.snr)
        )
        self._footprints = footprints
        self._margin = 10 ** (0.4 * config.margin_mag)

    def enough(self, stars: Integers, footprint: int) -> Bools:
        """Return which stars a detector should see."""
        band = self._footprints.band[footprint]
        limit_njy = self._footprints.limit_njy[footprint]
        if np.isfinite(limit_njy):
            return np.asarray(self._flux[stars, band] > self._margin * limit_njy)
        return np.asarray(self._snr[stars, band] > self._margin**2 * _LIMIT_SNR)


def _means(values: Floats, star: Integers, band: Integers, n: int, n_band: int) -> Floats:
    """Return mean values by star and band, -inf where there is none; shape (S, n_band)."""
    known = np.isfinite(values) & (band >= 0)
    cell = star[known] * n_band + band[known]
    summed = np.bincount(cell, values[known], minlength=n * n_band)
    count = np.bincount(cell, minlength=n * n_band)
    mean = np.divide(summed, count, out=np.full(n * n_band, -np.inf), where=count > 0)
    return mean.reshape(n, n_band)


class _Places:
    """Directions of stars, sorted by height above the equator."""

    def __init__(self, vectors: Floats) -> None:
        self._vectors = vectors
        self._order = np.argsort(vectors[:, 2], kind="stable")
        self._z = vectors[self._order, 2]

    def touched(self, corners: Floats) -> Bools:
        """Return which quadrilaterals, shape (F, 4, 3), may hold stars."""
        if not len(self._vectors):
            return np.zeros(len(corners), bool)
        middle, reach = _circles(corners)
        low, high = self._vectors.min(axis=0), self._vectors.max(axis=0)
        far = (middle + reach[:, None] < low) | (middle - reach[:, None] > high)
        return np.asarray(~far.any(axis=1))

    def inside(self, corners: Floats) -> Integers:
        """Return the stars inside a quadrilateral, shape (4, 3)."""
        middle, reach = _circles(corners[None])
        # The chord to the farthest corner bounds the difference of any coordinate.
        limits = [middle[0, 2] - reach[0], middle[0, 2] + reach[0]]
        first, end = np.searchsorted(self._z, limits)
        near = self._order[first:end]
        return near[_inside(self._vectors[near], corners)]


def _circles(corners: Floats) -> tuple[Floats, Floats]:
    """Return middles, shape (F, 3), of quadrilaterals, and the chords to the farthest corners."""
    middle = corners.mean(axis=1)
    middle /= np.linalg.norm(middle, axis=1, keepdims=True)
    return middle, np.linalg.norm(corners - middle[:, None], axis=2).max(axis=1)


def _inside(vectors: Floats, corners: Floats) -> Bools:
    """Return which directions lie within a convex quadrilateral of great circles.

    That is on one side of all four; corners may run around it either way.
    """
    edges = np.cross(corners, np.roll(corners, -1, axis=0))
    side = vectors @ edges.T
    middle = edges @ corners.mean(axis=0)
    same = (side > 0) == (middle > 0)
    front = vectors @ corners.mean(axis=0) > 0
    return np.asarray(same.all(axis=1) & front)
