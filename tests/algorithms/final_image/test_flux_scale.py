"""The scale of fluxes that zero points hold for."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.algorithms.ap_corr import REFERENCE
from drpflow.algorithms.final_image.flux_scale import flux_scale, scaled, star_scale
from drpflow.data.ap_corr import ApCorr, ApCorrMap
from drpflow.data.polynomial import Basis2D, Domain, Polynomial2D

DOMAIN = Domain(-0.5, 99.5, -0.5, 49.5)


def corrections(scale: float) -> ApCorrMap:
    slope = Polynomial2D(Basis2D(1, DOMAIN), np.array([1.1, 0.05, 0.0]))
    return ApCorrMap(
        {
            REFERENCE: ApCorr(Polynomial2D.constant(scale, DOMAIN)),
            "psfFlux": ApCorr(slope, 0.003),
        }
    )


def test_the_scale_is_that_of_the_visit() -> None:
    first = {d: corrections(1.01 * (1 + e)) for d, e in enumerate((-0.001, 0.0, 0.001))}
    final = {d: corrections(1.0) for d in range(4)}
    found = flux_scale(first, final)
    assert found.factor == pytest.approx(1.01, rel=1e-4)
    assert found.scatter == pytest.approx(0.001, rel=0.05)
    assert found.number == 3


def test_what_no_detector_tells_is_one() -> None:
    lacking = ApCorrMap({"psfFlux": corrections(1.0)["psfFlux"]})
    for first in ({}, {0: lacking}, {7: corrections(1.1)}):
        found = flux_scale(first, {0: corrections(1.0)})
        assert found.factor == 1.0
        assert found.number == 0


def test_all_corrections_and_errors_are_scaled() -> None:
    given = corrections(1.2)
    found = scaled(given, 1.05)
    x, y = np.array([0.0, 60.0]), np.array([10.0, 40.0])
    for name in given:
        expected = 1.05 * given.evaluate(name, x, y)
        assert found.evaluate(name, x, y) == pytest.approx(expected)
        assert found.error(name) == pytest.approx(1.05 * given.error(name))


def test_stars_tell_the_scale_of_another_flux() -> None:
    rng = np.random.default_rng(1)
    final = 10 ** rng.uniform(3, 5, 40)
    first = 0.93 * final * (1 + rng.normal(0, 0.01, 40))
    first[:8] *= rng.uniform(1.0, 3.0, 8)
    first[8] = np.nan
    found = star_scale(first, final)
    assert found.factor == pytest.approx(0.93, rel=0.01)
    assert 0.004 < found.scatter < 0.03
    assert found.number == 39
    assert star_scale(first[:4], final[:4]).factor == 1.0
