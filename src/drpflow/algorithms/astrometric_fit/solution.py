"""From the state of a fit to its result: WCSs, errors, stars, residuals, in the input's order."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.astrometric_fit.coherence import coherence
from drpflow.algorithms.astrometric_fit.draws import draw, draw_loose
from drpflow.algorithms.astrometric_fit.frame import loose_groups, without_frame
from drpflow.algorithms.astrometric_fit.held import describe_held
from drpflow.algorithms.astrometric_fit.layout import n_terms
from drpflow.algorithms.astrometric_fit.result import (
    AstrometrySolution,
    Residuals,
    SolvedImages,
    SolvedStars,
    SolvedVisits,
    StarFlag,
)
from drpflow.algorithms.astrometric_fit.sky import MAS_PER_DEG, MAS_PER_RAD, Population
from drpflow.algorithms.astrometric_fit.variables import count_rows, variable_stars
from drpflow.data.plane_maps import PolynomialMap
from drpflow.data.sky_geometry import in_circle_deg
from drpflow.data.sky_wcs import VISIT, SkyWcs
from drpflow.data.tan_projection import unit_vectors
from drpflow.kernels import astrometric_fit as kernels
from drpflow.kernels import astrometric_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.astrometric_fit.draws import Draws
    from drpflow.algorithms.astrometric_fit.fit import Fit
    from drpflow.algorithms.astrometric_fit.result import Pass
    from drpflow.data.polynomial import Basis2D

    Floats: TypeAlias = NDArray[np.float64]
    Ints: TypeAlias = NDArray[np.int32]
    Bools: TypeAlias = NDArray[np.bool_]

STATIC = "static"
"""Stage from the field to the field as the detectors really are, degrees."""


def make_solution(
    fit: Fit,
    groups: Ints,
    epoch_mjd: float,
    n_input: int,
    notes: list[str],
    history: tuple[Pass, ...],
) -> AstrometrySolution:
    """Return the result of a fit that has ended."""
    draws = draw(fit)
    held = tuple(describe_held(fit, draws))
    growth = coherence(fit)
    loose = loose_groups(fit, groups)
    draws = without_frame(fit, draw_loose(fit, growth), loose) if loose else draws.grown(growth)
    # The factor is the largest thing in memory, and done with.
    fit.factored = None
    shape = len(fit.tables.visits), len(fit.tables.detectors)
    errors = _image_errors(fit, draws)
    covariance = _star_covariance(fit, draws)
    return AstrometrySolution(
        wcs=_all_wcs(fit),
        images=_images(fit, errors, shape),
        visits=_visits(fit, groups, draws),
        stars=_stars(fit, covariance, epoch_mjd),
        residuals=_residuals(fit, n_input),
        detector_mas=fit.sizes.detector_mas,
        visit_mas=fit.sizes.visit_mas,
        notes=tuple(notes),
        history=history,
        held=held,
        converged=fit.converged,
    )


def _solved(fit: Fit) -> list[int]:
    return np.flatnonzero(fit.kept()).tolist()


def _all_wcs(fit: Fit) -> dict[tuple[int, int], SkyWcs]:
    """Return the WCSs of all detectors of the visits with a solution, keys in input rows."""
    tables, layout = fit.tables, fit.layout
    static = [_near(b, c) for b, c in zip(layout.map_basis, fit.model.c, strict=True)]
    out = {}
    for v in _solved(fit):
        visit_map = _near(layout.visit_basis, fit.model.q[v, :, :-1])
        for d in range(len(tables.detectors)):
            nx, ny = tables.detectors.size_pix[d].tolist()
            stages = (
                *tables.detectors.stages[d],
                (STATIC, static[layout.map_of[v, d]]),
                (VISIT, visit_map),
            )
            key = int(tables.visit_order[v]), int(tables.detector_order[d])
            out[key] = SkyWcs(stages, fit.planes.projections[v], (nx, ny))
    return out


def _near(basis: Basis2D, terms_mas: Floats) -> PolynomialMap:
    """Return the identity with some terms added, (2, K) mas; order 1 at least."""
    order = max(basis.order, 1)
    identity = PolynomialMap.identity(type(basis)(order, basis.domain))
    coefficients = identity.coefficients.copy()
    coefficients[:, : terms_mas.shape[1]] += terms_mas / MAS_PER_DEG
    return PolynomialMap(identity.basis, coefficients)


def _image_errors(fit: Fit, draws: Draws) -> Floats:
    """Return rms errors of the WCSs over each detector, arcsec, (V, D)."""
    total = 0.0
    for c, q in zip(draws.c, draws.q, strict=True):
        total = total + (fit.layout.shifts(c, q) ** 2).sum(axis=3).mean(axis=2)
    return np.asarray(np.sqrt(total / len(draws.c)) / 1000)


def _star_covariance(fit: Fit, draws: Draws) -> Floats:
    """Return the covariances of the stars with what the maps' errors do."""
    covariance = fit.found.covariance.copy()
    kernels.add_map_errors(fit.rows, fit.sky, fit.model, fit.found, draws.c, draws.q, covariance)
    if not fit.tells_mean[2]:
        # All parallaxes are about a mean that nothing tells.
        covariance[:, 4, 4] += Population.expected(fit.config).sigma[2] ** 2
    return covariance


