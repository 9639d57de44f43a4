"""A star's own error from the one that has that of the aperture correction in it."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.data.flux_errors import own_errors


def test_the_error_of_the_correction_is_taken_out() -> None:
    flux, own = np.array([1e3, 1e5]), np.array([50.0, 400.0])
    correction, its_error = np.full(2, 1.07), np.full(2, 0.056)
    whole = np.hypot(own, flux * its_error / correction)
    assert own_errors(flux, whole, correction, its_error) == pytest.approx(own)


def test_without_a_correction_the_error_stays() -> None:
    nothing = np.array([np.nan])
    found = own_errors(np.array([10.0]), np.array([2.0]), nothing, nothing)
    assert found == pytest.approx([2.0])


def test_what_rounding_leaves_is_no_error_of_zero() -> None:
    found = own_errors(np.array([1e6]), np.array([5.6e4]), np.ones(1), np.array([0.056]))
    assert found == pytest.approx([560.0])
