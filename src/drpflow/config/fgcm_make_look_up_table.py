"""The section ``fgcmMakeLookUpTable``: the air in which standard magnitudes are."""

from __future__ import annotations

from drpflow.config.base import StrictModel, param


class FgcmMakeLookUpTableConfig(StrictModel):
    """The standard air: changing it changes the standard magnitudes of stars by their colours."""

    pwv_mm: float = param(3.0, "precipitable water vapour", unit="mm", gt=0, le=30)
    ozone_dobson: float = param(263.0, "ozone column, in Dobson units", gt=0, le=600)
    aerosol_tau: float = param(0.03, "vertical optical depth of aerosols at 775 nm", gt=0, le=1)
    aerosol_alpha: float = param(
        1.0, "minus the slope of ln depth by ln wavelength of aerosols", ge=-1, le=4
    )
    airmass: float = param(1.2, "secant of the zenith distance", ge=1, le=4)
    pressure_hpa: float | None = param(
        None,
        "pressure at the site; unset: that of its elevation. Stands also for that of visits whose "
        "pressure is unknown",
        unit="hPa",
        gt=400,
        le=1100,
    )
