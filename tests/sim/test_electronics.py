import numpy as np
import pytest

from drpflow.sim.amplifiers import true_amplifiers
from drpflow.sim.detector_config import BiasDrift, BiasStructure, DetectorEffects, NonLinearity
from drpflow.sim.electronics import (
    ADC_MAX,
    Amplification,
    bias_drift,
    bias_structure,
    nonlinearity_loss,
)
from tests.sim.detectors import only

SHAPE = (40, 60)


def amplification(effects: DetectorEffects, seed: int = 3) -> Amplification:
    true = true_amplifiers(effects, 0, seed)
    return Amplification(effects.electronics, true, SHAPE, seed, 0)


def charge(level: float = 10000.0) -> np.ndarray:
    return np.random.default_rng(2).uniform(0, level, (4, *SHAPE)).astype(np.float32)


def test_nonlinearity_has_its_loss_at_full_scale_and_keeps_the_gain() -> None:
    config = NonLinearity(wave=0.0)
    signal = np.array([-100.0, 0.0, 60.0, 60000.0])
    loss = nonlinearity_loss(signal, config, 0.01, 0.0)
    np.testing.assert_allclose(loss, [0, 0, 60 * 0.01 * 0.6e-3, 600], rtol=1e-3)


def test_nonlinearity_is_monotonic() -> None:
    signal = np.arange(0, 66000.0)
    linear = signal - nonlinearity_loss(signal, NonLinearity(), 0.02, 1.0)
    assert np.all(np.diff(linear) > 0)


def test_off_is_division_by_the_gain() -> None:
    effects = only()
    values = charge()
    raw, bias = amplification(effects).digitize(values, (0, 1))
    true = true_amplifiers(effects, 0, 3)
    level = true.bias[:, None, None]
    expected = values / true.gain[:, None, None] + level
    assert np.abs(raw - expected).max() < 0.51
    np.testing.assert_allclose(bias, np.broadcast_to(true.bias[:, None], bias.shape))


def test_read_noise() -> None:
    effects = only(electronics={"read_noise_electron": 8.0})
    raw, _ = amplification(effects).digitize(np.zeros((4, *SHAPE), np.float32), (0, 1))
    true = true_amplifiers(effects, 0, 3)
    noise = np.sqrt((true.read_noise / true.gain) ** 2 + 1 / 12)
    np.testing.assert_allclose(raw.std(axis=(1, 2)), noise, rtol=0.06)


def test_crosstalk_is_in_proportion_to_the_source() -> None:
    effects = only(electronics={"crosstalk": {"enabled": True, "neighbor": 0.01}})
    values = np.zeros((4, *SHAPE), np.float32)
    values[1, 10:20, 10:20] = 80000
    raw, bias = amplification(effects).digitize(values, (0, 1))
    signal = raw - bias[:, :, None]
    true = true_amplifiers(effects, 0, 3)
    for victim in (0, 2, 3):
        expected = true.crosstalk[victim, 1] * 80000 / true.gain[1]
        assert signal[victim, 15, 15] == pytest.approx(expected, abs=0.6)
        assert signal[victim, 30, 30] == pytest.approx(0, abs=0.6)


def test_converter_clips() -> None:
    raw, _ = amplification(only()).digitize(np.full((4, *SHAPE), 1e6, np.float32), (0, 1))
    assert np.all(raw == ADC_MAX)


def test_bias_structure() -> None:
    rng = np.random.default_rng(1)
    pattern = bias_structure(BiasStructure(), (200, 300), rng)
    rows = pattern.mean(axis=0)
    assert 2 < rows[:5].mean() - rows[-50:].mean() < 6
    assert 0.3 < np.std(rows[-100:]) < 0.8
    assert not bias_structure(BiasStructure(enabled=False), (20, 30), rng).any()


def test_bias_drift() -> None:
    rng = np.random.default_rng(2)
    config = BiasDrift(exposure_rms_adu=0.0)
    drifts = np.array([bias_drift(config, 500, 4, rng) for _ in range(100)])
    assert drifts.std() == pytest.approx(1.5, rel=0.1)
    correlation = np.mean(drifts[:, 0] * drifts[:, 1]) / drifts.var()
    assert correlation == pytest.approx(0.7, abs=0.08)
    # Correlation of rows one length apart: 1/e.
    apart = np.mean(drifts[:, :, :-120] * drifts[:, :, 120:]) / drifts.var()
    assert apart == pytest.approx(np.exp(-1), abs=0.1)
    levels = [bias_drift(BiasDrift(row_rms_adu=0.0), 3, 4, rng)[0, 0] for _ in range(300)]
    assert np.std(levels) == pytest.approx(3, rel=0.15)
    assert not bias_drift(BiasDrift(enabled=False), 10, 4, rng).any()
