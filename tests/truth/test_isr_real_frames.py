"""isr on real raw frames: ten darks and twelve lights of one night, without overscan or flats.

The header's gain is that of unbinned pixels, so that gain and read noise are measured here, from
the scatter of darks and of half of the lights; the other half is what the variance is tested on.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from drpflow.config.base import validate
from drpflow.config.isr import IsrConfig
from drpflow.data.calibrations import CalibrationImage, Calibrations, Defects
from drpflow.data.camera import Amplifier, Detector
from drpflow.data.exposure import Exposure
from drpflow.data.visit_info import VisitInfo
from drpflow.io.raw import read_raw
from drpflow.tasks.isr import isr

PEDESTAL_ADU, TIME_S = 100.0, 60.0
HOT_ADU = 500.0

pytestmark = pytest.mark.real_data


def noise_of(image: NDArray) -> float:
    """Scatter of neighbouring pixels, clipped: sky noise without stars and gradients."""
    difference = (image[:, 2:] - image[:, :-2]).astype(float) / np.sqrt(2)
    difference = difference[np.isfinite(difference)]
    for _ in range(8):
        difference = difference[np.abs(difference) < 3 * difference.std()]
    # Clipping a Gaussian at 3 σ takes 1.3 % off its width.
    return float(difference.std() / 0.9867)


class Night:
    """All frames, and the calibrations made of the darks."""

    def __init__(self, folder: Path) -> None:
        read = {p.name: read_raw(p, 0).data for p in sorted(folder.glob("tres1-*.fit.gz"))}
        self.darks = np.stack([f for name, f in read.items() if "d.fit" in name])
        self.lights = [f for name, f in read.items() if "d.fit" not in name]
        self.master = np.median(self.darks, axis=0)
        pairs = zip(self.darks[:-1], self.darks[1:], strict=True)
        noise_adu = float(np.median([noise_of(a - b) for a, b in pairs])) / np.sqrt(2)
        skies = [(np.median(f - self.master), noise_of(f - self.master)) for f in self.lights[::2]]
        self.gain = float(np.median([sky / (n**2 - noise_adu**2) for sky, n in skies]))
        ny, nx = self.master.shape
        box = (0, nx, 0, ny)
        amp = Amplifier(
            name="A", data_section=box, raw_data_section=box, gain=self.gain,
            read_noise=noise_adu * self.gain, saturation=58000.0,
        )  # fmt: skip
        self.detector = Detector(
            id=0, name="ST-10", size_pix=(nx, ny), pixel_size_mm=0.0136, amplifiers=(amp,)
        )
        self.hot = self.master > HOT_ADU
        y, x = np.nonzero(self.hot)
        self.defects = Defects(np.column_stack([x, x + 1, y, y + 1]).astype(np.int32))

    def isr(self, raw: NDArray[np.float32], *, dark: bool, defects: bool) -> Exposure:
        rate = (self.master - np.float32(PEDESTAL_ADU)) * np.float32(self.gain / TIME_S)
        given = Calibrations(
            dark=CalibrationImage(rate) if dark else None,
            defects=self.defects if defects else None,
        )
        settings = {"required": [], "overscan": {"pedestal_adu": PEDESTAL_ADU}}
        visit = VisitInfo(visit=1, exposure_time_s=TIME_S)
        config = validate(IsrConfig, settings, "test")
        return isr(raw, self.detector, visit, given, config).exposure


@pytest.fixture(scope="module")
def night(real_data: Path) -> Night:
    return Night(real_data / "raw_darks")


def contrast(image: NDArray, where: NDArray[np.bool_]) -> NDArray:
    """By how much pixels exceed the mean of their left and right neighbours."""
    around = 0.5 * (np.roll(image, 1, axis=1) + np.roll(image, -1, axis=1))
    return (image - around)[where]


def test_hot_pixels_are_gone(night: Night) -> None:
    assert 100 < night.hot.sum() < 1000
    lonely = night.hot & ~np.roll(night.hot, 1, axis=1) & ~np.roll(night.hot, -1, axis=1)
    raw = night.lights[0]
    before = night.isr(raw, dark=False, defects=False)
    dark = night.isr(raw, dark=True, defects=False)
    filled = night.isr(raw, dark=True, defects=True)
    noise = noise_of(filled.image)
    assert np.median(contrast(before.image, lonely)) > 5 * noise
    assert np.abs(np.median(contrast(dark.image, lonely))) < 1.5 * noise
    assert np.abs(np.median(contrast(filled.image, lonely))) < 0.3 * noise
    assert (np.abs(contrast(filled.image, lonely)) > 5 * noise).mean() < 0.02
    np.testing.assert_array_equal(filled.mask.any("BAD"), night.hot)


def test_variance_is_that_of_the_pixels(night: Night) -> None:
    """Over a night in which the sky halves."""
    skies = []
    for raw in night.lights[1::2]:
        exposure = night.isr(raw, dark=True, defects=True)
        good = ~exposure.mask.any(("BAD", "SAT", "SUSPECT"))
        sky = np.median(exposure.image[good])
        assert noise_of(exposure.image) ** 2 == pytest.approx(
            np.median(exposure.variance[good]), rel=0.05
        )
        skies.append(sky)
    assert max(skies) > 1.6 * min(skies)


def test_saturated_stars_are_flagged_and_nothing_is_lost(night: Night) -> None:
    for raw in night.lights[:3]:
        exposure = night.isr(raw, dark=True, defects=True)
        saturated = exposure.mask.any("SAT")
        assert saturated[raw >= 58000 + PEDESTAL_ADU].all()
        assert saturated.mean() < 1e-3
        assert np.isfinite(exposure.image).all()
        assert (exposure.variance > 0).all()
