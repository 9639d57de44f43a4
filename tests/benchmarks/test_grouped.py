import numpy as np
import pytest
from grouped import resampled_groups
from scoring import resampled, rms


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
