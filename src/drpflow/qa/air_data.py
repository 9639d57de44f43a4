"""The air of each night as the photometric calibration found it, with extinction coefficients."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drpflow.qa.photometry_data import CLOUDY, IN_FIT, PHOTOMETRIC

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drpflow.data.look_up_table import LookUpTable
    from drpflow.qa.photometry_data import Photometry

    Floats: TypeAlias = NDArray[np.float64]

# Between these the coefficient is taken: magnitudes at 2 less those at 1.
_AIRMASSES = np.array([1.0, 2.0])
_LEAST_PWV_MM, _LEAST_TAU = 1e-3, 1e-5


@dataclass(frozen=True)
class Night:
    """The air of one night.

    Parameters
    ----------
    night
        Its number.
    visits, photometric
        How many, and how many of them are photometric.
    fitted
        Whether there were enough of these to tell the air; else priors tell most of it.
    values
        Parameters by name with their errors: those of ``fgcm_parameters``, and ``pwv_mm``.
    extinction
        Coefficient of each band with its error, mag per airmass.
    """

    night: int
    visits: int
    photometric: int
    fitted: bool
    values: dict[str, tuple[float, float]]
    extinction: dict[str, tuple[float, float]] = field(default_factory=dict)


def nights_of(of: Photometry, table: LookUpTable | None = None) -> list[Night]:
    """Return the nights in their order.

    Parameters
    ----------
    of
        The calibration.
    table
        Passbands, without which there are no extinction coefficients.
    """
    z, p = of.zero_points, of.parameters
    found = []
    for night in np.unique(z["night"]).tolist():
        mine = z["night"] == night
        flag = z["flag"][mine]
        values = _values(p, night)
        pressure = [
            info.pressure_hpa
            for v in np.unique(z["visit"][mine]).tolist()
            if (info := of.visits.get(v)) is not None and info.pressure_hpa is not None
        ]
        hpa = float(np.mean(pressure)) if pressure else float("nan")
        clear = (flag & PHOTOMETRIC) > 0
        found.append(
            Night(
                night,
                np.unique(z["visit"][mine]).size,
                np.unique(z["visit"][mine][clear]).size,
                bool(((flag & (IN_FIT | CLOUDY)) > 0).any()),
                values,
                _extinctions(table, of.bands, values, hpa) if table is not None else {},
            )
        )
    return found


def _values(p: Mapping[str, NDArray[Any]], night: int) -> dict[str, tuple[float, float]]:
    if not p:
        return {}
    rows = np.flatnonzero((p["night"] == night) & (p["physical_filter"] == ""))
    found = {str(p["name"][k]): (float(p["value"][k]), float(p["error"][k])) for k in rows}
    if "ln_pwv" in found:
        value, error = found["ln_pwv"]
        found["pwv_mm"] = float(np.exp(value)), float(np.exp(value) * error)
    return found


def _extinctions(
    table: LookUpTable, bands: list[str], values: Mapping[str, tuple[float, float]], hpa: float
) -> dict[str, tuple[float, float]]:
    names = ("pwv_mm", "ozone", "aerosol_tau", "aerosol_alpha")
    if not all(name in values for name in names):
        return {}
    known = {t.band for t in table.tables}
    air = np.array([values[name] for name in names])
    return {band: extinction(table, band, air, hpa) for band in bands if band in known}


def extinction(
    table: LookUpTable, band: str, air: Floats, pressure_hpa: float = float("nan")
) -> tuple[float, float]:
    """Return how much fainter stars are for each airmass, between 1 and 2, and its error.

    Parameters
    ----------
    table
        Passbands.
    band
        Band or physical filter.
    air
        Values and errors of water [mm], ozone [DU], aerosol depth and slope, shape (4, 2).
        Errors count as independent: ``fgcm_parameters`` has no covariances.
    pressure_hpa
        Pressure, NaN for that of the standard air.

    Returns
    -------
    value, error
        For a flat spectrum, mag per airmass.
    """
    least = np.array([_LEAST_PWV_MM, 1.0, _LEAST_TAU, -np.inf])
    center = np.maximum(air[:, 0], least)
    # The central values, then each one a standard deviation (at most its half) up and down.
    step = np.minimum(air[:, 1], np.where(np.arange(4) < 3, 0.5 * center, np.inf))
    trials = np.vstack([center, center + np.diag(step), center - np.diag(step)])
    pwv, ozone, tau, alpha = trials.T[:, :, None]
    i0 = table.evaluate(band, 0, pwv, ozone, tau, alpha, _AIRMASSES[None], pressure_hpa).i0
    coefficient = -2.5 * np.log10(i0[:, 1] / i0[:, 0])
    slope = (coefficient[1:5] - coefficient[5:]) / 2
    scaled = slope * np.where(step > 0, air[:, 1] / np.maximum(step, 1e-30), 0.0)
    return float(coefficient[0]), float(np.sqrt(np.sum(scaled**2)))
