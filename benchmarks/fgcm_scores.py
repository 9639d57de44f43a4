"""Scores of photometric calibrations against the truth of a simulated survey.

A calibration, whatever made it, is a correction for each measurement (standard magnitude less
instrumental one), errors of the zero points, a verdict on each visit and magnitudes of the stars.
One even offset a band has no meaning without an absolute standard and is taken out first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from fgcm_spectra import true_sensitivity
from numpy.typing import NDArray
from scoring import Figure, pull_width, rms, robust_sigma, share
from scoring import resampled as resampled_often

from drpflow.algorithms.repeatability import about_mean, excess

if TYPE_CHECKING:
    from collections.abc import Callable

    from drpflow.sim.photometric_survey import PhotometricSurvey

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

BRIGHT_ERROR_MAG = 0.005
MIN_STARS = 5
CELL_DEG = 0.1
AEROSOL_NM = 775.0
RESAMPLINGS = 200
MIN_CELL_STARS = 5
DEPTHS_MMAG = (0, 5, 10, 20, 30, 60, 2000)
"""Clouds are counted between these mean depths."""


@dataclass(frozen=True)
class Calibration:
    """What a method made of a survey.

    Parameters
    ----------
    correction
        Standard magnitude less instrumental one of each measurement, NaN where there is none;
        shape (N,).
    zero_point
        Of a star of median colour, averaged over each detector, shape (V, D).
    zero_point_err
        Quoted error of the zero points, shape (V, D); NaN where none is quoted.
    photometric
        Which visits it takes for photometric, shape (V,).
    standard_mag
        Magnitudes of the stars, NaN where there is none; shape (S, B).
    numbers
        Whatever else is worth a line.
    air
        What it says of the air of each night, with errors: ``water`` (natural logarithm of the
        column in mm) and ``aerosols`` (depth at 775 nm), each of shape (nights, 2).
    sensitivity
        κ of each band with its error, shape (bands, 2); empty if none is fitted.
    """

    correction: Floats
    zero_point: Floats
    zero_point_err: Floats
    photometric: Bools
    standard_mag: Floats
    numbers: dict[str, float] = field(default_factory=dict)
    air: dict[str, Floats] = field(default_factory=dict)
    sensitivity: Floats = field(default_factory=lambda: np.zeros((0, 2)))


@dataclass(frozen=True)
class Scores:
    """Samples from which figures are pooled over surveys; magnitudes in mmag.

    Parameters
    ----------
    samples
        Values, one a detector image, visit, star or cell of the sky, by name.
    counts
        Hits and tries by name.
    """

    samples: dict[str, Floats]
    counts: dict[str, tuple[int, int]]


def visit_bands(survey: PhotometricSurvey) -> NDArray[np.int64]:
    """Return the band of each visit."""
    return np.array([e.band for e in survey.exposures])


def score(survey: PhotometricSurvey, calibration: Calibration) -> Scores:
    """Compare a calibration with the truth."""
    samples: dict[str, Floats] = {}
    counts: dict[str, tuple[int, int]] = {}
    error = 1e3 * (calibration.correction - survey.measurements.correction)
    error = error - _band_offsets(survey, error)[visit_bands(survey)[survey.measurements.visit]]
    _zero_points(survey, calibration, error, samples, counts)
    _slopes(survey, error, samples)
    _stars(survey, calibration, samples)
    _repeatability(survey, calibration, samples)
    for name, true in true_air(survey).items():
        found, error = calibration.air.get(name, np.zeros((0, 2))).T
        samples[name] = found - true[: found.size]
        samples[f"pull {name}"] = samples[name] / error
    _sensitivity(survey, calibration, samples)
    _recognised(survey, calibration, counts)
    return Scores(samples, counts)


def _sensitivity(
    survey: PhotometricSurvey, calibration: Calibration, samples: dict[str, Floats]
) -> None:
    """Errors of κ, and their pulls."""
    if not calibration.sensitivity.size:
        return
    true, spread = true_sensitivity(survey).T
    value, error = calibration.sensitivity.T
    for k, band in enumerate(survey.bands):
        samples[f"κ of {band}, true"] = true[k : k + 1]
        samples[f"κ of {band}, spread over the visits"] = spread[k : k + 1]
        samples[f"κ of {band}, fitted"] = value[k : k + 1]
    samples["κ, pulls"] = (value - true) / error


def _recognised(
    survey: PhotometricSurvey, calibration: Calibration, counts: dict[str, tuple[int, int]]
) -> None:
    """Count visits that are called cloudy: rightly, wrongly, and by the depth of the cloud."""
    called, truth = ~calibration.photometric, survey.photometric
    counts["cloudy visits recognised"] = _hits(called, ~truth)
    counts["photometric visits lost"] = _hits(called, truth)
    depth = 1e3 * np.array([e.cloud_mag for e in survey.exposures])
    for low, high in pairwise(DEPTHS_MMAG):
        counts[f"called cloudy, of {low} to {high} mmag"] = _hits(
            called, (depth > low) & (depth <= high)
        )


def true_air(survey: PhotometricSurvey) -> dict[str, Floats]:
    """Return the air of each night at the mean time of its visits, as in :class:`Calibration`."""
    night = np.array([e.night for e in survey.exposures])
    airs = [e.air for e in survey.exposures]
    water = np.log([a.water_mm for a in airs])
    redder = [(AEROSOL_NM / 550.0) ** -a.aerosol_exponent for a in airs]
    aerosols = np.array([a.aerosol_depth for a in airs]) * redder
    number = np.bincount(night)
    return {
        "water": np.bincount(night, water) / number,
        "aerosols": np.bincount(night, aerosols) / number,
    }


def detector_mean(survey: PhotometricSurvey, values: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Return means over the finite values of each visit and detector, and their numbers."""
    m = survey.measurements
    shape = survey.gray_mag.shape
    cell = m.visit.astype(np.int64) * shape[1] + m.detector
    good = np.isfinite(values)
    number = np.bincount(cell[good], minlength=shape[0] * shape[1])
    total = np.bincount(cell[good], values[good], minlength=number.size)
    with np.errstate(invalid="ignore"):
        mean = np.where(number >= MIN_STARS, total / number, np.nan)
    return mean.reshape(shape), number.reshape(shape)


