"""Sources and references in one plane: what an astrometric fit compares.

The plane is the tangent plane of the visit (field coordinates, mas). References are projected on
it once; sources get there through the camera's model, on which the fit puts a displacement.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.data.plane_maps import AffineMap, PolynomialMap
from drpflow.data.polynomial import Basis2D, Domain
from drpflow.data.sky_wcs import VISIT

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from drpflow.algorithms.distortion_fit import DisplacementFit, DisplacementModel
    from drpflow.config.astrometry import AstrometryConfig
    from drpflow.data.reference_stars import ReferenceStars
    from drpflow.data.sky_wcs import SkyWcs
    from drpflow.data.visit_info import VisitInfo

    Floats: TypeAlias = NDArray[np.float64]

MAS_PER_DEG = 3.6e6
# A WCS stage of higher order than needed costs time in every use of the WCS.
_NEGLIGIBLE_MAS = 0.01
_DOMAIN_MARGIN = 0.02
_LARGEST_TAN_ZENITH = 5.0
_COLOR_REACH_MAG = 3.0


@dataclass(frozen=True, eq=False)
class Plane:
    """N sources and M references in the tangent plane, mas.

    Parameters
    ----------
    wcs
        The guess, with an identity as the visit's map.
    size_pix
        (nx, ny) of the detector.
    x, y, flux
        Sources: pixels and flux, (N,).
    field, field_covariance
        Where the camera's model puts them, (N, 2), and the errors of the centroids, (N, 2, 2).
    turn, shift
        Rotation (2, 2) and shift (2,), mas, with which the model is laid on the references
        before the fit: ``base = turn @ field + shift``.
    stars, star_covariance, motion
        References: places (M, 2), errors (M, 2, 2), proper motions (M, 2), mas/yr.
    magnitude, color
        Of references, NaN where unknown; the colour less that for which the WCS holds.
    predicted_x, predicted_y
        Pixels of references by the guess.
    zenith
        Unit vector to the zenith, (2,), and
    tan_zenith
        the tangent of its distance; 0 if unknown.
    """

    wcs: SkyWcs
    size_pix: tuple[int, int]
    x: Floats
    y: Floats
    flux: Floats
    field: Floats
    field_covariance: Floats
    turn: Floats
    shift: Floats
    stars: Floats
    star_covariance: Floats
    motion: Floats
    magnitude: Floats
    color: Floats
    predicted_x: Floats
    predicted_y: Floats
    zenith: Floats
    tan_zenith: float

    @property
    def base(self) -> Floats:
        """Sources in the plane before any displacement is fitted, (N, 2)."""
        return self.field @ self.turn.T + self.shift

    @property
    def pixel_mas(self) -> float:
        """Side of a pixel at the centre of the detector."""
        return float(np.sqrt(abs(np.linalg.det(self._center[1]))))

    @property
    def half_diagonal_mas(self) -> float:
        """Half the diagonal of the detector."""
        return self.pixel_mas * float(np.hypot(*self.size_pix)) / 2

    def aligned(self, predicted: tuple[Floats, Floats]) -> Plane:
        """Return the plane with the model turned and shifted to fit pixels of the guess.

        Parameters
        ----------
        predicted
            Pixels at which the guess predicts the reference of each source, (N,).
        """
        world = self.wcs.pixel_to_world_values(*predicted)
        target = np.stack(self.wcs.projection.from_sky(*world), axis=-1) * MAS_PER_DEG
        here, there = self.field.mean(axis=0), target.mean(axis=0)
        z = (self.field - here) @ np.array([1, 1j])
        w = (target - there) @ np.array([1, 1j])
        factor = (np.conj(z) * w).sum()
        factor = factor / abs(factor) if abs(factor) > 0 else 1.0
        c, s = float(np.real(factor)), float(np.imag(factor))
        turn = np.array([[c, -s], [s, c]])
        return replace(self, turn=turn, shift=there - turn @ here)

    def design(self, model: DisplacementModel, field: Floats) -> Floats:
        """Return the derivatives of the displacement at field places (n, 2), extras left out."""
        center, jacobian = self._center
        nx, ny = self.size_pix
        offset = field - center
        unit = offset @ np.linalg.inv(jacobian).T * (2.0 / np.array([nx, ny]))
        axes = offset @ self.turn.T / self.half_diagonal_mas
        return model.design(unit[:, 0], unit[:, 1], axes[:, 0], axes[:, 1])

    def refraction(self, stars: NDArray[np.integer], columns: int) -> Floats:
        """Return the columns of differential refraction: powers of the colour, (n, 2, columns).

        A star without a colour counts as one of the median colour.
        """
        color = self.color[stars]
        known = np.isfinite(color)
        middle = float(np.median(color[known])) if known.any() else 0.0
        color = np.clip(np.where(known, color, middle), -_COLOR_REACH_MAG, _COLOR_REACH_MAG)
        powers = np.stack([color ** (k + 1) for k in range(columns)], axis=-1)
        return np.asarray(self.zenith[None, :, None] * powers[:, None, :])

    def to_wcs(self, fit: DisplacementFit) -> SkyWcs:
        """Return the guess with the fitted map of the visit: one polynomial, no approximation."""
        used = [n for n in range(2, fit.model.order + 1) if fit.tau(n) > _NEGLIGIBLE_MAS]
        basis = Basis2D(max(used, default=1), self._domain())
        nodes = np.cos(np.pi * (np.arange(2 * basis.order + 3) + 0.5) / (2 * basis.order + 3))
        (xc, yc), (xh, yh) = basis.domain.center, basis.domain.half_size
        fx, fy = (grid.ravel() for grid in np.meshgrid(xc + xh * nodes, yc + yh * nodes))
        field = np.column_stack([fx, fy]) * MAS_PER_DEG
        moved = fit.displacement(self.design(fit.model, field)[..., : _columns_to(basis.order)])
        target = (field @ self.turn.T + self.shift + moved) / MAS_PER_DEG
        return self.wcs.with_visit_map(PolynomialMap.fit(basis, fx, fy, *target.T))

    def grid(self, nodes: int) -> Floats:
        """Return a regular grid over the detector, as field places (nodes², 2)."""
        nx, ny = self.size_pix
        x, y = np.meshgrid(np.linspace(0, nx - 1, nodes), np.linspace(0, ny - 1, nodes))
        return to_field_mas(self.wcs, x.ravel(), y.ravel())

    @property
    def _center(self) -> tuple[Floats, Floats]:
        """Field place of the centre of the detector, and d(field)/d(pixel) there, mas."""
        xc, yc = (np.array([(n - 1) / 2]) for n in self.size_pix)
        return to_field_mas(self.wcs, xc, yc)[0], _field_jacobian(self.wcs, xc, yc)[0]

    def _domain(self) -> Domain:
        nx, ny = self.size_pix
        edge = np.linspace(-0.5, 1.0, 9)
        x = np.concatenate([edge * nx, edge * nx, np.full(9, -0.5), np.full(9, nx - 0.5)])
        y = np.concatenate([np.full(9, -0.5), np.full(9, ny - 0.5), edge * ny, edge * ny])
        x, y = np.clip(x, -0.5, nx - 0.5), np.clip(y, -0.5, ny - 0.5)
        field = to_field_mas(self.wcs, x, y) / MAS_PER_DEG
        low, high = field.min(axis=0), field.max(axis=0)
        margin = _DOMAIN_MARGIN * (high - low)
        return Domain(
            low[0] - margin[0], high[0] + margin[0], low[1] - margin[1], high[1] + margin[1]
        )


def make_plane(
    sources: Floats,
    guess: SkyWcs,
    reference: ReferenceStars,
    visit_info: VisitInfo | None,
    config: AstrometryConfig,
    band: str,
) -> Plane:
    """Project sources and references.

    Parameters
    ----------
    sources
        x, y, their errors, and fluxes, all finite, shape (5, N).
    guess, reference, visit_info, config, band
        See :func:`drpflow.algorithms.astrometry.calibrate_astrometry`.
    """
    if guess.pixel_shape is None:
        raise ValueError("the first guess of the WCS must know the size of its image")
    x, y, x_err, y_err, flux = sources
    wcs = guess if VISIT in guess.stage_names else guess.with_visit_map(AffineMap.translation(0, 0))
    centroid = np.zeros((len(x), 2, 2))
    centroid[:, 0, 0], centroid[:, 1, 1] = x_err**2, y_err**2
    jacobian = _field_jacobian(wcs, x, y)
    stars, star_covariance, motion = _project_references(wcs, reference)
    zenith, tan_zenith = _zenith(wcs, visit_info)
    predicted_x, predicted_y = wcs.world_to_pixel_values(reference.ra, reference.dec)
    return Plane(
        wcs=wcs,
        size_pix=guess.pixel_shape,
        x=x,
        y=y,
        flux=flux,
        field=to_field_mas(wcs, x, y),
        field_covariance=jacobian @ centroid @ np.swapaxes(jacobian, -1, -2),
        turn=np.eye(2),
        shift=np.zeros(2),
        stars=stars,
        star_covariance=star_covariance,
        motion=motion,
        magnitude=_magnitude(reference, band),
        color=_color(reference, config),
        predicted_x=np.asarray(predicted_x),
        predicted_y=np.asarray(predicted_y),
        zenith=zenith,
        tan_zenith=tan_zenith,
    )


def to_field_mas(wcs: SkyWcs, x: ArrayLike, y: ArrayLike) -> Floats:
    """Return what enters the visit's map, mas, shape (n, 2)."""
    return np.stack(wcs.stage_input(VISIT, x, y), axis=-1) * MAS_PER_DEG


