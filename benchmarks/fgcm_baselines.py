"""Calibrations that need no global fit: what fgcm has to beat."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from fgcm_scores import MIN_STARS, Calibration, Floats, visit_bands

from drpflow.sim.earth import unit_vector

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.sim.photometric_nights import Exposure
    from drpflow.sim.photometric_survey import PhotometricSurvey

CLIP_SIGMA = 3.0


def median_zero_points(survey: PhotometricSurvey, iterations: int = 4) -> Calibration:
    """Return the median zero point of each detector image against the reference catalogue.

    One colour term a band, common to all visits and detectors, turns the catalogue's magnitudes
    into the camera's; it is fitted together with the zero points. Visits are called cloudy that
    fall short of the band's best by more than the cloud that makes a visit non-photometric, after
    a straight line in airmass.
    """
    m, stars = survey.measurements, survey.stars
    band = visit_bands(survey)[m.visit]
    reference = stars.reference_mag[m.star, band] - m.mag
    color = stars.reference_mag[m.star, 0] - stars.reference_mag[m.star, -1]
    rows = np.flatnonzero(np.isfinite(reference) & np.isfinite(color))
    shape = survey.gray_mag.shape
    cell = m.visit[rows].astype(np.int64) * shape[1] + m.detector[rows]
    center = np.median(color[rows])
    terms = np.zeros(len(survey.bands))
    for _ in range(iterations):
        corrected = reference[rows] - terms[band[rows]] * (color[rows] - center)
        zero_point, error = _medians(cell, corrected, shape[0] * shape[1])
        off = corrected - zero_point[cell]
        for b in range(len(survey.bands)):
            mine = (band[rows] == b) & (np.abs(off) < CLIP_SIGMA * 0.015)
            if mine.sum() > MIN_STARS and np.ptp(color[rows][mine]) > 0:
                terms[b] += np.polyfit(color[rows][mine], off[mine], 1)[0]
    points = zero_point.reshape(shape)
    correction = points[m.visit, m.detector]
    return Calibration(
        correction,
        points,
        error.reshape(shape),
        _clear(survey, points),
        mean_magnitudes(survey, correction),
        {f"colour term {name}": float(t) for name, t in zip(survey.bands, terms, strict=True)},
    )


def _medians(cell: NDArray[np.int64], values: Floats, number: int) -> tuple[Floats, Floats]:
    """Return the median of each cell and its error; NaN with fewer than `MIN_STARS` values."""
    median, error = np.full(number, np.nan), np.full(number, np.nan)
    order = np.argsort(cell, kind="stable")
    bounds = np.searchsorted(cell[order], np.arange(number + 1))
    for k in range(number):
        mine = values[order[bounds[k] : bounds[k + 1]]]
        if mine.size >= MIN_STARS:
            median[k] = np.median(mine)
            spread = 1.4826 * np.median(np.abs(mine - median[k]))
            error[k] = 1.2533 * spread / np.sqrt(mine.size)
    return median, error


def _clear(survey: PhotometricSurvey, zero_point: Floats) -> NDArray[np.bool_]:
    """Return which visits lie within 20 mmag of the upper envelope of their band."""
    known = np.isfinite(zero_point).any(axis=1)
    visit = np.full(len(zero_point), np.nan)
    visit[known] = np.nanmedian(zero_point[known], axis=1)
    airmass = np.array([_airmass(e) for e in survey.exposures])
    clear = np.isfinite(visit)
    for band in range(len(survey.bands)):
        rows = np.flatnonzero(np.isfinite(visit) & (visit_bands(survey) == band))
        if rows.size < MIN_STARS:
            continue
        kept = np.ones(rows.size, bool)
        off = np.zeros(rows.size)
        for _ in range(6):
            line = np.polyfit(airmass[rows[kept]], visit[rows[kept]], 1)
            off = visit[rows] - np.polyval(line, airmass[rows])
            kept = off > -0.02
        clear[rows] = kept
    return clear


def _airmass(exposure: Exposure) -> float:
    toward = unit_vector(np.array(exposure.ra_deg), np.array(exposure.dec_deg))
    return float(exposure.airmass(toward))


def mean_magnitudes(survey: PhotometricSurvey, correction: Floats) -> Floats:
    """Return weighted means of the corrected magnitudes, outliers beyond 5 sigma left out."""
    m, bands = survey.measurements, len(survey.bands)
    key = m.star.astype(np.int64) * bands + visit_bands(survey)[m.visit]
    mag = m.mag + correction
    good = np.isfinite(mag)
    weight = np.where(good, 1.0 / (m.mag_err.astype(float) ** 2 + 0.003**2), 0.0)
    mean = np.full(len(survey.stars) * bands, np.nan)
    for _ in range(3):
        used = good & (weight > 0)
        total = np.bincount(key[used], weight[used], minlength=mean.size)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.bincount(key[used], weight[used] * mag[used], minlength=mean.size) / total
        off = np.abs(mag - mean[key]) / np.hypot(m.mag_err, 0.003)
        good &= ~(off > 5)
    return mean.reshape(-1, bands)
