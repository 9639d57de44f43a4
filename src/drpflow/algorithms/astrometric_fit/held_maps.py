"""Static maps as an earlier solution has found them, as priors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.astrometric_fit.sky import MAS_PER_DEG
from drpflow.data.plane_maps import PolynomialMap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drpflow.algorithms.astrometric_fit.fit import Fit
    from drpflow.algorithms.astrometric_fit.layout import Layout
    from drpflow.algorithms.astrometric_fit.rows import Tables
    from drpflow.config.solve_astrometry import AstrometricModelConfig
    from drpflow.data.polynomial import Basis2D
    from drpflow.data.solved_instrument import HeldMap

    Floats: TypeAlias = NDArray[np.float64]
    Bools: TypeAlias = NDArray[np.bool_]

# Points along a side on which terms of a basis are averaged.
_SIDE = 16
# Edges of a detector in the field that differ by less are the same: of its side.
_SAME = 1e-6
_LEAST_MAS = 1e-3
# Growth of the floors by wrong maps from which on they are not believed. Right ones made them grow
# by 1.4 in a visit of 80 stars a detector, where a change of 20 mas, which did no harm yet, made it
# 1.8: maps of the visit's own stars alone follow their noise.
_CHANGED = 2.0


@dataclass(frozen=True, eq=False)
class HeldMaps:
    """What is expected of the static maps of a fit.

    Parameters
    ----------
    known
        Which of them an earlier solution has found, (M,).
    mean_mas
        Their terms as that had them, 0 of others, (M, 2, K).
    error_mas
        Of each of their terms, (M,).
    """

    known: Bools
    mean_mas: Floats
    error_mas: Floats

    def epochs(self, layout: Layout) -> frozenset[int]:
        """Return the epochs of the instrument of which maps are known.

        There, what the visits have in common is not free to be held at 0.
        """
        return frozenset(layout.map_epoch[self.known].tolist())


def held_maps(
    held: Sequence[HeldMap], layout: Layout, tables: Tables, config: AstrometricModelConfig
) -> HeldMaps:
    """Return what held maps say of those of a fit.

    One holds for the same detector, place in the field, order and epoch of the instrument: none of
    the times at which an epoch begins lies between.
    """
    n_maps = layout.n_maps
    known, error = np.zeros(n_maps, np.bool_), np.full(n_maps, np.inf)
    mean = np.zeros((n_maps, 2, layout.map_basis[0].n_terms))
    begins = np.array(config.epochs_mjd)
    opened = np.searchsorted(begins, tables.visits.mjd, side="right")
    of_epoch = dict(zip(layout.map_epoch[layout.map_of[:, 0]].tolist(), opened, strict=True))
    found = {
        (item.detector, int(np.searchsorted(begins, item.mjd, side="right"))): item for item in held
    }
    for k, basis in enumerate(layout.map_basis):
        detector = int(tables.detectors.id[layout.map_detector[k]])
        item = found.get((detector, int(of_epoch[int(layout.map_epoch[k])])))
        if item is None or not _same(basis, item.polynomial.basis):
            continue
        identity = PolynomialMap.identity(item.polynomial.basis).coefficients
        mean[k] = (item.polynomial.coefficients - identity)[:, : basis.n_terms] * MAS_PER_DEG
        known[k], error[k] = True, max(item.error_mas, _LEAST_MAS) / _rms_of_terms(basis)
    return HeldMaps(known, mean, error)


def note_on_change(held: Fit, free: Fit) -> str:
    """Return a sentence if static maps are not those that were held, or an empty text.

    The fit takes for turbulence what wrong maps leave, or leaves visits out.

    Parameters
    ----------
    held, free
        The fit with these maps, and without.
    """
    both = held.kept() & free.kept()
    growth = np.inf
    if both.any() and (held.kept() | ~free.kept()).all():
        growth = float(np.sqrt(held.model.floor[both].mean() / free.model.floor[both].mean()))
    if growth < _CHANGED:
        return ""
    told = f"scatter is {growth:.1f} times as large" if np.isfinite(growth) else "visits are lost"
    return (
        f"static maps are not those of the earlier solution (with these, {told}): found anew. Has "
        "the instrument changed? If so, give the time in model.epochs_mjd"
    )


def with_all_terms(layout: Layout, held: HeldMaps) -> Layout:
    """Return a layout in which no held map lacks terms for want of stars."""
    order = layout.map_basis[0].order
    return replace(layout, map_order=np.where(held.known, order, layout.map_order))


def _same(basis: Basis2D, other: Basis2D) -> bool:
    """Return whether the terms of two bases are the same."""
    a, b = basis.domain, other.domain
    first, second = (np.array([c.x_min, c.x_max, c.y_min, c.y_max]) for c in (a, b))
    near = bool(np.abs(first - second).max() <= _SAME * min(a.half_size))
    # An order of 0 is stored as 1.
    return near and max(basis.order, 1) == other.order


def _rms_of_terms(basis: Basis2D) -> float:
    """Return the rms over the domain of a sum of all terms with random factors of unit size."""
    (x, y), (dx, dy) = basis.domain.center, basis.domain.half_size
    t = (np.arange(_SIDE) + 0.5) / _SIDE * 2 - 1
    u, v = np.meshgrid(t, t)
    terms = basis.design(x + dx * u.ravel(), y + dy * v.ravel())
    return float(np.sqrt((terms**2).mean(axis=0).sum()))
