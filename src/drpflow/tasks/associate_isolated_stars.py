"""associateIsolatedStars: detections of all visits about a piece of the sky, to isolated stars.

``docs/tasks/associateIsolatedStars.md`` has rules, parameters and figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeAlias

import numpy as np

from drpflow.algorithms.isolated_stars import Association, Detections, associate, good_detections
from drpflow.algorithms.reserved_stars import is_reserved
from drpflow.algorithms.star_coverage import Footprints, Sightings, coverage, is_lasting
from drpflow.data.healpix import pixels_of_deg
from drpflow.data.tan_projection import unit_vectors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drpflow.config.associate_isolated_stars import AssociateIsolatedStarsConfig
    from drpflow.data.visit_info import VisitInfo

    Numbers: TypeAlias = dict[str, float | int | str]
    Columns: TypeAlias = dict[str, NDArray[Any]]
    Floats: TypeAlias = NDArray[np.float64]
    Integers: TypeAlias = NDArray[np.int64]
    Bools: TypeAlias = NDArray[np.bool_]

_ARCSEC_PER_DEG = 3600.0
# Error of a position whose own is unknown.
_UNKNOWN_ARCSEC = 1.0
_CORNERS = ("llc", "lrc", "urc", "ulc")
_SUMMARY = tuple(f"{corner}{axis}" for corner in _CORNERS for axis in ("ra", "dec"))
SUMMARY_COLUMNS = ("detector", "magLim", "wcs_error", "lost", *_SUMMARY)
"""Columns of ``initial_visit_summary`` that are used."""
DETECTION_COLUMNS = (
    *("sourceId", "detector", "ra", "dec", "raErr", "decErr", "detect_isPrimary", "blendedness"),
    *("psfFlux_instFlux", "psfFlux_instFluxErr", "psfFlux", "reference_id"),
    *("ixx", "iyy", "ixxErr", "iyyErr", "ixxPSF", "iyyPSF", "shape_flag"),
)
"""Columns of ``initial_stars`` that are used; beside those that sources keep, and the flags."""


@dataclass(frozen=True, eq=False)
class VisitStars:
    """What a visit has about a piece of the sky.

    Parameters
    ----------
    visit, band, physical_filter, mjd
        The visit.
    stars
        Columns of ``initial_stars`` about the piece: `DETECTION_COLUMNS`, the flags of the
        configuration, and what the table of sources takes over.
    summary
        `SUMMARY_COLUMNS` of ``initial_visit_summary``, of all detectors.
    """

    visit: int
    band: str
    physical_filter: str
    mjd: float
    stars: Columns
    summary: Columns

    @classmethod
    def of(cls, info: VisitInfo, stars: Columns, summary: Columns) -> Self:
        """Return what there is of a visit with this metadata."""
        mjd = float("nan") if info.mjd is None else info.mjd
        return cls(info.visit, info.band, info.physical_filter, mjd, stars, summary)


@dataclass(frozen=True, eq=False)
class Piece:
    """A piece of the sky: a HEALPix pixel, nested."""

    order: int
    pixel: int

    def holds(self, ra_deg: Floats, dec_deg: Floats) -> Bools:
        """Return which places lie in it."""
        return np.asarray(pixels_of_deg(self.order, ra_deg, dec_deg) == self.pixel)


class CameraFacts(NamedTuple):
    """Bands of the camera, in the order in which a star's are listed, and its pixel scale."""

    bands: Sequence[str]
    pixel_arcsec: float


@dataclass(frozen=True)
class IsolatedStars:
    """What associateIsolatedStars makes.

    Parameters
    ----------
    stars
        Columns of ``isolated_stars``.
    sources
        Columns of ``isolated_stars_source``.
    numbers
        Figures for the status file.
    """

    stars: Columns
    sources: Columns
    numbers: Numbers


def associate_isolated_stars(
    visits: Sequence[VisitStars],
    piece: Piece,
    config: AssociateIsolatedStarsConfig,
    camera: CameraFacts,
) -> IsolatedStars:
    """Find the isolated stars of a piece of the sky.

    Parameters
    ----------
    visits
        All visits about the piece, with what they have within :func:`margin_arcsec` of it.
    piece
        The piece. A star belongs to it if its mean position does.
    config
        The section ``associateIsolatedStars``.
    camera
        What matters of the camera.
    """
    visits = sorted(visits, key=lambda v: v.visit)
    columns, of_visit = _gathered(visits)
    if not len(of_visit):
        empty: Numbers = {"visits": len(visits), "detections": 0, "stars": 0}
        return IsolatedStars({}, {}, empty)
    wcs_error = _wcs_errors(visits, of_visit, columns["detector"])
    detections = _detections(columns, of_visit, wcs_error, config)
    found = associate(detections, config, camera.pixel_arcsec, piece.holds)
    expected, met = _coverage(visits, found, detections, columns["psfFlux"], config)
    lasting = is_lasting(expected, met, config.coverage)
    counts = dict(found.counts) | {"not_lasting": int((~lasting).sum())}
    counts["not_starlike"] = max(counts["groups"] - counts["not_alone"] - len(found), 0)
    found, expected, met = found.select(lasting), expected[lasting], met[lasting]
    by_id = np.argsort(found.star_id, kind="stable")
    rank = np.empty(len(found), np.int64)
    rank[by_id] = np.arange(len(found))
    mjd = np.array([v.mjd for v in visits])[of_visit]
    reserved = is_reserved(*found.positions_deg(), config.reserve)
    rows = np.flatnonzero(found.star >= 0)
    rows = rows[np.lexsort((detections.source_id[rows], mjd[rows], rank[found.star[rows]]))]
    sources = _sources(columns, visits, of_visit, found, reserved, rows)
    stars = _stars(found, sources, detections.snr[rows], camera.bands)
    stars |= {"n_expected": expected, "n_seen": met, "reserved": reserved}
    numbers: Numbers = {
        "visits": len(visits),
        "detections": len(detections),
        "stars": len(found),
        "sources": len(rows),
        "reserved": int(reserved.sum()),
        **counts,
        **_times_seen(stars),
    }
    return IsolatedStars({n: v[by_id] for n, v in stars.items()}, sources, numbers)


