"""solveAstrometry: what a run is given becomes WCSs, stars, visits and residuals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from drpflow.config.solve_astrometry_task import SolveAstrometryTaskConfig
from drpflow.data.star_color import ColorMeaning
from drpflow.errors import AlgorithmError
from drpflow.io.schemas import load_schema
from drpflow.tasks.solve_astrometry import Solved, first_of, nothing, solve_astrometry
from tests.tasks.astrometric_run import (
    NOISE_PIX,
    SCALE_ARCSEC,
    SmallAstrometry,
    small_astrometry,
)

CONFIG = SolveAstrometryTaskConfig()
NOISE_MAS = 1e3 * SCALE_ARCSEC * NOISE_PIX


@pytest.fixture(scope="module")
def given() -> SmallAstrometry:
    return small_astrometry()


@pytest.fixture(scope="module")
def solved(given: SmallAstrometry) -> Solved:
    return solve_astrometry(given.survey, CONFIG)


def test_wcs_of_every_detector_of_every_visit(given: SmallAstrometry, solved: Solved) -> None:
    assert solved.problem is None
    assert {(v, d) for v, table in solved.wcs.items() for d in table.rows} == set(given.wcs)
    errors, stated = [], []
    for visit, detector in given.wcs:
        table = solved.wcs[visit]
        wcs = table.component("wcs", detector)
        errors.append(np.sqrt(np.mean(given.errors_mas(visit, detector, wcs) ** 2)))
        stated.append(1e3 * table.columns["wcs_error"][list(table.rows).index(detector)])
    # 280 stars of 3 mas make the 20 terms of a visit, 430 the 30 of a detector.
    assert np.sqrt(np.mean(np.square(errors))) < 3.0
    assert 0.6 < np.sqrt(np.mean(np.square(errors))) / np.sqrt(np.mean(np.square(stated))) < 1.6


def test_columns_fit_their_schemas(solved: Solved) -> None:
    for name in ("stars", "visits", "residuals"):
        wanted = {c.name for c in load_schema(f"solved_astrometry_{name}").columns} - {"skypix"}
        assert set(getattr(solved, name)) == wanted
    table = next(iter(solved.wcs.values()))
    wanted = {c.name for c in load_schema("solved_astrometry_wcs").columns}
    assert set(table.columns) == wanted - {"visit", "skypix", "detector", "sip_header", "sip_error"}


def test_stars_stand_where_they_are(given: SmallAstrometry, solved: Solved) -> None:
    stars, ids = solved.stars, given.survey.stars.id
    assert (np.diff(stars["isolated_star_id"]) > 0).all()
    row = np.searchsorted(ids, stars["isolated_star_id"])
    np.testing.assert_array_equal(stars["reserved"], given.survey.stars.reserved[row])
    # The stars do not move: their places at any epoch are the true ones.
    off = 3.6e6 * (stars["dec"] - given.dec_deg[row])
    good = stars["n_good"] >= 4
    pull = off[good] / stars["dec_err"][good]
    assert 0.8 < np.std(pull) < 1.2
    assert abs(np.mean(pull)) < 0.2
    assert (stars["reference_id"] > 0).sum() == pytest.approx(len(ids) / 3, abs=5)
    known = np.isfinite(stars["pm_ra_err"])
    assert known.any()
    assert (np.abs(stars["ra_pm_ra_corr"][known]) <= 1).all()


def test_what_was_not_fitted_has_no_error(given: SmallAstrometry) -> None:
    config = CONFIG.model_copy(update={"stars": CONFIG.stars.model_copy(update={"motions": False})})
    found = solve_astrometry(replace(given.survey, references=None), config).stars
    for name in ("pm_ra", "pm_dec", "parallax"):
        assert np.isnan(found[name]).all()
        assert np.isnan(found[f"{name}_err"]).all()
    assert np.isnan(found["ra_pm_ra_corr"]).all()
    assert np.isfinite(found["ra_dec_corr"]).all()
    assert np.isfinite(found["ra_err"]).all()


def test_residuals_before_and_after(given: SmallAstrometry, solved: Solved) -> None:
    r = solved.residuals
    key = np.stack([r["isolated_star_id"], r["visit"], r["detector"]])
    assert key.shape[1] == len(given.survey.observations)
    assert (np.lexsort(key[::-1]) == np.arange(key.shape[1])).all()
    used = r["used"] & ~r["rejected"]
    assert used.mean() > 0.95
    after = np.sqrt(np.mean(r["dx"][used] ** 2))
    assert 0.6 * NOISE_MAS < after < 1.1 * NOISE_MAS
    # The first WCSs lack bends of 50 mas a term.
    before = np.sqrt(np.mean(r["initial_dx"][used] ** 2 + r["initial_dy"][used] ** 2))
    assert before > 30


def test_stars_beyond_the_piece_count_and_are_not_written(given: SmallAstrometry) -> None:
    owned = np.arange(len(given.survey.stars)) % 2 == 0
    found = solve_astrometry(replace(given.survey, owned=owned), CONFIG)
    mine = given.survey.stars.id[owned]
    assert found.stars["isolated_star_id"].tolist() == mine.tolist()
    assert set(found.residuals["isolated_star_id"]) <= set(mine.tolist())
    assert found.numbers["n_observations"] == len(given.survey.observations)


def test_a_visit_without_time_or_pointing_is_named(given: SmallAstrometry) -> None:
    visits = list(given.survey.visits)
    visits[2] = replace(visits[2], info=replace(visits[2].info, mjd=None))
    unreadable = {99: "it cannot be read"}
    found = solve_astrometry(replace(given.survey, visits=visits, unreadable=unreadable), CONFIG)
    assert found.problem is not None
    assert "visit 22: its time is unknown" in found.problem.message
    assert set(found.wcs) == {v for v, _ in given.wcs} | {99}
    assert found.wcs[22].rows[0].missing["wcs"] == "its time is unknown"
    assert found.wcs[99].rows.keys() == found.wcs[21].rows.keys()
    assert {row.missing["wcs"] for row in found.wcs[99].rows.values()} == {"it cannot be read"}
    assert found.wcs[21].component("wcs", 0) is not None
    assert found.numbers["n_lost_visits"] == 2
    # Its detections took no part.
    assert 22 not in found.residuals["visit"]
    # All visits stand in the table, those that could not be read without time and band.
    v = found.visits
    assert v["visit"].tolist() == [*range(20, 26), 99]
    assert dict(zip(v["visit"], v["reason"], strict=True))[99] == "it cannot be read"
    assert v["solved"].tolist() == [True, True, False, True, True, True, False]
    assert v["band"].tolist() == [*"grigri", ""]
    assert np.isnan(v["mjd"][[2, 6]]).all()
    assert (v["group"][[2, 6]] == -1).all()


def test_colors_of_other_bands_have_their_own_middle(given: SmallAstrometry) -> None:
    """The middle is that of the run: all its pieces hold for one star."""
    run = replace(given.survey, color=ColorMeaning(("g", "r"), 0.55))
    found = solve_astrometry(run, CONFIG)
    assert "colours are g - r: WCSs hold for a star of 0.55" in str(found.numbers["notes"])
    assert found.reference_color == 0.55
    half = np.arange(len(run.stars)) % 2 == 0
    redder = np.where(half, run.stars.color + 1.0, np.nan)
    piece = replace(run, stars=replace(run.stars, color=redder))
    assert solve_astrometry(piece, CONFIG).reference_color == 0.55


def test_colors_of_unknown_bands_are_told(given: SmallAstrometry, solved: Solved) -> None:
    found = solve_astrometry(replace(given.survey, color=ColorMeaning()), CONFIG)
    assert "they are taken for g - i" in str(found.numbers["notes"])
    assert solved.reference_color == found.reference_color == 0.78
    assert "taken for" not in str(solved.numbers.get("notes"))


def test_no_stars_no_visits(given: SmallAstrometry) -> None:
    none = np.zeros(0, np.intp)
    survey = given.survey
    without = replace(
        survey,
        observations=survey.observations.take(none),
        stars=replace(survey.stars, **{
            name: getattr(survey.stars, name)[none]
            for name in ("id", "ra_deg", "dec_deg", "color", "reserved")
        }),
        owned=survey.owned[none],
        references=None,
    )  # fmt: skip
    with pytest.raises(AlgorithmError, match="no visit can be solved"):
        solve_astrometry(without, CONFIG)
    with pytest.raises(AlgorithmError, match="no visit can be solved"):
        solve_astrometry(replace(survey, visits=[], observations=without.observations), CONFIG)


def test_the_products_of_a_failure(given: SmallAstrometry) -> None:
    made = nothing([5, 6], [1, 2], "why")
    assert set(made.wcs) == {5, 6}
    assert made.wcs[5].rows[2].missing == {"wcs": "why"}
    assert made.visits["reason"].tolist() == ["why", "why"]
    assert not made.visits["solved"].any()
    assert not made.stars


def test_many_sentences_are_cut() -> None:
    sentences = [f"note {k}" for k in range(13)]
    assert first_of(sentences, 10) == [*sentences[:10], "and 3 more"]
    assert first_of(sentences[:10], 10) == sentences[:10]
    assert first_of([], 10) == []


def test_a_fit_that_has_not_settled_says_so(given: SmallAstrometry, solved: Solved) -> None:
    solver = CONFIG.solver.model_copy(update={"max_passes": 2})
    found = solve_astrometry(given.survey, CONFIG.model_copy(update={"solver": solver}))
    sentence = "positions still changed after 2 passes"
    assert any(sentence in note for note in found.notes)
    assert sentence in str(found.numbers["notes"])
    assert not any("positions still changed" in note for note in solved.notes)