def _band_offsets(survey: PhotometricSurvey, error: Floats) -> Floats:
    """Return the median error of the measurements on photometric detector images, by band."""
    return _offsets_of(survey, detector_mean(survey, error)[0])


def _offsets_of(survey: PhotometricSurvey, mean: Floats) -> Floats:
    """Return medians of the photometric detector images (V, D) in each band."""
    bands = visit_bands(survey)
    offsets = np.zeros(len(survey.bands))
    for band in range(len(survey.bands)):
        found = mean[survey.photometric & (bands == band)]
        if np.isfinite(found).any():
            offsets[band] = np.nanmedian(found)
    return offsets


def _hits(found: Bools, of: Bools) -> tuple[int, int]:
    return int((found & of).sum()), int(of.sum())


def _zero_points(
    survey: PhotometricSurvey,
    calibration: Calibration,
    error: Floats,
    samples: dict[str, Floats],
    counts: dict[str, tuple[int, int]],
) -> None:
    wrong = 1e3 * (calibration.zero_point - survey.zero_point)
    wrong = wrong - _offsets_of(survey, wrong)[visit_bands(survey)][:, None]
    at_stars, _ = detector_mean(survey, error)
    pull = wrong / (1e3 * calibration.zero_point_err)
    _, wanted = detector_mean(survey, survey.measurements.correction)
    for name, visits in (("photometric", survey.photometric), ("cloudy", ~survey.photometric)):
        samples[f"zero point {name}"] = wrong[visits].ravel()
        samples[f"at stars {name}"] = at_stars[visits].ravel()
        samples[f"pull {name}"] = pull[visits].ravel()
        seen = wanted[visits] >= MIN_STARS
        counts[f"detector images calibrated, {name}"] = _hits(np.isfinite(wrong[visits]), seen)
    visit = np.array([np.nanmean(row) if np.isfinite(row).any() else np.nan for row in wrong])
    samples["visit photometric"] = visit[survey.photometric]
    inside = wrong - visit[:, None]
    samples["detector in visit"] = inside[survey.photometric].ravel()


def _slopes(survey: PhotometricSurvey, error: Floats, samples: dict[str, Floats]) -> None:
    """Slopes of the errors with colour, of each photometric visit and of each band."""
    m = survey.measurements
    color = survey.stars.color[m.star]
    good = np.isfinite(error) & survey.photometric[m.visit]
    visit = m.visit[good]
    slopes = _slope_by(visit, color[good], error[good], len(survey.exposures))
    samples["slope visit"] = slopes[survey.photometric]
    band = visit_bands(survey)[visit]
    samples["slope band"] = _slope_by(band, color[good], error[good], len(survey.bands))
    # The red dwarfs and the others apart: what a straight line would hide.
    for name, rows in (("blue", color[good] < 1.2), ("red", color[good] >= 1.2)):
        number = np.bincount(band[rows], minlength=len(survey.bands))
        total = np.bincount(band[rows], error[good][rows], minlength=len(survey.bands))
        samples[f"offset of {name} stars"] = total / np.maximum(number, 1)


