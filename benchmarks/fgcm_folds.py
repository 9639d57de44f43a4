"""How well bright stars that no fit has seen repeat, from the pixels of a simulated survey.

The global fit is done `FOLDS` times, each time with another part of the stars reserved, so that
each star is scored by a fit without it; so is calibrateImage's zero point of each detector image
(zero_point_folds.py), with its field and as one constant. Calibrations are scored by the flux that
fgcm takes by default and by PSF fluxes, to which calibrateImage fits its zero points.

A measurement's deviation is that from the mean of its star's other measurements in clear visits of
the band (:func:`drpflow.algorithms.repeatability.about_mean`). Noise that the measurements tell is
taken off: from the robust width by pulls, from the rms in squares.

Gradients are real on detector images where the light lost, the true magnitudes of bright stars less
the measured ones, varies by more than `GRADIENT_MAG`, noise taken off. Intervals are made by
resampling detector images, as what is wrong with one all its stars share.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scoring import RESAMPLINGS, Figure, resampled
from truth_survey import read_columns
from zero_point_folds import CONSTANT, largest_change_mmag, read_images

from drpflow.algorithms.fgcm import calibrate
from drpflow.algorithms.photometric_input import (
    VisitInput,
    detectors_of,
    visits_of,
    with_references,
)
from drpflow.algorithms.repeatability import about_mean, excess, width
from drpflow.config.fgcm_task import FgcmTaskConfig
from drpflow.data.photo_calib import NJY_ZERO_POINT_MAG
from drpflow.io.fgcm_files import Inputs, read_inputs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import TypeAlias

    from zero_point_folds import Image

    from drpflow.data.photo_calib import PhotoCalib
    from drpflow.data.photometric_tables import Observations, Visits

    Scatter: TypeAlias = Callable[["Floats", "Floats"], float]

Floats = NDArray[np.float64]

FOLDS = 10
BRIGHT_ERROR_MAG = 0.01
GRADIENT_MAG = 0.01
CLOUDY_MAG = 0.02
MATCH_ARCSEC = 0.3
MIN_STARS = 5
_TAIL_SIGMA = 6.0
_LEAST_MMAG = 1.0
"""Scatter of less than this cannot be told from noise: the least that a ratio is taken to."""
NAMES = {
    "constant": "calibrateImage: one zero point",
    "constant psf": "calibrateImage: one zero point, PSF flux",
    "seen": "calibrateImage: field, in sample",
    "field": "calibrateImage: field",
    "field psf": "calibrateImage: field, PSF flux",
    "fgcm": "fgcm",
    "fgcm psf": "fgcm, PSF flux",
    "one flux": "fgcm of one flux",
    "by psf": "fgcm of PSF fluxes alone",
}
"""Calibrations; all but the one in sample are scored on stars held out."""
_BY_PSF = "constant psf", "field psf", "fgcm psf", "by psf"
_RATIOS = (
    ("constant", "fgcm"),
    ("constant psf", "fgcm psf"),
    ("field", "fgcm"),
    ("field psf", "fgcm psf"),
    ("one flux", "fgcm"),
)
_ONE_FLUX: dict[str, Any] = {"sources": {"cloud_flux": "none"}}
_PSF_FLUX: dict[str, Any] = {"sources": {"flux": "psfFlux"}}


@dataclass(frozen=True)
class Held:
    """Bright measurements of stars that were held out.

    Parameters
    ----------
    off, noise
        Deviation from the mean of the star's others, and what noise makes of it, by the names of
        `NAMES` [mmag].
    image
        Number of its detector image.
    cloudy, uneven
        Whether its visit has clouds, and its detector image a gradient.
    change_mmag
        How far calibrateImage's fit with all stars is from what is stored.
    """

    off: dict[str, Floats]
    noise: dict[str, Floats]
    image: NDArray[np.int64]
    cloudy: NDArray[np.bool_]
    uneven: NDArray[np.bool_]
    change_mmag: float


def held_out(folder: Path, root: Path) -> Held:
    """Calibrate a survey `FOLDS` times, and compare measurements with each other."""
    given = _inputs(folder, root, FgcmTaskConfig())
    by_psf = _inputs(folder, root, FgcmTaskConfig.model_validate(_PSF_FLUX))
    visits = visits_of([VisitInput(*part) for part in given.visits], given.camera)
    o = given.observations
    images = read_images(folder, {p.info.visit: p.info for p in given.visits}, given.camera)
    fold = np.random.default_rng(0).permutation(len(given.stars)) % FOLDS
    mags = _initial(root, given, by_psf.observations, visits, images, fold)
    mags |= _global(folder, root, given, by_psf, visits, fold)
    clouds = read_columns(folder / "truth/visits.parquet")
    cloud = dict(zip(clouds["visit"].tolist(), clouds["cloud_mag"].tolist(), strict=True))
    cloudy = np.array([cloud[int(v)] > CLOUDY_MAG for v in visits.id])[o.visit]
    known = (o.mag_err < BRIGHT_ERROR_MAG) & np.all(np.isfinite([*mags.values()]), axis=0)
    key = o.star.astype(np.int64) * len(visits.bands) + visits.band[o.visit]
    off, noise = {}, {}
    for name in NAMES:
        error = (by_psf.observations if name in _BY_PSF else o).mag_err[known].astype(float)
        off[name], noise[name] = about_mean(
            key[known], 1e3 * mags[name][known], 1e3 * error, ~cloudy[known]
        )
    kept = np.all(np.isfinite([*off.values()]), axis=0)
    n_detectors = len(given.camera.detectors)
    image = o.visit.astype(np.int64) * n_detectors + o.detector
    uneven = _uneven(image, o, _lost_light(folder, given, visits))
    return Held(
        {name: values[kept] for name, values in off.items()},
        {name: values[kept] for name, values in noise.items()},
        image[known][kept],
        cloudy[known][kept],
        uneven[known][kept],
        largest_change_mmag(images),
    )


def _global(
    folder: Path,
    root: Path,
    given: Inputs,
    by_psf: Inputs,
    visits: Visits,
    fold: NDArray[np.int64],
) -> dict[str, Floats]:
    """Return magnitudes by fgcm, by the names of `NAMES`."""
    default, one_flux, psf_flux = (
        FgcmTaskConfig.model_validate(values) for values in ({}, _ONE_FLUX, _PSF_FLUX)
    )
    mag, psf = _folds(given, visits, fold, default, by_psf.observations)
    single = _inputs(folder, root, one_flux)
    return {
        "fgcm": mag,
        "fgcm psf": psf,
        "one flux": _folds(single, visits, fold, one_flux, single.observations)[0],
        "by psf": _folds(by_psf, visits, fold, psf_flux, by_psf.observations)[0],
    }


def _inputs(folder: Path, root: Path, config: FgcmTaskConfig) -> Inputs:
    results = folder / "results"
    pixels = [int(p.name.split("=")[1]) for p in sorted((root / "isolated_stars").iterdir())]
    visits = [int(p.name.split("=")[1]) for p in (results / "visit_info").iterdir()]
    info, summary = "visit_info", "initial_visit_summary"
    stars, sources = "isolated_stars", "isolated_stars_source"
    options = {
        "camera": str(folder / "camera.yaml"),
        info: str(results / info / "visit={visit}" / f"{info}.json"),
        summary: str(results / summary / "visit={visit}" / f"{summary}.parquet"),
        stars: str(root / stars / "skypix={skypix}" / f"{stars}.parquet"),
        sources: str(root / sources / "skypix={skypix}" / f"{sources}.parquet"),
        "fgcm_look_up_table": root / "fgcm_look_up_table/fgcm_look_up_table.fits",
        "reference_stars": folder / "reference/reference_stars.parquet",
        "config": config,
    }
    return read_inputs(options, sorted(visits), pixels)


def _folds(
    given: Inputs,
    visits: Visits,
    fold: NDArray[np.int64],
    config: FgcmTaskConfig,
    others: Observations,
) -> tuple[Floats, Floats]:
    """Return magnitudes of observations by the fit that has not seen their stars.

    Parameters
    ----------
    given, visits
        The survey.
    fold
        Of each star.
    config
        Of the fit.
    others
        The same detections measured otherwise, row by row.

    Returns
    -------
    mag, other_mag : ndarray, shape (N,)
        Of the observations that are fitted, and of the others.
    """
    o = given.observations
    radius = config.sources.match_radius_arcsec
    mjd = float(np.mean(visits.mjd))
    stars = with_references(given.stars, given.references, visits.bands, mjd, radius)
    mag, other_mag = np.full((2, len(o)), np.nan)
    for number in range(FOLDS):
        part = replace(stars, reserved=fold == number)
        detectors = detectors_of(given.camera)
        result = calibrate(o, visits, detectors, part, given.look_up_table, config)
        mine = fold[o.star] == number
        mag[mine] = result.calibrated(o.take(mine))
        other_mag[mine] = result.calibrated(others.take(mine))
    return mag, other_mag


def _initial(
    root: Path,
    given: Inputs,
    by_psf: Observations,
    visits: Visits,
    images: Mapping[tuple[int, int], Image],
    fold: NDArray[np.int64],
) -> dict[str, Floats]:
    """Return magnitudes by calibrateImage, by the names of `NAMES`.

    Parameters
    ----------
    root
        Of the association.
    given, by_psf
        The survey, and its observations by PSF fluxes, row by row the same.
    visits, images
        Of the survey.
    fold
        Of each star.
    """
    o = given.observations
    names = ("constant", "constant psf", "seen", "field", "field psf")
    mags = {name: np.full(len(o), np.nan) for name in names}
    sources = _sources(root)
    star_of = dict(zip(given.stars.id.tolist(), range(len(given.stars)), strict=True))
    fold_of_source = fold[[star_of[int(i)] for i in sources["isolated_star_id"]]]
    row_of = {int(visit): row for row, visit in enumerate(visits.id)}
    number_of = {d.id: k for k, d in enumerate(given.camera.detectors)}
    for (visit, detector), image in images.items():
        k = number_of[detector]
        rows = np.flatnonzero((o.visit == row_of[visit]) & (o.detector == k))
        mags["seen"][rows] = _calibrated(image.stored, o, rows, visits, image)
        mine = (sources["visit"] == visit) & (sources["detector"] == detector)
        for number in range(FOLDS):
            held = rows[fold[o.star[rows]] == number]
            if not held.size:
                continue
            without = sources["sourceId"][mine & (fold_of_source == number)]
            field, constant = image.without(without), image.without(without, CONSTANT)
            for name, calib in (("constant", constant), ("field", field)):
                mags[name][held] = _calibrated(calib, o, held, visits, image)
                mags[f"{name} psf"][held] = _calibrated(calib, by_psf, held, visits, image)
    return mags


def _sources(root: Path) -> dict[str, NDArray[Any]]:
    names = ("isolated_star_id", "visit", "detector", "sourceId")
    parts = [read_columns(p) for p in sorted(root.glob("isolated_stars_source/*/*.parquet"))]
    return {n: np.concatenate([part[n] for part in parts]).astype(np.int64) for n in names}


def _calibrated(
    calib: PhotoCalib | None,
    o: Observations,
    rows: NDArray[np.intp],
    visits: Visits,
    image: Image,
) -> Floats:
    """Return AB magnitudes of observations, NaN without a calibration."""
    if calib is None:
        return np.full(rows.size, np.nan)
    x = (o.u[rows] + 1.0) * image.box.x1 / 2 - 0.5
    y = (o.v[rows] + 1.0) * image.box.y1 / 2 - 0.5
    electrons = 10 ** (-0.4 * o.mag[rows]) * visits.exposure_time_s[o.visit[rows]]
    return NJY_ZERO_POINT_MAG - 2.5 * np.log10(calib.flux_to_njy(electrons, x, y))


def _lost_light(folder: Path, given: Inputs, visits: Visits) -> Floats:
    """Return true less measured magnitudes, NaN where no single star matches."""
    from scipy.spatial import cKDTree

    o, stars = given.observations, given.stars
    true = np.full(len(o), np.nan)
    scale = np.cos(np.deg2rad(np.median(stars.dec)))
    for visit, number in enumerate(visits.id):
        sources = read_columns(folder / f"truth/sources/visit={number}/sources.parquet")
        single = sources["isolated"] & ~sources["saturated"] & (sources["kind"] == 0)
        tree = cKDTree(np.column_stack([sources["ra"] * scale, sources["dec"]])[single])
        rows = np.flatnonzero(o.visit == visit)
        star = o.star[rows]
        mine = np.column_stack([stars.ra[star] * scale, stars.dec[star]])
        distance, nearest = tree.query(mine, distance_upper_bound=MATCH_ARCSEC / 3600)
        found = np.isfinite(distance)
        true[rows[found]] = sources["mag"][single][nearest[found]]
    return true - o.mag


def _uneven(image: NDArray[np.int64], o: Observations, lost: Floats) -> NDArray[np.bool_]:
    """Return which observations are on a detector image with a gradient."""
    uneven = np.zeros(len(o), np.bool_)
    bright = np.flatnonzero(np.isfinite(lost) & (o.mag_err < BRIGHT_ERROR_MAG))
    off, noise = about_mean(image[bright], lost[bright], o.mag_err[bright].astype(float))
    for number in np.unique(image[bright]):
        rows = np.isfinite(off) & (image[bright] == number)
        if rows.sum() >= MIN_STARS:
            uneven[image == number] = excess(off[rows], noise[rows]) > GRADIENT_MAG
    return uneven


def folds_text(surveys: list[Held], resamplings: int = RESAMPLINGS) -> str:
    """Return the scatter of held-out bright stars, without noise, as a Markdown table."""
    places = {
        "clear": [~s.cloudy for s in surveys],
        "cloudy": [s.cloudy for s in surveys],
        "real gradients": [s.cloudy & s.uneven for s in surveys],
    }
    rows = {name: [title] for name, title in NAMES.items()}
    ratios = {pair: [" / ".join(NAMES[n] for n in pair)] for pair in _RATIOS}
    titles, notes = [], []
    for place, chosen_rows in places.items():
        chosen = _Images(surveys, chosen_rows, resamplings)
        for label, scatter in (("robust", excess), ("rms", rms_excess)):
            titles.append(f"{place}, {label}")
            for name, cells in rows.items():
                cells.append(chosen.scatter(name, scatter).text(1))
            for pair, cells in ratios.items():
                cells.append(chosen.ratio(*pair, scatter).text(2))
        notes.append(f"{place}: {chosen.size} measurements on {len(chosen.parts)} detector images")
    change = max(s.change_mmag for s in surveys)
    notes.append(f"calibrateImage again, no star held out: off by {change:.2f} mmag at most")
    lines = [f"| | {' | '.join(titles)} |", "|---" * (len(titles) + 1) + "|"]
    lines += [f"| {' | '.join(cells)} |" for cells in (*rows.values(), *ratios.values())]
    return "\n".join([*lines, "", *notes, ""])


def rms_excess(off: Floats, noise: Floats) -> float:
    """Return the rms beyond that of the noise, without what is beyond `_TAIL_SIGMA` widths."""
    kept = np.abs(off) < _TAIL_SIGMA * width(off)
    return float(np.sqrt(max(np.mean(off[kept] ** 2) - np.mean(noise[kept] ** 2), 0.0)))


class _Images:
    """Measurements on some of the detector images of surveys, image by image."""

    def __init__(
        self, surveys: list[Held], rows: list[NDArray[np.bool_]], resamplings: int
    ) -> None:
        self.resamplings = resamplings
        self.off, self.noise = (
            {
                name: np.concatenate(
                    [getattr(s, what)[name][r] for s, r in zip(surveys, rows, strict=True)]
                )
                for name in NAMES
            }
            for what in ("off", "noise")
        )
        number = np.concatenate(
            [s.image[r] + i * 10**9 for i, (s, r) in enumerate(zip(surveys, rows, strict=True))]
        )
        order = np.argsort(number, kind="stable")
        self.size = number.size
        self.parts = np.split(order, np.flatnonzero(np.diff(number[order])) + 1)

    def scatter(self, name: str, of: Scatter) -> Figure:
        """Return the scatter by a calibration, noise taken off, resampled by images."""
        return self._resampled(lambda rows: of(self.off[name][rows], self.noise[name][rows]))

    def ratio(self, name: str, better: str, of: Scatter) -> Figure:
        """Return how much larger it is by one calibration than by another."""

        def of_rows(rows: NDArray[np.intp]) -> float:
            worse, least = (of(self.off[n][rows], self.noise[n][rows]) for n in (name, better))
            return worse / max(least, _LEAST_MMAG)

        return self._resampled(of_rows)

    def _resampled(self, statistic: Callable[[NDArray[np.intp]], float]) -> Figure:
        def of_images(numbers: Floats) -> float:
            return statistic(np.concatenate([self.parts[int(i)] for i in numbers]))

        return resampled(np.arange(len(self.parts)), of_images, resamplings=self.resamplings)


__all__ = ["Held", "folds_text", "held_out", "rms_excess"]
