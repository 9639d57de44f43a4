"""Joined sets against connected components."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from drpflow.kernels.disjoint_sets import find_root, join_sets


@pytest.mark.parametrize("seed", range(5))
def test_sets_are_connected_components(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 40
    pairs = rng.integers(0, n, (25, 2))
    parent = np.arange(n)
    for one, other in pairs:
        join_sets(parent, one, other)
    roots = np.array([find_root(parent, k) for k in range(n)])
    graph = coo_matrix((np.ones(len(pairs)), pairs.T), (n, n))
    label = connected_components(graph, directed=False)[1]
    np.testing.assert_array_equal(roots[:, None] == roots, label[:, None] == label)
    # The smallest member is the root.
    assert all(root == np.flatnonzero(roots == root).min() for root in roots)
