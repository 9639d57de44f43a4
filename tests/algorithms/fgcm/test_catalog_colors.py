"""Colours of a survey in one band are those of the catalogue."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from drpflow.algorithms.fgcm import calibrate
from drpflow.algorithms.fgcm.slopes import slopes_of_stars, spectral_slopes
from drpflow.algorithms.photometric_products import flags_of
from drpflow.data.photometric_tables import Stars, Visits

from .made_up_survey import BANDS, MadeUpSurvey, made_up_survey

ONE_BAND = 128
CENTERS_NM = {"g": 475.0, "i": 755.0}


def in_r_alone(survey: MadeUpSurvey) -> MadeUpSurvey:
    """Return the visits in r, with the catalogue's g and i beside."""
    band = BANDS.index("r")
    v, s, o = survey.visits, survey.stars, survey.observations
    rows = np.flatnonzero(v.band == band)
    number = np.full(len(v), -1)
    number[rows] = np.arange(rows.size)
    names = [n for n in v.__dataclass_fields__ if n not in ("bands", "band", "detector_airmass")]
    names = [n for n in names if not n.startswith("physical")]
    columns = {n: getattr(v, n)[rows] for n in names}
    visits = Visits(bands=("r",), band=np.zeros(rows.size, int), **columns)
    kept = number[o.visit] >= 0
    part = o.take(kept)
    true = survey.true_mag[:, [BANDS.index(b) for b in CENTERS_NM]]
    known = np.isfinite(s.reference_mag[:, [band]])
    stars = replace(
        s,
        reference_mag=s.reference_mag[:, [band]],
        reference_err=s.reference_err[:, [band]],
        color_mag=np.where(known, true, np.nan),
        color_wavelength_nm=np.array([*CENTERS_NM.values()]),
    )
    return replace(
        survey,
        observations=replace(part, visit=number[part.visit]),
        visits=visits,
        stars=stars,
        true_mag=survey.true_mag[:, [band]],
        correction=survey.correction[kept],
        cloudy=survey.cloudy[rows],
    )


@pytest.fixture(scope="module")
def survey() -> MadeUpSurvey:
    return in_r_alone(made_up_survey(5, nights=4, per_night=12, stars_per_detector=40))


def colored_scatter(survey: MadeUpSurvey, stars: Stars) -> tuple[float, int]:
    """Return how magnitudes of stars in the catalogue scatter with colour, and the flags."""
    o = survey.observations
    found = calibrate(o, survey.visits, survey.detectors, stars, survey.table, survey.config)
    true = survey.true_mag[o.star, 0] - survey.correction
    off = found.calibrated(replace(o, mag=true)) - survey.true_mag[o.star, 0]
    known = np.isfinite(survey.stars.color_mag[o.star]).all(axis=1) & ~survey.cloudy[o.visit]
    color = survey.stars.color_mag[o.star, 0] - survey.stars.color_mag[o.star, 1]
    color = color - color[known].mean()
    image = o.visit * len(survey.detectors) + o.detector
    slopes = [
        np.polyfit(color[rows], off[rows], 1)[0]
        for rows in (np.flatnonzero(known & (image == g)) for g in np.unique(image[known]))
        if rows.size > 10
    ]
    return float(np.std(slopes)), int(flags_of(found).min())


def test_the_chromatic_terms_of_one_band_are_found_by_the_catalog(survey):
    with_colors, flag = colored_scatter(survey, survey.stars)
    plain = replace(survey.stars, color_mag=None, color_wavelength_nm=None)
    without, flag_without = colored_scatter(survey, plain)
    assert with_colors < 0.5 * without
    assert flag & ONE_BAND == 0
    assert flag_without & ONE_BAND > 0


def test_own_colors_come_first():
    mags = np.array([[18.0, 17.5], [18.0, np.nan], [np.nan, np.nan]])
    nm, sensitivity = np.array([480.0, 620.0]), np.ones(2)
    color_mag = np.array([[15.0], [17.0], [17.0]])
    n = len(mags)
    reference = np.array([[17.0, 16.8], [18.0, 17.9], [np.nan, np.nan]])
    stars = Stars(
        np.arange(n),
        np.zeros(n),
        np.zeros(n),
        np.zeros(n, bool),
        reference,
        0.01 + 0 * reference,
        color_mag,
        np.array([760.0]),
    )
    own, _ = spectral_slopes(mags, nm, sensitivity, 0.5)
    slope, measured = slopes_of_stars(stars, mags, nm, sensitivity, 0.5)
    np.testing.assert_allclose(slope[0], own[0])
    assert measured.tolist() == [[True, True], [True, True], [False, False]]
    catalog, _ = spectral_slopes(
        np.hstack([reference, color_mag]), np.array([480.0, 620.0, 760.0]), np.ones(3), 0.5
    )
    np.testing.assert_allclose(slope[1], catalog[1, :2])
