"""Lines that were drawn are found, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.algorithms.coadd.streaks import directions
from drpflow.kernels.coadd_artifacts import box_means
from drpflow.kernels.coadd_lines import (
    find_lines,
    line_widths,
    paint_lines,
    persistent_shares,
)

HALF, LIMITS = 8, (1.8, 1.0, 0.27)


def _field(angle: float, seed: int = 0) -> np.ndarray:
    """Noise and a line of mean 3.5 through the middle."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:60, :60] - 29.7
    across = y * np.cos(angle) - x * np.sin(angle)
    return (rng.normal(0, 0.6, y.shape) + 3.5 * np.exp(-0.5 * (across / 0.9) ** 2)).astype(
        np.float32
    )


@pytest.mark.parametrize("angle", np.linspace(0, np.pi, 7)[:-1] + 0.03)
def test_a_line_is_found_all_along(angle: float) -> None:
    bins, vectors = _field(angle), directions(36)
    lines = find_lines(bins, box_means(bins, 2), vectors, HALF, 6, LIMITS)
    widths = line_widths(bins, lines, vectors, HALF, (5, 6), 0.5)
    marks = np.zeros(bins.shape, bool)
    paint_lines(lines, widths, vectors, marks)
    y, x = np.mgrid[:60, :60] - 29.7
    across = np.abs(y * np.cos(angle) - x * np.sin(angle))
    inner = np.hypot(x, y) < 26
    assert marks[(across < 0.7) & inner].mean() > 0.9
    assert marks[across > 5].mean() < 0.01
    turned = np.pi * lines[2] / 36 - angle
    assert np.median(np.abs(np.sin(turned))) < np.sin(np.pi / 36)


def test_spots_edges_and_noise_are_no_lines() -> None:
    rng = np.random.default_rng(5)
    bins = rng.normal(0, 0.6, (80, 80)).astype(np.float32)
    bins[20:23, 20:23] = 3.0
    bins[20:23, 27:30] = 3.0
    bins[50:, :] += 2.5  # half of the field is bright
    lines = find_lines(bins, box_means(bins, 2), directions(36), HALF, 6, LIMITS)
    inner = (lines[1] > 2) & (lines[1] < 77)  # in a corner half a line has nothing beside it
    assert not inner.any()


def test_a_line_is_continued_where_there_is_nothing() -> None:
    bins, vectors = _field(0.0), directions(36)
    bins[:, 40:] = np.nan
    lines = find_lines(bins, box_means(bins, 2), vectors, HALF, 6, LIMITS)
    marks = np.zeros(bins.shape, bool)
    paint_lines(lines, line_widths(bins, lines, vectors, HALF, (5, 6), 0.5), vectors, marks)
    assert marks[29:31, 40:45].any(axis=0).all()
    assert not marks[:, 48:].any()


def test_lines_that_persist_are_told() -> None:
    counts = np.zeros((240, 240), np.uint16)
    counts[:, 120:] = 5
    limits = np.full(counts.shape, 2, np.int32)
    one = np.array([30, 30], np.int32), np.array([15, 45], np.int32), np.zeros(2, np.int16)
    shares = persistent_shares(counts, limits, one, directions(36), HALF, (4, 0, 0))
    np.testing.assert_array_equal(shares, [0, 1])


def test_a_line_that_the_direct_image_does_not_show_is_dropped() -> None:
    bins, vectors = _field(0.4), directions(36)
    lines = find_lines(bins, box_means(bins, 2), vectors, HALF, 6, LIMITS)
    widths = line_widths(np.zeros_like(bins), lines, vectors, HALF, (5, 6), 0.5)
    assert lines[0].size > 20
    assert (widths == -1).all()
