"""Rows, fields, slopes, groups, noise: the parts of the calibration one by one."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from drpflow.algorithms.fgcm.field import field_terms, local_design, nodes, powers
from drpflow.algorithms.fgcm.groups import connect
from drpflow.algorithms.fgcm.layout import Block, Layout, Regions
from drpflow.algorithms.fgcm.noise import Noise, Weigher, excess_significance, taper
from drpflow.algorithms.fgcm.references import regions_of
from drpflow.algorithms.fgcm.rows import build_rows
from drpflow.algorithms.fgcm.slopes import spectral_slopes
from drpflow.config.fgcm import FgcmConfig, FitNoiseConfig
from drpflow.data.photometric_tables import Stars

from .made_up_survey import detector_grid, made_up_survey


@pytest.fixture(scope="module")
def survey():
    return made_up_survey(2, nights=3, per_night=6, stars_per_detector=40)


@pytest.fixture(scope="module")
def rows(survey):
    return build_rows(*survey.tables[:4], survey.config)[0]


class TestRows:
    def test_pairs_are_whole_and_have_two_rows_at_least(self, rows):
        assert (np.diff(rows.first) >= 2).all()
        assert (np.diff(rows.band) >= 0).all()
        key = rows.star.astype(np.int64) * 3 + rows.band
        assert np.unique(key).size == rows.n_pairs
        np.testing.assert_array_equal(
            rows.pair, np.repeat(np.arange(rows.n_pairs), np.diff(rows.first))
        )

    def test_reserved_stars_are_left_out(self, survey, rows):
        assert not survey.stars.reserved[rows.star].any()

    def test_references_stand_in_groups_of_their_own(self, survey, rows):
        reference = rows.is_reference
        band = rows.band[rows.pair[reference]]
        region = rows.group[reference] - rows.n_groups
        np.testing.assert_array_equal(rows.regions.band[region], band)
        assert region.max() < len(rows.regions)
        assert rows.regions.n_wide <= len(rows.regions)
        star = rows.star[rows.pair[reference]]
        np.testing.assert_array_equal(rows.mag[reference], survey.stars.reference_mag[star, band])

    def test_unusable_observations_are_counted(self, survey):
        o = survey.observations
        mag, err = o.mag.copy(), o.mag_err.copy()
        mag[:3], err[3:5], err[5:9] = np.nan, 0.0, 1.0
        _, rejected = build_rows(
            replace(o, mag=mag, mag_err=err), *survey.tables[1:4], survey.config
        )
        assert (rejected.not_finite, rejected.large_error) == (5, 4)


class TestField:
    detectors = detector_grid(3, 2)

    def test_terms_are_orthonormal_over_the_detectors(self):
        combination, local = field_terms(self.detectors, 3)
        # Unit mean square and no correlation: the local bases are orthonormal, too.
        gram = np.einsum("dkt,dks->ts", local, local) / len(self.detectors)
        np.testing.assert_allclose(gram, np.eye(10), atol=1e-9)
        np.testing.assert_allclose(combination[0, 0], 1.0)

    def test_maps_to_detectors_are_exact(self):
        combination, local = field_terms(self.detectors, 2)
        rng = np.random.default_rng(1)
        u, v = rng.uniform(-1, 1, (2, 20))
        for d in range(len(self.detectors)):
            x, y = self.detectors.field(d, u, v)
            wanted = powers(x, y, self.detectors, 2) @ combination
            np.testing.assert_allclose(local_design(u, v, 2) @ local[d], wanted, atol=1e-9)

    def test_legendre_terms_are_orthonormal(self):
        u, v, weight = nodes(5)
        design = local_design(u, v, 4)
        np.testing.assert_allclose(design.T @ (weight[:, None] * design), np.eye(15), atol=1e-10)


class TestLayout:
    def test_blocks_cover_the_parameters_once(self, survey):
        layout = Layout.of(survey.visits, survey.detectors, survey.config)
        seen = np.concatenate([layout.block(b, np.arange(layout.size)).ravel() for b in Block])
        np.testing.assert_array_equal(seen, np.arange(layout.size))
        starts = layout.starts(survey.visits.band)
        assert starts.shape == (len(survey.visits) * 4, 8)
        assert (starts[:, Block.REGION :] == -1).all()
        assert starts.max() < layout.size

    def test_groups_of_references_have_band_and_region(self, survey):
        bands = np.array([0, 0, 2], np.int32)
        regions = Regions(bands, np.array([0, 0, 1], np.int32))
        layout = Layout.of(survey.visits, survey.detectors, survey.config, regions)
        starts = layout.starts(survey.visits.band)[-3:]
        assert (starts[:, Block.REGION] == layout.size - np.array([5, 4, 3])).all()
        assert (starts[:, Block.WIDE_REGION] == layout.size - np.array([2, 2, 1])).all()
        place = layout.block(Block.BAND, np.arange(layout.size))[bands, 0]
        np.testing.assert_array_equal(starts[:, Block.BAND], place)
        assert (
            np.delete(starts, [Block.BAND, Block.REGION, Block.WIDE_REGION], axis=1) == -1
        ).all()

    def test_epochs_make_star_flats_and_drifts_of_their_own(self, survey):
        epoch = float(survey.visits.mjd.mean())
        config = FgcmConfig.model_validate({"instrument": {"epochs_mjd": (epoch,)}})
        layout = Layout.of(survey.visits, survey.detectors, config)
        assert layout.counts[Block.FLAT] == 2 * 3 * 4
        assert (layout.epoch == (survey.visits.mjd > epoch)).all()

    def test_order_of_gray_falls_with_the_number_of_visits(self, survey):
        config = FgcmConfig.model_validate({"gray": {"max_parameters": 100}})
        layout = Layout.of(survey.visits, survey.detectors, config)
        assert layout.gray_order == 0


class TestSlopes:
    wavelength = np.array([480.0, 620.0, 760.0])

    def test_slope_of_a_straight_spectrum(self):
        slope = 0.002
        mags = -1.0857362 * slope * (self.wavelength - 600.0)[None, :]
        found, measured = spectral_slopes(mags, self.wavelength, np.ones(3), 0.5)
        np.testing.assert_allclose(found, slope, rtol=1e-6)
        assert measured.all()

    def test_each_band_has_the_mean_of_the_slopes_beside_it(self):
        wavelength = np.array([480.0, 620.0, 760.0, 900.0])
        mags = np.array([[20.0, 19.4, 19.3, 19.25]])
        found, _ = spectral_slopes(mags, wavelength, np.ones(4), 0.5)
        between = 0.921034 * np.array([0.6, 0.1, 0.05]) / 140.0
        wanted = [between[0], between[:2].mean(), between[1:].mean(), between[2]]
        np.testing.assert_allclose(found[0], wanted, rtol=1e-5)

    def test_a_bridge_is_as_short_as_may_be(self):
        wavelength = np.array([480.0, 620.0, 760.0, 900.0])
        mags = np.array([[20.0, np.nan, 19.3, 19.25]])
        found, _ = spectral_slopes(mags, wavelength, np.ones(4), 0.5)
        bridge, last = 0.921034 * 0.7 / 280.0, 0.921034 * 0.05 / 140.0
        np.testing.assert_allclose(found[0], [bridge, bridge, (bridge + last) / 2, last], rtol=1e-5)

    def test_missing_band_is_bridged_and_star_without_color_is_usual(self):
        mags = np.array([[18.0, np.nan, 17.0], [18.0, np.nan, np.nan], [18.0, 17.5, 17.0]])
        found, measured = spectral_slopes(mags, self.wavelength, np.ones(3), 0.5)
        bridged = 0.921034 * 1.0 / 280.0
        np.testing.assert_allclose(found[0], bridged, rtol=1e-5)
        assert not measured[1].any()
        np.testing.assert_allclose(found[1], np.median(found[[0, 2]], axis=0))

    def test_one_band_has_the_default_color(self):
        mags = np.array([[18.0, np.nan, np.nan]])
        wavelength = np.array([480.0, np.nan, np.nan])
        found, measured = spectral_slopes(mags, wavelength, np.ones(3), 0.6)
        assert found[0, 0] == pytest.approx(0.921034 * 0.6 / 150)
        assert not measured.any()

    def test_bands_need_not_be_in_order_of_wavelength(self):
        mags = np.array([[18.0, 17.5, 17.2]])
        turned = [2, 0, 1]
        a, _ = spectral_slopes(mags, self.wavelength, np.array([1.5, 0.9, 1.1]), 0.5)
        b, _ = spectral_slopes(
            mags[:, turned], self.wavelength[turned], np.array([1.1, 1.5, 0.9]), 0.5
        )
        np.testing.assert_allclose(a[:, turned], b)


class TestGroups:
    def test_visits_of_a_band_with_references_are_one_group(self, survey, rows):
        group = connect(rows, len(survey.visits), 4, 3)
        for band in range(3):
            assert np.unique(group[survey.visits.band == band]).size == 1
        assert np.unique(group).size == 3

    def test_without_common_stars_there_are_two(self, survey):
        o = survey.observations
        late = survey.visits.night[o.visit] > survey.visits.night[0]
        ra = np.concatenate([survey.stars.ra] * 2)
        dec = np.concatenate([survey.stars.dec] * 2)
        stars = Stars(np.arange(ra.size), ra, dec, np.zeros(ra.size, bool))
        n = len(survey.stars)
        apart = replace(o, star=o.star + np.where(late, n, 0))
        rows, _ = build_rows(apart, survey.visits, survey.detectors, stars, survey.config)
        group = connect(rows, len(survey.visits), 4, 3)
        assert np.unique(group).size == 6


class TestRegions:
    def test_many_regions_grow(self):
        rng = np.random.default_rng(5)
        ra, dec = rng.uniform(0, 40, 4000), rng.uniform(-20, 20, 4000)
        stars = SimpleNamespace(ra=ra, dec=dec)
        star, band = np.arange(4000, dtype=np.int32), np.zeros(4000, np.int32)
        region, regions = regions_of(stars, star, band, FgcmConfig())
        assert 50 < len(regions) <= 400
        assert regions.n_wide < len(regions)
        for number in range(len(regions)):
            mine = region == number
            assert np.ptp(dec[mine]) < 5
            assert np.unique(regions.wide[region[mine]]).size == 1

    def test_bands_have_regions_of_their_own(self):
        stars = SimpleNamespace(ra=np.array([10.1, 10.11]), dec=np.array([0.1, 0.1]))
        star, band = np.array([0, 1, 0, 1], np.int32), np.array([0, 0, 1, 1], np.int32)
        region, regions = regions_of(stars, star, band, FgcmConfig())
        assert region.tolist() == [0, 0, 1, 1]
        assert regions.band.tolist() == [0, 1]
        assert regions.n_wide == 2

    def test_stars_of_unknown_position_share_a_region(self):
        n = 1000
        stars = SimpleNamespace(ra=np.full(n, np.nan), dec=np.full(n, np.nan))
        star, band = np.arange(n, dtype=np.int32), np.zeros(n, np.int32)
        region, regions = regions_of(stars, star, band, FgcmConfig())
        assert len(regions) == 1
        assert not region.any()


class TestNoise:
    def weigher(self, rows, config: FgcmConfig) -> Weigher:
        return Weigher(rows, 3, 4, config)

    def residuals(self, rows, weight, error, seed=1):
        """Residuals about each pair's weighted mean of pure noise."""
        value = error * np.random.default_rng(seed).normal(size=len(rows))
        total = np.bincount(rows.pair, weight)
        mean = np.bincount(rows.pair, weight * value) / total
        return SimpleNamespace(residual=value - mean[rows.pair], weight=total, mean=mean)

    def test_factor_and_floor_are_found(self):
        survey = made_up_survey(6, stars_per_detector=150)
        rows, _ = build_rows(*survey.tables[:4], survey.config)
        weigher = self.weigher(rows, survey.config)
        error = np.hypot(1.1 * rows.err, 0.004)
        start = Noise.start(3, len(survey.visits), survey.config)
        found = self.residuals(rows, 1 / error**2, error)
        clear = np.ones(len(survey.visits), bool)
        noise = weigher.noise(start, found, 1 / error**2, clear, np.full(clear.size, np.nan))
        np.testing.assert_allclose(noise.floor[:3], 0.004, rtol=0.15)
        np.testing.assert_allclose(noise.factor[:3], 1.1, rtol=0.1)
        assert (noise.extra > 0).mean() < 0.1

    def test_a_noisy_visit_gets_extra_variance(self):
        survey = made_up_survey(6, nights=3, per_night=6, stars_per_detector=150)
        rows, _ = build_rows(*survey.tables[:4], survey.config)
        weigher = self.weigher(rows, survey.config)
        noisy = (rows.group // 4 == 2) & ~rows.is_reference
        error = np.hypot(np.hypot(rows.err, 0.003), np.where(noisy, 0.03, 0.0))
        start = Noise.start(3, len(survey.visits), survey.config)
        found = self.residuals(rows, 1 / error**2, error)
        clear = np.arange(len(survey.visits)) != 2
        noise = weigher.noise(start, found, 1 / error**2, clear, np.full(clear.size, np.nan))
        assert np.sqrt(noise.extra[2]) == pytest.approx(0.03, rel=0.3)

    def test_taper(self):
        config = FitNoiseConfig()
        t = np.array([0.0, 2.9, -4.0, 5.1, np.inf])
        np.testing.assert_allclose(taper(t, config), [1, 1, 0.75, 0, 0])

    def test_significance_of_scatter(self):
        number = np.array([10, 1000])
        # Of few observations, chance decides; of many, how well errors are known.
        found = excess_significance(np.array([10 + 5 * np.sqrt(20), 1500.0]), number)
        np.testing.assert_allclose(found, [5.0, 5.0], rtol=0.1)
        assert excess_significance(1.2 * number, number).max() < 2.0

    def test_variable_star_is_found_and_one_outlier_is_not_one(self, survey, rows):
        weigher = self.weigher(rows, survey.config)
        error = np.hypot(rows.err, 0.003)
        found = self.residuals(rows, 1 / error**2, error)
        star = rows.star[rows.pair]
        often = np.flatnonzero(np.bincount(star[~rows.is_reference]) >= 12)
        variable, spoilt = often[:2]
        residual = found.residual.copy()
        mine = (star == variable) & ~rows.is_reference
        residual[mine] = 0.05 * np.sign(residual[mine])
        residual[np.flatnonzero((star == spoilt) & ~rows.is_reference)[0]] = 0.3
        found.residual = residual
        told = weigher.variable_stars(
            found, error**2, 1 / error**2, np.zeros(len(survey.stars), bool)
        )
        assert told[variable]
        assert not told[spoilt]
        assert told.sum() < 0.02 * told.size + 2
