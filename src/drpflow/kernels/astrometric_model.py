"""The model of a global astrometric solution, row by row.

Rows (N) are sorted by star; ``first`` (S + 1) says where each star begins. A row lies at the field
place f, deg, of static map m and visit v. With Chebyshev terms φ over the map's rectangle and ψ
over the field,

    g = f + Σ_k φ_k(f) c_mk ,   place = g + Σ_k ψ_k(g) q_vk ,
    r = place - p_0 - A T s - D_v κ ,

where p_0 is the start place of the star in the visit's tangent plane, A (2, 2) turns a shift on the
sky (east, north) into one of that plane (both are made where they are needed: kept for each row,
they would be a third of all memory), T (2, 5) = (1, t, -parallax factors), s the five
parameters of the star beyond its start, κ its colour beyond the reference colour, and D_v the
refraction. All of c, q, D, s and r are in mas (and mas/yr, mas/mag). Derivatives take ∂place/∂c for
φ: a visit's map is the identity to 10⁻³.

A row weighs W = (C + τ_v² 1 + σ_κ² D D')⁻¹. Parameters of the stars are eliminated where they are
met: with B = Σ Jᵀ W A T and Λ = Λ_prior + Σ (A T)ᵀ W A T,

    S = Σ Jᵀ W J - B Λ⁻¹ Bᵀ .

The parameter vector holds (map, axis, term) and then (visit, axis, term), the last term of a visit
being D.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float32 = NDArray[np.float32]
    Float64 = NDArray[np.float64]
    Int8 = NDArray[np.int8]
    Int32 = NDArray[np.int32]
    Int64 = NDArray[np.int64]

_MAS_PER_DEG = 3.6e6
_DEG = 180.0 / np.pi
# Sums may be taken in another order than written, the same each time; infinities and NaN stay.
FAST = {"reassoc", "contract", "arcp", "nsz"}

USED, REJECTED, EXCLUDED = 0, 1, 2
"""States of a row."""

ON, OFF, SUSPECT = 1, 0, -1
"""In the work space: a row counts, does not, does not but may come on again."""


class Rows(NamedTuple):
    """The observations: see the top of the module.

    first (S + 1); visit, map (N); f (N, 2) deg; c (N, 3): xx, xy, yy, mas².
    """

    first: Int64
    visit: Int32
    map: Int32
    f: Float64
    c: Float32


class Sky(NamedTuple):
    """The stars: direction (S, 3), unit; axes (S, 2, 3): east and north; kappa, kappa_var (S).

    What is expected of a star: precision `prior` (2, 5, 5) and mean `prior_mean` (2, 5) of stars
    that do not move and of those that may, `kind` (S) saying which; what a catalogue says:
    `known` (S), how many of the five values, precision `share` (S, 5, 5), mean `share_mean` (S, 5).
    `fit` (S): counts for the maps.
    """

    direction: Float64
    axes: Float64
    kappa: Float64
    kappa_var: Float64
    kind: Int8
    prior: Float64
    prior_mean: Float64
    known: Int8
    share: Float64
    share_mean: Float64
    fit: Int8


class Model(NamedTuple):
    """The maps.

    map_domain (M, 4) and visit_domain (4): centre and inverse half sizes; terms of each map (M) and
    visit (V); parameters c (M, 2, K) and q (V, 2, L + 1); orders; plane (V, 3, 3): tangent point,
    +x and +y, unit vectors; t (V) years; earth (V, 3) AU; floor (V): τ².
    """

    map_domain: Float64
    visit_domain: Float64
    map_terms: Int32
    visit_terms: Int32
    c: Float64
    q: Float64
    map_order: int
    visit_order: int
    plane: Float64
    t: Float64
    earth: Float64
    floor: Float64


class Found(NamedTuple):
    """What a pass finds.

    state (N); residual (N, 2) mas; shift (S, 5); covariance (S, 5, 5), of the star alone; tied (S):
    agrees with the catalogue; chi2 (S); gradient_c, gradient_q like c and q; sums (V, 5): rows
    used, rejected, Σ rᵀW²r, its expectation, its derivative by -τ².
    """

    state: Int8
    residual: Float32
    shift: Float64
    covariance: Float64
    tied: Int8
    chi2: Float64
    gradient_c: Float64
    gradient_q: Float64
    sums: Float64


class Work(NamedTuple):
    """Room for one star of at most n rows."""

    r: Float64
    v: Float64
    w: Float64
    at: Float64
    phi: Float64
    psi: Float64
    on: Int8
    cheb: Float64
    turn: Float64


@njit(cache=True, nogil=True)
def most_rows(first: Int64) -> int:
    """Return how many rows the star with the most of them has, at least 1."""
    most = 1
    for s in range(first.size - 1):
        most = max(most, first[s + 1] - first[s])
    return most


@njit(cache=True, nogil=True, fastmath=FAST)
def work_space(n: int, n_phi: int, n_psi: int) -> Work:
    """Return room for a star of n rows."""
    return Work(
        np.empty((n, 2)),
        np.empty((n, 3)),
        np.empty((n, 3)),
        np.empty((n, 2, 5)),
        np.empty((n, n_phi)),
        np.empty((n, n_psi)),
        np.empty(n, np.int8),
        np.empty((2, 16)),
        np.empty((2, 2)),
    )


@njit(cache=True, nogil=True, fastmath=FAST, inline="always")
def chebyshev_terms(
    u: float, v: float, order: int, n_terms: int, cheb: Float64, out: Float64, row: int
) -> None:
    """Fill out[row, : n_terms] with T_i(u) T_j(v), by total degree, then by j; the rest with zeros.

    Orders up to 4 are written out, three times as fast: the fit spends its time here.
    """
    out[row, 0] = 1.0
    if order > 0:
        out[row, 1], out[row, 2] = u, v
    if 1 < order < 5:
        u2, v2 = 2 * u * u - 1, 2 * v * v - 1
        out[row, 3], out[row, 4], out[row, 5] = u2, u * v, v2
        if order > 2:
            u3, v3 = 2 * u * u2 - u, 2 * v * v2 - v
            out[row, 6], out[row, 7], out[row, 8], out[row, 9] = u3, u2 * v, u * v2, v3
            if order > 3:
                u4, v4 = 2 * u * u3 - u2, 2 * v * v3 - v2
                out[row, 10], out[row, 11], out[row, 12], out[row, 13], out[row, 14] = (
                    u4,
                    u3 * v,
                    u2 * v2,
                    u * v3,
                    v4,
                )
    elif order >= 5:
        _many_terms(u, v, order, cheb, out, row)
    for k in range(n_terms, out.shape[1]):
        out[row, k] = 0.0


@njit(cache=True, nogil=True, fastmath=FAST)
def _many_terms(u: float, v: float, order: int, cheb: Float64, out: Float64, row: int) -> None:
    tu, tv = cheb[0], cheb[1]
    tu[0] = tv[0] = 1.0
    tu[1], tv[1] = u, v
    for n in range(2, order + 1):
        tu[n] = 2 * u * tu[n - 1] - tu[n - 2]
        tv[n] = 2 * v * tv[n - 1] - tv[n - 2]
    k = 0
    for degree in range(order + 1):
        for j in range(degree + 1):
            out[row, k] = tu[degree - j] * tv[j]
            k += 1


@njit(cache=True, nogil=True, fastmath=FAST)
def cholesky(a: Float64, low: Float64) -> None:
    """Fill `low` with the Cholesky factor of a small positive definite matrix."""
    for i in range(a.shape[0]):
        for j in range(a.shape[0]):
            low[i, j] = 0.0
        for j in range(i + 1):
            total = a[i, j]
            for k in range(j):
                total -= low[i, k] * low[j, k]
            low[i, j] = np.sqrt(max(total, 1e-300)) if i == j else total / low[j, j]


@njit(cache=True, nogil=True, fastmath=FAST)
def invert_spd(a: Float64, out: Float64) -> None:
    """Invert a small positive definite matrix, by its Cholesky factor."""
    n = a.shape[0]
    low = np.empty((n, n))
    cholesky(a, low)
    inverse = np.zeros((n, n))
    for j in range(n):
        for i in range(j, n):
            total = 1.0 if i == j else 0.0
            for k in range(j, i):
                total -= low[i, k] * inverse[k, j]
            inverse[i, j] = total / low[i, i]
    for i in range(n):
        for j in range(i + 1):
            total = 0.0
            for k in range(i, n):
                total += inverse[k, i] * inverse[k, j]
            out[i, j] = out[j, i] = total


@njit(cache=True, nogil=True, fastmath=FAST, inline="always")
def basis(i: int, j: int, rows: Rows, model: Model, work: Work) -> tuple[float, float]:
    """Fill phi and psi of row i at place j of the work space; return the static map's shift."""
    m, v = rows.map[i], rows.visit[i]
    fx, fy = rows.f[i, 0], rows.f[i, 1]
    d, e = model.map_domain, model.visit_domain
    u, w = (fx - d[m, 0]) * d[m, 2], (fy - d[m, 1]) * d[m, 3]
    chebyshev_terms(u, w, model.map_order, model.map_terms[m], work.cheb, work.phi, j)
    x = y = 0.0
    for k in range(work.phi.shape[1]):
        x += work.phi[j, k] * model.c[m, 0, k]
        y += work.phi[j, k] * model.c[m, 1, k]
    u = (fx + x / _MAS_PER_DEG - e[0]) * e[2]
    w = (fy + y / _MAS_PER_DEG - e[1]) * e[3]
    chebyshev_terms(u, w, model.visit_order, model.visit_terms[v], work.cheb, work.psi, j)
    return x, y


