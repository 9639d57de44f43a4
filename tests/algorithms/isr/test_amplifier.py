"""One amplifier from raw values to signal above the bias."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from drpflow.algorithms.isr.amplifier import AmplifierSignal, read_amplifier
from drpflow.config.isr import OverscanConfig, SaturationConfig
from drpflow.data.calibrations import AmplifierNoise
from drpflow.data.camera import Amplifier

NX, NY, OVERSCAN, ROWS_AFTER = 80, 200, 24, 12
NOISE = AmplifierNoise(1.5, 0.01, 4.5, 50000.0)


def amplifier(**changes: Any) -> Amplifier:
    values: dict[str, Any] = {
        "name": "A",
        "data_section": (0, NX, 0, NY),
        "raw_data_section": (0, NX, 0, NY),
        "raw_serial_overscan": (NX, NX + OVERSCAN, 0, NY),
        "raw_parallel_overscan": (0, NX, NY, NY + ROWS_AFTER),
        "gain": 1.5,
        "read_noise": 4.5,
        "saturation": 50000.0,
    }
    return Amplifier(**(values | changes))


def frame(signal: float = 200.0) -> np.ndarray:
    rng = np.random.default_rng(1)
    raw = rng.normal(1000, 3, (NY + ROWS_AFTER, NX + OVERSCAN))
    raw[:NY, :NX] += signal
    return np.rint(raw).astype(np.float32)


def read(raw: np.ndarray, amp: Amplifier | None = None, **overscan: Any) -> AmplifierSignal:
    return read_amplifier(
        raw, amp or amplifier(), NOISE, None, overscan=OverscanConfig.model_validate(overscan),
        levels=SaturationConfig(), max_read_noise_electron=25.0,
    )  # fmt: skip


def test_signal_above_the_bias() -> None:
    raw = frame()
    found = read(raw)
    assert found.pixels.mean() == pytest.approx(200, abs=0.1)
    assert found.pixels.flags.c_contiguous
    assert found.fault == ""
    assert found.serial is not None
    assert found.serial.noise_adu == pytest.approx(3, rel=0.05)


def test_without_overscan_the_pedestal_counts() -> None:
    bare = amplifier(raw_serial_overscan=None, raw_parallel_overscan=None)
    for found in (
        read(frame(), bare, pedestal_adu=1000.0),
        read(frame(), serial={"method": "none"}, pedestal_adu=1000.0),
    ):
        assert found.serial is None
        assert found.pixels.mean() == pytest.approx(200, abs=0.1)


def test_parallel_overscan_takes_columns_off() -> None:
    rng = np.random.default_rng(2)
    columns = rng.normal(0, 20, NX)
    raw = frame()
    raw[:, :NX] += columns
    raw[NY:, 30:32] += 5000  # a bleed
    off = read(raw).pixels.mean(axis=0) - 200
    assert off.std() > 15
    found = read(raw, parallel={"method": "column"})
    left = found.pixels.mean(axis=0) - 200
    clear = ~found.suspect.all(axis=0)
    assert clear.sum() >= NX - 6
    assert not clear[30:32].any()
    assert left[clear].std() < 2
    one = read(raw + 7 * (np.arange(len(raw))[:, None] >= NY), parallel={"method": "constant"})
    assert one.pixels.mean() == pytest.approx(200 - 7 - np.median(columns), abs=3)


def test_rows_with_trailed_charge_are_suspect() -> None:
    raw = frame()
    raw[50:53, NX:] += 500 * np.exp(-np.arange(OVERSCAN) / 6).astype(np.float32)
    found = read(raw)
    np.testing.assert_array_equal(np.flatnonzero(found.suspect.all(axis=1)), [50, 51, 52])
    assert np.abs(found.pixels[50:53].mean(axis=1) - 200).max() < 3


def test_saturation_counts_from_the_bias() -> None:
    raw = frame()
    raw[100, 40], raw[101, 40] = 51001, 49500
    found = read(raw)
    assert np.argwhere(found.saturated).tolist() == [[100, 40]]
    assert np.argwhere(found.suspect).tolist() == [[101, 40]]


def test_bleeds_that_reach_the_register_spoil_its_rows() -> None:
    raw = frame()
    raw[:80, 20:24] = 65535
    raw[:9, :NX] += 300
    found = read(raw)
    np.testing.assert_array_equal(np.flatnonzero(found.saturated.all(axis=1)), np.arange(9))


def test_faults() -> None:
    assert read(np.full_like(frame(), 17)).fault == "dead"
    rng = np.random.default_rng(3)
    noisy = frame() + rng.normal(0, 30, (NY + ROWS_AFTER, NX + OVERSCAN)).astype(np.float32)
    assert "too noisy: 4" in read(noisy).fault
    lost = frame()
    lost[:, NX:] = np.nan
    assert "no row" in read(lost).fault
    everything = np.full_like(frame(), np.nan)
    assert read(everything).fault == "dead"
