"""The columns of ``final_source_detector``: names, units and types of Rubin's ``Source`` table.

Fluxes are in nJy because the pixels are. Their errors hold the noise of the pixels, a source's own
photons included, and what single stars scatter about the aperture correction; that of the zero
point, which all sources of the image share, stands in a column of its own, as in Rubin's tables.
Errors of positions on the sky hold that of the WCS, which is beside them as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.algorithms.measurement.fluxes import (
    APERTURE_RADII_PIX,
    COMPENSATED_GAUSSIAN_SIGMAS_PIX,
)
from drpflow.algorithms.source_calibration import calibrate_positions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drpflow.algorithms.final_image.frame import FinalFrame, FinalModels

    Columns = dict[str, NDArray[Any]]

_FLUXES = (
    "psfFlux",
    "gaussianFlux",
    "kronFlux",
    *(f"ap{radius:02d}Flux" for radius in APERTURE_RADII_PIX),
    *(f"compGaussianFlux{sigma}" for sigma in COMPENSATED_GAUSSIAN_SIGMAS_PIX),
)
_RENAMED = {
    "calibFlux": "normCompTophatFlux_instFlux",
    "calibFluxErr": "normCompTophatFlux_instFluxErr",
    "sky": "localBackground_instFlux",
    "skyErr": "localBackground_instFluxErr",
    "footprintArea_value": "footprintArea",
    "blendedness_abs": "blendedness",
    "deblend_deblendedAsPsf": "deblend_isPoint",
}
_CORRECTED = ("psfFlux", "gaussianFlux")


def standard_columns(
    columns: Mapping[str, NDArray[Any]], frame: FinalFrame, models: FinalModels, center_pix: float
) -> Columns:
    """Return all columns, those that were there under their names and more.

    Parameters
    ----------
    columns
        Of sources and places of sky, corrected for aperture, classified and flagged.
    frame
        Pixels and data ID.
    models
        WCS and calibration.
    center_pix
        Radius of a source's centre.
    """
    n = len(columns["x"])
    made = dict(columns)
    for name in _FLUXES:
        made[name] = columns[f"{name}_instFlux"]
        made[f"{name}Err"] = columns[f"{name}_instFluxErr"]
    made |= {name: columns[source] for name, source in _RENAMED.items()}
    made |= _positions(columns, models)
    made |= _local(columns, models)
    made |= _flags(columns, frame, models, center_pix)
    return made | {
        "visit": np.full(n, frame.visit, np.int64),
        "detector": np.full(n, frame.detector, np.int16),
        "band": np.full(n, frame.band),
        "physical_filter": np.full(n, frame.physical_filter),
        "deblend_nChild": np.zeros(n, np.int32),
    }


def _positions(columns: Mapping[str, NDArray[Any]], models: FinalModels) -> Columns:
    """Return positions on the sky with errors that hold that of the WCS.

    Its error of both coordinates, which leaves turbulence out, stands for that of each with it.
    """
    found = calibrate_positions(columns, models.wcs)
    wcs_error = np.nan_to_num(models.wcs_error_arcsec) / 3600.0
    for name in ("raErr", "decErr"):
        found[name] = np.hypot(found[name], wcs_error)
    stated = np.full(len(columns["x"]), models.wcs_error_arcsec / 3600.0, np.float32)
    return {**found, "wcsErr": stated}


def _local(columns: Mapping[str, NDArray[Any]], models: FinalModels) -> Columns:
    """Return calibration and linear WCS at each source."""
    x, y, photo_calib = columns["x"], columns["y"], models.photo_calib
    factor = photo_calib.factor(x, y)
    matrix = models.wcs.linearize(x, y) / 3600.0
    cells = {
        f"localWcs_CDMatrix_{i + 1}_{j + 1}": matrix[:, i, j] for i in range(2) for j in range(2)
    }
    errors = {
        "localPhotoCalibErr": factor * (photo_calib.error / photo_calib.mean),
        "localPhotoCalibOffsetErr": factor * (np.log(10) / 2.5 * models.offset_error_mag),
    }
    return {"localPhotoCalib": factor, **errors, **cells}


def _flags(
    columns: Mapping[str, NDArray[Any]],
    frame: FinalFrame,
    models: FinalModels,
    center_pix: float,
) -> Columns:
    """Return flags that follow from other columns."""
    x, y = columns["x"], columns["y"]
    ny, nx = frame.image.shape
    inside = np.minimum(np.minimum(x + 0.5, nx - 0.5 - x), np.minimum(y + 0.5, ny - 0.5 - y))
    with np.errstate(invalid="ignore"):
        flags: Columns = {
            "pixelFlags_offimage": ~(inside >= 0),
            "centroid_flag_edge": ~(inside >= center_pix),
            "psfFlux_flag_edge": ~(inside >= models.psf.half_size_pix + 0.5),
        }
    for name in _CORRECTED:
        flags[f"{name}_flag_apCorr"] = ~np.isfinite(columns[f"{name}_apCorr"])
    return flags | {
        "psfFlux_flag_noGoodPixels": columns["psfFlux_npix"] == 0,
        "centroid_flag_badError": ~np.isfinite(columns["xErr"] + columns["yErr"]),
        "invalidPsfFlag": ~np.isfinite(columns["ixxPSF"] + columns["iyyPSF"])
        | models.psf_of_others,
        "blendedness_flag": ~np.isfinite(columns["blendedness"]),
        "sizeExtendedness_flag": ~np.isfinite(columns["sizeExtendedness"]),
        "deblend_parentTooBig": columns["deblend_parentTooBig"],
    }
