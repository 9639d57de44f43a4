"""How the cycles end, and what they tell when they end badly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from drpflow.algorithms.fgcm import calibrate
from drpflow.algorithms.fgcm.cycles import MAX_HALVINGS
from drpflow.algorithms.fgcm.layout import Layout
from drpflow.algorithms.fgcm.model import LEAST_TAU, Model
from drpflow.algorithms.fgcm.rows import build_rows
from drpflow.algorithms.fgcm.solver import Problem
from drpflow.config.fgcm import FgcmConfig

from .made_up_survey import MadeUpSurvey, made_up_survey


@pytest.fixture(scope="module")
def survey() -> MadeUpSurvey:
    return made_up_survey(5, nights=3, per_night=6, stars_per_detector=30)


def notes_of(survey: MadeUpSurvey, values: dict) -> tuple[str, ...]:
    return calibrate(*survey.tables, FgcmConfig.model_validate(values)).notes


def test_a_fit_that_settles_says_nothing(survey):
    found = calibrate(*survey.tables, survey.config)
    assert found.history[-1].change_mag < survey.config.tolerance_mag
    assert max(cycle.halvings for cycle in found.history) < MAX_HALVINGS
    assert not any("converged" in note for note in found.notes)


def test_cycles_that_end_too_early_are_told(survey):
    notes = notes_of(survey, {"max_cycles": 2, "min_cycles": 2, "tolerance_mag": 1e-7})
    told = [note for note in notes if "has not converged in 2 cycles" in note]
    assert len(told) == 1
    assert "mmag rms" in told[0]


def test_a_step_that_finds_no_lower_chi_square_is_told(survey, monkeypatch):
    monkeypatch.setattr(Problem, "chi2", lambda *_: np.inf)
    found = calibrate(*survey.tables, survey.config)
    # Nothing moves, which must not pass for having settled.
    assert len(found.history) == survey.config.max_cycles
    assert found.history[-1].halvings == MAX_HALVINGS
    told = f"no step of cycle {survey.config.max_cycles} lowered chi-square"
    assert any(told in note for note in found.notes)


def test_less_extinction_than_that_of_clean_air(survey):
    """A night that wants less than no aerosols is held at none: it settles, and is told.

    0.03 mag an airmass (r) less than the air has; one night has aerosols of 0.015 only.
    """
    seen = survey.observations
    slope = np.array([0.045, 0.03, 0.018])[survey.visits.band[seen.visit]]
    brighter = replace(seen, mag=seen.mag - slope * survey.visits.airmass[seen.visit])
    found = calibrate(brighter, *survey.tables[1:], survey.config)
    usual = calibrate(*survey.tables, survey.config)
    # It took all 20 cycles when nothing held it; 6 now, where the usual survey takes 5.
    assert len(found.history) <= 10
    assert found.history[-1].change_mag < survey.config.tolerance_mag
    least = min(p.value for p in found.parameters if p.name == "aerosol_tau")
    assert least == pytest.approx(LEAST_TAU, abs=1e-6)
    assert any("in 1 of 3 nights extinction is less than" in note for note in found.notes)
    assert not any("converged" in note for note in found.notes)
    assert not any("extinction is less" in note for note in usual.notes)
    # What the night is uncertain by does not shrink since it is held.
    errors = [p.error for p in found.parameters if p.name == "aerosol_tau"]
    assert min(errors) > 1e-3


def test_more_parameters_than_wanted_are_told(survey):
    notes = notes_of(survey, {"gray": {"max_parameters": 100}})
    assert any("more than gray.max_parameters (100)" in note for note in notes)
    assert any("gray is fitted with order 0" in note for note in notes)


def test_the_model_without_derivatives_is_the_same(survey):
    rows, _ = build_rows(*survey.tables[:4], survey.config)
    layout = Layout.of(survey.visits, survey.detectors, survey.config, rows.regions)
    model = Model(survey.visits, survey.detectors, survey.table, layout, survey.config)
    parameters = np.random.default_rng(3).normal(0.1, 0.02, layout.size)
    whole, bare = model.at(parameters), model.at(parameters, derivatives=False)
    assert bare.transfer.size == 0
    assert whole.transfer.shape[0] == rows.n_groups + len(rows.regions)
    for name in ("local", "i10", "kappa"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(bare, name))
