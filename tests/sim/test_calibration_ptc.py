import numpy as np

from drpflow.sim.calibration_ptc import CurvePoint, fit_photon_transfer, pair_statistics

GAIN = np.array([1.6, 1.75])
LOSS = 1.7e-6
NOISE_ADU = np.array([3.2, 3.5])


def model(mean_adu: np.ndarray) -> np.ndarray:
    """Return the variance of the photon-transfer curve, adu²."""
    x = 2 * LOSS * GAIN * mean_adu
    return mean_adu / GAIN * -np.expm1(-x) / x + NOISE_ADU**2


def test_exact_curve_is_recovered() -> None:
    points = []
    for level in np.linspace(1000, 45000, 15):
        mean = np.full(2, level)
        variance = model(mean)
        statistics = np.array([mean, variance, 0.01 * variance])
        points.append(CurvePoint(statistics, np.ones(2, bool)))
    found = fit_photon_transfer(points, np.full(2, 60000.0), NOISE_ADU)
    np.testing.assert_allclose(found.gain, GAIN, rtol=1e-4)
    np.testing.assert_allclose(found.area_loss, LOSS, rtol=1e-3)
    np.testing.assert_allclose(found.read_noise, NOISE_ADU * GAIN)


def test_pair_statistics_ignore_pattern_lamp_and_cosmic_rays() -> None:
    rng = np.random.default_rng(2)
    response = 1 + 0.02 * rng.standard_normal((1, 200, 200))
    # One electron per adu: variance equals mean. The second exposure has 1 % more light.
    pair = np.stack([rng.poisson(level * response) for level in (20000, 20200)])
    pair = pair.astype(np.float32)
    pair[0, 0, 50:53, 80] += 30000
    mean, variance, error = pair_statistics(pair)[:, 0]
    assert abs(mean - 20100) < 20
    assert abs(variance - 20100) < 4 * error
    np.testing.assert_allclose(error, variance * np.sqrt(2 / 40000), rtol=0.01)
