"""Point source or extended, from fluxes that are corrected for aperture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.config.measurement import ClassificationConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Columns = dict[str, NDArray[Any]]

_CORRECTED = ("psfFlux", "gaussianFlux")


def extendedness(
    corrected_columns: Mapping[str, NDArray[Any]],
    config: ClassificationConfig | None = None,
) -> Columns:
    """Tell point sources from extended ones.

    A source is extended where its Gaussian flux, whose size is free, exceeds the PSF flux by more
    than its noise and errors of the PSF model allow: ``r G > P + k σ``. For a source that is
    nearly a point P/G = 1 - δ/2 when its moments exceed those of the PSF by the part δ, so that
    σ² = G² [(σ_δ/2)² + ε²], with the error of the moments and ε for the model. (The errors of P
    and G do not tell: the two share most of their noise.) Before the aperture corrections G and P
    of a star differ by what the Gaussian misses of the wings.

    With ``excess_limit`` e the noise counts as k σ/(1 + k σ/(e G)): in full where it is small, and
    never for more than e G. Galaxies exceed stars by a share of their flux, not by a number of
    errors: where k σ is as large as that, the least mistakes are made about half-way between the
    two (Slater et al. 2020, AJ 159, 65).

    Parameters
    ----------
    corrected_columns
        Columns of the star table after the aperture corrections; ``psfFlux_apCorr`` and
        ``gaussianFlux_apCorr`` say so.
    config
        r, k, e and ε; whether ``deblend_isPoint`` goes before.

    Returns
    -------
    dict
        ``extendedness`` (0, 1, NaN), ``extendedness_flag``, ``sizeExtendedness``.

    Raises
    ------
    ValueError
        If the columns are not corrected for aperture.
    """
    config = config or ClassificationConfig()
    absent = [name for name in _CORRECTED if f"{name}_apCorr" not in corrected_columns]
    if absent:
        raise ValueError(
            f"extendedness needs fluxes that are corrected for aperture, and {absent} are not"
        )
    columns = {name: np.asarray(c) for name, c in corrected_columns.items()}
    psf, gauss = (columns[f"{name}_instFlux"] for name in _CORRECTED)
    noise = np.abs(gauss) * _relative_noise(columns, config)
    failed = ~np.isfinite(psf + gauss + noise)
    for name in _CORRECTED:
        failed |= columns[f"{name}_flag"] | ~np.isfinite(columns[f"{name}_apCorr"])
    extended = config.flux_ratio * gauss - psf > noise
    if config.points_of_blends:
        extended &= ~columns["deblend_isPoint"]
    value = np.where(failed, np.nan, extended).astype(np.float32)
    return {
        "extendedness": value,
        "extendedness_flag": failed,
        "sizeExtendedness": size_extendedness(columns, config),
    }


def _relative_noise(
    columns: Mapping[str, NDArray[Any]], config: ClassificationConfig
) -> NDArray[np.float64]:
    """Return what G may exceed P by because of errors, over G."""
    with np.errstate(invalid="ignore", divide="ignore"):
        of_size = np.hypot(columns["ixxErr"], columns["iyyErr"]) / (columns["ixx"] + columns["iyy"])
        noise = config.error_factor * np.hypot(of_size / 2, config.model_error)
    if config.excess_limit is not None:
        noise = noise / (1 + noise / config.excess_limit)
    return np.asarray(noise, np.float64)


def size_extendedness(
    columns: Mapping[str, NDArray[Any]], config: ClassificationConfig
) -> NDArray[np.float32]:
    """Return the probability that Ixx + Iyy exceeds the PSF's by more than the margin.

    For normal errors; NaN where the size could not be measured.
    """
    from scipy.special import ndtr

    size = columns["ixx"] + columns["iyy"]
    of_psf = columns["ixxPSF"] + columns["iyyPSF"]
    # Ixx and Iyy of a Gaussian source have independent errors.
    error = np.hypot(columns["ixxErr"], columns["iyyErr"])
    excess = (size - (1 + config.size_margin) * of_psf) / np.maximum(error, 1e-12)
    excess[columns["shape_flag"]] = np.nan
    return np.asarray(ndtr(excess), np.float32)


def is_primary(
    sky_source: NDArray[np.bool_], separated_blend: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return which rows count once: no place of sky, and no blend whose members are rows too."""
    return ~sky_source & ~separated_blend
