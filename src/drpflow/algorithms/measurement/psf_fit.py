"""Positions and fluxes by the PSF model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.kernels.moments import stack_moments
from drpflow.kernels.psf_flux import (
    fit_positions,
    psf_fluxes,
    shift_images,
    shift_responses,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.config.measurement import CentroidConfig, MeasurementConfig
    from drpflow.data.psf import Psf
    from drpflow.kernels.stamps import Scene

    Columns = dict[str, NDArray[Any]]
    Float64 = NDArray[np.float64]
    Int64 = NDArray[np.int64]

# Sources at a time: 256 images of 41 × 41 pixels take 3.4 MB.
_CHUNK = 256
_SHORTEST_SHIFT_PIX = 2.0
_SIGMA_GRID = 3


@dataclass(eq=False)
class _Placed:
    """PSF images of some sources, and where the sources are now."""

    rows: Int64
    x: Float64
    y: Float64
    images: Float64
    x0: Int64
    y0: Int64

    def place(self, psf: Psf, members: Int64) -> None:
        """Make the images of some members again, at their positions."""
        if members.size:
            images, x0, y0 = psf.compute_images(self.x[members], self.y[members])
            self.images[members], self.x0[members], self.y0[members] = images, x0, y0


def typical_sigma(psf: Psf, shape: tuple[int, int]) -> float:
    """Return the median of the PSF's determinant radius over a detector, pixels.

    A quarter of the size of the PSF's images where the model has no moments.
    """
    ny, nx = shape
    part = (np.arange(_SIGMA_GRID) + 0.5) / _SIGMA_GRID
    x, y = np.meshgrid(part * nx - 0.5, part * ny - 0.5)
    sigma = psf.compute_sigma(x.ravel(), y.ravel())
    finite = sigma[np.isfinite(sigma)]
    return float(np.median(finite)) if finite.size else psf.half_size_pix / 4


def psf_columns(
    scene: Scene,
    start: tuple[Float64, Float64],
    start_covariance: Float64,
    psf: Psf,
    sigma_pix: float,
    config: MeasurementConfig,
    *,
    free: bool = True,
) -> tuple[Columns, Float64]:
    """Fit position and flux of all sources of a scene.

    Parameters
    ----------
    scene
        Rows are the sources.
    start
        x and y to start from, pixels, each of shape (n,). A failed fit falls back to them.
    start_covariance
        Variances of these, and their covariance, shape (n, 3); NaN where they are no measurement,
        so that the centroid fails with the fit.
    psf
        The PSF model.
    sigma_pix
        Its typical sigma.
    config
        Limits.
    free
        Whether positions are fitted; if not, `start` is where fluxes are measured.

    Returns
    -------
    columns
        Of the star table: centroid, PSF flux (less what it gains from the fit of the position),
        moments of the PSF. Errors of positions are those of point sources.
    response
        How much each source answers to a shift of the PSF model, over what a point source of its
        PSF flux does; below 1 for extended ones, NaN where the fit failed. Shape (n,).
    """
    parts = []
    for first in range(0, start[0].size, _CHUNK):
        chunk = slice(first, first + _CHUNK)
        x, y = start[0][chunk].copy(), start[1][chunk].copy()
        rows = np.arange(first, first + x.size)
        placed = _Placed(rows, x, y, *psf.compute_images(x, y))
        moments = _psf_moments(placed, sigma_pix)
        covariance = start_covariance[chunk].copy()
        lost = np.zeros(x.size, bool)
        if free:
            lost = _fit(scene, placed, covariance, psf, sigma_pix, config.centroid)
        failed = lost & np.isnan(covariance[:, 0])
        fluxes, pixels, responses = _fluxes(scene, placed, covariance, free & ~lost)
        responses[lost] = np.nan
        parts.append((placed.x, placed.y, covariance, failed, moments, fluxes, pixels, responses))
    if not parts:
        parts = [(np.zeros(0),) * 2 + (np.zeros((0, 3)), np.zeros(0, bool)) + _no_fluxes()]
    *columns, responses = (np.concatenate(column) for column in zip(*parts, strict=True))
    found = _columns(config, *columns)
    with np.errstate(divide="ignore", invalid="ignore"):
        return found, responses[:, 0] / (responses[:, 1] * found["psfFlux_instFlux"])


def _fit(
    scene: Scene,
    placed: _Placed,
    covariance: Float64,
    psf: Psf,
    sigma_pix: float,
    config: CentroidConfig,
) -> NDArray[np.bool_]:
    """Iterate the positions of a chunk; return which failed and are where they started."""
    x, y, fallback = placed.x.copy(), placed.y.copy(), covariance.copy()
    reach = max(_SHORTEST_SHIFT_PIX, config.max_shift_sigma * sigma_pix)
    failed = np.zeros(placed.x.size, bool)
    active = np.arange(placed.x.size)
    for _ in range(config.max_steps):
        found = np.empty((active.size, 6))
        fit_positions(
            scene,
            placed.rows[active],
            placed.images[active],
            placed.x0[active],
            placed.y0[active],
            placed.x[active],
            placed.y[active],
            config.radius_sigma * sigma_pix,
            found,
        )
        length = np.hypot(found[:, 0], found[:, 1])
        step = found[:, :2] * np.minimum(1, config.longest_step_pix / (length + 1e-9))[:, None]
        placed.x[active] += step[:, 0]
        placed.y[active] += step[:, 1]
        covariance[active] = found[:, 3:]
        moved = np.hypot(placed.x[active] - x[active], placed.y[active] - y[active])
        lost = ~(moved <= reach)
        failed[active[lost]] = True
        done = ~lost & (length <= config.tolerance_pix)
        _follow(placed, active[done], step[done])
        active = active[~lost & ~done]
        if not active.size:
            break
        placed.place(psf, active)
    failed[active] = True
    back = np.flatnonzero(failed)
    placed.x[back], placed.y[back], covariance[back] = x[back], y[back], fallback[back]
    placed.place(psf, back)
    return failed


def _follow(placed: _Placed, members: Int64, step: Float64) -> None:
    """Move images by the last, short step, without evaluating the model again."""
    if members.size:
        images = placed.images[members]
        shift_images(images, step[:, 0].copy(), step[:, 1].copy())
        placed.images[members] = images


def _psf_moments(placed: _Placed, sigma_pix: float) -> Float64:
    found = np.empty((placed.x.size, 5))
    x, y = placed.x - placed.x0, placed.y - placed.y0
    stack_moments(placed.images, x, y, sigma_pix, found)
    return found[:, 2:]


def _fluxes(
    scene: Scene, placed: _Placed, covariance: Float64, fitted: NDArray[np.bool_]
) -> tuple[Float64, NDArray[np.int32], Float64]:
    """Measure PSF fluxes, less what those at fitted positions gain by the fit."""
    found, pixels = np.empty((placed.x.size, 5)), np.empty(placed.x.size, np.int32)
    responses = np.empty((placed.x.size, 2))
    where = placed.rows, placed.images, placed.x0, placed.y0
    psf_fluxes(scene, *where, found, pixels)
    shift_responses(scene, *where, responses)
    found[fitted, 0] -= _gain_of_fit(found, responses, covariance)[fitted]
    return found, pixels, responses


def _gain_of_fit(fluxes: Float64, responses: Float64, covariance: Float64) -> Float64:
    """Return what PSF fluxes gain because the same noise has chosen their positions.

    A position that maximises Σ φ I / Σ φ² finds f + ½ tr(K C) f on average, with C the covariance
    of the position and K = -Σ φ ∂∂φ / Σ φ²: for a Gaussian f (1 + 1/ν²), 1 % at S/N 10. K is
    taken as round.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        trace = responses[:, 1] * fluxes[:, 3] / fluxes[:, 4]
        gain = 0.25 * fluxes[:, 0] * trace * (covariance[:, 0] + covariance[:, 1])
    # A fit whose errors are as large as this says little of the flux either way.
    return np.where(np.isfinite(gain), np.minimum(gain, 0.1 * np.abs(fluxes[:, 0])), 0.0)


