"""The scale of fluxes that zero points hold for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from drpflow.algorithms.ap_corr import REFERENCE
from drpflow.algorithms.final_image.flux_scale import (
    flux_scale,
    scaled,
    star_scale,
    told_by_stars,
)
from drpflow.data.ap_corr import ApCorr, ApCorrMap
from drpflow.data.geometry import Box
from drpflow.data.polynomial import Basis2D, Domain, Polynomial2D

if TYPE_CHECKING:
    from numpy.typing import NDArray

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


BOX = Box(0, 100, 0, 50)


def places(n: int, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return rng.uniform(0, 99, n), rng.uniform(0, 49, n)


def test_stars_tell_the_scale_of_another_flux() -> None:
    rng = np.random.default_rng(1)
    final = 10 ** rng.uniform(3, 5, 40)
    x, y = places(40, rng)
    first = 0.93 * final * (1 + rng.normal(0, 0.01, 40))
    first[:8] *= rng.uniform(1.0, 3.0, 8)
    first[8] = np.nan
    found = star_scale(first, final, 0.01 * final, x, y, BOX)
    assert found.factor == pytest.approx(0.93, rel=0.01)
    assert found.scatter < 0.02
    assert 31 <= found.number <= 36
    assert star_scale(first[:4], final[:4], final[:4], x[:4], y[:4], BOX).factor == 1.0


def test_stars_tell_where_on_the_detector_the_scale_differs() -> None:
    """A PSF that changed by 3 % towards the corners, and stars that scatter by 4 mmag."""
    rng = np.random.default_rng(2)
    final = 10 ** rng.uniform(3, 5, 80)
    x, y = places(80, rng)

    def truth(x: Any, y: Any) -> Any:
        u, v = (x - 50) / 50, (y - 25) / 25
        return 0.93 * (1 + 0.015 * (u**2 + v**2) - 0.01 * u * v)

    first = truth(x, y) * final * (1 + rng.normal(0, 0.004, 80))
    first[:6] *= 1.2
    found = star_scale(first, final, 0.01 * final, x, y, BOX)
    given = corrections(1.2)
    told = told_by_stars(given, "psfFlux", found)
    gx, gy = (g.ravel() for g in np.meshgrid(np.linspace(10, 90, 7), np.linspace(5, 45, 7)))
    ratio = told.evaluate("psfFlux", gx, gy) / given.evaluate("psfFlux", gx, gy)
    assert np.abs(np.log(ratio / truth(gx, gy))).max() < 0.005
    # That flux alone: the PSF is in no other.
    assert told.evaluate(REFERENCE, gx, gy) == pytest.approx(1.2 * found.factor)


def test_the_error_is_the_scatter_of_the_stars_and_not_of_the_reference() -> None:
    rng = np.random.default_rng(3)
    final = 10 ** rng.uniform(3, 5, 200)
    x, y = places(200, rng)
    first = 0.9 * final * (1 + rng.normal(0, 0.004, 200))
    found = star_scale(first, final, 1e-4 * final, x, y, BOX)
    crowded = ApCorr(Polynomial2D.constant(1.0, DOMAIN), 0.12)
    told = told_by_stars(ApCorrMap({"psfFlux": crowded}), "psfFlux", found)
    assert told.error("psfFlux") == pytest.approx(0.9 * 0.004, rel=0.2)
