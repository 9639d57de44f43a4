"""The detector as a component."""

from __future__ import annotations

import json

import pytest

from drpflow.data.camera import Amplifier, Detector
from drpflow.data.detector_info import DetectorInfo
from drpflow.data.geometry import Box
from drpflow.data.record import Record, from_record


def two_amplifiers() -> DetectorInfo:
    amplifiers = tuple(
        Amplifier(
            name=f"C{k}",
            data_section=(50 * k, 50 * k + 50, 0, 80),
            raw_data_section=(0, 50, 0, 80),
            raw_serial_overscan=(50, 60, 0, 80),
            raw_hdu=k + 1,
            flip_x=bool(k),
            gain=1.1 + k / 3,
            read_noise=5.0,
            saturation=1e5,
        )
        for k in range(2)
    )
    return DetectorInfo(
        Detector(
            id=31,
            name="S31",
            size_pix=(100, 80),
            center_mm=(1 / 3, -2.0),
            rotation_deg=90.0,
            pixel_size_mm=0.015,
            amplifiers=amplifiers,
        ),
        "widecam",
    )


def test_round_trip_is_exact() -> None:
    info = two_amplifiers()
    record = info.to_record()
    stored = Record(record.kind, record.version, json.loads(json.dumps(record.meta)))
    again = from_record(stored)
    assert again == info
    assert again.detector == info.detector
    assert again.instrument == "widecam"


def test_properties_are_those_of_the_detector() -> None:
    info = two_amplifiers()
    assert (info.id, info.name, info.box) == (31, "S31", Box(0, 100, 0, 80))
    assert [a.name for a in info.amplifiers] == ["C0", "C1"]


def test_amplifier_at_a_pixel() -> None:
    info = two_amplifiers()
    assert info.amplifier_at(49.4, 79).name == "C0"
    assert info.amplifier_at(49.6, -0.5).name == "C1"
    with pytest.raises(LookupError, match="not on detector S31"):
        info.amplifier_at(100, 5)
