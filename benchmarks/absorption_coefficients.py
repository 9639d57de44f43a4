"""Make ``config/atmosphere/absorption.csv``: what ozone, water and mixed gases absorb.

    python benchmarks/absorption_coefficients.py [--sites subaru2] [--output FILE]

From the transmissions that MODTRAN gave for Maunakea (605 hPa) and Cerro Pachón (732 hPa), as FGCM
carries them (``../shared/data/throughput_atmosphere``): a curve of growth is fitted at every
wavelength of the table, to means of the transmission over the triangle that linear interpolation
between the table's wavelengths makes. ``--sites subaru2`` fits Maunakea alone, so that Cerro Pachón
becomes a prediction. Takes about 30 s.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import modtran
import numpy as np
from modtran import PWV_MM, SEC_Z

from drpflow.data.air import (
    AIR_KM,
    OZONE_KM,
    SEA_LEVEL_HPA,
    WATER_KM,
    curve_of_growth,
    shell_airmass,
)
from drpflow.io.atomic import write_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

FOLDER = Path(__file__).parents[1] / "../shared/data/throughput_atmosphere"
OUTPUT = Path(__file__).parents[1] / "config/atmosphere/absorption.csv"
STEP_NM = 2.0
NODES_NM = np.arange(300.0, 1100.0 + STEP_NM / 2, STEP_NM)
HEADER = """\
# Absorption by ozone, water vapour and mixed gases (oxygen, nitrogen dioxide). Optical depth of
# ozone: its column in DU times `ozone`; of the others: a x (1 + b x / p)^-c, with p the pressure
# over 1013.25 hPa, x mm of water or p times the airmass of the mixed gases. Made by
# benchmarks/absorption_coefficients.py from tables by MODTRAN in FGCM (E. Rykoff, Apache-2.0).
"""


@dataclass(frozen=True)
class Depths:
    """Mean optical depths of one site at `NODES_NM`."""

    pressure: float
    water: Floats
    ozone: Floats
    gases: Floats


def read_depths(name: str) -> Depths:
    """Read a site's table; the airs of its third PWV are those of its second."""
    site = modtran.read_site(FOLDER, name)
    return Depths(
        site.pressure_hpa / SEA_LEVEL_HPA,
        mean_depth(site.wavelength_nm, site.water[:2]),
        mean_depth(site.wavelength_nm, site.ozone[0]),
        mean_depth(site.wavelength_nm, site.gases),
    )


def mean_depth(wavelength: Floats, transmission: Floats) -> Floats:
    """Return minus the logarithm of the mean transmission over each node's triangle."""
    hats = np.clip(1 - np.abs(wavelength - NODES_NM[:, None]) / STEP_NM, 0, None)
    hats /= hats.sum(axis=1, keepdims=True)
    return -np.log(np.clip(np.asarray(transmission, float) @ hats.T, 1e-12, 1.0))


def fit_growth(column: Floats, pressure: Floats, depth: Floats) -> Floats:
    """Return a, b and c that match transmissions best, at one wavelength."""
    from scipy.optimize import least_squares

    if depth.max() < 2e-5:
        return np.zeros(3)
    logistic = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731

    def residuals(q: Floats) -> Floats:
        found = curve_of_growth(column, pressure, (np.exp(q[0]), np.exp(q[1]), logistic(q[2])))[0]
        return np.exp(-found) - np.exp(-depth)

    slope = np.log(max(depth[0] / column[0], 1e-7))
    bounds = ([-25, -14, -4], [5, 8, 4])
    trials = [least_squares(residuals, [slope, b, 0.0], bounds=bounds) for b in (-4.0, -1.0, 2.0)]
    best = min(trials, key=lambda trial: trial.cost).x
    return np.array([np.exp(best[0]), np.exp(best[1]), logistic(best[2])])


def columns(name: str, site: Depths) -> tuple[Floats, Floats]:
    """Return the columns of water and of the mixed gases for which a site's table stands."""
    wet = shell_airmass(np.array(SEC_Z), WATER_KM)[0]
    return np.outer(PWV_MM[name], wet).ravel(), shell_airmass(np.array(SEC_Z), AIR_KM)[
        0
    ] * site.pressure


def fit_table(names: list[str]) -> Floats:
    """Return the columns of the table, shape (8, n)."""
    sites = {name: read_depths(name) for name in names}
    each = [columns(name, site) for name, site in sites.items()]
    water_x, gas_x = (np.concatenate(x) for x in zip(*each, strict=True))
    water_p = np.concatenate([np.full(6, s.pressure) for s in sites.values()])
    gas_p = np.concatenate([np.full(3, s.pressure) for s in sites.values()])
    water = np.concatenate([s.water.reshape(6, -1) for s in sites.values()])
    gases = np.concatenate([s.gases for s in sites.values()])
    path = shell_airmass(np.array(SEC_Z), OZONE_KM)[0] * modtran.OZONE_DOBSON[0]
    weight = np.exp(-np.concatenate([s.ozone for s in sites.values()]))
    ozone = np.concatenate([s.ozone / path[:, None] for s in sites.values()])
    rows = [NODES_NM, np.average(ozone, axis=0, weights=weight)]
    rows += list(np.transpose([fit_growth(water_x, water_p, d) for d in water.T]))
    rows += list(np.transpose([fit_growth(gas_x, gas_p, d) for d in gases.T]))
    return np.array(rows)


def check(table: Floats, name: str) -> None:
    """Print how far a table's transmissions are from a site's."""
    site = read_depths(name)
    water_x, gas_x = columns(name, site)
    for what, x, coefficients, depth in (
        ("water", water_x, table[2:5], site.water.reshape(6, -1)),
        ("mixed gases", gas_x, table[5:8], site.gases),
    ):
        found = curve_of_growth(x[:, None], site.pressure, coefficients)[0]
        off = np.exp(-found) - np.exp(-depth)
        print(f"{name:8s} {what:12s} rms error of transmission {np.sqrt(np.mean(off**2)):.5f}")


def main() -> None:
    """Fit and write, or check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--sites", nargs="+", choices=list(PWV_MM), default=list(PWV_MM))
    args = parser.parse_args()
    table = fit_table(args.sites)
    for name in PWV_MM:
        check(table, name)
    lines = ["wavelength_nm,ozone,water_a,water_b,water_c,gas_a,gas_b,gas_c"]
    lines += [",".join(f"{value:.5g}" for value in row) for row in table.T]
    write_text(args.output, HEADER + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
