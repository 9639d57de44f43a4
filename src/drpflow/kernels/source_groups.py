"""Groups of detections that are more than one source, or one that moves, taken apart.

Members of a group come sorted by falling weight, so that nothing depends on the order in which
they were read; distances are chords between vectors, so that nothing depends on a projection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

ROUNDS = 10
"""Times that members may change sides."""
MOST_SEEDS = 300
"""Sources of a group beyond which members do not change sides: that costs their number's cube."""


@njit(cache=True, nogil=True)
def split_groups(
    starts: Integers,
    points: Floats,
    weight: Floats,
    visit: Integers,
    radius: float,
    label: Integers,
) -> None:
    """Part groups so that no source has two members of a visit, or members beyond a radius.

    Parameters
    ----------
    starts
        Row of each group's first member, and the number of rows, shape (G + 1,).
    points
        Places, in the unit of the radius, shape (N, 3).
    weight
        Inverse variances, falling within each group, shape (N,).
    visit
        Which visit each is of, shape (N,).
    radius
        Largest distance of a member from the mean.
    label
        Out: number of the source within its group, shape (N,).

    Notes
    -----
    Members found a source, or join the nearest that has room, by falling weight; then each visit's
    members are dealt to the sources anew, nearest pairs first, until nothing changes; then sources
    that have no visit in common and lie within the radius become one.
    """
    for g in range(starts.size - 1):
        a, b = starts[g], starts[g + 1]
        p, w, v, mine = points[a:b], weight[a:b], visit[a:b], label[a:b]
        n_seed = _seed(p, w, v, radius, mine)
        by_visit = np.argsort(v, kind="mergesort")
        if n_seed <= MOST_SEEDS:
            for _ in range(ROUNDS):
                center = _centers(p, w, mine, n_seed)
                before = mine.copy()
                n_seed = _deal(p, v, by_visit, center, radius, mine)
                if (before == mine).all():
                    break
            _merge(p, w, v, radius, mine, n_seed)


@njit(cache=True, nogil=True)
def _distance2(one: Floats, other: Floats) -> float:
    x, y, z = one[0] - other[0], one[1] - other[1], one[2] - other[2]
    return x * x + y * y + z * z


@njit(cache=True, nogil=True)
def _seed(p: Floats, w: Floats, v: Integers, radius: float, mine: Integers) -> int:
    """Give each member to the nearest source that has room, or let it found one."""
    n = mine.size
    center, total = np.zeros((n, 3)), np.zeros(n)
    count = 0
    for i in range(n):
        best, least = -1, radius * radius
        for k in range(count):
            d = _distance2(p[i], center[k])
            if d <= least:
                free = True
                for j in range(i):
                    if mine[j] == k and v[j] == v[i]:
                        free = False
                        break
                if free:
                    best, least = k, d
        if best < 0:
            best = count
            count += 1
        mine[i] = best
        total[best] += w[i]
        for c in range(3):
            center[best, c] += (p[i, c] - center[best, c]) * w[i] / total[best]
    return count


@njit(cache=True, nogil=True)
def _centers(p: Floats, w: Floats, mine: Integers, n_seed: int) -> Floats:
    """Return weighted means of the sources' members."""
    center, total = np.zeros((n_seed, 3)), np.zeros(n_seed)
    for i in range(mine.size):
        k = mine[i]
        total[k] += w[i]
        for c in range(3):
            center[k, c] += (p[i, c] - center[k, c]) * w[i] / total[k]
    return center


@njit(cache=True, nogil=True)
def _deal(
    p: Floats, v: Integers, by_visit: Integers, center: Floats, radius: float, mine: Integers
) -> int:
    """Deal the members of each visit to the sources, nearest pairs first; the rest found others."""
    n, n_seed = mine.size, center.shape[0]
    taken = np.zeros(n_seed, np.int64)
    found = np.full(n, -1, np.int64)
    first, turn = 0, 0
    while first < n:
        end = first
        while end < n and v[by_visit[end]] == v[by_visit[first]]:
            end += 1
        turn += 1
        while True:
            best_i, best_k, least = -1, -1, radius * radius
            for j in range(first, end):
                i = by_visit[j]
                if found[i] >= 0:
                    continue
                for k in range(n_seed):
                    if taken[k] != turn:
                        d = _distance2(p[i], center[k])
                        if d < least:
                            best_i, best_k, least = i, k, d
            if best_i < 0:
                break
            found[best_i], taken[best_k] = best_k, turn
        first = end
    count = 0
    rank = np.full(n_seed, -1, np.int64)
    for i in range(n):
        if found[i] < 0:
            mine[i] = count
            count += 1
        else:
            if rank[found[i]] < 0:
                rank[found[i]] = count
                count += 1
            mine[i] = rank[found[i]]
    return count


