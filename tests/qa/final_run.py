"""A run with first and final sources whose scatter is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from drpflow.data.component_table import ComponentRow, ComponentTable
from drpflow.data.detector_info import DetectorInfo
from drpflow.data.exposure import Exposure
from drpflow.data.mask import Mask
from drpflow.data.visit_info import VisitInfo
from drpflow.io.schemas import load_schema
from drpflow.io.store import Store
from tests.qa.calibrated_run import DETECTORS, SIDE, wcs
from tests.qa.photometric_run import columns_of, put

VISITS, BANDS = range(1, 9), "grgrgrgr"
RA_DEG = 150.1
N_STARS, N_GALAXIES, N_SKY = 90, 30, 20
FIRST_MMAG, FINAL_MMAG = 20.0, 10.0
"""Scatter of a magnitude from visit to visit."""
FIRST_MAS, FINAL_MAS = 12.0, 6.0
FIRST_SIZE, FINAL_SIZE = 0.02, 0.01
"""Scatter of dT/T."""
FIRST_WRONG = 0.1
"""Share of the sources that the first look calls otherwise in a visit; the final one calls none."""
TRANSIENT_VISITS, TRANSIENT_NJY = (3, 4, 5), 5e4
SKYPIX = 107049
SNR = 200.0
DEPTH_MAG = 23.0
MISSING = (2, 3)
"""Visit and detector without final sources."""
_MAS = 1 / 3.6e6


def sky_of(rng: np.random.Generator) -> dict[str, Any]:
    """Return true objects: places on detectors that all visits share, fluxes, classes."""
    number = N_STARS + N_GALAXIES
    k = np.arange(number)
    return {
        "detector": k % 4, "x": rng.uniform(20, SIDE - 20, number),
        "y": rng.uniform(20, SIDE - 20, number), "flux": 10 ** rng.uniform(3.6, 5, number),
        "star": k < N_STARS, "id": 1 + k,
    }  # fmt: skip


def write_final_run(root: Path) -> Store:
    """Write eight visits of four detectors, by `source` but for the last visit."""
    store, rng = Store(root), np.random.default_rng(23)
    sky = sky_of(rng)
    isolated = []
    for visit, band in zip(VISITS, BANDS, strict=True):
        info = VisitInfo(
            visit=visit, instrument="testcam", physical_filter=f"sim_{band}", band=band,
            night="20250203", exposure_time_s=30.0, mjd=60710.0 + visit,
        )  # fmt: skip
        store.put(info, "visit_info", visit=visit)
        _write_summary(store, visit)
        first = _sources(sky, visit, rng, final=False)
        put(store, "initial_stars", first, visit=visit)
        final = _sources(sky, visit, rng, final=True)
        _write_final(store, visit, final)
        star = sky["star"]
        isolated.append((sky["id"][star], first["sourceId"][: star.size][star], visit, band))
    _write_isolated(store, isolated)
    _write_image(store)
    return store


def _sources(
    sky: dict[str, Any], visit: int, rng: np.random.Generator, *, final: bool
) -> dict[str, Any]:  # fmt: skip
    number = sky["x"].size
    schema = "source" if final else "initial_stars"
    mmag, mas = (FINAL_MMAG, FINAL_MAS) if final else (FIRST_MMAG, FIRST_MAS)
    size = FINAL_SIZE if final else FIRST_SIZE
    ra, dec = np.zeros(number), np.zeros(number)
    for d in range(4):
        mine = sky["detector"] == d
        ra[mine], dec[mine] = wcs(d, RA_DEG).pixel_to_world_values(sky["x"][mine], sky["y"][mine])
    extended = ~sky["star"]
    if not final:
        extended = extended ^ (rng.uniform(size=number) < FIRST_WRONG)
    flux = sky["flux"] * 10 ** (0.4e-3 * mmag * rng.normal(size=number))
    trace = 8.0 * (1 + size * rng.normal(size=number))
    band = BANDS[visit - 1]
    given = {
        "visit": visit, "detector": sky["detector"], "sourceId": 1000 * visit + sky["id"],
        "x": sky["x"], "y": sky["y"], "ra": ra + mas * _MAS * rng.normal(size=number),
        "dec": dec + mas * _MAS * rng.normal(size=number), "raErr": 5 * _MAS, "decErr": 5 * _MAS,
        "psfFlux": flux, "psfFluxErr": sky["flux"] / SNR, "calibFlux": flux,
        "calibFluxErr": sky["flux"] / SNR, "ixx": trace / 2, "iyy": trace / 2, "ixxPSF": 4.0,
        "iyyPSF": 4.0, "ixxErr": 0.01, "iyyErr": 0.01, "extendedness": extended.astype(float),
        "detect_isPrimary": True,
    }  # fmt: skip
    if not final:
        return columns_of(schema, number, **given)
    made = columns_of(schema, number, **given, band=band, physical_filter=f"sim_{band}",
                      deblend_nPeaks=1, pixelFlags_artifactCenter=sky["id"] == 1)  # fmt: skip
    made["psfFlux_flag"][:] = False
    return _join(made, _more(visit, rng))


def _more(visit: int, rng: np.random.Generator) -> dict[str, Any]:
    """Return places of sky with fluxes of unit significance, and the transient if it shines."""
    x = rng.uniform(0, SIDE, N_SKY)
    rows = columns_of(
        "source", N_SKY, visit=visit, detector=0, sourceId=1000 * visit + 500 + np.arange(N_SKY),
        x=x, y=x, psfFlux=100 * rng.normal(size=N_SKY), psfFluxErr=100.0, sky_source=True,
        ra=10.0, dec=10.0, extendedness=np.nan,
    )  # fmt: skip
    if visit not in TRANSIENT_VISITS:
        return rows
    ra, dec = transient_place()
    one = columns_of(
        "source", 1, visit=visit, detector=1, sourceId=1000 * visit + 999, x=300.0, y=8.0, ra=ra,
        dec=dec, psfFlux=TRANSIENT_NJY * visit, psfFluxErr=500.0, detect_isPrimary=True,
        extendedness=0.0,
    )  # fmt: skip
    return _join(rows, one)


def transient_place() -> tuple[float, float]:
    """Return where the transient is: pixel (300, 8) of detector 1."""
    ra, dec = wcs(1, RA_DEG).pixel_to_world_values(300.0, 8.0)
    return float(ra), float(dec)


def _join(*parts: dict[str, Any]) -> dict[str, Any]:
    return {n: np.concatenate([p[n] for p in parts]) for n in parts[0]}


def _write_final(store: Store, visit: int, final: dict[str, Any]) -> None:
    """Write ``source``; of the last visit the tables of its detectors alone."""
    for d in range(4):
        rows = final["detector"] == d
        if (visit, d) == MISSING:
            final = {n: v[~rows] for n, v in final.items()}
        elif visit == VISITS[-1]:
            part = {n: v[rows] for n, v in final.items()}
            put(store, "final_source_detector", part, visit=visit, detector=d)
    if visit != VISITS[-1]:
        put(store, "source", final, visit=visit)


def _write_summary(store: Store, visit: int) -> None:
    rows = {
        d.id: ComponentRow({
            "detector": DetectorInfo(d, "testcam"),
            "wcs": replace(wcs(d.id, RA_DEG), pixel_shape=(SIDE, SIDE)),
        })
        for d in DETECTORS
    }  # fmt: skip
    names = {c.name for c in load_schema("final_visit_summary").columns}
    given: dict[str, Any] = {"magLim": DEPTH_MAG}
    for corner, (x, y) in {
        "llc": (0, 0), "lrc": (SIDE, 0), "urc": (SIDE, SIDE), "ulc": (0, SIDE),
    }.items():  # fmt: skip
        sky = [wcs(d.id, RA_DEG).pixel_to_world_values(float(x), float(y)) for d in DETECTORS]
        given |= {f"{corner}ra": [s[0] for s in sky], f"{corner}dec": [s[1] for s in sky]}
    columns = columns_of("final_visit_summary", 4, **{n: v for n, v in given.items() if n in names})
    kept = {n: v for n, v in columns.items() if n not in ("visit", "detector")}
    store.put(ComponentTable(rows, kept), "final_visit_summary", visit=visit)


def _write_isolated(store: Store, isolated: list[tuple[Any, ...]]) -> None:
    parts = [
        columns_of(
            "isolated_stars_source",
            len(star),
            isolated_star_id=star,
            sourceId=source,
            visit=visit,
            band=band,
            mjd=60710.0 + visit,
        )
        for star, source, visit, band in isolated
    ]
    put(store, "isolated_stars_source", _join(*parts), skypix=SKYPIX)


def _write_image(store: Store) -> None:
    """Write one final image of visit 1."""
    image = np.random.default_rng(3).normal(0, 5, (SIDE, SIDE)).astype(np.float32)
    made = Exposure(image, Mask.zeros(image.shape), np.full(image.shape, 25, np.float32),
                    unit="nJy", components={"detector": DetectorInfo(DETECTORS[1], "testcam")},
                    missing={"visit_info": "none"})  # fmt: skip
    store.put(made, "pvi", visit=1, detector=1)
