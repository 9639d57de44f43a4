"""Gauss–Newton steps of the global fit, star magnitudes eliminated.

With the magnitude M_p of a star in a band at its best value, the weighted mean of the calibrated
magnitudes c_i of its rows,

    χ²(θ) = Σ_i w_i (c_i - M_p)² + (θ - μ)ᵀ Π (θ - μ) ,

the derivative of M_p drops out of the gradient (envelope theorem), and the Schur complement takes
it out of the normal matrix:

    g = Σ_i w_i (c_i - M_p) J_i ,
    N = Σ_i w_i J_i J_iᵀ - Σ_p b_p b_pᵀ / W_p ,   b_p = Σ_{i∈p} w_i J_i .

The model is linear in all but the air, so that a step or two do, and (N + Π)⁻¹ is the covariance.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.kernels import fgcm as kernels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.fgcm.layout import Prior
    from drpflow.algorithms.fgcm.model import Model, State
    from drpflow.algorithms.fgcm.rows import Rows

    Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Residuals:
    """Where the rows stand.

    Parameters
    ----------
    calibrated
        c_i, (N,).
    mean, weight
        M_p and W_p, (P,).
    residual
        c_i - M_p, (N,); NaN in pairs without weight.
    """

    calibrated: Floats
    mean: Floats
    weight: Floats
    residual: Floats


@dataclass(frozen=True, eq=False)
class Problem:
    """Rows, model, and the slopes of the pairs' spectra.

    Parameters
    ----------
    rows, model
        The data and the model.
    slope
        F' of the pairs without sensitivity, (P,).
    """

    rows: Rows
    model: Model
    slope: Floats

    def pair_slope(self, state: State) -> tuple[Floats, Floats, Floats]:
        """Return κ F', κ and i10_std of the pairs."""
        band = self.rows.band
        kappa = state.kappa[band]
        return kappa * self.slope, kappa, self.model.i10_std[band]

    def residuals(self, state: State, weight: Floats) -> Residuals:
        """Return residuals for a model and weights (N,)."""
        r = self.rows
        slope, _, standard = self.pair_slope(state)
        calibrated = np.empty(len(r))
        kernels.calibrate(
            r.group, r.first, r.mag, r.u, r.v, state.local, state.i10, slope, standard, calibrated
        )
        mean, total = np.empty(r.n_pairs), np.empty(r.n_pairs)
        kernels.pair_means(r.first, calibrated, weight, mean, total)
        return Residuals(calibrated, mean, total, calibrated - mean[r.pair])

    def chi2(self, state: State, weight: Floats) -> float:
        """Return Σ w r²."""
        residual = np.nan_to_num(self.residuals(state, weight).residual)
        return float(weight @ residual**2)

    def gradient(self, state: State, weight: Floats, derivatives: State | None = None) -> Floats:
        """Return half the derivative of Σ w r² by the parameters, (n,).

        Parameters
        ----------
        state
            Where the residuals are taken.
        weight
            Of the rows, (N,).
        derivatives
            Where the derivatives are taken, if elsewhere: with those that a normal matrix was
            made with, a step with that matrix solves a linear problem, and can not run away.
        """
        residual = np.nan_to_num(self.residuals(state, weight).residual)
        return self._by_parameters(weight * residual, derivatives or state)

    def answer(
        self, state: State, weight: Floats, posterior: Posterior, added: Floats
    ) -> tuple[Floats, Floats]:
        """Return what a fit makes of numbers that are added to the magnitudes.

        Parameters
        ----------
        state
            The model with derivatives.
        weight
            Of the rows, (N,).
        posterior
            Of the fit with these weights.
        added
            The numbers [mag], (N,).

        Returns
        -------
        left : ndarray, shape (N,)
            What stars leave of them without a change of the parameters.
        step : ndarray, shape (n,)
            The change of the parameters.
        """
        r = self.rows
        mean, total = np.empty(r.n_pairs), np.empty(r.n_pairs)
        kernels.pair_means(r.first, added, weight, mean, total)
        left = added - np.nan_to_num(mean)[r.pair]
        return left, posterior.step(self._by_parameters(weight * left, state))

    def _by_parameters(self, weighted: Floats, state: State) -> Floats:
        """Return Σ_i weighted_i J_i, (n,)."""
        r = self.rows
        slope, kappa, standard = self.pair_slope(state)
        local = np.zeros(state.transfer.shape[:2])
        kernels.local_gradient(
            r.group,
            r.first,
            r.u,
            r.v,
            weighted,
            state.i10,
            slope,
            kappa,
            standard,
            local,
        )
        by_column = np.einsum("gl,glw->gw", local, state.transfer)
        layout, starts = self.model.layout, self.model.starts
        out = np.zeros(layout.size)
        for kind, width in enumerate(layout.widths):
            begin = int(layout.offset[kind])
            has = starts[:, kind] >= 0
            for k in range(width):
                np.add.at(out, starts[has, kind] + k, by_column[has, begin + k])
        return out

    def normal(self, state: State, weight: Floats) -> Floats:
        """Return the normal matrix N of the data, (n, n), symmetric."""
        r, layout = self.rows, self.model.layout
        slope, kappa, standard = self.pair_slope(state)
        n_groups, n_local, _ = state.transfer.shape
        moments = np.zeros((n_groups, n_local, n_local))
        normal = np.zeros((layout.size, layout.size))
        starts, offset = self.model.starts, layout.offset
        kernels.assemble(
            r.group,
            r.first,
            r.u,
            r.v,
            weight,
            state.i10,
            slope,
            kappa,
            standard,
            state.transfer,
            starts,
            offset,
            moments,
            normal,
        )
        kernels.add_groups(state.transfer, starts, offset, moments, normal)
        lower = np.tril_indices(layout.size, -1)
        normal.T[lower] = normal[lower]
        return normal


