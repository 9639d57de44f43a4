"""Aperture corrections."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.data.ap_corr import ApCorr, ApCorrMap
from drpflow.data.polynomial import Basis2D, Domain, Polynomial2D


def corrections() -> ApCorrMap:
    basis = Basis2D(1, Domain(-0.5, 99.5, -0.5, 49.5))
    return ApCorrMap(
        {
            "psfFlux": ApCorr(Polynomial2D(basis, np.array([1.02, 0.01, -0.005])), 0.003),
            "gaussianFlux": ApCorr(Polynomial2D.constant(1.1)),
        }
    )


def test_each_flux_has_its_field_and_error() -> None:
    found = corrections()
    assert found.evaluate("psfFlux", 99.5, -0.5) == pytest.approx(1.035)
    assert found.evaluate("psfFlux", [-0.5, 49.5], [49.5, 24.5]) == pytest.approx([1.005, 1.02])
    assert found.evaluate("gaussianFlux", 5, 5) == pytest.approx(1.1)
    assert (found.error("psfFlux"), found.error("gaussianFlux")) == (0.003, 0.0)


def test_is_a_mapping() -> None:
    found = corrections()
    assert list(found) == ["psfFlux", "gaussianFlux"]
    assert len(found) == 2
    assert "psfFlux" in found
    assert "apFlux" not in found
    assert found == ApCorrMap(dict(found))
    assert found != ApCorrMap({})


def test_unknown_flux_names_the_nearest() -> None:
    with pytest.raises(KeyError, match="did you mean 'psfFlux'"):
        corrections().evaluate("psfflux", 0, 0)


def test_negative_error_is_refused() -> None:
    with pytest.raises(ValueError, match="error"):
        ApCorr(Polynomial2D.constant(1.0), -0.1)
