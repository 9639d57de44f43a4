"""Figures of merit of data whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.qa.merit import (
    away_from,
    match,
    nearness,
    pull_figure,
    pull_width,
    resampled,
    resampled_groups,
    rms,
    shape_errors,
    share,
    slope,
)


def test_interval_of_an_rms_holds_the_true_value() -> None:
    rng = np.random.default_rng(4)
    figures = [resampled(rng.normal(0, 3, 60), rms, seed) for seed in range(40)]
    inside = [f.low <= 3 <= f.high for f in figures]
    assert sum(inside) >= 34
    assert figures[0].number == 60


def test_what_is_missing_is_left_out() -> None:
    assert resampled([1.0, np.nan, 3.0], np.mean).number == 2
    assert np.isnan(resampled([np.nan], np.mean).value)
    assert np.isnan(share(0, 0).value)


def test_interval_of_a_share_is_wilsons() -> None:
    # Wilson 1927: 81 of 263 gives 0.255 to 0.366.
    found = share(81, 263)
    assert (found.low, found.high) == (
        pytest.approx(0.2553, abs=1e-4),
        pytest.approx(0.3662, abs=1e-4),
    )
    assert share(0, 20).low == 0.0
    assert share(0, 20).high == pytest.approx(0.1611, abs=1e-4)


def test_matches_are_mutual() -> None:
    # Two detections near one true source: only the nearer one is it.
    mine, true = match([10.0, 11.0, np.nan], [5.0, 5.0, 5.0], [10.2, 90.0], [5.0, 5.0], 2.0)
    assert mine.tolist() == [0]
    assert true.tolist() == [0]
    assert match([], [], [1.0], [1.0], 1.0)[0].size == 0


def test_neighbours_disturb_by_distance_and_flux() -> None:
    x, y = np.array([0.0, 8.0, 100.0]), np.zeros(3)
    # Equals at 2 FWHM: the limit for both. The third is far from everything.
    found = nearness(x, y, np.array([5.0, 5.0, 5.0]), 4.0)
    assert found.tolist() == pytest.approx([1, 1, 0])
    # A neighbour 100 times brighter reaches 4.4 FWHM, the faint one does not disturb it.
    found = nearness(x, y, np.array([5.0, 500.0, 5.0]), 4.0)
    assert found.tolist() == pytest.approx([2.2, 0, 0])
    assert nearness(x[:1], y[:1], y[:1], 4.0).tolist() == [0]


def test_away_from_bad_pixels_and_edges() -> None:
    bad = np.zeros((40, 40), bool)
    bad[20, 20] = True
    x, y = np.array([20.0, 23.0, 24.0, 2.0, 10.0]), np.array([20.0, 20.0, 20.0, 20.0, 10.0])
    assert away_from(x, y, bad, 3).tolist() == [False, False, True, False, True]


def test_pull_width_ignores_tails() -> None:
    rng = np.random.default_rng(8)
    pulls = np.concatenate([rng.normal(0, 1.1, 4000), np.full(80, 50.0)])
    figure = pull_figure(pulls)
    assert figure.value == pytest.approx(1.13, abs=0.04)
    assert figure.low < figure.value < figure.high
    assert np.isnan(pull_width([1.0, 2.0]))


def test_shape_errors_of_known_moments() -> None:
    one = (np.array([4.0]), np.array([4.0]), np.array([0.0]))
    two = (np.array([4.4]), np.array([4.0]), np.array([0.1]))
    errors = shape_errors(two, one)
    assert errors["size"][0] == pytest.approx((4.4 * 4 - 0.01) ** 0.25 / 2 - 1)
    assert errors["trace"][0] == pytest.approx(0.05)
    assert errors["e1"][0] == pytest.approx(0.4 / 8.4)
    assert errors["e2"][0] == pytest.approx(0.2 / 8.4)


def test_slope_without_outliers() -> None:
    rng = np.random.default_rng(2)
    x = rng.uniform(0, 10, 300)
    y = 0.3 * x + rng.normal(0, 0.1, 300)
    y[:10] += 40
    assert slope(x, y) == pytest.approx(0.3, abs=0.01)


def test_what_is_common_to_a_group_widens_the_interval() -> None:
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(30), 20)
    values = rng.normal(0, 1, 30)[group] + rng.normal(0, 0.1, group.size)
    single, grouped = resampled(values, np.mean), resampled_groups(values, group, np.mean)
    assert grouped.value == single.value == pytest.approx(values.mean())
    # The mean of 30 numbers of unit scatter is known to 0.18.
    assert grouped.high - grouped.low == pytest.approx(4 * 0.18, rel=0.35)
    assert single.high - single.low < 0.35 * (grouped.high - grouped.low)


def test_groups_of_one_are_single_values() -> None:
    values = np.random.default_rng(2).normal(size=400)
    single, grouped = resampled(values, rms), resampled_groups(values, np.arange(400), rms)
    assert grouped.low == pytest.approx(single.low, abs=0.02)
    assert grouped.high == pytest.approx(single.high, abs=0.02)


def test_unknown_values_are_left_out() -> None:
    found = resampled_groups([1.0, np.nan, 3.0], [1, 1, 2], np.mean)
    assert (found.value, found.number) == (2.0, 2)
    assert resampled_groups([np.nan], [0], np.mean).number == 0
