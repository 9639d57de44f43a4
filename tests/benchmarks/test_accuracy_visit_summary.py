"""Scores of final summaries: what is wrong by a known amount is told to be."""

from __future__ import annotations

from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from accuracy_visit_summary import (
    STAGES,
    Scores,
    less_medians,
    light_within,
    pixel_scores,
    psf_flux,
    relative_light,
    temperature_of,
    true_njy,
    true_zero_point,
)

from drpflow.data.photo_calib import NJY_ZERO_POINT_MAG
from drpflow.data.psf import GaussianPsf

SHAPE = (60, 80)
FIRST, FINAL = STAGES


def frame(gray: float = 0.0, cloud_mag: float = 0.0, lamp: float = 1.0) -> Any:
    """A detector of 80 × 60 pixels of a mm whose light falls by `gray` a mm along x."""
    place = SimpleNamespace(size_pix=(SHAPE[1], SHAPE[0]))
    detector = SimpleNamespace(place=place, to_focal=lambda x, y: (x, y))
    optics = SimpleNamespace(
        detectors={3: detector}, illumination=lambda x, y: 1 - gray * (x - SHAPE[1] / 2)
    )
    model = SimpleNamespace(
        optics=optics,
        cloud_extinction_mag=lambda x, y: cloud_mag * (x > SHAPE[1] / 2),
        truth=SimpleNamespace(physical_filter="r1"),
    )
    survey = SimpleNamespace(
        model=lambda visit: model,
        survey=SimpleNamespace(dome_illumination=lambda detector, name: np.full(SHAPE, lamp)),
    )
    return SimpleNamespace(
        survey=survey, visit=1, detector=3, row={"electron_per_reference_njy": 0.25}
    )


def test_light_over_that_in_the_middle() -> None:
    x, y = np.array([40.0, 60.0, 20.0]), np.zeros(3)
    np.testing.assert_allclose(relative_light(frame(0.01), x, y), [1.0, 0.8, 1.2])
    dimmed = 10 ** (-0.4 * 0.1)
    np.testing.assert_allclose(relative_light(frame(0, 0.1), x, y), [1.0, dimmed, 1.0])


def test_the_true_zero_point_is_that_of_starlight_over_the_lamp() -> None:
    zero_point, lamp = true_zero_point(frame(lamp=0.8))
    assert lamp == 0.8
    # 0.25 electrons a nJy, of which the flat makes 0.3125.
    assert zero_point == pytest.approx(NJY_ZERO_POINT_MAG + 2.5 * np.log10(0.25 / 0.8))


def test_true_light_of_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    sky = np.full(SHAPE, 100.0)
    monkeypatch.setattr("accuracy_visit_summary.render_sky", lambda model, detector: sky)
    given = frame(0.01)
    given.image = lambda name: sky + 5.0
    found = true_njy(given)
    assert found[10, 40] == pytest.approx(20.0)
    assert found[10, 60] == pytest.approx(20.0 / 0.8)


def pixels(seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return noise, its stated error and the light of a field with one bright source."""
    rng = np.random.default_rng(seed)
    true = np.zeros(SHAPE)
    true[20:30, 30:40] = 2000.0
    return rng.normal(0, 10.0, SHAPE), np.full(SHAPE, 10.0), true


def test_scale_level_and_noise_of_pixels() -> None:
    noise, error, true = pixels()
    usable = np.ones(SHAPE, bool)
    good = pixel_scores(true + noise, error, usable, true)
    assert good["scale"] == pytest.approx(0, abs=1.5e-3)
    assert good["level"] == pytest.approx(0, abs=0.05)
    assert good["noise"] == pytest.approx(1, abs=0.05)
    wrong = pixel_scores(1.01 * true + 2 * noise + 3.0, error, usable, true)
    assert wrong["scale"] - good["scale"] == pytest.approx(0.01 + 3.0 / 2000, abs=2e-3)
    assert wrong["level"] == pytest.approx(0.3, abs=0.1)
    assert wrong["noise"] == pytest.approx(2, abs=0.1)


def test_masked_pixels_do_not_count() -> None:
    noise, error, true = pixels()
    image, usable = true + noise, np.ones(SHAPE, bool)
    image[:5], usable[:5] = 1e6, False
    image[5], error[6] = np.nan, 0.0
    assert pixel_scores(image, error, usable, true)["level"] == pytest.approx(0, abs=0.05)
    assert not pixel_scores(image, error, usable, np.zeros(SHAPE))
    assert not pixel_scores(image, error, ~usable, true)


def test_one_number_a_band_is_taken_off() -> None:
    values = np.array([1.0, 2.0, 3.0, 10.0, np.nan, np.nan])
    bands = np.array([*"ggg", "r", "r", "i"])
    found = less_medians(values, bands)
    np.testing.assert_array_equal(found, [-1, 0, 1, 0, np.nan, np.nan])
    assert values[0] == 1.0


def test_the_table() -> None:
    scores = Scores.__new__(Scores)
    scores.values, scores.lost = defaultdict(list), defaultdict(int)
    scores.bands = {FIRST: ["r"] * 4, FINAL: ["r"] * 4}
    for stage, size in ((FIRST, 0.02), (FINAL, 0.01)):
        for name in ("wcs", "psf_sigma", "zero_point", "mag_lim", "sky", "eff_time"):
            scores.values[stage, name] = [0.5 + size, 0.5 - size, 0.5 + size, 0.5 - size]
        for name in ("scale", "level", "noise"):
            scores.values[stage, name] = [np.nan] * 4
    lines = scores.text().splitlines()
    # A zero point that is off by half a magnitude everywhere is a number of the band.
    (row,) = [line for line in lines if line.startswith("| zero point")]
    assert [cell.split()[0] for cell in row.split("|")[2:5]] == ["0.0200", "0.0100", "0.02"]
    (row,) = [line for line in lines if line.startswith("| WCS, rms")]
    assert row.split("|")[2].startswith(" 0.5004")
    assert "zero point [mag] by band {np.str_('r'): 0.5}" in lines[-1]


def test_the_true_aperture_correction() -> None:
    x, y, sigma, wings = 30.3, 20.8, 2.0, 0.05
    star = np.pad(GaussianPsf(sigma).compute_image(x, y)[0], 10)
    size = len(star)
    # Alike in all pixels of a disc of 15 pixels about the star.
    offset = np.arange(size) - size // 2
    disc = np.hypot(offset - 0.3, offset[:, None] + 0.2) < 15
    whole = (1 - wings) * star + wings * disc / disc.sum()
    assert light_within(whole, x, y) == pytest.approx(1 - wings * (1 - 12**2 / 15**2), abs=1e-3)
    # Of the wings a PSF sees what falls on its own effective area, 4 pi sigma^2.
    seen = 1 - wings + wings * 4 * np.pi * sigma**2 / disc.sum()
    assert psf_flux(whole, GaussianPsf(sigma), x, y) == pytest.approx(seen, abs=1e-3)
    # A PSF too wide by a tenth counts 2 sigma^2 / (sigma^2 + 1.21 sigma^2) times 1.21.
    wide = psf_flux(star, GaussianPsf(1.1 * sigma), x, y)
    assert wide == pytest.approx(2 * 1.21 / 2.21, rel=1e-3)


def test_stars_of_the_colour_at_which_fluxes_are_taken() -> None:
    def color_of(temperature: float) -> float:
        return 6000 / temperature - 0.5

    assert color_of(temperature_of(0.7, color_of)) == pytest.approx(0.7, abs=0.01)
    assert temperature_of(None, color_of) == 5500