def _no_fluxes() -> tuple[Float64, Float64, NDArray[np.int32], Float64]:
    return np.zeros((0, 3)), np.zeros((0, 5)), np.zeros(0, np.int32), np.zeros((0, 2))


def _columns(
    config: MeasurementConfig,
    x: Float64,
    y: Float64,
    covariance: Float64,
    failed: NDArray[np.bool_],
    moments: Float64,
    fluxes: Float64,
    pixels: NDArray[np.int32],
) -> Columns:
    """Name what was found."""
    single = np.float32
    return {
        "x": x,
        "y": y,
        "xErr": np.sqrt(covariance[:, 0]).astype(single),
        "yErr": np.sqrt(covariance[:, 1]).astype(single),
        "x_y_Cov": covariance[:, 2].astype(single),
        "centroid_flag": failed,
        "psfFlux_instFlux": fluxes[:, 0].copy(),
        "psfFlux_instFluxErr": np.sqrt(fluxes[:, 1]),
        "psfFlux_flag": failed | ~(fluxes[:, 4] >= config.min_psf_share),
        "psfFlux_chi2": fluxes[:, 2].astype(single),
        "psfFlux_npix": pixels,
        "psfFlux_area": fluxes[:, 3].astype(single),
        "ixxPSF": moments[:, 0].copy(),
        "iyyPSF": moments[:, 1].copy(),
        "ixyPSF": moments[:, 2].copy(),
    }
