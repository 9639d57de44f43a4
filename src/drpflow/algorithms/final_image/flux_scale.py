"""The scale of the fluxes that the global photometric calibration has calibrated.

Zero points hold for the reference flux as calibrateImage measured it: on each detector the
compensated top-hat flux times one number s, which brings it to the 12-pixel aperture. With the
final PSF the same number is measured again, s'. Zero points have followed s, up to what they do
not follow of single detectors: their model of a visit is smooth over the focal plane. Fluxes on
the scale of s' are therefore off by the mean of ln(s'/s) over the visit, which is taken out.

Where another flux was calibrated, as in crowded fields that of the PSF, both correction and PSF are
others now, and stars tell the scale: their first flux over the final one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from drpflow.algorithms.ap_corr import REFERENCE
from drpflow.data.ap_corr import ApCorr, ApCorrMap

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_LEAST_STARS = 5


class FluxScale(NamedTuple):
    """What final fluxes are multiplied with.

    Attributes
    ----------
    factor
        1 where no detector of the visit has both.
    scatter
        Relative scatter of single detectors, or stars, about it; NaN for fewer than two.
    number
        Detectors, or stars, that tell it.
    """

    factor: float
    scatter: float
    number: int


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


def star_scale(first_njy: Floats, final_njy: Floats) -> FluxScale:
    """Return the scale of a detector from its stars.

    Parameters
    ----------
    first_njy
        Fluxes that were calibrated, through the final calibration, shape (n,).
    final_njy
        The same stars' final fluxes of the same name, not scaled yet.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        logs = np.log(first_njy / final_njy)
    logs = logs[np.isfinite(logs)]
    if logs.size < _LEAST_STARS:
        return FluxScale(1.0, float("nan"), 0)
    middle = np.median(logs)
    scatter = 1.4826 * float(np.median(np.abs(logs - middle)))
    return FluxScale(float(np.exp(middle)), scatter, int(logs.size))


def scaled(ap_corr: ApCorrMap, factor: float) -> ApCorrMap:
    """Return all corrections times a number, errors as well."""
    return ApCorrMap(
        {
            name: ApCorr(item.correction.scaled(factor), item.error * factor)
            for name, item in ap_corr.items()
        }
    )


def _scale(ap_corr: ApCorrMap) -> float:
    correction = ap_corr[REFERENCE].correction
    return float(correction(*correction.basis.domain.center))
