import numpy as np
import pytest

from drpflow.sim.amplifiers import assemble, slices
from drpflow.sim.detector_config import DetectorEffects
from drpflow.sim.readout import Readout
from tests.sim.detectors import SEED, flat_frame, only, square

SWITCHES: dict[str, dict] = {
    "response": {},
    "brighter_fatter": {},
    "dark_current": {"rate_electron_s": 5.0},
    "defects": {"dead_columns": 60.0, "dead_spots": 600.0},
    "cosmic_rays": {"rate_cm2_s": 60.0},
    "saturation": {"full_well_electron": 15000.0},
    "serial_cti": {"loss_per_transfer": 1e-4},
}
ELECTRONICS: dict[str, dict] = {
    "nonlinearity": {},
    "crosstalk": {"neighbor": 0.01},
    "bias_structure": {},
    "bias_drift": {},
}


def scene(size: int = 64) -> np.ndarray:
    y, x = np.mgrid[:size, :size]
    return 3000 + 30 * x + 60 * y + 40000 * np.exp(-((x - 20) ** 2 + (y - 40) ** 2) / 8.0)


def expose(effects: DetectorEffects, seed: int = SEED, visit: int = 1) -> np.ndarray:
    readout = Readout(effects, seed)
    return readout.expose(scene(), square(), 30.0, ids=(0, visit), physical_filter="g").adu


def test_without_effects_the_light_comes_back() -> None:
    readout, detector = Readout(only(), SEED), square()
    exposure = readout.expose(scene(), detector, 30.0, ids=(0, 1), physical_filter="g")
    layout, true = readout.layout(detector), readout.amplifiers(detector)
    parts = [
        (exposure.adu[slices(c.raw_data_section)] - true.bias[a]) * true.gain[a]
        for a, c in enumerate(layout)
    ]
    assert np.abs(assemble(parts, layout) - scene()).max() < 0.51 * true.gain.max() + 0.01
    for a, channel in enumerate(layout):
        overscan = exposure.adu[slices(channel.raw_serial_overscan)]
        assert np.all(overscan == np.rint(true.bias[a]))


@pytest.mark.parametrize("name", SWITCHES)
def test_each_effect_has_a_switch(name: str) -> None:
    on = only(**{name: {"enabled": True, **SWITCHES[name]}})
    off = only(**{name: {"enabled": False, **SWITCHES[name]}})
    assert np.any(expose(on) != expose(only()))
    np.testing.assert_array_equal(expose(off), expose(only()))


@pytest.mark.parametrize("name", ELECTRONICS)
def test_each_effect_of_the_electronics_has_a_switch(name: str) -> None:
    on = only(electronics={name: {"enabled": True, **ELECTRONICS[name]}})
    off = only(electronics={name: {"enabled": False, **ELECTRONICS[name]}})
    assert np.any(expose(on) != expose(only()))
    np.testing.assert_array_equal(expose(off), expose(only()))


def test_same_seed_same_bytes() -> None:
    effects = DetectorEffects()
    first = expose(effects).tobytes()
    assert expose(effects).tobytes() == first
    assert expose(effects, seed=SEED + 1).tobytes() != first
    assert expose(effects, visit=2).tobytes() != first


def test_order_of_exposures_does_not_matter() -> None:
    readout, detector = Readout(DetectorEffects(), SEED), square()
    for visit in (2, 3, 1):
        last = readout.expose(scene(), detector, 30.0, ids=(0, visit), physical_filter="g").adu
    np.testing.assert_array_equal(last, expose(DetectorEffects()))


def test_switching_one_effect_off_leaves_the_noise_of_the_others() -> None:
    with_rays = DetectorEffects()
    rays = with_rays.cosmic_rays.model_copy(update={"enabled": False})
    without = with_rays.model_copy(update={"cosmic_rays": rays})
    changed = expose(with_rays) != expose(without)
    assert changed.mean() < 0.1


def test_photon_noise() -> None:
    effects = only().model_copy(update={"photon_noise": True})
    gain = Readout(effects, SEED).amplifiers(square()).gain[0]
    block = flat_frame(effects)[:32, 8:40].astype(float) * gain
    assert block.var() == pytest.approx(20000, rel=0.2)
    assert flat_frame(only())[:32, 8:40].std() == 0


def test_truth_adds_up() -> None:
    readout = Readout(DetectorEffects(), SEED)
    exposure = readout.expose(scene(), square(), 30.0, ids=(0, 1), physical_filter="g")
    truth = exposure.truth
    parts = sum(truth[name].sum(dtype=float) for name in ("photo_electrons", "dark", "cosmic_ray"))
    # Brighter-fatter and bleeding move charge; the readout begins with all of it.
    assert truth["charge"].sum(dtype=float) == pytest.approx(parts, rel=1e-6)
    noise = (truth["photo_electrons"] - truth["expected"]) / np.sqrt(truth["expected"])
    assert noise.std() == pytest.approx(1, abs=0.05)
    assert abs(exposure.numbers["bias_C00"] - 1200) < 400


def test_saturated_pixels_are_counted() -> None:
    readout = Readout(DetectorEffects(), SEED)
    light = np.full((64, 64), 100.0)
    light[20, 30] = 1e6
    exposure = readout.expose(light, square(), 1.0, ids=(0, 1), physical_filter="g")
    saturated = exposure.truth["saturated"]
    assert exposure.numbers["saturated_pixels"] == saturated.sum() >= 10
    assert saturated[20, 30]
    assert not saturated[32:].any()


def test_window_reads_the_rows_at_the_registers() -> None:
    readout, detector = Readout(only(), SEED), square()
    window = readout.expose(scene(), detector, 1.0, ids=(0, 1), window_rows=10)
    whole = readout.expose(scene(), detector, 1.0, ids=(0, 1))
    np.testing.assert_array_equal(window.adu[:10], whole.adu[:10])
    height = whole.adu.shape[0] // 2
    np.testing.assert_array_equal(window.adu[26:36], whole.adu[height : height + 10])


def test_closed_shutter_has_no_light() -> None:
    truth = Readout(only(), SEED).expose(None, square(), 30.0, ids=(2, 1)).truth
    assert not truth["charge"].any()
    assert "photo_electrons" not in truth
