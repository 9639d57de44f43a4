"""Where the Earth stands with respect to the barycentre of the solar system.

Keplerian ellipses of the Earth-Moon barycentre and the four giant planets with linearly changing
elements (Standish & Williams, "Approximate positions of the planets", valid 1800 to 2050;
Explanatory Supplement to the Astronomical Almanac, 3rd ed., table 8.10.2). The giants pull the Sun
up to 0.01 AU off the barycentre. Left out: the Earth's monthly swing (3e-5 AU). The position is
good to 2e-4 AU, so that the parallax of a star is good to two parts in 10⁴, at the price of five
Kepler equations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_J2000_MJD_TAI = 51544.5 - 32.184 / 86400
_OBLIQUITY_RAD = np.radians(23.43928)

# a [AU], e, i, mean longitude, longitude of perihelion, of the node [deg]; change in a century.
_EARTH_MOON = (
    (1.00000261, 0.01671123, -0.00001531, 100.46457166, 102.93768193, 0.0),
    (0.00000562, -0.00004392, -0.01294668, 35999.37244981, 0.32327364, 0.0),
)
# The same, after the mass of the Sun over that of the planet.
_GIANTS = (
    (
        1047.3486,
        (5.20288700, 0.04838624, 1.30439695, 34.39644051, 14.72847983, 100.47390909),
        (-0.00011607, -0.00013253, -0.00183714, 3034.74612775, 0.21252668, 0.20469106),
    ),
    (
        3497.898,
        (9.53667594, 0.05386179, 2.48599187, 49.95424423, 92.59887831, 113.66242448),
        (-0.00125060, -0.00050991, 0.00193609, 1222.49362201, -0.41897216, -0.28867794),
    ),
    (
        22902.98,
        (19.18916464, 0.04725744, 0.77263783, 313.23810451, 170.95427630, 74.01692503),
        (-0.00196176, -0.00004397, -0.00242939, 428.48202785, 0.40805281, 0.04240589),
    ),
    (
        19412.24,
        (30.06992276, 0.00859048, 1.77004347, -55.12002969, 44.96476227, 131.78422574),
        (0.00026291, 0.00005105, 0.00035372, 218.45945325, -0.32241464, -0.00508664),
    ),
)


def earth_position_au(mjd_tai: float) -> NDArray[np.float64]:
    """Return the Earth's barycentric position, ICRS axes, AU, shape (3,).

    Parameters
    ----------
    mjd_tai
        Time, MJD TAI.
    """
    centuries = (mjd_tai - _J2000_MJD_TAI) / 36525.0
    position = _heliocentric_au(*_EARTH_MOON, centuries)
    for sun_over_planet, elements, rates in _GIANTS:
        # The Sun stands opposite the planet; masses of the others are negligible in the sum.
        position = position - _heliocentric_au(elements, rates, centuries) / (1 + sun_over_planet)
    x, y, z = position
    c, s = np.cos(_OBLIQUITY_RAD), np.sin(_OBLIQUITY_RAD)
    return np.array([x, c * y - s * z, s * y + c * z])


def _heliocentric_au(
    elements: tuple[float, ...], rates: tuple[float, ...], centuries: float
) -> NDArray[np.float64]:
    """Return the place on an ellipse, ecliptic axes of J2000."""
    now = np.array(elements) + centuries * np.array(rates)
    a, e = now[:2]
    inclination, longitude, perihelion, node = np.radians(now[2:])
    anomaly = _eccentric_anomaly((longitude - perihelion) % (2 * np.pi), e)
    u, v = a * (np.cos(anomaly) - e), a * np.sqrt(1 - e * e) * np.sin(anomaly)
    turn = perihelion - node
    along = u * np.cos(turn) - v * np.sin(turn)
    across = u * np.sin(turn) + v * np.cos(turn)
    return np.array(
        [
            along * np.cos(node) - across * np.cos(inclination) * np.sin(node),
            along * np.sin(node) + across * np.cos(inclination) * np.cos(node),
            across * np.sin(inclination),
        ]
    )


def _eccentric_anomaly(mean_anomaly: float, e: float) -> float:
    """Solve Kepler's equation by Newton's method; e < 0.06 here, so that four steps suffice."""
    anomaly = mean_anomaly + e * np.sin(mean_anomaly)
    for _ in range(4):
        anomaly -= (anomaly - e * np.sin(anomaly) - mean_anomaly) / (1 - e * np.cos(anomaly))
    return float(anomaly)
