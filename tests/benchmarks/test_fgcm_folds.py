import numpy as np
import pytest
from fgcm_folds import NAMES, Held, _uneven, folds_text, rms_excess

from drpflow.data.photometric_tables import Observations

SCATTERS = dict(zip(NAMES, (30.0, 28.0, 6.0, 12.0, 14.0, 10.0, 8.0, 11.0, 9.0), strict=True))


def held(cloudy: bool, seed: int) -> Held:
    """Return 40 images of 25 measurements with known scatters and unequal noise."""
    rng = np.random.default_rng(seed)
    image = np.repeat(np.arange(40), 25)
    noise = np.where(rng.uniform(size=image.size) < 0.5, 1.0, 8.0)
    off = {n: rng.normal(0, np.hypot(s, noise)) for n, s in SCATTERS.items()}
    where = np.full(image.size, cloudy)
    return Held(off, dict.fromkeys(NAMES, noise), image, where, where & (image < 20), 0.25 * cloudy)


def column(text: str, title: str) -> dict[str, float]:
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    place = [t.strip() for t in lines[0]].index(title) + 1
    return {line[0]: float(line[place].split()[0]) for line in lines[2:]}


def test_scatters_come_back_without_noise() -> None:
    text = folds_text([held(True, 1), held(True, 2), held(False, 3)], 50)
    for label in ("robust", "rms"):
        found = list(column(text, f"cloudy, {label}").values())
        np.testing.assert_allclose(found[:9], list(SCATTERS.values()), rtol=0.15)
        pairs = ((0, 5), (1, 6), (3, 5), (4, 6), (7, 5))
        for ratio, (more, less) in zip(found[9:], pairs, strict=True):
            assert ratio == pytest.approx(found[more] / found[less], rel=0.02)
    assert "cloudy: 2000 measurements on 80 detector images" in text
    assert "real gradients: 1000 measurements on 40 detector images" in text
    assert "off by 0.25 mmag" in text


def test_intervals_are_those_of_images() -> None:
    one = held(True, 1)
    rng = np.random.default_rng(4)
    shared = rng.normal(0, 100.0, 40)[one.image]
    off = one.off | {"fgcm": shared}
    text = folds_text(
        [Held(off, one.noise, one.image, one.cloudy, one.uneven, 0.0), held(False, 2)], 60
    )
    line = next(line for line in text.splitlines() if line.startswith("| fgcm |"))
    cell = line.split("|")[2 + 3]
    low, high = (float(word.strip(" ()")) for word in cell.split("(")[1].split("to"))
    # The error of the rms of 40 values, not of 1000: 44, or 9; 60 resamplings tell it to 6.
    assert 25 < high - low < 80


def test_rms_is_without_noise_and_without_what_is_far_off() -> None:
    rng = np.random.default_rng(6)
    noise = np.where(rng.uniform(size=20_000) < 0.5, 1.0, 8.0)
    off = rng.normal(0, np.hypot(noise, 10.0))
    off[:20] = 1e4
    assert rms_excess(off, noise) == pytest.approx(10.0, rel=0.03)


def test_images_with_a_gradient_are_told_from_even_ones() -> None:
    rng = np.random.default_rng(7)
    image = np.repeat(np.arange(60), 12)
    error = np.full(image.size, 0.004)
    uneven = image < 20
    lost = 0.3 * image + rng.normal(0, error) + uneven * rng.normal(0, 0.03, image.size)
    lost[image == 59] = np.nan
    zero = np.zeros(image.size)
    o = Observations(zero, image, zero, zero, error, zero, zero)
    found = _uneven(image, o, lost)
    assert found[uneven].mean() > 0.9
    assert not found[~uneven].any()
