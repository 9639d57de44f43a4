"""The pointing of a visit from the WCSs of its detectors.

Wahba's problem: the rotation R of the sphere that takes the directions of the camera model, at the
header's pointing, onto those of the fitted WCSs with the least squares of the distances. With
``B = Σ v_fit v_modelᵀ = U S Vᵀ``, ``R = U diag(1, 1, det(U V)) Vᵀ`` (Markley 1988, J. Astronaut.
Sci. 36, 245). What a rotation leaves, refraction and a scale that changed, is a small affine map of
the field, under a prior.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.data.plane_maps import AffineMap
from drpflow.data.reference_stars import unit_vectors
from drpflow.data.sky_wcs import SkyWcs
from drpflow.data.tan_projection import TanProjection

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drpflow.config.consolidate_visit import PointingConfig
    from drpflow.data.camera import Camera, Detector
    from drpflow.data.visit_info import VisitInfo

    Floats: TypeAlias = NDArray[np.float64]

_ARCSEC_PER_RAD = 180 * 3600 / np.pi


@dataclass(frozen=True, eq=False)
class Pointing:
    """Where the camera looked.

    Parameters
    ----------
    camera
        Geometry of detectors and optics.
    projection
        Boresight and rotation.
    visit_map
        From the camera's field to that of the visit, degrees.
    shift_arcsec
        From the header's boresight.
    offset_arcsec
        Rms distance of each detector's own WCS from the pointing.
    used
        Detectors that made the pointing.
    rejected
        Detectors whose WCS disagrees with the others'.
    """

    camera: Camera
    projection: TanProjection
    visit_map: AffineMap
    shift_arcsec: float
    offset_arcsec: Mapping[int, float]
    used: tuple[int, ...]
    rejected: tuple[int, ...]

    def wcs(self, detector: int) -> SkyWcs:
        """Return the WCS of a detector by the camera's geometry."""
        p = self.projection
        model = SkyWcs.from_camera(self.camera, detector, p.ra_deg, p.dec_deg, p.rotation_deg)
        return model.with_visit_map(self.visit_map)

    def error_arcsec(self, expected: float) -> float:
        """Return how far a detector's WCS is expected from the pointing.

        Parameters
        ----------
        expected
            What is expected before seeing any detector; it counts as one of them.
        """
        offsets = np.array([expected, *(self.offset_arcsec[d] for d in self.used)])
        return float(np.sqrt(np.mean(offsets**2)))


def fit_pointing(
    fitted: Mapping[int, SkyWcs], camera: Camera, visit_info: VisitInfo, config: PointingConfig
) -> Pointing | None:
    """Fit the pointing of a visit.

    Parameters
    ----------
    fitted
        WCSs of detectors that have one.
    camera
        Geometry of detectors and optics.
    visit_info
        Boresight and rotation as the header says.
    config
        Parameters.

    Returns
    -------
    Pointing or None
        None if there is no WCS, no pointing to start from, or the detectors disagree and none of
        the parties is a majority of at least ``min_detectors_to_reject``.
    """
    ra_deg, dec_deg = visit_info.ra_deg, visit_info.dec_deg
    if not fitted or ra_deg is None or dec_deg is None:
        return None
    header = TanProjection(ra_deg, dec_deg, visit_info.rotation_deg or 0.0, camera.optics.x_axis)
    keys = sorted(fitted)
    grids = [_grid(camera.detector(key), config.grid) for key in keys]
    found = np.array([_directions(fitted[k], *g) for k, g in zip(keys, grids, strict=True)])
    model = np.array(
        [
            _directions(SkyWcs.from_camera(camera, k, ra_deg, dec_deg, header.rotation_deg), *g)
            for k, g in zip(keys, grids, strict=True)
        ]
    )
    agreeing = _consensus(found, model, config.max_detector_arcsec)
    enough = agreeing.sum() >= config.min_detectors_to_reject and 2 * agreeing.sum() > len(keys)
    if not agreeing.all() and not enough:
        return None
    rotation = wahba_rotation(model[agreeing].reshape(-1, 3), found[agreeing].reshape(-1, 3))
    projection = _turned(header, rotation)
    visit_map = _visit_map(projection, header, model[agreeing], found[agreeing], config)
    bare = Pointing(camera, projection, visit_map, 0.0, {}, (), ())
    offsets = {
        key: _rms_arcsec(_directions(bare.wcs(key), *grid), own)
        for key, grid, own in zip(keys, grids, found, strict=True)
    }
    start, end = (unit_vectors(p.ra_deg, p.dec_deg) for p in (header, projection))
    return Pointing(
        camera,
        projection,
        visit_map,
        float(np.linalg.norm(end - start) * _ARCSEC_PER_RAD),
        offsets,
        tuple(key for key, ok in zip(keys, agreeing, strict=True) if ok),
        tuple(key for key, ok in zip(keys, agreeing, strict=True) if not ok),
    )


