"""Sets that are joined, each known by the root of a tree of its members."""

from __future__ import annotations

from typing import TYPE_CHECKING

from numba import njit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def find_root(parent: NDArray[np.int64], member: int) -> int:
    """Return the root of a member's set, halving the path to it."""
    while parent[member] != member:
        parent[member] = parent[parent[member]]
        member = parent[member]
    return member


@njit(cache=True, nogil=True)
def join_sets(parent: NDArray[np.int64], one: int, other: int) -> None:
    """Join the sets of two members; the smaller root is that of both."""
    a, b = find_root(parent, one), find_root(parent, other)
    parent[max(a, b)] = min(a, b)
