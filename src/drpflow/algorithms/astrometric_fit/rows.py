"""The observations in the one order in which the fit knows them, and what takes no part."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.astrometric_fit.sky import MAS_PER_DEG
from drpflow.kernels import astrometric_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.config.solve_astrometry import SolveAstrometryConfig
    from drpflow.data.astrometric_tables import Detectors, Observations, Stars, Visits

    Floats: TypeAlias = NDArray[np.float64]
    Float32: TypeAlias = NDArray[np.float32]
    Int64: TypeAlias = NDArray[np.int64]
    Int32: TypeAlias = NDArray[np.int32]
    Bools: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Tables:
    """The tables by growing ID, and where their rows stood.

    Parameters
    ----------
    visits, detectors, stars
        The tables.
    visit_order, detector_order, star_order
        Input row of each.
    """

    visits: Visits
    detectors: Detectors
    stars: Stars
    visit_order: Int64
    detector_order: Int64
    star_order: Int64

    @classmethod
    def sorted(cls, visits: Visits, detectors: Detectors, stars: Stars) -> Tables:
        """Sort the tables."""
        by_visit, by_detector, by_star = (np.argsort(t.id) for t in (visits, detectors, stars))
        return cls(
            visits.take(by_visit),
            detectors.take(by_detector),
            stars.take(by_star),
            by_visit,
            by_detector,
            by_star,
        )


@dataclass(frozen=True)
class Unusable:
    """Rows that take no part.

    Parameters
    ----------
    bad
        Without place or with an impossible covariance.
    uncertain
        With an error beyond the largest allowed.
    repeated
        The same row again.
    contradicting
        A star at several places of one visit.
    """

    bad: int
    uncertain: int
    repeated: int
    contradicting: int

    def notes(self) -> list[str]:
        """Return a sentence for each kind that there is."""
        texts = {
            "bad": "without place or error",
            "uncertain": "with an error beyond noise.max_error_mas",
            "repeated": "given twice",
            "contradicting": "of a star at several places of one visit",
        }
        counts = {name: getattr(self, name) for name in texts}
        return [f"{n} observations {texts[name]} left out" for name, n in counts.items() if n]


@dataclass(frozen=True, eq=False)
class SortedRows:
    """Observations by star and then by visit.

    Parameters
    ----------
    source
        Row of the input, (N,).
    first
        Where each star begins, (S + 1).
    star, visit, detector
        Rows of the sorted tables, (N,).
    field
        Place in the field of the camera, deg, (N, 2).
    covariance
        Of the centroid along its axes, mas²: xx, xy, yy, (N, 3).
    unusable
        What was left out.
    n_visits
        Number of visits.
    """

    source: Int32
    first: Int64
    star: Int32
    visit: Int32
    detector: Int32
    field: Floats
    covariance: Float32
    unusable: Unusable

    n_visits: int

    def __len__(self) -> int:
        return self.source.size

    @cached_property
    def by_visit(self) -> tuple[Int32, Int64]:
        """Rows by visit, and where those of each visit begin: (N,), (V + 1)."""
        order, begin = grouped(self.visit, self.n_visits)
        return order.astype(np.int32), begin


def sort_rows(
    observations: Observations, tables: Tables, config: SolveAstrometryConfig
) -> SortedRows:
    """Sort the observations and leave out those that can not take part.

    Cost: a sort of N numbers of 8 bytes, and the camera's maps at N places.
    """
    ranks = [_rank(o) for o in (tables.star_order, tables.visit_order, tables.detector_order)]
    usable, uncertain = _usable(observations, tables, ranks[2], config.noise.max_error_mas)
    bad = int((~usable).sum())
    rows = np.flatnonzero(usable & ~uncertain)
    star, visit = ranks[0][observations.star[rows]], ranks[1][observations.visit[rows]]
    key = star.astype(np.int64) * len(tables.visits) + visit
    del star, visit
    order = np.argsort(key, kind="stable")
    rows, key = rows[order], key[order]
    keep, repeated, contradicting = _distinct(rows, key, observations)
    rows = rows[keep]
    star, visit = ranks[0][observations.star[rows]], ranks[1][observations.visit[rows]]
    detector = ranks[2][observations.detector[rows]]
    field, covariance = _in_field(observations, rows, detector, tables.detectors)
    return SortedRows(
        rows.astype(np.int32),
        np.searchsorted(star, np.arange(len(tables.stars) + 1)).astype(np.int64),
        star,
        visit,
        detector,
        field,
        covariance,
        Unusable(bad, int((usable & uncertain).sum()), repeated, contradicting),
        len(tables.visits),
    )


def _rank(order: Int64) -> Int32:
    rank = np.empty(order.size, np.int32)
    rank[order] = np.arange(order.size, dtype=np.int32)
    return rank


def _usable(
    observations: Observations, tables: Tables, rank: Int32, max_error_mas: float
) -> tuple[Bools, Bools]:
    """Return which rows have a place and a covariance, and of which the error is too large."""
    o = observations
    with np.errstate(invalid="ignore", over="ignore"):
        determinant = o.xx.astype(np.float64) * o.yy - o.xy.astype(np.float64) ** 2
        usable = np.isfinite(o.x) & np.isfinite(o.y) & (o.xx > 0) & (o.yy > 0)
        usable &= np.isfinite(determinant) & (determinant > 0)
        scale = np.array([_scale_mas(tables.detectors, d) for d in range(len(tables.detectors))])
        size = (scale**2).astype(np.float32)[rank[o.detector]] * (o.xx + o.yy)
        return usable, size > 2 * max_error_mas**2


def _scale_mas(detectors: Detectors, detector: int) -> float:
    return float(np.sqrt(abs(np.linalg.det(_jacobian_mas(detectors, detector)))))


def _jacobian_mas(detectors: Detectors, detector: int) -> Floats:
    """Return d(field)/d(pixel) at the centre of a detector, mas/pix."""
    nx, ny = detectors.size_pix[detector]
    return np.asarray(detectors.jacobian(detector, (nx - 1) / 2, (ny - 1) / 2) * MAS_PER_DEG)


def _distinct(rows: Int64, key: Int64, observations: Observations) -> tuple[Bools, int, int]:
    """Return which of the sorted rows stay where a star was seen more than once in a visit."""
    keep = np.ones(key.size, bool)
    same = np.flatnonzero(key[1:] == key[:-1])
    if not same.size:
        return keep, 0, 0
    twin = rows[same], rows[same + 1]
    values = ("detector", "x", "y", "xx", "xy", "yy")
    alike = np.all(
        [getattr(observations, n)[twin[0]] == getattr(observations, n)[twin[1]] for n in values],
        axis=0,
    )
    keep[same[alike] + 1] = False
    contradicted = np.unique(key[same[~alike]])
    lost = keep & np.isin(key, contradicted)
    keep &= ~lost
    return keep, int(alike.sum()), int(lost.sum())


def _in_field(
    observations: Observations, rows: Int64, detector: Int32, detectors: Detectors
) -> tuple[Floats, Float32]:
    """Return places in the field and covariances along its axes."""
    field, covariance = np.empty((rows.size, 2)), np.empty((rows.size, 3), np.float32)
    order, ends = grouped(detector, len(detectors))
    for d in range(len(detectors)):
        own = order[ends[d] : ends[d + 1]]
        source = rows[own]
        field[own, 0], field[own, 1] = detectors.field(
            d, observations.x[source], observations.y[source]
        )
        (a, b), (c, e) = _jacobian_mas(detectors, d)
        xx, xy, yy = (getattr(observations, n)[source] for n in ("xx", "xy", "yy"))
        covariance[own, 0] = a * a * xx + 2 * a * b * xy + b * b * yy
        covariance[own, 1] = a * c * xx + (a * e + b * c) * xy + b * e * yy
        covariance[own, 2] = c * c * xx + 2 * c * e * xy + e * e * yy
    return field, covariance


def grouped(group: Int32, n_groups: int) -> tuple[Int64, Int64]:
    """Return indices by group, in their order within each, and where each group begins."""
    # Numbers of 16 bits are sorted in linear time.
    narrow = group.astype(np.int16) if n_groups <= np.iinfo(np.int16).max else group
    order = np.argsort(narrow, kind="stable")
    return order, np.searchsorted(group[order], np.arange(n_groups + 1))


def count_stars(first: Int64, group: Int32, take: Bools, n_groups: int) -> Int64:
    """Return how many distinct stars each group of rows has, of the rows that are taken."""
    return np.asarray(astrometric_rows.count_stars(first, group, take, n_groups))