@njit(cache=True, nogil=True, fastmath=FAST, inline="always")
def gnomonic(s: int, v: int, sky: Sky, model: Model, turn: Float64) -> tuple[float, float]:
    """Return the start place of star s in the plane of visit v, deg; fill A (2, 2).

    With w = t·n, the coordinate X·n/w has the derivative (X·e - (X·n/w) t·e)/w along e.
    NaN beyond 90° from the tangent point.
    """
    plane, n, axes = model.plane[v], sky.direction[s], sky.axes[s]
    w = plane[0, 0] * n[0] + plane[0, 1] * n[1] + plane[0, 2] * n[2]
    inverse = 1.0 / w if w > 1e-6 else np.nan
    x = (plane[1, 0] * n[0] + plane[1, 1] * n[1] + plane[1, 2] * n[2]) * inverse
    y = (plane[2, 0] * n[0] + plane[2, 1] * n[1] + plane[2, 2] * n[2]) * inverse
    for c in range(2):
        e = axes[c]
        depth = plane[0, 0] * e[0] + plane[0, 1] * e[1] + plane[0, 2] * e[2]
        along_x = plane[1, 0] * e[0] + plane[1, 1] * e[1] + plane[1, 2] * e[2]
        along_y = plane[2, 0] * e[0] + plane[2, 1] * e[1] + plane[2, 2] * e[2]
        turn[0, c] = (along_x - x * depth) * inverse
        turn[1, c] = (along_y - y * depth) * inverse
    return x * _DEG, y * _DEG


