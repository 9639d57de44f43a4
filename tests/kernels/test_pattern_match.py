"""Counting of pairs, against plain loops over arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from drpflow.kernels.pattern_match import fullest_cells, vote_shifts, vote_similarity


def points(seed: int, number: int, size: float = 200.0) -> tuple[NDArray, NDArray]:
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, size, (2, number))
    return x, y


def test_shifts_against_numpy() -> None:
    (x, y), (u, v) = points(1, 30), points(2, 80)
    u, v = u[np.argsort(v)], np.sort(v)
    limit, cell = 60.0, 4.0
    counts = np.zeros((30, 30), np.int32)
    vote_shifts(x, y, u, v, limit, cell, counts)
    dx, dy = u[None, :] - x[:, None], v[None, :] - y[:, None]
    edges = np.linspace(-limit, limit, 31)
    expected, _, _ = np.histogram2d(dy.ravel(), dx.ravel(), bins=(edges, edges))
    np.testing.assert_array_equal(counts, expected)


def test_fullest_cells_against_numpy() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        counts = rng.poisson(0.3, (40, 30)).astype(np.int32)
        counts[12:14, 7:9] += 5
        best, votes = np.zeros((4, 2), np.int64), np.zeros(4, np.int32)
        fullest_cells(counts, best, votes)
        sums = counts[:-1, :-1] + counts[1:, :-1] + counts[:-1, 1:] + counts[1:, 1:]
        assert votes[0] == sums.max()
        assert (np.diff(votes) <= 0).all()
        np.testing.assert_array_equal(votes, sums[best[:, 0], best[:, 1]])
        gaps = np.abs(best[:, None] - best[None]).max(axis=2)[~np.eye(4, dtype=bool)]
        assert gaps.min() > 1


def test_no_votes_leave_an_empty_list() -> None:
    best, votes = np.zeros((3, 2), np.int64), np.ones(3, np.int32)
    fullest_cells(np.zeros((10, 10), np.int32), best, votes)
    assert not votes.any()


def test_similarity_against_numpy() -> None:
    (x, y), (u, v) = points(4, 12), points(5, 15)
    rows, columns, limit = 20, 36, 0.8
    counts = np.zeros((rows, columns), np.int32)
    vote_similarity(x, y, u, v, limit, 10.0, counts)
    i, j = np.triu_indices(12, 1)
    k, m = np.triu_indices(15, 1)
    a = (x[j] - x[i]) + 1j * (y[j] - y[i])
    a = a[np.abs(a) >= 10]
    ratio = ((u[m] - u[k]) + 1j * (v[m] - v[k]))[:, None] / a[None, :]
    angle = np.angle(ratio).ravel() % (2 * np.pi)
    bins = (np.linspace(-limit, limit, rows + 1), np.linspace(0, 2 * np.pi, columns + 1))
    expected, _, _ = np.histogram2d(np.log(np.abs(ratio)).ravel(), angle, bins=bins)
    np.testing.assert_array_equal(counts, expected)
