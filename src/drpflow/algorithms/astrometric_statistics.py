"""What residuals of positions have in common: two-point functions, repeatability, accuracy.

Repeatability (AM) and accuracy (AA) are those of the LSST Science Requirements Document (LPM-17,
section 3.3.6): the scatter over visits of the separations of stars some arcminutes apart, and the
distance from a reference catalogue.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Ints: TypeAlias = NDArray[np.int64]

AM1_ARCMIN = 5.0
"""Separation for the first repeatability."""
AM2_ARCMIN = 20.0
"""Separation for the second."""
_ANNULUS_ARCMIN = 2.0
_MIN_VISITS = 3
_MAX_STARS = 3000
"""Stars of a visit between which pairs are counted: 4.5 million pairs, a second."""


@dataclass(frozen=True, eq=False)
class ResidualVectors:
    """Residuals of N measured positions.

    Parameters
    ----------
    star, visit
        Numbers of star and visit, any whole numbers.
    x_deg, y_deg
        Place in the tangent plane of the visit, deg.
    dx_mas, dy_mas
        Measured less expected place along the same axes, mas.
    """

    star: NDArray[Any]
    visit: NDArray[Any]
    x_deg: Floats
    y_deg: Floats
    dx_mas: Floats
    dy_mas: Floats

    def __len__(self) -> int:
        return len(self.star)

    def take(self, rows: NDArray[Any]) -> ResidualVectors:
        """Return the given rows (indices or a mask)."""
        return ResidualVectors(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def finite(self) -> ResidualVectors:
        """Return the rows in which everything is known."""
        columns = (self.x_deg, self.y_deg, self.dx_mas, self.dy_mas)
        known = np.isfinite(np.array(columns, np.float64)).all(axis=0)
        return self.take(np.flatnonzero(known))


@dataclass(frozen=True, eq=False)
class TwoPointFunction:
    """Correlation of residual vectors of one visit, by separation (B bins).

    Parameters
    ----------
    separation_arcmin
        Mean separation of the pairs in each bin.
    total_mas2
        ⟨r₁ · r₂⟩: twice the variance of one coordinate at separation 0.
    error_mas2
        Of `total_mas2`, from its scatter between visits; NaN with a single visit.
    along_mas2, across_mas2
        ⟨r₁ r₂⟩ of the components along the line between the stars and at right angles to it. A
        displacement without curl has d(s · across)/ds = along.
    n_pairs
        Pairs in each bin.
    """

    separation_arcmin: Floats
    total_mas2: Floats
    error_mas2: Floats
    along_mas2: Floats
    across_mas2: Floats
    n_pairs: Ints


@dataclass(frozen=True, eq=False)
class Repeatability:
    """Scatter over visits of separations between stars.

    Parameters
    ----------
    median_mas
        AM: the median over pairs of the rms over visits; NaN without pairs.
    rms_mas
        The rms of each pair.
    """

    median_mas: float
    rms_mas: Floats

    def share_above(self, limit_mas: float) -> float:
        """Return the share of pairs with an rms above a limit; NaN without pairs."""
        return float(np.mean(self.rms_mas > limit_mas)) if self.rms_mas.size else float("nan")


def two_point_function(
    residuals: ResidualVectors, edges_arcmin: Sequence[float] | Floats
) -> TwoPointFunction:
    """Return how alike residuals of one visit are, by separation.

    Parameters
    ----------
    residuals
        Residuals; what is not finite is left out.
    edges_arcmin
        Edges of the bins, increasing.
    """
    edges = np.asarray(edges_arcmin, np.float64) / 60.0
    parts = [_pair_sums(r, edges) for r in _by_visit(residuals.finite())]
    sums = np.array(parts) if parts else np.zeros((0, 4, edges.size - 1))
    count, total = sums[:, 0], sums.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        separation, along, across = total[1:] / total[0]
        # Visits weigh as their pairs: var = Σ (n_v (m_v - m))² / (Σ n_v)², small samples enlarged.
        off = sums[:, 2] + sums[:, 3] - count * (along + across)
        number = (count > 0).sum(axis=0)
        error = np.sqrt((off**2).sum(axis=0) * number / (number - 1.0)) / total[0]
    return TwoPointFunction(
        60.0 * separation,
        along + across,
        np.where(number > 1, error, np.nan),
        along,
        across,
        total[0].astype(np.int64),
    )


def _by_visit(residuals: ResidualVectors) -> list[ResidualVectors]:
    """Return the residuals of each visit, at most so many of each."""
    order = np.argsort(residuals.visit, kind="stable")
    starts = np.flatnonzero(np.diff(residuals.visit[order], prepend=np.nan) != 0)
    found = []
    for rows in np.split(order, starts[1:]) if len(residuals) else []:
        step = max(rows.size / _MAX_STARS, 1.0)
        found.append(residuals.take(rows[np.arange(0, rows.size, step).astype(np.int64)]))
    return found


def _pair_sums(residuals: ResidualVectors, edges_deg: Floats) -> Floats:
    """Return number, separation [deg], along and across products of the pairs, (4, B)."""
    from scipy.spatial import cKDTree

    place = np.column_stack([residuals.x_deg, residuals.y_deg])
    pairs = cKDTree(place).query_pairs(edges_deg[-1], output_type="ndarray")
    if not pairs.size:
        return np.zeros((4, edges_deg.size - 1))
    i, j = pairs.T
    separation = place[j] - place[i]
    distance = np.hypot(*separation.T)
    along = separation.T / np.maximum(distance, 1e-12)
    vectors = np.column_stack([residuals.dx_mas, residuals.dy_mas])
    one, two = (
        (vectors[k, 0] * along[0] + vectors[k, 1] * along[1],
         vectors[k, 1] * along[0] - vectors[k, 0] * along[1])
        for k in (i, j)
    )  # fmt: skip
    kept = distance >= edges_deg[0]
    bins = np.searchsorted(edges_deg[1:-1], distance[kept], side="right")
    values = (np.ones_like(distance), distance, one[0] * two[0], one[1] * two[1])
    return np.array([np.bincount(bins, v[kept], minlength=edges_deg.size - 1) for v in values])


def separation_repeatability(
    residuals: ResidualVectors,
    separation_arcmin: float = AM1_ARCMIN,
    *,
    width_arcmin: float = _ANNULUS_ARCMIN,
    max_pairs: int = 20_000,
    seed: int = 0,
) -> Repeatability:
    """Return the scatter over visits of the separations of stars so far apart.

    The change of the separation of two stars is the difference of their residuals along the line
    between them; proper motions, which residuals do not contain, do not count.

    Parameters
    ----------
    residuals
        Residuals of the stars that shall count (isolated, bright); what is not finite is left out.
    separation_arcmin, width_arcmin
        Middle and width of the range of separations.
    max_pairs
        So many pairs at most, drawn at random.
    seed
        Of the draw.
    """
    parts = _by_visit_and_star(residuals.finite())
    rng = np.random.default_rng([seed, len(residuals)])
    low, high = ((separation_arcmin + s * width_arcmin / 2) / 60.0 for s in (-1, 1))
    pairs = _pairs_of(parts, max(low, 0.0), high, max_pairs, rng)
    if not pairs.size:
        return Repeatability(float("nan"), np.zeros(0))
    changes = np.full((len(parts), len(pairs)), np.nan)
    for k, (stars, part) in enumerate(parts):
        changes[k] = _separation_changes(stars, part, pairs)
    number = np.isfinite(changes).sum(axis=0)
    changes = changes[:, number >= _MIN_VISITS]
    if not changes.size:
        return Repeatability(float("nan"), np.zeros(0))
    rms = np.nanstd(changes, axis=0, ddof=1)
    return Repeatability(float(np.median(rms)), rms)


def _by_visit_and_star(residuals: ResidualVectors) -> list[tuple[NDArray[Any], ResidualVectors]]:
    """Return for each visit its stars in increasing order, each once, and their residuals."""
    found = []
    for visit in np.unique(residuals.visit):
        rows = np.flatnonzero(residuals.visit == visit)
        stars, first = np.unique(residuals.star[rows], return_index=True)
        found.append((stars, residuals.take(rows[first])))
    return found


def _pairs_of(
    parts: list[tuple[NDArray[Any], ResidualVectors]],
    low_deg: float,
    high_deg: float,
    max_pairs: int,
    rng: np.random.Generator,
) -> NDArray[Any]:
    """Return pairs of stars with such a separation in some visit, shape (P, 2)."""
    from scipy.spatial import cKDTree

    share = int(np.ceil(2 * max_pairs / max(len(parts), 1)))
    found = []
    for stars, part in parts:
        place = np.column_stack([part.x_deg, part.y_deg])
        tree = cKDTree(place)
        near: list[NDArray[Any]] = []
        # About each star drawn, one partner drawn from those at the right distance.
        for i in rng.permutation(len(stars))[:share].tolist():
            around = np.array(tree.query_ball_point(place[i], high_deg), np.int64)
            around = around[np.hypot(*(place[around] - place[i]).T) >= low_deg]
            around = around[around != i]
            if around.size:
                near.append(np.sort(stars[[i, around[rng.integers(around.size)]]]))
        found += near
    if not found:
        return np.zeros((0, 2), np.int64)
    pairs = np.unique(np.array(found), axis=0)
    chosen = rng.permutation(len(pairs))[:max_pairs]
    return pairs[np.sort(chosen)]


def _separation_changes(stars: NDArray[Any], part: ResidualVectors, pairs: NDArray[Any]) -> Floats:
    """Return by how much each pair is farther apart in a visit than expected, mas; NaN unseen."""
    rows = np.minimum(np.searchsorted(stars, pairs), len(stars) - 1)
    seen = (stars[rows] == pairs).all(axis=1)
    i, j = rows.T
    dx, dy = part.x_deg[j] - part.x_deg[i], part.y_deg[j] - part.y_deg[i]
    distance = np.maximum(np.hypot(dx, dy), 1e-12)
    change = (part.dx_mas[j] - part.dx_mas[i]) * dx + (part.dy_mas[j] - part.dy_mas[i]) * dy
    return np.where(seen, change / distance, np.nan)


def absolute_accuracy(
    ra_deg: Floats, dec_deg: Floats, true_ra_deg: Floats, true_dec_deg: Floats
) -> tuple[float, float]:
    """Return AA1: median distances east-west and north-south from a catalogue, mas.

    Parameters
    ----------
    ra_deg, dec_deg
        Positions of stars.
    true_ra_deg, true_dec_deg
        Those of the catalogue at the same epoch; NaN for stars not in it. (NaN, NaN) comes out
        where none is.
    """
    east = (np.asarray(ra_deg) - true_ra_deg + 180.0) % 360.0 - 180.0
    east = east * np.cos(np.radians(true_dec_deg)) * 3.6e6
    north = (np.asarray(dec_deg) - true_dec_deg) * 3.6e6
    good = np.isfinite(east) & np.isfinite(north)
    if not good.any():
        return float("nan"), float("nan")
    return float(np.median(np.abs(east[good]))), float(np.median(np.abs(north[good])))
