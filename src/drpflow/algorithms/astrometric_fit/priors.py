"""What is expected of the maps before the stars are asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.astrometric_fit.fit import Fit
    from drpflow.config.solve_astrometry import SolveAstrometryConfig

    Floats: TypeAlias = NDArray[np.float64]

# Nearer to the zenith (tan of the distance), the direction in which refraction acts is not known.
_NEAR_ZENITH = 0.1
_NONE_MAS = 1e-6


@dataclass(frozen=True, eq=False)
class Sizes:
    """Sizes of the terms of each order, from 0, mas.

    Parameters
    ----------
    detector_mas, visit_mas
        Of static maps and of visits.
    """

    detector_mas: Floats
    visit_mas: Floats


def expected_sizes(config: SolveAstrometryConfig) -> Sizes:
    """Return what the configuration expects."""
    m = config.model
    order = np.arange(m.visit_order + 1)
    return Sizes(
        np.full(m.detector_order + 1, m.detector_mas),
        np.where(order < 2, 1000 * m.visit_linear_arcsec, m.visit_mas),
    )


@dataclass(frozen=True, eq=False)
class MapPrior:
    """Precisions of the maps' parameters, those of static maps about a mean, others about zero.

    Parameters
    ----------
    c, q
        Of each parameter, (M, 2, K) and (V, 2, L + 1).
    cross
        Between the two refractions of each visit, (V,).
    mean
        Means of static maps, (M, 2, K).
    """

    c: Floats
    q: Floats
    cross: Floats
    mean: Floats

    @property
    def diagonal(self) -> Floats:
        """Precisions in the order of the parameter vector."""
        return np.concatenate([self.c.ravel(), self.q.ravel()])

    def times(self, vector: Floats) -> Floats:
        """Return the matrix of precisions times a parameter vector."""
        out = self.diagonal * vector
        given, made = (v[self.c.size :].reshape(self.q.shape) for v in (vector, out))
        made[:, :, -1] += self.cross[:, None] * given[:, ::-1, -1]
        return out

    def root_times(self, unit: Floats) -> Floats:
        """Return a matrix whose square is that of precisions, times a vector."""
        out = np.sqrt(self.diagonal) * unit
        given, made = (v[self.c.size :].reshape(self.q.shape) for v in (unit, out))
        made[:, :, -1] = np.einsum("vij,vj->vi", self._refraction_root(), given[:, :, -1])
        return out

    def _refraction_root(self) -> Floats:
        """Return Cholesky factors of the precisions of refraction, (V, 2, 2)."""
        matrix = np.zeros((len(self.q), 2, 2))
        matrix[:, [0, 1], [0, 1]] = self.q[:, :, -1]
        matrix[:, [0, 1], [1, 0]] = self.cross[:, None]
        return np.asarray(np.linalg.cholesky(matrix))


def map_priors(fit: Fit) -> MapPrior:
    """Return the priors of the maps where a fit stands."""
    c, terms = term_precisions(fit, fit.sizes)
    precision = refraction_precision(fit)
    q = np.concatenate([terms, precision[:, [0, 1], [0, 1]][:, :, None]], axis=2)
    return MapPrior(c, q, precision[:, 0, 1], fit.held.mean_mas)


def term_precisions(fit: Fit, sizes: Sizes) -> tuple[Floats, Floats]:
    """Return precisions of the terms of static maps and visits, (M, 2, K) and (V, 2, L)."""
    layout = fit.layout
    degree_c = layout.map_basis[0].exponents.sum(axis=1)
    degree_q = layout.visit_basis.exponents.sum(axis=1)
    c = 1 / sizes.detector_mas[degree_c] ** 2
    q = 1 / sizes.visit_mas[degree_q] ** 2
    maps = np.tile(c, (layout.n_maps, 2, 1))
    known = fit.held.known
    maps[known] = (fit.held.error_mas[known] ** -2.0)[:, None, None]
    return maps, np.tile(q, (len(fit.tables.visits), 2, 1))


def refraction_precision(fit: Fit) -> Floats:
    """Return the precision of each visit's refraction in its tangent plane, mas-2 mag2, (V, 2, 2).

    Air disperses towards the zenith: across, little is expected where that is known.
    """
    m, visits = fit.config.model, fit.tables.visits
    turn = np.array([p.jacobian(0.0, 0.0) for p in fit.planes.projections]).reshape(-1, 2, 2)
    along = np.einsum("vji,vj->vi", turn, np.nan_to_num(visits.zenith))
    length = np.hypot(*along.T)
    known = (length > _NEAR_ZENITH) & np.isfinite(visits.zenith).all(axis=1)
    unit = along / np.where(known, length, 1.0)[:, None]
    precision = np.zeros((len(visits), 2, 2))
    precision[:, [0, 1], [0, 1]] = 1 / max(m.dcr_mas, _NONE_MAS) ** 2
    across = min(m.dcr_across_mas, m.dcr_mas)
    extra = 1 / max(across, _NONE_MAS) ** 2 - 1 / max(m.dcr_mas, _NONE_MAS) ** 2
    normal = np.stack([-unit[:, 1], unit[:, 0]], axis=1) * known[:, None]
    return precision + extra * normal[:, :, None] * normal[:, None, :]
