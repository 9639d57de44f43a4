"""Sums over the observations of a global astrometric solution, star by star.

Notation: :mod:`drpflow.kernels.astrometric_model`. Parameters of the stars are eliminated where
they are met: with B = Σ Jᵀ W A T and Λ = Λ_prior + Σ (A T)ᵀ W A T,

    S = Σ Jᵀ W J - B Λ⁻¹ Bᵀ .
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from drpflow.kernels.astrometric_model import (
    EXCLUDED,
    FAST,
    OFF,
    ON,
    REJECTED,
    SUSPECT,
    USED,
    add_back,
    cholesky,
    fill_star,
    invert_spd,
    load_star,
    most_rows,
    pull,
    shifts,
    work_space,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.kernels.astrometric_model import Found, Model, Rows, Sky, Work

    Float64 = NDArray[np.float64]
    Int8 = NDArray[np.int8]


@njit(cache=True, nogil=True, fastmath=FAST)
def _solve_star(
    n: int, prior: Float64, target: Float64, work: Work, shift: Float64, covariance: Float64
) -> None:
    """Solve for the parameters of a star from its rows that are on."""
    normal = prior.copy()
    right = target.copy()
    for j in range(n):
        if work.on[j] != ON:
            continue
        at, w, r = work.at[j], work.w[j], work.r[j]
        wx, wy = w[0] * r[0] + w[1] * r[1], w[1] * r[0] + w[2] * r[1]
        for a in range(5):
            right[a] += at[0, a] * wx + at[1, a] * wy
            ux, uy = w[0] * at[0, a] + w[1] * at[1, a], w[1] * at[0, a] + w[2] * at[1, a]
            for b in range(a + 1):
                normal[a, b] += ux * at[0, b] + uy * at[1, b]
    for a in range(5):
        for b in range(a):
            normal[b, a] = normal[a, b]
    invert_spd(normal, covariance)
    for a in range(5):
        total = 0.0
        for b in range(5):
            total += covariance[a, b] * right[b]
        shift[a] = total


@njit(cache=True, nogil=True, fastmath=FAST, inline="always")
def _left(j: int, work: Work, shift: Float64) -> tuple[float, float]:
    """Return the residual of a row with the star's parameters taken off."""
    x, y = work.r[j, 0], work.r[j, 1]
    for a in range(5):
        x -= work.at[j, 0, a] * shift[a]
        y -= work.at[j, 1, a] * shift[a]
    return x, y


@njit(cache=True, nogil=True, fastmath=FAST, inline="always")
def _leverage(j: int, work: Work, covariance: Float64) -> tuple[float, float, float]:
    """Return A T Λ⁻¹ (A T)ᵀ of a row: xx, xy, yy."""
    at = work.at[j]
    xx = xy = yy = 0.0
    for a in range(5):
        ux = uy = 0.0
        for b in range(5):
            ux += covariance[a, b] * at[0, b]
            uy += covariance[a, b] * at[1, b]
        xx += at[0, a] * ux
        xy += at[0, a] * uy
        yy += at[1, a] * uy
    return xx, xy, yy


@njit(cache=True, nogil=True, fastmath=FAST, inline="always")
def _distance2(j: int, work: Work, shift: Float64, covariance: Float64) -> float:
    """Return the squared residual of a row in units of its expectation: two degrees of freedom.

    Of a row that is on, the star's share of the variance goes off; of another it comes on top.
    """
    x, y = _left(j, work, shift)
    lx, lxy, ly = _leverage(j, work, covariance)
    sign = -1.0 if work.on[j] == ON else 1.0
    xx, xy, yy = work.v[j, 0] + sign * lx, work.v[j, 1] + sign * lxy, work.v[j, 2] + sign * ly
    determinant = xx * yy - xy * xy
    # A star's only row has nothing to be compared with.
    if determinant <= 1e-12 * work.v[j, 0] * work.v[j, 2]:
        return 0.0
    return (yy * x * x - 2 * xy * x * y + xx * y * y) / determinant


