"""Polynomials over the field, and the same as polynomials over each detector.

A polynomial of total degree n in field angles is, on a detector, a polynomial of the same degree
in u and v; the map of coefficients is linear and the same for all visits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.fgcm.layout import n_terms
from drpflow.kernels.fgcm import legendre_design

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.data.photometric_tables import Detectors

    Floats: TypeAlias = NDArray[np.float64]


def local_design(u: Floats, v: Floats, order: int) -> Floats:
    """Return √(2i+1) P_i(u) √(2j+1) P_j(v) for i + j ≤ order, shape (N, terms)."""
    out = np.empty((np.size(u), n_terms(order)))
    legendre_design(np.ravel(u), np.ravel(v), order, out)
    return out


def nodes(number: int) -> tuple[Floats, Floats, Floats]:
    """Return Gauss–Legendre nodes u, v over a detector and weights whose sum is 1."""
    t, w = np.polynomial.legendre.leggauss(number)
    u, v = (a.ravel() for a in np.meshgrid(t, t))
    return u, v, np.outer(w, w).ravel() / 4


def field_terms(detectors: Detectors, order: int) -> tuple[Floats, Floats]:
    """Return the powers' combinations that are orthonormal over the detectors' area.

    The first is 1, so that its coefficient is the mean over the camera; the coefficient of any
    is the rms that it makes.

    Returns
    -------
    combination : ndarray, shape (terms, terms)
        ``powers @ combination`` are the terms at points with :func:`powers` of x/R, y/R.
    local : ndarray, shape (D, terms, terms)
        Coefficients over each detector (axis 1) of each term (axis 2).
    """
    u, v, weight = nodes(order + 1)
    row = np.arange(len(detectors))[:, None]
    x, y = detectors.field(row, u, v)
    monomials = powers(x, y, detectors, order)
    area = np.abs(np.linalg.det(detectors.matrix))
    share = np.sqrt(np.outer(area / area.sum(), weight))
    r = np.linalg.qr((monomials * share[..., None]).reshape(-1, n_terms(order)), mode="r")
    r *= np.sign(np.diag(r))[:, None]
    combination = np.linalg.inv(r)
    values = monomials @ combination
    local = np.einsum("n,nk,dnt->dkt", weight, local_design(u, v, order), values)
    return combination, local


def powers(x_deg: Floats, y_deg: Floats, detectors: Detectors, order: int) -> Floats:
    """Return products of powers of the field angles over the field's radius, (..., terms)."""
    x, y = x_deg / detectors.radius_deg, y_deg / detectors.radius_deg
    pairs = [(d - j, j) for d in range(order + 1) for j in range(d + 1)]
    return np.stack([x**i * y**j for i, j in pairs], axis=-1)
