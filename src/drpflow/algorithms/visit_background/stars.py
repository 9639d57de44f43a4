"""Bright stars of a visit as each detector sees them, on its pixels and beyond its edges."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drpflow.data.reference_stars import unit_vectors
from drpflow.data.sky_wcs import detector_map

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from drpflow.config.model_visit_background import WingsConfig
    from drpflow.data.camera import Camera
    from drpflow.data.photo_calib import PhotoCalib
    from drpflow.data.reference_stars import ReferenceStars
    from drpflow.data.sky_wcs import SkyWcs

    Float64: TypeAlias = NDArray[np.float64]

_SAME_STAR_ARCSEC = 3.0
_REACH = float(2 * np.sin(np.radians(_SAME_STAR_ARCSEC / 3600) / 2))
"""The same as the length of a chord."""

_MIN_VISITS = 2
"""What one visit alone has seen may be a flaw of its own."""

_EXPLAINED = 0.5
"""A source is in the catalogue if the stars there have so much of its flux: fluxes of saturated
stars are that uncertain, and a faint star close to a bright one has far less."""

_ZERO_POINT_MAG = 31.4


@dataclass(frozen=True, eq=False)
class SkyStars:
    """Bright stars of a visit.

    Parameters
    ----------
    ra, dec
        Where they are seen, degrees, shape (m,).
    flux_njy
        Fluxes in the band of the visit.
    """

    ra: Float64
    dec: Float64
    flux_njy: Float64

    def chosen(self, rows: NDArray[Any]) -> SkyStars:
        """Return some of the stars."""
        return SkyStars(self.ra[rows], self.dec[rows], self.flux_njy[rows])


NO_STARS = SkyStars(np.zeros(0), np.zeros(0), np.zeros(0))


def joined(parts: Sequence[SkyStars]) -> SkyStars:
    """Return stars one after the other."""
    return SkyStars(
        *(
            np.concatenate([np.zeros(0), *(getattr(p, f.name) for p in parts)])
            for f in fields(SkyStars)
        )
    )


@dataclass(frozen=True, eq=False)
class DetectorStars:
    """The stars whose wings may reach a detector.

    Parameters
    ----------
    x, y
        Places, pixels, shape (m,).
    flux
        Electrons.
    region
        Ring of the focal plane, from 0 at the middle.
    radii
        Nodes of the profile of wings, pixels, shape (k,).
    """

    x: Float64
    y: Float64
    flux: Float64
    region: NDArray[np.int64]
    radii: Float64


def bright_stars(
    references: ReferenceStars | None,
    sources: Mapping[str, NDArray[np.generic]],
    band: str,
    config: WingsConfig,
    shared: SkyStars | None = None,
) -> SkyStars:
    """Return the bright stars of a visit: those of the catalogue, and those that it lacks.

    Parameters
    ----------
    references
        The catalogue at the epoch of the visit, None without one.
    sources
        ``initial_stars``: of point-like sources, what they have more flux than the stars of the
        catalogue at their place counts, if that is most of it. Columns ``ra``, ``dec``,
        ``psfFlux``, ``extendedness`` and ``pixelFlags_saturated``; may be empty.
    band
        Of the visit.
    config
        Limits.
    shared
        Stars that the catalogue lacks and several visits have seen, with the flux that it does
        not have; they count as stars of the catalogue.
    """
    known = _known(references, band)
    if shared is not None:
        known = joined([known, shared])
    found = joined([known, _unexplained(_point_like(sources), known)])
    order = np.argsort(-found.flux_njy, kind="stable")[: config.max_stars]
    return found.chosen(order[found.flux_njy[order] >= _faintest(config)])


def uncatalogued_stars(
    references: ReferenceStars | None,
    sources: Mapping[str, NDArray[np.generic]],
    band: str,
    config: WingsConfig,
) -> SkyStars:
    """Return the bright stars that a visit has seen and the catalogue lacks.

    Parameters as of :func:`bright_stars`.
    """
    found = _unexplained(_point_like(sources), _known(references, band))
    return found.chosen(found.flux_njy >= _faintest(config))


def shared_stars(visits: Sequence[SkyStars]) -> tuple[SkyStars, NDArray[np.int64]]:
    """Return the stars that at least two visits have seen, and how many each.

    Those within 3 arcsec of the brightest are one star, of median place and flux.

    Parameters
    ----------
    visits
        What :func:`uncatalogued_stars` found in each.
    """
    seen = joined(visits)
    visit = np.repeat(np.arange(len(visits)), [v.flux_njy.size for v in visits])
    rows, numbers = [], []
    for members in _about_the_brightest(seen):
        number = np.unique(visit[members]).size
        if number >= _MIN_VISITS:
            first = members[0]
            # Right ascensions are averaged as distances from one of them.
            away = (seen.ra[members] - seen.ra[first] + 180) % 360 - 180
            ra = (seen.ra[first] + np.median(away)) % 360
            rows.append((ra, np.median(seen.dec[members]), np.median(seen.flux_njy[members])))
            numbers.append(number)
    ra, dec, flux = np.array(rows, np.float64).reshape(-1, 3).T
    return SkyStars(ra, dec, flux), np.array(numbers, np.int64)


def _about_the_brightest(seen: SkyStars) -> list[NDArray[np.int64]]:
    """Return the rows of each star, that of the brightest first."""
    if not seen.ra.size:
        return []
    from scipy.spatial import cKDTree

    places = unit_vectors(seen.ra, seen.dec)
    tree, free, found = cKDTree(places), np.ones(len(places), bool), []
    for row in np.argsort(-seen.flux_njy, kind="stable"):
        if free[row]:
            near = np.array(tree.query_ball_point(places[row], _REACH), np.int64)
            near = near[free[near] & (near != row)]
            found.append(np.append(row, np.sort(near)))
            free[found[-1]] = False
    return found


def _faintest(config: WingsConfig) -> float:
    """Return the flux of the faintest star that has wings, nJy."""
    return float(10 ** (0.4 * (_ZERO_POINT_MAG - config.faintest_mag)))


def _known(references: ReferenceStars | None, band: str) -> SkyStars:
    if references is None or band not in references.bands:
        return NO_STARS
    flux = references.flux_njy[band]
    good = np.isfinite(flux) & (flux > 0)
    return SkyStars(references.ra[good], references.dec[good], flux[good])


def _point_like(sources: Mapping[str, NDArray[np.generic]]) -> SkyStars:
    if not sources:
        return NO_STARS
    ra, dec, flux, extended = (
        np.asarray(sources[name], np.float64) for name in ("ra", "dec", "psfFlux", "extendedness")
    )
    good = (extended < 0.5) | np.asarray(sources["pixelFlags_saturated"], bool)
    good &= np.isfinite(ra) & np.isfinite(dec) & np.isfinite(flux) & (flux > 0)
    return SkyStars(ra[good], dec[good], flux[good])


def _unexplained(seen: SkyStars, known: SkyStars) -> SkyStars:
    """Return the sources that the catalogue lacks, with the flux that it does not have.

    That a star of the catalogue is near is not enough: it may be a faint one in the image of a
    bright one that the catalogue lacks, and the wings are the bright one's.
    """
    if not (seen.ra.size and known.ra.size):
        return seen
    from scipy.spatial import cKDTree

    tree = cKDTree(unit_vectors(known.ra, known.dec))
    near = tree.query_ball_point(unit_vectors(seen.ra, seen.dec), _REACH)
    explained = np.array([known.flux_njy[k].sum() if k else 0.0 for k in near])
    lacking = explained < _EXPLAINED * seen.flux_njy
    rest = seen.flux_njy - explained
    return replace(seen, flux_njy=rest).chosen(lacking)


def stars_of_detectors(
    stars: SkyStars,
    wcss: Mapping[int, SkyWcs],
    calibrations: Mapping[int, PhotoCalib],
    camera: Camera,
    config: WingsConfig,
) -> dict[int, DetectorStars]:
    """Return the stars about each detector that has WCS and zero point.

    Parameters
    ----------
    stars
        The stars of the visit.
    wcss, calibrations
        By detector.
    camera
        Geometry.
    config
        Radii and rings.
    """
    edges_mm = _ring_edges(camera, config.regions)
    found = {}
    for key in sorted(set(wcss) & set(calibrations)):
        detector, wcs, calibration = camera.detector(key), wcss[key], calibrations[key]
        nx, ny = detector.size_pix
        x_mid, y_mid = (nx - 1) / 2, (ny - 1) / 2
        scale = float(wcs.pixel_scale_arcsec(x_mid, y_mid))
        reach = config.outer_arcsec / scale
        ra, dec = wcs.pixel_to_world_values(x_mid, y_mid)
        offset = unit_vectors(stars.ra, stars.dec) - unit_vectors(float(ra), float(dec))
        # Far from the detector the inverse of a WCS may not exist.
        limit = np.radians((np.hypot(nx, ny) / 2 + 1.1 * reach) * scale / 3600)
        near = np.flatnonzero(np.einsum("ij,ij->i", offset, offset) < limit**2)
        x, y = (np.asarray(p) for p in wcs.world_to_pixel_values(stars.ra[near], stars.dec[near]))
        here = (x > -reach) & (x < nx + reach) & (y > -reach) & (y < ny + reach)
        x, y = x[here], y[here]
        flux = stars.flux_njy[near][here] / calibration.mean
        region = np.searchsorted(edges_mm, _radius_mm(key, camera, x, y))
        radii = np.geomspace(config.inner_arcsec, config.outer_arcsec, config.nodes) / scale
        found[key] = DetectorStars(x, y, flux, region.astype(np.int64), radii)
    return found


def _radius_mm(key: int, camera: Camera, x: Float64, y: Float64) -> Float64:
    x_mm, y_mm = detector_map(camera.detector(key)).forward(x, y)
    x0, y0 = camera.optics.boresight_mm
    return np.asarray(np.hypot(x_mm - x0, y_mm - y0))


def _ring_edges(camera: Camera, rings: int) -> Float64:
    """Return the radii between rings of equal area about the optical axis, mm."""
    farthest = 0.0
    for detector in camera.detectors:
        nx, ny = detector.size_pix
        corners = np.array([0.0, nx - 1.0, 0.0, nx - 1.0]), np.array([0.0, 0.0, ny - 1.0, ny - 1.0])
        farthest = max(farthest, float(_radius_mm(detector.id, camera, *corners).max()))
    return np.asarray(farthest * np.sqrt(np.arange(1, rings) / rings))
