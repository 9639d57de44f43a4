from dataclasses import replace

import numpy as np
import pytest

from drpflow.algorithms.turbulence.correlation import fit_spectrum, lag_sums, together
from drpflow.algorithms.turbulence.process import ResidualSet
from drpflow.algorithms.turbulence.spectrum import Spectrum
from tests.algorithms.turbulence.fields import drawn, polynomial_design, seen

TRUE = Spectrum(6.0, 0.05, curl_fraction=0.1)
START = Spectrum(3.0, 0.1, curl_fraction=0.05)


def test_the_common_spectrum_is_found() -> None:
    sums = [lag_sums(seen(drawn(TRUE, 0.8, v), 1500, 0.8, 2.0, v)[0], 0.25) for v in range(6)]
    found = fit_spectrum(together(sums), START, common=True, visits=6)
    assert found.rms_mas == pytest.approx(6.0, rel=0.1)
    assert found.coherence_deg == pytest.approx(0.05, rel=0.25)
    assert found.curl_fraction < 0.25
    assert found.stretch == 1


def test_a_visit_finds_its_wind() -> None:
    windy = Spectrum(6.0, 0.05, 0.6, 0.4, curl_fraction=0.1)
    sums = lag_sums(seen(drawn(windy, 0.8, 9), 3000, 0.8, 1.0, 1)[0], 0.25)
    found = fit_spectrum(sums, TRUE, common=False)
    assert found.direction_deg == pytest.approx(windy.direction_deg, abs=15)
    assert 1.3 < found.stretch < 3.5
    assert found.rms_mas == pytest.approx(6.0, rel=0.3)


def test_few_stars_leave_a_visit_near_what_is_common() -> None:
    sums = lag_sums(seen(drawn(TRUE, 0.8, 3), 60, 0.8, 6.0, 1)[0], 0.25)
    found = fit_spectrum(sums, TRUE, common=False)
    assert found.coherence_deg == pytest.approx(0.05, rel=0.5)
    assert 3 < found.rms_mas < 10
    assert found.stretch < 1.5


def test_noise_has_no_correlation() -> None:
    still = drawn(TRUE.with_rms(1e-6), 0.8, 1)
    sums = lag_sums(seen(still, 4000, 0.8, 5.0, 1)[0], 0.25)
    size = sums.products[0] / sums.weights
    used = sums.weights > 0.05 * sums.weights.max()
    assert np.abs(size[used]).max() < 0.3 * sums.variance_mas2
    assert fit_spectrum(sums, START, common=True).rms_mas < 2.0


def test_sums_count_every_pair_once_each_way() -> None:
    known, _ = seen(drawn(TRUE, 0.8, 1), 50, 0.2, 1.0, 1)
    flat = known.__class__(
        known.x_deg,
        known.y_deg,
        known.dx_mas,
        known.dy_mas,
        *(np.ones(50), np.zeros(50), np.ones(50)),
    )
    sums = lag_sums(flat, 0.3)
    # All weights are 1/2, and no two stars are farther apart than the reach.
    assert sums.weights.sum() == pytest.approx(50 * 49 / 4)
    assert sums.squares.sum() == pytest.approx(50 * 49 / 16)
    assert np.allclose(sums.products[0], sums.products[0][::-1, ::-1])


def without_cubic(known: ResidualSet, side_deg: float) -> ResidualSet:
    design = polynomial_design(2 * known.x_deg / side_deg, 2 * known.y_deg / side_deg, 3)
    weighted = design / np.sqrt(known.xx + 4.0)[:, None]
    vectors = np.stack([known.dx_mas, known.dy_mas], axis=1)
    terms = np.linalg.lstsq(weighted, vectors / np.sqrt(known.xx + 4.0)[:, None], rcond=None)[0]
    dx, dy = (vectors - design @ terms).T
    return replace(known, dx_mas=dx, dy_mas=dy)


def test_what_a_cubic_has_taken_in_a_small_field_is_put_back() -> None:
    """A cubic over 2.4 coherence lengths leaves less than half of the amplitude."""
    true, side = Spectrum(5.0, 0.05, curl_fraction=0.1), 0.12
    sets = [without_cubic(seen(drawn(true, 0.3, v), 150, side, 1.5, v)[0], side) for v in range(16)]
    left = together([lag_sums(item, 0.3) for item in sets])
    assert left.variance_mas2 < 0.35 * 5.0**2
    start = Spectrum(float(np.sqrt(left.variance_mas2)), 0.05)
    found = fit_spectrum(
        together([lag_sums(item, 0.3, order=3) for item in sets]), start, common=True, visits=16
    )
    assert found.rms_mas == pytest.approx(5.0, rel=0.25)
    assert found.coherence_deg == pytest.approx(0.05, rel=0.3)
