"""The scale of the fluxes that the global photometric calibration has calibrated.

Zero points hold for the reference flux as calibrateImage measured it: on each detector the
compensated top-hat flux times one number s, which brings it to the 12-pixel aperture. With the
final PSF the same number is measured again, s'. Zero points have followed s, up to what they do
not follow of single detectors: their model of a visit is smooth over the focal plane. Fluxes on
the scale of s' are therefore off by the mean of ln(s'/s) over the visit, which is taken out.

Where another flux was calibrated, as in crowded fields that of the PSF, both correction and PSF are
others now, and stars tell the scale: their first flux over the final one. The PSF has changed
differently over the detector, and so does that ratio: a polynomial of place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from drpflow.algorithms.ap_corr import REFERENCE, fit_ratio
from drpflow.config.ap_corr import ApCorrConfig
from drpflow.data.ap_corr import ApCorr, ApCorrMap
from drpflow.data.polynomial import Basis2D, Polynomial2D

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drpflow.data.geometry import Box

    Floats = NDArray[np.float64]

_FIT = ApCorrConfig(min_stars=5, stars_per_term=6, scatter_floor=0.001)


class FluxScale(NamedTuple):
    """What final fluxes are multiplied with.

    Attributes
    ----------
    factor
        1 where no detector of the visit has both.
    scatter
        Relative scatter of single detectors, or of stars beyond their noise, about it; NaN for
        fewer than two.
    number
        Detectors, or stars, that tell it.
    shape
        The scale of the flux that stars were measured with over `factor`, as a function of place;
        None where stars did not tell it.
    """

    factor: float
    scatter: float
    number: int
    shape: Polynomial2D | None = None


def flux_scale(first: Mapping[int, ApCorrMap], final: Mapping[int, ApCorrMap]) -> FluxScale:
    """Return the scale of a visit.

    Parameters
    ----------
    first, final
        Aperture corrections of detectors of a visit: calibrateImage's, and the final ones.
    """
    both = [
        d for d in sorted(first) if d in final and REFERENCE in first[d] and REFERENCE in final[d]
    ]
    # Constants on each detector.
    ratio = np.array([_scale(first[d]) / _scale(final[d]) for d in both])
    ratio = ratio[np.isfinite(ratio) & (ratio > 0)]
    if not ratio.size:
        return FluxScale(1.0, float("nan"), 0)
    logs = np.log(ratio)
    scatter = float(np.std(logs, ddof=1)) if logs.size > 1 else float("nan")
    return FluxScale(float(np.exp(np.median(logs))), scatter, int(logs.size))


def star_scale(
    first_njy: Floats, final_njy: Floats, error_njy: Floats, x: Floats, y: Floats, box: Box
) -> FluxScale:
    """Return the scale of a detector from its stars.

    The fit is that of aperture corrections, with the first flux for the reference: both have
    counted the same photons, terms of place are expected to be small, and stars whose neighbours
    were told apart otherwise are no sample of the others.

    Parameters
    ----------
    first_njy
        Fluxes that were calibrated, through the final calibration, shape (n,).
    final_njy, error_njy
        The same stars' final fluxes of the same name, not scaled yet, and their own noise.
    x, y
        Their places, pixels.
    box
        The pixels of the detector.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = first_njy / final_njy
        known = (ratio > 0) & (error_njy > 0) & np.isfinite(ratio + error_njy + x + y)
    if np.count_nonzero(known) < _FIT.min_stars:
        return FluxScale(1.0, float("nan"), 0)
    columns = {
        "x": x, "y": y, "flux_instFlux": final_njy, "flux_instFluxErr": error_njy,
        f"{REFERENCE}_instFlux": first_njy, f"{REFERENCE}_instFluxErr": error_njy * ratio,
    }  # fmt: skip
    fitted, kept = fit_ratio(columns, "flux", known, box, _FIT)
    factor = float(np.median(ratio[kept]))
    shape = fitted.correction.scaled(1 / factor)
    return FluxScale(factor, fitted.error / factor, int(kept.sum()), shape)


def scaled(ap_corr: ApCorrMap, factor: float) -> ApCorrMap:
    """Return all corrections times a number, errors as well."""
    return ApCorrMap(
        {
            name: ApCorr(item.correction.scaled(factor), item.error * factor)
            for name, item in ap_corr.items()
        }
    )


def told_by_stars(ap_corr: ApCorrMap, name: str, scale: FluxScale) -> ApCorrMap:
    """Return all corrections scaled, that of the stars' own flux as a function of place as well.

    Its error becomes the scatter of stars about the scale. Its factor says what that flux is of
    itself in the first look, and not of the reference: the reference's own scatter, which in
    crowded fields is that of neighbours, is not in it.

    Parameters
    ----------
    ap_corr
        Corrections as finalizeCharacterization made them.
    name
        Flux of the stars.
    scale
        What they tell.
    """
    everywhere = scaled(ap_corr, scale.factor)
    if scale.shape is None:
        return everywhere
    told = everywhere[name]
    error = min(told.error, scale.scatter * abs(_middle(told.correction)))
    own = ApCorr(_product(told.correction, scale.shape), error)
    return ApCorrMap({**everywhere, name: own})


def _product(one: Polynomial2D, other: Polynomial2D) -> Polynomial2D:
    """Return the product of two fields on a rectangle, which is a polynomial itself."""
    basis = Basis2D(one.basis.order + other.basis.order, other.basis.domain)
    domain = basis.domain
    # As many points each way as determine it.
    u = np.linspace(-1.0, 1.0, basis.order + 2)
    (cx, cy), (hx, hy) = domain.center, domain.half_size
    x, y = (g.ravel() for g in np.meshgrid(cx + hx * u, cy + hy * u))
    return Polynomial2D.fit(basis, x, y, one(x, y) * other(x, y))


def _middle(field: Polynomial2D) -> float:
    return float(field(*field.basis.domain.center))


def _scale(ap_corr: ApCorrMap) -> float:
    return _middle(ap_corr[REFERENCE].correction)
