"""Pairs of nearest positions."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.algorithms.sky_match import match_nearest


@pytest.mark.parametrize(("ra", "dec"), [(0.0, 0.0), (123.0, -45.0), (10.0, 89.9999)])
def test_pairs_agree_with_brute_force(ra: float, dec: float) -> None:
    rng = np.random.default_rng(1)
    from drpflow.data.tan_projection import TanProjection

    plane = TanProjection(ra, dec)
    a = rng.uniform(-20, 20, (2, 60)) / 3600
    b = rng.uniform(-20, 20, (2, 40)) / 3600
    found = match_nearest(*plane.to_sky(*a), *plane.to_sky(*b), 3.0)
    distance = np.hypot(*(a[:, :, None] - b[:, None, :])) * 3600
    expected = [
        (i, int(distance[i].argmin()))
        for i in range(60)
        if distance[i].min() <= 3.0 and distance[:, distance[i].argmin()].argmin() == i
    ]
    assert list(zip(found.first.tolist(), found.second.tolist(), strict=True)) == expected
    np.testing.assert_allclose(found.separation_arcsec, [distance[p] for p in expected], rtol=1e-6)


def test_positions_that_are_not_finite_match_nothing() -> None:
    nan = np.array([np.nan, 1.0])
    here = np.array([1.0, 1.0])
    found = match_nearest(nan, here, np.array([1.0]), np.array([1.0]), 1.0)
    assert list(found.first) == [1]
    assert len(match_nearest(nan[:1], here[:1], here, here, 1.0)) == 0
