import numpy as np

from drpflow.sim.calibration_reduction import Linearizer, Reduction, clipped_mean, cosmic_rays
from drpflow.sim.cti import transfer
from drpflow.sim.readout import Readout
from tests.sim.detectors import SEED, only, square


def test_image_is_the_light() -> None:
    readout, detector = Readout(only(), SEED), square()
    y, x = np.mgrid[:64, :64]
    light = 1000.0 + 100 * x + 300 * y
    reduction = Reduction(readout.layout(detector), gain=readout.amplifiers(detector).gain)
    image = reduction.image(readout.expose(light, detector, 1.0, ids=(0, 1)).adu)
    assert np.abs(image - light).max() < 2
    # A windowed frame gives the rows next to the registers.
    raw = readout.expose(light, detector, 1.0, ids=(0, 1), window_rows=20).adu
    window = reduction.image(raw)
    np.testing.assert_array_equal(window, np.concatenate([image[:20], image[-20:]]))


def test_late_charge_is_restored_to_first_order() -> None:
    layout = Readout(only(), SEED).layout(square())
    loss = 1e-4
    true = np.random.default_rng(1).uniform(0, 1e4, (4, 30, 32)).astype(np.float32)
    register = np.concatenate([np.zeros((4, 30, 8), np.float32), true], axis=2)
    moved = np.stack([transfer(block, loss) for block in register])[:, :, 8:]
    restored = moved.copy()
    Reduction(layout, serial_cti=np.full(4, loss)).restore(restored)
    assert np.abs(restored - true).max() < 0.02 * np.abs(moved - true).max()


def test_linearizer_follows_its_nodes() -> None:
    nodes = np.linspace(0, 60000, 15)
    linearizer = Linearizer(nodes, -0.01 * nodes**2 / 60000)
    signal = np.array([-5.0, 0.0, 30000.0, 55000.0], np.float32)
    expected = [-5, 0, 30150, 55000 + 0.01 * 55000**2 / 60000]
    np.testing.assert_allclose(linearizer.apply(signal), expected, atol=2)


def test_clipped_mean_drops_cosmic_rays() -> None:
    stack = np.random.default_rng(3).normal(100, 10, (8, 30, 30)).astype(np.float32)
    stack[2, 4, 4] += 5000
    mean, variance = clipped_mean(stack, 0.0)
    assert np.abs(mean - 100).max() < 20
    assert variance[4, 4] > variance[20, 20] * 0.9
    np.testing.assert_allclose(np.median(variance), 100 / 8, rtol=0.1)


def test_cosmic_rays_are_found_and_noise_is_not() -> None:
    noise = np.random.default_rng(4).normal(0, 200, (200, 200)).astype(np.float32)
    assert cosmic_rays(noise).mean() < 1e-3
    track = noise.copy()
    # No single pixel of it stands out of 5 σ, together they do.
    track[100:103, 50:80] += 700
    assert cosmic_rays(track)[100:103, 55:75].mean() > 0.9
