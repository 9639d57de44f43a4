"""Refraction by the air: how far, by wavelength, light is lifted towards the zenith.

Dispersion of standard air by Peck & Reeder (1972, JOSA 62, 958), scaled with the density of
the air; moisture by Birch & Downs (1993, Metrologia 30, 155); the angle by Stone's expansion
(1996, PASP 108, 1051). Good to a few parts in a thousand down to 20° altitude.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Air:
    """The air at the telescope.

    Parameters
    ----------
    pressure_hpa
        Total pressure.
    temperature_c
        Temperature.
    humidity_percent
        Relative humidity.
    """

    pressure_hpa: float
    temperature_c: float
    humidity_percent: float

    def refractivity(self, wavelength_nm: np.ndarray | float) -> np.ndarray:
        """Return ``n - 1`` at the ground."""
        sigma2 = (1e3 / np.asarray(wavelength_nm, dtype=float)) ** 2
        standard = 1e-8 * (8060.51 + 2480990.0 / (132.274 - sigma2) + 17455.7 / (39.32957 - sigma2))
        density = (self.pressure_hpa / 1013.25) * (288.15 / (self.temperature_c + 273.15))
        moisture = 1e-10 * (3.7345 - 0.0401 * sigma2) * self.vapour_pressure_pa()
        return standard * density - moisture

    def vapour_pressure_pa(self) -> float:
        """Return the partial pressure of water (Buck 1996)."""
        t = self.temperature_c
        saturated_pa = 611.21 * np.exp((18.678 - t / 234.5) * t / (257.14 + t))
        return float(self.humidity_percent / 100.0 * saturated_pa)

    def refraction_arcsec(
        self, wavelength_nm: np.ndarray | float, true_zenith_deg: np.ndarray | float
    ) -> np.ndarray:
        """Return by how much light appears closer to the zenith than it is.

        Parameters
        ----------
        wavelength_nm, true_zenith_deg
            Wavelength, and distance from the zenith without the air; broadcast together.
        """
        gamma = self.refractivity(wavelength_nm)
        # Scale height of the air over the radius of the Earth.
        beta = 0.001254 * (self.temperature_c + 273.15) / 273.15
        true = np.deg2rad(true_zenith_deg)
        bent = np.zeros(np.broadcast_shapes(np.shape(gamma), np.shape(true)))
        # The expansion is in the apparent distance: two rounds leave under 1e-5 of the angle.
        for _ in range(3):
            tangent = np.tan(true - bent)
            bent = gamma * ((1 - beta) * tangent - (beta - gamma / 2) * tangent**3)
        return np.rad2deg(bent) * 3600.0
