"""Which magnitudes of a catalogue are used, and which of its colours."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from drpflow.algorithms.fgcm import calibrate
from drpflow.algorithms.fgcm.references import reference_colors, reference_rows, regions_of
from drpflow.config.fgcm import FgcmConfig, ReferenceConfig
from drpflow.data.photometric_tables import Stars

from .made_up_survey import made_up_survey

WAVELENGTH_NM = np.array([370.0, 480.0, 620.0, 760.0])
CONFIG = FgcmConfig()


def catalog(n: int = 1000, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Magnitudes and errors in u, g, r, i."""
    rng = np.random.default_rng(seed)
    color = rng.normal(0.6, 0.3, n)
    mag = rng.uniform(16, 18, n)[:, None] + color[:, None] * np.array([2.0, 1.0, 0.0, -0.4])
    return mag, np.full(mag.shape, 0.01)


def stars_with(mag: np.ndarray, err: np.ndarray) -> Stars:
    rng = np.random.default_rng(2)
    n = len(mag)
    ra, dec = rng.uniform(10, 11, n), rng.uniform(0, 1, n)
    return Stars(np.arange(n), ra, dec, np.zeros(n, bool), mag, err)


def rows_of(mag: np.ndarray, err: np.ndarray, config: FgcmConfig = CONFIG):
    seen = np.ones(mag.shape, np.bool_)
    return reference_rows(stars_with(mag, err), seen, WAVELENGTH_NM, config)


class TestColors:
    def test_a_band_that_few_stars_have_does_not_decide(self):
        mag, err = catalog()
        mag[5:, 0] = np.nan
        found = rows_of(mag, err)
        # All but the tails of the colours, five per cent each.
        assert np.isin(found.star[found.band == 1], np.arange(1000)).sum() == pytest.approx(900, 1)
        assert found.n_without_color == 0
        assert found.n_unusual_color == pytest.approx(300, abs=10)

    def test_stars_without_the_last_band_keep_their_rows(self):
        mag, err = catalog()
        mag[::2, 3] = np.nan
        found = rows_of(mag, err)
        assert (found.band == 1).sum() == pytest.approx(900, abs=2)

    def test_the_color_is_the_widest(self):
        mag, _ = catalog()
        found = reference_colors(mag, np.ones(1000, bool), WAVELENGTH_NM, ReferenceConfig())
        np.testing.assert_allclose(found.value, mag[:, 0] - mag[:, 3])

    def test_bands_need_not_be_in_order_of_wavelength(self):
        mag, _ = catalog()
        turned = [2, 3, 0, 1]
        seen = np.ones(1000, bool)
        a = reference_colors(mag, seen, WAVELENGTH_NM, ReferenceConfig())
        b = reference_colors(mag[:, turned], seen, WAVELENGTH_NM[turned], ReferenceConfig())
        np.testing.assert_array_equal(a.value, b.value)

    def test_a_star_without_color_has_the_median_one_and_a_larger_error(self):
        mag, err = catalog()
        mag[:400, 1:] = np.nan
        found = rows_of(mag, err)
        alone = found.star < 400
        assert (found.band[alone] == 0).all()
        assert alone.sum() == 400
        usual = found.color[~alone]
        np.testing.assert_allclose(found.color[alone], np.median(usual[found.band[~alone] == 0]))
        spread = np.std(usual[found.band[~alone] == 0])
        np.testing.assert_allclose(found.err[alone], np.hypot(0.01, 0.05 * spread), rtol=1e-6)
        np.testing.assert_allclose(found.err[~alone], 0.01)

    def test_too_vague_ones_are_counted(self):
        mag, err = catalog()
        mag[:400, 1:] = np.nan
        config = FgcmConfig.model_validate({"reference": {"color_term_sigma": 1.0}})
        found = rows_of(mag, err, config)
        assert found.n_without_color == 400
        assert not (found.star < 400).any()

    def test_large_errors_are_counted(self):
        mag, err = catalog()
        err[:100] = 0.5
        assert rows_of(mag, err).n_large_error == 400

    def test_one_band_has_no_color(self):
        mag, err = catalog()
        mag[:, 1:] = np.nan
        found = rows_of(mag, err)
        assert found.star.size == 1000
        assert not found.color.any()
        np.testing.assert_allclose(found.err, 0.01)


def test_many_references_of_no_use_are_told():
    survey = made_up_survey(3, nights=3, per_night=6, stars_per_detector=30)
    config = FgcmConfig.model_validate({"reference": {"color_term_sigma": 5.0}})
    mag = survey.stars.reference_mag.copy()
    mag[: len(mag) // 2, 1:] = np.nan
    stars = Stars(
        survey.stars.id,
        survey.stars.ra,
        survey.stars.dec,
        survey.stars.reserved,
        mag,
        survey.stars.reference_err,
    )
    found = calibrate(*survey.tables[:3], stars, survey.table, config)
    assert found.rejected.references_without_color > 0
    assert any("no colour in the catalogue" in note for note in found.notes)


def test_the_search_for_regions_ends():
    n = 2000
    stars = SimpleNamespace(ra=np.linspace(0, 360, n), dec=np.linspace(-90, 90, n))
    star = np.arange(n, dtype=np.int32)
    # More bands than there may be regions.
    _, regions = regions_of(stars, star, star, FgcmConfig())
    assert len(regions) == n