def _slope_by(key: NDArray[np.int64], x: Floats, y: Floats, number: int) -> Floats:
    """Return the slopes of straight lines through the points of each key."""
    n, sx, sy = (np.bincount(key, w, minlength=number) for w in (np.ones_like(x), x, y))
    sxx, sxy = (np.bincount(key, w, minlength=number) for w in (x * x, x * y))
    with np.errstate(invalid="ignore", divide="ignore"):
        found = (n * sxy - sx * sy) / (n * sxx - sx**2)
    return np.where(n >= 10 * MIN_STARS, found, np.nan)


def _stars(survey: PhotometricSurvey, calibration: Calibration, samples: dict[str, Floats]) -> None:
    """Errors of bright standard stars, and of their means over cells of the sky."""
    stars = survey.stars
    bright = (stars.amplitude_mag == 0) & (stars.mag < np.percentile(stars.mag, 50))
    seen = _times_seen(survey) >= 3
    cell = _cells(survey)
    errors, cells, noise = [], [], []
    for band in range(len(survey.bands)):
        off = 1e3 * (calibration.standard_mag[:, band] - stars.standard_mag[:, band])
        good = bright & np.isfinite(off) & seen[:, band]
        if not good.any():
            continue
        off = off - np.median(off[good])
        # A star in error by more than this has been spoilt, and is no map of anything.
        good &= np.abs(off) < 5 * robust_sigma(off[good])
        errors.append(off[good])
        number = np.bincount(cell[good], minlength=cell.max() + 1)
        total = np.bincount(cell[good], off[good], minlength=number.size)
        mean = total / np.maximum(number, 1)
        square = np.bincount(cell[good], (off[good] - mean[cell[good]]) ** 2, minlength=number.size)
        full = number >= MIN_CELL_STARS
        cells.append(mean[full])
        noise.append(square[full] / (number[full] * (number[full] - 1)))
    samples["uniformity noise"] = np.concatenate(noise) if noise else np.zeros(0)
    samples["standard star"] = np.concatenate(errors) if errors else np.zeros(0)
    samples["uniformity"] = np.concatenate(cells) if cells else np.zeros(0)


def _times_seen(survey: PhotometricSurvey) -> NDArray[np.int64]:
    m, bands = survey.measurements, len(survey.bands)
    key = m.star.astype(np.int64) * bands + visit_bands(survey)[m.visit]
    return np.bincount(key, minlength=len(survey.stars) * bands).reshape(-1, bands)


def _cells(survey: PhotometricSurvey) -> NDArray[np.int64]:
    """Return the cell of the sky of each star."""
    field_ = survey.config.field
    x = (survey.stars.ra - field_.ra_deg + 180) % 360 - 180
    x = x * np.cos(np.deg2rad(field_.dec_deg)) / CELL_DEG
    y = (survey.stars.dec - field_.dec_deg) / CELL_DEG
    i, j = np.floor(x).astype(int), np.floor(y).astype(int)
    return (i - i.min()) * (j.max() - j.min() + 1) + j - j.min()


def _repeatability(
    survey: PhotometricSurvey, calibration: Calibration, samples: dict[str, Floats]
) -> None:
    """Scatter of bright reserved stars about their means, photometric and cloudy visits apart.

    Means are of photometric visits. Stars that truly vary do not count.
    """
    m, bands = survey.measurements, visit_bands(survey)
    mag = m.mag + calibration.correction
    good = np.isfinite(mag) & survey.stars.reserved[m.star] & (m.mag_err < BRIGHT_ERROR_MAG)
    good &= survey.stars.amplitude_mag[m.star] == 0
    rows = np.flatnonzero(good)
    key = m.star[rows].astype(np.int64) * len(survey.bands) + bands[m.visit[rows]]
    clear = survey.photometric[m.visit[rows]]
    noise = 1e3 * m.mag_err[rows].astype(float)
    off, noise = about_mean(key, 1e3 * mag[rows], noise, clear)
    for name, here in (("photometric", clear), ("cloudy", ~clear)):
        known = here & np.isfinite(off)
        samples[f"repeat {name}"], samples[f"noise {name}"] = off[known], noise[known]


