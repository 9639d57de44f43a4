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

HALVES, LIMITS = (8, 16), (1.8, 1.0, 0.55, 0.15)
REACHES, LOW = (5, 14), 0.5


def _field(angle: float, seed: int = 0, peak: float = 3.5) -> np.ndarray:
    """Noise and a line through the middle."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:60, :60] - 29.7
    across = y * np.cos(angle) - x * np.sin(angle)
    return (rng.normal(0, 0.6, y.shape) + peak * np.exp(-0.5 * (across / 0.9) ** 2)).astype(
        np.float32
    )


def _widths(bins: np.ndarray, lines: tuple, vectors: np.ndarray) -> np.ndarray:
    return line_widths(bins, np.isnan(bins), lines, vectors, REACHES, LOW)


@pytest.mark.parametrize("angle", np.linspace(0, np.pi, 7)[:-1] + 0.03)
def test_a_line_is_found_all_along(angle: float) -> None:
    bins, vectors = _field(angle), directions(72)
    lines = find_lines(bins, box_means(bins, 2), vectors, HALVES, 6, LIMITS)
    widths = _widths(bins, lines, vectors)
    marks = np.zeros(bins.shape, bool)
    paint_lines(lines, widths, vectors, marks)
    y, x = np.mgrid[:60, :60] - 29.7
    across = np.abs(y * np.cos(angle) - x * np.sin(angle))
    inner = np.hypot(x, y) < 26
    assert marks[(across < 0.7) & inner].mean() > 0.9
    assert marks[across > 5].mean() < 0.01
    turned = np.pi * lines[2][lines[3] == HALVES[0]] / 72 - angle
    assert np.median(np.abs(np.sin(turned))) < np.sin(np.pi / 36)


def test_spots_edges_and_noise_are_no_lines() -> None:
    rng = np.random.default_rng(5)
    bins = rng.normal(0, 0.6, (80, 80)).astype(np.float32)
    bins[20:23, 20:23] = 3.0
    bins[20:23, 27:30] = 3.0
    bins[50:, :] += 2.5  # half of the field is bright
    lines = find_lines(bins, box_means(bins, 2), directions(72), HALVES, 6, LIMITS)
    inner = (lines[1] > 2) & (lines[1] < 77)  # in a corner half a line has nothing beside it
    assert not inner.any()


def _oval(side: int) -> np.ndarray:
    """Noise and a long galaxy in the middle, held within 3."""
    rng = np.random.default_rng(2)
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    light = 12 * np.exp(-0.5 * ((x / 4.0) ** 2 + (y / 0.9) ** 2))
    return np.minimum(rng.normal(0, 0.3, x.shape) + light, 3.0).astype(np.float32)


def test_a_cut_out_shorter_than_a_line_has_no_lines() -> None:
    """The line would be followed over nothing but the source in the middle."""
    vectors, small = directions(72), _oval(11)
    assert not find_lines(small, box_means(small, 2), vectors, HALVES, 6, LIMITS)[0].size
    within = np.full((60, 60), np.nan, np.float32)
    within[20:31, 30:41] = small
    assert not find_lines(within, box_means(within, 2), vectors, HALVES, 6, LIMITS)[0].size


def test_a_line_is_found_up_to_where_the_data_end() -> None:
    bins, vectors = _field(0.4), directions(72)
    bins[:, 46:] = np.nan
    lines = find_lines(bins, box_means(bins, 2), vectors, HALVES, 6, LIMITS)
    assert lines[1].max() >= 44
    assert lines[1].min() <= 1


def test_a_line_is_continued_where_there_is_nothing() -> None:
    bins, vectors = _field(0.0), directions(72)
    whole = bins.copy()
    bins[:, 40:] = np.nan
    lines = find_lines(bins, box_means(bins, 2), vectors, HALVES, 6, LIMITS)
    marks = np.zeros(bins.shape, bool)
    paint_lines(lines, _widths(bins, lines, vectors), vectors, marks)
    assert marks[29:31, 40:53].any(axis=0).all()
    assert not marks[:, 56:].any()
    seen = line_widths(whole, np.isnan(bins), lines, vectors, REACHES, LOW)
    assert seen[:, 3].max() >= 12
    whole[:, 40:] = 0.0
    dark = line_widths(whole, np.isnan(bins), lines, vectors, REACHES, LOW)
    assert (dark[:, 3] <= 0).all()


def test_lines_that_persist_are_told() -> None:
    counts = np.zeros((240, 240), np.uint16)
    counts[:, 120:] = 5
    limits = np.full(counts.shape, 2, np.int32)
    one = np.array([30, 30], np.int32), np.array([15, 45], np.int32), np.zeros(2, np.int16)
    lines = *one, np.full(2, 8, np.int16)
    shares = persistent_shares(counts, limits, lines, directions(72), (4, 0, 0))
    np.testing.assert_array_equal(shares, [0, 1])


def test_a_line_that_the_direct_image_does_not_show_is_dropped() -> None:
    bins, vectors = _field(0.4), directions(72)
    lines = find_lines(bins, box_means(bins, 2), vectors, HALVES, 6, LIMITS)
    widths = _widths(np.zeros_like(bins), lines, vectors)
    assert lines[0].size > 20
    assert (widths == -1).all()


@pytest.mark.parametrize("angle", [0.2, 1.3])
def test_a_faint_line_is_found_over_its_length(angle: float) -> None:
    """Its mean over a short line, 1.2, stands out no more than three times that of noise."""
    bins, vectors = _field(angle, seed=3, peak=1.3), directions(72)
    nearby = box_means(bins, 2)
    found = find_lines(bins, nearby, vectors, HALVES, 6, LIMITS)
    short = find_lines(bins, nearby, vectors, HALVES, 6, (1.8, 9.0, 0.55, 0.15))
    across = np.abs((found[0] - 29.7) * np.cos(angle) - (found[1] - 29.7) * np.sin(angle))
    assert short[0].size < 5
    assert (found[3] == HALVES[1]).mean() > 0.95
    assert found[0].size > 20
    assert (across < 2.5).mean() > 0.95
