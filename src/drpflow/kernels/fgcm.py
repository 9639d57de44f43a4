"""Sums over the observations of a global photometric calibration.

Rows (N) are sorted by pair, a star in a band; ``first`` (P + 1) says where each pair begins. Row i
belongs to group g = ``group[i]``, a detector of a visit, whose model is a polynomial of the place
on the detector and a passband:

    c_i = m_i + Σ_k local[g, k] P_k(u_i, v_i) + δ(F_p; i10[g]) ,
    δ = A ln[(1 + κ F i10) / (1 + κ F i10_std)] ,   A = 2.5 / ln 10

with P_k products of Legendre polynomials of unit mean square, F the pair's slope of spectrum, and
κ, i10_std those of its band. The derivatives of c_i by what its group has are the vector

    q_i = (P_0 … P_{K-1}, ∂δ/∂i10, ∂δ/∂κ) ,        L = K + 2 numbers,

and ∂c_i/∂θ = q_i · T_g with ``transfer[g]`` (L, W) in which the W columns of the group stand in
blocks; block j of group g begins at parameter ``start[g, j]`` (-1: none). Means of pairs are never
parameters: they are eliminated where they are met.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float32 = NDArray[np.float32]
    Float64 = NDArray[np.float64]
    Int32 = NDArray[np.int32]
    Int64 = NDArray[np.int64]

MAG_PER_LN = 1.0857362047581296
"""2.5 / ln 10."""
LEAST_LIGHT = 0.2
"""Least 1 + κ F i10: steeper spectra, whose light would be negative, are cut here."""


@njit(cache=True, nogil=True)
def legendre_terms(u: float, v: float, order: int, out: Float64) -> None:
    """Fill `out` with √(2i+1) P_i(u) √(2j+1) P_j(v), i + j <= order, by degree, then by j."""
    pu = np.empty(order + 1)
    pv = np.empty(order + 1)
    pu[0] = pv[0] = 1.0
    if order > 0:
        pu[1], pv[1] = u, v
    for n in range(1, order):
        pu[n + 1] = ((2 * n + 1) * u * pu[n] - n * pu[n - 1]) / (n + 1)
        pv[n + 1] = ((2 * n + 1) * v * pv[n] - n * pv[n - 1]) / (n + 1)
    k = 0
    for degree in range(order + 1):
        for j in range(degree + 1):
            i = degree - j
            out[k] = np.sqrt((2.0 * i + 1) * (2.0 * j + 1)) * pu[i] * pv[j]
            k += 1


@njit(cache=True, nogil=True)
def legendre_design(u: Float64, v: Float64, order: int, out: Float64) -> None:
    """Fill `out` (N, terms) with :func:`legendre_terms` of each point."""
    for i in range(u.size):
        legendre_terms(u[i], v[i], order, out[i])


@njit(cache=True, nogil=True)
def _terms(u: float, v: float, n_terms: int, order: int, out: Float64) -> None:
    """:func:`legendre_terms`, with the common order 2 written out: four times as fast."""
    if n_terms == 6:
        out[0] = 1.0
        out[1] = 1.7320508075688772 * u
        out[2] = 1.7320508075688772 * v
        out[3] = 1.118033988749895 * (3 * u * u - 1)
        out[4] = 3 * u * v
        out[5] = 1.118033988749895 * (3 * v * v - 1)
    else:
        legendre_terms(u, v, order, out)


@njit(cache=True, nogil=True)
def polynomial_order(n_terms: int) -> int:
    """Return the order of a polynomial in two variables of so many terms."""
    order = 0
    while (order + 1) * (order + 2) // 2 < n_terms:
        order += 1
    return order


@njit(cache=True, nogil=True)
def _light(slope: float, i10: float) -> float:
    return max(1.0 + slope * i10, LEAST_LIGHT)


@njit(cache=True, nogil=True)
def calibrate(
    group: Int32,
    first: Int64,
    mag: Float64,
    u: Float32,
    v: Float32,
    local: Float64,
    i10: Float64,
    slope: Float64,
    i10_std: Float64,
    out: Float64,
) -> None:
    """Fill `out` (N,) with the calibrated magnitudes c.

    Parameters
    ----------
    group, mag, u, v
        Of the rows, (N,).
    first
        (P + 1,).
    local
        Polynomials of the groups, (G, K).
    i10
        Of the groups [nm], (G,).
    slope, i10_std
        κ F [1/nm], and the standard passband's i10 [nm], of the pairs, (P,).
    out
        (N,).
    """
    n_terms = local.shape[1]
    order = polynomial_order(n_terms)
    terms = np.empty(n_terms)
    for p in range(first.size - 1):
        standard = np.log(_light(slope[p], i10_std[p]))
        for i in range(first[p], first[p + 1]):
            g = group[i]
            _terms(u[i], v[i], n_terms, order, terms)
            total = MAG_PER_LN * (np.log(_light(slope[p], i10[g])) - standard)
            for k in range(n_terms):
                total += local[g, k] * terms[k]
            out[i] = mag[i] + total


@njit(cache=True, nogil=True)
def pair_means(
    first: Int64, value: Float64, weight: Float64, mean: Float64, total: Float64
) -> None:
    """Fill the weighted means (P,) of the pairs and the sums of weights; NaN without weight."""
    for p in range(first.size - 1):
        s = 0.0
        w = 0.0
        for i in range(first[p], first[p + 1]):
            s += weight[i] * value[i]
            w += weight[i]
        total[p] = w
        mean[p] = s / w if w > 0 else np.nan


@njit(cache=True, nogil=True)
def segment_medians(first: Int64, order: Int64, value: Float64, out: Float64) -> None:
    """Fill the medians of segments of rows; NaN for empty ones.

    Parameters
    ----------
    first
        Segment s has the rows ``order[first[s] : first[s + 1]]``, (S + 1,).
    order
        Rows, (N,).
    value
        Of the rows, (N,).
    out
        (S,).
    """
    buffer = np.empty(max(np.max(first[1:] - first[:-1]), 1) if out.size else 1)
    for s in range(out.size):
        n = first[s + 1] - first[s]
        if n == 0:
            out[s] = np.nan
            continue
        for k in range(n):
            buffer[k] = value[order[first[s] + k]]
        # Of a few values the insertion sort is faster than any selection.
        if n <= 16:
            for k in range(1, n):
                x = buffer[k]
                j = k - 1
                while j >= 0 and buffer[j] > x:
                    buffer[j + 1] = buffer[j]
                    j -= 1
                buffer[j + 1] = x
            out[s] = (buffer[(n - 1) // 2] + buffer[n // 2]) / 2
        else:
            out[s] = np.median(buffer[:n])


@njit(cache=True, nogil=True)
def _derivatives(
    terms: Float64, slope: float, kappa: float, i10: float, i10_std: float, q: Float64
) -> None:
    """Fill q; `slope` is κ F."""
    k = terms.size
    q[:k] = terms
    here, there = _light(slope, i10), _light(slope, i10_std)
    q[k] = MAG_PER_LN * slope / here
    q[k + 1] = MAG_PER_LN * slope / kappa * (i10 / here - i10_std / there)


@njit(cache=True, nogil=True)
def local_gradient(
    group: Int32,
    first: Int64,
    u: Float32,
    v: Float32,
    weighted: Float64,
    i10: Float64,
    slope: Float64,
    kappa: Float64,
    i10_std: Float64,
    out: Float64,
) -> None:
    """Add Σ_i weighted_i q_i of each group to `out` (G, L).

    Parameters
    ----------
    weighted
        Weight times residual, (N,).
    kappa
        Of the pairs, (P,); the rest as in :func:`calibrate` and the module's head.
    """
    n_terms = out.shape[1] - 2
    order = polynomial_order(n_terms)
    terms, q = np.empty(n_terms), np.empty(n_terms + 2)
    for p in range(first.size - 1):
        for i in range(first[p], first[p + 1]):
            if weighted[i] == 0.0:
                continue
            g = group[i]
            _terms(u[i], v[i], n_terms, order, terms)
            _derivatives(terms, slope[p], kappa[p], i10[g], i10_std[p], q)
            for k in range(q.size):
                out[g, k] += weighted[i] * q[k]


@njit(cache=True, nogil=True)
def assemble(
    group: Int32,
    first: Int64,
    u: Float32,
    v: Float32,
    weight: Float64,
    i10: Float64,
    slope: Float64,
    kappa: Float64,
    i10_std: Float64,
    transfer: Float64,
    start: Int32,
    offset: Int32,
    moments: Float64,
    normal: Float64,
) -> None:
    """Subtract what the eliminated means take from the normal matrix, and sum the rest by group.

    For each pair ``normal -= b bᵀ / Σw`` with ``b = Σ_i w_i T_gᵀ q_i``, in the lower triangle;
    ``moments[g] += Σ_i w_i q_i q_iᵀ``.

    Parameters
    ----------
    transfer, start
        T (G, L, W), and the first parameter of each block of a group, -1 where absent, (G, J).
    offset
        First of the W columns of each block and the end, (J + 1,).
    moments, normal
        (G, L, L) and (n, n). A pair of b blocks of w columns costs (b w)²/2 multiplications.
    """
    n_terms = transfer.shape[1] - 2
    order = polynomial_order(n_terms)
    terms, q = np.empty(n_terms), np.empty(n_terms + 2)
    width = np.max(offset[1:] - offset[:-1])
    most = np.max(first[1:] - first[:-1])
    slot_of = np.full(normal.shape[0], -1, np.int32)
    sums = np.zeros((most * start.shape[1], width))
    blocks = np.zeros((2, most * start.shape[1]), np.int64)
    value = np.empty(most * transfer.shape[2])
    column = np.empty(most * transfer.shape[2], np.uint64)
    for p in range(first.size - 1):
        used = 0
        total = 0.0
        for i in range(first[p], first[p + 1]):
            w, g = weight[i], group[i]
            if w == 0.0:
                continue
            total += w
            _terms(u[i], v[i], n_terms, order, terms)
            _derivatives(terms, slope[p], kappa[p], i10[g], i10_std[p], q)
            _add_outer(w, q, moments[g])
            used = _add_blocks(w, q, transfer[g], start[g], offset, used, slot_of, sums, blocks)
        n = _flatten(used, blocks, sums, slot_of, value, column)
        _subtract_outer(value[:n], column[:n], total, normal)


@njit(cache=True, nogil=True)
def _add_outer(w: float, q: Float64, out: Float64) -> None:
    """Add w q qᵀ, lower triangle."""
    for a in range(q.size):
        for b in range(a + 1):
            out[a, b] += w * q[a] * q[b]


@njit(cache=True, nogil=True)
def _subtract_outer(
    value: Float64, column: NDArray[np.uint64], total: float, normal: Float64
) -> None:
    """Subtract b bᵀ / W at the given rows and columns, which grow: the lower triangle."""
    for x in range(value.size):
        scaled = value[x] / total
        row = column[x]
        for y in range(x + 1):
            normal[row, column[y]] -= scaled * value[y]


@njit(cache=True, nogil=True)
def _add_blocks(
    w: float,
    q: Float64,
    transfer: Float64,
    start: Int32,
    offset: Int32,
    used: int,
    slot_of: Int32,
    sums: Float64,
    blocks: Int64,
) -> int:
    """Add w q·T of a row to the sums of its pair, block by block; return how many blocks it has.

    ``slot_of`` tells where in ``sums`` the block that begins at a parameter is, -1 if not yet;
    ``blocks`` holds the first parameter and the size of each slot.
    """
    for j in range(start.size):
        begin = start[j]
        if begin < 0:
            continue
        slot = slot_of[begin]
        if slot < 0:
            slot = used
            slot_of[begin] = slot
            blocks[0, slot] = begin
            blocks[1, slot] = offset[j + 1] - offset[j]
            sums[slot] = 0.0
            used += 1
        for a in range(q.size):
            wq = w * q[a]
            if wq != 0.0:
                for c in range(blocks[1, slot]):
                    sums[slot, c] += wq * transfer[a, offset[j] + c]
    return used


@njit(cache=True, nogil=True)
def _flatten(
    used: int,
    blocks: Int64,
    sums: Float64,
    slot_of: Int32,
    value: Float64,
    column: NDArray[np.uint64],
) -> int:
    """Write the blocks of a pair one after another, by growing parameter; forget the slots.

    Unsigned columns spare the check for negative indices in the innermost loop, half its time.
    """
    n = 0
    for slot in np.argsort(blocks[0, :used]):
        begin = blocks[0, slot]
        slot_of[begin] = -1
        for c in range(blocks[1, slot]):
            value[n] = sums[slot, c]
            column[n] = begin + c
            n += 1
    return n


@njit(cache=True, nogil=True)
def add_groups(
    transfer: Float64, start: Int32, offset: Int32, moments: Float64, normal: Float64
) -> None:
    """Add ``T_gᵀ M_g T_g`` of all groups to the lower triangle of the normal matrix (n, n).

    Parameters
    ----------
    transfer, start, offset, moments
        As in :func:`assemble`; of the moments only the lower triangle is read.
    """
    size, columns = transfer.shape[1], transfer.shape[2]
    half = np.empty((size, columns))
    full = np.empty((size, size))
    for g in range(transfer.shape[0]):
        if moments[g, 0, 0] == 0.0:
            continue
        for a in range(size):
            for b in range(a + 1):
                full[a, b] = full[b, a] = moments[g, a, b]
        half[:] = full @ transfer[g]
        for x in range(start.shape[1]):
            for y in range(start.shape[1]):
                if start[g, y] > start[g, x] or start[g, x] < 0 or start[g, y] < 0:
                    continue
                for a in range(offset[x + 1] - offset[x]):
                    for c in range(offset[y + 1] - offset[y]):
                        total = 0.0
                        for k in range(size):
                            total += transfer[g, k, offset[x] + a] * half[k, offset[y] + c]
                        normal[start[g, x] + a, start[g, y] + c] += total
