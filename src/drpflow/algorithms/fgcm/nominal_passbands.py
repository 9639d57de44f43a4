"""What stands in for a throughput that nobody has told.

A passband with flat top and steep edges, from the name of the filter and its effective wavelength.
Its integrals give an airmass term that is right to about a tenth; chromatic terms are nominal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Curve: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64]]

# Centre and full width at half maximum [nm]. Lower case: Sloan (Fukugita et al. 1996, AJ 111, 1748;
# y: LSST); upper case: Johnson-Cousins (Bessell 2005, ARA&A 43, 293).
_BANDS = {
    "u": (355.0, 57.0),
    "g": (477.0, 137.0),
    "r": (623.0, 137.0),
    "i": (762.0, 153.0),
    "z": (913.0, 95.0),
    "y": (971.0, 90.0),
    "U": (366.0, 65.0),
    "B": (436.0, 89.0),
    "V": (545.0, 84.0),
    "R": (641.0, 158.0),
    "I": (798.0, 154.0),
    "vr": (615.0, 255.0),
}
NOMINAL_WAVELENGTH_NM = {band: center for band, (center, _) in _BANDS.items()}
"""Centres of the bands of common names."""

# A CCD without a filter.
_CLEAR = (640.0, 450.0)
_RELATIVE_WIDTH = 0.2
_EDGE_NM = 20.0


def nominal_passband(
    physical_filter: str, band: str, effective_wavelength_nm: float | None
) -> tuple[Curve, str]:
    """Return a passband, and in words what it is taken from.

    Parameters
    ----------
    physical_filter, band
        Names; the first that is known gives width and centre: as they are, then in lower case.
    effective_wavelength_nm
        Supersedes the centre. For a name that nobody knows the width is a fifth of it.

    Returns
    -------
    curve : tuple of ndarray
        Wavelengths [nm] and throughputs.
    origin : str
        For the user.
    """
    names = (physical_filter, band, physical_filter.lower(), band.lower())
    known = next((name for name in names if name in _BANDS), None)
    if known is not None:
        center, width = _BANDS[known]
        origin = f"a common {known} filter"
    elif effective_wavelength_nm is not None:
        center, width = effective_wavelength_nm, _RELATIVE_WIDTH * effective_wavelength_nm
        origin = "a filter a fifth as wide as its wavelength"
    else:
        center, width = _CLEAR
        origin = "a CCD without a filter"
    if effective_wavelength_nm is not None:
        center = effective_wavelength_nm
        origin += f" at {center:g} nm"
    half, edge = width / 2, _EDGE_NM / 2
    corners = [center - half - edge, center - half + edge, center + half - edge]
    wavelength = np.array([*corners, center + half + edge])
    return (wavelength, np.array([0.0, 1.0, 1.0, 0.0])), origin
