"""A later visit with the static maps of an earlier solution, against the truth."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import cache

import numpy as np
import pytest

from drpflow.algorithms.astrometric_fit import StarFlag, solve
from drpflow.algorithms.solved_reference import held_maps
from drpflow.config.solve_astrometry import SolveAstrometryConfig
from drpflow.data.astrometric_tables import ReferenceAstrometry
from tests.algorithms.astrometric_fit.made_up_survey import Recipe, make_survey, wcs_errors_mas

CONFIG = SolveAstrometryConfig()
SURVEY = make_survey(Recipe(visits=12, stars_per_detector=80, seed=5))
NEW = np.array([11])


def fit(rows, stars=SURVEY.stars, held=(), config=CONFIG):
    """Return a solution of some visits, and the rms error of each WCS of the last one."""
    o = SURVEY.observations
    seen = np.isin(o.visit, rows)
    part = o.take(np.flatnonzero(seen))
    part = replace(part, visit=np.searchsorted(rows, part.visit))
    columns = {f.name: getattr(SURVEY.visits, f.name) for f in fields(SURVEY.visits)}
    columns = {
        n: c[rows] if isinstance(c, np.ndarray) and len(c) == len(SURVEY.visits) else c
        for n, c in columns.items()
    }
    made = solve(part, type(SURVEY.visits)(**columns), SURVEY.detectors, stars, config, held=held)
    wcs = {(int(rows[v]), d): item for (v, d), item in made.wcs.items() if rows[v] in NEW}
    return made, wcs_errors_mas(SURVEY, wcs)


@cache
@cache
def before():
    return fit(np.arange(11))[0]


@cache
def tied():
    """The stars, with the places of the visits before."""
    s = before().stars
    unfit = (s.flag & int(StarFlag.VARIABLE | StarFlag.NO_OBSERVATION)) > 0
    names = ("ra_deg", "dec_deg", "pm_ra", "pm_dec", "parallax")
    values = [np.where(unfit, np.nan, getattr(s, name)) for name in names]
    epoch = np.full(len(unfit), s.epoch_mjd)
    return replace(SURVEY.stars, reference=ReferenceAstrometry(*values, s.covariance, epoch))


@cache
def maps():
    images, solution = before().images, before()
    found = {}
    for row in np.argsort(-images.error_arcsec):
        v, d = int(images.visit[row]), int(images.detector[row])
        number = int(SURVEY.detectors.id[d])
        mjd = float(SURVEY.visits.mjd[v])
        found[number] = (number, mjd, float(images.error_arcsec[row]), solution.wcs[v, d])
    return held_maps(found.values())


def rms(errors: np.ndarray) -> float:
    return float(np.sqrt(np.mean(errors**2)))


def test_a_visit_comes_out_as_in_a_fit_of_all_visits() -> None:
    _, refit = fit(np.arange(12))
    _, by_stars = fit(NEW, tied())
    extended, held = fit(NEW, tied(), maps())
    # Four detectors of 80 stars, turbulence of 5 mas: two to four mas for both coordinates.
    assert rms(held) < 1.4 * rms(refit)
    assert rms(held) < 0.8 * rms(by_stars)
    quoted = 1e3 * rms(extended.images.error_arcsec)
    assert 0.5 < rms(held) / quoted < 2.0
    assert "static maps of 4 detectors: held" in " ".join(extended.held)
    assert not [note for note in extended.notes if "earlier solution" in note]


@pytest.mark.parametrize("change_mas", [50.0, 500.0])
def test_a_changed_instrument_is_found_anew_and_told(change_mas: float) -> None:
    """In a sense that differs from detector to detector: no map of the visit can take it up."""
    changed = []
    for k, item in enumerate(maps()):
        more = item.polynomial.coefficients.copy()
        more[k % 2, 3] += change_mas / 3.6e6
        changed.append(replace(item, polynomial=replace(item.polynomial, coefficients=more)))
    made, errors = fit(NEW, tied(), tuple(changed))
    np.testing.assert_array_equal(errors, fit(NEW, tied())[1])
    (note,) = [note for note in made.notes if "earlier solution" in note]
    assert "epochs_mjd" in note


def test_maps_of_another_epoch_order_or_detector_say_nothing() -> None:
    _, wanted = fit(NEW, tied())
    elsewhere = tuple(replace(item, detector=item.detector + 50) for item in maps())
    np.testing.assert_array_equal(fit(NEW, tied(), elsewhere)[1], wanted)
    between = float(SURVEY.visits.mjd[10:].mean())
    later = CONFIG.model_copy(
        update={"model": CONFIG.model.model_copy(update={"epochs_mjd": (between,)})}
    )
    np.testing.assert_array_equal(
        fit(NEW, tied(), maps(), later)[1], fit(NEW, tied(), (), later)[1]
    )
    lower = CONFIG.model_copy(
        update={"model": CONFIG.model.model_copy(update={"detector_order": 2})}
    )
    np.testing.assert_array_equal(
        fit(NEW, tied(), maps(), lower)[1], fit(NEW, tied(), (), lower)[1]
    )
