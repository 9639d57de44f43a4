import numpy as np
import pytest

from drpflow.algorithms.astrometric_statistics import (
    ResidualVectors,
    absolute_accuracy,
    separation_repeatability,
    two_point_function,
)


def field(
    rng: np.random.Generator, visits: int = 8, stars: int = 400, side_deg: float = 1.0
) -> ResidualVectors:
    star, visit = np.tile(np.arange(stars), visits), np.repeat(np.arange(visits), stars)
    x, y = np.tile(rng.uniform(0, side_deg, (2, stars)), visits)
    dx, dy = rng.normal(0, 3.0, (2, star.size))
    return ResidualVectors(star, visit, x, y, dx, dy)


def moved(r: ResidualVectors, dx: np.ndarray, dy: np.ndarray) -> ResidualVectors:
    return ResidualVectors(r.star, r.visit, r.x_deg, r.y_deg, r.dx_mas + dx, r.dy_mas + dy)


def test_noise_alone_has_no_correlation() -> None:
    found = two_point_function(field(np.random.default_rng(1)), np.linspace(0, 20, 6))
    assert np.abs(found.total_mas2 / found.error_mas2).max() < 4
    # The error of a bin with n pairs: the product of two vectors of variance 9 each coordinate.
    expected = 9 * np.sqrt(2 / found.n_pairs)
    assert found.error_mas2 == pytest.approx(expected, rel=1.0)


def test_a_wave_has_its_correlation_function() -> None:
    rng = np.random.default_rng(2)
    r = field(rng, visits=20, stars=900)
    k, phase = 2 * np.pi / 0.5, rng.uniform(0, 2 * np.pi, 20)[r.visit]
    # A displacement along its wave vector: no curl.
    found = two_point_function(
        moved(r, 10 * np.sin(k * r.x_deg + phase), np.zeros(len(r))), [0, 3, 6, 9, 12]
    )
    from scipy.special import jv

    z = k * found.separation_arcmin / 60
    # <cos(k s cos φ)> over directions φ is J0; along has the extra weight cos² φ.
    assert found.total_mas2 == pytest.approx(50 * jv(0, z), abs=4)
    assert found.along_mas2 == pytest.approx(50 * (jv(0, z) - jv(1, z) / z), abs=4)
    assert found.across_mas2 == pytest.approx(50 * jv(1, z) / z, abs=4)


def test_single_visits_have_no_error_and_none_gives_nan() -> None:
    r = field(np.random.default_rng(3), visits=1)
    assert np.isnan(two_point_function(r, [0, 5]).error_mas2).all()
    empty = two_point_function(r.take(np.zeros(0, int)), [0, 5, 10])
    assert empty.n_pairs.tolist() == [0, 0]
    assert np.isnan(empty.total_mas2).all()


def test_unknown_residuals_are_left_out() -> None:
    r = field(np.random.default_rng(4))
    spoilt = moved(r, np.where(np.arange(len(r)) % 3 == 0, np.nan, 0.0), np.zeros(len(r)))
    kept = r.take(np.arange(len(r)) % 3 != 0)
    edges = [0, 5, 10]
    assert np.array_equal(
        two_point_function(spoilt, edges).total_mas2, two_point_function(kept, edges).total_mas2
    )


def test_repeatability_of_noise_is_that_of_two_stars() -> None:
    r = field(np.random.default_rng(5), visits=30)
    found = separation_repeatability(r, 5.0)
    assert found.rms_mas.size > 1000
    assert found.median_mas == pytest.approx(3.0 * np.sqrt(2), rel=0.03)
    assert found.share_above(1e3) == 0
    assert found.share_above(0.0) == 1


def test_what_a_whole_visit_shares_does_not_count() -> None:
    rng = np.random.default_rng(6)
    r = field(rng)
    shift = 50 * rng.normal(size=(2, 8))[:, r.visit]
    before, after = (separation_repeatability(w, 5.0) for w in (r, moved(r, *shift)))
    assert after.median_mas == pytest.approx(before.median_mas, rel=1e-9)


def test_scale_errors_grow_with_separation() -> None:
    rng = np.random.default_rng(7)
    r = field(rng, visits=20)
    scale = 1e-5 * rng.normal(size=20)[r.visit] * 3.6e6
    stretched = moved(r, scale * r.x_deg, scale * r.y_deg)
    near, far = (separation_repeatability(stretched, s).median_mas for s in (5.0, 20.0))
    expected = np.hypot(3 * np.sqrt(2), 1e-5 * 20 * 60e3)
    assert far == pytest.approx(expected, rel=0.25)
    assert near < far


def test_repeatability_needs_three_visits_and_pairs() -> None:
    r = field(np.random.default_rng(8), visits=2)
    assert np.isnan(separation_repeatability(r).median_mas)
    assert np.isnan(separation_repeatability(r, 600.0).median_mas)


def test_accuracy_is_the_median_distance_from_the_catalogue() -> None:
    rng = np.random.default_rng(9)
    ra, dec = rng.uniform(359.9, 360.1, 500) % 360, rng.uniform(59, 61, 500)
    off = rng.normal(0, 1, (2, 500))
    found = absolute_accuracy(
        (ra + 20 * off[0] / 3.6e6 / np.cos(np.deg2rad(dec))) % 360,
        dec + 40 * off[1] / 3.6e6,
        ra,
        dec,
    )
    assert found == pytest.approx((20 * 0.6745, 40 * 0.6745), rel=0.1)
    nothing = absolute_accuracy(ra, dec, np.full(500, np.nan), dec)
    assert np.isnan(nothing).all()
