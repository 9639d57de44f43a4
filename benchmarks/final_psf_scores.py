"""PSF models of a visit against the true image of a star, and what noise alone would leave."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scoring import polynomial_design, rms, shape_errors

from drpflow.data.psf_moments import adaptive_moments
from drpflow.sim.psf_image import psf_image
from drpflow.sim.sed import REFERENCE_TEMPERATURE_K
from drpflow.sim.wings import build_wings, wing_fraction

if TYPE_CHECKING:
    from truth_survey import TruthFrame

Floats = NDArray[np.float64]

TEMPERATURES_K = (4000.0, 7500.0)
"""Stars between which the trend with colour is told."""
_SIZE = 41
_NODE_STEP = 6
_FAINTEST_WING = 1e-9
_ORDERS = range(1, 7)
# Noise of a star in units of 1/ν, ν its signal-to-noise ratio (Bernstein & Jarvis 2002, AJ 123,
# 583): trace, and each distortion.
_TRACE, _DISTORTION = 2.0, 2.0


def star_image(frame: TruthFrame, x: float, y: float, temperature_k: float) -> Floats:
    """Return all light of a star of unit flux in 41² pixels: its disc, aureole and spikes."""
    model = frame.survey.model(frame.visit)
    config = frame.survey.survey.config.artifacts
    turn = model.optics.detectors[frame.detector].place.rotation_deg
    wings = build_wings(config, frame.pixel_arcsec, frame.fwhm_pix, turn)
    image = psf_image(model, frame.detector, x, y, temperature_k, _SIZE)
    image = image * (1 - wing_fraction(config))
    middle = _SIZE // 2
    at = middle + x - round(x), middle + y - round(y)
    wings.add_aureole(image, *at, 1.0, _FAINTEST_WING)
    wings.add_spikes(image, *at, 1.0, _FAINTEST_WING)
    return image


def true_shapes(
    frame: TruthFrame, x: Floats, y: Floats, temperature_k: float = REFERENCE_TEMPERATURE_K
) -> tuple[Floats, Floats, Floats]:
    """Return adaptive moments (xx, yy, xy) of the whole star, pix²."""
    images = [
        star_image(frame, float(a), float(b), temperature_k) for a, b in zip(x, y, strict=True)
    ]
    moments = adaptive_moments(np.array(images))[0]
    return moments.xx, moments.yy, moments.xy


@dataclass(frozen=True)
class FrameTruth:
    """True moments on a grid of places of one frame, and those of cool and hot stars.

    Parameters
    ----------
    x, y
        Places, pixels.
    shapes
        xx, yy, xy of a reference star there.
    extremes
        The same at three places, of stars of `TEMPERATURES_K`.
    """

    x: Floats
    y: Floats
    shapes: tuple[Floats, Floats, Floats]
    places: tuple[Floats, Floats]
    extremes: list[tuple[Floats, Floats, Floats]] = field(default_factory=list)

    @classmethod
    def of_frame(cls, frame: TruthFrame) -> FrameTruth:
        """Return the truth of a frame."""
        nodes = np.arange(len(frame.grid["x"]))[::_NODE_STEP]
        x, y = frame.grid["x"][nodes], frame.grid["y"][nodes]
        across = np.array([0.2, 0.5, 0.8]) * frame.grid["x"].max()
        places = across, across[::-1]
        extremes = [true_shapes(frame, *places, t) for t in TEMPERATURES_K]
        return cls(x, y, true_shapes(frame, x, y), places, extremes)


def score_psf(psf: Any, truth: FrameTruth, color_of: Any) -> dict[str, float]:
    """Return errors of a model over a frame.

    Parameters
    ----------
    psf
        The model.
    truth
        The truth.
    color_of
        Colour [mag] of a star of a temperature [K].

    Returns
    -------
    dict
        ``mean_t``, ``rms_t``: of dT/T; ``mean_e1``, ``mean_e2``, ``rms_e`` (each component);
        ``size``: rms of dσ/σ; ``color``: change of dT/T by a magnitude of colour.
    """
    errors = shape_errors(
        _moments(psf, truth.x, truth.y, _color(psf, color_of, None)), truth.shapes
    )
    trend = []
    for temperature, shapes in zip(TEMPERATURES_K, truth.extremes, strict=True):
        seen = _moments(psf, *truth.places, _color(psf, color_of, temperature))
        trend.append(float(np.mean(shape_errors(seen, shapes)["trace"])))
    span = color_of(TEMPERATURES_K[0]) - color_of(TEMPERATURES_K[1])
    return {
        "mean_t": float(errors["trace"].mean()),
        "rms_t": rms(errors["trace"]),
        "mean_e1": float(errors["e1"].mean()),
        "mean_e2": float(errors["e2"].mean()),
        "rms_e": rms(np.concatenate([errors["e1"], errors["e2"]])),
        "size": rms(errors["size"]),
        "color": (trend[0] - trend[1]) / span,
    }


def _color(psf: Any, color_of: Any, temperature: float | None) -> float | None:
    if psf.color_ref is None:
        return None
    return float(color_of(REFERENCE_TEMPERATURE_K if temperature is None else temperature))


def _moments(psf: Any, x: Floats, y: Floats, color: float | None) -> tuple[Floats, Floats, Floats]:
    found = psf.compute_shape(x, y, None if color is None else np.full(len(x), color))
    return found.xx, found.yy, found.xy


def attainable(
    stars: tuple[Floats, Floats, Floats], grid: tuple[Floats, Floats], shapes: Floats
) -> tuple[float, float]:
    """Return the rms errors of dT/T and of a distortion that noise alone leaves in a visit.

    The true field is fitted with polynomials over the focal plane, each star known as well as its
    noise allows: error of the coefficients and what the polynomials cannot follow, for the best
    degree. Whoever does not know the truth cannot choose that degree, nor leave out the outliers.

    Parameters
    ----------
    stars
        x, y [mm] and signal-to-noise ratio of the stars.
    grid
        x, y [mm] where errors are told.
    shapes
        True log T, e1, e2 there, shape (M, 3).
    """
    (sx, sy, snr), (gx, gy) = stars, grid
    scale = max(np.ptp(gx), np.ptp(gy)) / 2
    middle = (gx.max() + gx.min()) / 2, (gy.max() + gy.min()) / 2
    best = np.full(3, np.inf)
    for order in _ORDERS:
        at_stars = polynomial_design((sx - middle[0]) / scale, (sy - middle[1]) / scale, order)
        at_grid = polynomial_design((gx - middle[0]) / scale, (gy - middle[1]) / scale, order)
        if len(at_stars) < 2 * at_stars.shape[1]:
            break
        covariance = np.linalg.pinv((at_stars * np.square(snr)[:, None]).T @ at_stars)
        noise = np.einsum("gi,ij,gj->g", at_grid, covariance, at_grid, optimize=True).mean()
        left = shapes - at_grid @ np.linalg.lstsq(at_grid, shapes, rcond=None)[0]
        power = np.square([_TRACE, _DISTORTION, _DISTORTION])
        best = np.minimum(best, np.sqrt(power * noise + np.square(left).mean(axis=0)))
    return float(best[0]), float(rms(best[1:]))


def rho1(
    x_arcmin: Floats, y_arcmin: Floats, de1: Floats, de2: Floats, bins: Floats
) -> tuple[Floats, NDArray[np.int64]]:
    """Return the sum of δe·δe over pairs of stars by separation, and the number of pairs.

    Parameters
    ----------
    x_arcmin, y_arcmin
        Places, N.
    de1, de2
        Star minus model.
    bins
        Edges of the separations, arcmin.
    """
    i, j = np.triu_indices(len(x_arcmin), 1)
    apart = np.hypot(x_arcmin[i] - x_arcmin[j], y_arcmin[i] - y_arcmin[j])
    product = de1[i] * de1[j] + de2[i] * de2[j]
    sums = np.histogram(apart, bins, weights=product)[0]
    return sums, np.histogram(apart, bins)[0]
