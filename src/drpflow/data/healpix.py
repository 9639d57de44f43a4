"""HEALPix in the nested scheme: from places to pixels, and which pixels lie near a place.

Górski et al. (2005, ApJ 622, 759), sections 4 and 5. What drpflow needs of it is small, and
importing a HEALPix library takes half a second, which each of thousands of jobs would pay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.data.tan_projection import unit_vectors

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Integers: TypeAlias = NDArray[np.int64]

MAX_ORDER = 29
"""Finest order whose pixels have numbers below 2⁶³."""
# Ring (in units of nside, from the north pole) and longitude (in units of 45°) of the southern
# corner of each base pixel.
_RING = np.array([2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4])
_LONGITUDE = np.array([1, 3, 5, 7, 0, 2, 4, 6, 1, 3, 5, 7])
_EQUATORIAL = 2 / 3
# Bits of a number moved to the even places: shift and mask of each step.
_SPREAD = (
    (16, 0x0000FFFF0000FFFF),
    (8, 0x00FF00FF00FF00FF),
    (4, 0x0F0F0F0F0F0F0F0F),
    (2, 0x3333333333333333),
    (1, 0x5555555555555555),
)


def pixels_of_deg(order: int, ra_deg: ArrayLike, dec_deg: ArrayLike) -> Integers:
    """Return the pixels that places lie in.

    Parameters
    ----------
    order
        Resolution, 0 to 29; 4^order pixels in each of the 12 base pixels.
    ra_deg, dec_deg
        Places, finite; of any shape.

    Notes
    -----
    0.15 µs a place.
    """
    nside = 1 << order
    ra, dec = np.broadcast_arrays(np.asarray(ra_deg, np.float64), np.radians(dec_deg))
    shape, ra, dec = ra.shape, ra.ravel(), dec.ravel()
    z, quarter = np.sin(dec), (ra % 360.0) / 90.0
    face, x, y = _equatorial(nside, z, quarter)
    polar = np.abs(z) > _EQUATORIAL
    if polar.any():
        caps = _polar(nside, z[polar], np.cos(dec[polar]), quarter[polar])
        for values, of_caps in zip((face, x, y), caps, strict=True):
            values[polar] = of_caps
    return np.reshape(face << 2 * order | _even_places(x) | _even_places(y) << 1, shape)


def _equatorial(nside: int, z: Floats, quarter: Floats) -> tuple[Integers, Integers, Integers]:
    """Return base pixel and place in it between the polar caps; rubbish outside."""
    along, across = nside * (0.5 + quarter), 0.75 * nside * z
    up, down = np.floor(along - across).astype(np.int64), np.floor(along + across).astype(np.int64)
    of_up, of_down = up // nside, down // nside
    face = np.where(
        of_up == of_down, of_up & 3 | 4, np.where(of_up < of_down, of_up & 3, (of_down & 3) + 8)
    )
    return face, down & (nside - 1), nside - (up & (nside - 1)) - 1


def _polar(
    nside: int, z: Floats, cos_dec: Floats, quarter: Floats
) -> tuple[Integers, Integers, Integers]:
    """Return base pixel and place in it within the polar caps."""
    face = np.minimum(quarter.astype(np.int64), 3)
    within = quarter - face
    # sqrt(3 (1 - |z|)) without loss of digits near the poles.
    height = nside * cos_dec * np.sqrt(3 / (1 + np.abs(z)))
    up = np.minimum((within * height).astype(np.int64), nside - 1)
    down = np.minimum(((1 - within) * height).astype(np.int64), nside - 1)
    north = z > 0
    x = np.where(north, nside - 1 - down, up)
    y = np.where(north, nside - 1 - up, down)
    return np.where(north, face, face + 8), x, y


def pixel_centers_deg(order: int, pixel: ArrayLike) -> tuple[Floats, Floats]:
    """Return right ascension and declination of the centres of pixels.

    Parameters
    ----------
    order
        Resolution.
    pixel
        Numbers in the nested scheme.
    """
    nside, number = 1 << order, np.asarray(pixel, np.int64)
    face, inner = number >> 2 * order, number & (nside * nside - 1)
    x, y = _even_bits(inner, order), _even_bits(inner >> 1, order)
    ring = _RING[face] * nside - x - y - 1
    in_ring = np.minimum(np.minimum(ring, 4 * nside - ring), nside)
    height = np.where(
        in_ring == nside,
        (2 * nside - ring) * 2.0 / (3 * nside),
        np.sign(2 * nside - ring) * (1 - (in_ring / nside) ** 2 / 3),
    )
    longitude = 45.0 * (_LONGITUDE[face] + (x - y) / in_ring)
    return longitude % 360.0, np.degrees(np.arcsin(height))


def pixel_radius_deg(order: int) -> float:
    """Return the largest distance of a pixel's corner from its centre, over the sphere."""
    # Widest are the pixels that touch the corners of the polar caps: from z = 2/3 to the corner.
    nside = 1 << order
    z_corner = 1 - (1 - 1 / nside) ** 2 / 3
    angle = np.pi / (4 * nside)
    z = _EQUATORIAL
    cosine = z * z_corner + np.sqrt((1 - z * z) * (1 - z_corner**2)) * np.cos(angle)
    return float(np.degrees(np.arccos(cosine)))