def _images(fit: Fit, errors: Floats, shape: tuple[int, int]) -> SolvedImages:
    tables, r, found = fit.tables, fit.sorted_rows, fit.found
    index = r.visit.astype(np.int64) * shape[1] + r.detector
    used = found.state == astrometric_model.USED
    reserved = tables.stars.reserved[r.star]
    square = (found.residual.astype(np.float64) ** 2).sum(axis=1) / 2
    size = shape[0] * shape[1]
    counts, sums = [], []
    for take in (used & ~reserved, used & reserved):
        counts.append(np.bincount(index[take], minlength=size))
        sums.append(np.bincount(index[take], square[take], minlength=size))
    with np.errstate(invalid="ignore", divide="ignore"):
        rms = [np.sqrt(s / n) for n, s in zip(counts, sums, strict=True)]
    v, d = (a.ravel() for a in np.indices(shape))
    kept = np.isin(v, _solved(fit))
    visit, detector = tables.visit_order[v[kept]], tables.detector_order[d[kept]]
    order = np.lexsort((detector, visit))
    columns = (errors.ravel(), *counts, *rms)
    names = ("error_arcsec", "n_stars", "n_reserved", "rms_mas", "reserved_rms_mas")
    return SolvedImages(
        visit=visit[order].astype(np.int32),
        detector=detector[order].astype(np.int32),
        **{n: column[kept][order] for n, column in zip(names, columns, strict=True)},
    )


def _visits(fit: Fit, groups: Ints, draws: Draws) -> SolvedVisits:
    tables, sums = fit.tables, fit.found.sums
    n = len(tables.visits)
    solved = np.isin(np.arange(n), _solved(fit))
    turn = np.array([p.jacobian(0.0, 0.0) for p in fit.planes.projections]).reshape(-1, 2, 2)
    dcr = np.einsum("vij,vj->vi", turn, fit.model.q[:, :, -1])
    spread = np.einsum("vij,nvj->nvi", turn, draws.q[..., -1])
    unknown = np.where(solved, 0.0, np.nan)
    back = np.argsort(tables.visit_order)
    return SolvedVisits(
        solved=solved[back],
        reason=tuple(fit.dropped.get(int(v), "") for v in back),
        group=np.where(solved, groups, -1)[back],
        floor_mas=(np.sqrt(fit.model.floor) + unknown)[back],
        dcr=(dcr + unknown[:, None])[back],
        dcr_error=(np.sqrt(np.mean(spread**2, axis=0)) + unknown[:, None])[back],
        order=fit.layout.visit_order[back],
        offset_arcsec=fit.planes.offset_arcsec[back],
        n_observations=sums[back, 0].astype(np.int32),
        n_rejected=sums[back, 1].astype(np.int32),
    )