@njit(cache=True, nogil=True)
def _merge(p: Floats, w: Floats, v: Integers, radius: float, mine: Integers, n_seed: int) -> None:
    """Join the nearest sources that have no visit in common, and whose members stay near."""
    while n_seed > 1:
        center = _centers(p, w, mine, n_seed)
        one, other, least = -1, -1, radius * radius
        for a in range(n_seed):
            for b in range(a + 1, n_seed):
                d = _distance2(center[a], center[b])
                if d < least and _may_join(p, w, v, radius, mine, a, b):
                    one, other, least = a, b, d
        if one < 0:
            return
        for i in range(mine.size):
            if mine[i] == other:
                mine[i] = one
            elif mine[i] > other:
                mine[i] -= 1
        n_seed -= 1


@njit(cache=True, nogil=True)
def _may_join(
    p: Floats, w: Floats, v: Integers, radius: float, mine: Integers, a: int, b: int
) -> bool:
    """Return whether two sources share no visit, and all are within the radius of their mean."""
    center, total = np.zeros(3), 0.0
    for i in range(mine.size):
        if mine[i] != a and mine[i] != b:
            continue
        for j in range(i):
            if mine[i] + mine[j] == a + b and mine[i] != mine[j] and v[i] == v[j]:
                return False
        total += w[i]
        for c in range(3):
            center[c] += (p[i, c] - center[c]) * w[i] / total
    for i in range(mine.size):
        if (mine[i] == a or mine[i] == b) and _distance2(p[i], center) > radius * radius:
            return False
    return True


@njit(cache=True, nogil=True)
def straight_lines(
    starts: Integers,
    points: Floats,
    weight: Floats,
    time: Floats,
    radius: float,
    most_chi2: float,
    most_speed: float,
    moving: NDArray[np.bool_],
    motion: Floats,
) -> None:
    """Find the groups whose members lie along a straight line in time.

    Parameters
    ----------
    starts, points, weight
        As for :func:`split_groups`; a group has a visit but once.
    time
        Of each member, shape (N,).
    radius
        Largest distance of a member from the line.
    most_chi2
        Largest χ² about the line, for each degree of freedom.
    most_speed
        Largest motion, units of the points over those of time.
    moving
        Out: whether a group is such a line, shape (G,). Four members make one.
    motion
        Out: velocity of each of these, shape (G, 3).
    """
    for g in range(starts.size - 1):
        a, b = starts[g], starts[g + 1]
        moving[g] = False
        if b - a >= 4:
            p, w, t = points[a:b], weight[a:b], time[a:b]
            chi2, worst = _line(p, w, t, motion[g])
            speed2 = motion[g, 0] ** 2 + motion[g, 1] ** 2 + motion[g, 2] ** 2
            fits = chi2 <= most_chi2 * (2 * (b - a) - 4) and worst <= radius * radius
            moving[g] = fits and speed2 <= most_speed * most_speed


@njit(cache=True, nogil=True)
def _line(p: Floats, w: Floats, t: Floats, slope: Floats) -> tuple[float, float]:
    """Fill the slope of a straight line in time; return χ² and the largest squared distance.

    Both are infinite if all members are of one time.
    """
    center = np.zeros(3)
    total, middle, spread = 0.0, 0.0, 0.0
    slope[:] = 0.0
    for i in range(t.size):
        total += w[i]
        middle += (t[i] - middle) * w[i] / total
        for c in range(3):
            center[c] += (p[i, c] - center[c]) * w[i] / total
    for i in range(t.size):
        dt = t[i] - middle
        spread += w[i] * dt * dt
        for c in range(3):
            slope[c] += w[i] * dt * (p[i, c] - center[c])
    if spread <= 0:
        return np.inf, np.inf
    for c in range(3):
        slope[c] /= spread
    chi2, worst = 0.0, 0.0
    for i in range(t.size):
        d = 0.0
        for c in range(3):
            off = p[i, c] - slope[c] * (t[i] - middle) - center[c]
            d += off * off
        chi2 += w[i] * d
        worst = max(worst, d)
    return chi2, worst