@njit(cache=True, nogil=True, fastmath=FAST, inline="always")
def weigh(
    i: int, j: int, s: int, rows: Rows, sky: Sky, model: Model, work: Work
) -> tuple[float, float]:
    """Fill covariance, weight, A T and the refraction's term of row i of star s; return p_0."""
    v = rows.visit[i]
    last = work.psi.shape[1] - 1
    dx, dy = model.q[v, 0, last], model.q[v, 1, last]
    kappa, variance = sky.kappa[s], sky.kappa_var[s]
    xx = rows.c[i, 0] + model.floor[v] + variance * dx * dx
    xy = rows.c[i, 1] + variance * dx * dy
    yy = rows.c[i, 2] + model.floor[v] + variance * dy * dy
    inverse = 1.0 / (xx * yy - xy * xy)
    work.v[j, 0], work.v[j, 1], work.v[j, 2] = xx, xy, yy
    work.w[j, 0], work.w[j, 1], work.w[j, 2] = yy * inverse, -xy * inverse, xx * inverse
    work.psi[j, last] = -kappa
    earth, axes, t = model.earth[v], sky.axes[s], model.t[v]
    pe = -(earth[0] * axes[0, 0] + earth[1] * axes[0, 1] + earth[2] * axes[0, 2])
    pn = -(earth[0] * axes[1, 0] + earth[1] * axes[1, 1] + earth[2] * axes[1, 2])
    x, y = gnomonic(s, v, sky, model, work.turn)
    for b in range(2):
        e, n = work.turn[b, 0], work.turn[b, 1]
        work.at[j, b, 0], work.at[j, b, 1] = e, n
        work.at[j, b, 2], work.at[j, b, 3] = e * t, n * t
        work.at[j, b, 4] = e * pe + n * pn
    return x, y


