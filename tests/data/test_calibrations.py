"""Calibrations in memory: their checks and look-ups."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.data.calibrations import (
    AmplifierNoise,
    BrighterFatterKernel,
    CalibrationImage,
    Calibrations,
    Crosstalk,
    Defects,
    NonLinearity,
    Ptc,
    amplifier_noise,
)
from drpflow.data.camera import Amplifier, Detector


@pytest.fixture
def detector() -> Detector:
    amps = tuple(
        Amplifier(
            name=name,
            data_section=(5 * i, 5 * i + 5, 0, 4),
            raw_data_section=(5 * i, 5 * i + 5, 0, 4),
            gain=2.0,
            read_noise=4.0,
            saturation=60000.0,
        )
        for i, name in enumerate("AB")
    )
    return Detector(id=1, name="D", size_pix=(10, 4), pixel_size_mm=0.01, amplifiers=amps)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CalibrationImage(np.zeros(3, np.float32)), "2 dimensions"),
        (
            lambda: CalibrationImage(np.zeros((3, 3), np.float32), np.zeros((2, 3), np.float32)),
            "must agree",
        ),
        (lambda: Defects(np.zeros((3, 3), np.int32)), "shape"),
        (lambda: Defects(np.zeros((3, 4), np.int32), ("hot",)), "1 kinds for 3 boxes"),
        (lambda: NonLinearity(np.zeros(3), np.zeros(2)), "one length"),
        (lambda: NonLinearity(np.array([0.0, 2.0, 1.0]), np.zeros(3)), "increase"),
        (lambda: NonLinearity(np.zeros(1), np.zeros(1)), "two or more"),
        (lambda: Crosstalk(("A", "B"), np.zeros((3, 3))), "linear coefficients are"),
        (
            lambda: Crosstalk(("A",), np.zeros((1, 1)), np.zeros((2, 2))),
            "quadratic coefficients are",
        ),
        (lambda: BrighterFatterKernel(np.zeros((4, 4))), "odd size"),
        (lambda: BrighterFatterKernel(np.zeros((3, 5))), "odd size"),
    ],
)
def test_what_does_not_hold_together_is_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_kinds_can_be_left_out() -> None:
    given = Calibrations(
        bias=CalibrationImage(np.zeros((2, 2), np.float32)),
        defects=Defects(np.zeros((0, 4), np.int32)),
        sources={"bias": "b.fits", "defects": "d.fits"},
    )
    left = given.without(("bias",))
    assert left.bias is None
    assert left.defects is given.defects
    assert left.sources == {"defects": "d.fits"}
    assert len(Calibrations.kinds()) == 9


def test_measured_properties_supersede_nominal_ones(detector: Detector) -> None:
    nominal = amplifier_noise(detector, None)["B"]
    assert (nominal.gain, nominal.read_noise_electron, nominal.saturation_adu) == (2, 4, 60000)
    assert np.isnan(nominal.gain_error)
    measured = {n: AmplifierNoise(1.9, 0.01, 5.0, 50000.0) for n in "AB"}
    assert amplifier_noise(detector, Ptc(measured))["A"].gain == 1.9
    with pytest.raises(KeyError):
        amplifier_noise(detector, Ptc({"A": measured["A"]}))