@dataclass(frozen=True, eq=False)
class Quadratic:
    """χ² of the data about a point: ``(θ - θ₀)ᵀ N (θ - θ₀) + 2 gᵀ (θ - θ₀)`` up to a constant."""

    point: Floats
    normal: Floats
    gradient: Floats

    def solve(self, prior: Prior) -> Posterior:
        """Return the posterior under a prior."""
        from scipy.linalg import cho_factor

        matrix = self.normal + np.diag(prior.precision)
        scale = 1 / np.sqrt(np.diag(matrix))
        factor = cho_factor(matrix * np.outer(scale, scale), lower=True, overwrite_a=True)
        found = Posterior(self.point, factor[0], scale)
        return replace(found, mean=found.corrected(self.point, self.gradient, prior))


@dataclass(frozen=True, eq=False)
class Posterior:
    """Most probable parameters and a factor of their covariance.

    Parameters
    ----------
    mean
        (n,).
    factor
        Lower Cholesky factor of the scaled normal matrix, (n, n).
    scale
        (n,).
    """

    mean: Floats
    factor: Floats
    scale: Floats

    def corrected(self, point: Floats, gradient: Floats, prior: Prior) -> Floats:
        """Return the most probable parameters for a gradient at another point, same matrix."""
        return point + self.step(gradient + prior.precision * (point - prior.mean))

    def step(self, gradient: Floats) -> Floats:
        """Return by what the parameters change for half a derivative of χ²."""
        from scipy.linalg import cho_solve

        return np.asarray(-self.scale * cho_solve((self.factor, True), self.scale * gradient))

    def covariance(self) -> Floats:
        """Return the covariance, (n, n)."""
        from scipy.linalg.lapack import dpotri

        inverse, info = dpotri(self.factor, lower=1)
        if info != 0:
            raise np.linalg.LinAlgError(f"dpotri: {info}")
        inverse = np.tril(inverse) + np.tril(inverse, -1).T
        return np.asarray(inverse * np.outer(self.scale, self.scale))

    def all_variances(self) -> Floats:
        """Return the diagonal of the covariance, (n,), for half the price of the whole."""
        from scipy.linalg.lapack import dtrtri

        inverse, info = dtrtri(self.factor, lower=1)
        if info != 0:
            raise np.linalg.LinAlgError(f"dtrtri: {info}")
        # Above the diagonal LAPACK leaves what was there.
        lower = np.tril(inverse)
        return np.asarray(np.einsum("nk,nk->k", lower, lower) * self.scale**2)

    def variance(self, rows: NDArray[np.intp]) -> Floats:
        """Return the variances of some parameters."""
        from scipy.linalg import solve_triangular

        unit = np.zeros((self.scale.size, rows.size))
        unit[rows, np.arange(rows.size)] = self.scale[rows]
        half = solve_triangular(self.factor, unit, lower=True, overwrite_b=True)
        return np.asarray(np.einsum("nk,nk->k", half, half))