def _stars(fit: Fit, covariance: Floats, epoch_mjd: float) -> SolvedStars:
    tables, sky, found = fit.tables, fit.sky, fit.found
    stars = tables.stars
    count, rejected, dof = count_rows(fit)
    shift = found.shift.copy()
    ra, dec = _moved(stars.ra_deg, stars.dec_deg, sky.axes, shift[:, :2])
    moving = (sky.kind == 1) & ((count > 0) | (found.tied == 1))
    motion = np.where(moving[:, None], shift[:, 2:], np.nan)
    covariance[~moving, 2:, :] = covariance[~moving, :, 2:] = np.nan
    flag = _flags(fit, count, moving)
    back = np.argsort(tables.star_order)
    return SolvedStars(
        ra_deg=ra[back],
        dec_deg=dec[back],
        pm_ra=motion[back, 0],
        pm_dec=motion[back, 1],
        parallax=motion[back, 2],
        covariance=covariance[back],
        epoch_mjd=epoch_mjd,
        n_observations=count[back],
        n_rejected=rejected[back],
        chi2=found.chi2[back],
        dof=dof[back],
        flag=flag[back],
    )


def _flags(fit: Fit, count: Ints, moving: Bools) -> Ints:
    stars, sky, found = fit.tables.stars, fit.sky, fit.found
    flag = np.zeros(len(stars), np.int32)
    known = sky.known > 0
    for bit, where in (
        (StarFlag.RESERVED, stars.reserved),
        (StarFlag.REFERENCE, known & (found.tied == 1)),
        (StarFlag.REFERENCE_REJECTED, known & (found.tied == 0)),
        (StarFlag.NO_COLOR, ~np.isfinite(stars.color)),
        (StarFlag.NO_MOTION, ~moving),
        (StarFlag.VARIABLE, fit.variable | variable_stars(fit)),
        (StarFlag.NO_OBSERVATION, count == 0),
    ):
        flag[where] |= int(bit)
    return flag


def _moved(ra: Floats, dec: Floats, axes: Floats, shift: Floats) -> tuple[Floats, Floats]:
    """Return positions moved by (east, north) mas along the tangent plane."""
    vector = unit_vectors(ra, dec).T + np.einsum("sb,sbk->sk", shift / MAS_PER_RAD, axes)
    x, y, z = vector.T
    return in_circle_deg(np.degrees(np.arctan2(y, x))), np.degrees(np.arctan2(z, np.hypot(x, y)))


def _residuals(fit: Fit, n_input: int) -> Residuals:
    r, found = fit.sorted_rows, fit.found
    out = [np.full(n_input, np.nan, np.float32) for _ in range(7)]
    known = found.state != astrometric_model.EXCLUDED
    rows = r.source[known]
    values = (*r.field.T, *found.residual.T, *r.covariance.T)
    for column, value in zip(out, values, strict=True):
        column[rows] = value[known]
    used, rejected = np.zeros(n_input, bool), np.zeros(n_input, bool)
    used[r.source] = found.state == astrometric_model.USED
    rejected[r.source] = found.state == astrometric_model.REJECTED
    names = ("x_deg", "y_deg", "dx_mas", "dy_mas", "xx", "xy", "yy")
    columns = dict(zip(names, out, strict=True))
    return Residuals(**columns, used=used, rejected=rejected)


def describe_orders(fit: Fit) -> list[str]:
    """Return a sentence for each detector and visit whose order had to fall."""
    m, layout, tables = fit.config.model, fit.layout, fit.tables
    notes = []
    for k in np.flatnonzero(layout.map_order < m.detector_order):
        order = int(layout.map_order[k])
        number = tables.detectors.id[layout.map_detector[k]]
        notes.append(
            f"detector {number}: too few stars for the {n_terms(np.array(m.detector_order))} terms "
            f"of order {m.detector_order}; order {order} taken"
        )
    lower = [v for v in _solved(fit) if layout.visit_order[v] < m.visit_order]
    return notes + [
        f"visit {tables.visits.id[v]}: too few stars for order {m.visit_order}; order "
        f"{layout.visit_order[v]} taken"
        for v in lower
    ]
