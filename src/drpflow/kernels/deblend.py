"""Templates of sources in blends, and the division of light in their ratio.

Blends share no pixel. A label image says which blend a pixel belongs to, so that a source sees
its own blend only, and one call treats thousands of small blends, or a single one with thousands
of sources, in a time that grows with the number of sources alone.

A *stamp* is a small image with the column and row of its first pixel; it may reach beyond the
image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float32 = NDArray[np.float32]
    Float64 = NDArray[np.float64]
    Int32 = NDArray[np.int32]
    Int64 = NDArray[np.int64]
    Bool = NDArray[np.bool_]

# A template is flat where it falls less than this while the distance doubles, far below the peak.
FLAT_RATIO = 0.8
FLAT_HEIGHT = 0.2
# A weight that changes by less than this, in its own standard deviations, does not change.
SETTLED_SIGMA = 0.02


@njit(cache=True, nogil=True)
def _smooth_value(image: Float32, bad: Bool, labels: Int32, label: int, y: int, x: int) -> float:
    """Return the mean of the usable pixels of the blend in the 3 × 3 about a pixel, else NaN."""
    ny, nx = image.shape
    if not (0 <= y < ny and 0 <= x < nx) or labels[y, x] != label:
        return np.nan
    total = 0.0
    count = 0
    for v in range(max(y - 1, 0), min(y + 2, ny)):
        for u in range(max(x - 1, 0), min(x + 2, nx)):
            if labels[v, u] == label and not bad[v, u]:
                total += image[v, u]
                count += 1
    return total / count if count else np.nan


@njit(cache=True, nogil=True)
def _symmetric(
    image: Float32,
    variance: Float32,
    bad: Bool,
    labels: Int32,
    label: int,
    center: tuple[int, int],
    step: tuple[int, int],
    sharp: int,
) -> float:
    """Return the smaller of a pixel and its mirror image, of what differs beyond the noise."""
    y, x = center[0] + step[0], center[1] + step[1]
    v, u = center[0] - step[0], center[1] - step[1]
    ny, nx = image.shape
    if not (0 <= y < ny and 0 <= x < nx) or labels[y, x] != label:
        return 0.0
    outside = not (0 <= v < ny and 0 <= u < nx)
    if not outside and labels[v, u] != label:
        return 0.0
    near = max(abs(step[0]), abs(step[1])) <= sharp
    if near:
        here = np.nan if bad[y, x] else np.float64(image[y, x])
        there = np.nan if outside or bad[v, u] else np.float64(image[v, u])
    else:
        here = _smooth_value(image, bad, labels, label, y, x)
        there = np.nan if outside else _smooth_value(image, bad, labels, label, v, u)
    if np.isnan(here) or np.isnan(there):
        # A pixel without a usable mirror image stands for both.
        one = there if np.isnan(here) else here
        return 0.0 if np.isnan(one) else max(one, 0.0)
    noise = variance[y, x] + (0.0 if outside else variance[v, u])
    scatter = np.sqrt(noise) if near else np.sqrt(noise) / 3
    mean = 0.5 * (here + there)
    return max(mean - 0.5 * max(abs(here - there) - 1.5 * scatter, 0.0), 0.0)


@njit(cache=True, nogil=True)
def _inside(template: Float32, ring: int, i: int, j: int) -> float:
    """Return the template where the line from a pixel to the centre crosses the next ring."""
    most = template.shape[0] // 2
    a, b = i * (ring - 1) / ring, j * (ring - 1) / ring
    i0, j0 = int(np.floor(a)), int(np.floor(b))
    p, q = a - i0, b - j0
    y0, x0 = most + i0, most + j0
    y1, x1 = (y0 + 1 if p > 0 else y0), (x0 + 1 if q > 0 else x0)
    below = (1 - q) * template[y0, x0] + q * template[y0, x1]
    above = (1 - q) * template[y1, x0] + q * template[y1, x1]
    return (1 - p) * below + p * above


@njit(cache=True, nogil=True)
def symmetric_template(
    image: Float32,
    variance: Float32,
    bad: Bool,
    labels: Int32,
    label: int,
    center: tuple[int, int],
    sharp: int,
    compact: int,
    template: Float32,
) -> int:
    """Make the template of an extended source: symmetric about its peak, falling outwards.

    T = (a + b)/2 - max(|a - b| - 1.5 σ, 0)/2 of the pixel a and its mirror image b, the smaller
    of both where they differ by more than the noise σ of the difference, and their mean where
    they do not. Ring by ring outwards T may not exceed what lies between it and the centre.

    Parameters
    ----------
    image, variance, bad, labels
        What is there of the source and other extended ones.
    label, center
        The blend; row and column of the peak.
    sharp : int
        Beyond this distance, pixels, means of 3 × 3 pixels are taken.
    compact : int
        Beyond this distance, pixels, light that does not fall any more belongs to the blend as a
        whole, as in a field of unresolved stars, and ends the template.
    template : ndarray, shape (2 R + 1, 2 R + 1), float32
        Written to as far as the template reaches.

    Returns
    -------
    int
        Half size of the template: it stands in the middle of `template`; -1 if it is empty.
    """
    most = template.shape[0] // 2
    peak = _symmetric(image, variance, bad, labels, label, center, (0, 0), sharp)
    template[most, most] = np.float32(peak)
    if not template[most, most] > 0:
        # The peak itself has no usable pixel: its neighbours say how high it may be.
        template[most, most] = np.float32(_smooth_value(image, bad, labels, label, *center))
        if not template[most, most] > 0:
            return -1
    profile = np.empty(most + 1, np.float32)
    profile[0] = center_value = template[most, most]
    for ring in range(1, most + 1):
        largest = np.float32(0)
        for i in range(-ring, ring + 1):
            stride = 1 if abs(i) == ring else 2 * ring
            for j in range(-ring, ring + 1, stride):
                value = _symmetric(image, variance, bad, labels, label, center, (i, j), sharp)
                value = min(value, _inside(template, ring, i, j))
                template[most + i, most + j] = np.float32(value)
                largest = max(largest, np.float32(value))
        profile[ring] = largest
        flat = largest > FLAT_RATIO * profile[ring // 2] and largest < FLAT_HEIGHT * center_value
        if not largest > 0 or (ring > compact and flat):
            return ring - 1
    return most


@njit(cache=True, nogil=True)
def fit_weights(
    residual: Float32,
    variance: Float32,
    bad: Bool,
    labels: Int32,
    owner: Int32,
    values: Float32,
    first: Int64,
    boxes: Int64,
    weights: Float64,
    sweeps: int,
) -> None:
    """Fit the weights of templates, not negative, to an image by least squares.

    Parameters
    ----------
    residual : ndarray, shape (ny, nx), float32
        Image less all weighted templates; updated.
    variance, bad, labels, owner
        See :func:`drpflow.kernels.deblend_points.fit_points`.
    values : ndarray, float32
        Pixels of all templates.
    first : ndarray, shape (K,), int64
        First pixel of each.
    boxes : ndarray, shape (K, 4), int64
        Their boxes x0, x1, y0, y1.
    weights : ndarray, shape (K,), float64
        Updated.
    sweeps : int
        How often all are visited.
    """
    ny, nx = residual.shape
    for _ in range(sweeps):
        for k in range(owner.size):
            x0, x1, y0, y1 = boxes[k]
            square = 0.0
            product = 0.0
            for y in range(max(y0, 0), min(y1, ny)):
                at = first[k] + (y - y0) * (x1 - x0) - x0
                for x in range(max(x0, 0), min(x1, nx)):
                    if labels[y, x] == owner[k] and not bad[y, x]:
                        value = np.float64(values[at + x])
                        square += value * value / variance[y, x]
                        product += value * residual[y, x] / variance[y, x]
            new = max(weights[k] + product / square, 0.0) if square > 0 else 0.0
            change = np.float32(new - weights[k])
            if change * change * square < SETTLED_SIGMA**2 and new > 0:
                continue
            weights[k] = new
            for y in range(max(y0, 0), min(y1, ny)):
                at = first[k] + (y - y0) * (x1 - x0) - x0
                for x in range(max(x0, 0), min(x1, nx)):
                    if labels[y, x] == owner[k]:
                        residual[y, x] -= change * values[at + x]


@njit(cache=True, nogil=True)
def add_templates(
    image: Float32,
    floor: Float32,
    labels: Int32,
    owner: Int32,
    values: Float32,
    first: Int64,
    boxes: Int64,
    weights: Float64,
    largest: bool,
) -> None:
    """Collect the templates at each pixel: the largest, or the sum of those above a floor.

    Parameters
    ----------
    image : ndarray, shape (ny, nx), float32
        Changed in place.
    floor : ndarray, shape (ny, nx), float32
        Least value that counts in a sum.
    labels, owner, values, first, boxes, weights
        See :func:`fit_weights`.
    largest : bool
        Which of both.
    """
    ny, nx = image.shape
    for k in range(owner.size):
        x0, x1, y0, y1 = boxes[k]
        weight = np.float32(weights[k])
        for y in range(max(y0, 0), min(y1, ny)):
            at = first[k] + (y - y0) * (x1 - x0) - x0
            for x in range(max(x0, 0), min(x1, nx)):
                value = weight * values[at + x]
                if labels[y, x] != owner[k] or not value > 0:
                    continue
                if largest:
                    image[y, x] = max(image[y, x], value)
                elif value >= floor[y, x]:
                    image[y, x] += value


@njit(cache=True, nogil=True)
def apportion(
    image: Float32,
    total: Float32,
    floor: Float32,
    labels: Int32,
    owner: Int32,
    values: Float32,
    first: Int64,
    boxes: Int64,
    weights: Float64,
    counts: Int64,
    rows: Int32,
    columns: Int32,
    shares: Float32,
) -> tuple[Float64, Float64]:
    """Divide the light of each pixel in the ratio of the templates.

    Parameters
    ----------
    image : ndarray, shape (ny, nx), float32
        The light.
    total, floor : ndarray, shape (ny, nx), float32
        Sum of the templates, and the least value of one that gets a share.
    labels, owner, values, first, boxes, weights
        See :func:`fit_weights`.
    counts : ndarray, shape (K,), int64
        Written to: the number of pixels of each source.
    rows, columns, shares : ndarray, int32, int32 and float32
        Written to: the pixels of one source after the other. With arrays of length 0 only
        `counts` is made.

    Returns
    -------
    own, all : ndarray, shape (K,), float64
        Sums of the source's light and of all light under its template, weighted with it.
    """
    ny, nx = image.shape
    own, everything = np.zeros(owner.size), np.zeros(owner.size)
    position = 0
    for k in range(owner.size):
        x0, x1, y0, y1 = boxes[k]
        weight = np.float32(weights[k])
        start = position
        for y in range(max(y0, 0), min(y1, ny)):
            at = first[k] + (y - y0) * (x1 - x0) - x0
            for x in range(max(x0, 0), min(x1, nx)):
                value = weight * values[at + x]
                if labels[y, x] != owner[k] or not value > 0 or value < floor[y, x]:
                    continue
                if shares.size:
                    light = np.float64(image[y, x]) * value / total[y, x]
                    rows[position] = y
                    columns[position] = x
                    shares[position] = np.float32(light)
                    own[k] += value * light
                    everything[k] += value * image[y, x]
                position += 1
        counts[k] = position - start
    return own, everything


@njit(cache=True, nogil=True)
def nearest_source(
    rows: Int32,
    columns: Int32,
    label: Int32,
    first: Int64,
    xc: Float64,
    yc: Float64,
    nearest: Int64,
) -> None:
    """Find the nearest source for pixels that no template reaches.

    Parameters
    ----------
    rows, columns : ndarray, shape (N,), int32
        The pixels.
    label : ndarray, shape (N,), int32
        Number of each pixel's blend.
    first : ndarray, shape (n_blends + 1,), int64
        First source of each blend.
    xc, yc : ndarray, shape (K,), float64
        The sources, sorted by y in each blend: the search goes up and down from the pixel's row
        until rows are further away than the nearest source so far.
    nearest : ndarray, shape (N,), int64
        Written to: number of a source, -1 if the blend has none.
    """
    for i in range(rows.size):
        nearest[i] = -1
        least = np.inf
        start, end = first[label[i]], first[label[i] + 1]
        up = start + np.searchsorted(yc[start:end], np.float64(rows[i]))
        down = up - 1
        while up < end or down >= start:
            if up < end:
                distance = (xc[up] - columns[i]) ** 2 + (yc[up] - rows[i]) ** 2
                if distance < least:
                    least, nearest[i] = distance, up
                up = up + 1 if (yc[up] - rows[i]) ** 2 < least else end
            if down >= start:
                distance = (xc[down] - columns[i]) ** 2 + (yc[down] - rows[i]) ** 2
                if distance < least:
                    least, nearest[i] = distance, down
                down = down - 1 if (yc[down] - rows[i]) ** 2 < least else start - 1
