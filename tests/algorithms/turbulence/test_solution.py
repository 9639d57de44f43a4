from dataclasses import replace

import numpy as np
import pytest

from drpflow.algorithms.astrometric_fit import solve
from drpflow.algorithms.turbulence import solution as module
from drpflow.algorithms.turbulence.process import GriddedField
from drpflow.algorithms.turbulence.solution import (
    TurbulenceSolution,
    VisitTurbulence,
    solve_with_turbulence,
)
from drpflow.algorithms.turbulence.spectrum import Spectrum
from drpflow.config.solve_astrometry import SolveAstrometryConfig
from drpflow.data.displacement_map import TURBULENCE
from drpflow.data.sky_wcs import SkyWcs
from tests.algorithms.astrometric_fit.made_up_survey import PIXEL_MAS, Recipe, Survey, make_survey
from tests.algorithms.turbulence.fields import drawn

CONFIG = SolveAstrometryConfig.model_validate(
    {"method": "turbulence", "model": {"detector_order": 3, "visit_order": 3}}
)


@pytest.fixture(scope="module")
def survey() -> Survey:
    return make_survey(Recipe(visits=6, outliers=0.0, turbulence_mas=1.0))


def tables(survey: Survey) -> tuple:
    return survey.observations, survey.visits, survey.detectors, survey.stars


def pixels_of(wcs: SkyWcs) -> np.ndarray:
    x, y = np.meshgrid(np.linspace(0, 999, 4), np.linspace(0, 999, 4))
    return np.stack(wcs.pixel_to_world_values(x, y))


