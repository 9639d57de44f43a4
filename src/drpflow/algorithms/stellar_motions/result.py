"""The table of stars that the fit gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drpflow.algorithms.astrometric_fit.sky import MAS_PER_DEG, MAS_PER_RAD
from drpflow.data.sky_geometry import in_circle_deg
from drpflow.data.tan_projection import unit_vectors
from drpflow.kernels.stellar_motion import fewest_kept

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.stellar_motions.colors import Colors
    from drpflow.algorithms.stellar_motions.fit import MotionFit, Motions, Start
    from drpflow.config.fit_stellar_motions import FitStellarMotionsConfig

    Columns: TypeAlias = dict[str, NDArray[Any]]
    Floats: TypeAlias = NDArray[np.float64]

TIED, ASTRAY, NO_COLOR, STILL, SCATTERS, UNSEEN = 2, 4, 8, 16, 32, 64
"""Flags, as in the tables of the astrometric solutions."""
PARAMETERS = ("ra", "dec", "raPM", "decPM", "parallax")
"""Names of the parameters, as in Rubin's tables."""
_UNITS = (1 / MAS_PER_DEG, 1 / MAS_PER_DEG, 1.0, 1.0, 1.0)
_FEW, _SHORT, _OPEN = "few visits", "short time", "not determined"


def star_columns(found: Motions, fit: MotionFit, colors: Colors, reference_color: float) -> Columns:
    """Return the columns that the fit makes; motions that are not told are NaN.

    Parameters
    ----------
    found
        The fit.
    fit
        What was fitted.
    colors
        Colours before the fit.
    reference_color
        Colour for which WCSs hold.
    """
    start = fit.start
    ra, dec = _places(start, fit.axes, found.theta)
    sigma = np.sqrt(np.einsum("sii->si", found.covariance))
    told = np.ones((ra.size, 5), bool)
    told[:, 2:] = found.moves[:, None]
    n_good = np.bincount(fit.detections.star[found.on], minlength=ra.size)
    n_all = np.diff(fit.first)
    told &= ((n_good > 0) | found.tied)[:, None]
    there = found.reference
    ref_ra, ref_dec = _places(start, fit.axes, there)
    columns: Columns = {"ra": ra, "dec": dec, "epoch": start.epoch_mjd}
    columns |= {"ref_ra": ref_ra, "ref_dec": ref_dec}
    for i, one in enumerate(PARAMETERS):
        if i > 1:
            columns[one] = _where(told[:, i], found.theta[:, i])
            columns[f"ref_{one}"] = there[:, i]
        columns[f"{one}Err"] = _where(told[:, i], sigma[:, i] * _UNITS[i])
        for j in range(i + 1, 5):
            value = found.covariance[:, i, j] * _UNITS[i] * _UNITS[j]
            columns[f"{one}_{PARAMETERS[j]}_Cov"] = _where(told[:, i] & told[:, j], value)
    return columns | {
        "n_good": n_good,
        "n_rejected": n_all - n_good,
        "chi2": found.chi2,
        "dof": found.expected,
        "color": np.where(colors.known, colors.color, np.nan),
        "colorErr": np.where(colors.known, colors.error, np.nan),
        "colorFitted": found.theta[:, 5] + reference_color,
        "flag": _flags(found, colors, n_good, n_all, fit.config),
        "reason": _reasons(found, fit),
    }


def _where(told: NDArray[np.bool_], values: Floats) -> Floats:
    return np.where(told, values, np.nan)


def _places(start: Start, axes: Floats, theta: Floats) -> tuple[Floats, Floats]:
    """Return right ascension and declination of stars, offsets from their starts added."""
    toward = unit_vectors(start.ra, start.dec).T
    x, y, z = (toward + np.einsum("sik,si->sk", axes, theta[:, :2]) / MAS_PER_RAD).T
    return in_circle_deg(np.degrees(np.arctan2(y, x))), np.degrees(np.arctan2(z, np.hypot(x, y)))


def _flags(
    found: Motions,
    colors: Colors,
    n_good: NDArray[np.int64],
    n_all: NDArray[np.int64],
    config: FitStellarMotionsConfig,
) -> NDArray[np.int64]:
    excess = found.chi2 - found.expected
    scatters = excess > config.noise.variable_sigma * np.sqrt(2 * np.maximum(found.expected, 1))
    # Where as many are left out as may be, others may be as bad.
    kept = [fewest_kept(n, config.noise.max_clipped) for n in range(n_all.max(initial=0) + 1)]
    scatters |= (n_good < n_all) & (n_good <= np.array(kept)[n_all])
    return np.asarray(
        TIED * found.tied
        + ASTRAY * found.astray
        + NO_COLOR * ~colors.known
        + STILL * ~found.moves
        + SCATTERS * scatters
        + UNSEEN * (n_good == 0)
    )


def _reasons(found: Motions, fit: MotionFit) -> NDArray[np.str_]:
    """Return why motions are not told, empty where they are."""
    model = fit.config.model
    few = np.diff(fit.first) < model.min_visits
    ill = found.condition > model.max_condition
    texts = np.where(few, _FEW, np.where(ill, _OPEN, _SHORT))
    return np.where(found.moves, "", texts)