@njit(cache=True, nogil=True, fastmath=FAST)
def fill_star(s: int, rows: Rows, sky: Sky, model: Model, work: Work) -> int:
    """Fill the work space with the rows of star s, residuals without the star; return how many."""
    begin, n = rows.first[s], rows.first[s + 1] - rows.first[s]
    for j in range(n):
        i = begin + j
        x, y = basis(i, j, rows, model, work)
        x_0, y_0 = weigh(i, j, s, rows, sky, model, work)
        v = rows.visit[i]
        for k in range(work.psi.shape[1]):
            x += work.psi[j, k] * model.q[v, 0, k]
            y += work.psi[j, k] * model.q[v, 1, k]
        work.r[j, 0] = (rows.f[i, 0] - x_0) * _MAS_PER_DEG + x
        work.r[j, 1] = (rows.f[i, 1] - y_0) * _MAS_PER_DEG + y
    return n


@njit(cache=True, nogil=True, fastmath=FAST)
def load_star(s: int, rows: Rows, sky: Sky, model: Model, found: Found, work: Work) -> int:
    """Fill the work space with what the normal equations need of star s; return its rows."""
    begin, n = rows.first[s], rows.first[s + 1] - rows.first[s]
    for j in range(n):
        work.on[j] = ON if found.state[begin + j] == USED else OFF
        if work.on[j] == ON:
            basis(begin + j, j, rows, model, work)
            weigh(begin + j, j, s, rows, sky, model, work)
    return n


@njit(cache=True, nogil=True, fastmath=FAST, inline="always")
def shifts(j: int, m: int, v: int, c: Float64, q: Float64, work: Work) -> tuple[float, float]:
    """Return what changes c of map m and q of visit v do to a row."""
    x = y = 0.0
    for k in range(work.phi.shape[1]):
        x += work.phi[j, k] * c[m, 0, k]
        y += work.phi[j, k] * c[m, 1, k]
    for k in range(work.psi.shape[1]):
        x += work.psi[j, k] * q[v, 0, k]
        y += work.psi[j, k] * q[v, 1, k]
    return x, y


@njit(cache=True, nogil=True, fastmath=FAST, inline="always")
def add_back(
    j: int, m: int, v: int, x: float, y: float, work: Work, out_c: Float64, out_q: Float64
) -> None:
    """Add Jᵀ W (x, y) of a row."""
    wx = work.w[j, 0] * x + work.w[j, 1] * y
    wy = work.w[j, 1] * x + work.w[j, 2] * y
    for k in range(work.phi.shape[1]):
        out_c[m, 0, k] += work.phi[j, k] * wx
        out_c[m, 1, k] += work.phi[j, k] * wy
    for k in range(work.psi.shape[1]):
        out_q[v, 0, k] += work.psi[j, k] * wx
        out_q[v, 1, k] += work.psi[j, k] * wy


@njit(cache=True, nogil=True, fastmath=FAST, inline="always")
def pull(j: int, x: float, y: float, work: Work, out: Float64) -> None:
    """Add (A T)ᵀ W (x, y) of a row."""
    wx = work.w[j, 0] * x + work.w[j, 1] * y
    wy = work.w[j, 1] * x + work.w[j, 2] * y
    for a in range(5):
        out[a] += work.at[j, 0, a] * wx + work.at[j, 1, a] * wy
