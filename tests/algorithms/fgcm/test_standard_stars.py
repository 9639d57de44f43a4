"""Mean magnitudes of stars: from fluxes, robustly, each observation once, with their own colour."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from drpflow.algorithms.fgcm import calibrate
from drpflow.algorithms.fgcm.noise import variance_of_mean_flux
from drpflow.algorithms.fgcm.standard_stars import Measured, flux_means
from drpflow.config.fgcm import FitNoiseConfig
from drpflow.data.photometric_tables import Observations

from .made_up_survey import MadeUpSurvey, made_up_survey

MMAG = 1e-3
PER_MAG = 2.5 / np.log(10.0)


def noisy(signal_to_noise: float, n_stars: int, per_star: int, seed: int = 1):
    """Magnitudes about 0 of fluxes with the noise of a background, their errors, their stars."""
    rng = np.random.default_rng([seed, int(10 * signal_to_noise)])
    flux = 1 + rng.normal(size=n_stars * per_star) / signal_to_noise
    kept = flux > 0
    star = np.repeat(np.arange(n_stars), per_star)[kept]
    return -2.5 * np.log10(flux[kept]), PER_MAG / signal_to_noise / flux[kept], star


def measured(mag, err, floor=0.0) -> Measured:
    return Measured(mag, err, np.ones(mag.size), np.full(mag.size, floor**2))


class TestFluxMeans:
    @pytest.mark.parametrize("signal_to_noise", [5, 10, 20, 100])
    def test_faint_stars_are_not_biased(self, signal_to_noise):
        mag, err, star = noisy(signal_to_noise, 4000, 12)
        mean, _, _ = flux_means(star, measured(mag, err), 4000, FitNoiseConfig())
        # In flux, as the mean of the logarithm of what is noisy is biased itself.
        bias = PER_MAG * (1 - np.mean(10 ** (-0.4 * mean)))
        error = PER_MAG / signal_to_noise / np.sqrt(12 * 4000)
        assert abs(bias) < max(4 * error, 0.2 * MMAG)

    def test_what_the_weights_of_measured_errors_would_do(self):
        mag, err, star = noisy(10, 4000, 12)
        naive = np.bincount(star, mag / err**2) / np.bincount(star, err**-2)
        assert naive.mean() < -12 * MMAG
        variance = variance_of_mean_flux(err, mag)
        better = np.bincount(star, mag / variance) / np.bincount(star, 1 / variance)
        assert better.mean() == pytest.approx(0.54 * 0.01, abs=1.5 * MMAG)

    def test_errors_are_right(self):
        mag, err, star = noisy(30, 3000, 8)
        mean, deviation, weight = flux_means(star, measured(mag, err), 3000, FitNoiseConfig())
        pull = mean * np.sqrt(np.bincount(star, weight))
        assert np.std(pull) == pytest.approx(1, abs=0.05)
        assert np.mean(deviation**2) == pytest.approx(1 - 1 / 8, abs=0.05)

    def test_outliers_either_way_do_not_count(self):
        mag, err, star = noisy(50, 300, 9)
        mag[::9] -= 6.0
        mag[4::9] += 6.0
        mean, _, weight = flux_means(star, measured(mag, err, 0.002), 300, FitNoiseConfig())
        assert not weight[::9].any()
        assert not weight[4::9].any()
        assert np.abs(mean).max() < 5 * PER_MAG / 50 / np.sqrt(7)

    def test_stars_in_the_noise_have_no_magnitude(self):
        mag, err, star = noisy(2, 200, 9)
        mean, _, weight = flux_means(star, measured(mag, err), 201, FitNoiseConfig())
        assert np.isnan(mean).mean() > 0.95
        assert np.isnan(mean[200])
        assert (weight == 0).mean() > 0.95


@pytest.fixture(scope="module")
def survey() -> MadeUpSurvey:
    return made_up_survey(5, nights=3, per_night=6, stars_per_detector=30)


@pytest.fixture(scope="module")
def alone() -> MadeUpSurvey:
    """A survey without a catalogue."""
    return made_up_survey(4, references=False)


class TestDuplicates:
    def test_a_star_given_twice_counts_once(self, survey):
        o = survey.observations
        once = calibrate(*survey.tables, survey.config)
        names = ("star", "visit", "detector", "mag", "mag_err", "u", "v")
        twice = Observations(*(np.tile(getattr(o, name), 2) for name in names))
        found = calibrate(twice, *survey.tables[1:], survey.config)
        np.testing.assert_array_equal(found.stars.n_total, once.stars.n_total)
        np.testing.assert_array_equal(found.standard_err, once.standard_err)
        # Those of reserved stars as well.
        assert found.rejected.duplicate == len(o)
        assert any("a second time" in note for note in found.notes)

    def test_the_better_one_counts(self, survey):
        o = survey.observations
        worse = replace(o, mag=o.mag + 0.5, mag_err=2 * o.mag_err)
        names = ("star", "visit", "detector", "mag", "mag_err", "u", "v")
        both = Observations(
            *(np.concatenate([getattr(worse, name), getattr(o, name)]) for name in names)
        )
        once = calibrate(*survey.tables, survey.config)
        found = calibrate(both, *survey.tables[1:], survey.config)
        np.testing.assert_allclose(found.standard_mag, once.standard_mag, atol=1e-9)


class TestOwnSlopes:
    def test_reserved_stars_have_their_own_color(self, alone):
        found = calibrate(*alone.tables, alone.config)
        several = np.isfinite(found.standard_mag).sum(axis=1) >= 2
        reserved = alone.stars.reserved & several
        assert reserved.sum() > 50
        assert found.stars.slope_measured[reserved].any(axis=1).all()
        whole = np.isfinite(found.standard_mag).all(axis=1)
        assert found.stars.slope_measured[whole].all()

    def test_it_is_that_of_the_same_stars_in_the_fit(self, alone):
        stars = replace(alone.stars, reserved=np.zeros(len(alone.stars), np.bool_))
        used = calibrate(*alone.tables[:3], stars, alone.table, alone.config)
        found = calibrate(*alone.tables, alone.config)
        both = alone.stars.reserved & np.isfinite(found.standard_mag).all(axis=1)
        both &= used.stars.n_good.min(axis=1) >= 4
        both &= ~alone.variable & ~used.stars.variable
        # Without references the scales of the bands differ: one offset a band.
        difference = (found.stars.slope - used.stars.slope)[both]
        difference -= np.median(difference, axis=0)
        spread = np.std(used.stars.slope[both], axis=0)
        assert (np.std(difference, axis=0) < 0.1 * spread).all()
