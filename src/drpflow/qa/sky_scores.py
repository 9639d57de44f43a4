"""Numbers by which the report judges backgrounds: jumps at edges of detectors, wings of stars."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.qa.canvas import to_focal_plane, turned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drpflow.qa.sky_data import DetectorSky, VisitSky

    Floats: TypeAlias = NDArray[np.float64]

WING_ARCSEC = (10.0, 40.0)
"""Distances from a star at which its wings are looked at."""

_SEGMENTS, _DEPTH_PIX = 8, 128
# Edges face each other if they are no farther apart than this share of a side.
_FARTHEST_GAP = 0.2
_FEWEST_PIX = 1000
_MAP_SHARE = 0.15
# A star is not looked at where one that is brighter by so much has wings.
_BRIGHTER_MAG = 0.5
_FEWEST_STARS = 3
_SIDES = (("left", -1, 0), ("right", 1, 0), ("bottom", 0, -1), ("top", 0, 1))


@dataclass(frozen=True, eq=False)
class Jump:
    """The step between two detectors across the gap between them, % of the sky.

    Parameters
    ----------
    first, final
        Mean of what the first and the final background leave of the sky, behind the gap less
        before it.
    noise
        Of these, by the noise of the pixels.
    between
        Of the first background less the final one, segment by segment.
    """

    first: float
    final: float
    noise: float
    between: Floats


@dataclass(frozen=True, eq=False)
class _Edges:
    """Segments of all edges of a visit: places mm, directions, means, and their variances."""

    detector: NDArray[np.int64]
    side: NDArray[np.int64]
    place: Floats
    outward: Floats
    length_mm: Floats
    values: Floats
    variance: Floats


def jumps(sky: VisitSky) -> dict[tuple[int, int], Jump]:
    """Return the steps at all edges of detectors that face each other, by the two detectors."""
    from scipy.spatial import cKDTree

    edges = _edges(sky)
    if edges is None:
        return {}
    reach = float(edges.length_mm.max()) * (_FARTHEST_GAP + 1 / _SEGMENTS)
    pairs = cKDTree(edges.place).query_pairs(reach, output_type="ndarray")
    i, j = pairs[edges.detector[pairs[:, 0]] != edges.detector[pairs[:, 1]]].T
    apart = edges.place[j] - edges.place[i]
    along = (apart * edges.outward[i]).sum(axis=1)
    aside = np.hypot(*(apart - along[:, None] * edges.outward[i]).T)
    facing = (edges.outward[i] * edges.outward[j]).sum(axis=1) < -0.9
    facing &= (along > 0) & (along < _FARTHEST_GAP * edges.length_mm[i])
    facing &= aside <= 0.51 * edges.length_mm[i] / _SEGMENTS
    i, j = i[facing], j[facing]
    swap = edges.detector[i] > edges.detector[j]
    i, j = np.where(swap, j, i), np.where(swap, i, j)
    steps, variance = edges.values[:, j] - edges.values[:, i], edges.variance[i] + edges.variance[j]
    good = np.isfinite(variance)
    keys = list(zip(edges.detector[i].tolist(), edges.detector[j].tolist(), strict=True))
    found = {}
    for key in sorted(set(keys)):
        mine = np.array([k == key for k in keys]) & good
        if mine.any():
            weight = 1 / variance[mine]
            first, final = (float(weight @ s / weight.sum()) for s in steps[:2, mine])
            found[key] = Jump(first, final, float(1 / np.sqrt(weight.sum())), steps[2, mine])
    return found


def _edges(sky: VisitSky) -> _Edges | None:
    """Return all segments of all detectors, in % of the sky."""
    parts = [_sides(key, of, 100 / sky.level) for key, of in sky.detectors.items()]
    if not parts:
        return None
    joined = (np.concatenate([p[n] for p in parts]) for n in range(5))
    detector, side, place, outward, length = joined
    values = np.concatenate([p[5] for p in parts], axis=1)
    return _Edges(
        detector.astype(np.int64), side.astype(np.int64), place, outward, length, values,
        np.concatenate([p[6] for p in parts]),
    )  # fmt: skip


def _sides(key: int, of: DetectorSky, percent: float) -> tuple[Floats, ...]:
    """Return detector, side, places, directions, lengths, values and variances of segments."""
    left = of.left
    maps = (left["first"], left["final"], of.first - of.final)
    depth = max(1, _DEPTH_PIX // of.cell_pix)
    nx, ny = of.detector.size_pix
    places, outwards, lengths, values, variances = [], [], [], [], []
    for _, u, v in _SIDES:
        middles = (np.arange(_SEGMENTS) + 0.5) / _SEGMENTS
        side = np.full(_SEGMENTS, (1 + u + v) / 2)
        x, y = (side, middles) if u else (middles, side)
        places.append(np.column_stack(to_focal_plane(of.detector, x * nx - 0.5, y * ny - 0.5)))
        direction = np.ravel(turned(of.detector, float(u), float(v)))
        outwards.append(np.tile(direction, (_SEGMENTS, 1)))
        n = ny if u else nx
        lengths.append(np.full(_SEGMENTS, n * of.detector.pixel_size_mm))
        count = _strip(of.count, u, v, depth)
        number = np.array([c.sum() for c in np.array_split(count, _SEGMENTS, axis=1)])
        known = number >= _FEWEST_PIX
        values.append([
            np.where(known, _means(_strip(m, u, v, depth), count), np.nan) for m in maps
        ])  # fmt: skip
        variances.append(np.where(known, of.noise**2 / np.maximum(number, 1), np.nan))
    return (
        np.full(4 * _SEGMENTS, key, float), np.repeat(np.arange(4.0), _SEGMENTS),
        np.concatenate(places), np.concatenate(outwards), np.concatenate(lengths),
        percent * np.concatenate(values, axis=1), percent**2 * np.concatenate(variances),
    )  # fmt: skip


def _strip(cells: Floats, u: int, v: int, depth: int) -> Floats:
    """Return the cells along a side, [depth, along]."""
    if u:
        return cells[:, :depth].T if u < 0 else cells[:, -depth:].T
    return cells[:depth] if v < 0 else cells[-depth:]


def _means(values: Floats, count: Floats) -> Floats:
    """Return weighted means of the segments of a strip."""
    total, weight = np.nan_to_num(values) * count, count * np.isfinite(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.array([
            t.sum() / w.sum()
            for t, w in zip(
                *(np.array_split(a, _SEGMENTS, axis=1) for a in (total, weight)), strict=True
            )
        ])  # fmt: skip


def rms(values: Sequence[float] | Floats) -> float:
    """Return the root of the mean square of what is finite, NaN if nothing is."""
    finite = np.asarray(values, np.float64)
    finite = finite[np.isfinite(finite)]
    return float(np.sqrt(np.mean(finite**2))) if finite.size else float("nan")


def block_maps(sky: VisitSky, blocks: int) -> dict[str, dict[int, Floats]]:
    """Return what backgrounds leave, how they differ, and the final one less its level.

    Parameters
    ----------
    sky
        The sky of a visit.
    blocks
        So many along a side of a detector, about.

    Returns
    -------
    dict
        Means of blocks by detector, % of the sky. What is left of the sky is NaN where too few
        pixels show it.
    """
    found: dict[str, dict[int, Floats]] = {n: {} for n in ("first", "final", "between", "model")}
    for key, of in sky.detectors.items():
        even, left = np.full(of.level.shape, float(of.cell_pix**2)), of.left
        for name, values, count in (
            ("first", left["first"], of.count),
            ("final", left["final"], of.count),
            ("between", of.first - of.final, even),
            ("model", of.final - sky.level, even),
        ):
            step = max(1, -(-min(values.shape) // blocks))
            found[name][key] = _blocks(values, count, step, of.cell_pix) * 100 / sky.level
    return found


def _blocks(values: Floats, count: Floats, step: int, cell_pix: int) -> Floats:
    """Return weighted means of blocks of so many cells."""
    weight = count * np.isfinite(values)
    total = np.nan_to_num(values) * weight
    starts = [np.arange(0, n, step) for n in values.shape]
    total, weight = (
        np.add.reduceat(np.add.reduceat(a, starts[0], axis=0), starts[1], axis=1)
        for a in (total, weight)
    )
    enough = weight > _MAP_SHARE * (step * cell_pix) ** 2
    return np.divide(total, weight, out=np.full(total.shape, np.nan), where=enough)


@dataclass(frozen=True, eq=False)
class WingBin:
    """Light about stars of about equal magnitude, % of the sky.

    Parameters
    ----------
    magnitude
        Mean.
    number
        Stars.
    bare, first, final
        Mean of what is left with the final background without its wings, with the first one, and
        with the final one, each with its error from the scatter of the stars.
    """

    magnitude: float
    number: int
    bare: tuple[float, float]
    first: tuple[float, float]
    final: tuple[float, float]


@dataclass
class WingSums:
    """What is left about stars, gathered visit by visit: band, magnitude, and three means."""

    rows: list[tuple[str, float, float, float, float]] = field(default_factory=list)

    def add(self, sky: VisitSky) -> None:
        """Add the stars of a visit."""
        for of in sky.detectors.values():
            if of.stars is not None:
                for magnitude, *left in _about_stars(of, 100 / sky.level).tolist():
                    self.rows.append((sky.band, magnitude, left[0], left[1], left[2]))

    def bins(self, band: str) -> list[WingBin]:
        """Return the means of a band in bins of a magnitude."""
        rows = [r[1:] for r in self.rows if r[0] == band]
        values = np.array(rows, float).reshape(-1, 4)
        values = values[np.isfinite(values).all(axis=1)]
        bins = np.floor(values[:, 0])
        found = []
        for k in np.unique(bins):
            mine = values[bins == k]
            if len(mine) >= _FEWEST_STARS:
                bare, first, final = (_mean(mine[:, n]) for n in (1, 2, 3))
                found.append(WingBin(float(mine[:, 0].mean()), len(mine), bare, first, final))
        return found


def _mean(values: Floats) -> tuple[float, float]:
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(values.size))


def _about_stars(of: DetectorSky, percent: float) -> Floats:
    """Return magnitude and what is left with no wings, first and final, a row a star."""
    stars = of.stars
    assert stars is not None
    left = of.left
    low, high = (r / stars.arcsec_per_pix for r in WING_ARCSEC)
    usable = of.count * (np.isfinite(left["final"]) & np.isfinite(left["first"]))
    found = []
    for k in range(stars.x.size):
        window = tuple(
            slice(
                max(0, int((p - high) // of.cell_pix)), max(0, int((p + high) // of.cell_pix + 2))
            )
            for p in (stars.y[k], stars.x[k])
        )
        y, x = (np.arange(w.start, w.stop) * of.cell_pix + (of.cell_pix - 1) / 2 for w in window)
        weight = usable[window]
        y, x = y[: weight.shape[0], None], x[: weight.shape[1]]
        away = np.hypot(x - stars.x[k], y - stars.y[k])
        ring = (away >= low) & (away <= high)
        near = np.hypot(stars.x - stars.x[k], stars.y - stars.y[k]) < 2 * high
        for m in np.flatnonzero(near & (stars.magnitude < stars.magnitude[k] - _BRIGHTER_MAG)):
            ring &= np.hypot(x - stars.x[m], y - stars.y[m]) > high
        weight = weight[ring]
        if weight.sum() >= _FEWEST_PIX:
            means = (percent * float(weight @ np.nan_to_num(left[n][window][ring]) / weight.sum())
                     for n in ("bare", "first", "final"))  # fmt: skip
            found.append((float(stars.magnitude[k]), *means))
    return np.array(found, float).reshape(-1, 4)
