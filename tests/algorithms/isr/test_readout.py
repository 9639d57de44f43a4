"""Order of readout: sections, mirrors, assembly."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.algorithms.isr.assembly import assemble
from drpflow.algorithms.isr.readout import (
    cells_before,
    detector_section,
    is_mirrored,
    raw_section,
    serial_overscan,
)
from drpflow.data.camera import Amplifier, Detector

from .cameras import two_by_two


def amplifier(name: str = "A", **changes: object) -> Amplifier:
    values = {
        "name": name,
        "data_section": (0, 6, 0, 4),
        "raw_data_section": (3, 9, 0, 4),
        "raw_serial_overscan": (9, 12, 0, 4),
        "gain": 1.0,
        "read_noise": 1.0,
        "saturation": 100.0,
    }
    return Amplifier(**(values | changes))  # type: ignore[arg-type]


def test_sections_run_in_the_order_of_readout() -> None:
    raw = np.arange(12 * 4, dtype=np.float32).reshape(4, 12)
    plain = amplifier()
    assert is_mirrored(plain) == (False, False)
    np.testing.assert_array_equal(raw_section(raw, plain, plain.raw_data_section), raw[:, 3:9])
    # Overscan before the pixels: the array runs against the readout.
    mirrored = amplifier(raw_serial_overscan=(0, 3, 0, 4))
    assert is_mirrored(mirrored) == (True, False)
    np.testing.assert_array_equal(
        raw_section(raw, mirrored, mirrored.raw_data_section), raw[:, 8:2:-1]
    )
    overscan = serial_overscan(raw, mirrored, (0, 4))
    np.testing.assert_array_equal(overscan, raw[:, 2::-1])


def test_rows_without_overscan_are_nan() -> None:
    raw = np.ones((6, 12), np.float32)
    amp = amplifier(raw_serial_overscan=(9, 12, 1, 3))
    overscan = serial_overscan(raw, amp, (0, 4))
    assert overscan is not None
    np.testing.assert_array_equal(np.isnan(overscan[:, 0]), [True, False, False, True])
    assert serial_overscan(raw, amplifier(raw_serial_overscan=None), (0, 4)) is None


@pytest.mark.parametrize("flip_x", [False, True])
@pytest.mark.parametrize("flip_y", [False, True])
@pytest.mark.parametrize("overscan_first", [False, True])
def test_assembly_undoes_the_order_of_readout(
    flip_x: bool, flip_y: bool, overscan_first: bool
) -> None:
    sky = np.arange(24, dtype=np.float32).reshape(4, 6)
    raw = np.full((4, 12), -1, np.float32)
    raw[:, 3:9] = sky[:: -1 if flip_y else 1, :: -1 if flip_x else 1]
    amp = amplifier(
        flip_x=flip_x,
        flip_y=flip_y,
        raw_serial_overscan=(0, 3, 0, 4) if overscan_first else (9, 12, 0, 4),
    )
    detector = Detector(id=0, name="X", size_pix=(6, 4), pixel_size_mm=0.01, amplifiers=(amp,))
    pixels = raw_section(raw, amp, amp.raw_data_section)
    np.testing.assert_array_equal(assemble([pixels], detector), sky)
    np.testing.assert_array_equal(detector_section(sky, amp), pixels)


def test_one_array_for_each_amplifier() -> None:
    raw = {"A": np.full((4, 12), 5, np.float32)}
    assert raw_section(raw, amplifier(), (0, 12, 0, 4)).mean() == 5


@pytest.mark.parametrize("prescan", [0, 7])
def test_prescan_is_the_gap_before_the_pixels(prescan: int) -> None:
    detector = two_by_two(prescan=prescan)
    assert [cells_before(a, detector) for a in detector.amplifiers] == [prescan] * 4
    # The same, mirrored: overscan, pixels, prescan.
    amp = amplifier(raw_data_section=(3, 9, 0, 4), raw_serial_overscan=(0, 3, 0, 4))
    mirrored = Detector(
        id=0, name="X", size_pix=(6, 4), pixel_size_mm=0.01, amplifiers=(amp,),
        raw_size_pix=(9 + prescan, 4),
    )  # fmt: skip
    assert cells_before(amp, mirrored) == prescan
