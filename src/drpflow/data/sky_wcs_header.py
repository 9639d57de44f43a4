"""Read the celestial WCS of a FITS header: TAN, TAN-SIP and TPV.

Follows Greisen & Calabretta (2002, A&A 395, 1061) for the linear part, Shupe et al. (2005) for
SIP and the FITS registry of conventions for TPV
(https://fits.gsfc.nasa.gov/registry/tpvwcs/tpv.html).

Positions are taken as ICRS. FK5 at J2000 is accepted: the two frames differ by less than 0.03
arcsec, far below the error of any header, and the first astrometric calibration removes it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.data.plane_maps import AffineMap, PlaneMap, PolynomialMap
from drpflow.data.polynomial import Basis2D, Domain
from drpflow.data.sky_wcs import SkyWcs
from drpflow.data.tan_projection import TanProjection
from drpflow.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

_REMEDY = "Correct the header, or take the WCS from the camera file (wcs_from: camera)"
# Numbers of the TPV terms that are odd powers of the radius, not of a polynomial.
_TPV_RADIAL = (3, 11, 23, 39)


def parse_header(header: Mapping[str, Any], source: str = "the FITS header") -> SkyWcs:
    """Return the WCS that FITS cards state.

    Parameters
    ----------
    header
        Keyword to value.
    source
        File name for error messages.

    Raises
    ------
    InputError
        If there is no celestial WCS of the kinds TAN, TAN-SIP or TPV, or it is incomplete.
    """
    projection_code, longitude = _axes(header, source)
    _check_frame(header, source)
    crpix = np.array([_number(header, f"CRPIX{i}", source) for i in (1, 2)])
    cd = _linear(header, source)
    crval = [_number(header, f"CRVAL{i}", source) for i in (1, 2)]
    if longitude == 1:
        cd, crval = cd[::-1], crval[::-1]
    shape = _shape(header)
    reach_pix = _reach(crpix, shape)
    stages: list[tuple[str, PlaneMap]] = [("crpix", AffineMap.translation(*(1.0 - crpix)))]
    if "A_ORDER" in header or "B_ORDER" in header:
        stages.append(("sip", _sip(header, reach_pix, source)))
    stages.append(("cd", _affine(cd, source)))
    pv = _pv(header)
    if projection_code == "TPV" or (pv and "sip" not in dict(stages)):
        if longitude == 1:
            raise InputError(source, "the TPV convention does not define latitude first", _REMEDY)
        reach_deg = _power_of_two(reach_pix * float(np.abs(cd).sum(axis=1).max()))
        stages.append(("tpv", _tpv(pv, reach_deg, source)))
    return SkyWcs(tuple(stages), _projection(header, crval, source), shape)


def _axes(header: Mapping[str, Any], source: str) -> tuple[str, int]:
    """Return the projection code and the index of the axis of right ascension."""
    kinds = [str(header.get(f"CTYPE{i}", "")).strip() for i in (1, 2)]
    match = [re.fullmatch(r"(RA--|DEC-)-(TAN|TPV)(-SIP)?", kind) for kind in kinds]
    if match[0] is None or match[1] is None or {m[1] for m in match if m} != {"RA--", "DEC-"}:
        raise InputError(
            source,
            f"CTYPE1, CTYPE2 = {kinds[0]!r}, {kinds[1]!r} is no TAN, TAN-SIP or TPV",
            _REMEDY,
        )
    code, longitude = match[0][2], 0 if match[0][1] == "RA--" else 1
    if code != match[1][2]:
        raise InputError(source, f"CTYPE1 and CTYPE2 name two projections: {kinds}", _REMEDY)
    return code, longitude


def _check_frame(header: Mapping[str, Any], source: str) -> None:
    """Refuse frames other than ICRS and FK5 J2000."""
    frame = str(header.get("RADESYS", header.get("RADECSYS", "ICRS"))).strip().upper()
    equinox = header.get("EQUINOX", header.get("EPOCH"))
    year = 2000.0 if equinox is None else _as_number(equinox, "EQUINOX", source)
    if frame not in ("ICRS", "FK5", "") or (frame != "ICRS" and abs(year - 2000.0) > 0.01):
        raise InputError(
            source, f"positions are in {frame} of equinox {year:g}, not in ICRS or J2000", _REMEDY
        )


def _linear(header: Mapping[str, Any], source: str) -> np.ndarray:
    """Return the matrix from pixels to degrees: CD, or CDELT with PC or CROTA2."""
    keys = [[f"CD{i}_{j}" for j in (1, 2)] for i in (1, 2)]
    if any(key in header for row in keys for key in row):
        cd = np.array([[_number(header, key, source, 0.0) for key in row] for row in keys])
    else:
        step = np.array([_number(header, f"CDELT{i}", source) for i in (1, 2)])
        cd = step[:, None] * _rotation(header, step, source)
    for i in (1, 2):
        unit = str(header.get(f"CUNIT{i}", "deg")).strip().lower()
        if unit not in ("deg", "degree", "degrees", ""):
            raise InputError(source, f"CUNIT{i} = {unit!r} is not 'deg'", _REMEDY)
    return cd


def _rotation(header: Mapping[str, Any], step: np.ndarray, source: str) -> np.ndarray:
    """Return the PC matrix, made from CROTA2 where that is what the header has."""
    keys = [[f"PC{i}_{j}" for j in (1, 2)] for i in (1, 2)]
    if not any(key in header for row in keys for key in row) and "CROTA2" in header:
        t = np.radians(_number(header, "CROTA2", source))
        ratio = step[1] / step[0]
        return np.array([[np.cos(t), -np.sin(t) * ratio], [np.sin(t) / ratio, np.cos(t)]])
    return np.array(
        [
            [_number(header, key, source, float(i == j)) for j, key in enumerate(row)]
            for i, row in enumerate(keys)
        ]
    )


def _projection(header: Mapping[str, Any], crval: list[float], source: str) -> TanProjection:
    """Return TAN at CRVAL; LONPOLE other than 180° turns the plane about the tangent point."""
    turn = _number(header, "LONPOLE", source, 180.0) - 180.0
    if abs(crval[1]) > 90:
        raise InputError(source, f"the declination of CRVAL is {crval[1]} deg", _REMEDY)
    return TanProjection(crval[0], crval[1], rotation_deg=turn)


def _sip(header: Mapping[str, Any], reach: float, source: str) -> PolynomialMap:
    """Return (u + A(u, v), v + B(u, v))."""
    orders = {k: int(_number(header, f"{k}_ORDER", source, 1.0)) for k in ("A", "B")}
    basis = Basis2D(max(1, *orders.values()), Domain(-reach, reach, -reach, reach), "power")
    coefficients = np.array(PolynomialMap.identity(basis).coefficients)
    for row, (letter, order) in enumerate(orders.items()):
        for k, (p, q) in enumerate(basis.exponents):
            if p + q <= order:
                value = _number(header, f"{letter}_{p}_{q}", source, 0.0)
                coefficients[row, k] += value * reach ** (p + q)
    return PolynomialMap(basis, coefficients)


def _pv(header: Mapping[str, Any]) -> dict[tuple[int, int], Any]:
    """Return {(0 or 1 for the axis, number): value} of the PV cards.

    PVi_m with m > 4 of a TAN header are what SCAMP wrote before TPV had its name; fewer are
    those of the standard, which mean nothing to TAN.
    """
    found = {}
    for key in header:
        match = re.fullmatch(r"PV([12])_(\d+)", str(key))
        if match:
            found[int(match[1]) - 1, int(match[2])] = header[key]
    tpv = str(header["CTYPE1"]).strip().endswith("TPV")
    return found if tpv or any(m > 4 for _, m in found) else {}


def _tpv(pv: Mapping[tuple[int, int], Any], reach: float, source: str) -> PolynomialMap:
    """Return the TPV polynomial of (xi, eta), degrees.

    Terms of one degree follow each other with falling power of the axis's own coordinate, and
    after degrees 1, 3, 5 and 7 stands the odd power of the radius.
    """
    basis = Basis2D(7, Domain(-reach, reach, -reach, reach), "power")
    numbers = [m for m in range(40) if m not in _TPV_RADIAL]
    coefficients = np.zeros((2, basis.n_terms))
    for axis in (0, 1):
        for m in _TPV_RADIAL:
            if _as_number(pv.get((axis, m), 0.0), f"PV{axis + 1}_{m}", source) != 0:
                problem = f"PV{axis + 1}_{m} is a radial TPV term, which drpflow does not read"
                raise InputError(source, problem, _REMEDY)
        for m, (i, j) in zip(numbers, basis.exponents, strict=True):
            value = _as_number(pv.get((axis, m), float(m == 1)), f"PV{axis + 1}_{m}", source)
            powers = (i, j) if axis == 0 else (j, i)
            k = int(np.flatnonzero((basis.exponents == powers).all(axis=1))[0])
            coefficients[axis, k] = value * reach ** (i + j)
    highest = max((sum(basis.exponents[k]) for k in np.nonzero(coefficients)[1]), default=1)
    reduced = Basis2D(max(1, int(highest)), basis.domain, "power")
    return PolynomialMap(reduced, coefficients[:, : reduced.n_terms])


def _shape(header: Mapping[str, Any]) -> tuple[int, int] | None:
    nx, ny = (header.get(f"ZNAXIS{i}", header.get(f"NAXIS{i}")) for i in (1, 2))
    return None if nx is None or ny is None else (int(nx), int(ny))


def _reach(crpix: np.ndarray, shape: tuple[int, int] | None) -> float:
    """Return a bound on the distance of a pixel from CRPIX along an axis."""
    size = np.array(shape if shape is not None else (4096, 4096))
    return _power_of_two(max(np.abs(crpix).max(), np.abs(size + 1 - crpix).max(), 1.0))


def _power_of_two(value: float) -> float:
    """Return the next power of two: coefficients scaled to such a domain keep every bit."""
    return float(2.0 ** np.ceil(np.log2(value)))


def _affine(cd: np.ndarray, source: str) -> AffineMap:
    try:
        return AffineMap(cd, np.zeros(2))
    except ValueError:
        raise InputError(
            source, f"the linear WCS matrix {cd.tolist()} is singular", _REMEDY
        ) from None


def _number(
    header: Mapping[str, Any], key: str, source: str, default: float | None = None
) -> float:
    if key not in header:
        if default is None:
            raise InputError(source, f"the WCS lacks {key}", _REMEDY)
        return default
    return _as_number(header[key], key, source)


def _as_number(value: Any, key: str, source: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    if not np.isfinite(number):
        raise InputError(source, f"{key} = {value!r} is not a number", _REMEDY)
    return number
