"""Transfer functions of extended sources: Sérsic galaxies and trailed points.

The radial transforms of the Sérsic profiles come from GalSim, as tables in
``ln(1 + k · half-light radius)``; ellipses are circles in a scaled wave plane.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from drpflow.errors import InputError

if TYPE_CHECKING:
    from drpflow.sim.canvas import Canvas

DISC_INDEX = 1.0
BULGE_INDEX = 4.0
_LARGEST_K = 3e3
_NODES = 1500


@lru_cache(maxsize=4)
def radial_transform(sersic_index: float) -> np.ndarray:
    """Return the transform of a profile of unit flux and half-light radius.

    Returns
    -------
    numpy.ndarray
        Values at wave numbers ``exp(t) - 1``, t evenly spaced from 0 to ``ln(1 + 3000)``.

    Raises
    ------
    InputError
        If GalSim is not installed.
    """
    try:
        import galsim
    except ImportError:
        raise InputError(
            "simulation", "galaxies need GalSim, which is not installed", "Install drpflow[sim]"
        ) from None

    profile = galsim.Sersic(sersic_index, half_light_radius=1.0)
    k = np.expm1(np.linspace(0.0, np.log1p(_LARGEST_K), _NODES))
    return np.array([profile.kValue(value, 0.0).real for value in k])


def sersic_transfer(
    canvas: Canvas,
    sersic_index: float,
    radius_pix: float,
    axis_ratio: float,
    angle_rad: float,
) -> np.ndarray:
    """Return the transfer function of an elliptical Sérsic profile of unit flux.

    Parameters
    ----------
    canvas
        Wave numbers.
    sersic_index
        1 for a disc, 4 for a bulge.
    radius_pix
        Half-light radius along the major axis.
    axis_ratio
        Minor over major axis.
    angle_rad
        Direction of the major axis, from +x towards +y.
    """
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    kx, ky = canvas.kx[None, :], canvas.ky[:, None]
    major = radius_pix * (c * kx + s * ky)
    minor = radius_pix * axis_ratio * (c * ky - s * kx)
    scaled = np.log1p(np.sqrt(major**2 + minor**2))
    table = radial_transform(sersic_index)
    position = scaled * ((_NODES - 1) / np.log1p(_LARGEST_K))
    lower = np.minimum(position.astype(np.intp), _NODES - 2)
    position -= lower
    return table[lower] + position * (table[lower + 1] - table[lower])


def galaxy_transfer(
    canvas: Canvas, galaxy: np.void, pixel_arcsec: float, angle_rad: float
) -> np.ndarray:
    """Return the transfer function of a disc with a bulge of unit flux.

    Parameters
    ----------
    canvas
        Wave numbers.
    galaxy
        A row with ``bulge_fraction``, radii in arcseconds and ``axis_ratio``.
    pixel_arcsec
        Pixel scale.
    angle_rad
        Direction of the major axis, from +x towards +y.
    """
    bulge = float(galaxy["bulge_fraction"])
    radius, q = galaxy["disc_radius_arcsec"] / pixel_arcsec, float(galaxy["axis_ratio"])
    total = (1 - bulge) * sersic_transfer(canvas, DISC_INDEX, radius, q, angle_rad)
    if bulge > 0.02:
        # Bulges are rounder than the discs around them.
        round_q = 0.5 + 0.5 * q
        radius = galaxy["bulge_radius_arcsec"] / pixel_arcsec
        total += bulge * sersic_transfer(canvas, BULGE_INDEX, radius, round_q, angle_rad)
        return total
    return total / (1 - bulge)


def trail_transfer(canvas: Canvas, trail_pix: tuple[float, float]) -> np.ndarray:
    """Return the transfer function of a point that moves evenly along a vector."""
    phase = canvas.kx[None, :] * trail_pix[0] + canvas.ky[:, None] * trail_pix[1]
    return np.sinc(phase / (2 * np.pi))
