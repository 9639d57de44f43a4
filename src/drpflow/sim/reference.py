"""The reference catalogue: what a Gaia-like survey would have measured of the field.

Errors grow with magnitude as Gaia's do (fit to the DR3 summary, in microarcseconds for the
parallax: ``√(40 + 800 z + 30 z²)``, ``z = 10^(0.4 (max(G, 13) - 15))``), and the values are drawn
with them. Fluxes are AB, in passbands that are like, but not, the camera's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drpflow.sim.photometry import band_flux, mag_to_njy, reference_curve
from drpflow.sim.sed import SedLibrary
from drpflow.sim.streams import SkyStage, generator
from drpflow.sim.tables import write_table

if TYPE_CHECKING:
    from pathlib import Path

    from drpflow.sim.config import ReferenceConfig
    from drpflow.sim.survey import Survey

FIRST_REFERENCE_ID = 10_000_001
MAS_PER_DEG = 3.6e6

# Relative to the error of the parallax.
_POSITION_ERROR = 0.8
_MOTION_ERROR_PER_YEAR = 1.03

_UNITS = {
    "ra": "deg",
    "dec": "deg",
    "pm_ra": "mas yr-1",
    "pm_dec": "mas yr-1",
    "parallax": "mas",
    "epoch": "d",
    "ra_err": "mas",
    "dec_err": "mas",
    "pm_ra_err": "mas yr-1",
    "pm_dec_err": "mas yr-1",
    "parallax_err": "mas",
}


def parallax_error_mas(mag: np.ndarray) -> np.ndarray:
    """Return the error of parallaxes at magnitudes."""
    z = 10.0 ** (0.4 * (np.maximum(mag, 13.0) - 15.0))
    return np.sqrt(40.0 + 800.0 * z + 30.0 * z**2) / 1e3


def relative_flux_error(mag: np.ndarray, floor: float) -> np.ndarray:
    """Return the relative error of fluxes at magnitudes: 0.5 % at 18, 2.3 % at 20."""
    return np.hypot(floor, 0.012 * 10.0 ** (0.32 * (mag - 19.0)))


def reference_table(survey: Survey) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Draw the catalogue.

    Parameters
    ----------
    survey
        The survey.

    Returns
    -------
    columns : dict
        ``id``; ``ra``, ``dec`` [deg]; ``pm_ra``, ``pm_dec`` [mas yr⁻¹, cos dec included];
        ``parallax`` [mas]; ``epoch`` [MJD TAI]; their errors ``*_err`` (those of ``ra``
        and ``dec`` in mas on the sky); ``flux_<band>`` and ``flux_<band>_err`` [nJy].
    truth_id : ndarray
        Which star of the truth catalogue each row is.
    """
    rng = generator(survey.config.seed, SkyStage.REFERENCE)
    config = survey.config.reference
    stars = survey.catalog.stars[_entries(survey, rng)]
    columns = _astrometry(stars, config, rng)
    for band in sorted({f.band for f in survey.instrument.filters}):
        curve = reference_curve(survey.config, survey.throughputs, band)
        ratio = SedLibrary.interpolate(band_flux(survey.sed_library, curve), stars["sed"])
        flux = mag_to_njy(stars["mag"]) * ratio
        error = flux * relative_flux_error(stars["mag"], config.flux_floor)
        columns[f"flux_{band}"] = flux + error * rng.normal(size=len(stars))
        columns[f"flux_{band}_err"] = error
    return columns, stars["id"].copy()


def write_reference(survey: Survey, path: Path) -> None:
    """Write the catalogue as Parquet, units in the metadata of its fields."""
    columns, _ = reference_table(survey)
    units = dict(_UNITS)
    units.update({name: "nJy" for name in columns if name.startswith("flux_")})
    write_table(path, columns, units)


def _entries(survey: Survey, rng: np.random.Generator) -> np.ndarray:
    """Return which stars are in the catalogue, in an order that says nothing."""
    config, stars = survey.config.reference, survey.catalog.stars
    listed = (stars["mag"] > config.bright_mag) & (stars["mag"] < config.faint_mag)
    listed &= rng.uniform(size=len(stars)) >= config.missing_fraction
    listed &= ~_blended(stars, config)
    return rng.permutation(np.flatnonzero(listed))


def _blended(stars: np.ndarray, config: ReferenceConfig) -> np.ndarray:
    """Return which stars have a brighter one closer than the catalogue can resolve."""
    from scipy.spatial import cKDTree

    blended = np.zeros(len(stars), bool)
    if len(stars) < 2 or config.resolution_arcsec == 0:
        return blended
    center = np.deg2rad(np.median(stars["dec"]))
    around = (stars["ra"] - stars["ra"][0] + 180.0) % 360.0 - 180.0
    plane = np.stack([around * np.cos(center), stars["dec"]], axis=1)
    pairs = cKDTree(plane).query_pairs(config.resolution_arcsec / 3600, output_type="ndarray")
    fainter = np.where(stars["mag"][pairs[:, 0]] > stars["mag"][pairs[:, 1]], *pairs.T)
    blended[fainter] = True
    return blended


def _astrometry(
    stars: np.ndarray, config: ReferenceConfig, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Draw positions, motions and parallaxes with their errors."""
    number = len(stars)
    parallax_err = np.maximum(parallax_error_mas(stars["mag"]), config.position_floor_mas)
    position_err = np.maximum(_POSITION_ERROR * parallax_err, config.position_floor_mas)
    motion_err = _MOTION_ERROR_PER_YEAR * parallax_err
    noise = rng.normal(size=(5, number))
    dec = stars["dec"] + noise[1] * position_err / MAS_PER_DEG
    shift = noise[0] * position_err / MAS_PER_DEG / np.cos(np.deg2rad(stars["dec"]))
    return {
        "id": FIRST_REFERENCE_ID + np.arange(number, dtype=np.int64),
        "ra": (stars["ra"] + shift) % 360.0,
        "dec": dec,
        "pm_ra": stars["pm_ra"] + noise[2] * motion_err,
        "pm_dec": stars["pm_dec"] + noise[3] * motion_err,
        "parallax": stars["parallax"] + noise[4] * parallax_err,
        "epoch": np.full(number, config.epoch_mjd),
        "ra_err": position_err,
        "dec_err": position_err.copy(),
        "pm_ra_err": motion_err,
        "pm_dec_err": motion_err.copy(),
        "parallax_err": parallax_err,
    }