def wahba_rotation(before: Floats, after: Floats) -> Floats:
    """Return the rotation matrix that takes unit vectors onto others, both of shape (N, 3)."""
    u, _, vt = np.linalg.svd(after.T @ before)
    return np.asarray(u @ np.diag([1.0, 1.0, np.linalg.det(u) * np.linalg.det(vt)]) @ vt)


def _grid(detector: Detector, side: int) -> tuple[Floats, Floats]:
    nx, ny = detector.size_pix
    x, y = np.meshgrid(np.linspace(0, nx - 1, side), np.linspace(0, ny - 1, side))
    return x.ravel(), y.ravel()


def _directions(wcs: SkyWcs, x: Floats, y: Floats) -> Floats:
    return unit_vectors(*wcs.pixel_to_world_values(x, y))


def _rms_arcsec(a: Floats, b: Floats) -> float:
    return float(np.sqrt(((a - b) ** 2).sum(axis=-1).mean()) * _ARCSEC_PER_RAD)


def _consensus(found: Floats, model: Floats, limit_arcsec: float) -> NDArray[np.bool_]:
    """Return which detectors agree on a rotation: the largest party that one of them leads.

    Parameters
    ----------
    found, model
        Directions of each detector's grid, shape (n, N, 3).
    limit_arcsec
        Largest rms distance.
    """
    best = np.zeros(len(found), bool)
    least = np.inf
    for own_found, own_model in zip(found, model, strict=True):
        turned = model @ wahba_rotation(own_model, own_found).T
        distance = np.sqrt(((turned - found) ** 2).sum(axis=2).mean(axis=1)) * _ARCSEC_PER_RAD
        party = distance <= limit_arcsec
        spread = float(distance[party].sum())
        if (party.sum(), -spread) > (best.sum(), -least):
            best, least = party, spread
    return best


def _turned(header: TanProjection, rotation: Floats) -> TanProjection:
    """Return the projection whose tangent point and axes a rotation of the sphere has moved."""
    ra, dec, angle = np.radians([header.ra_deg, header.dec_deg, header.rotation_deg])
    east, north = _east_north(ra, dec)
    axis = rotation @ (np.sin(angle) * east + np.cos(angle) * north)
    x, y, z = rotation @ unit_vectors(header.ra_deg, header.dec_deg)
    new_ra, new_dec = np.arctan2(y, x), np.arctan2(z, np.hypot(x, y))
    east, north = _east_north(new_ra, new_dec)
    return TanProjection(
        float(np.degrees(new_ra) % 360.0),
        float(np.degrees(new_dec)),
        float(np.degrees(np.arctan2(axis @ east, axis @ north)) % 360.0),
        header.x_axis,
    )


def _east_north(ra: float, dec: float) -> tuple[Floats, Floats]:
    """Return the unit vectors to the east and north of a direction, radians."""
    east = np.array([-np.sin(ra), np.cos(ra), 0.0])
    north = np.array([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)])
    return east, north


def _visit_map(
    projection: TanProjection,
    header: TanProjection,
    model: Floats,
    found: Floats,
    config: PointingConfig,
) -> AffineMap:
    """Return what maps the camera's field onto that of the WCSs, where a rotation does not.

    A detector counts as one measurement, off by ``detector_offset_arcsec``; the linear terms
    have the standard deviation ``scale_sigma`` about the identity.
    """
    before = np.stack(header.from_sky(*_angles(model)), axis=-1).reshape(-1, 2)
    after = np.stack(projection.from_sky(*_angles(found)), axis=-1).reshape(-1, 2)
    return fit_affine(
        before,
        after,
        np.full(len(before), config.detector_offset_arcsec / 3600 * np.sqrt(found.shape[1])),
        config.scale_sigma,
    )


def fit_affine(before: Floats, after: Floats, error: Floats, linear_sigma: float) -> AffineMap:
    """Fit an affine map of the plane whose matrix is near the identity.

    Parameters
    ----------
    before, after
        Points, shape (N, 2).
    error
        Of the points, shape (N,).
    linear_sigma
        Standard deviation of the matrix's elements about those of the identity.
    """
    weight = 1 / error**2
    middle = weight @ before / weight.sum()
    design = np.column_stack([np.ones(len(before)), before - middle])
    normal = (design * weight[:, None]).T @ design + np.diag([0.0, *[linear_sigma**-2] * 2])
    terms = np.linalg.solve(normal, design.T @ ((after - before) * weight[:, None]))
    matrix = np.eye(2) + terms[1:].T
    return AffineMap(matrix, terms[0] + middle - matrix @ middle)


def _angles(vectors: Floats) -> tuple[Floats, Floats]:
    x, y, z = np.moveaxis(vectors, -1, 0)
    return np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arctan2(z, np.hypot(x, y)))
