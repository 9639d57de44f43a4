"""Artifacts on the pixels of the detectors, from those on the tract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drpflow.data.warp_masks import WarpMask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drpflow.data.coadd_psf import CoaddPsfInput
    from drpflow.data.sky_wcs import SkyWcs

    Floats: TypeAlias = NDArray[np.float64]
    Ints: TypeAlias = NDArray[Any]

# Runs are mapped by their ends; over this length a detector's pixels are straight to 1e-3.
_LONGEST_PIX = 64


def with_detectors(mask: WarpMask, wcs: SkyWcs, inputs: Sequence[CoaddPsfInput]) -> WarpMask:
    """Return artifacts with their runs on detectors added.

    A detector's pixel belongs to an artifact if the place of a pixel of the artifact is less than
    one pixel from it on both axes, so that no pixel that entered one of the artifact's is missed.

    Parameters
    ----------
    mask
        Artifacts on the tract.
    wcs
        Of the tract.
    inputs
        The detectors of the visit.
    """
    runs = _cut(mask.artifact, mask.y, mask.x0, mask.x1)
    parts: list[tuple[Ints, ...]] = [(mask.detector, mask.artifact, mask.y, mask.x0, mask.x1)]
    if runs[0].size:
        ends = np.concatenate([runs[2], runs[3] - 1]), np.concatenate([runs[1], runs[1]])
        sky = wcs.pixel_to_world_values(ends[0].astype(float), ends[1].astype(float))
        for item in inputs:
            artifact, y, x0, x1 = _on_detector(item, runs, sky)
            parts.append((np.full(y.size, item.detector, np.int32), artifact, y, x0, x1))
    columns = [np.concatenate([part[k] for part in parts]) for k in range(5)]
    return WarpMask(mask.kind, mask.snr, *columns)


def _cut(artifact: Ints, y: Ints, x0: Ints, x1: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    """Return runs of at most `_LONGEST_PIX` pixels: artifact, row, first column, end."""
    pieces = np.maximum(1, -(-(x1 - x0) // _LONGEST_PIX)).astype(np.int64)
    first = np.repeat(np.cumsum(pieces) - pieces, pieces)
    start = np.repeat(x0, pieces) + (np.arange(pieces.sum()) - first) * _LONGEST_PIX
    end = np.minimum(start + _LONGEST_PIX, np.repeat(x1, pieces))
    return np.repeat(artifact, pieces), np.repeat(y, pieces), start, end


def _on_detector(
    item: CoaddPsfInput, runs: tuple[Ints, Ints, Ints, Ints], sky: tuple[Floats, Floats]
) -> tuple[Ints, Ints, Ints, Ints]:
    """Return artifacts, rows, first columns and ends of the runs on a detector."""
    artifact, _, start, end = runs
    x, y = (v.reshape(2, -1) for v in item.wcs.world_to_pixel_values(*sky))
    low, high = item.polygon.vertices.min(axis=0), item.polygon.vertices.max(axis=0)
    near = np.isfinite(x).all(axis=0) & np.isfinite(y).all(axis=0)
    near &= (x.max(axis=0) > low[0] - 1) & (x.min(axis=0) < high[0] + 1)
    near &= (y.max(axis=0) > low[1] - 1) & (y.min(axis=0) < high[1] + 1)
    x, y, artifact, length = x[:, near], y[:, near], artifact[near], (end - start)[near]
    run = np.repeat(np.arange(length.size), length)
    within = np.arange(run.size) - np.repeat(np.cumsum(length) - length, length)
    along = within / np.maximum(length - 1, 1)[run]
    px, py = (v[0][run] + along * (v[1] - v[0])[run] for v in (x, y))
    column, row = np.floor(px).astype(np.int64), np.floor(py).astype(np.int64)
    columns = np.concatenate([column, column + 1, column, column + 1])
    rows = np.concatenate([row, row, row + 1, row + 1])
    first, last = np.ceil(low).astype(np.int64), np.floor(high).astype(np.int64)
    inside = (columns >= first[0]) & (columns <= last[0]) & (rows >= first[1]) & (rows <= last[1])
    owner = np.tile(artifact[run], 4)[inside]
    return _runs(owner.astype(np.int64), rows[inside], columns[inside])


def _runs(owner: Ints, rows: Ints, columns: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    """Return runs of pixels that may be given several times and in any order."""
    pixels: NDArray[np.int64] = np.unique(np.column_stack([owner, rows, columns]), axis=0)
    if not len(pixels):
        return owner, rows, columns, columns
    same = (np.diff(pixels[:, :2], axis=0) == 0).all(axis=1) & (np.diff(pixels[:, 2]) == 1)
    begin = np.flatnonzero(np.concatenate([[True], ~same]))
    last = np.concatenate([begin[1:], [len(pixels)]]) - 1
    return pixels[begin, 0], pixels[begin, 1], pixels[begin, 2], pixels[last, 2] + 1
