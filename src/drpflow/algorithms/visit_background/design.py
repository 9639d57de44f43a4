"""The terms of a visit's background at its cells, and their normal equations.

A cell of a detector d has the light

    F_d · Σ_t p_t T_t(x_mm, y_mm) + L Σ_k a_k E_kd + o_d + Σ_s f_s c(r_s) / r_s² ,

F the shape of the empty sky, T Chebyshev polynomials over the focal plane, E the patterns of
the sky frame, L the level of the sky, o the offset of a detector, and in the last sum the wings
of stars of flux f. All is linear in p, a, o and the nodes of c.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.data.polynomial import Basis2D, Domain
from drpflow.kernels.visit_background import wing_columns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drpflow.algorithms.visit_background.cells import Bools, DetectorCells
    from drpflow.algorithms.visit_background.frame import DetectorFrame
    from drpflow.algorithms.visit_background.stars import DetectorStars

    Float64: TypeAlias = NDArray[np.float64]
    Bool: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True)
class Layout:
    """Where the parameters stand in the vector of all.

    Parameters
    ----------
    basis
        Polynomials over the focal plane, of the highest order.
    n_patterns
        Patterns of the sky frame.
    detectors
        Detectors, in the order of their offsets.
    n_nodes, n_regions
        Free nodes of a profile of wings, and profiles; 0 without wings.
    """

    basis: Basis2D
    n_patterns: int
    detectors: tuple[int, ...]
    n_nodes: int
    n_regions: int

    @property
    def patterns(self) -> slice:
        """Strengths of patterns."""
        return slice(self.basis.n_terms, self.basis.n_terms + self.n_patterns)

    @property
    def pistons(self) -> slice:
        """Offsets of detectors."""
        return slice(self.patterns.stop, self.patterns.stop + len(self.detectors))

    @property
    def wings(self) -> slice:
        """Nodes of the profiles of wings, region by region."""
        return slice(self.pistons.stop, self.pistons.stop + self.n_nodes * self.n_regions)

    @property
    def size(self) -> int:
        """Number of parameters."""
        return self.wings.stop


@dataclass(eq=False)
class DetectorTerms:
    """The terms of one detector.

    Parameters
    ----------
    cells
        Its cells.
    shape
        The empty sky at the cells, about 1, shape (my, mx).
    columns
        Terms but for the offset at the cells in use, float32, shape (n, q).
    rows
        Which cells, numbers into the raveled grid, shape (n,).
    index
        Where the columns' parameters stand, shape (q,).
    """

    cells: DetectorCells
    shape: Float64
    columns: NDArray[np.float32]
    rows: NDArray[np.intp]
    index: NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Normal:
    """Normal equations of weighted least squares.

    Parameters
    ----------
    matrix, vector
        Σ w a aᵀ and Σ w a y.
    square
        Σ w y².
    number
        Cells.
    """

    matrix: Float64
    vector: Float64
    square: float
    number: int


@dataclass(eq=False)
class Design:
    """All terms of a visit.

    Parameters
    ----------
    layout
        The parameters.
    level
        Level of the sky, electrons.
    wings
        Profile of wings that is expected, at the nodes of all rings; None if none is.
    detectors
        Terms by detector.
    """

    layout: Layout
    level: float
    wings: Float64 | None = None
    detectors: dict[int, DetectorTerms] = field(default_factory=dict)

    def normal(self, used: Bools) -> Normal:
        """Return the normal equations of the cells that are marked."""
        size = self.layout.size
        matrix, vector = np.zeros((size, size)), np.zeros(size)
        square, number = 0.0, 0
        for k, (key, terms) in enumerate(self.detectors.items()):
            keep = used[key].ravel()[terms.rows]
            rows = terms.rows[keep]
            weight = terms.cells.weight.ravel()[rows]
            y = terms.cells.level.ravel()[rows]
            a = np.column_stack([terms.columns[keep], np.ones(rows.size)])
            index = np.append(terms.index, self.layout.pistons.start + k)
            weighted = a * weight[:, None]
            matrix[np.ix_(index, index)] += weighted.T @ a
            vector[index] += weighted.T @ y
            square += float(weight @ y**2)
            number += rows.size
        return Normal(matrix, vector, square, number)

    def residuals(self, parameters: Float64) -> dict[int, Float64]:
        """Return cells less model over the noise of each, 0 where there is no measurement."""
        found = {}
        for k, (key, terms) in enumerate(self.detectors.items()):
            pulls = np.zeros(terms.cells.level.size)
            model = terms.columns @ parameters[terms.index]
            model += parameters[self.layout.pistons.start + k]
            rest = terms.cells.level.ravel()[terms.rows] - model
            pulls[terms.rows] = rest * np.sqrt(terms.cells.weight.ravel()[terms.rows])
            found[key] = pulls.reshape(terms.cells.level.shape)
        return found

    def usable(self) -> Bools:
        """Return the cells that have terms: none in the cores of bright stars."""
        found = {}
        for key, terms in self.detectors.items():
            there = np.zeros(terms.cells.level.size, bool)
            there[terms.rows] = True
            found[key] = there.reshape(terms.cells.level.shape)
        return found


def build_design(
    cells: Mapping[int, DetectorCells],
    frames: Mapping[int, DetectorFrame],
    stars: Mapping[int, DetectorStars],
    n_regions: int,
    max_order: int,
) -> Design:
    """Return all terms at the cells of a visit.

    Parameters
    ----------
    cells
        By detector.
    frames
        Sky frames by detector; where there is none, the shape is 1.
    stars
        Bright stars by detector; may be empty.
    n_regions
        Rings of the focal plane with profiles of their own.
    max_order
        Highest total degree of the polynomials.
    """
    ends = [
        [f(getattr(c, n)[c.usable]) for c in cells.values() if c.usable.any()]
        for n in ("x_mm", "y_mm")
        for f in (np.min, np.max)
    ]
    domain = Domain(min(ends[0]), max(ends[1]), min(ends[2]), max(ends[3]))
    n_patterns = max((len(f.patterns) for f in frames.values()), default=0)
    n_nodes = next((s.radii.size - 1 for s in stars.values()), 0)
    basis = Basis2D(max_order, domain)
    layout = Layout(basis, n_patterns, tuple(cells), n_nodes, n_regions if n_nodes else 0)
    pooled = np.concatenate([c.level[c.usable] for c in cells.values()])
    design = Design(layout, float(np.median(pooled)), _expected_wings(frames, layout))
    for key, c in cells.items():
        design.detectors[key] = _terms(c, frames.get(key), stars.get(key), design)
    return design


def _expected_wings(frames: Mapping[int, DetectorFrame], layout: Layout) -> Float64 | None:
    """Return the profile of the band, if there is one of the same nodes and rings."""
    for frame in frames.values():
        wings = frame.wings
        if wings is not None and wings.shape == (layout.n_regions, layout.n_nodes):
            return wings.ravel()
    return None


def _terms(
    cells: DetectorCells, frame: DetectorFrame | None, stars: DetectorStars | None, design: Design
) -> DetectorTerms:
    layout = design.layout
    x, y = cells.centers
    shape = np.ones(cells.level.shape) if frame is None else frame.shape(x, y)
    rows = np.flatnonzero(cells.usable)
    index = np.arange(layout.patterns.stop)
    wings = None
    if stars is not None and layout.n_nodes:
        places = cells.x.ravel()[rows], cells.y.ravel()[rows]
        wings, core = wing_columns(
            *places, stars.x, stars.y, stars.flux, stars.region, stars.radii, layout.n_regions
        )
        rows, wings = rows[~core], wings[~core]
        index = np.append(index, np.arange(layout.wings.start, layout.wings.stop))
    columns = np.empty((rows.size, index.size), np.float32)
    terms = layout.basis.design(cells.x_mm.ravel()[rows], cells.y_mm.ravel()[rows])
    columns[:, : terms.shape[1]] = terms * shape.ravel()[rows, None]
    for k in range(layout.n_patterns):
        pattern = 0.0 if frame is None else frame.pattern(k, x, y).ravel()[rows]
        columns[:, layout.patterns.start + k] = design.level * pattern
    if wings is not None:
        columns[:, layout.patterns.stop :] = wings
    return DetectorTerms(cells, shape, columns, rows, index)
