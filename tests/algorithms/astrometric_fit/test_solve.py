"""The global astrometric solution finds what a made-up survey was made with."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from drpflow.algorithms.astrometric_fit import StarFlag, solve
from drpflow.config.solve_astrometry import SolveAstrometryConfig
from drpflow.data.astrometric_tables import Observations, Stars
from drpflow.errors import AlgorithmError
from tests.algorithms.astrometric_fit.made_up_survey import (
    MAS_PER_DEG,
    Recipe,
    Survey,
    make_survey,
    wcs_errors_mas,
)

CONFIG = SolveAstrometryConfig()
RECIPE = Recipe(visits=14, stars_per_detector=120)


@cache
def survey() -> Survey:
    return make_survey(RECIPE)


@cache
def solution():
    return run(survey())


def run(made: Survey, config: SolveAstrometryConfig = CONFIG, **more):
    return solve(made.observations, made.visits, made.detectors, made.stars, config, **more)


def keep(made: Survey, rows: np.ndarray) -> Survey:
    return replace(made, observations=made.observations.take(rows))


def with_stars(made: Survey, **changes) -> Survey:
    return replace(made, stars=replace(made.stars, **changes))


def test_maps_are_found_within_their_errors() -> None:
    found = solution()
    rms = np.sqrt(np.mean(wcs_errors_mas(survey(), dict(found.wcs)) ** 2))
    quoted = 1000 * np.sqrt(np.mean(found.images.error_arcsec**2))
    assert rms < 4.0
    assert 0.6 < rms / quoted < 1.6


def test_outliers_are_found_and_hardly_anything_else() -> None:
    bad, rejected = survey().truth.outlier, solution().residuals.rejected
    assert rejected[bad].mean() > 0.95
    assert rejected[~bad].mean() < 0.005


def test_errors_of_motions_are_honest() -> None:
    stars, truth = solution().stars, survey().truth
    take = stars.n_observations >= 4
    for k, (value, true) in enumerate(
        [(stars.pm_ra, truth.pm[:, 0]), (stars.pm_dec, truth.pm[:, 1])], 2
    ):
        pull = ((value - true) / np.sqrt(stars.covariance[:, k, k]))[take]
        assert 0.85 < pull.std() < 1.15
        assert abs(pull.mean()) < 4 / np.sqrt(take.sum())


def test_positions_of_reserved_stars_come_out() -> None:
    stars, truth = solution().stars, survey().truth
    take = survey().stars.reserved & (stars.n_observations >= 5)
    pull = (stars.dec_deg - truth.dec_deg) * MAS_PER_DEG / np.sqrt(stars.covariance[:, 1, 1])
    assert take.sum() > 20
    assert np.median(np.abs(pull[take])) < 1.0
    assert (stars.flag[take] & StarFlag.RESERVED != 0).all()


def test_refraction_and_floor_are_found() -> None:
    found = solution().visits
    pull = (found.dcr - survey().truth.dcr) / found.dcr_error
    assert 0.7 < pull.std() < 1.4
    assert np.median(found.floor_mas) == pytest.approx(RECIPE.turbulence_mas, rel=0.15)


def test_order_of_the_rows_does_not_matter() -> None:
    made, rng = survey(), np.random.default_rng(5)
    visit, star = rng.permutation(len(made.visits)), rng.permutation(len(made.stars))
    to_visit, to_star = np.argsort(visit), np.argsort(star)
    o = made.observations.take(rng.permutation(len(made.observations)))
    columns = {n: getattr(o, n) for n in ("detector", "x", "y", "xx", "xy", "yy")}
    mixed = replace(
        made,
        observations=Observations(star=to_star[o.star], visit=to_visit[o.visit], **columns),
        visits=made.visits.take(visit),
        stars=made.stars.take(star),
    )
    other, found = run(mixed), solution()
    for (v, d), wcs in found.wcs.items():
        same = other.wcs[int(to_visit[v]), d]
        assert same.pixel_to_world_values(3.0, 900.0) == wcs.pixel_to_world_values(3.0, 900.0)
    np.testing.assert_array_equal(other.stars.covariance, found.stars.covariance[star])


def test_two_runs_are_the_same() -> None:
    other, found = run(survey()), solution()
    np.testing.assert_array_equal(other.residuals.dx_mas, found.residuals.dx_mas)
    assert other.history == found.history


def test_without_catalogue_the_solution_is_relative() -> None:
    found = run(replace(survey(), stars=survey().stars.without_reference()))
    assert any("no reference star" in note for note in found.notes)
    assert found.visits.solved.all()
    used = found.residuals.used
    assert np.sqrt(np.mean(found.residuals.dx_mas[used] ** 2)) < 20


def test_what_the_data_leave_open_is_named() -> None:
    held = solution().held
    assert len(held) == 1
    assert "order 0 to 3 that all visits" in held[0]
    alone = run(replace(survey(), stars=survey().stars.without_reference())).held
    assert any("position, rotation, scale" in text for text in alone)


def test_a_visit_on_its_own_is_dropped_and_named() -> None:
    made = survey()
    lonely = made.observations.visit == 3
    others = np.isin(made.observations.star, made.observations.star[lonely])
    found = run(keep(with_stars(made, reference=None), lonely | ~others))
    assert not found.visits.solved[3]
    assert any("visit 103 dropped" in note for note in found.notes)
    assert (3, 0) not in found.wcs
    assert (4, 0) in found.wcs


def test_nothing_in_common_is_an_error() -> None:
    made = survey()
    one = made.observations.visit == 2
    with pytest.raises(AlgorithmError, match="no visit shares"):
        run(keep(with_stars(made, reference=None), one))


def test_a_sparse_detector_gets_a_lower_order() -> None:
    made = survey()
    rng = np.random.default_rng(3)
    stars = rng.permutation(len(made.stars))[:60]
    thin = (made.observations.detector != 1) | np.isin(made.observations.star, stars[:12])
    found = run(keep(made, thin))
    assert any(note.startswith("detector 2: too few stars") for note in found.notes)
    assert all(np.isfinite(found.images.error_arcsec))
    assert any("static map of detector 2: held by priors" in text for text in found.held)


def test_a_wrong_first_wcs_drops_the_visit() -> None:
    made = survey()
    start = {
        key: wcs.with_pointing(wcs.projection.ra_deg + (0.01 if key[0] == 5 else 0), -35.0)
        if key[0] == 5
        else wcs
        for key, wcs in made.truth.wcs.items()
    }
    found = run(made, start=start)
    assert not found.visits.solved[5]
    assert "first WCS" in found.visits.reason[5]
    assert found.visits.solved.sum() == len(made.visits) - 1


def test_a_visit_with_wrong_matches_is_dropped() -> None:
    made, rng = survey(), np.random.default_rng(8)
    o = made.observations
    wrong = o.visit == 6
    x = np.where(wrong, o.x + rng.uniform(-4, 4, len(o)), o.x)
    y = np.where(wrong, o.y + rng.uniform(-4, 4, len(o)), o.y)
    found = run(replace(made, observations=replace(o, x=x, y=y)))
    assert not found.visits.solved[6]
    assert found.visits.solved.sum() == len(made.visits) - 1
    assert "visit 106 dropped" in " ".join(found.notes)


def test_missing_colours_are_said() -> None:
    made = survey()
    color = made.stars.color.copy()
    color[::3] = np.nan
    some = run(with_stars(made, color=color))
    assert any("have no colour" in note for note in some.notes)
    assert (some.stars.flag[::3] & StarFlag.NO_COLOR != 0).all()
    none = run(with_stars(made, color=np.full(color.size, np.nan)))
    assert any("no star has a colour" in note for note in none.notes)
    assert np.abs(none.visits.dcr).max() < 1e-6


def test_a_single_epoch_has_no_motions_of_its_own() -> None:
    made = make_survey(replace(RECIPE, years=0.01))
    found = run(made)
    known = made.stars.reference.known  # type: ignore[union-attr]
    assert np.isnan(found.stars.pm_ra[~known]).all()
    assert np.isnan(found.stars.covariance[~known][:, 2:, 2:]).all()
    assert (found.stars.flag[~known] & StarFlag.NO_MOTION != 0).all()
    assert any("no proper motions" in note for note in found.notes)


def test_duplicates_are_left_out() -> None:
    made = survey()
    n = len(made.observations)
    rows = np.concatenate([np.arange(n), np.arange(40)])
    twice = keep(made, rows)
    shifted = twice.observations.x.copy()
    shifted[n + 20 :] += 1.0
    found = run(replace(twice, observations=replace(twice.observations, x=shifted)))
    assert "20 observations given twice left out" in found.notes
    assert "40 observations of a star at several places of one visit left out" in found.notes
    assert not found.residuals.used[n:].any()


def test_stars_in_a_corner_leave_large_errors_elsewhere() -> None:
    made = survey()
    corner = (made.observations.x < 350) & (made.observations.y < 350)
    found = run(keep(made, corner))
    assert np.median(found.images.error_arcsec) > 3 * np.median(solution().images.error_arcsec)


def test_impossible_rows_are_left_out() -> None:
    made = survey()
    x, xx = made.observations.x.copy(), made.observations.xx.copy()
    x[:5], xx[5:9] = np.nan, 0.0
    found = run(replace(made, observations=replace(made.observations, x=x, xx=xx)))
    assert "9 observations without place or error left out" in found.notes


def test_a_wrong_catalogue_entry_is_not_believed() -> None:
    made = survey()
    reference = made.stars.reference
    assert reference is not None
    often = np.bincount(made.observations.star, minlength=len(made.stars)) >= 8
    victim = int(np.flatnonzero(reference.known & often & ~made.stars.reserved)[0])
    dec = reference.dec_deg.copy()
    dec[victim] += 200 / MAS_PER_DEG
    found = run(with_stars(made, reference=replace(reference, dec_deg=dec)))
    assert found.stars.flag[victim] & StarFlag.REFERENCE_REJECTED
    assert abs(found.stars.dec_deg[victim] - made.truth.dec_deg[victim]) * MAS_PER_DEG < 30


def test_many_parameters_are_solved_without_the_whole_matrix() -> None:
    solver = CONFIG.solver.model_copy(update={"max_dense_parameters": 20})
    found = run(survey(), CONFIG.model_copy(update={"solver": solver}))
    for key in [(0, 0), (7, 3)]:
        here, there = (
            np.array(s.wcs[key].pixel_to_world_values(700.0, 200.0)) for s in (found, solution())
        )
        # Sizes of the terms come from rougher draws; the errors are ten times that.
        assert np.abs(here - there).max() * MAS_PER_DEG < 0.6


def test_columns_fit_the_input() -> None:
    found, made = solution(), survey()
    assert isinstance(made.stars, Stars)
    assert found.residuals.dx_mas.size == len(made.observations)
    assert found.stars.ra_deg.size == len(made.stars)
    assert len(found.images.visit) == len(found.wcs) == len(made.visits) * len(made.detectors)


def test_a_visit_that_loses_its_only_partner_is_dropped_as_well() -> None:
    made, rng = survey(), np.random.default_rng(4)
    o = made.observations
    pair = np.isin(o.visit, (2, 3))
    stars = np.unique(o.star[pair])
    o = o.take(pair | ~np.isin(o.star, stars))
    wrong = o.visit == 3
    x = np.where(wrong, o.x + rng.uniform(-4, 4, len(o)), o.x)
    found = run(replace(with_stars(made, reference=None), observations=replace(o, x=x)))
    # Of two visits, nothing tells which one is wrong.
    assert not found.visits.solved[[2, 3]].any()
    reasons = {found.visits.reason[v] for v in (2, 3)}
    assert "it shares 0 stars with other visits and the catalogue" in reasons
    assert found.visits.solved.sum() == len(made.visits) - 2


def test_a_visit_that_points_elsewhere_is_dropped() -> None:
    made = survey()
    ra = made.visits.ra_deg.copy()
    ra[5] += 180.0
    dec = made.visits.dec_deg.copy()
    dec[5] = 10.0
    found = run(replace(made, visits=replace(made.visits, ra_deg=ra, dec_deg=dec)))
    assert not found.visits.solved[5]
    assert "shares 0 stars" in found.visits.reason[5]
    assert found.visits.solved.sum() == len(made.visits) - 1


def test_a_pointing_that_is_merely_recorded_need_not_be_right() -> None:
    made = survey()
    dec = made.visits.dec_deg.copy()
    dec[4] += 10 / 3600
    start = {key: wcs for key, wcs in made.truth.wcs.items() if key[0] != 4}
    found = run(replace(made, visits=replace(made.visits, dec_deg=dec)), start=start)
    assert found.visits.solved.all()
    assert found.visits.offset_arcsec[4] == pytest.approx(10, abs=0.5)
