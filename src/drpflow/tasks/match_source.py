"""matchSource: the sources of all visits about a piece of the sky, to objects.

``docs/tasks/matchSource.md`` has rules, parameters and figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from drpflow.algorithms.source_groups import (
    BY_CATALOG,
    CONTESTED,
    MOVING,
    SPLIT,
    Groups,
    Sources,
    displaced,
    group_sources,
    reference_of,
)
from drpflow.data.healpix import pixels_of_deg
from drpflow.data.sky_geometry import in_circle_deg

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drpflow.config.match_source import MatchSourceConfig
    from drpflow.data.reference_stars import ReferenceStars
    from drpflow.data.visit_info import VisitInfo

    Numbers: TypeAlias = dict[str, float | int | str]
    Columns: TypeAlias = dict[str, NDArray[Any]]
    Floats: TypeAlias = NDArray[np.float64]
    Integers: TypeAlias = NDArray[np.int64]
    Bools: TypeAlias = NDArray[np.bool_]

SOURCE_COLUMNS = (
    *("sourceId", "detector", "ra", "dec", "raErr", "decErr", "psfFlux", "psfFluxErr"),
    *("extendedness", "detect_isPrimary", "sky_source"),
)
"""Columns of ``source`` that are used."""
_ARCSEC_PER_DEG = 3600.0
# Error of a position whose own is unknown.
_UNKNOWN_ARCSEC = 0.3
# Margin in linking lengths: a chain of friends that reaches so far is of a crowd.
_MARGIN = 10


class VisitSources(NamedTuple):
    """What a visit has about a piece of the sky: `SOURCE_COLUMNS`, which are used up."""

    visit: int
    band: str
    mjd: float
    sources: Columns

    @classmethod
    def of(cls, info: VisitInfo, sources: Columns) -> VisitSources:
        """Return what there is of a visit with this metadata."""
        mjd = float("nan") if info.mjd is None else info.mjd
        return cls(info.visit, info.band, mjd, sources)


@dataclass(frozen=True)
class Matches:
    """What matchSource makes: columns of its tables, figures for the status file."""

    matches: Columns
    join: Columns
    numbers: Numbers


def radius_arcsec(config: MatchSourceConfig, pixel_arcsec: float) -> float:
    """Return the linking length."""
    return max(config.radius_arcsec, config.radius_pix * pixel_arcsec)


def margin_arcsec(config: MatchSourceConfig, pixel_arcsec: float) -> float:
    """Return how far around a piece sources are needed."""
    return _MARGIN * radius_arcsec(config, pixel_arcsec)


def match_source(
    visits: Sequence[VisitSources],
    piece: tuple[int, int],
    catalog: ReferenceStars | None,
    pixel_arcsec: float,
    config: MatchSourceConfig,
) -> Matches:
    """Match the sources of a piece of the sky.

    Parameters
    ----------
    visits
        All visits about the piece, with what they have within :func:`margin_arcsec` of it.
    piece
        HEALPix order and pixel, nested. A group belongs to it if its mean position does.
    catalog
        Reference stars about the piece, None without.
    pixel_arcsec
        Pixel scale of the camera.
    config
        The section ``matchSource``.
    """
    visits = sorted((v for v in visits if np.isfinite(v.mjd)), key=lambda v: v.visit)
    columns, of_visit = _gathered(visits, config.min_snr)
    if not of_visit.size:
        empty: Numbers = {"visits": len(visits), "sources": 0, "matches": 0}
        return Matches({}, {}, empty)
    radius = radius_arcsec(config, pixel_arcsec)
    sources = _sources(columns, visits, of_visit, config)
    band = np.array([v.band for v in visits], np.str_)[of_visit]
    moved = displaced(sources, columns["psfFlux"], band, catalog, radius, config)
    groups = group_sources(sources, moved, radius, config)
    ra, dec = _degrees(groups.vectors)
    mine = pixels_of_deg(piece[0], ra, dec) == piece[1]
    star, separation = reference_of(groups, catalog, config.reference_radius_arcsec)
    match_id = np.full(len(groups), np.iinfo(np.int64).max)
    np.minimum.at(match_id, groups.group, sources.source_id)
    matches = _described(groups, columns, sources, band)
    reference_id = np.zeros(len(groups), np.int64)
    if catalog is not None:
        reference_id = np.where(star >= 0, catalog.id[star] if len(catalog) else 0, 0)
    matches |= {"source_match_id": match_id, "ra": ra, "dec": dec}
    matches |= {"reference_id": reference_id, "reference_separation": separation}
    kept = np.flatnonzero(mine)
    kept = kept[np.argsort(match_id[kept], kind="stable")]
    rows = np.flatnonzero(mine[groups.group])
    owner = match_id[groups.group[rows]]
    rows = rows[np.lexsort((sources.source_id[rows], sources.mjd[rows], owner))]
    join = _joined(groups, columns, visits, of_visit, match_id, rows)
    made = {name: values[kept] for name, values in matches.items()}
    return Matches(made, join, _numbers(made, len(visits), rows.size))


def _gathered(visits: Sequence[VisitSources], min_snr: float) -> tuple[Columns, Integers]:
    """Return the sources that count by identifier, each once, and which visit each is of."""
    parts: list[Columns] = []
    of_visit = []
    for k, visit in enumerate(visits):
        taken = _counting(visit.sources, min_snr)
        parts.append({name: visit.sources.pop(name)[taken] for name in SOURCE_COLUMNS})
        of_visit.append(np.full(taken.size, k, np.int64))
    if not parts:
        return {}, np.zeros(0, np.int64)
    ids = np.concatenate([p["sourceId"] for p in parts])
    _, rows = np.unique(ids, return_index=True)
    columns = {n: np.concatenate([p.pop(n) for p in parts])[rows] for n in SOURCE_COLUMNS}
    return columns, np.concatenate(of_visit)[rows]


def _counting(columns: Columns, min_snr: float) -> Integers:
    """Return the rows that are sources of some significance at known places."""
    with np.errstate(invalid="ignore", divide="ignore"):
        snr = columns["psfFlux"] / columns["psfFluxErr"]
        bright = (snr >= min_snr) & (columns["psfFluxErr"] > 0)
    placed = np.isfinite(columns["ra"]) & np.isfinite(columns["dec"])
    return np.flatnonzero(
        bright & placed & columns["detect_isPrimary"].astype(bool) & ~columns["sky_source"]
    )


def _sources(
    columns: Columns, visits: Sequence[VisitSources], of_visit: Integers, config: MatchSourceConfig
) -> Sources:
    error = 0.5 * (columns["raErr"].astype(float) ** 2 + columns["decErr"].astype(float) ** 2)
    variance = error * _ARCSEC_PER_DEG**2 + config.floor_arcsec**2
    mjd = np.array([v.mjd for v in visits], float)[of_visit]
    variance = np.where(np.isfinite(variance), variance, _UNKNOWN_ARCSEC**2)
    return Sources(columns["sourceId"], of_visit, mjd, columns["ra"], columns["dec"], variance)


def _described(
    groups: Groups, columns: Columns, sources: Sources, band: NDArray[np.str_]
) -> Columns:
    """Return what is known of the groups but their names and places."""
    n, of = len(groups), groups.group
    error = (np.sqrt(groups.variance_arcsec2) / _ARCSEC_PER_DEG).astype(np.float32)
    first, last = np.full(n, np.inf), np.full(n, -np.inf)
    np.minimum.at(first, of, sources.mjd)
    np.maximum.at(last, of, sources.mjd)
    return {
        "raErr": error,
        "decErr": error,
        "epoch": groups.mjd,
        "span": last - first,
        "n_source": groups.n_source,
        "bands": _band_lists(of, band, n),
        "snr": _medians(of, columns["psfFlux"] / columns["psfFluxErr"], n),
        "extendedness": _mean_known(of, columns["extendedness"], sources, n),
        "position_chi2": groups.chi2,
        "flag": groups.flag,
    }


def _mean_known(of: Integers, values: Floats, sources: Sources, n: int) -> Floats:
    """Return means of what is known, weighted as the positions; NaN for none."""
    known = np.isfinite(values)
    weight = np.where(known, 1 / sources.variance_arcsec2, 0.0)
    total = np.bincount(of, weight, minlength=n)
    summed = np.bincount(of, weight * np.where(known, values, 0.0), minlength=n)
    return np.divide(summed, total, out=np.full(n, np.nan), where=total > 0)


def _medians(of: Integers, values: Floats, n: int) -> Floats:
    """Return the (lower) median of the values of each group."""
    order = np.lexsort((values, of))
    starts = np.searchsorted(of[order], np.arange(n + 1))
    return np.asarray(values[order][(starts[:-1] + starts[1:] - 1) // 2])


def _band_lists(of: Integers, band: NDArray[np.str_], n: int) -> NDArray[np.str_]:
    """Return the bands of each group, in the order of the alphabet."""
    names, which = np.unique(band, return_inverse=True)
    bits = np.zeros(n, np.int64)
    np.bitwise_or.at(bits, of, np.int64(1) << which)
    kinds, kind = np.unique(bits, return_inverse=True)
    texts = [",".join(b for k, b in enumerate(names) if bit >> k & 1) for bit in kinds.tolist()]
    return np.array(texts, np.str_)[kind]


def _joined(
    groups: Groups,
    columns: Columns,
    visits: Sequence[VisitSources],
    of_visit: Integers,
    match_id: Integers,
    rows: Integers,
) -> Columns:
    """Return which source belongs to which group."""
    visit = of_visit[rows]
    return {
        "source_match_id": match_id[groups.group[rows]],
        "sourceId": columns["sourceId"][rows],
        "visit": np.array([v.visit for v in visits], np.int64)[visit],
        "detector": columns["detector"][rows],
        "separation": groups.separation_arcsec[rows],
    }


def _degrees(vectors: Floats) -> tuple[Floats, Floats]:
    x, y, z = vectors.T
    ra = in_circle_deg(np.degrees(np.arctan2(y, x)))
    return ra, np.degrees(np.arctan2(z, np.hypot(x, y)))


def _numbers(matches: Columns, n_visit: int, n_source: int) -> Numbers:
    """Return figures for the status file."""
    flag, times = matches["flag"], matches["n_source"]
    return {
        "visits": n_visit,
        "sources": n_source,
        "matches": times.size,
        "seen_once": int((times == 1).sum()),
        "with_reference": int((matches["reference_id"] != 0).sum()),
        "split": int((flag & SPLIT > 0).sum()),
        "contested": int((flag & CONTESTED > 0).sum()),
        "moving": int((flag & (MOVING | BY_CATALOG) > 0).sum()),
    }
