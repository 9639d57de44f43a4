"""Quoted errors of the astrometric solution are true; what it leaves open is named."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from drpflow.algorithms.astrometric_fit import AstrometrySolution, normal, solve
from drpflow.config.solve_astrometry import SolveAstrometryConfig
from tests.algorithms.astrometric_fit.made_up_survey import (
    MAS_PER_DEG,
    Recipe,
    Survey,
    make_survey,
    wcs_errors_mas,
)

RECIPE = Recipe(visits=14, stars_per_detector=120)


@cache
def survey(**changes: Any) -> Survey:
    return make_survey(replace(RECIPE, **changes))


def run(made: Survey, **sections: dict[str, Any]) -> AstrometrySolution:
    config = SolveAstrometryConfig.model_validate(sections)
    return solve(made.observations, made.visits, made.detectors, made.stars, config)


def wcs_ratio(made: Survey, found: AstrometrySolution) -> float:
    """Return true over quoted error of the WCSs, rms."""
    true = wcs_errors_mas(made, dict(found.wcs))
    return float(np.sqrt(np.mean(true**2) / np.mean((1e3 * found.images.error_arcsec) ** 2)))


def pulls(made: Survey, found: AstrometrySolution) -> np.ndarray:
    """Return errors of positions over quoted ones, (S, 2)."""
    truth, stars = made.truth, found.stars
    east = (np.mod(stars.ra_deg - truth.ra_deg + 180, 360) - 180) * np.cos(
        np.radians(truth.dec_deg)
    )
    off = np.stack([east, stars.dec_deg - truth.dec_deg], axis=1) * MAS_PER_DEG
    sigma = np.sqrt(np.stack([stars.covariance[:, k, k] for k in (0, 1)], axis=1))
    return np.asarray(off / sigma)


@pytest.mark.parametrize("floor_mas", [1.0, 5.0, 50.0])
def test_errors_do_not_depend_on_the_floor_to_start_with(floor_mas: float) -> None:
    made = survey(turbulence_mas=15.0)
    found = run(made, noise={"floor_mas": floor_mas}, model={"find_sizes": False})
    assert 0.8 < wcs_ratio(made, found) < 1.25


def test_errors_are_right_in_still_air() -> None:
    made = survey(turbulence_mas=0.0)
    assert 0.75 < wcs_ratio(made, run(made)) < 1.3


def test_errors_are_right_without_the_whole_matrix() -> None:
    made = survey()
    found = run(made, solver={"max_dense_parameters": 10})
    assert 0.75 < wcs_ratio(made, found) < 1.3
    whole = run(made)
    ratio = np.median(found.images.error_arcsec) / np.median(whole.images.error_arcsec)
    assert 0.75 < ratio < 1.3


def test_errors_from_some_of_the_stars_are_those_from_all(monkeypatch: pytest.MonkeyPatch) -> None:
    made = survey()
    whole = run(made).images.error_arcsec
    monkeypatch.setattr(normal, "_BUDGET", 1e6)
    monkeypatch.setattr(normal, "_ROWS_PER_PARAMETER", 8.0)
    monkeypatch.setattr(normal, "_CATALOGUE_STARS", 100)
    some = run(made).images.error_arcsec
    assert 0.9 < np.median(some / whole) < 1.3


def without_motions(made: Survey, parallax: bool = False) -> Survey:
    reference = made.stars.reference
    assert reference is not None
    unknown = np.full(len(reference), np.nan)
    changes = {"parallax": unknown} | ({} if parallax else {"pm_ra": unknown, "pm_dec": unknown})
    return replace(made, stars=replace(made.stars, reference=replace(reference, **changes)))


def test_an_old_catalogue_without_motions_ties_no_better_than_it_can() -> None:
    made = without_motions(survey(years=0.1))
    found = run(made)
    assert wcs_ratio(made, found) < 1.4
    reference = made.stars.reference
    assert reference is not None
    known = reference.known & (found.stars.n_observations > 3)
    assert np.abs(pulls(made, found)[known]).mean() < 1.2
    assert (found.stars.flag[known] & 4 != 0).mean() < 0.05
    assert any("have no proper motion there" in note for note in found.notes)


def test_the_mean_parallax_is_in_the_errors_where_nothing_tells_it() -> None:
    made = survey(parallax_mas=3.0, visits=30)
    made = replace(made, stars=made.stars.without_reference())
    found = run(made, stars={"parallax_mas": 3.0})
    take = found.stars.n_observations >= 6
    off = found.stars.parallax[take] - made.truth.parallax[take]
    pull = off / np.sqrt(found.stars.covariance[take, 4, 4])
    assert abs(pull.mean()) < 1.0
    assert any("the mean parallax" in text for text in found.held)
    assert any("parallaxes are about a mean" in note for note in found.notes)


def without_linear(made: Survey, off: np.ndarray) -> np.ndarray:
    """Return offsets of stars, (n, 2), without one linear map of the sky."""
    truth = made.truth
    place = np.column_stack([np.mod(truth.ra_deg + 180, 360) - 180, truth.dec_deg])
    design = np.column_stack([np.ones(len(place)), place - place.mean(axis=0)])
    seen = np.abs(off).max(axis=1) < 500
    return np.asarray(off - design @ np.linalg.lstsq(design[seen], off[seen], rcond=None)[0])


def test_errors_without_catalogue_are_relative() -> None:
    pull = []
    for seed in (1, 2, 3):
        made = survey(seed=seed)
        made = replace(made, stars=made.stars.without_reference())
        found = run(made)
        # Priors of stars, an arc second each, would leave tens of mas of the frame.
        assert np.median(1e3 * found.images.error_arcsec) < 12
        stars, cos = found.stars, np.cos(np.radians(made.truth.dec_deg))
        east = (np.mod(stars.ra_deg - made.truth.ra_deg + 180, 360) - 180) * cos
        off = np.stack([east, stars.dec_deg - made.truth.dec_deg], axis=1) * MAS_PER_DEG
        off = without_linear(made, off)
        sigma = np.sqrt(np.stack([stars.covariance[:, k, k] for k in (0, 1)], axis=1))
        often = (stars.n_observations >= 4) & (stars.flag & 64 == 0)
        pull.append((off / sigma)[often])
    width = np.median(np.abs(np.concatenate(pull))) / 0.6745
    assert 0.7 < width < 1.4


def test_good_rows_are_kept_without_catalogue() -> None:
    made = survey(outlier_mas=100.0)
    found = run(replace(made, stars=made.stars.without_reference()))
    lost = np.asarray(found.residuals.rejected)[~made.truth.outlier]
    assert lost.mean() < 0.002


def test_maps_that_stars_can_take_up_are_named() -> None:
    made = survey(dither_detectors=0.0, rotations_deg=(0.0,))
    made = replace(made, stars=made.stars.without_reference())
    held = " ".join(run(made).held)
    for order in (2, 3, 4):
        assert f"terms of order {order} of all static maps together" in held
    assert "of all static maps" not in " ".join(run(survey()).held)


def test_the_fit_ends_where_nothing_changes() -> None:
    made = make_survey(Recipe())
    found = run(made)
    assert found.converged
    assert found.history[-1].change_mas < 0.02
    assert not any("still changed" in note for note in found.notes)
    short = run(made, solver={"max_passes": 2})
    assert not short.converged
    assert any("still changed after 2 passes" in note for note in short.notes)


def test_the_fit_ends_with_few_stars_a_visit() -> None:
    recipe = Recipe(visits=40, stars_per_detector=8, outliers=0.15, outlier_mas=30.0, years=0.1)
    found = run(make_survey(recipe))
    assert found.converged
    assert found.history[-1].change_mas < 0.02


def test_wrong_entries_of_a_better_catalogue_are_not_believed() -> None:
    made = survey(reference_mas=1.0, turbulence_mas=15.0)
    reference = made.stars.reference
    assert reference is not None
    often = np.bincount(made.observations.star, minlength=len(made.stars)) >= 8
    wrong = np.flatnonzero(reference.known & often & ~made.stars.reserved)[:20]
    dec = reference.dec_deg.copy()
    dec[wrong] += 60 / MAS_PER_DEG
    stars = replace(made.stars, reference=replace(reference, dec_deg=dec))
    found = run(replace(made, stars=stars))
    assert (found.stars.flag[wrong] & 4 != 0).mean() > 0.9


def test_refraction_acts_towards_the_zenith() -> None:
    made = survey()
    zenith = made.truth.dcr / 30.0
    told = replace(made, visits=replace(made.visits, zenith=zenith))
    free, guided = run(made).visits, run(told).visits
    unit = zenith / np.hypot(*zenith.T)[:, None]
    across = np.stack([-unit[:, 1], unit[:, 0]], axis=1)
    known = np.hypot(*zenith.T) > 0.2

    def error(found: Any, axis: np.ndarray) -> float:
        return float(
            np.sqrt(np.mean(((found.dcr - made.truth.dcr) * axis).sum(axis=1)[known] ** 2))
        )

    assert error(guided, across) < 0.7 * error(free, across)
    assert error(guided, unit) < 1.2 * error(free, unit)


def test_sizes_are_found() -> None:
    made = survey(turbulence_mas=0.0)
    found = run(made, model={"detector_order": 6, "visit_order": 4})
    # Orders that are not there all but vanish; static maps are of order 4, visits of order 3.
    assert (found.detector_mas[5:] < 0.5).all()
    assert found.visit_mas[4] < 0.5
    size = RECIPE.distortion_mas / (1 + np.arange(5)) ** 1.5
    np.testing.assert_allclose(found.detector_mas[2:5], size[2:], rtol=0.5)
    # The maps were made over a field larger by 8/7.
    size = RECIPE.visit_mas / (1 + np.arange(4)) ** 1.5 * 0.875 ** np.arange(4)
    np.testing.assert_allclose(found.visit_mas[2:4], size[2:], rtol=0.35)
