"""Groups of more than one source, taken apart; stars along straight lines."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from drpflow.kernels.source_groups import split_groups, straight_lines

RADIUS = 0.5


def split(points: NDArray, visit: NDArray, weight: NDArray | None = None) -> NDArray[np.int64]:
    """Part one group; members in the order of their weights."""
    weight = np.ones(len(points)) if weight is None else weight
    label = np.full(len(points), -1, np.int64)
    starts = np.array([0, len(points)], np.int64)
    spatial = np.column_stack([points, np.zeros(len(points))])
    split_groups(starts, spatial, weight, visit.astype(np.int64), RADIUS, label)
    return label


def same_partition(one: NDArray, other: NDArray) -> bool:
    return bool(((one[:, None] == one) == (other[:, None] == other)).all())


def test_two_stars_nearer_than_the_radius_are_two() -> None:
    rng = np.random.default_rng(1)
    visit = np.repeat(np.arange(20), 2)
    star = np.tile([0, 1], 20)
    points = np.array([[0.0, 0.0], [0.4, 0.0]])[star] + rng.normal(0, 0.05, (40, 2))
    assert same_partition(split(points, visit), star)


def test_each_visit_goes_to_the_nearest_star_with_room() -> None:
    """A third detection of a visit between two stars is neither."""
    points = np.array([[0.0, 0], [0.45, 0], [0.01, 0], [0.44, 0], [0.2, 0]])
    label = split(points, np.array([1, 1, 2, 2, 2]))
    assert label[0] == label[2]
    assert label[1] == label[3]
    assert label[4] not in (label[0], label[1])


def test_parts_that_share_no_visit_become_one() -> None:
    """The second founds a source, being too far from the first; the mean of all is near."""
    points = np.array([[0.0, 0.0], [0.6, 0.0], [0.3, 0.0], [0.3, 0.0]])
    assert len(set(split(points, np.arange(4)))) == 1
    # With a visit in common they stay two.
    assert len(set(split(points, np.array([0, 1, 2, 1])))) == 2


def test_a_chain_is_cut() -> None:
    points = np.column_stack([np.arange(12) * 0.3, np.zeros(12)])
    label = split(points, np.arange(12))
    for k in set(label):
        own = points[label == k]
        assert np.abs(own - own.mean(axis=0)).max() <= RADIUS + 1e-12


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 30), wide=st.floats(0.1, 2.0))
def test_parts_hold_to_the_rules_wherever_they_are(seed: int, n: int, wide: float) -> None:
    rng = np.random.default_rng(seed)
    points, visit = rng.normal(0, wide, (n, 2)), rng.integers(0, 8, n)
    weight = np.sort(rng.uniform(1, 9, n))[::-1].copy()
    label = split(points, visit, weight)
    assert sorted(set(label)) == list(range(label.max() + 1))
    for k in set(label):
        own = label == k
        assert len(set(visit[own])) == own.sum()
        mean = np.average(points[own], axis=0, weights=weight[own])
        # Members join a mean that moves on: never farther than two radii.
        assert np.hypot(*(points[own] - mean).T).max() <= 2 * RADIUS
    turned = points @ np.array([[0.6, -0.8], [0.8, 0.6]]) + 40
    assert same_partition(label, split(turned, visit, weight))


def lines(points: NDArray, time: NDArray, sigma: float) -> tuple[bool, NDArray]:
    moving, motion = np.zeros(1, bool), np.zeros((1, 3))
    starts, weight = np.array([0, len(time)], np.int64), np.full(len(time), sigma**-2)
    straight_lines(starts, points, weight, time, RADIUS, 4.0, 2.0, moving, motion)
    return bool(moving[0]), motion[0]


def test_motion_is_that_of_a_straight_line() -> None:
    rng = np.random.default_rng(2)
    time = rng.uniform(0, 3, 12)
    points = time[:, None] * [0.7, -0.4, 0.1] + rng.normal(0, 0.03, (12, 3))
    moving, motion = lines(points, time, 0.03)
    assert moving
    np.testing.assert_allclose(motion, np.polyfit(time, points, 1)[0], rtol=1e-10)


def test_what_is_no_line_or_too_fast_does_not_move() -> None:
    rng = np.random.default_rng(3)
    time = np.linspace(0, 3, 12)
    two_places = np.repeat([[0.0, 0, 0], [0.9, 0, 0]], 6, axis=0) + rng.normal(0, 0.01, (12, 3))
    assert not lines(two_places, time, 0.01)[0]
    assert not lines(time[:, None] * [2.5, 0, 0], time, 0.03)[0]
    assert not lines(time[:3, None] * [0.7, 0, 0], time[:3], 0.03)[0]
    assert not lines(np.zeros((5, 3)), np.full(5, 1.0), 0.03)[0]