def pixels_in_circles(
    order: int, ra_deg: ArrayLike, dec_deg: ArrayLike, radius_deg: ArrayLike, finer: int = 4
) -> tuple[Integers, Integers]:
    """Return the pixels that circles touch.

    A pixel counts if a part of it, a pixel of an order higher by `finer`, may touch the circle:
    none is missed, and those in excess lie within two radii of such a part.

    Parameters
    ----------
    order
        Resolution.
    ra_deg, dec_deg, radius_deg
        The circles, shape (N,).
    finer
        How much finer the parts are.

    Returns
    -------
    circle, pixel : ndarray of int64
        Pairs, by circle and then by pixel.

    Notes
    -----
    0.1 ms a circle.
    """
    center = unit_vectors(np.atleast_1d(ra_deg), np.atleast_1d(dec_deg)).T
    radius = np.broadcast_to(np.asarray(radius_deg, np.float64), len(center))
    circle, pixel = np.divmod(np.arange(12 * len(center)), 12)
    found = []
    for level in range(order + finer + 1):
        if level:
            circle = np.repeat(circle, 4)
            pixel = (pixel[:, None] * 4 + np.arange(4)).ravel()
        chord = _chords(level, pixel, center[circle])
        near = chord <= _chord(radius + pixel_radius_deg(level))[circle]
        circle, pixel, chord = circle[near], pixel[near], chord[near]
        if level >= order:
            # One part whose centre is inside settles the matter for the whole pixel.
            whole = circle * (12 << 2 * order) + (pixel >> 2 * (level - order))
            settled = chord <= _chord(radius)[circle]
            settled |= level == order + finer
            found.append(np.unique(whole[settled]))
            open_ = ~np.isin(whole, found[-1])
            circle, pixel = circle[open_], pixel[open_]
    circle, pixel = np.divmod(np.unique(np.concatenate(found)), 12 << 2 * order)
    return circle, pixel


def _chord(angle_deg: Floats) -> Floats:
    """Return the chords of angles, which end at 180 degrees."""
    return np.asarray(2 * np.sin(np.radians(np.minimum(angle_deg, 180.0)) / 2))


def _chords(order: int, pixel: Integers, places: Floats) -> Floats:
    """Return the chords between the centres of pixels and a place for each."""
    centers = unit_vectors(*pixel_centers_deg(order, pixel)).T
    return np.asarray(np.linalg.norm(centers - places, axis=1))


def pixels_about(order: int, pixel: int, margin_deg: float, finer: int = 5) -> Integers:
    """Return the small pixels that make up a pixel and what lies within a margin of it.

    Parameters
    ----------
    order, pixel
        The pixel.
    margin_deg
        Everything closer to the pixel than this is covered.
    finer
        How much higher the order of the small pixels is.

    Returns
    -------
    ndarray of int64
        Their numbers at `order` + `finer`, ascending.
    """
    small = order + finer
    ra, dec = pixel_centers_deg(order, np.array([pixel]))
    reach = pixel_radius_deg(order) + margin_deg
    candidates = pixels_in_circles(small, ra, dec, reach, finer=0)[1]
    inside = candidates >> 2 * finer == pixel
    places = unit_vectors(*pixel_centers_deg(small, candidates)).T
    # Whatever is within the margin of the pixel is in a small one that is this near to one of it.
    limit = 2 * np.sin(np.radians(margin_deg + 2 * pixel_radius_deg(small)) / 2)
    outside = np.flatnonzero(~inside)
    cosine = places[outside] @ places[inside].T
    near = (2 - 2 * cosine.max(axis=1)) <= limit**2
    return np.sort(np.concatenate([candidates[inside], candidates[outside[near]]]))


def _even_places(number: Integers) -> Integers:
    """Return the number whose bits 0, 2, 4 and so on are the bits of another."""
    found = number
    for shift, mask in _SPREAD:
        found = (found | found << shift) & mask
    return found


def _even_bits(number: Integers, order: int) -> Integers:
    """Return the number made of bits 0, 2, 4 and so on."""
    found = np.zeros_like(number)
    for bit in range(order):
        found |= ((number >> 2 * bit) & 1) << bit
    return found
