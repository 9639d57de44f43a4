import numpy as np
import pytest

from drpflow.algorithms.turbulence.spectrum import Spectrum, modes

SHAPE = (240, 250)
SPACING = 0.01


@pytest.mark.parametrize("curl", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("stretch", [(0.0, 0.0), (0.5, -0.3)])
def test_the_variance_is_that_asked_for(curl: float, stretch: tuple[float, float]) -> None:
    waves = modes(Spectrum(7.0, 0.08, *stretch, curl_fraction=curl), SHAPE, SPACING)
    xx, yy, _ = waves.correlation()
    assert (xx[0, 0] + yy[0, 0]) / 2 == pytest.approx(49.0, rel=1e-6)


@pytest.mark.parametrize("curl", [0.0, 0.4])
def test_correlation_falls_to_1_over_e_at_the_coherence_length(curl: float) -> None:
    waves = modes(Spectrum(1.0, 0.1, curl_fraction=curl), SHAPE, SPACING)
    xx, yy, _ = waves.correlation()
    for place in ((0, 10), (10, 0)):
        assert (xx + yy)[place] / 2 == pytest.approx(np.exp(-1), abs=0.02)


def test_correlation_is_that_of_von_karman() -> None:
    from scipy.special import gamma, kv

    waves = modes(Spectrum(1.0, 0.1, curl_fraction=0.5), SHAPE, SPACING)
    total = sum(waves.correlation()[:2])[0, 1:30] / 2
    z = 14.656 * SPACING * np.arange(1, 30)
    exact = 2 ** (1 / 6) / gamma(5 / 6) * z ** (5 / 6) * kv(5 / 6, z)
    assert total == pytest.approx(exact, abs=0.015)


def test_gradients_and_curls_differ_along_and_across() -> None:
    """Without curl d(s · across)/ds = along; with nothing but curl the reverse."""
    for curl in (0.0, 1.0):
        waves = modes(Spectrum(1.0, 0.1, curl_fraction=curl), SHAPE, SPACING)
        along, across, _ = (c[0, :40] for c in waves.correlation())
        if curl:
            along, across = across, along
        s = SPACING * np.arange(40)
        slope = np.gradient(s * across, SPACING)
        assert slope[3:-1] == pytest.approx(along[3:-1], abs=0.02)


def test_patches_are_longer_along_the_wind() -> None:
    spectrum = Spectrum(1.0, 0.08, 0.6, 0.0, curl_fraction=0.5)
    assert spectrum.direction_deg == 0
    assert spectrum.stretch == pytest.approx(np.exp(0.6))
    xx, yy, _ = modes(spectrum, SHAPE, SPACING).correlation()
    assert (xx + yy)[0, 10] > 1.2 * (xx + yy)[10, 0]
    turned = Spectrum(1.0, 0.08, 0.6 * np.cos(2.0), 0.6 * np.sin(2.0))
    assert turned.direction_deg == pytest.approx(np.degrees(1.0))
    values, vectors = np.linalg.eigh(turned.matrix())
    assert values[1] / values[0] == pytest.approx(np.exp(0.6))
    assert np.prod(values) == pytest.approx(1)
    assert abs(vectors[:, 1] @ [np.cos(1.0), np.sin(1.0)]) == pytest.approx(1)


def test_fields_drawn_from_the_modes_have_their_correlation() -> None:
    from scipy.fft import irfft2, rfft2

    waves = modes(Spectrum(3.0, 0.06, 0.3, 0.2, curl_fraction=0.2), (128, 120), 0.01)
    rng, found = np.random.default_rng(1), []
    for _ in range(60):
        e, b = rfft2(rng.normal(size=(2, 128, 120)), norm="ortho")
        kx, ky = waves.direction
        e, b = waves.root_along * e, waves.root_across * b
        x, y = irfft2(np.stack([kx * e - ky * b, ky * e + kx * b]), s=(128, 120), norm="ortho")
        found.append([np.mean(x * x), np.mean(y * y), np.mean(x * y)])
    model = [c[0, 0] for c in waves.correlation()]
    error = np.std(found, axis=0) / np.sqrt(60)
    assert np.abs((np.mean(found, axis=0) - model) / error).max() < 4
