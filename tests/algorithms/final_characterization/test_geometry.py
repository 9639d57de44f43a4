"""Detectors that are turned, and what they see."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.algorithms.final_characterization.geometry import Place, alike, domain_of
from drpflow.algorithms.psf_fit.profile import Moffat, mode_images
from drpflow.data.polynomial import Basis2D, Domain
from tests.algorithms.final_characterization.visit_images import make_detector


def place(number: int = 0, rotation_deg: float = 0.0) -> Place:
    return Place.of_detector(make_detector(number, rotation_deg))


@pytest.mark.parametrize("rotation_deg", [0.0, 90.0, 33.0, -118.0])
def test_modes_turn_with_the_detector(rotation_deg: float) -> None:
    """A star drawn in focal-plane axes is what the turned amplitudes give in those of pixels."""
    there = place(1, rotation_deg)
    focal = Moffat(np.log(3.0), 0.06, -0.04, 3.3)
    own = there.profile(focal, there.pixel_size_mm)
    amplitudes = np.array([0.02, 0.03, -0.02, 0.05, 0.01, -0.02, 0.015, 0.01])
    y, x = np.mgrid[-8:9, -8:9].astype(float)
    c, s = np.cos(np.radians(rotation_deg)), np.sin(np.radians(rotation_deg))
    u, v = c * x - s * y, s * x + c * y
    wanted = focal(u, v) + np.tensordot(amplitudes, mode_images(focal, u, v), axes=1)
    seen = np.tensordot(there.mode_turn.T @ amplitudes, mode_images(own, x, y), axes=1)
    assert own(x, y) == pytest.approx(focal(u, v), rel=1e-9)
    # Third derivatives are differences along the axes: the grid's turn shows at their accuracy.
    assert own(x, y) + seen == pytest.approx(wanted, abs=0.08 * np.abs(seen).max())
    assert there.to_focal_axes(own).e1 == pytest.approx(focal.e1)


def test_polynomials_of_the_focal_plane_are_polynomials_of_the_detector() -> None:
    there = place(2, 27.0)
    domain = domain_of([place(k) for k in range(4)])
    focal, own = Basis2D(3, domain), Basis2D(4, Domain.of_box(there.box))
    coefficients = np.random.default_rng(1).normal(size=(focal.n_terms, 2))
    x, y = np.random.default_rng(2).uniform(0, 300, (2, 50))
    direct = focal.design(*there.to_focal.forward(x, y)) @ coefficients
    assert own.design(x, y) @ (there.to_own(focal, own) @ coefficients) == pytest.approx(direct)


def test_pixels_of_a_larger_size_see_smaller_stars() -> None:
    there = place()
    seen = there.profile(Moffat(1.0, 0.0, 0.0, 3.0), 2 * there.pixel_size_mm)
    assert seen.log_size == pytest.approx(1.0 + np.log(2))


def test_detectors_alike_share_their_axes() -> None:
    places = [place(0), place(1, 90.0), place(2, 0.1), place(3, 450.0)]
    assert alike(places) == [[0, 2], [1, 3]]
