"""Two-point functions of what a PSF model has wrong: the ρ statistics.

After Rowe 2010 (MNRAS 404, 350) and Jarvis et al. 2016 (MNRAS 460, 2245). With the distortion e of
the model at a star, the difference δe of the star from it and the relative difference δT/T of
their sizes,

    ρ1 = ⟨δe · δe⟩    ρ2 = ⟨e · δe⟩    ρ3 = ⟨(e δT/T) · (e δT/T)⟩
    ρ4 = ⟨δe · (e δT/T)⟩    ρ5 = ⟨e · (e δT/T)⟩

over pairs of stars of one visit; the product a · b is Re(a* b), so that it does not matter to which
axes ellipticities refer as long as they are the same for all stars of a visit.

Noise of the measurements is in no mean: the two stars of a pair are measured apart. That holds
since e is that of the model and not, as is usual, that of the star: noise of a star's own e and
δT/T is correlated wherever the PSF is not round, by 2 e (1 - e²) σ²(δT/T), and would stay in ρ3,
ρ4 and ρ5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats: TypeAlias = NDArray[np.float64]

N_RHO = 5
# Which of e, δe, e δT/T make the pairs of each statistic.
_PAIRS = ((1, 1), (0, 1), (2, 2), (1, 2), (0, 2))
_MAX_STARS = 3000


@dataclass(frozen=True, eq=False)
class PsfResiduals:
    """Stars against the PSF model, shape (N,).

    Parameters
    ----------
    visit
        Visit of each.
    x_arcmin, y_arcmin
        Place in the field.
    e
        Distortion of the model, e1 + i e2.
    de
        That of the star less it.
    dt
        Iₓₓ + I_yy of the star over that of the model, less 1.
    """

    visit: NDArray[np.integer]
    x_arcmin: Floats
    y_arcmin: Floats
    e: NDArray[np.complex128]
    de: NDArray[np.complex128]
    dt: Floats

    def take(self, rows: NDArray[np.generic]) -> PsfResiduals:
        """Return the given rows (indices or a mask)."""
        return PsfResiduals(*(getattr(self, n)[rows] for n in self.__dataclass_fields__))


@dataclass(frozen=True, eq=False)
class RhoStatistics:
    """The five statistics by separation (B bins).

    Parameters
    ----------
    separation_arcmin
        Mean separation of the pairs, shape (B,).
    rho
        Shape (5, B), NaN without pairs.
    error
        Of these, from their scatter between visits; NaN with a single visit.
    n_pairs
        Pairs in each bin.
    """

    separation_arcmin: Floats
    rho: Floats
    error: Floats
    n_pairs: NDArray[np.int64]


def rho_statistics(stars: PsfResiduals, edges_arcmin: ArrayLike) -> RhoStatistics:
    """Return the ρ statistics of stars.

    Parameters
    ----------
    stars
        What is not finite is left out; of a visit with more than 3000 stars, so many count.
    edges_arcmin
        Edges of the bins of separation, increasing, shape (B + 1,).
    """
    edges = np.asarray(edges_arcmin, np.float64)
    values = (stars.x_arcmin, stars.y_arcmin, np.abs(stars.e), np.abs(stars.de), stars.dt)
    finite = np.isfinite(np.array(values, np.float64)).all(axis=0)
    known = stars.take(np.flatnonzero(finite))
    parts = [_sums(known.take(rows), edges) for rows in _by_visit(known.visit)]
    sums = np.array(parts) if parts else np.zeros((0, 2 + N_RHO, edges.size - 1))
    count, total = sums[:, 0], sums.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        separation, rho = total[1] / total[0], total[2:] / total[0]
        # Visits weigh as their pairs: var = Σ (n_v (m_v - m))² / (Σ n_v)², small samples enlarged.
        off = sums[:, 2:] - count[:, None] * rho
        number = (count > 0).sum(axis=0)
        error = np.sqrt((off**2).sum(axis=0) * number / (number - 1.0)) / total[0]
    error = np.where(number > 1, error, np.nan)
    return RhoStatistics(separation, rho, error, total[0].astype(np.int64))


def _by_visit(visit: NDArray[np.integer]) -> list[NDArray[np.intp]]:
    """Return the rows of each visit, at most so many of each."""
    found = []
    for key in np.unique(visit):
        rows = np.flatnonzero(visit == key)
        step = max(rows.size / _MAX_STARS, 1.0)
        found.append(rows[np.arange(0, rows.size, step).astype(np.intp)])
    return found


def _sums(stars: PsfResiduals, edges: Floats) -> Floats:
    """Return number, separations and products of the pairs of a visit, (2 + 5, B)."""
    from scipy.spatial import cKDTree

    place = np.column_stack([stars.x_arcmin, stars.y_arcmin])
    pairs = cKDTree(place).query_pairs(edges[-1], output_type="ndarray") if len(place) else None
    if pairs is None or not pairs.size:
        return np.zeros((2 + N_RHO, edges.size - 1))
    distance = np.hypot(*(place[pairs[:, 1]] - place[pairs[:, 0]]).T)
    kept = (distance >= edges[0]) & (distance < edges[-1])
    i, j = pairs[kept].T
    bins = np.searchsorted(edges[1:-1], distance[kept], side="right")
    fields = (stars.e, stars.de, stars.e * stars.dt)
    values = [np.ones(i.size), distance[kept]]
    for a, b in ((fields[k], fields[m]) for k, m in _PAIRS):
        values.append((a[i].conj() * b[j] + a[j].conj() * b[i]).real / 2)
    return np.array([np.bincount(bins, v, minlength=edges.size - 1) for v in values])