@njit(cache=True, nogil=True, fastmath=FAST)
def _suspect(n: int, clip2: float, work: Work, shift: Float64) -> None:
    """Mark the rows that are on and far from a star with these parameters, if they are few."""
    rows = far = 0
    for j in range(n):
        if work.on[j] == ON:
            rows += 1
            x, y = _left(j, work, shift)
            w = work.w[j]
            if x * x * w[0] + 2 * x * y * w[1] + y * y * w[2] > 2 * clip2:
                work.on[j] = SUSPECT
                far += 1
    if 3 * far > rows:
        for j in range(n):
            if work.on[j] == SUSPECT:
                work.on[j] = ON


@njit(cache=True, nogil=True, fastmath=FAST)
def _reject(
    n: int,
    clip2: float,
    prior: Float64,
    target: Float64,
    work: Work,
    shift: Float64,
    covariance: Float64,
    guess: bool,
) -> None:
    """Switch the worst row of a star off, one after the other, until all agree.

    With `guess`, `shift` holds parameters from which rows far off are known at once; they come on
    again if they agree in the end. Parameters that more than a third of the rows deny are no guess:
    a star that once was where a wrong row has it would stay there.
    """
    if guess:
        _suspect(n, clip2, work, shift)
    for _ in range(2 * n + 1):
        _solve_star(n, prior, target, work, shift, covariance)
        worst, most, best, least = -1, clip2, -1, clip2
        for j in range(n):
            if work.on[j] == ON or work.on[j] == SUSPECT:
                distance2 = _distance2(j, work, shift, covariance)
                if work.on[j] == ON and distance2 > most:
                    worst, most = j, distance2
                elif work.on[j] == SUSPECT and distance2 < least:
                    best, least = j, distance2
        if worst >= 0:
            work.on[worst] = OFF
        elif best >= 0:
            work.on[best] = ON
        else:
            return


@njit(cache=True, nogil=True, fastmath=FAST)
def catalogue_distance2(
    share: Float64, mean: Float64, shift: Float64, covariance: Float64
) -> float:
    """Return how far a catalogue is from what the observations alone say.

    With x = s - μ and the catalogue's precision Λ, which may be singular,
    xᵀ (C + Λ⁻¹)⁻¹ x = xᵀΛx - (Λx)ᵀ (C⁻¹ + Λ)⁻¹ Λx; as many degrees of freedom as Λ has.
    """
    information, inner = np.empty((5, 5)), np.empty((5, 5))
    invert_spd(covariance, information)
    invert_spd(information + share, inner)
    offset = shift - mean
    force = share @ offset
    return float(offset @ force - force @ (inner @ force))


@njit(cache=True, nogil=True, fastmath=FAST)
def joint_distance2(share: Float64, mean: Float64, shift: Float64, covariance: Float64) -> float:
    """Return the same distance from the solution of observations and catalogue together.

    With N = C⁻¹ of the joint solution, that of the observations alone is N - Λ, and its offset
    (N - Λ)⁻¹ N (s - μ), so that the distance is (s - μ)ᵀ N (N - Λ)⁻¹ Λ (s - μ).
    """
    information, alone = np.empty((5, 5)), np.empty((5, 5))
    invert_spd(covariance, information)
    invert_spd(information - share, alone)
    offset = shift - mean
    return float((information @ offset) @ (alone @ (share @ offset)))


@njit(cache=True, nogil=True, fastmath=FAST)
def _star(
    s: int,
    n: int,
    clip2: float,
    catalogue2: Float64,
    guess: bool,
    sky: Sky,
    found: Found,
    work: Work,
) -> None:
    """Solve for a star, rejecting rows, and the catalogue if at least three rows say so."""
    first = work.on[:n].copy()
    prior, mean = sky.prior[sky.kind[s]], sky.prior_mean[sky.kind[s]]
    target = prior @ mean
    shift, covariance = found.shift[s], found.covariance[s]
    if sky.known[s] > 0:
        limit = catalogue2[sky.known[s]]
        share, center = sky.share[s], sky.share_mean[s]
        full, aim = prior + share, target + share @ center
        _reject(n, clip2, full, aim, work, shift, covariance, guess)
        found.tied[s] = 1
        if _few_off(n, first, work) and joint_distance2(share, center, shift, covariance) < limit:
            return
        work.on[:n] = first
        _reject(n, clip2, prior, target, work, shift, covariance, False)
        used = 0
        for j in range(n):
            used += work.on[j] == ON
        if used >= 3 and catalogue_distance2(share, center, shift, covariance) > limit:
            found.tied[s] = 0
            return
        work.on[:n] = first
        _reject(n, clip2, full, aim, work, shift, covariance, False)
        return
    found.tied[s] = 0
    _reject(n, clip2, prior, target, work, shift, covariance, guess)


