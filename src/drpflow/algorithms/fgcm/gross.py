"""Gross outliers, told before the first solution by alternating medians.

Least squares have no defence against an observation that is magnitudes off, and the residuals of a
solution that it has spoilt do not tell it from its neighbours. Medians do: offsets z of the visits
and magnitudes M of the stars are found in turn,

    M_p = med_{i∈p} (m_i + z_i) ,   z_v = med_{i∈v} (M_p - m_i) ,

first an offset for each visit, then one for each detector of it. Colours of stars, star flats and
clouds inside a detector are left in the residuals: what is called gross is well beyond them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.fgcm.robust import Segments

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.fgcm.rows import Rows

    Floats: TypeAlias = NDArray[np.float64]
    Bools: TypeAlias = NDArray[np.bool_]
    Indices: TypeAlias = NDArray[np.intp]

# Alternations at most, and the change of the offsets [mag] at which they end earlier.
_MAX_ALTERNATIONS = 12
_SETTLED_MAG = 0.02
_DETECTOR_ALTERNATIONS = 2
# Fewer stars of a detector image do not tell its offset: that of the visit holds.
_MIN_STARS = 8
# A detector that differs more than this from its visit does so by no cloud worth calibrating.
_MAX_DETECTOR_MAG = 1.0
# What is gross: residuals beyond 5 σ, beyond 0.3 mag and five times the scatter of the image.
_GROSS_SIGMA = 5.0
_GROSS_MAG = 0.3
_SCATTERS = 5.0
# Scatter beside the known errors.
_FLOOR_MAG = 0.02
_SIGMA_OF_MAD = 1.4826


def gross_outliers(rows: Rows, n_visits: int, n_detectors: int, n_bands: int) -> Bools:
    """Return which rows are far from the others of their star, (N,).

    Of a star with two rows that disagree both are: nothing tells which is wrong.

    Parameters
    ----------
    rows
        The rows, those of references too.
    n_visits, n_detectors, n_bands
        To tell visits and bands. The references of a band count as one visit.
    """
    band = rows.band[rows.pair]
    visit = np.where(rows.is_reference, n_visits + band, rows.group // n_detectors)
    pairs = Segments(rows.pair, rows.n_pairs)
    visits = Segments(visit, n_visits + n_bands)
    offset = _settle(rows, pairs, visits, _start(rows, visits, n_visits, n_bands))
    group = np.where(rows.is_reference, rows.n_groups + band, rows.group)
    groups = Segments(group, rows.n_groups + n_bands)
    mean = offset[visit]
    own = mean
    for _ in range(_DETECTOR_ALTERNATIONS):
        mags = pairs.medians(rows.mag + own)[rows.pair]
        mean = visits.medians(mags - rows.mag)[visit]
        found = groups.medians(mags - rows.mag)[group]
        near = np.clip(found, mean - _MAX_DETECTOR_MAG, mean + _MAX_DETECTOR_MAG)
        own = np.where(groups.count[group] >= _MIN_STARS, near, mean)
    value = rows.mag + own
    residual = value - pairs.medians(value)[rows.pair]
    few = groups.count[group] < _MIN_STARS
    scatter = np.where(few, _scatter(visits, residual), _scatter(groups, residual))
    limit = _GROSS_MAG + _SCATTERS * _SIGMA_OF_MAD * scatter
    return np.abs(residual) > np.maximum(limit, _GROSS_SIGMA * np.hypot(rows.err, _FLOOR_MAG))


def _scatter(segments: Segments, residual: Floats) -> Floats:
    """Return the median deviation from the median of the segment of each row, (N,)."""
    label = segments.label
    middle = segments.medians(residual)[label]
    return segments.medians(np.abs(residual - middle))[label]


def _start(rows: Rows, visits: Segments, n_visits: int, n_bands: int) -> Floats:
    """Return offsets of visits against the references, or what is usual of their band.

    Zero in bands without references, where magnitudes are instrumental.
    """
    reference = np.full(rows.n_pairs, np.nan)
    reference[rows.pair[rows.is_reference]] = rows.mag[rows.is_reference]
    both = np.flatnonzero(np.isfinite(reference[rows.pair]) & ~rows.is_reference)
    difference = reference[rows.pair[both]] - rows.mag[both]
    tied = Segments(visits.label[both], n_visits + n_bands)
    offset = tied.medians(difference)
    band = np.zeros(n_visits + n_bands, np.int64)
    band[visits.label] = rows.band[rows.pair]
    usual = Segments(rows.band[rows.pair[both]], n_bands).medians(difference)
    offset = np.where(np.isfinite(offset), offset, usual[band])
    offset[n_visits:] = 0.0
    return np.nan_to_num(offset)


def _settle(rows: Rows, pairs: Segments, visits: Segments, offset: Floats) -> Floats:
    """Return the offsets of visits after alternations until they settle."""
    seen = visits.count > 0
    for _ in range(_MAX_ALTERNATIONS):
        mags = pairs.medians(rows.mag + offset[visits.label])
        new = np.where(seen, visits.medians(mags[rows.pair] - rows.mag), 0.0)
        change = np.abs(new - offset)[seen].max(initial=0.0)
        offset = new
        if change < _SETTLED_MAG:
            break
    return offset
