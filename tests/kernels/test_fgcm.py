"""Kernels of the global photometric calibration against numpy."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.kernels import fgcm as kernels

A = 2.5 / np.log(10)


class Rows:
    """Random rows of a few groups and pairs."""

    def __init__(self, seed: int = 1, order: int = 2) -> None:
        rng = np.random.default_rng(seed)
        sizes = np.array([1, 4, 7, 2, 5])
        self.first = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        n, groups = int(sizes.sum()), 6
        self.pair = np.repeat(np.arange(sizes.size), sizes)
        self.order, self.terms = order, (order + 1) * (order + 2) // 2
        self.group = rng.integers(0, groups, n).astype(np.int32)
        self.u, self.v = rng.uniform(-1, 1, (2, n)).astype(np.float32)
        self.mag, self.weight = rng.normal(size=n), rng.uniform(0, 2, n)
        self.weight[3] = 0.0
        self.local, self.i10 = rng.normal(size=(groups, self.terms)), rng.normal(size=groups)
        self.kappa = rng.uniform(0.5, 1.5, sizes.size)
        self.slope = self.kappa * rng.normal(scale=0.01, size=sizes.size)
        self.standard = rng.normal(size=sizes.size)
        # Two kinds of blocks: of width 2 for pairs of groups, of width 3 for each; one is absent.
        self.start = np.array([[0, 4], [0, 7], [2, 10], [2, 13], [0, 16], [-1, 19]], np.int32)
        self.offset = np.array([0, 2, 5], np.int32)
        self.transfer = rng.normal(size=(groups, self.terms + 2, 5))
        self.n_parameters = 22

    def design(self) -> np.ndarray:
        """P_k(u, v) from numpy's Legendre polynomials, (N, K)."""
        legendre = np.polynomial.legendre.legvander
        pu, pv = (legendre(t.astype(float), self.order) for t in (self.u, self.v))
        norm = np.sqrt(2 * np.arange(self.order + 1) + 1)
        pairs = [(d - j, j) for d in range(self.order + 1) for j in range(d + 1)]
        return np.stack([norm[i] * pu[:, i] * norm[j] * pv[:, j] for i, j in pairs], axis=1)

    def local_derivatives(self) -> np.ndarray:
        """q, (N, L)."""
        s, x, x0 = self.slope[self.pair], self.i10[self.group], self.standard[self.pair]
        by_i10 = A * s / (1 + s * x)
        by_kappa = A * s / self.kappa[self.pair] * (x / (1 + s * x) - x0 / (1 + s * x0))
        return np.column_stack([self.design(), by_i10, by_kappa])

    def jacobian(self) -> np.ndarray:
        """∂c/∂θ, (N, n)."""
        q = self.local_derivatives()
        out = np.zeros((self.group.size, self.n_parameters))
        for row, g in enumerate(self.group):
            for j in range(2):
                begin, end = self.offset[j : j + 2]
                if self.start[g, j] >= 0:
                    columns = self.start[g, j] + np.arange(end - begin)
                    out[row, columns] += q[row] @ self.transfer[g][:, begin:end]
        return out


@pytest.mark.parametrize("order", [1, 2, 3])
def test_calibrated_magnitudes(order):
    r = Rows(order=order)
    out = np.empty(r.mag.size)
    kernels.calibrate(r.group, r.first, r.mag, r.u, r.v, r.local, r.i10, r.slope, r.standard, out)
    s = r.slope[r.pair]
    delta = A * np.log((1 + s * r.i10[r.group]) / (1 + s * r.standard[r.pair]))
    wanted = r.mag + (r.design() * r.local[r.group]).sum(axis=1) + delta
    np.testing.assert_allclose(out, wanted, rtol=1e-6, atol=1e-6)


def test_means_of_pairs():
    r = Rows()
    r.weight[:1] = 0.0
    mean, total = np.empty(5), np.empty(5)
    kernels.pair_means(r.first, r.mag, r.weight, mean, total)
    assert np.isnan(mean[0])
    wanted = np.bincount(r.pair, r.weight * r.mag)[1:] / np.bincount(r.pair, r.weight)[1:]
    np.testing.assert_allclose(mean[1:], wanted)


def test_gradient_of_groups():
    r = Rows()
    out = np.zeros((6, r.terms + 2))
    kernels.local_gradient(
        r.group, r.first, r.u, r.v, r.weight, r.i10, r.slope, r.kappa, r.standard, out
    )
    wanted = np.zeros_like(out)
    np.add.at(wanted, r.group, r.weight[:, None] * r.local_derivatives())
    np.testing.assert_allclose(out, wanted, rtol=1e-6, atol=1e-7)


def test_normal_matrix_is_that_of_the_whole_least_squares_problem():
    r = Rows()
    n, size = r.n_parameters, r.terms + 2
    moments, normal = np.zeros((6, size, size)), np.zeros((n, n))
    kernels.assemble(
        r.group,
        r.first,
        r.u,
        r.v,
        r.weight,
        r.i10,
        r.slope,
        r.kappa,
        r.standard,
        r.transfer,
        r.start,
        r.offset,
        moments,
        normal,
    )
    kernels.add_groups(r.transfer, r.start, r.offset, moments, normal)
    jacobian = r.jacobian()
    # The mean of each pair projected out.
    means = np.zeros((r.mag.size, 5))
    means[np.arange(r.mag.size), r.pair] = 1.0
    weighted = r.weight[:, None] * means
    projected = jacobian - means @ np.linalg.lstsq(weighted.T @ means, weighted.T @ jacobian)[0]
    wanted = jacobian.T @ (r.weight[:, None] * projected)
    rows, columns = np.tril_indices(n)
    np.testing.assert_allclose(normal[rows, columns], wanted[rows, columns], rtol=1e-5, atol=1e-5)
