"""How well bright stars that no fit has seen repeat, from the pixels of a simulated survey.

The global fit is done `FOLDS` times, each time with another part of the stars reserved, so that
each star is scored by a fit without it; so is calibrateImage's zero point of each detector image
(zero_point_folds.py), with its field and as one constant. A measurement's deviation is that from
the median of its star in the band, enlarged by √(n/(n-1)); the noise that the measurement itself
tells is taken off in squares. Both are scored with the flux that fgcm takes by default, and with
PSF fluxes, to which calibrateImage fits its zero points.

Gradients are real on detector images where the light lost, the true magnitudes of bright stars less
the measured ones, varies by more than `GRADIENT_MAG` rms, noise taken off. Intervals are made by
resampling detector images, as what is wrong with one all its stars share.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scoring import RESAMPLINGS, Figure, resampled, robust_sigma
from truth_survey import read_columns
from zero_point_folds import CONSTANT, largest_change_mmag, read_images

from drpflow.algorithms.fgcm import calibrate
from drpflow.algorithms.photometric_input import (
    VisitInput,
    detectors_of,
    visits_of,
    with_references,
)
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

    Width: TypeAlias = Callable[["Floats"], float]

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
    "constant": "one zero point",
    "seen": "field, in sample",
    "field": "field",
    "own flux": "field, PSF flux",
    "fgcm": "fgcm",
    "fgcm own flux": "fgcm, PSF flux",
}
"""Calibrations; all but the one in sample are scored on stars held out."""
_RATIOS = (("constant", "fgcm"), ("field", "fgcm"), ("own flux", "fgcm own flux"))
_BY_PSF = "own flux", "fgcm own flux"
_PSF_FLUX = FgcmTaskConfig.model_validate({"sources": {"flux": "psfFlux"}})


@dataclass(frozen=True)
class Held:
    """Bright measurements of stars that were held out.

    Parameters
    ----------
    off, noise
        Deviation from the star's median, and error of the measurement, by the names of `NAMES`
        [mmag].
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
    given, by_psf = (_inputs(folder, root, config) for config in (FgcmTaskConfig(), _PSF_FLUX))
    visits = visits_of([VisitInput(*part) for part in given.visits], given.camera)
    o = given.observations
    images = read_images(folder, {p.info.visit: p.info for p in given.visits}, given.camera)
    fold = np.random.default_rng(0).permutation(len(given.stars)) % FOLDS
    mags = _initial(root, given, by_psf.observations, visits, images, fold)
    mags["fgcm"] = _folds(given, visits, fold)
    mags["fgcm own flux"] = _folds(by_psf, visits, fold)
    clouds = read_columns(folder / "truth/visits.parquet")
    cloud = dict(zip(clouds["visit"].tolist(), clouds["cloud_mag"].tolist(), strict=True))
    cloudy = np.array([cloud[int(v)] > CLOUDY_MAG for v in visits.id])[o.visit]
    known = (o.mag_err < BRIGHT_ERROR_MAG) & np.all(np.isfinite([*mags.values()]), axis=0)
    off = {name: _deviations(o, visits, mag, known) for name, mag in mags.items()}
    bright = np.isfinite(off["fgcm"])
    noise = {
        name: 1e3 * (by_psf.observations if name in _BY_PSF else o).mag_err[bright].astype(float)
        for name in NAMES
    }
    n_detectors = len(given.camera.detectors)
    uneven = _uneven(o, n_detectors, _lost_light(folder, given, visits))
    return Held(
        {name: values[bright] for name, values in off.items()},
        noise,
        (o.visit.astype(np.int64) * n_detectors + o.detector)[bright],
        cloudy[bright],
        uneven[bright],
        largest_change_mmag(images),
    )


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


def _folds(given: Inputs, visits: Visits, fold: NDArray[np.int64]) -> Floats:
    """Return the magnitude of each observation by the fit that has not seen its star."""
    config, o = FgcmTaskConfig(), given.observations
    radius = config.sources.match_radius_arcsec
    mjd = float(np.mean(visits.mjd))
    stars = with_references(given.stars, given.references, visits.bands, mjd, radius)
    mag = np.full(len(o), np.nan)
    for number in range(FOLDS):
        part = replace(stars, reserved=fold == number)
        detectors = detectors_of(given.camera)
        result = calibrate(o, visits, detectors, part, given.look_up_table, config)
        mine = fold[o.star] == number
        mag[mine] = result.calibrated(o.take(mine))
    return mag


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
    mags = {name: np.full(len(o), np.nan) for name in ("constant", "seen", "field", "own flux")}
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
            mags["field"][held] = _calibrated(field, o, held, visits, image)
            mags["own flux"][held] = _calibrated(field, by_psf, held, visits, image)
            mags["constant"][held] = _calibrated(constant, o, held, visits, image)
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


