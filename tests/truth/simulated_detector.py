"""A simulated detector with calibrations that were measured from noisy frames of its camera."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drpflow.config.isr import IsrConfig
from drpflow.data.calibrations import Calibrations
from drpflow.data.camera import Detector
from drpflow.data.exposure import Exposure
from drpflow.data.visit_info import VisitInfo
from drpflow.io.calibrations import read_calibrations
from drpflow.sim.calibration_files import calibration_paths, write_calibrations
from drpflow.sim.calibration_frames import calibrate_detector, finish_camera
from drpflow.sim.camera_file import camera_description
from drpflow.sim.config import InstrumentConfig
from drpflow.sim.detector_config import DetectorEffects
from drpflow.sim.instrument import build_instrument
from drpflow.sim.readout import RawExposure, Readout
from drpflow.sim.streams import FrameKind
from drpflow.tasks.isr import isr

FILTER = "sim_r"
TIME_S = 30.0
PSF_SIGMA_PIX = 1.9
# Two share the measurement of the brighter-fatter kernel, which one so small makes 10 % wrong.
DETECTORS = 2

# Where each effect is switched in the simulator's model.
SWITCHES = {
    "brighter_fatter": ("brighter_fatter",),
    "linearizer": ("electronics", "nonlinearity"),
    "crosstalk": ("electronics", "crosstalk"),
    "cti": ("serial_cti",),
}


def switched_off(effects: DetectorEffects, kind: str) -> DetectorEffects:
    """Return the same detectors without one effect."""

    def off(model: Any, path: tuple[str, ...]) -> Any:
        if not path:
            return model.model_copy(update={"enabled": False})
        return model.model_copy(update={path[0]: off(getattr(model, path[0]), path[1:])})

    changed: DetectorEffects = off(effects, SWITCHES[kind])
    return changed


@dataclass(frozen=True)
class Frame:
    """A raw frame and what isr should make of it."""

    raw: RawExposure
    truth: NDArray[np.float64]
    """Electrons that photons freed, with their noise, over the relative response."""


class SimulatedDetector:
    """A detector of the simulated camera.

    Parameters
    ----------
    folder
        For the calibration files.
    size
        Pixels along a side.
    seed
        Of hardware and noise.
    """

    def __init__(self, folder: Path, size: int, seed: int) -> None:
        self.effects, self.seed, self.size = DetectorEffects(), seed, size
        config = InstrumentConfig.model_validate(
            {
                "columns": DETECTORS,
                "rows": 1,
                "detector_size_pix": [size, size],
                "filters": [
                    {
                        "physical_filter": FILTER,
                        "band": "r",
                        "lower_nm": 553,
                        "upper_nm": 688,
                        "sky_mag": 20.9,
                    }
                ],
            }
        )
        instrument = build_instrument(config)
        self._all = instrument.detectors
        self._sim = instrument.detectors[0]
        described = camera_description(instrument, self.effects)["detectors"][0]
        self.detector = Detector.model_validate(described)
        self.readout = Readout(self.effects, seed)
        light = {FILTER: np.ones((size, size))}
        parts = [
            calibrate_detector(self.readout, item, light, DETECTORS)
            for item in instrument.detectors
        ]
        measured = finish_camera(parts)[0]
        write_calibrations(folder, "simcam", measured)
        paths = calibration_paths(folder, "simcam", self._sim.id, (FILTER,))
        files = {k.removesuffix(f"_{FILTER}"): (path, None) for k, path in paths.items()}
        self.calibrations: Calibrations = read_calibrations(files, self.detector, FILTER)

    @cached_property
    def response(self) -> NDArray[np.float64]:
        """True response relative to the camera's median."""
        responses = [self.readout.response(item, FILTER).copy() for item in self._all]
        return responses[0].astype(np.float64) / np.median(responses)

    def scene(self, sky: float, log_flux: tuple[float, float], stars: int = 100) -> NDArray:
        """Sky and Gaussian stars, expected electrons at unit efficiency."""
        rng = np.random.default_rng([self.seed, 99])
        image = np.full((self.size, self.size), sky)
        y, x = np.mgrid[-20:21, -20:21]
        for _ in range(stars):
            y0, x0 = rng.integers(20, self.size - 21, 2)
            dy, dx = rng.uniform(-0.5, 0.5, 2)
            shape = np.exp(-((x - dx) ** 2 + (y - dy) ** 2) / 2 / PSF_SIGMA_PIX**2)
            peak = 10 ** rng.uniform(*log_flux) / (2 * np.pi * PSF_SIGMA_PIX**2)
            image[y0 - 20 : y0 + 21, x0 - 20 : x0 + 21] += peak * shape
        return image

    def expose(self, scene: NDArray, visit: int = 1, without: str = "") -> Frame:
        """Take a raw frame of a scene, if wished without one effect but with the same noise."""
        readout = self.readout
        if without:
            readout = Readout(switched_off(self.effects, without), self.seed)
        raw = readout.expose(
            scene, self._sim, TIME_S, ids=(int(FrameKind.SCIENCE), visit), physical_filter=FILTER
        )
        return Frame(raw, raw.truth["photo_electrons"] / self.response)

    def isr(self, frame: Frame, *left_out: str, **config: Any) -> Exposure:
        """Run isr, if wished without some calibrations."""
        visit = VisitInfo(visit=1, physical_filter=FILTER, exposure_time_s=TIME_S)
        known = self.calibrations.without(left_out)
        settings = IsrConfig.model_validate({"required": [], **config})
        raw = frame.raw.adu.astype(np.float32)
        return isr(raw, self.detector, visit, known, settings).exposure

    def naive(self, frame: Frame) -> NDArray[np.float32]:
        """Return what many a script does: median overscan, bias, nominal gain, flat."""
        image = np.empty((self.size, self.size), np.float32)
        assert self.calibrations.bias is not None
        assert self.calibrations.flat is not None
        for amp in self.detector.amplifiers:
            x0, x1, y0, y1 = amp.data_section
            u0, u1, v0, v1 = amp.raw_data_section
            assert amp.raw_serial_overscan is not None
            a, b, c, d = amp.raw_serial_overscan
            level = np.median(frame.raw.adu[c:d, a:b])
            part = frame.raw.adu[v0:v1, u0:u1].astype(np.float32) - level
            part = part[:: -1 if amp.flip_y else 1, :: -1 if amp.flip_x else 1]
            bias = self.calibrations.bias.data[y0:y1, x0:x1]
            image[y0:y1, x0:x1] = (part - bias) * amp.gain
        return image / self.calibrations.flat.data