def _field_jacobian(wcs: SkyWcs, x: Floats, y: Floats) -> Floats:
    """Return d(field)/d(pixel), mas/pix, shape (n, 2, 2)."""
    total = wcs.linearize(x, y) * 1e3
    after = wcs.jacobian_after(VISIT, x, y) / 3600.0
    return np.asarray(np.linalg.solve(after, total))


def _project_references(wcs: SkyWcs, reference: ReferenceStars) -> tuple[Floats, Floats, Floats]:
    """Return places, covariances and motions in the plane; NaN behind the sky's horizon."""
    fx, fy = wcs.projection.from_sky(reference.ra, reference.dec)
    fx, fy = np.atleast_1d(fx), np.atleast_1d(fy)
    to_plane = np.linalg.inv(
        wcs.projection.jacobian(np.nan_to_num(fx, nan=0.0), np.nan_to_num(fy, nan=0.0))
    )
    covariance = np.zeros((len(fx), 2, 2))
    covariance[:, 0, 0] = np.nan_to_num(reference.ra_err) ** 2
    covariance[:, 1, 1] = np.nan_to_num(reference.dec_err) ** 2
    motion = np.nan_to_num(np.stack([reference.pm_ra, reference.pm_dec], axis=-1))
    return (
        np.stack([fx, fy], axis=-1) * MAS_PER_DEG,
        to_plane @ covariance @ np.swapaxes(to_plane, -1, -2),
        np.einsum("nij,nj->ni", to_plane, motion),
    )