def _uneven(o: Observations, n_detectors: int, lost: Floats) -> NDArray[np.bool_]:
    """Return which observations are on a detector image with a gradient."""
    image = o.visit.astype(np.int64) * n_detectors + o.detector
    uneven = np.zeros(len(o), np.bool_)
    bright = np.isfinite(lost) & (o.mag_err < BRIGHT_ERROR_MAG)
    for number in np.unique(image[bright]):
        rows = np.flatnonzero(bright & (image == number))
        if rows.size >= MIN_STARS:
            scatter = robust_sigma(lost[rows]) ** 2 - np.mean(o.mag_err[rows] ** 2)
            uneven[image == number] = scatter > GRADIENT_MAG**2
    return uneven


def _deviations(o: Observations, visits: Visits, mag: Floats, wanted: NDArray[np.bool_]) -> Floats:
    """Return deviations from each star's median in a band [mmag], NaN for stars seen rarely."""
    off = np.full(len(o), np.nan)
    known = np.flatnonzero(wanted)
    key = o.star[known].astype(np.int64) * len(visits.bands) + visits.band[o.visit[known]]
    order = np.argsort(key, kind="stable")
    for rows in np.split(known[order], np.flatnonzero(np.diff(key[order])) + 1):
        if rows.size >= 3:
            enlarged = np.sqrt(rows.size / (rows.size - 1))
            off[rows] = 1e3 * (mag[rows] - np.median(mag[rows])) * enlarged
    return off


def folds_text(surveys: list[Held], resamplings: int = RESAMPLINGS) -> str:
    """Return the scatter of held-out bright stars, without noise, as a Markdown table."""
    titles = [*NAMES.values(), *(f"{NAMES[n]} / {NAMES[better]}" for n, better in _RATIOS)]
    lines = [f"| | {' | '.join(titles)} |", "|---" * (len(titles) + 1) + "|"]
    notes = []
    places = {
        "clear visits": [~s.cloudy for s in surveys],
        "cloudy visits": [s.cloudy for s in surveys],
        "cloudy, real gradients": [s.cloudy & s.uneven for s in surveys],
    }
    for place, rows in places.items():
        chosen = _Images(surveys, rows, resamplings)
        for label, width in (("robust width", robust_sigma), ("rms", _rms)):
            cells = [chosen.scatter(name, width).text(1) for name in NAMES]
            cells += [chosen.ratio(n, better, width).text(2) for n, better in _RATIOS]
            lines.append(f"| {place}, {label} | {' | '.join(cells)} |")
        notes.append(f"{place}: {chosen.size} measurements on {len(chosen.parts)} detector images")
    change = max(s.change_mmag for s in surveys)
    notes.append(f"calibrateImage again, no star held out: off by {change:.2f} mmag at most")
    return "\n".join([*lines, "", *notes, ""])


def _rms(values: Floats) -> float:
    """Return the rms without what is beyond `_TAIL_SIGMA` robust widths."""
    return float(np.sqrt(np.mean(values[np.abs(values) < _TAIL_SIGMA * robust_sigma(values)] ** 2)))


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

    def scatter(self, name: str, width: Width) -> Figure:
        """Return the scatter by a calibration, noise taken off, resampled by images."""
        return self._resampled(lambda rows: self._without_noise(name, rows, width))

    def ratio(self, name: str, better: str, width: Width) -> Figure:
        """Return how much larger it is by one calibration than by another."""

        def of_rows(rows: NDArray[np.intp]) -> float:
            least = max(self._without_noise(better, rows, width), _LEAST_MMAG)
            return self._without_noise(name, rows, width) / least

        return self._resampled(of_rows)

    def _without_noise(self, name: str, rows: NDArray[np.intp], width: Width) -> float:
        measured, noise = width(self.off[name][rows]), self.noise[name][rows]
        return float(np.sqrt(max(measured**2 - np.mean(noise**2), 0.0)))

    def _resampled(self, statistic: Callable[[NDArray[np.intp]], float]) -> Figure:
        def of_images(numbers: Floats) -> float:
            return statistic(np.concatenate([self.parts[int(i)] for i in numbers]))

        return resampled(np.arange(len(self.parts)), of_images, resamplings=self.resamplings)


__all__ = ["Held", "folds_text", "held_out"]
