"""Friends among cells against all pairs."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.kernels.friends import link_cells, pairs_within


def cells(points: np.ndarray, side: float) -> tuple[np.ndarray, ...]:
    """Sort points of a plane into cells, as the kernels want them."""
    column, row = np.floor(points[:, 0] / side), np.floor(points[:, 1] / side)
    stride = int(column.max()) + 10
    number = ((row + 5) * stride + column + 5).astype(np.int64)
    order = np.argsort(number, kind="stable")
    keys, starts = np.unique(number[order], return_index=True)
    return order, keys, np.append(starts, len(order)), points[order], stride, number


def groups_of_all_pairs(points: np.ndarray, limit: float) -> np.ndarray:
    """The numpy twin: relabel until nothing changes."""
    near = np.linalg.norm(points[:, None] - points[None], axis=2) <= limit
    label = np.arange(len(points))
    while True:
        new = np.where(near, label[None], len(points)).min(axis=1)
        if (new == label).all():
            return label
        label = new


@pytest.mark.parametrize("density", [0.3, 0.8, 1.5, 4.0])
def test_groups_are_those_of_all_pairs(density: float) -> None:
    rng = np.random.default_rng(int(10 * density))
    points = np.append(rng.uniform(0, 20, (int(400 * density), 2)), np.zeros((1, 2)), axis=0)
    points = np.column_stack([points, np.zeros(len(points))])
    order, keys, starts, ranked, stride, _ = cells(points, 0.999999 / np.sqrt(2))
    parent = np.empty(len(keys), np.int64)
    link_cells(keys, starts, ranked, stride, 1.0, parent)
    got = np.empty(len(points), np.int64)
    got[order] = np.repeat(parent, np.diff(starts))
    expected = groups_of_all_pairs(points, 1.0)
    assert len(set(zip(got, expected, strict=True))) == len(set(got)) == len(set(expected))


def test_pairs_are_all_that_are_near_and_room_may_lack() -> None:
    rng = np.random.default_rng(1)
    points = np.column_stack([rng.uniform(0, 10, (500, 2)), np.zeros(500)])
    order, keys, starts, ranked, stride, number = cells(points, 0.7)
    places = np.arange(0, 500, 7)
    found = np.empty((5000, 2), np.int64)
    arguments = (keys, starts, ranked, stride, points[places], number[places], 3, 2.0**2)
    count = pairs_within(*arguments, found)
    got = set(zip(places[found[:count, 0]], order[found[:count, 1]], strict=True))
    distance = np.linalg.norm(points[places][:, None] - points[None], axis=2)
    expected = {(places[i], j) for i, j in np.argwhere(distance <= 2.0)}
    assert got == expected
    assert pairs_within(*arguments, found[:3]) == count
