"""Adaptive second moments of well-sampled images.

The moments of an image I are those of the elliptical Gaussian weight w that reproduces itself:

    M = 2 · Σ w I d dᵀ / Σ w I,    w = exp(-½ dᵀ M⁻¹ d),    d = position - centre,

with the centre chosen so that Σ w I d = 0 (Bernstein & Jarvis 2002, AJ 123, 583; Hirata & Seljak
2003, MNRAS 343, 459). For a Gaussian they are its covariance matrix; noise and wings at large
radius do not enter, unlike for unweighted moments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats: TypeAlias = NDArray[np.float64]

_MAX_ITERATIONS = 200
# From here on the slower update that cannot overshoot is used.
_CAUTIOUS_FROM = 30
_TOLERANCE = 1e-9


class Moments(NamedTuple):
    """Second moments of an image, square pixels; scalars or arrays of one shape."""

    xx: Any
    yy: Any
    xy: Any

    @property
    def determinant_radius(self) -> Any:
        """(xx yy - xy²)^¼, pixels: the sigma of a round Gaussian of the same area."""
        return np.sqrt(np.sqrt(np.maximum(self.xx * self.yy - self.xy**2, 0)))

    @property
    def trace_radius(self) -> Any:
        """√((xx + yy)/2), pixels."""
        return np.sqrt((self.xx + self.yy) / 2)

    @property
    def e1(self) -> Any:
        """Distortion (xx - yy)/(xx + yy)."""
        return (self.xx - self.yy) / (self.xx + self.yy)

    @property
    def e2(self) -> Any:
        """Distortion 2 xy/(xx + yy)."""
        return 2 * self.xy / (self.xx + self.yy)


def adaptive_moments(images: ArrayLike) -> tuple[Moments, Floats, Floats]:
    """Measure one image or a stack.

    Parameters
    ----------
    images
        Shape (..., ny, nx), sky subtracted; the source is near the central pixel.

    Returns
    -------
    moments, x, y
        Each of shape (...); x and y are the centroid relative to the central point of the array,
        pixels. All are NaN where the iteration does not converge.

    Notes
    -----
    With C = Σ w I d dᵀ / Σ w I the step is M⁻¹ ← C⁻¹ - M⁻¹, which is the answer at once for a
    Gaussian, and M ← 2 C where that matrix is not positive or after 30 steps. Cost: about ten
    exponentials per pixel for a PSF.
    """
    images = np.asarray(images, np.float64)
    leading, (ny, nx) = images.shape[:-2], images.shape[-2:]
    stack = images.reshape(-1, ny, nx)
    grid_x = np.arange(nx) - (nx - 1) / 2
    grid_y = np.arange(ny) - (ny - 1) / 2
    # Columns: xx, yy, xy, x, y. The start is a round weight of a quarter of the array's size.
    state = np.zeros((len(stack), 5))
    state[:, :2] = (min(nx, ny) / 8) ** 2
    done = np.zeros(len(stack), bool)
    active = np.arange(len(stack))
    for iteration in range(_MAX_ITERATIONS):
        old = state[active]
        new = _step(stack[active], grid_x, grid_y, old, cautious=iteration >= _CAUTIOUS_FROM)
        state[active] = new
        scale = np.abs(new[:, 0]) + np.abs(new[:, 1])
        change = np.abs(new - old)
        settled = (change[:, :3] <= _TOLERANCE * scale[:, None]).all(axis=1)
        settled &= (change[:, 3:] <= _TOLERANCE * np.sqrt(scale)[:, None]).all(axis=1)
        done[active[settled]] = True
        active = active[~settled & np.isfinite(new).all(axis=1)]
        if not active.size:
            break
    state[~done] = np.nan
    xx, yy, xy, x, y = (column.reshape(leading)[()] for column in state.T)
    return Moments(xx, yy, xy), x, y


def _step(
    stack: Floats, grid_x: Floats, grid_y: Floats, state: Floats, *, cautious: bool
) -> Floats:
    """Return the next (xx, yy, xy, x, y) of each image, NaN where there is none."""
    xx, yy, xy, x, y = state.T
    determinant = xx * yy - xy * xy
    dx = grid_x[None, None, :] - x[:, None, None]
    dy = grid_y[None, :, None] - y[:, None, None]
    a, b, c = (
        term[:, None, None] for term in (yy / determinant, xx / determinant, xy / determinant)
    )
    weighted = stack * np.exp(-0.5 * (a * dx * dx + b * dy * dy) + c * dx * dy)
    total = weighted.sum(axis=(1, 2))
    total = np.where(total > 0, total, np.nan)
    columns, rows = weighted.sum(axis=1), weighted.sum(axis=2)
    dx, dy = dx[:, 0, :], dy[:, :, 0]
    mean_x, mean_y = (columns * dx).sum(axis=1) / total, (rows * dy).sum(axis=1) / total
    cxx = (columns * dx * dx).sum(axis=1) / total
    cyy = (rows * dy * dy).sum(axis=1) / total
    cxy = np.einsum("njk,nk,nj->n", weighted, dx, dy) / total
    new = _update(cxx, cyy, cxy, xx, yy, xy, cautious=cautious)
    # The weight halves the offset of a Gaussian that it matches.
    return np.stack([*new, x + 2 * mean_x, y + 2 * mean_y], axis=1)


def _update(
    cxx: Floats, cyy: Floats, cxy: Floats, xx: Floats, yy: Floats, xy: Floats, *, cautious: bool
) -> tuple[Floats, Floats, Floats]:
    """Return the next weight from the weighted moments C and the last weight M."""
    c_det, m_det = cxx * cyy - cxy * cxy, xx * yy - xy * xy
    c_det = np.where((c_det > 0) & (cxx > 0), c_det, np.nan)
    # Elements of C⁻¹ - M⁻¹.
    p, q, r = cyy / c_det - yy / m_det, cxx / c_det - xx / m_det, xy / m_det - cxy / c_det
    det = p * q - r * r
    usable = (det > 0) & (p > 0) & (not cautious)
    det = np.where(usable, det, 1.0)
    return (
        np.where(usable, q / det, 2 * cxx + 0 * c_det),
        np.where(usable, p / det, 2 * cyy + 0 * c_det),
        np.where(usable, -r / det, 2 * cxy + 0 * c_det),
    )
