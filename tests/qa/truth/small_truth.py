"""The truth of a small survey, as its files hold it: one visit of one detector."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits

VISIT, DETECTOR = 3, 0
SIDE, SIGMA_PIX, SCALE_ARCSEC = 384, 2.0, 0.2
N_STARS, N_GALAXIES = 220, 40
SKY_ELECTRON = 100.0
ELECTRON_PER_NJY = 0.5
FADE = 0.1
"""Relative loss of light from the middle of the detector to its edge in x."""
COLOR_TERM = 0.03
"""Magnitudes by which the detector's passband differs, per magnitude of colour."""
RA_DEG, DEC_DEG = 150.0, -12.0
GRID_NODES = 17


def light_at(x: Any) -> Any:
    """Return the light that reaches a place over that at the middle."""
    return 1 - FADE * (2 * np.asarray(x) / (SIDE - 1) - 1) ** 2


def sky_at(x: Any, y: Any) -> tuple[Any, Any]:
    """Return the sky of pixels: a plane is good enough here."""
    middle = (SIDE - 1) / 2
    dec = DEC_DEG + (np.asarray(y) - middle) * SCALE_ARCSEC / 3600
    ra = RA_DEG + (np.asarray(x) - middle) * SCALE_ARCSEC / 3600 / np.cos(np.radians(DEC_DEG))
    return ra, dec


def true_sources(seed: int = 4) -> dict[str, Any]:
    """Return stars and galaxies on a jittered lattice, stars of S/N 5 to 500."""
    rng = np.random.default_rng(seed)
    number = N_STARS + N_GALAXIES
    cells = rng.permutation(17 * 17)[:number]
    step = SIDE // 18
    x = 16 + step * (cells % 17) + rng.uniform(-3, 3, number)
    y = 16 + step * (cells // 17) + rng.uniform(-3, 3, number)
    snr = 10 ** rng.uniform(np.log10(5), np.log10(500), number)
    flux = snr * np.sqrt(SKY_ELECTRON * 4 * np.pi) * SIGMA_PIX
    color = rng.uniform(0.2, 2.0, number)
    bare = flux / light_at(x) / ELECTRON_PER_NJY
    ra, dec = sky_at(x, y)
    return {
        "detector": np.full(number, DETECTOR), "id": 100 + np.arange(number),
        "kind": (np.arange(number) >= N_STARS).astype(np.int32), "x": x, "y": y, "ra": ra,
        "dec": dec, "flux_electron": flux, "color": color,
        "mag": 31.4 - 2.5 * np.log10(bare) + COLOR_TERM * (color - 1), "snr": snr,
        "saturated": np.zeros(number, bool), "isolated": np.ones(number, bool),
        "psf_star": (snr > 50) & (np.arange(number) < N_STARS),
        "bright_reference_star": snr > 200,
    }  # fmt: skip


def write_truth(folder: Path) -> dict[str, Any]:
    """Write the tables and the images of one frame; return its sources."""
    s = true_sources()
    color = s.pop("color")
    star = s["kind"] == 0
    _put(folder / f"sources/visit={VISIT}/sources.parquet", s)
    for name, rows in (("stars", star), ("galaxies", ~star)):
        table = {
            "id": s["id"][rows], "ra": s["ra"][rows], "dec": s["dec"][rows], "mag": s["mag"][rows],
            "mag_g": s["mag"][rows] + color[rows], "mag_i": s["mag"][rows],
            "amplitude_mag": np.zeros(rows.sum()), "bulge_fraction": np.full(rows.sum(), 0.2),
            "disc_radius_arcsec": np.full(rows.sum(), 0.8), "axis_ratio": np.ones(rows.sum()),
            "bulge_radius_arcsec": np.full(rows.sum(), 0.3),
        }  # fmt: skip
        _put(folder / f"{name}.parquet", table)
    _put(folder / "detectors.parquet", {
        "visit": [VISIT], "detector": [DETECTOR], "band": ["r"], "electron_per_njy": [0.5],
        "electron_per_reference_njy": [ELECTRON_PER_NJY], "cloud_mag": [0.0],
        "sky_electron": [SKY_ELECTRON], "fwhm_arcsec": [2.3548 * SIGMA_PIX * SCALE_ARCSEC],
        "psf_stars": [30], "bright_reference_stars": [10],
    })  # fmt: skip
    nodes = np.linspace(0, SIDE - 1, GRID_NODES)
    x, y = (v.ravel() for v in np.meshgrid(nodes, nodes))
    ra, dec = sky_at(x, y)
    keys = {"visit": np.full(x.size, VISIT), "detector": np.full(x.size, DETECTOR)}
    _put(folder / "wcs.parquet", keys | {"x": x, "y": y, "ra": ra, "dec": dec})
    lamp = {"detector": keys["detector"], "physical_filter": ["sim_r"] * x.size, "x": x, "y": y}
    _put(folder / "illumination.parquet", lamp | {"star": 1 + 0 * x, "dome": 1 + 0.1 * x / SIDE})
    _write_images(folder / f"electrons/visit={VISIT}/electrons_{VISIT}_{DETECTOR}.fits", s)
    return s | {"color": color}


def _write_images(path: Path, s: dict[str, Any]) -> None:
    light = np.full((SIDE, SIDE), SKY_ELECTRON)
    for x, y, flux in zip(s["x"], s["y"], s["flux_electron"], strict=True):
        x0, y0 = max(round(x) - 12, 0), max(round(y) - 12, 0)
        v, u = np.mgrid[y0 : min(y0 + 25, SIDE), x0 : min(x0 + 25, SIDE)]
        shape = np.exp(-0.5 * ((u - x) ** 2 + (v - y) ** 2) / SIGMA_PIX**2)
        light[v, u] += flux / (2 * np.pi * SIGMA_PIX**2) * shape
    hits, flags = np.zeros((2, SIDE, SIDE))
    hits[100, 40:60] = 2000.0
    flags[:, 200:206] = 4
    flags[10:12, 10:12] = 1
    header = fits.Header([("HIERARCH FLAG SATURATED", 1), ("HIERARCH FLAG DEFECT", 2),
                          ("HIERARCH FLAG TRAIL", 4), ("HIERARCH FLAG GHOST", 8)])  # fmt: skip
    path.parent.mkdir(parents=True)
    fits.HDUList([
        fits.PrimaryHDU(), fits.ImageHDU(light.astype(np.float32), name="ELECTRONS"),
        fits.ImageHDU(hits.astype(np.int32), name="COSMIC_RAYS"),
        fits.ImageHDU(flags.astype(np.uint8), header, name="FLAGS"),
    ]).writeto(path)  # fmt: skip


def _put(path: Path, columns: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({n: pa.array(v) for n, v in columns.items()}), path)
