"""One-dimensional interpolation as a matrix, so that grids are interpolated by two products."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]


def interpolation_matrix(nodes: Floats, x: Floats, kind: Literal["bilinear", "spline"]) -> Floats:
    """Return W with ``f(x) = W @ f(nodes)``, shape (x.size, nodes.size).

    Parameters
    ----------
    nodes
        Strictly increasing, at least one.
    x
        Where to interpolate; beyond the nodes the curve goes on as a straight line.
    kind
        ``"bilinear"`` for straight lines, ``"spline"`` for the natural cubic spline.

    Notes
    -----
    Between nodes a and b = a + h, with t = (x - a)/h,

        f = (1 - t) f_a + t f_b + h²/6 · [(s³ - s) f''_a + (t³ - t) f''_b],   s = 1 - t,

    and the second derivatives of the natural spline are linear in the values (Press et al.,
    Numerical Recipes, section 3.3).
    """
    n = nodes.size
    if n == 1:
        return np.ones((x.size, 1))
    left = np.clip(np.searchsorted(nodes, x, side="right") - 1, 0, n - 2)
    h = np.diff(nodes)[left]
    t = (x - nodes[left]) / h
    matrix = np.zeros((x.size, n))
    rows = np.arange(x.size)
    matrix[rows, left] = 1 - t
    matrix[rows, left + 1] = t
    if kind == "spline" and n > 2:
        curvature = _curvature(tuple(nodes.tolist()))
        s = 1 - t
        inside = np.clip(t, 0, 1) == t
        wa = np.where(inside, h**2 / 6 * (s**3 - s), 0.0)
        wb = np.where(inside, h**2 / 6 * (t**3 - t), 0.0)
        matrix += wa[:, None] * curvature[left] + wb[:, None] * curvature[left + 1]
        _straighten(matrix, nodes, x, curvature)
    return matrix


def _straighten(matrix: Floats, nodes: Floats, x: Floats, curvature: Floats) -> None:
    """Continue the spline with its end slopes: those of the chord, corrected by the curvature.

    At the first node f' = (f_1 - f_0)/h - h/6 · f''_1, at the last f' = chord + h/6 · f''_{n-2}
    (the outermost second derivatives of a natural spline are zero).
    """
    first, last = nodes[1] - nodes[0], nodes[-1] - nodes[-2]
    before, after = np.minimum(x - nodes[0], 0.0), np.maximum(x - nodes[-1], 0.0)
    matrix -= (before * first / 6)[:, None] * curvature[1]
    matrix += (after * last / 6)[:, None] * curvature[-2]


@lru_cache(maxsize=32)
def _curvature(nodes: tuple[float, ...]) -> Floats:
    """Return the matrix from values to second derivatives of the natural spline, (n, n).

    Rows 1 … n - 2 of h_{k-1} f''_{k-1} + 2 (h_{k-1} + h_k) f''_k + h_k f''_{k+1}
    = 6 (Δf_k/h_k - Δf_{k-1}/h_{k-1}); meshes have tens of nodes, so that the dense solution
    costs nothing.
    """
    h = np.diff(np.array(nodes))
    n = len(nodes)
    system, right = np.eye(n), np.zeros((n, n))
    for k in range(1, n - 1):
        system[k, k - 1 : k + 2] = h[k - 1], 2 * (h[k - 1] + h[k]), h[k]
        right[k, k - 1 : k + 2] = 6 / h[k - 1], -6 / h[k - 1] - 6 / h[k], 6 / h[k]
    curvature = np.asarray(np.linalg.solve(system, right), np.float64)
    curvature.flags.writeable = False
    return curvature
