"""Saturation flags, growth and bleeds at the serial register."""

from __future__ import annotations

import numpy as np

from drpflow.algorithms.isr.saturation import edge_bleed_rows, flag_levels, grow


def test_levels_are_above_the_bias() -> None:
    raw = np.array([[100, 950, 999, 1000, 1100, 5000]], np.float32)
    saturated, suspect = flag_levels(raw, 100.0, 900.0, adc_maximum_adu=5000, suspect_fraction=0.9)
    np.testing.assert_array_equal(saturated[0], [0, 0, 0, 1, 1, 1])
    np.testing.assert_array_equal(suspect[0], [0, 1, 1, 0, 0, 0])


def test_the_converters_end_is_saturation_too() -> None:
    raw = np.array([[60000, 65535]], np.float32)
    saturated, _ = flag_levels(raw, 1000.0, 1e6, adc_maximum_adu=65535, suspect_fraction=1.0)
    np.testing.assert_array_equal(saturated[0], [False, True])


def test_nan_is_not_saturated() -> None:
    saturated, suspect = flag_levels(
        np.full((2, 2), np.nan, np.float32), 0, 10, adc_maximum_adu=100, suspect_fraction=0.9
    )
    assert not saturated.any()
    assert not suspect.any()


def test_grow_leaves_other_bits() -> None:
    mask = np.zeros((9, 9), np.int32)
    mask[4, 4] = 3
    grow(mask, np.int32(2), 1)
    assert (mask & 2).astype(bool).sum() == 9
    assert (mask & 1).sum() == 1
    before = mask.copy()
    grow(mask, np.int32(2), 0)
    np.testing.assert_array_equal(mask, before)


def bled(rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
    signal = rng.normal(300, 17, (400, 250)).astype(np.float32)
    signal[:200, 100:105] = 60000
    signal[:rows] += 900 * np.exp(-np.arange(rows) / rows)[:, None].astype(np.float32)
    return signal, signal > 50000


def find(signal: np.ndarray, saturated: np.ndarray) -> int:
    return edge_bleed_rows(signal, saturated, min_columns=2, sigma=5.0, max_rows=100)


def test_rows_spoilt_at_the_register_are_counted() -> None:
    rng = np.random.default_rng(1)
    for rows in (4, 12, 60):
        assert find(*bled(rng, rows)) == rows


def test_no_bleed_no_rows() -> None:
    rng = np.random.default_rng(2)
    signal, saturated = bled(rng, 12)
    signal[0, 100:105] = 300  # the bleed ends before the register
    saturated[0] = False
    assert find(signal, saturated) == 0
    calm = rng.normal(300, 17, (400, 250)).astype(np.float32)
    full = np.zeros(calm.shape, bool)
    full[:50, 30:34] = True
    assert find(calm, full) == 0


def test_lowered_rows_count_as_well() -> None:
    rng = np.random.default_rng(3)
    signal, saturated = bled(rng, 1)
    signal[:8] -= 200
    assert find(signal, saturated) == 8