def _times_seen(stars: Columns) -> Numbers:
    """Return how often stars are seen, and how many of their detections are left out."""
    times = stars["n_source"]
    numbers: Numbers = {
        "disturbed": int(stars["n_disturbed"].sum()),
        "stars_seen_once": int((times == 1).sum()),
    }
    if times.size:
        parts = np.percentile(times, (10, 50, 90), method="lower")
        names = (f"visits_per_star_{p}" for p in ("p10", "p50", "p90"))
        numbers |= {name: int(part) for name, part in zip(names, parts, strict=True)}
    return numbers


def margin_arcsec(config: AssociateIsolatedStarsConfig, pixel_arcsec: float) -> float:
    """Return how far around a piece detections are needed: ten isolation radii.

    A group that reaches so far, one friend to the next, is of a crowd and not a star's.
    """
    isolation = max(config.isolation.radius_arcsec, config.isolation.radius_pix * pixel_arcsec)
    match = max(config.match_radius_arcsec, config.match_radius_pix * pixel_arcsec)
    return 10 * max(isolation, match)


def _gathered(visits: Sequence[VisitStars]) -> tuple[Columns, Integers]:
    """Return the detections of all visits by sourceId, each once, and which visit each is of.

    The parts are taken out of `visits`, so that each column is held but once.
    """
    parts = [(k, v.stars) for k, v in enumerate(visits) if len(v.stars.get("sourceId", ()))]
    if not parts:
        return {}, np.zeros(0, np.int64)
    of_visit = np.repeat([k for k, _ in parts], [len(p["sourceId"]) for _, p in parts])
    ids = np.concatenate([p["sourceId"] for _, p in parts])
    primary = np.flatnonzero(np.concatenate([p["detect_isPrimary"] for _, p in parts]))
    kept = primary[np.unique(ids[primary], return_index=True)[1]]
    names = list(parts[0][1])
    return {n: np.concatenate([p.pop(n) for _, p in parts])[kept] for n in names}, of_visit[kept]


def _wcs_errors(visits: Sequence[VisitStars], of_visit: Integers, detector: Integers) -> Floats:
    """Return the error of the WCS of each detection, arcsec: 0 where it is the detector's own."""
    error = np.zeros(len(of_visit))
    starts = np.searchsorted(of_visit, np.arange(len(visits) + 1))
    for k, v in enumerate(visits):
        rows = slice(starts[k], starts[k + 1])
        for d, e in zip(v.summary["detector"], v.summary["wcs_error"], strict=True):
            if np.isfinite(e):
                error[rows][detector[rows] == d] = e
    return error


def _detections(
    columns: Columns, of_visit: Integers, wcs_error: Floats, config: AssociateIsolatedStarsConfig
) -> Detections:
    error = 0.5 * (columns["raErr"].astype(float) ** 2 + columns["decErr"].astype(float) ** 2)
    variance = error * _ARCSEC_PER_DEG**2 + wcs_error**2
    flux = columns["psfFlux_instFlux"]
    with np.errstate(invalid="ignore", divide="ignore"):
        snr = flux / columns["psfFlux_instFluxErr"]
    excess, excess_err = _size_excess(columns)
    return Detections(
        source_id=columns["sourceId"],
        visit=of_visit,
        ra=columns["ra"],
        dec=columns["dec"],
        variance_arcsec2=np.where(np.isfinite(variance), variance, _UNKNOWN_ARCSEC**2),
        flux=flux,
        snr=snr,
        size_excess=excess,
        size_excess_err=excess_err,
        good=good_detections(columns, config.detections),
    )


def _size_excess(columns: Columns) -> tuple[Floats, Floats]:
    """Return (Ixx + Iyy) / (that of the PSF) - 1 and its error; NaN where there is no shape."""
    psf = columns["ixxPSF"] + columns["iyyPSF"]
    known = ~columns["shape_flag"] & (psf > 0)
    psf = np.where(known, psf, np.nan)
    error = np.hypot(columns["ixxErr"].astype(float), columns["iyyErr"].astype(float))
    return (columns["ixx"] + columns["iyy"]) / psf - 1, error / psf


