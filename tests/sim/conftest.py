"""Simulations that several test modules look at; each takes some seconds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from drpflow.sim.amplifiers import TrueAmplifiers
from drpflow.sim.calibration_frames import (
    DetectorCalibrations,
    calibrate_detector,
    finish_camera,
)
from drpflow.sim.detector_config import CalibrationPlan, DetectorEffects
from drpflow.sim.instrument import SimDetector
from drpflow.sim.readout import Readout
from tests.sim.detectors import SEED, square


@dataclass(frozen=True)
class Calibrated:
    """A detector with all its effects, and what was measured of it."""

    readout: Readout
    detector: SimDetector
    measured: DetectorCalibrations

    @property
    def true(self) -> TrueAmplifiers:
        return self.readout.amplifiers(self.detector)


@pytest.fixture(scope="session")
def calibrated() -> Calibrated:
    """A detector of 512 x 512 pixels."""
    plan = CalibrationPlan(bias_frames=16, dark_frames=6, pair_megapixels=3.0)
    readout = Readout(DetectorEffects(calibrations=plan), SEED)
    detector = square(512)
    light = {"sim_r": np.ones((512, 512))}
    (measured,) = finish_camera([calibrate_detector(readout, detector, light)])
    return Calibrated(readout, detector, measured)
