import numpy as np
import pytest
from night_photometry import Frames, constant, nightly, score


def frames(*, variable_mag: float = 0.1, night_mag: float = 0.004) -> Frames:
    """40 stars on 48 frames of 12 nights; noise 5 mmag; star 7 varies, star 9 on even frames."""
    rng = np.random.default_rng([8, 3])
    night = np.repeat(np.arange(12), 4)
    usual = np.linspace(15.0, 17.0, 40)
    mag = usual + rng.normal(0.0, 0.005, (48, 40))
    mag += night_mag * rng.normal(size=(12, 40))[night]
    mag[:, 7] += variable_mag * np.sin(np.arange(48))
    mag[1::2, 9] += variable_mag * np.sin(np.arange(24))
    reserved = np.arange(40) % 10 == 0
    return Frames(np.arange(48), night, {"fgcm": mag}, reserved, usual)


def test_variable_stars_are_found_on_the_odd_frames_alone() -> None:
    found = constant(frames())
    assert not found[7]
    assert found[9]
    assert found.mean() > 0.85


def test_scatter_is_that_of_noise_and_nights() -> None:
    table = score(frames(), constant(frames()))["fgcm"]
    assert table["rms"].value == pytest.approx(np.hypot(5.0, 4.0), rel=0.15)
    # Two even frames a night.
    assert table["rms of nights"].value == pytest.approx(np.hypot(5.0 / np.sqrt(2), 4.0), rel=0.15)
    assert table["1.48 MAD"].low < table["1.48 MAD"].value < table["1.48 MAD"].high


def test_a_night_without_a_star_does_not_count() -> None:
    one = frames(night_mag=0.0)
    mag = one.mag["fgcm"][1::2].copy()
    mag[2:4, 0] = np.nan
    found = nightly(one, mag)
    assert np.isfinite(found).all()
    assert found[0] == pytest.approx(0.005 / np.sqrt(2), rel=0.6)