@njit(cache=True, nogil=True, fastmath=FAST)
def _few_off(n: int, first: Int8, work: Work) -> bool:
    """Return whether at most a third of the rows that were on are off."""
    rows = off = 0
    for j in range(n):
        rows += first[j] == ON
        off += first[j] == ON and work.on[j] != ON
    return 3 * off <= rows


@njit(cache=True, nogil=True, fastmath=FAST, inline="always")
def _count(i: int, j: int, s: int, rows: Rows, sky: Sky, found: Found, work: Work) -> None:
    """Add row i of star s to gradient and sums."""
    v = rows.visit[i]
    sums = found.sums[v]
    if work.on[j] != ON:
        sums[1] += sky.fit[s]
        return
    x, y = found.residual[i, 0], found.residual[i, 1]
    w = work.w[j]
    wx, wy = w[0] * x + w[1] * y, w[1] * x + w[2] * y
    found.chi2[s] += x * wx + y * wy
    if sky.fit[s] == 0:
        return
    add_back(j, rows.map[i], v, x, y, work, found.gradient_c, found.gradient_q)
    lx, lxy, ly = _leverage(j, work, found.covariance[s])
    # P = W - W L W.
    ax, axy = w[0] * lx + w[1] * lxy, w[0] * lxy + w[1] * ly
    ayx, ay = w[1] * lx + w[2] * lxy, w[1] * lxy + w[2] * ly
    px = w[0] - (ax * w[0] + axy * w[1])
    pxy = w[1] - (ax * w[1] + axy * w[2])
    py = w[2] - (ayx * w[1] + ay * w[2])
    sums[0] += 1
    sums[2] += wx * wx + wy * wy
    sums[3] += px + py
    sums[4] += px * px + 2 * pxy * pxy + py * py


@njit(cache=True, nogil=True, fastmath=FAST)
def accumulate(
    rows: Rows,
    sky: Sky,
    model: Model,
    clip2: float,
    catalogue2: Float64,
    guess: bool,
    fixed: bool,
    found: Found,
) -> None:
    """Solve for all stars with the maps as they are; fill `found`.

    Rows in state EXCLUDED stay so; all others are judged anew. `clip2` is the largest squared
    distance of a row (two degrees of freedom), `catalogue2` (6) that of a catalogue that knows so
    many values. With `guess`, `found` holds the stars of an earlier pass; with `fixed`, no row is
    judged: those that were rejected stay so.
    """
    if fixed:
        clip2, guess = np.inf, False
    found.gradient_c[:] = 0.0
    found.gradient_q[:] = 0.0
    found.sums[:] = 0.0
    found.chi2[:] = 0.0
    n_stars = rows.first.size - 1
    work = work_space(most_rows(rows.first), model.c.shape[2], model.q.shape[2])
    for s in range(n_stars):
        begin = rows.first[s]
        n = fill_star(s, rows, sky, model, work)
        for j in range(n):
            state = found.state[begin + j]
            off = state == EXCLUDED or (fixed and state == REJECTED)
            work.on[j] = OFF if off else ON
        _star(s, n, clip2, catalogue2, guess, sky, found, work)
        for j in range(n):
            i = begin + j
            found.residual[i, 0], found.residual[i, 1] = _left(j, work, found.shift[s])
            if found.state[i] != EXCLUDED:
                found.state[i] = USED if work.on[j] == ON else REJECTED
                _count(i, j, s, rows, sky, found, work)


