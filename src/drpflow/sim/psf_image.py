"""The true point-spread function as an image, for comparison with models of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drpflow.sim.canvas import BOXES_PIX, canvas, sampling
from drpflow.sim.placement import blur
from drpflow.sim.sed import REFERENCE_TEMPERATURE_K, SedLibrary

if TYPE_CHECKING:
    from drpflow.sim.psf_model import PsfCumulants
    from drpflow.sim.visit_model import VisitModel

_FINE = 16


def star_blur(
    model: VisitModel,
    detector: int,
    x: np.ndarray,
    y: np.ndarray,
    temperature_k: float = REFERENCE_TEMPERATURE_K,
) -> PsfCumulants:
    """Return the blur of a star's light at pixels of a detector.

    Parameters
    ----------
    model, detector
        Visit and detector.
    x, y
        Pixels, shape (N,).
    temperature_k
        Temperature of the star.
    """
    index = SedLibrary.star_index(np.full(len(x), temperature_k))
    response = model.response(detector).at(index)
    x_mm, y_mm = model.optics.detectors[detector].to_focal(x, y)
    return blur(model, detector, x_mm, y_mm, response)


def psf_image(
    model: VisitModel,
    detector: int,
    x: float,
    y: float,
    temperature_k: float = REFERENCE_TEMPERATURE_K,
    size: int = 41,
) -> np.ndarray:
    """Return the image of a star of unit flux, far wings (aureole, spikes) left out.

    Parameters
    ----------
    model, detector
        Visit and detector.
    x, y
        Its place; the image's middle pixel is the detector's pixel nearest to it.
    temperature_k
        Its temperature.
    size
        Pixels on a side, odd; what lies beyond them is cut off, not put back.

    Returns
    -------
    numpy.ndarray
        Shape (size, size), pixel-integrated.
    """
    blurs = star_blur(model, detector, np.array([x]), np.array([y]), temperature_k)
    turbulence, covariance, coma = blurs.row(0)
    # Twice the size keeps what a periodic stamp brings in from beyond its edges below 1e-4.
    box = next((b for b in BOXES_PIX if b >= 2 * size), BOXES_PIX[-1])
    half = box // 2
    off = blurs.centering_pix()[0]
    center = (half + x - round(x) + off[0], half + y - round(y) + off[1])
    stamp = canvas(box, sampling(turbulence, covariance)).draw(center, turbulence, covariance, coma)
    reach = size // 2
    return stamp[half - reach : half + reach + 1, half - reach : half + reach + 1]


def central_image(model: VisitModel, detector: int) -> np.ndarray:
    """Return the image of a reference star at the middle of a detector, shape (63, 63)."""
    nx, ny = model.optics.detectors[detector].place.size_pix
    return psf_image(model, detector, float(nx // 2), float(ny // 2), size=63)


def central_fwhm_pix(model: VisitModel, detector: int) -> float:
    """Return the FWHM at the middle of a detector, before the pixels: 2 √(area above half / π)."""
    nx, ny = model.optics.detectors[detector].place.size_pix
    blurs = star_blur(model, detector, np.array([nx / 2]), np.array([ny / 2]))
    turbulence, covariance, coma = blurs.row(0)
    # A star that is sixteen times as large on a canvas of the same pixels.
    board = canvas(512, 1)
    image = board.draw(
        (256.0, 256.0), turbulence * _FINE ** (5 / 3), covariance * _FINE**2, coma * _FINE**3
    )
    return float(2 * np.sqrt((image > image.max() / 2).sum() / np.pi) / _FINE)