def resampled(values: Floats, statistic: Callable[[Floats], Any]) -> Figure:
    """Return a statistic of values with its interval."""
    return resampled_often(values, statistic, resamplings=RESAMPLINGS)


def pooled(scores: list[Scores], name: str) -> Floats:
    """Return the finite values of a sample of all surveys."""
    values = np.concatenate([s.samples.get(name, np.zeros(0)) for s in scores])
    return values[np.isfinite(values)]


def figures(scores: list[Scores]) -> dict[str, Figure]:
    """Return all figures, pooled over surveys."""
    table: dict[str, Figure] = {}
    for name in ("photometric", "cloudy"):
        values = pooled(scores, f"zero point {name}")
        table[f"zero points, {name} visits, rms"] = resampled(values, rms)
        table[f"zero points, {name} visits, MAD"] = resampled(values, robust_sigma)
        values = pooled(scores, f"at stars {name}")
        table[f"mean error of the stars, {name} visits, rms"] = resampled(values, rms)
    for name in ("photometric", "cloudy"):
        table[f"pull width, {name}"] = resampled(pooled(scores, f"pull {name}"), pull_width)
    table["visits, rms"] = resampled(pooled(scores, "visit photometric"), rms)
    table["detectors about their visit, rms"] = resampled(pooled(scores, "detector in visit"), rms)
    table["colour slope of a visit, rms"] = resampled(pooled(scores, "slope visit"), rms)
    table["colour slope of a band, largest"] = _largest(pooled(scores, "slope band"))
    table["red stars against all, largest"] = _largest(pooled(scores, "offset of red stars"))
    table["standard stars, MAD"] = resampled(pooled(scores, "standard star"), robust_sigma)
    table["uniformity, rms"] = _uniformity(scores)
    for name in ("photometric", "cloudy"):
        table[f"repeatability of reserved stars, {name}"] = resampled(
            pooled(scores, f"repeat {name}"), robust_sigma
        )
        table[f"the same without noise, {name}"] = _intrinsic(scores, name)
    table |= _air(scores)
    for name in [n for n in scores[0].samples if n.startswith("κ of")]:
        table[name] = resampled(pooled(scores, name), np.mean)
    table["κ, pulls, rms"] = resampled(pooled(scores, "κ, pulls"), rms)
    for name in scores[0].counts:
        hits, tries = (sum(s.counts[name][k] for s in scores) for k in (0, 1))
        table[name] = share(hits, tries)
    return table


def _air(scores: list[Scores]) -> dict[str, Figure]:
    """Return how well the air of the nights is known; pulls about zero, as no offset is free."""
    table: dict[str, Figure] = {}
    for name, title in (("water", "water, ln"), ("aerosols", "aerosols, 1000 τ")):
        factor = 1.0 if name == "water" else 1e3
        pulls = pooled(scores, f"pull {name}")
        table[f"{title}, rms"] = resampled(factor * pooled(scores, name), rms)
        table[f"{title}, mean"] = resampled(factor * pooled(scores, name), np.mean)
        table[f"{title}, pulls, rms"] = resampled(pulls, rms)
    return table


def _uniformity(scores: list[Scores]) -> Figure:
    """Return the rms of the cells' means, the noise of their stars taken off in squares."""
    mean, variance = (pooled(scores, name) for name in ("uniformity", "uniformity noise"))

    def statistic(rows: Floats) -> float:
        chosen = rows.astype(int)
        return float(np.sqrt(max(np.mean(mean[chosen] ** 2 - variance[chosen]), 0.0)))

    return resampled(np.arange(mean.size), statistic)


def _largest(values: Floats) -> Figure:
    largest = float(np.abs(values).max(initial=0.0))
    return Figure(largest, largest, largest, values.size)


def _intrinsic(scores: list[Scores], name: str) -> Figure:
    """Return the scatter beyond the noise, which is taken off in squares."""
    repeat = np.concatenate([s.samples[f"repeat {name}"] for s in scores])
    noise = np.concatenate([s.samples[f"noise {name}"] for s in scores])
    if repeat.size < 10:
        return Figure(np.nan, np.nan, np.nan, repeat.size)

    def of_rows(rows: Floats) -> float:
        chosen = rows.astype(int)
        return excess(repeat[chosen], noise[chosen])

    return resampled(np.arange(repeat.size), of_rows)
