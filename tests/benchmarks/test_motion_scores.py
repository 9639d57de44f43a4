"""Figures of merit of stellar motions and of matches, where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from accuracy_match_source import score
from motion_scores import Errors, color_slopes, errors_of, mean_pulls, width
from motion_tables import fit_survey

from drpflow.sim.motion_survey import REFERENCE_COLOR, MotionConfig, simulate_motions


def made(pulls: np.ndarray, color: np.ndarray, seed: np.ndarray) -> Errors:
    n = len(pulls)
    stated = np.full((n, 3), 2.0)
    return Errors(pulls * 2, stated, stated, np.ones(n), color, np.zeros(n, bool), seed)


def test_width_of_normal_values_is_their_standard_deviation() -> None:
    values = np.random.default_rng(1).normal(3, 2, 20_000)
    half, low, high = width(np.append(values, np.nan))
    assert half == pytest.approx(2, rel=0.02)
    assert low < half < high
    # Of percentiles: √(p (1 - 2p) / 2n) over the density there, p = 0.1587.
    error = 2 * np.sqrt(0.1587 * (1 - 2 * 0.1587) / 2 / 20_000) / 0.242
    assert high - low == pytest.approx(4 * error, rel=0.3)


def test_slopes_and_means_have_the_scatter_of_surveys() -> None:
    rng = np.random.default_rng(2)
    seed = np.repeat(np.arange(5), 400)
    color = rng.uniform(0, 3, 2000)
    slope = np.array([0.1, 0.3, 0.2, 0.0, 0.4])
    pulls = rng.normal(0, 1e-3, (2000, 3)) + (slope[seed] * (color - REFERENCE_COLOR))[:, None]
    found, error = color_slopes(made(pulls, color, seed))
    np.testing.assert_allclose(found, slope.mean(), atol=1e-3)
    np.testing.assert_allclose(error, slope.std(ddof=1) / np.sqrt(5), rtol=0.02)
    assert mean_pulls(made(pulls + 1, color, seed))[0] == pytest.approx(
        1 + 0.2 * (1.5 - REFERENCE_COLOR), abs=0.05
    )


def test_the_limit_is_what_a_fit_of_clean_positions_states() -> None:
    """Without catalogue, outliers and variables, bright stars' stated errors are the limit."""
    clean = {"outliers": 0.0, "variable": 0.0, "reference_share": 0.0, "dcr_error": 0.0}
    survey = simulate_motions(MotionConfig(seed=3, stars=400, faint_mag=21.0, **clean))
    errors = errors_of(survey, fit_survey(survey), 3)
    assert len(errors.snr) > 300
    np.testing.assert_allclose(np.median(errors.stated / errors.limit, axis=0), 1, atol=0.06)


def test_groups_are_counted() -> None:
    true = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, -1, -1])
    group = np.array([5, 5, 5, 5, 6, 6, 6, 7, 8, 8, 8, 9])
    found = score(group, true)
    assert found.sources == 10
    assert found.together == 9
    assert found.groups == 3
    assert found.mixed == 1
    assert found.stars == 2
    assert found.whole == 1