def test_a_later_round_that_keeps_nothing_leaves_nothing_taken_off(
    survey: Survey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the first round took off the pixels must not be in a solution without that stage."""
    field = GriddedField((-1.0, -1.0), 0.2, np.full((2, 11, 11), 30.0), 1)
    kept = VisitTurbulence(None, 0.5, field, np.zeros(0, np.int64), np.zeros((2, 0)))
    rounds = [[kept], []]

    def find(*args: object) -> tuple[VisitTurbulence, ...]:
        none = VisitTurbulence(None, 0.0, None, None, None)
        given = rounds.pop(0)
        return (*given, *[none] * (len(survey.visits) - len(given)))

    monkeypatch.setattr(module, "find_turbulence", find)
    found = solve_with_turbulence(*tables(survey), CONFIG)
    plain = solve(*tables(survey), CONFIG)
    assert not rounds
    assert any("in none of" in note for note in found.notes)
    for key, wcs in plain.wcs.items():
        assert TURBULENCE not in found.wcs[key].stage_names
        assert np.array_equal(pixels_of(found.wcs[key]), pixels_of(wcs))
    assert np.array_equal(found.residuals.dx_mas, plain.residuals.dx_mas, equal_nan=True)


def test_an_even_displacement_is_taken_up_by_its_stage(
    survey: Survey, monkeypatch: pytest.MonkeyPatch
) -> None:
    field = GriddedField((-1.0, -1.0), 0.2, np.full((2, 11, 11), 30.0), 1)
    kept = VisitTurbulence(None, 0.5, field, np.zeros(0, np.int64), np.zeros((2, 0)))
    none = VisitTurbulence(None, 0.0, None, None, None)
    found = [kept, *[none] * (len(survey.visits) - 1)]
    monkeypatch.setattr(module, "find_turbulence", lambda *_: tuple(found))
    config = CONFIG.model_copy(
        update={"turbulence": CONFIG.turbulence.model_copy(update={"rounds": 1})}
    )
    moved, plain = solve_with_turbulence(*tables(survey), config), solve(*tables(survey), config)
    assert TURBULENCE in moved.wcs[0, 0].stage_names
    # The visit's map has taken up the opposite: the whole is what it was.
    off = (pixels_of(moved.wcs[0, 0]) - pixels_of(plain.wcs[0, 0])) * 3.6e6
    assert np.abs(off).max() < 3.0


def test_visits_of_few_stars_are_judged_with_all() -> None:
    squares = np.array([[100.0, 80.0], [100.0, 80.0], [5.0, 6.0], [0.0, 0.0]])
    gains = module._gains(squares, {0: 1000, 1: 1000, 2: 10})
    assert gains[0] == pytest.approx(0.2, abs=0.01)
    assert 0.1 < gains[2] < 0.2
    worse = module._gains(squares[:, ::-1], {0: 1000, 1: 1000, 2: 10})
    assert max(worse.values()) < 0


@pytest.fixture(scope="module")
def windy() -> Survey:
    """A survey whose visits have turbulence of 8 mas over 2 arcmin."""
    still = make_survey(
        Recipe(
            visits=5, outliers=0.0, turbulence_mas=0.3, stars_per_detector=100, references=1.0,
            reserved=0.2,
        )
    )  # fmt: skip
    obs, spectrum = still.observations, Spectrum(8.0, 0.033, curl_fraction=0.1)
    moved = np.zeros((2, len(obs)))
    for v in range(len(still.visits)):
        field = drawn(spectrum, 0.2, v)
        for d in range(len(still.detectors)):
            rows = np.flatnonzero((obs.visit == v) & (obs.detector == d))
            moved[:, rows] = field.at(*still.detectors.field(d, obs.x[rows], obs.y[rows]))
    return replace(still, observations=module._corrected(obs, still.detectors, -moved))


@pytest.fixture(scope="module")
def quiet(windy: Survey) -> TurbulenceSolution:
    return solve_with_turbulence(*tables(windy), CONFIG)


def test_reserved_stars_come_nearer(windy: Survey, quiet: TurbulenceSolution) -> None:
    plain, obs = solve(*tables(windy), CONFIG), windy.observations
    assert all(item.kept for item in quiet.turbulence)
    rows = windy.stars.reserved[obs.star] & plain.residuals.used & quiet.residuals.used
    rows &= PIXEL_MAS * np.sqrt(obs.xx) < 4.0
    variance = [
        np.mean(s.residuals.dx_mas[rows] ** 2 + s.residuals.dy_mas[rows] ** 2)
        for s in (plain, quiet)
    ]
    assert rows.sum() > 30
    assert variance[0] > 1.5 * variance[1]
    sizes = [item.spectrum.rms_mas for item in quiet.turbulence if item.spectrum]
    assert np.median(sizes) == pytest.approx(8.0, rel=0.4)


def test_stated_errors_are_those_with_the_turbulence_in(
    windy: Survey, quiet: TurbulenceSolution
) -> None:
    """What is found of the turbulence is not known without error."""
    plain = solve(*tables(windy), CONFIG)
    assert np.array_equal(quiet.images.error_arcsec, plain.images.error_arcsec)
    fewer = replace(plain.images, **{n: getattr(plain.images, n)[1:] for n in vars(plain.images)})
    known = module._with_errors_of(fewer, replace(plain.images, error_arcsec=np.arange(20.0)))
    assert known.error_arcsec[0] == 0.0
    assert np.array_equal(known.error_arcsec[1:], plain.images.error_arcsec[1:])


def test_the_order_of_the_rows_does_not_matter(windy: Survey, quiet: TurbulenceSolution) -> None:
    shuffled = np.random.default_rng(1).permutation(len(windy.observations))
    turned = replace(windy, observations=windy.observations.take(shuffled))
    other = solve_with_turbulence(*tables(turned), CONFIG)
    assert [t.kept for t in quiet.turbulence] == [t.kept for t in other.turbulence]
    for key in quiet.wcs:
        assert np.array_equal(pixels_of(quiet.wcs[key]), pixels_of(other.wcs[key]))


def test_scatter_without_coherence_is_left_alone() -> None:
    survey = make_survey(Recipe(visits=5, outliers=0.0, turbulence_mas=2.0))
    config = SolveAstrometryConfig.model_validate(
        {"method": "turbulence", "turbulence": {"rounds": 1}}
    )
    whole = solve_with_turbulence(*tables(survey), config)
    assert not any(item.kept for item in whole.turbulence)
    assert all(abs(item.gain) < 0.03 for item in whole.turbulence)


def test_patches_far_smaller_than_the_distance_of_stars_are_not_tried(
    survey: Survey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would need an endless grid, and tell of no other star."""
    monkeypatch.setattr(module, "fit_spectrum", lambda *_, **__: Spectrum(5.0, 1e-5))
    whole = solve_with_turbulence(*tables(survey), CONFIG)
    assert not any(item.kept for item in whole.turbulence)