def _zenith(wcs: SkyWcs, visit_info: VisitInfo | None) -> tuple[Floats, float]:
    """Return the direction of the zenith in the plane and the tangent of its distance."""
    angle = None if visit_info is None else visit_info.parallactic_angle_deg
    distance = None if visit_info is None else visit_info.zenith_distance_deg
    if angle is None or distance is None:
        return np.zeros(2), 0.0
    q = np.radians(angle)
    vector = np.linalg.solve(wcs.projection.jacobian(0.0, 0.0), [np.sin(q), np.cos(q)])
    tangent = float(np.tan(np.radians(min(max(distance, 0.0), 89.0))))
    return vector / np.linalg.norm(vector), min(tangent, _LARGEST_TAN_ZENITH)


def _magnitude(reference: ReferenceStars, band: str) -> Floats:
    names = [band, *reference.bands] if band in reference.bands else list(reference.bands)
    return reference.magnitude(names[0]) if names else np.full(len(reference), np.nan)


def _color(reference: ReferenceStars, config: AstrometryConfig) -> Floats:
    if not set(config.color) <= set(reference.bands):
        return np.full(len(reference), np.nan)
    return reference.color(*config.color) - config.reference_color_mag


def _columns_to(order: int) -> int:
    """Return the number of columns of a displacement up to a total degree of 1 or more."""
    return (order + 1) * (order + 2)
