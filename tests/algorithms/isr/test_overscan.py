"""The bias level from simulated overscans that drift, jump, trail and bleed."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.algorithms.isr.overscan import parallel_level, serial_level
from drpflow.errors import AlgorithmError

NOISE_ADU = 3.0
ROWS, COLUMNS = 1500, 40


def drift(kind: str, rng: np.random.Generator) -> np.ndarray:
    """Return the true level of each row, adu."""
    y = np.arange(ROWS)
    return {
        "still": np.full(ROWS, 1000.0),
        "wave": 1000 + 5 * np.sin(y / 150),
        "walk": 1000 + np.cumsum(rng.normal(0, 0.1, ROWS)),
        "jumping": 1000 + rng.normal(0, 2.0, ROWS),
        "settling": 1000 + 80 * np.exp(-y / 20.0),
    }[kind]


def overscan(level: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.rint(rng.normal(level[:, None], NOISE_ADU, (ROWS, COLUMNS))).astype(np.float32)


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))


@pytest.mark.parametrize("kind", ["still", "wave", "walk", "jumping", "settling"])
def test_adaptive_level_beats_or_equals_row_means(kind: str) -> None:
    rng = np.random.default_rng(1)
    truth = drift(kind, rng)
    pixels = overscan(truth, rng)
    row_error = NOISE_ADU / np.sqrt(COLUMNS - 5)
    found = serial_level(pixels)
    naive = np.median(pixels, axis=1)
    limit = {"still": 0.15, "wave": 0.35, "walk": 0.75, "jumping": 1.05, "settling": 0.9}[kind]
    assert rms(found.level - truth) < limit * row_error
    assert rms(found.level - truth) < 0.9 * rms(naive - truth)
    # The error that is stated is that which is found (a still level: within the mean's own).
    assert found.uncertainty_adu == pytest.approx(rms(found.level - truth), rel=0.6, abs=0.1)
    assert found.noise_adu == pytest.approx(np.hypot(NOISE_ADU, 12**-0.5), rel=0.02)
    assert not found.contaminated.any()


@pytest.mark.parametrize(
    ("method", "kind", "limit_adu"),
    [("row", "jumping", 0.6), ("spline", "wave", 0.25), ("constant", "still", 0.05)],
)
def test_other_methods(method: str, kind: str, limit_adu: float) -> None:
    rng = np.random.default_rng(2)
    truth = drift(kind, rng)
    found = serial_level(overscan(truth, rng), method=method)  # type: ignore[arg-type]
    assert rms(found.level - truth) < limit_adu


def test_median_statistic() -> None:
    rng = np.random.default_rng(3)
    truth = drift("jumping", rng)
    found = serial_level(overscan(truth, rng), method="row", statistic="median")
    assert rms(found.level - truth) < 1.3 * 1.2533 * NOISE_ADU / np.sqrt(COLUMNS - 5)


def test_trailed_charge_is_skipped_and_recognised() -> None:
    rng = np.random.default_rng(4)
    truth = drift("wave", rng)
    pixels = overscan(truth, rng)
    pixels += 200 * np.exp(-np.arange(COLUMNS) / 0.7).astype(np.float32)  # every row, short
    pixels[300:310] += 400 * np.exp(-np.arange(COLUMNS) / 8.0).astype(np.float32)  # a few, long
    found = serial_level(pixels)
    assert found.contaminated[300:310].all()
    assert found.contaminated.sum() == 10
    assert rms(found.level - truth) < 0.3
    naive = np.median(pixels, axis=1)
    assert np.abs(found.level - truth)[300:310].max() < 0.1 * np.abs(naive - truth)[300:310].max()


def test_cosmic_rays_and_lost_pixels_do_not_matter() -> None:
    rng = np.random.default_rng(5)
    truth = drift("walk", rng)
    pixels = overscan(truth, rng)
    pixels[rng.random(pixels.shape) < 0.01] += 3000
    pixels[rng.random(pixels.shape) < 0.05] = np.nan
    found = serial_level(pixels)
    assert rms(found.level - truth) < 0.75 * NOISE_ADU / np.sqrt(COLUMNS - 5)


def test_fixed_pattern_of_columns_is_no_noise() -> None:
    rng = np.random.default_rng(6)
    truth = drift("still", rng)
    pattern = np.linspace(4, -4, COLUMNS)
    pixels = overscan(truth, rng) + pattern.astype(np.float32)
    found = serial_level(pixels)
    assert not found.contaminated.any()
    assert found.noise_adu == pytest.approx(np.hypot(NOISE_ADU, 12**-0.5), rel=0.02)
    assert found.level.mean() == pytest.approx(1000 + pattern[4:-1].mean(), abs=0.05)


def test_rows_without_overscan_take_the_level_of_others() -> None:
    rng = np.random.default_rng(7)
    truth = drift("wave", rng)
    pixels = overscan(truth, rng)
    pixels[-40:] = np.nan
    found = serial_level(pixels)
    assert np.isfinite(found.level).all()
    assert np.abs(found.level[-40:] - truth[-40:]).max() < 3


def test_nothing_to_go_by() -> None:
    with pytest.raises(AlgorithmError, match="no row"):
        serial_level(np.full((10, 20), np.nan, np.float32))
    with pytest.raises(ValueError, match="fewer than 2"):
        serial_level(np.zeros((10, 6), np.float32))


def test_parallel_level_bridges_bleeds() -> None:
    rng = np.random.default_rng(8)
    columns = rng.normal(0, 2.0, 300)
    pixels = rng.normal(columns, NOISE_ADU, (20, 300)).astype(np.float32)
    pixels[0] += 50  # charge of the last row
    pixels[:, 100:103] += 2000
    found = parallel_level(pixels)
    assert found.contaminated[99:104].all()
    assert found.contaminated.sum() <= 7
    clear = ~found.contaminated
    assert rms((found.level - columns)[clear]) < 1.5 * 1.2533 * NOISE_ADU / np.sqrt(18)
    assert np.abs(found.level[~clear]).max() < 10
    one = parallel_level(pixels, method="constant")
    assert one.level == pytest.approx(np.full(300, np.median(columns)), abs=0.5)
    with pytest.raises(ValueError, match="leave none"):
        parallel_level(pixels[:2])
