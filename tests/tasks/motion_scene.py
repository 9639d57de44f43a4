"""Groups of sources of stars with known motions, as fitStellarMotions reads them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drpflow.data.earth_orbit import earth_position_au
from drpflow.data.motion_input import MATCH_COLUMNS, MotionInput, SolvedVisits

RA, DEC = 0.0002, -25.0
MJD = np.array([60000.0, 60003, 60095, 60180, 60290, 60370, 60460, 60560, 60700, 60731])
BANDS = ["g", "i"] * 5
PIECE = 12
REFERENCE_COLOR = 0.8
PM_RA, PM_DEC, PARALLAX = 40.0, -25.0, 6.0
FLUX = {"g": 4e4, "i": 1e5}
"""g - i = 1.0."""
_MAS_PER_RAD = 180 * 3.6e6 / np.pi


def seen(mjd: float, refraction: NDArray, color: float) -> tuple[float, float]:
    """Return where a star is seen that stands at the place in the middle of the visits."""
    ra, dec = np.radians([RA, DEC])
    east = np.array([-np.sin(ra), np.cos(ra), 0.0])
    out = np.array([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
    north = np.cross(out, east)
    years = (mjd - MJD.mean()) / 365.25
    shift = PM_RA * years * east + PM_DEC * years * north - PARALLAX * earth_position_au(mjd)
    shift = shift + (color - REFERENCE_COLOR) * (refraction[0] * east + refraction[1] * north)
    x, y, z = out + shift / _MAS_PER_RAD
    return float(np.degrees(np.arctan2(y, x)) % 360), float(
        np.degrees(np.arctan2(z, np.hypot(x, y)))
    )


def refractions() -> NDArray:
    """Return mas for a magnitude, east and north, of each visit: strong in g."""
    turn = np.linspace(0, 3, MJD.size)
    strength = np.where(np.array(BANDS) == "g", 30.0, 3.0)
    return strength[:, None] * np.column_stack([np.cos(turn), np.sin(turn)])


def scene(n: int = 30, error_mas: float = 20.0, color: float = 1.0, seed: int = 1) -> MotionInput:
    """Return n groups of the same star, with errors of their own, 10 visits each."""
    rng = np.random.default_rng(seed)
    refraction = refractions()
    places = np.array([seen(t, d, color) for t, d in zip(MJD, refraction, strict=True)])
    k = MJD.size
    star, visit = np.repeat(np.arange(n), k), np.tile(np.arange(k), n)
    noise = rng.normal(0, error_mas / 3.6e6, (n * k, 2))
    cosine = np.cos(np.radians(DEC))
    flux = np.array([FLUX[b] for b in BANDS])[visit]
    match_id = 1000 + np.arange(n)
    rows: dict[str, Any] = {
        "source_match_id": match_id[star],
        "sourceId": (visit.astype(np.int64) << 30) + star,
        "visit": visit + 1,
        "detector": np.zeros(n * k, np.int16),
        "ra": (places[visit, 0] + noise[:, 0] / cosine) % 360,
        "dec": places[visit, 1] + noise[:, 1],
        "xErr": np.full(n * k, error_mas / 200),
        "yErr": np.full(n * k, error_mas / 200),
        "x_y_Cov": np.zeros(n * k),
        "psfFlux": flux * rng.normal(1, 0.01, n * k),
        "psfFluxErr": flux * 0.01,
        "usable": np.ones(n * k, bool),
    }
    scale = 0.2 / 3600
    rows |= {
        f"localWcs_CDMatrix_{i}_{j}": np.full(n * k, scale * (i == j))
        for i in (1, 2)
        for j in (1, 2)
    }
    matches: dict[str, Any] = {
        "source_match_id": match_id,
        "ra": np.full(n, RA),
        "dec": np.full(n, DEC),
        "snr": np.full(n, 100.0),
        "extendedness": np.zeros(n),
        "n_source": np.full(n, k),
        "span": np.full(n, np.ptp(MJD)),
        "reference_id": np.zeros(n, np.int64),
        "flag": np.zeros(n, np.int64),
    }
    assert set(matches) == set(MATCH_COLUMNS)
    number = np.arange(1, k + 1)
    return MotionInput(
        matches=matches,
        rows=rows,
        mjd=dict(zip(number.tolist(), MJD.tolist(), strict=True)),
        band=dict(zip(number.tolist(), BANDS, strict=True)),
        detectors={
            "visit": number,
            "detector": np.zeros(k, np.int64),
            "wcs_skypix": np.full(k, PIECE),
            "wcs_error": np.full(k, 1e-6),
        },
        solved=SolvedVisits(
            number, np.full(k, PIECE), np.full(k, 0.5), refraction, np.full((k, 2), 0.01),
            REFERENCE_COLOR, ("g", "i"),
        ),
    )  # fmt: skip


def without(given: MotionInput, rows: NDArray[np.bool_]) -> MotionInput:
    """Return an input without some of its sources."""
    kept = {name: values[~rows] for name, values in given.rows.items()}
    times = np.bincount(kept["source_match_id"] - 1000, minlength=given.matches["ra"].size)
    return replace(given, rows=kept, matches=given.matches | {"n_source": times})
