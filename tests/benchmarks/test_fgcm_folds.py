import numpy as np
import pytest
from fgcm_folds import NAMES, Held, _deviations, folds_text

from drpflow.data.photometric_tables import Observations, Visits

SCATTERS = dict(zip(NAMES, (30.0, 6.0, 12.0, 14.0, 10.0, 8.0), strict=True))
NOISE = 5.0


def held(cloudy: bool, seed: int) -> Held:
    """Return 40 images of 25 measurements with known scatters."""
    rng = np.random.default_rng(seed)
    image = np.repeat(np.arange(40), 25)
    off = {n: rng.normal(0, np.hypot(s, NOISE), image.size) for n, s in SCATTERS.items()}
    noise = {name: np.full(image.size, NOISE) for name in NAMES}
    where = np.full(image.size, cloudy)
    return Held(off, noise, image, where, where & (image < 20), 0.25 * cloudy)


def cells(text: str, row: str) -> list[float]:
    line = next(line for line in text.splitlines() if line.startswith(f"| {row} |"))
    return [float(cell.split()[0]) for cell in line.split("|")[2:-1]]


def test_scatters_come_back_without_noise() -> None:
    text = folds_text([held(True, 1), held(True, 2), held(False, 3)], 50)
    for label in ("robust width", "rms"):
        found = cells(text, f"cloudy visits, {label}")
        np.testing.assert_allclose(found[:6], list(SCATTERS.values()), rtol=0.12)
        for ratio, (more, less) in zip(found[6:], ((0, 4), (2, 4), (3, 5)), strict=True):
            assert ratio == pytest.approx(found[more] / found[less], rel=0.02)
    assert "cloudy visits: 2000 measurements on 80 detector images" in text
    assert "cloudy, real gradients: 1000 measurements on 40 detector images" in text
    assert "off by 0.25 mmag" in text


def test_intervals_are_those_of_images() -> None:
    one = held(True, 1)
    rng = np.random.default_rng(4)
    shared = rng.normal(0, 100.0, 40)[one.image]
    off = one.off | {"fgcm": shared}
    text = folds_text(
        [Held(off, one.noise, one.image, one.cloudy, one.uneven, 0.0), held(False, 2)], 200
    )
    line = next(line for line in text.splitlines() if line.startswith("| cloudy visits, rms"))
    low, high = (float(word.strip(" ()")) for word in line.split("|")[6].split("(")[1].split("to"))
    # The error of the rms of 40 values, not of 1000.
    assert 25 < high - low < 80


def observations(mag: np.ndarray, star: np.ndarray) -> tuple[Observations, Visits]:
    n, zero = mag.size, np.zeros(mag.size)
    o = Observations(star, np.arange(n) % 4, zero, mag, zero + 0.002, zero, zero)
    ones = np.ones(4)
    visits = Visits(
        bands=("g", "r"),
        id=np.arange(4),
        night=np.zeros(4),
        mjd=6e4 + np.arange(4.0),
        band=np.array([0, 0, 0, 1]),
        airmass=ones,
        exposure_time_s=ones,
        ra_deg=ones,
        dec_deg=ones,
        fwhm_arcsec=ones,
        pressure_hpa=ones,
    )
    return o, visits


def test_deviations_are_from_the_stars_median_in_the_band() -> None:
    mag = np.array([20.0, 20.01, 20.03, 25.0, 18.0, 18.0, 18.0, 17.0])
    o, visits = observations(mag, np.repeat([0, 1], 4))
    off = _deviations(o, visits, mag, np.ones(8, bool))
    enlarged = np.sqrt(3 / 2)
    wanted = [-10 * enlarged, 0, 20 * enlarged, np.nan, 0, 0, 0, np.nan]
    np.testing.assert_allclose(off, wanted, atol=1e-6)


def test_measurements_that_are_not_wanted_have_no_part_in_the_median() -> None:
    mag = np.array([20.0, 20.01, 20.03, 25.0])
    o, visits = observations(mag, np.zeros(4, int))
    wanted = np.array([True, True, False, True])
    assert np.isnan(_deviations(o, visits, mag, wanted)).all()
