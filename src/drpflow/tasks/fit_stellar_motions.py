"""fitStellarMotions: places, proper motions and parallaxes of the stars of a piece of the sky.

``docs/tasks/fitStellarMotions.md`` has rules, parameters and figures;
``docs/algorithms/stellar_motions.md`` the model.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drpflow.algorithms.astrometric_input import reference_at
from drpflow.algorithms.stellar_motions.colors import Colors, star_colors
from drpflow.algorithms.stellar_motions.detections import (
    Detections,
    MotionVisits,
    sky_covariance,
)
from drpflow.algorithms.stellar_motions.fit import MotionFit, fit_motions, start_of
from drpflow.algorithms.stellar_motions.fluxes import mean_fluxes
from drpflow.algorithms.stellar_motions.result import (
    ASTRAY,
    SCATTERS,
    STILL,
    TIED,
    star_columns,
)
from drpflow.data.motion_input import MATCH_COLUMNS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.stellar_motions.fit import Motions
    from drpflow.config.fit_stellar_motions import FitStellarMotionsConfig
    from drpflow.data.astrometric_tables import ReferenceAstrometry
    from drpflow.data.motion_input import MotionInput, SolvedVisits
    from drpflow.data.reference_stars import ReferenceStars

    Numbers: TypeAlias = dict[str, float | int | str]
    Columns: TypeAlias = dict[str, NDArray[Any]]
    Floats: TypeAlias = NDArray[np.float64]
    Integers: TypeAlias = NDArray[np.int64]

_UNKNOWN_MAS = 100.0


@dataclass(frozen=True)
class StellarMotions:
    """What fitStellarMotions makes.

    Parameters
    ----------
    stars
        Columns of ``stellar_motions``; none for a table without rows.
    numbers
        Figures for the status file.
    notes
        What is to be known of them.
    """

    stars: Columns
    numbers: Numbers
    notes: tuple[str, ...] = ()
    floors: Columns = field(default_factory=dict)


def fit_stellar_motions(given: MotionInput, config: FitStellarMotionsConfig) -> StellarMotions:
    """Fit the stars of a piece of the sky.

    Parameters
    ----------
    given
        Groups of sources, and what is known of their visits.
    config
        The section ``fitStellarMotions``.
    """
    matches = _chosen(given.matches, config.min_sources)
    if not matches["source_match_id"].size:
        return StellarMotions({}, {"stars": 0, "detections": 0})
    detections, visits, bands = _detections(given, matches, config)
    n = matches["source_match_id"].size
    first = np.searchsorted(detections.star, np.arange(n + 1)).astype(np.int64)
    key = detections.star * len(bands) + visits.band[detections.visit]
    mean, error = mean_fluxes(
        *(key, n * len(bands), detections.flux_njy, detections.flux_err_njy),
        *(given.min_snr, config.noise.flux_scatter),
    )
    colors = _colors(mean, error, bands, given.solved, config)
    reference_color = given.solved.reference_color
    reference_color = reference_color if np.isfinite(reference_color) else 0.0
    beyond = colors._replace(color=colors.color - reference_color)
    start = start_of(first, detections, visits, (matches["ra"], matches["dec"]))
    fit = MotionFit(first, detections, visits, start, beyond, mean[key], config)
    found = fit_motions(fit, _reference(given.references, matches["reference_id"]))
    stars = star_columns(found, fit, colors, reference_color)
    stars |= {
        "source_match_id": matches["source_match_id"],
        "n_source": matches["n_source"],
        "span": matches["span"],
        "snr": matches["snr"],
        "extendedness": matches["extendedness"],
        "referenceId": matches["reference_id"],
        "match_flag": matches["flag"],
    }
    return StellarMotions(
        stars,
        _numbers(stars, found, detections),
        tuple(_notes(given, found)),
        {"visit": visits.visit, "floor": found.floor_mas},
    )


def _chosen(matches: Columns, min_sources: int) -> Columns:
    """Return the groups that are fitted, by identifier."""
    rows = np.flatnonzero(matches["n_source"] >= min_sources)
    rows = rows[np.argsort(matches["source_match_id"][rows], kind="stable")]
    return {name: matches[name][rows] for name in MATCH_COLUMNS}


def _detections(
    given: MotionInput, matches: Columns, config: FitStellarMotionsConfig
) -> tuple[Detections, MotionVisits, list[str]]:
    """Return the detections that may count, by star and visit, and their visits."""
    rows, ids = given.rows, matches["source_match_id"]
    star = np.minimum(np.searchsorted(ids, rows["source_match_id"]), ids.size - 1)
    visits, of_detector, bands = _visits(given, config)
    which = _detector_rows(given.detectors, rows)
    matrix = np.stack(
        [np.stack([rows[f"localWcs_CDMatrix_{i}_{j}"] for j in (1, 2)], axis=1) for i in (1, 2)],
        axis=1,
    )
    covariance = sky_covariance(rows["xErr"], rows["yErr"], rows["x_y_Cov"], matrix)
    wcs = given.detectors["wcs_error"] * 1000 / np.sqrt(2)
    wcs = np.where(np.isfinite(wcs), wcs, 0.0)
    determinant = covariance[:, 0] * covariance[:, 2] - covariance[:, 1] ** 2
    with np.errstate(invalid="ignore"):
        good = rows["usable"] & (ids[star] == rows["source_match_id"]) & (which >= 0)
        good &= np.isfinite(covariance).all(axis=1) & (determinant > 0)
        good &= (covariance[:, [0, 2]] <= config.noise.max_error_mas**2).all(axis=1)
        good &= np.isfinite(rows["ra"]) & np.isfinite(rows["dec"])
    visit = np.full(which.size, -1, np.int64)
    visit[which >= 0] = of_detector[which[which >= 0]]
    kept = np.flatnonzero(good & (visit >= 0))
    kept = kept[np.lexsort((rows["sourceId"][kept], visit[kept], star[kept]))]
    detections = Detections(
        star=star[kept],
        visit=visit[kept],
        ra=rows["ra"][kept],
        dec=rows["dec"][kept],
        covariance_mas2=np.ascontiguousarray(covariance[kept]),
        wcs_mas=wcs[which[kept]],
        flux_njy=rows["psfFlux"][kept].astype(float),
        flux_err_njy=rows["psfFluxErr"][kept].astype(float),
    )
    return detections, visits, bands


def _visits(
    given: MotionInput, config: FitStellarMotionsConfig
) -> tuple[MotionVisits, Integers, list[str]]:
    """Return visits, the row of the visit of each detector (-1: time unknown), and bands."""
    d, s = given.detectors, given.solved
    pairs, of = np.unique(
        np.stack([d["visit"], d["wcs_skypix"]], axis=1).astype(np.int64),
        axis=0,
        return_inverse=True,
    )
    mjd = np.array([given.mjd.get(int(v), np.nan) for v in pairs[:, 0]], float)
    names = [given.band.get(int(v), "") for v in pairs[:, 0]]
    bands = sorted(set(names)) or [""]
    known = {(int(v), int(p)): k for k, (v, p) in enumerate(zip(s.visit, s.skypix, strict=True))}
    row = np.array([known.get((int(v), int(p)), -1) for v, p in pairs], np.int64)

    def told(values: Floats, default: float) -> Floats:
        if not len(values):
            return np.full((row.size, *values.shape[1:]), default)
        has = (row >= 0).reshape(row.size, *(1,) * (values.ndim - 1))
        found = np.where(has, values[row], np.nan)
        return np.where(np.isfinite(found), found, default)

    visits = MotionVisits(
        visit=pairs[:, 0],
        mjd=np.where(np.isfinite(mjd), mjd, 0.0),
        band=np.array([bands.index(name) for name in names], np.int64),
        floor_mas=told(s.floor_mas, config.noise.floor_mas),
        refraction_mas=told(s.refraction_mas, 0.0),
        refraction_err_mas=told(s.refraction_err_mas, 0.0),
    )
    of = of.reshape(-1)
    return visits, np.where(np.isfinite(mjd)[of], of, -1), bands


def _detector_rows(detectors: Columns, rows: Columns) -> Integers:
    """Return the row of the detector of each source, -1 where it is unknown."""
    key = detectors["visit"].astype(np.int64) << 16 | detectors["detector"].astype(np.int64)
    if not key.size:
        return np.full(rows["visit"].size, -1, np.int64)
    wanted = rows["visit"].astype(np.int64) << 16 | rows["detector"].astype(np.int64)
    order = np.argsort(key, kind="stable")
    place = np.minimum(np.searchsorted(key, wanted, sorter=order), key.size - 1)
    found = order[place]
    return np.where(key[found] == wanted, found, -1)


def _colors(
    mean: Floats,
    error: Floats,
    bands: list[str],
    solved: SolvedVisits,
    config: FitStellarMotionsConfig,
) -> Colors:
    """Return colours of the stars between the bands of the astrometric solution."""
    flux, sigma = mean.reshape(-1, len(bands)), error.reshape(-1, len(bands))
    pair = tuple(bands.index(b) for b in solved.color_bands if b in bands)
    if len(pair) == 2:
        return star_colors(flux, sigma, (pair[0], pair[1]), config.color)
    n = len(flux)
    middle = solved.reference_color if np.isfinite(solved.reference_color) else 0.0
    return Colors(np.full(n, middle), np.ones(n), np.zeros(n, bool))


def _reference(
    references: ReferenceStars | None, reference_id: Integers
) -> ReferenceAstrometry | None:
    """Return what the catalogue says of the stars, rows alike."""
    if references is None or not len(references):
        return None
    rows = np.flatnonzero(reference_id != 0)
    order = np.argsort(references.id, kind="stable")
    place = np.searchsorted(references.id, reference_id[rows], sorter=order)
    place = order[np.minimum(place, len(references) - 1)]
    same = references.id[place] == reference_id[rows]
    theirs = references.select(place[same])
    return reference_at(theirs, rows[same], reference_id.size, _UNKNOWN_MAS)


def _numbers(stars: Columns, found: Motions, detections: Detections) -> Numbers:
    """Return figures for the status file."""
    flag = stars["flag"]
    numbers: Numbers = {
        "stars": flag.size,
        "detections": len(detections),
        "rejected": int((~found.on).sum()),
        "with_motion": int((flag & STILL == 0).sum()),
        "tied": int((flag & TIED > 0).sum()),
        "astray": int((flag & ASTRAY > 0).sum()),
        "scattering": int((flag & SCATTERS > 0).sum()),
        "centroid_scale": round(found.centroid_scale, 4),
        "passes": found.passes,
    }
    if found.floor_mas.size:
        numbers["floor_mas"] = round(float(np.median(found.floor_mas)), 3)
    moving = found.moves & (found.expected > 1)
    if moving.any():
        ratio = found.chi2[moving].sum() / found.expected[moving].sum()
        numbers["chi2_per_dof"] = round(float(ratio), 4)
    return numbers


def _notes(given: MotionInput, found: Motions) -> list[str]:
    """Return what is to be known of a fit."""
    notes = []
    s = given.solved
    unknown = set(given.mjd) - set(s.visit[np.isfinite(s.floor_mas)].tolist())
    if unknown:
        some = ", ".join(str(v) for v in sorted(unknown)[:5])
        notes.append(
            f"no astrometric solution tells of {len(unknown)} visits ({some}): no refraction by "
            "colour, and the expected scatter"
        )
    if not s.color_bands:
        notes.append("it is not known what colours are: no refraction by colour")
    if found.centroid_scale != 1.0:
        notes.append(f"errors of centroids are {found.centroid_scale:.3f} times those stated")
    return notes
