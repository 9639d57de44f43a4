"""Aperture corrections of coadds of which little is covered."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from drpflow.algorithms.coadd.components import ap_corr_of
from drpflow.data.coadd_psf import PSF_FLUX
from drpflow.data.geometry import Box

BOX = Box.from_shape((500, 700))


def true_correction(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return 1.02 + 2e-5 * x - 1e-5 * y + 1e-8 * x * y


def psf_known(where) -> SimpleNamespace:
    """What has an aperture correction, of an error of 0.001, at some places alone."""

    def psf_flux_correction(x, y):
        known = where(x, y)
        return np.where(known, true_correction(x, y), np.nan), np.where(known, 1e-3, np.nan)

    return SimpleNamespace(psf_flux_correction=psf_flux_correction)


@pytest.mark.parametrize(
    ("where", "order"),
    [
        (lambda x, y: x > -1, 2),
        (lambda x, y: x < 60, 2),
        (lambda x, y: x < 35, 1),
        (lambda x, y: x == 0, 0),
        (lambda x, y: (x == 0) & (y < 110), 0),
        (lambda x, y: (x == 0) & (y == 0), 0),
    ],
    ids=["all", "three columns", "two columns", "a column", "six points of a column", "a point"],
)
def test_slivers_of_a_patch(where, order: int) -> None:
    """The error has what the polynomial does not follow."""
    made = ap_corr_of(psf_known(where), BOX)
    assert made is not None
    field, error = made[PSF_FLUX].correction, made[PSF_FLUX].error
    assert field.basis.order == order
    x, y = (v.ravel() for v in np.meshgrid(*(np.linspace(0, n - 1, 25) for n in (700, 500))))
    inside = where(x, y)
    left = field(x, y)[inside] - true_correction(x, y)[inside]
    assert np.sqrt(np.mean(left**2)) < error
    assert error < 5e-3


def test_no_input_has_a_correction() -> None:
    assert ap_corr_of(psf_known(lambda x, y: x < -1), BOX) is None
