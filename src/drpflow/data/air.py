"""What the air between a source and the telescope takes away, at chosen wavelengths.

The optical depth is a sum over five kinds of absorbers, each along the path that its height over
the ground gives it:

    depth(λ) = R(λ) P m_R + O(λ) O₃ m_O + τ (λ/λ₀)^-α m_A + W(λ, PWV m_W) + G(λ, m_R P/P₀)

R is Rayleigh scattering, O ozone, the third term aerosols. Water (W) and the mixed gases (G:
oxygen, nitrogen dioxide) absorb in lines far narrower than the steps of the table, and the strong
ones saturate: over an interval of wavelengths the depth of a column x under the pressure p = P/P₀
grows as

    a x / (1 + b x / p)^c

as the column itself while the lines are weak, and, where c = 1/2, as √(x p) once they are black in
the middle and grow by their wings, which collisions broaden (Leckner 1978, Solar Energy 20, 143,
has this form without p). Every term is smooth in every parameter.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Self, TypeAlias

import numpy as np

from drpflow.data.record import frozen_array

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

    Floats: TypeAlias = NDArray[np.float64]

PARAMETERS = ("ln_pwv", "ozone_dobson", "ln_tau", "alpha", "sec_z", "pressure_hpa")
"""What derivatives are taken by, in this order: natural logarithms of PWV and τ, the rest as is."""
AEROSOL_NM = 775.0
"""λ₀, at which the aerosol depth τ is given."""
SEA_LEVEL_HPA = 1013.25
"""P₀."""
ABSORPTION_COLUMNS = (
    "wavelength_nm",
    *("ozone", "water_a", "water_b", "water_c", "gas_a", "gas_b", "gas_c"),
)
"""Columns of a table of absorption."""
_EARTH_KM = 6371.0
# Molecules over 1 cm² under 1 hPa: N_A / (m g), with 28.9595 g/mol and, at the height of the centre
# of mass of the air over a site at 2 km, g = 978.3 cm/s² (latitude 30 degrees).
_MOLECULES_PER_CM2_HPA = 6.02214076e23 / (28.9595 * 978.3) * 1e3
# ICAO standard atmosphere below 11 km.
_LAPSE_PER_M = 2.25577e-5
_BAROMETRIC_POWER = 5.25588
# Heights over the ground that give each absorber's path. Those of air and ozone match the paths of
# MODTRAN at zenith distances of 70 and 78 degrees to 0.1 per cent.
AIR_KM, OZONE_KM, WATER_KM, AEROSOL_KM = 6.2, 18.0, 2.0, 1.5


@dataclass(frozen=True)
class AirState:
    """The air of one moment in one direction.

    Parameters
    ----------
    pwv_mm
        Precipitable water vapour over the site.
    ozone_dobson
        Ozone column.
    aerosol_tau, aerosol_alpha
        Vertical optical depth of aerosols at `AEROSOL_NM`, and minus its slope in log-log.
    sec_z
        Secant of the zenith distance.
    pressure_hpa
        At the site.
    """

    pwv_mm: float = 3.0
    ozone_dobson: float = 263.0
    aerosol_tau: float = 0.03
    aerosol_alpha: float = 1.0
    sec_z: float = 1.2
    pressure_hpa: float = SEA_LEVEL_HPA

    def values(self) -> tuple[float, ...]:
        """Return the parameters in the order in which functions take them."""
        return tuple(getattr(self, field.name) for field in fields(self))


def shell_airmass(sec_z: Floats, height_km: float) -> tuple[Floats, Floats]:
    """Return the path through a thin shell, in vertical ones, and its derivative by sec z.

    ``m = [1 - k² (1 - 1/sec²z)]^(-1/2)``, k = R / (R + h): exact for a thin shell (ozone); to
    first order in h/R also for an exponential atmosphere of scale height h.
    """
    k2 = (_EARTH_KM / (_EARTH_KM + height_km)) ** 2
    airmass = 1 / np.sqrt(1 - k2 * (1 - sec_z**-2.0))
    return airmass, k2 * (airmass / sec_z) ** 3


def rayleigh_depth_per_hpa(wavelength_nm: ArrayLike) -> Floats:
    """Return the optical depth of Rayleigh scattering of a vertical column of 1 hPa.

    The cross-section is the fit of Bodhaine et al. (1999, J. Atmos. Oceanic Technol. 16, 1854,
    equation 29), good to 0.01 per cent from 250 to 850 nm.
    """
    um2 = (np.asarray(wavelength_nm, np.float64) / 1e3) ** 2
    numerator = 1.0455996 - 341.29061 / um2 - 0.90230850 * um2
    denominator = 1 + 0.0027059889 / um2 - 85.968563 * um2
    return 1e-28 * numerator / denominator * _MOLECULES_PER_CM2_HPA


def standard_pressure_hpa(elevation_m: float) -> float:
    """Return the mean pressure at a height over the sea (ICAO standard atmosphere)."""
    return SEA_LEVEL_HPA * (1 - _LAPSE_PER_M * elevation_m) ** _BAROMETRIC_POWER


@dataclass(frozen=True, eq=False)
class AirAbsorption:
    """Coefficients of the optical depth at n wavelengths.

    Parameters
    ----------
    wavelength_nm
        Shape (n,), in any order.
    rayleigh
        Depth per hPa, shape (n,).
    ozone
        Depth per Dobson unit, shape (n,).
    water
        a [mm⁻¹], b [mm⁻¹] and c of the curve of growth, shape (3, n).
    gases
        The same for columns in vertical ones at `SEA_LEVEL_HPA`, shape (3, n).
    """

    wavelength_nm: Floats
    rayleigh: Floats
    ozone: Floats
    water: Floats
    gases: Floats

    def __post_init__(self) -> None:
        wavelength = frozen_array(self.wavelength_nm, ndim=1)
        for field in fields(self):
            ndim = 2 if field.name in ("water", "gases") else 1
            values = frozen_array(getattr(self, field.name), ndim=ndim)
            wanted = (3, wavelength.size) if ndim == 2 else (wavelength.size,)
            if values.shape != wanted or not (np.isfinite(values) & (values >= 0)).all():
                raise ValueError(f"{field.name} must be finite, not negative, of shape {wanted}")
            object.__setattr__(self, field.name, values)

    def __len__(self) -> int:
        return self.wavelength_nm.size

    @classmethod
    def from_columns(cls, columns: Mapping[str, Floats]) -> Self:
        """Return the coefficients of a table with the `ABSORPTION_COLUMNS`.

        Raises
        ------
        ValueError
            If wavelengths do not rise, or a coefficient is negative or not finite.
        """
        wavelength = columns["wavelength_nm"]
        if wavelength.size < 2 or not (np.diff(wavelength) > 0).all():
            raise ValueError("the wavelengths do not rise from row to row")
        return cls(
            wavelength,
            rayleigh_depth_per_hpa(wavelength),
            columns["ozone"],
            np.array([columns[f"water_{name}"] for name in "abc"]),
            np.array([columns[f"gas_{name}"] for name in "abc"]),
        )

    def take(self, rows: NDArray[np.intp]) -> AirAbsorption:
        """Return the coefficients of some of the wavelengths, in the order asked for."""
        return AirAbsorption(*(getattr(self, f.name)[..., rows] for f in fields(self)))

    def transmission(
        self,
        pwv_mm: ArrayLike,
        ozone_dobson: ArrayLike,
        aerosol_tau: ArrayLike,
        aerosol_alpha: ArrayLike,
        sec_z: ArrayLike,
        pressure_hpa: ArrayLike,
    ) -> Floats:
        """Return the share of the light that passes, shape (..., n) for broadcast parameters."""
        terms = self._terms(
            *_columns(pwv_mm, ozone_dobson, aerosol_tau, aerosol_alpha, sec_z, pressure_hpa)
        )
        return np.exp(-terms.depth)

    def depth_and_derivatives(
        self,
        pwv_mm: ArrayLike,
        ozone_dobson: ArrayLike,
        aerosol_tau: ArrayLike,
        aerosol_alpha: ArrayLike,
        sec_z: ArrayLike,
        pressure_hpa: ArrayLike,
    ) -> tuple[Floats, Floats]:
        """Return the optical depth and its derivatives by the `PARAMETERS`.

        Parameters
        ----------
        pwv_mm, ozone_dobson, aerosol_tau, aerosol_alpha, sec_z, pressure_hpa
            As in :class:`AirState`; arrays that broadcast.

        Returns
        -------
        depth : ndarray, shape (..., n)
        derivatives : ndarray, shape (6, ..., n)
        """
        p = _columns(pwv_mm, ozone_dobson, aerosol_tau, aerosol_alpha, sec_z, pressure_hpa)
        terms = self._terms(*p)
        return terms.depth, terms.derivatives(p[5], self)

    def _terms(
        self, pwv: Floats, ozone: Floats, tau: Floats, alpha: Floats, sec_z: Floats, p_hpa: Floats
    ) -> _Terms:
        air, d_air = shell_airmass(sec_z, AIR_KM)
        high, d_high = shell_airmass(sec_z, OZONE_KM)
        wet, d_wet = shell_airmass(sec_z, WATER_KM)
        low, d_low = shell_airmass(sec_z, AEROSOL_KM)
        ratio = p_hpa / SEA_LEVEL_HPA
        ln_nm = np.log(self.wavelength_nm / AEROSOL_NM)
        water = curve_of_growth(pwv * wet, ratio, self.water)
        gases = curve_of_growth(air * ratio, ratio, self.gases)
        return _Terms(
            rayleigh=self.rayleigh * (p_hpa * air),
            ozone_slope=self.ozone * high,
            ozone_dobson=ozone,
            aerosol=np.exp(-alpha * ln_nm) * (tau * low),
            water=water,
            gases=gases,
            path_slopes=(d_air / air, d_high / high, d_low / low, d_wet / wet),
        )


@dataclass(frozen=True, eq=False)
class _Terms:
    """The terms of the optical depth; water and mixed gases with their derivatives by ln column."""

    rayleigh: Floats
    ozone_slope: Floats
    ozone_dobson: Floats
    aerosol: Floats
    water: tuple[Floats, Floats]
    gases: tuple[Floats, Floats]
    path_slopes: tuple[Floats, Floats, Floats, Floats]

    @property
    def ozone(self) -> Floats:
        return self.ozone_slope * self.ozone_dobson

    @property
    def depth(self) -> Floats:
        """The optical depth, all absorbers together."""
        return self.rayleigh + self.ozone + self.aerosol + self.water[0] + self.gases[0]

    def derivatives(self, pressure: Floats, air: AirAbsorption) -> Floats:
        """Return the derivatives of the depth by the parameters, in the order of `PARAMETERS`."""
        ln_air, ln_high, ln_low, ln_wet = self.path_slopes
        water, by_water = self.water
        gases, by_gases = self.gases
        # The mixed gases are as p m / (1 + b m)^c: their depth is as the pressure.
        by_pressure = self.rayleigh + (water - by_water) + gases
        return np.stack(
            [
                by_water,
                self.ozone_slope,
                self.aerosol,
                -self.aerosol * np.log(air.wavelength_nm / AEROSOL_NM),
                (self.rayleigh + by_gases) * ln_air
                + self.ozone * ln_high
                + self.aerosol * ln_low
                + by_water * ln_wet,
                by_pressure / pressure,
            ]
        )


def _columns(*parameters: ArrayLike) -> tuple[Floats, ...]:
    """Return broadcast parameters with an axis for the wavelengths."""
    arrays = np.broadcast_arrays(*(np.asarray(p, np.float64) for p in parameters))
    return tuple(array[..., None] for array in arrays)


def curve_of_growth(
    column: Floats, pressure: Floats | float, coefficients: Floats | tuple[float, ...]
) -> tuple[Floats, Floats]:
    """Return the depth ``a x / (1 + b x / p)^c`` and its derivative by ln x.

    That by ln p is the difference of the two.
    """
    a, b, c = coefficients
    saturation = b * column / pressure
    depth = a * column * (1 + saturation) ** -c
    return depth, depth * (1 - c * saturation / (1 + saturation))