def _coverage(
    visits: Sequence[VisitStars],
    found: Association,
    detections: Detections,
    flux_njy: Floats,
    config: AssociateIsolatedStarsConfig,
) -> tuple[Integers, Integers]:
    """Return how many visits should see each star, and how many of them do."""
    seen = np.flatnonzero(found.seen >= 0)
    sightings = Sightings(
        found.seen[seen], detections.visit[seen], flux_njy[seen], detections.snr[seen]
    )
    bands = sorted({v.band for v in visits})
    footprints = _footprints(visits, bands)
    return coverage(found.vectors, sightings, footprints, len(bands), config.coverage)


def _footprints(visits: Sequence[VisitStars], bands: Sequence[str]) -> Footprints:
    """Return the detectors that are of use, and of which it is known where they looked."""
    parts = []
    for k, v in enumerate(visits):
        s = v.summary
        corners = unit_vectors(
            np.array([s[f"{c}ra"] for c in _CORNERS]), np.array([s[f"{c}dec"] for c in _CORNERS])
        ).transpose(2, 1, 0)
        usable = np.isfinite(corners).all(axis=(1, 2)) & (s["lost"] == "")
        limit = 10 ** (-0.4 * (s["magLim"] - 31.4))
        which = np.full(int(usable.sum()), k), np.full(int(usable.sum()), bands.index(v.band))
        parts.append((*which, corners[usable], limit[usable]))
    return Footprints(*(np.concatenate(p) for p in zip(*parts, strict=True)))


def _sources(
    columns: Columns,
    visits: Sequence[VisitStars],
    of_visit: Integers,
    found: Association,
    reserved: Bools,
    rows: Integers,
) -> Columns:
    """Return the columns of the sources, in the order of `rows`; `columns` are used up."""
    star, visit = found.star[rows], of_visit[rows]
    return {
        **{name: columns.pop(name)[rows] for name in list(columns)},
        "isolated_star_id": found.star_id[star],
        "reserved": reserved[star],
        "visit": np.array([v.visit for v in visits])[visit],
        "mjd": np.array([v.mjd for v in visits])[visit],
        "band": np.array([v.band for v in visits], np.str_)[visit],
        "physical_filter": np.array([v.physical_filter for v in visits], np.str_)[visit],
    }


def _stars(found: Association, sources: Columns, snr: Floats, bands: Sequence[str]) -> Columns:
    """Return what is known of the stars, in the order of `found`."""
    n = len(found)
    order = np.argsort(found.star_id, kind="stable")
    of = order[np.searchsorted(found.star_id[order], sources["isolated_star_id"])]
    ra, dec = found.positions_deg()
    error = np.sqrt(found.variance_arcsec2) / _ARCSEC_PER_DEG
    known = np.isfinite(sources["mjd"])
    dated = np.bincount(of[known], minlength=n)
    with np.errstate(invalid="ignore"):
        epoch = np.bincount(of[known], sources["mjd"][known], minlength=n) / dated
    return {
        "isolated_star_id": found.star_id,
        "ra": ra,
        "dec": dec,
        "raErr": error,
        "decErr": error,
        "epoch": epoch,
        "position_chi2": found.chi2,
        "n_source": found.n_source,
        "n_disturbed": found.n_disturbed,
        "bands": _band_lists(of, sources["band"], n, bands),
        "snr": _medians(of, snr, n),
        "size_excess": found.size_excess,
        "size_excess_err": found.size_excess_err,
        "reference_id": _most_frequent(of, sources["reference_id"], n),
    }


def _band_lists(
    of: Integers, band: NDArray[np.str_], n: int, bands: Sequence[str]
) -> NDArray[np.str_]:
    """Return the bands of each star as a text."""
    present = np.zeros((n, len(bands)), bool)
    for k, name in enumerate(bands):
        present[of[band == name], k] = True
    kinds, which = np.unique(present, axis=0, return_inverse=True)
    texts = [",".join(b for b, has in zip(bands, kind, strict=True) if has) for kind in kinds]
    return np.array(texts, np.str_)[which.ravel()]


def _medians(of: Integers, values: Floats, n: int) -> Floats:
    """Return the (lower) median of the values of each star."""
    order = np.lexsort((values, of))
    starts = np.searchsorted(of[order], np.arange(n + 1))
    return np.asarray(values[order][(starts[:-1] + starts[1:] - 1) // 2])


def _most_frequent(of: Integers, values: Integers, n: int) -> Integers:
    """Return the most frequent value of each star but 0, the least of several; 0 for none."""
    stated = values != 0
    pairs, count = np.unique(
        np.stack([of[stated], values[stated]], axis=1), axis=0, return_counts=True
    )
    best = np.zeros(n, np.int64)
    # Written last is what counts: the most frequent, and of these the least.
    order = np.lexsort((-pairs[:, 1], count))
    best[pairs[order, 0]] = pairs[order, 1]
    return best
