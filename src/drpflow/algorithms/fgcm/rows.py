"""The observations as the fit wants them: clean, sorted by star and band, with references."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.fgcm.layout import NO_REGIONS, Regions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.config.fgcm import FgcmConfig, ReferenceConfig
    from drpflow.data.photometric_tables import Detectors, Observations, Stars, Visits

    Floats: TypeAlias = NDArray[np.float64]
    Float32: TypeAlias = NDArray[np.float32]
    Int32: TypeAlias = NDArray[np.int32]
    Bools: TypeAlias = NDArray[np.bool_]


# Each costs a parameter of the dense fit.
_MAX_REGIONS = 400


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
    """Observations that are not used, by reason.

    Parameters
    ----------
    not_finite, large_error, duplicate, reserved, single
        Left out before the fit.
    outlying, outlying_references
        Without weight in the end, though their stars count as constant: observations, and
        magnitudes of the catalogue.
    """

    not_finite: int
    large_error: int
    duplicate: int
    reserved: int
    single: int
    outlying: int = 0
    outlying_references: int = 0


def build_rows(
    observations: Observations,
    visits: Visits,
    detectors: Detectors,
    stars: Stars,
    config: FgcmConfig,
) -> tuple[Rows, Rejected]:
    """Clean and sort the observations, and append the reference magnitudes.

    A star may be seen once a visit: of duplicates the one of smallest error counts. Stars of a
    single observation and without reference magnitude say nothing, and are left out.
    """
    o = observations
    finite = np.isfinite(o.mag) & np.isfinite(o.mag_err) & np.isfinite(o.u) & np.isfinite(o.v)
    finite &= o.mag_err > 0
    precise = finite & (o.mag_err <= config.noise.max_error_mag)
    kept = np.flatnonzero(precise & ~stars.reserved[o.star])
    order = np.lexsort((o.mag_err[kept], o.visit[kept], o.star[kept]))
    kept = kept[order]
    same = (o.star[kept][1:] == o.star[kept][:-1]) & (o.visit[kept][1:] == o.visit[kept][:-1])
    unique = np.concatenate([[True], ~same])[: kept.size]
    n_duplicates = int(kept.size - unique.sum())
    kept = kept[unique]
    table = _Unsorted.of(o, kept, visits, detectors)
    if config.reference.use:
        table = table.with_references(stars, visits, detectors, config)
    rows, n_single = table.sorted(len(visits) * len(detectors), _sky_order(stars, detectors))
    rejected = Rejected(
        int((~finite).sum()),
        int((finite & ~precise).sum()),
        n_duplicates,
        int((precise & stars.reserved[o.star]).sum()),
        n_single,
    )
    return rows, rejected


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

    def with_references(
        self, stars: Stars, visits: Visits, detectors: Detectors, config: FgcmConfig
    ) -> _Unsorted:
        """Append a row for each usable reference magnitude of a star that was observed.

        In the place of u stands the colour, on which the colour term acts.
        """
        if stars.reference_mag is None or stars.reference_err is None:
            return self
        seen = np.zeros((len(stars), len(visits.bands)), np.bool_)
        seen[self.star, self.band] = True
        mag, err = stars.reference_mag, stars.reference_err
        color, usual = _reference_color(mag, config.reference)
        usable = np.isfinite(mag) & ~(err > config.reference.max_error_mag) & seen & usual[:, None]
        star, band = (a.astype(np.int32) for a in np.nonzero(usable))
        region, regions = _regions(stars, star, band, config)
        group = len(visits) * len(detectors) + region
        return _Unsorted(
            np.concatenate([self.star, star]),
            np.concatenate([self.band, band]),
            np.concatenate([self.group, group.astype(np.int32)]),
            np.concatenate([self.mag, mag[usable]]),
            np.concatenate([self.err, _reference_errors(err, usable)]),
            np.concatenate([self.u, color[star].astype(np.float32)]),
            np.concatenate([self.v, np.zeros(star.size, np.float32)]),
            regions,
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


def _reference_errors(err: Floats, usable: Bools) -> Floats:
    """Return the errors of the usable reference magnitudes, (n,).

    One that is unknown, or not positive, is the median of the known ones of its band: none is
    perfect. Where none is known they are zero, and the scatter that is found is the whole.
    """
    known = usable & (err > 0)
    out = np.where(known, err, 0.0)
    for band in range(err.shape[1]):
        if known[:, band].any():
            out[~known[:, band], band] = np.median(err[known[:, band], band])
    return np.asarray(out[usable], np.float64)


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


def _regions(
    stars: Stars, star: Int32, band: Int32, config: FgcmConfig
) -> tuple[NDArray[np.intp], Regions]:
    """Return the region of each reference magnitude, (n,), and the regions.

    Regions are cells of a grid in declination and right ascension, each band its own; wide ones
    are twice the size. Over a sky so wide that there would be more than `_MAX_REGIONS`, both are
    larger.
    """
    size_deg = config.reference.systematic_deg / 2
    if star.size == 0:
        return np.zeros(0, np.intp), NO_REGIONS
    while True:
        wide, part = _cell(stars, star, 2 * size_deg), _cell(stars, star, size_deg)
        cells = np.stack([band.astype(float), *wide, *part], axis=1)
        found, region = np.unique(cells, axis=0, return_inverse=True)
        if len(found) <= _MAX_REGIONS:
            parent = np.unique(found[:, :3], axis=0, return_inverse=True)[1].ravel()
            return region.ravel(), Regions(found[:, 0].astype(np.int32), parent.astype(np.int32))
        size_deg *= 2


def _cell(stars: Stars, star: Int32, size_deg: float) -> tuple[Floats, Floats]:
    """Return the strip in declination, and the place in it, of each star.

    Stars of unknown position share a cell; NaN, which equals nothing, would make one of each.
    """
    ra, dec_deg = np.nan_to_num(stars.ra[star]), np.nan_to_num(stars.dec[star])
    dec = np.floor(dec_deg / size_deg)
    width = size_deg / np.cos(np.deg2rad(np.clip((dec + 0.5) * size_deg, -89.5, 89.5)))
    return dec, np.floor(ra / width)


def _reference_color(mag: Floats, config: ReferenceConfig) -> tuple[Floats, Bools]:
    """Return the widest colour of the catalogue less the pivot, and which stars are usual.

    Colour 0 for all where the catalogue has one band.
    """
    complete = np.flatnonzero(np.isfinite(mag).any(axis=0))
    if complete.size < 2:
        return np.zeros(len(mag)), np.ones(len(mag), np.bool_)
    color = mag[:, complete[0]] - mag[:, complete[-1]]
    known = np.isfinite(color)
    if not known.any():
        return np.zeros(len(mag)), np.ones(len(mag), np.bool_)
    low, high = np.percentile(color[known], config.color_percentile)
    with np.errstate(invalid="ignore"):
        usual = (color >= low) & (color <= high)
    return np.where(known, color - config.color_pivot_mag, 0.0), usual
