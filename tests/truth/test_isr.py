"""isr against the truth of the simulated detector, with calibrations from finite noisy frames.

Tolerances are those that the project promises: bias of an amplifier within 0.3 read noises;
crosstalk, non-linearity and brighter-fatter removed to 10 % of their effect or less; variance
right to 3 % where there is no source. The simulator moves charge across pixel borders by the
field of every stored electron, bends and leaks with formulae of its own, and shares no code
with isr.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, distance_transform_edt

from drpflow.data.exposure import Exposure

from .simulated_detector import Frame, SimulatedDetector

SIZE = 512
UNUSABLE = ("BAD", "SAT", "SUSPECT", "CROSSTALK", "NO_DATA", "UNMASKEDNAN")
# Rounding to whole adu in two frames, times the gain of 1.7.
ROUNDING_ELECTRON = 1.7 * np.sqrt(2 / 12)


@pytest.fixture(scope="module", params=[5, 23])
def sim(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> SimulatedDetector:
    return SimulatedDetector(tmp_path_factory.mktemp("calib"), SIZE, request.param)


def clear(exposure: Exposure, frame: Frame) -> NDArray[np.bool_]:
    """Pixels that isr vouches for; cosmic rays are found by a later task."""
    hit = binary_dilation(frame.raw.truth["cosmic_ray"] > 0, iterations=2)
    return ~exposure.mask.any(UNUSABLE) & ~hit


def rms(values: NDArray) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=float))))


@pytest.mark.parametrize(
    ("sky", "log_flux"), [(3.0, (3.0, 6.0)), (500.0, (3.0, 6.0)), (500.0, (4.0, 7.3))],
    ids=["dark sky", "bright sky", "saturated stars"],
)  # fmt: skip
def test_bias_of_amplifiers(
    sim: SimulatedDetector, sky: float, log_flux: tuple[float, float]
) -> None:
    frame = sim.expose(sim.scene(sky, log_flux))
    exposure = sim.isr(frame)
    good = clear(exposure, frame)
    naive = sim.naive(frame)
    worst, worst_naive = 0.0, 0.0
    for amp in sim.detector.amplifiers:
        x0, x1, y0, y1 = amp.data_section
        part = good[y0:y1, x0:x1]
        truth = frame.truth[y0:y1, x0:x1]
        worst = max(
            worst, abs((exposure.image[y0:y1, x0:x1] - truth)[part].mean()) / amp.read_noise
        )
        off = abs((naive[y0:y1, x0:x1] - truth)[part].mean()) / amp.read_noise
        worst_naive = max(worst_naive, off)
    assert worst < 0.3
    assert worst < 0.5 * worst_naive


@pytest.mark.parametrize("kind", ["crosstalk", "linearizer", "brighter_fatter"])
def test_effects_are_removed(sim: SimulatedDetector, kind: str) -> None:
    """The same photons and noise without the effect show what it did, and what is left of it."""
    scene = sim.scene(500.0, (4.5, 6.1))
    with_effect, without = sim.expose(scene), sim.expose(scene, without=kind)
    clean = sim.isr(without, kind)
    corrected = sim.isr(with_effect)
    good = clear(corrected, with_effect) & clear(clean, without)
    effect = (sim.isr(with_effect, kind).image - clean.image)[good]
    left = (corrected.image - clean.image)[good]
    strong = np.abs(effect) > 4 * ROUNDING_ELECTRON
    assert strong.sum() > 100
    noise = ROUNDING_ELECTRON
    remaining = np.sqrt(max(rms(left[strong]) ** 2 - noise**2, 0.0))
    assert remaining < 0.1 * rms(effect[strong])
    # And on average over what the effect did, sign and all.
    assert abs((effect * left)[strong].sum() / (effect**2)[strong].sum()) < 0.1


def test_late_charge_is_brought_back(sim: SimulatedDetector) -> None:
    scene = sim.scene(500.0, (5.5, 6.1))
    with_effect, without = sim.expose(scene), sim.expose(scene, without="cti")
    clean, corrected = sim.isr(without, "cti"), sim.isr(with_effect)
    good = clear(corrected, with_effect) & clear(clean, without)
    effect = (sim.isr(with_effect, "cti").image - clean.image)[good]
    left = (corrected.image - clean.image)[good]
    # Charge is at most some electrons late: compare where it is most, averaging the rounding.
    trailing = effect > 3 * ROUNDING_ELECTRON
    assert trailing.sum() > 10
    assert abs(left[trailing].mean()) < 0.2 * effect[trailing].mean()


@pytest.mark.parametrize("sky", [0.0, 3.0, 300.0, 3000.0])
def test_variance_where_there_is_no_source(sim: SimulatedDetector, sky: float) -> None:
    frame = sim.expose(np.full((SIZE, SIZE), sky), visit=7)
    exposure = sim.isr(frame)
    good = clear(exposure, frame)
    for amp in sim.detector.amplifiers:
        x0, x1, y0, y1 = amp.data_section
        part = good[y0:y1, x0:x1]
        pixels = exposure.image[y0:y1, x0:x1][part]
        stated = exposure.variance[y0:y1, x0:x1][part]
        # Faint tails of cosmic rays are outliers, not noise.
        inside = np.abs(pixels - np.median(pixels)) < 5 * np.sqrt(np.median(stated))
        assert inside.mean() > 0.998
        assert stated[inside].mean() == pytest.approx(pixels[inside].var(), rel=0.03)


def test_row_noise_is_below_that_of_row_medians(sim: SimulatedDetector) -> None:
    """What the overscan leaves along rows: the adaptive level against a median of each row."""
    frame = sim.expose(np.zeros((SIZE, SIZE)), visit=11)
    scatter = {}
    for label, serial in (
        ("adaptive", {}),
        ("row medians", {"method": "row", "statistic": "median"}),
        ("one level", {"method": "constant"}),
    ):
        exposure = sim.isr(frame, overscan={"serial": serial})
        off = np.where(clear(exposure, frame), exposure.image - frame.truth, np.nan)
        half = SIZE // 2
        means = np.concatenate([np.nanmean(off[:, :half], 1), np.nanmean(off[:, half:], 1)])
        floor = np.nanstd(off) / np.sqrt(half)
        scatter[label] = np.sqrt(max(means.var() - floor**2, 0.0))
    assert scatter["adaptive"] < 0.7 * scatter["row medians"]
    assert scatter["adaptive"] < 0.5 * scatter["one level"]


def test_saturation_bleeds_and_defects_are_flagged(sim: SimulatedDetector) -> None:
    frame = sim.expose(sim.scene(500.0, (6.0, 7.3), stars=40))
    exposure = sim.isr(frame)
    full = frame.raw.truth["saturated"]
    assert full.sum() > 500
    assert (exposure.mask.any("SAT") & full).sum() > 0.99 * full.sum()
    # Not much beyond them and the pixel of growth.
    near = distance_transform_edt(~full) < 3
    assert (exposure.mask.any("SAT") & ~near).sum() < 0.05 * full.sum()
    assert np.isfinite(exposure.image).all()
    # Pixels that isr vouches for agree with the truth within their noise.
    good = clear(exposure, frame)
    pull = ((exposure.image - frame.truth) / np.sqrt(exposure.variance))[good]
    assert (np.abs(pull) > 8).mean() < 2e-3


def test_two_runs_give_the_same(sim: SimulatedDetector) -> None:
    frame = sim.expose(sim.scene(100.0, (3.0, 6.0)))
    first, second = sim.isr(frame), sim.isr(frame)
    for name in ("image", "variance"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    np.testing.assert_array_equal(first.mask.array, second.mask.array)
