"""The observations as the fit wants them: clean, sorted by star and band, with references."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.fgcm.layout import NO_REGIONS, Regions
from drpflow.algorithms.fgcm.references import reference_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.fgcm.references import ReferenceRows
    from drpflow.config.fgcm import FgcmConfig
    from drpflow.data.photometric_tables import Detectors, Observations, Stars, Visits

    Floats: TypeAlias = NDArray[np.float64]
    Float32: TypeAlias = NDArray[np.float32]
    Int32: TypeAlias = NDArray[np.int32]
    Bools: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Rows:
    """N rows in P pairs of a star and a band; row i of pair p: ``first[p] <= i < first[p + 1]``.

    Parameters
    ----------
    group
        Visit times D plus detector; ``V D + region`` for a reference magnitude. (N,)
    mag, err
        Magnitude and the error known beforehand, (N,).
    u, v
        Place on the detector, (N,).
    first
        (P + 1,).
    star, band
        Of the pairs, (P,).
    pair
        Pair of each row, (N,).
    n_groups
        V D, without those of references.
    regions
        Regions of reference stars.
    """

    group: Int32
    mag: Floats
    err: Floats
    u: Float32
    v: Float32
    first: NDArray[np.int64]
    star: Int32
    band: Int32
    pair: Int32
    n_groups: int
    regions: Regions

    def __len__(self) -> int:
        return self.group.size

    @property
    def n_pairs(self) -> int:
        """P."""
        return self.star.size

    @property
    def is_reference(self) -> Bools:
        """Which rows are reference magnitudes, (N,)."""
        return self.group >= self.n_groups


@dataclass(frozen=True)
class Rejected:
    """Observations, and magnitudes of the catalogue, that are not used, by reason.

    Parameters
    ----------
    not_finite, large_error, duplicate, reserved, single
        Observations left out before the fit.
    references_large_error, references_unusual_color, references_without_color
        Reference magnitudes of observed stars left out before the fit.
    outlying, outlying_references
        Without weight in the end, though their stars count as constant: observations, and
        magnitudes of the catalogue.
    """

    not_finite: int
    large_error: int
    duplicate: int
    reserved: int
    single: int
    references_large_error: int = 0
    references_unusual_color: int = 0
    references_without_color: int = 0
    outlying: int = 0
    outlying_references: int = 0


def build_rows(
    observations: Observations,
    visits: Visits,
    detectors: Detectors,
    stars: Stars,
    config: FgcmConfig,
    wavelength_nm: Floats | None = None,
) -> tuple[Rows, Rejected]:
    """Clean and sort the observations, and append the reference magnitudes.

    Stars of a single observation and without reference magnitude say nothing, and are left out.

    Parameters
    ----------
    observations, visits, detectors, stars
        The tables.
    config
        Largest errors, and what is expected of the references.
    wavelength_nm
        Effective wavelengths of the bands, (B,); they tell which colour of the catalogue is wide.
        If not given, bands follow each other at equal distances.
    """
    o = observations
    kept, rejected = _kept(o, stars, config.noise.max_error_mag)
    table = _Unsorted.of(o, kept, visits, detectors)
    if wavelength_nm is None:
        wavelength_nm = np.arange(len(visits.bands), dtype=np.float64)
    seen = np.zeros((len(stars), len(visits.bands)), np.bool_)
    seen[table.star, table.band] = True
    n_groups = len(visits) * len(detectors)
    found = reference_rows(stars, seen, wavelength_nm, config) if config.reference.use else None
    if found is not None:
        table = table.with_references(found, n_groups)
        rejected = replace(
            rejected,
            references_large_error=found.n_large_error,
            references_unusual_color=found.n_unusual_color,
            references_without_color=found.n_without_color,
        )
    rows, n_single = table.sorted(n_groups, _sky_order(stars, detectors))
    return rows, replace(rejected, single=n_single)


def distinct(observations: Observations) -> tuple[NDArray[np.intp], int, int]:
    """Return the observations that say something, and how many do not.

    A star may be seen once a visit: of duplicates the one of smallest error counts.

    Returns
    -------
    rows : ndarray
        By star and visit.
    n_not_finite, n_duplicate : int
        Observations without magnitude, error or place, and those that another one supersedes.
    """
    o = observations
    finite = np.isfinite(o.mag) & np.isfinite(o.mag_err) & np.isfinite(o.u) & np.isfinite(o.v)
    rows = np.flatnonzero(finite & (o.mag_err > 0))
    rows = rows[np.lexsort((o.mag[rows], o.mag_err[rows], o.visit[rows], o.star[rows]))]
    star, visit = o.star[rows], o.visit[rows]
    first = np.ones(rows.size, np.bool_)
    first[1:] = (star[1:] != star[:-1]) | (visit[1:] != visit[:-1])
    return rows[first], len(o) - rows.size, int((~first).sum())


def _kept(o: Observations, stars: Stars, max_error_mag: float) -> tuple[NDArray[np.intp], Rejected]:
    """Return the observations of the fit by star and visit, and the counts of the others."""
    rows, n_not_finite, n_duplicate = distinct(o)
    precise = o.mag_err[rows] <= max_error_mag
    reserved = stars.reserved[o.star[rows]]
    counts = n_not_finite, int((~precise).sum()), n_duplicate, int((precise & reserved).sum())
    return rows[precise & ~reserved], Rejected(*counts, single=0)


@dataclass
class _Unsorted:
    star: Int32
    band: Int32
    group: Int32
    mag: Floats
    err: Floats
    u: Float32
    v: Float32
    regions: Regions = NO_REGIONS

    @classmethod
    def of(
        cls, o: Observations, kept: NDArray[np.intp], visits: Visits, detectors: Detectors
    ) -> _Unsorted:
        """Return some of the observations, with the indices that the fit uses."""
        visit = o.visit[kept]
        return cls(
            o.star[kept],
            visits.band[visit].astype(np.int32),
            (visit * len(detectors) + o.detector[kept]).astype(np.int32),
            o.mag[kept],
            o.mag_err[kept].astype(np.float64),
            o.u[kept],
            o.v[kept],
        )

    def with_references(self, found: ReferenceRows, n_groups: int) -> _Unsorted:
        """Append a row for each reference magnitude.

        In the place of u stands the colour, on which the colour term acts.
        """
        return _Unsorted(
            np.concatenate([self.star, found.star]),
            np.concatenate([self.band, found.band]),
            np.concatenate([self.group, (n_groups + found.region).astype(np.int32)]),
            np.concatenate([self.mag, found.mag]),
            np.concatenate([self.err, found.err]),
            np.concatenate([self.u, found.color.astype(np.float32)]),
            np.concatenate([self.v, np.zeros(found.star.size, np.float32)]),
            found.regions,
        )

    def sorted(self, n_groups: int, rank: NDArray[np.intp]) -> tuple[Rows, int]:
        """Return the rows of pairs of two and more, and how many single rows were left out.

        Pairs of a band follow each other in the order of `rank` of their stars.
        """
        n_stars = rank.size
        star_of_rank = np.empty(n_stars, np.int32)
        star_of_rank[rank] = np.arange(n_stars)
        key = self.band.astype(np.int64) * n_stars + rank[self.star]
        order = np.argsort(key, kind="stable")
        key = key[order]
        begin = np.flatnonzero(np.concatenate([[True], np.diff(key) > 0])[: key.size])
        count = np.diff(np.append(begin, key.size))
        several = np.repeat(count >= 2, count)
        order, begin, count = order[several], begin[count >= 2], count[count >= 2]
        pair_key = key[begin]
        rows = Rows(
            self.group[order],
            self.mag[order],
            self.err[order],
            self.u[order],
            self.v[order],
            np.concatenate([[0], np.cumsum(count)]).astype(np.int64),
            star_of_rank[pair_key % n_stars],
            (pair_key // n_stars).astype(np.int32),
            np.repeat(np.arange(count.size), count).astype(np.int32),
            n_groups,
            self.regions,
        )
        return rows, int((~several).sum())


def _sky_order(stars: Stars, detectors: Detectors) -> NDArray[np.intp]:
    """Return the rank of each star along strips of the sky, half a detector high.

    Neighbours are seen by the same detectors of the same visits: taken one after another, they
    touch the same parts of the normal matrix, which then stay in the cache.
    """
    side = float(np.sqrt(np.abs(np.linalg.det(detectors.matrix)).mean()))
    order = np.lexsort((stars.id, stars.ra, np.floor(stars.dec / max(side, 1e-6))))
    rank = np.empty(order.size, np.intp)
    rank[order] = np.arange(order.size)
    return rank
