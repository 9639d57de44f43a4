"""TAN-SIP cards for readers that know FITS only, with their error stated.

The SIP convention (Shupe et al. 2005, ASP Conf. Ser. 347, 491): with (u, v) = pixel - CRPIX,

    (xi, eta) = CD · (u + A(u, v), v + B(u, v)),    A, B polynomials of degrees 2 … n,

and, approximately inverse, (u, v) = (U + AP(U, V), V + BP(U, V)) with (U, V) = CD⁻¹ · (xi, eta).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.data.polynomial import Basis2D, Domain
from drpflow.data.tan_projection import TanProjection, separation_deg

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.data.geometry import Box
    from drpflow.data.sky_wcs import SkyWcs

    Floats: TypeAlias = NDArray[np.float64]

Card: TypeAlias = tuple[str, "str | int | float", str]
"""(keyword, value, comment), as `astropy.io.fits.Header` takes them in a list."""

MAX_ORDER = 9
"""The highest order that the SIP convention and wcslib allow."""
_NODES = 25
_DENSE = 48


@dataclass(frozen=True)
class _Samples:
    """Pixel offsets from the centre with their true positions."""

    u: Floats
    v: Floats
    xi: Floats
    eta: Floats
    ra: Floats
    dec: Floats

    @classmethod
    def of(cls, wcs: SkyWcs, box: Box, projection: TanProjection, t: Floats) -> _Samples:
        """Sample the grid t × t, t in [-1, 1] from one outer edge of the box to the other."""
        (xc, yc), half_width, half_height = box.center, box.width / 2, box.height / 2
        u, v = (grid.ravel() for grid in np.meshgrid(t * half_width, t * half_height))
        ra, dec = wcs.pixel_to_world_values(u + xc, v + yc)
        xi, eta = projection.from_sky(ra, dec)
        if not np.isfinite([xi, eta]).all():
            raise ValueError(f"the WCS gives no position for some pixels of the box {tuple(box)}")
        return cls(u, v, xi, eta, ra, dec)


@dataclass(frozen=True)
class _Fit:
    """A linear matrix with forward terms of degrees 2 … order, [2, n_terms]."""

    cd: Floats
    basis: Basis2D
    terms: Floats

    def plane(self, u: Floats, v: Floats) -> Floats:
        """Return (xi, eta), shape (2, N)."""
        return self.cd @ (np.stack([u, v]) + self.basis.evaluate(self.terms, u, v))


def sip_cards(wcs: SkyWcs, box: Box, tolerance_arcsec: float) -> list[Card]:
    """Return FITS cards for the image of a box, approximating a WCS as TAN or TAN-SIP.

    CRPIX is the centre of the box (counted from its first pixel) and CRVAL the exact position
    there. The order rises from 1 (plain TAN) until the error is below the tolerance; order 9 is
    the end, and the best order is then kept.

    Parameters
    ----------
    wcs
        The exact WCS.
    box
        The pixels that the image holds, in the coordinates of `wcs`.
    tolerance_arcsec
        Largest error wanted.

    Returns
    -------
    list of (keyword, value, comment)
        With SIPERR, the largest error found of the forward direction in arcsec, and SIPINVER,
        that of the inverse in pixels, both on a 48 × 48 grid that reaches the outer edges of the
        box and shares no inner point with that of the fit.

    Raises
    ------
    ValueError
        If the box is empty, or a pixel has no position on the sky.
    """
    if box.is_empty:
        raise ValueError(f"box {tuple(box)} holds no pixel")
    ra, dec = wcs.pixel_to_world_values(*box.center)
    if not np.isfinite([ra, dec]).all():
        raise ValueError(f"the WCS gives no position at the centre of the box {tuple(box)}")
    projection = TanProjection(float(ra), float(dec))
    # Chebyshev–Lobatto nodes: dense at the rim, where a polynomial errs most.
    nodes = _Samples.of(wcs, box, projection, np.cos(np.pi * np.arange(_NODES) / (_NODES - 1)))
    dense = _Samples.of(wcs, box, projection, np.linspace(-1, 1, _DENSE))
    domain = _domain(box)
    fit, error_arcsec = _raise_forward(domain, nodes, dense, projection, tolerance_arcsec)
    scale = 3600 * np.sqrt(abs(np.linalg.det(fit.cd)))
    inverse, inverse_pix = _raise_inverse(fit, domain, nodes, dense, tolerance_arcsec / scale)
    return _cards(box, projection, fit, inverse, error_arcsec, inverse_pix)


def _domain(box: Box) -> Domain:
    """Return ±2^k around the box: scaling coefficients to whole pixels is then exact."""
    half = 2.0 ** np.ceil(np.log2(max(box.width, box.height, 2) / 2))
    return Domain(-half, half, -half, half)


def _raise_forward(
    domain: Domain,
    nodes: _Samples,
    dense: _Samples,
    projection: TanProjection,
    tolerance_arcsec: float,
) -> tuple[_Fit, float]:
    best: tuple[_Fit, float] | None = None
    for order in range(1, MAX_ORDER + 1):
        fit = _fit_forward(Basis2D(order, domain, "power"), nodes)
        ra, dec = projection.to_sky(*fit.plane(dense.u, dense.v))
        error_arcsec = 3600 * float(np.max(separation_deg(ra, dec, dense.ra, dense.dec)))
        if best is None or error_arcsec < best[1]:
            best = fit, error_arcsec
        if error_arcsec < tolerance_arcsec:
            break
    assert best is not None
    return best


def _fit_forward(basis: Basis2D, samples: _Samples) -> _Fit:
    """Fit (xi, eta) with the constant held at zero, and split off the linear matrix."""
    design = basis.design(samples.u, samples.v)[:, 1:]
    solution = np.linalg.lstsq(design, np.stack([samples.xi, samples.eta], axis=1), rcond=None)[0]
    half = basis.domain.half_size[0]
    cd = np.asarray(solution[:2].T / half, np.float64)
    terms = np.zeros((2, basis.n_terms))
    terms[:, 3:] = np.linalg.solve(cd, solution[2:].T)
    return _Fit(cd, basis, terms)


def _raise_inverse(
    fit: _Fit, domain: Domain, nodes: _Samples, dense: _Samples, tolerance_pix: float
) -> tuple[tuple[Basis2D, Floats], float]:
    """Return the terms of (u - U, v - V) in (U, V), degrees 0 … order, and the largest error."""
    to_pixels = np.linalg.inv(fit.cd)
    (u_nodes, v_nodes), (u_dense, v_dense) = (
        to_pixels @ np.stack([s.xi, s.eta]) for s in (nodes, dense)
    )
    best: tuple[tuple[Basis2D, Floats], float] | None = None
    for order in range(max(fit.basis.order, 1), MAX_ORDER + 1):
        basis = Basis2D(order, domain, "power")
        terms = np.zeros((2, basis.n_terms))
        if fit.basis.order > 1:
            shifts = np.stack([nodes.u - u_nodes, nodes.v - v_nodes])
            terms = basis.fit(u_nodes, v_nodes, shifts)
        du, dv = basis.evaluate(terms, u_dense, v_dense)
        error_pix = float(np.max(np.hypot(u_dense + du - dense.u, v_dense + dv - dense.v)))
        if best is None or error_pix < best[1]:
            best = (basis, terms), error_pix
        if error_pix < tolerance_pix or fit.basis.order == 1:
            break
    assert best is not None
    return best


def _cards(
    box: Box,
    projection: TanProjection,
    fit: _Fit,
    inverse: tuple[Basis2D, Floats],
    error_arcsec: float,
    inverse_pix: float,
) -> list[Card]:
    suffix = "-SIP" if fit.basis.order > 1 else ""
    cards: list[Card] = [
        ("WCSAXES", 2, "number of axes"),
        ("CTYPE1", f"RA---TAN{suffix}", "right ascension, gnomonic projection"),
        ("CTYPE2", f"DEC--TAN{suffix}", "declination, gnomonic projection"),
        ("CUNIT1", "deg", "unit of CRVAL1 and CDi_j"),
        ("CUNIT2", "deg", "unit of CRVAL2 and CDi_j"),
        ("CRPIX1", box.center[0] - box.x0 + 1, "[pix] reference pixel, first pixel = 1"),
        ("CRPIX2", box.center[1] - box.y0 + 1, "[pix] reference pixel, first pixel = 1"),
        ("CRVAL1", projection.ra_deg, "[deg] right ascension there"),
        ("CRVAL2", projection.dec_deg, "[deg] declination there"),
    ]
    cards += [
        (f"CD{i + 1}_{j + 1}", float(value), "[deg/pix] linear matrix")
        for (i, j), value in np.ndenumerate(fit.cd)
    ]
    cards.append(("RADESYS", "ICRS", "celestial reference system"))
    if fit.basis.order > 1:
        cards += _polynomial_cards(("A", "B"), fit.basis, fit.terms, "forward distortion")
        cards += _polynomial_cards(("AP", "BP"), *inverse, "inverse distortion")
    cards.append(("SIPERR", error_arcsec, "[arcsec] largest error of these cards"))
    cards.append(("SIPINVER", inverse_pix, "[pix] largest error of the inverse cards"))
    return cards


def _polynomial_cards(
    names: tuple[str, str], basis: Basis2D, terms: Floats, comment: str
) -> list[Card]:
    """Write coefficients of whole pixels; powers of two scale them without rounding."""
    half = basis.domain.half_size[0]
    cards: list[Card] = []
    for name, row in zip(names, terms, strict=True):
        cards.append((f"{name}_ORDER", basis.order, f"{comment}: degree"))
        for (p, q), value in zip(basis.exponents, row, strict=True):
            if value != 0:
                scaled = float(value / half ** (p + q))
                cards.append((f"{name}_{p}_{q}", scaled, f"[pix] {comment}"))
    return cards
