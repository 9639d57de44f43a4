"""Measurement of all sources of a detector, each without the light of its neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.algorithms.measurement.fluxes import flux_columns, local_background_columns
from drpflow.algorithms.measurement.pixel_flags import pixel_flags
from drpflow.algorithms.measurement.position_errors import extended_position_errors
from drpflow.algorithms.measurement.psf_fit import psf_columns, typical_sigma
from drpflow.algorithms.measurement.shapes import shape_columns, weighted_kurtosis
from drpflow.algorithms.measurement.work_image import WorkImage, neighbour_free

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from drpflow.config.measurement import MeasurementConfig
    from drpflow.data.heavy_footprints import HeavyFootprints
    from drpflow.data.mask import Mask
    from drpflow.data.psf import Psf

    Columns = dict[str, NDArray[Any]]
    Float64 = NDArray[np.float64]
    Image = NDArray[np.float32]


def measure_sources(
    image: Image,
    variance: Image,
    mask: Mask,
    sources: HeavyFootprints,
    psf: Psf,
    config: MeasurementConfig,
    rng: np.random.Generator,
) -> Columns:
    """Measure every source.

    Parameters
    ----------
    image, variance
        Shape (ny, nx), background subtracted, electron and electron².
    mask
        The mask.
    sources
        Everything that was detected, one peak each.
    psf
        The PSF model.
    config
        How.
    rng
        For the noise that takes the place of neighbours.

    Returns
    -------
    dict
        Columns of ``initial_stars_detector``, from ``x`` to ``localBackground``, moments, pixel
        flags and ``variance_value``, in its types, a row a source.

    Notes
    -----
    For 5,000 sources and a PSF image of 41 × 41 pixels about 2 s, half of it the apertures.
    """
    work = neighbour_free(image, variance, mask, sources, config, rng)
    return measure_on(work, mask, sources, psf, config)


def measure_on(
    work: WorkImage,
    mask: Mask,
    sources: HeavyFootprints,
    psf: Psf,
    config: MeasurementConfig,
) -> Columns:
    """Measure the sources that a work image was made for; see :func:`measure_sources`."""
    sigma = typical_sigma(psf, work.scene.image.shape)
    peak = sources.peak_x.astype(np.float64), sources.peak_y.astype(np.float64)
    ny, nx = work.scene.image.shape
    kurtosis = weighted_kurtosis(psf.compute_kernel_image(nx / 2, ny / 2))
    shapes, start, covariance = shape_columns(work.scene, *peak, sigma, kurtosis, config.shape)
    columns, response = psf_columns(work.scene, start, covariance, psf, sigma, config)
    columns |= {
        "peak_significance": sources.footprints.peak_significance.copy(),
        "footprintArea": sources.footprints.areas().astype(np.int32),
    }
    columns |= shapes
    columns |= extended_position_errors(columns, response)
    return columns | _at_positions(work, mask, columns, sigma, config)


def measure_stars(
    x: ArrayLike, y: ArrayLike, work: WorkImage, mask: Mask, psf: Psf, config: MeasurementConfig
) -> Columns:
    """Measure stars near given places on an image from which their neighbours were taken.

    Parameters
    ----------
    x, y
        Where they are about, pixels, shape (n,).
    work
        Of `whole_image`.
    mask
        The mask.
    psf
        The PSF model.
    config
        How.

    Returns
    -------
    dict
        The columns of :func:`measure_sources` without those of footprints.
    """
    xs, ys = np.atleast_1d(np.asarray(x, float)), np.atleast_1d(np.asarray(y, float))
    ny, nx = work.scene.image.shape
    sigma = typical_sigma(psf, (ny, nx))
    kurtosis = weighted_kurtosis(psf.compute_kernel_image(nx / 2, ny / 2))
    shapes, start, covariance = shape_columns(work.scene, xs, ys, sigma, kurtosis, config.shape)
    columns, _ = psf_columns(work.scene, start, covariance, psf, sigma, config)
    columns |= shapes
    return columns | _at_positions(work, mask, columns, sigma, config)


def measure_positions_at(
    x: ArrayLike,
    y: ArrayLike,
    work: WorkImage,
    mask: Mask,
    psf: Psf,
    config: MeasurementConfig,
) -> Columns:
    """Measure PSF fluxes, apertures and background at given places, such as those of sky.

    Parameters
    ----------
    x, y
        Places, pixels, shape (n,).
    work
        All that was detected is replaced by noise in it; see `neighbour_free`.
    mask
        The mask.
    psf
        The PSF model.
    config
        How.

    Returns
    -------
    dict
        The columns of :func:`measure_sources`. Shapes, Gaussian fluxes and errors of positions
        are NaN, the first two flagged; footprints have no pixels.
    """
    xs, ys = np.atleast_1d(np.asarray(x, float)), np.atleast_1d(np.asarray(y, float))
    sigma = typical_sigma(psf, work.scene.image.shape)
    ends = np.zeros(xs.size + 1, np.int64)
    bare = work.scene._replace(first_span=ends, first_value=ends)
    work = WorkImage(bare, work.original, work.occupied)
    unknown = np.full((xs.size, 3), np.nan)
    columns, _ = psf_columns(bare, (xs, ys), unknown, psf, sigma, config, free=False)
    columns |= {
        "peak_significance": np.full(xs.size, np.nan, np.float32),
        "footprintArea": np.zeros(xs.size, np.int32),
    }
    return columns | _no_shapes(xs.size) | _at_positions(work, mask, columns, sigma, config)


def _at_positions(
    work: WorkImage, mask: Mask, columns: Columns, sigma: float, config: MeasurementConfig
) -> Columns:
    """Measure what needs positions alone."""
    x, y = np.asarray(columns["x"], float), np.asarray(columns["y"], float)
    ny, nx = work.scene.image.shape
    column = np.clip(np.floor(x + 0.5).astype(int), 0, nx - 1)
    row = np.clip(np.floor(y + 0.5).astype(int), 0, ny - 1)
    return {
        **flux_columns(work, x, y, config),
        **local_background_columns(work, x, y, sigma, config.local_background),
        **pixel_flags(work.scene, mask, x, y, config.center_radius_pix),
        "variance_value": work.scene.variance[row, column],
    }


def _no_shapes(n: int) -> Columns:
    columns: Columns = {}
    for name in ("ixx", "iyy", "ixy"):
        columns[name] = np.full(n, np.nan)
        columns[f"{name}Err"] = np.full(n, np.nan, np.float32)
    columns["shape_flag"] = np.ones(n, bool)
    for name in ("gaussianFlux_instFlux", "gaussianFlux_instFluxErr"):
        columns[name] = np.full(n, np.nan)
    columns["gaussianFlux_flag"] = np.ones(n, bool)
    return columns
