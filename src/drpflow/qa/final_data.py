"""The final sources of a run, and the same detections as the first look had them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drpflow.algorithms.sky_match import match_nearest
from drpflow.data.flux_errors import own_errors
from drpflow.qa.merit import match
from drpflow.qa.trend_figures import band_colors

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from drpflow.data.visit_info import VisitInfo
    from drpflow.io.store import Store

    Floats: TypeAlias = NDArray[np.float64]
    Bools: TypeAlias = NDArray[np.bool_]
    Columns: TypeAlias = dict[str, NDArray[Any]]

SOURCE, DETECTOR_SOURCE = "source", "final_source_detector"
_GATHERED = "final_source_visit"
_FIRST = "initial_stars"
_PLACE = ("detector", "sourceId", "x", "y", "ra", "dec", "raErr", "decErr")
_SHAPE = ("ixx", "iyy", "ixy", "ixxErr", "iyyErr", "ixxPSF", "iyyPSF", "ixyPSF", "shape_flag")
_MEASURED = (
    *_PLACE, *_SHAPE, "psfFlux", "psfFluxErr", "psfFlux_flag", "psfFlux_apCorr",
    "psfFlux_apCorrErr", "calibFlux", "calibFluxErr",
    "extendedness", "detect_isPrimary", "sky_source", "calib_psf_used",
)  # fmt: skip
_FIRST_MORE, _FINAL_MORE = ("reference_id", "calib_astrometry_used"), ("wcsErr",)
_RADIUS_PIX, _RADIUS_ARCSEC = 2.0, 0.8
_DAYS_PER_YEAR, _MAS_PER_DEG = 365.25, 3.6e6


def final_visits(store: Store) -> list[int]:
    """Return the visits that have final sources of a detector at least."""
    found = {int(i["visit"]) for name in (SOURCE, DETECTOR_SOURCE) for i in store.query(name)}
    return sorted(found)


def read_final(store: Store, visit: int, columns: Iterable[str]) -> Columns:
    """Return columns of the final sources of a visit.

    From ``source``, or from the tables of its detectors where these have not been gathered.
    """
    name = SOURCE if store.exists(SOURCE, visit=visit) else _GATHERED
    return dict(store.get(name, columns=list(columns), visit=visit).to_dict())


@dataclass(frozen=True, eq=False)
class Pairs:
    """Detections of primary sources that the first look and the final one both have, shape (N,).

    Parameters
    ----------
    visit, band, mjd
        Where and when; ``band`` is an index into `bands`.
    object
        Number of the object on the sky.
    isolated
        Identifier of the isolated star that it is, 0 for none.
    reference
        Identifier of the reference star that it is, 0 for none.
    first, final
        Columns of both.
    bands
        In the order of wavelengths.
    """

    visit: NDArray[np.int64]
    band: NDArray[np.int64]
    mjd: Floats
    object: NDArray[np.int64]
    isolated: NDArray[np.int64]
    reference: NDArray[np.int64]
    first: Columns
    final: Columns
    bands: list[str]

    @property
    def image(self) -> NDArray[np.int64]:
        """Number of the detector image of each."""
        return self.visit * 1024 + self.final["detector"]

    def snr(self) -> Floats:
        """Signal-to-noise ratio of the final PSF flux, by the noise of each source alone."""
        columns = (self.final[f"psfFlux{n}"] for n in ("", "Err", "_apCorr", "_apCorrErr"))
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(self.final["psfFlux"] / own_errors(*columns), np.float64)


def read_pairs(store: Store) -> Pairs | None:
    """Return the detections of all visits that have both, None if there is no visit."""
    visits = [v for v in final_visits(store) if store.exists(_FIRST, visit=v)]
    infos: dict[int, VisitInfo] = {
        v: store.get("visit_info", visit=v) for v in visits if store.exists("visit_info", visit=v)
    }
    band_of = {v: infos[v].band or "–" if v in infos else "–" for v in visits}
    bands, isolated = list(band_colors(band_of.values())), _isolated(store)
    parts = []
    for visit in visits:
        first, final = _both(store, visit)
        number = len(final["x"])
        mjd = infos[visit].mjd if visit in infos else None
        parts.append(
            (
                np.full(number, visit), np.full(number, bands.index(band_of[visit])),
                np.full(number, np.nan if mjd is None else mjd), first, final,
            )
        )  # fmt: skip
    if not parts:
        return None
    visit_of, band, mjds = (np.concatenate([p[k] for p in parts]) for k in range(3))
    first, final = (
        {n: np.concatenate([p[k][n] for p in parts]) for n in parts[0][k]} for k in (3, 4)
    )
    reference = first.pop("reference_id").astype(np.int64)
    return Pairs(
        visit_of, band, mjds, objects_of(visit_of, final["ra"], final["dec"]),
        _look_up(isolated, first["sourceId"]), reference, first, final, bands,
    )  # fmt: skip


def _both(store: Store, visit: int) -> tuple[Columns, Columns]:
    """Return the rows of a visit that both looks have, in the same order."""
    table = store.get(_FIRST, columns=[*_MEASURED, *_FIRST_MORE], visit=visit)
    first: Columns = dict(table.to_dict())
    final = read_final(store, visit, [*_MEASURED, *_FINAL_MORE])
    one, two = (
        np.flatnonzero(c["detect_isPrimary"] & ~c["sky_source"]) for c in (first, final)
    )  # fmt: skip
    kept: list[tuple[NDArray[np.intp], NDArray[np.intp]]] = []
    for detector in np.unique(final["detector"][two]).tolist():
        a = one[first["detector"][one] == detector]
        b = two[final["detector"][two] == detector]
        i, j = match(first["x"][a], first["y"][a], final["x"][b], final["y"][b], _RADIUS_PIX)
        kept.append((a[i], b[j]))
    rows = [np.concatenate([k[n] for k in kept] or [np.zeros(0, np.intp)]) for n in (0, 1)]
    return (
        {n: v[rows[0]] for n, v in first.items()},
        {n: v[rows[1]] for n, v in final.items()},
    )


def objects_of(visit: NDArray[np.int64], ra: Floats, dec: Floats) -> NDArray[np.int64]:
    """Return a number of the object that each detection is of.

    Visit by visit: what is nearest to a known object, and to which that is nearest, is that
    object; the rest is new.
    """
    found = np.full(visit.size, -1, np.int64)
    rows = np.zeros(0, np.intp)
    for number in np.unique(visit).tolist():
        mine = np.flatnonzero(visit == number)
        pairs = match_nearest(ra[mine], dec[mine], ra[rows], dec[rows], _RADIUS_ARCSEC)
        found[mine[pairs.first]] = pairs.second
        new = np.setdiff1d(np.arange(mine.size), pairs.first)
        found[mine[new]] = rows.size + np.arange(new.size)
        rows = np.concatenate([rows, mine[new]])
    return found


def _isolated(store: Store) -> Columns:
    """Return identifiers of the detections of isolated stars, and of the stars."""
    names = ["isolated_star_id", "sourceId"]
    tables = [
        store.get("isolated_stars_source", columns=names, **i).to_dict()
        for i in store.query("isolated_stars_source")
    ]
    return {n: np.concatenate([t[n] for t in tables] or [np.zeros(0, np.int64)]) for n in names}


def _look_up(isolated: Columns, source: NDArray[np.int64]) -> NDArray[np.int64]:
    order = np.argsort(isolated["sourceId"])
    known = isolated["sourceId"][order]
    if not known.size:
        return np.zeros(source.size, np.int64)
    at = np.minimum(np.searchsorted(known, source), known.size - 1)
    return np.where(known[at] == source, isolated["isolated_star_id"][order][at], 0)


def motion_mas(store: Store, pairs: Pairs) -> tuple[Floats, Floats]:
    """Return how far stars have moved since the mean of all times, east and north, mas.

    By the last joint fit that there is; 0 for stars of unknown motion.
    """
    kinds = ("final_astrometry_stars", "solved_astrometry_stars")
    name = next((n for n in kinds if store.query(n)), None)
    years = (pairs.mjd - np.nanmean(pairs.mjd)) / _DAYS_PER_YEAR
    east, north = np.zeros(years.size), np.zeros(years.size)
    for data_id in store.query(name) if name else ():
        columns = ["isolated_star_id", "pm_ra", "pm_dec"]
        stars = store.get(str(name), columns=columns, **data_id).to_dict()
        order = np.argsort(stars["isolated_star_id"])
        known = stars["isolated_star_id"][order]
        if not known.size:
            continue
        at = np.minimum(np.searchsorted(known, pairs.isolated), known.size - 1)
        there = (known[at] == pairs.isolated) & np.isfinite(years)
        for moved, column in ((east, "pm_ra"), (north, "pm_dec")):
            moved[there] = np.nan_to_num(stars[column][order][at][there]) * years[there]
    return east, north


def offsets_mas(pairs: Pairs, of: Columns) -> tuple[Floats, Floats]:
    """Return places east and north of some place of each object, mas."""
    _, where = np.unique(pairs.object, return_index=True)
    origin = np.zeros((2, int(pairs.object.max(initial=0)) + 1))
    origin[:, pairs.object[where]] = pairs.final["ra"][where], pairs.final["dec"][where]
    ra, dec = origin[:, pairs.object]
    east = ((of["ra"] - ra + 180) % 360 - 180) * np.cos(np.radians(dec))
    return east * _MAS_PER_DEG, (of["dec"] - dec) * _MAS_PER_DEG