@njit(cache=True, nogil=True, fastmath=FAST)
def multiply(
    rows: Rows,
    sky: Sky,
    model: Model,
    found: Found,
    c: Float64,
    q: Float64,
    out_c: Float64,
    out_q: Float64,
) -> None:
    """Multiply (c, q) with S, without priors of the maps: out is overwritten."""
    out_c[:] = 0.0
    out_q[:] = 0.0
    n_stars = rows.first.size - 1
    work = work_space(most_rows(rows.first), c.shape[2], q.shape[2])
    right, star = np.empty(5), np.empty(5)
    for s in range(n_stars):
        if sky.fit[s] == 0:
            continue
        n = load_star(s, rows, sky, model, found, work)
        right[:] = 0.0
        for j in range(n):
            if work.on[j] == ON:
                i = rows.first[s] + j
                x, y = shifts(j, rows.map[i], rows.visit[i], c, q, work)
                work.r[j, 0], work.r[j, 1] = x, y
                pull(j, x, y, work, right)
        for a in range(5):
            star[a] = 0.0
            for b in range(5):
                star[a] += found.covariance[s, a, b] * right[b]
        for j in range(n):
            if work.on[j] == ON:
                i = rows.first[s] + j
                x, y = _left(j, work, star)
                add_back(j, rows.map[i], rows.visit[i], x, y, work, out_c, out_q)


@njit(cache=True, nogil=True, fastmath=FAST)
def draw_noise(
    rows: Rows,
    sky: Sky,
    model: Model,
    found: Found,
    of_rows: NDArray[np.float32],
    of_stars: Float64,
    out_c: Float64,
    out_q: Float64,
) -> None:
    """Fill (out_c, out_q) with noise of the covariance S, priors of the maps apart.

    It is the gradient where observations and priors of the stars are off by their errors: unit
    normal numbers `of_rows` (N, 2) and `of_stars` (S, 5) times roots of their covariances.
    """
    out_c[:] = 0.0
    out_q[:] = 0.0
    work = work_space(most_rows(rows.first), model.c.shape[2], model.q.shape[2])
    star, root = np.empty(5), np.empty((5, 5))
    for s in range(rows.first.size - 1):
        if sky.fit[s] == 0:
            continue
        n = load_star(s, rows, sky, model, found, work)
        prior = sky.prior[sky.kind[s]].copy()
        if found.tied[s] == 1:
            prior += sky.share[s]
        cholesky(prior, root)
        right = root @ of_stars[s]
        for j in range(n):
            if work.on[j] == ON:
                i, v = rows.first[s] + j, work.v[j]
                low = np.sqrt(v[0])
                cross = v[1] / low
                x = low * of_rows[i, 0]
                y = cross * of_rows[i, 0] + np.sqrt(v[2] - cross * cross) * of_rows[i, 1]
                work.r[j, 0], work.r[j, 1] = x, y
                pull(j, x, y, work, right)
        for a in range(5):
            star[a] = 0.0
            for b in range(5):
                star[a] += found.covariance[s, a, b] * right[b]
        for j in range(n):
            if work.on[j] == ON:
                i = rows.first[s] + j
                x, y = _left(j, work, star)
                add_back(j, rows.map[i], rows.visit[i], x, y, work, out_c, out_q)


@njit(cache=True, nogil=True, fastmath=FAST)
def add_map_errors(
    rows: Rows,
    sky: Sky,
    model: Model,
    found: Found,
    c: Float64,
    q: Float64,
    covariance: Float64,
) -> None:
    """Add to the covariances of the stars, (S, 5, 5), what draws of the maps do to them.

    c (n, M, 2, K) and q (n, V, 2, L + 1) are draws about the solution; each moves a star by
    -Λ⁻¹ Σ (A T)ᵀ W J (c, q).
    """
    n_stars, n_draws = rows.first.size - 1, c.shape[0]
    work = work_space(most_rows(rows.first), c.shape[3], q.shape[3])
    right, star = np.empty((n_draws, 5)), np.empty(5)
    for s in range(n_stars):
        n = load_star(s, rows, sky, model, found, work)
        right[:] = 0.0
        for j in range(n):
            if work.on[j] != ON:
                continue
            i = rows.first[s] + j
            for k in range(n_draws):
                x, y = shifts(j, rows.map[i], rows.visit[i], c[k], q[k], work)
                pull(j, x, y, work, right[k])
        for k in range(n_draws):
            for a in range(5):
                star[a] = 0.0
                for b in range(5):
                    star[a] += found.covariance[s, a, b] * right[k, b]
            for a in range(5):
                for b in range(5):
                    covariance[s, a, b] += star[a] * star[b] / n_draws
