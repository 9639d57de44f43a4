"""The normal matrix of a global astrometric solution, stars eliminated, from some of the stars.

Notation and order of the parameters: :mod:`drpflow.kernels.astrometric_model`. With R Rᵀ = Λ⁻¹ of a
star and b_j = W_j A_j T_j R of its rows, the star adds

    Σ_j (φ_j, ψ_j)(φ_j, ψ_j)ᵀ ⊗ W_j - u uᵀ ,   u = Σ_j (φ_j, ψ_j) ⊗ b_j .

The first part touches a map and a visit at a time and is added where it belongs. The second couples
all maps and visits that saw the star: it is made for some neighbouring stars at once, as a product
of dense matrices over the parameters that they touch, and then added. Of the matrix, the lower
triangle is kept, row by row in one array: element (i, j) at ``start[i] + j``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from drpflow.kernels.astrometric_model import (
    ON,
    USED,
    cholesky,
    invert_spd,
    load_star,
    most_rows,
    work_space,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.kernels.astrometric_model import Found, Model, Rows, Sky, Work

    Float64 = NDArray[np.float64]
    Int64 = NDArray[np.int64]


@njit(cache=True, nogil=True)
def touched(
    stars: Int64, rows: Rows, state: NDArray[np.int8], n_maps: int, n_visits: int, slot: Int64
) -> int:
    """Fill slot (n_maps + n_visits) with the place of each map and visit that some stars touch.

    Places count from 0 by growing number, maps before visits; -1 where none is touched. Returns how
    many are maps.
    """
    slot[:] = -1
    for s in stars:
        for i in range(rows.first[s], rows.first[s + 1]):
            if state[i] == USED:
                slot[rows.map[i]] = 0
                slot[n_maps + rows.visit[i]] = 0
    count = n_touched_maps = 0
    for k in range(n_maps + n_visits):
        if k == n_maps:
            n_touched_maps = count
        if slot[k] == 0:
            slot[k] = count
            count += 1
    return n_touched_maps


@njit(cache=True, nogil=True)
def _root(s: int, n: int, sky: Sky, found: Found, work: Work, root: Float64) -> None:
    """Fill root with R of a star: Λ⁻¹ with the weights as they are, and its Cholesky factor."""
    normal = sky.prior[sky.kind[s]].copy()
    if found.tied[s] == 1:
        normal += sky.share[s]
    for j in range(n):
        if work.on[j] == ON:
            at, w = work.at[j], work.w[j]
            for a in range(5):
                x, y = w[0] * at[0, a] + w[1] * at[1, a], w[1] * at[0, a] + w[2] * at[1, a]
                for b in range(5):
                    normal[a, b] += x * at[0, b] + y * at[1, b]
    inverse = np.empty((5, 5))
    invert_spd(normal, inverse)
    cholesky(inverse, root)


@njit(cache=True, nogil=True)
def _add_outer(
    left: Float64, right: Float64, k: Float64, row: int, column: int, start: Int64, out: Float64
) -> None:
    """Add k (2, 2) ⊗ left rightᵀ at (row, column); on the diagonal, the lower triangle alone."""
    for b in range(2):
        for a in range(left.size):
            base = start[row + b * left.size + a] + column
            for d in range(2):
                if row == column and d > b:
                    continue
                factor = left[a] * k[b, d]
                place = base + d * right.size
                for c in range(a + 1 if row == column and d == b else right.size):
                    out[place + c] += factor * right[c]


@njit(cache=True, nogil=True)
def _spread(
    j: int,
    root: Float64,
    scale: float,
    terms: Float64,
    row: int,
    column: int,
    work: Work,
    u: Float64,
) -> None:
    """Add terms ⊗ b of row j to u at (row, column)."""
    w, at = work.w[j], work.at[j]
    for c in range(5):
        x = y = 0.0
        for a in range(c, 5):
            x += at[0, a] * root[a, c]
            y += at[1, a] * root[a, c]
        bx, by = scale * (w[0] * x + w[1] * y), scale * (w[1] * x + w[2] * y)
        for k in range(terms.size):
            u[row + k, column + c] += terms[k] * bx
            u[row + terms.size + k, column + c] += terms[k] * by


@njit(cache=True, nogil=True)
def gather(
    stars: Int64,
    weight: Float64,
    slot: Int64,
    n_touched_maps: int,
    rows: Rows,
    sky: Sky,
    model: Model,
    found: Found,
    start: Int64,
    out: Float64,
    u: Float64,
) -> None:
    """Add the first part of some stars to `out`; fill u (touched parameters, 5 n) with √weight u.

    `weight` is of these stars; `slot` and `n_touched_maps` are from :func:`touched`. Rows of a star
    go by growing visit.
    """
    u[:] = 0.0
    size_c, size_q = 2 * model.c.shape[2], 2 * model.q.shape[2]
    n_maps = model.c.shape[0]
    work = work_space(most_rows(rows.first), model.c.shape[2], model.q.shape[2])
    root, kernel = np.empty((5, 5)), np.empty((2, 2))
    for k in range(stars.size):
        s = stars[k]
        n = load_star(s, rows, sky, model, found, work)
        _root(s, n, sky, found, work, root)
        scale = np.sqrt(weight[k])
        for j in range(n):
            if work.on[j] != ON:
                continue
            m, v = rows.map[rows.first[s] + j], rows.visit[rows.first[s] + j]
            w, phi, psi = work.w[j], work.phi[j], work.psi[j]
            kernel[0, 0], kernel[1, 1] = weight[k] * w[0], weight[k] * w[2]
            kernel[0, 1] = kernel[1, 0] = weight[k] * w[1]
            row, column = n_maps * size_c + v * size_q, m * size_c
            _add_outer(phi, phi, kernel, column, column, start, out)
            _add_outer(psi, phi, kernel, row, column, start, out)
            _add_outer(psi, psi, kernel, row, row, start, out)
            _spread(j, root, scale, phi, slot[m] * size_c, 5 * k, work, u)
            place = n_touched_maps * size_c + (slot[n_maps + v] - n_touched_maps) * size_q
            _spread(j, root, scale, psi, place, 5 * k, work, u)


@njit(cache=True, nogil=True)
def scatter(
    product: Float64,
    low: int,
    slot: Int64,
    n_touched_maps: int,
    n_maps: int,
    size_c: int,
    size_q: int,
    start: Int64,
    out: Float64,
) -> None:
    """Subtract rows of the product u uᵀ where they belong, the lower triangle alone.

    The first row of `product` is that of touched parameter `low`.
    """
    for k in range(slot.size):
        if slot[k] < 0:
            continue
        is_map = k < n_maps
        row = k * size_c if is_map else n_maps * size_c + (k - n_maps) * size_q
        local = slot[k] * size_c
        if not is_map:
            local = n_touched_maps * size_c + (slot[k] - n_touched_maps) * size_q
        for a in range(size_c if is_map else size_q):
            if local + a < low or local + a >= low + product.shape[0]:
                continue
            column = 0
            for i in range(k + 1):
                if slot[i] < 0:
                    continue
                own = size_c if i < n_maps else size_q
                base = i * size_c if i < n_maps else n_maps * size_c + (i - n_maps) * size_q
                base += start[row + a]
                for b in range(a + 1 if i == k else own):
                    out[base + b] -= product[local + a - low, column + b]
                column += own


@njit(cache=True, nogil=True)
def own_information(
    rows: Rows, sky: Sky, model: Model, found: Found, out_c: Float64, out_q: Float64
) -> None:
    """Add what the rows tell of each term, the stars and all others known: (M, 2, K), (V, 2, L+1).

    That is the diagonal of Σ Jᵀ W J.
    """
    work = work_space(most_rows(rows.first), model.c.shape[2], model.q.shape[2])
    for s in range(rows.first.size - 1):
        if sky.fit[s] == 0:
            continue
        n = load_star(s, rows, sky, model, found, work)
        for j in range(n):
            if work.on[j] == ON:
                i, w = rows.first[s] + j, work.w[j]
                m, v = rows.map[i], rows.visit[i]
                for k in range(out_c.shape[2]):
                    square = work.phi[j, k] ** 2
                    out_c[m, 0, k] += square * w[0]
                    out_c[m, 1, k] += square * w[2]
                for k in range(out_q.shape[2]):
                    square = work.psi[j, k] ** 2
                    out_q[v, 0, k] += square * w[0]
                    out_q[v, 1, k] += square * w[2]


@njit(cache=True, nogil=True)
def own_blocks(
    rows: Rows, sky: Sky, model: Model, found: Found, blocks_c: Float64, blocks_q: Float64
) -> None:
    """Add Σ (φφᵀ) ⊗ W to the block of each map, Σ (ψψᵀ) ⊗ W to that of each visit."""
    n_stars = rows.first.size - 1
    work = work_space(most_rows(rows.first), model.c.shape[2], model.q.shape[2])
    for s in range(n_stars):
        if sky.fit[s] == 0:
            continue
        n = load_star(s, rows, sky, model, found, work)
        for j in range(n):
            if work.on[j] == ON:
                i = rows.first[s] + j
                _add_own(work.phi[j], work.w[j], blocks_c[rows.map[i]])
                _add_own(work.psi[j], work.w[j], blocks_q[rows.visit[i]])


@njit(cache=True, nogil=True)
def _add_own(terms: Float64, w: Float64, block: Float64) -> None:
    n = terms.size
    for a in range(n):
        for b in range(n):
            product = terms[a] * terms[b]
            block[a, b] += product * w[0]
            block[a, n + b] += product * w[1]
            block[n + a, b] += product * w[1]
            block[n + a, n + b] += product * w[2]
