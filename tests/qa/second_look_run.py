"""A run with products of the second look whose numbers are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from drpflow.data.background import Background, MeshLayer, PolynomialLayer
from drpflow.data.component_table import ComponentRow, ComponentTable
from drpflow.data.detector_info import DetectorInfo
from drpflow.data.geometry import Box
from drpflow.data.visit_info import VisitInfo
from drpflow.io.atomic import write_json
from drpflow.io.schemas import load_schema
from drpflow.io.store import Store
from tests.qa.calibrated_run import DETECTORS, SIDE, wcs
from tests.qa.photometric_run import columns_of, put

BANDS = "rgr"
"""Of visits 1 to 3."""
SECONDS = 30.0
LOST = (2, 3)
"""Visit and detector that lacks background and PSF."""

SKY, STEP, FIRST_OFF, WING = 300.0, 0.6, 0.9, 2.0
"""Level of the sky; by how much it is brighter on detector 3, which the final background does not
know; by how much the first background of detector 1 is too high; light 10 to 40 arcsec from the
star in the middle of each detector. Electrons."""
CELL = 16
WING_MAG = 13.5

N_STARS = 80
SIZE_BIAS, SIZE_SLOPE, SHAPE_BIAS, NOISE = 0.004, -0.03, 0.006, 0.004
"""Stars have more size than the final PSF; the same against the first one, per magnitude of colour;
more e1 along the axes of the detector; noise of each."""
MODEL_E1 = 0.1


def write_second_look(root: Path, *, effective: bool = True) -> Store:
    """Write three visits of four detectors."""
    store = Store(root)
    for visit, band in enumerate(BANDS, 1):
        rng = np.random.default_rng([41, visit])
        info = VisitInfo(
            visit=visit, instrument="testcam", physical_filter=f"sim_{band}", band=band,
            night=str(20250200 + visit), exposure_time_s=SECONDS, mjd=60700.0 + visit,
        )  # fmt: skip
        store.put(info, "visit_info", visit=visit)
        rows = {
            d.id: ComponentRow({
                "detector": DetectorInfo(d, "testcam"),
                "wcs": replace(wcs(d.id, 150.1), pixel_shape=(SIDE, SIDE)),
            })
            for d in DETECTORS
        }  # fmt: skip
        given = _summary_columns(
            "initial_visit_summary", magLim=24.0, zeroPoint=31.3, psfSigma=2.0, pixelScale=0.2
        )
        store.put(ComponentTable(rows, given), "initial_visit_summary", visit=visit)
        _write_stars(store, visit, band, rng)
        _write_sky(store, visit)
        _write_summary(store, visit, effective=effective)
    return store


def write_nothing(root: Path) -> Store:
    """Write the second look of a visit of which every task failed, or found nothing."""
    store = Store(root)
    store.put(VisitInfo(visit=1, instrument="testcam"), "visit_info", visit=1)
    put(store, "final_characterization_stars", columns_of("final_characterization_stars", 0),
        visit=1)  # fmt: skip
    put(store, "sky_samples", columns_of("sky_samples", 0), visit=1)
    rows = {d.id: ComponentRow({}) for d in DETECTORS}
    lost: dict[str, Any] = {"lost": "no stars", "psf_source": "none", "ap_corr_source": "none"}
    for name in ("final_characterization_summary", "final_visit_summary"):
        given = {c.name for c in load_schema(name).columns}
        columns = _summary_columns(name, **{n: v for n, v in lost.items() if n in given})
        store.put(ComponentTable(rows, columns), name, visit=1)
    columns = {n: v[:0] for n, v in columns_of("visit_background", 1).items()}
    store.put(ComponentTable({}, _without_keys(columns)), "visit_background", visit=1)
    for kind in ("stars", "residuals"):
        name = f"final_astrometry_{kind}"
        put(store, name, columns_of(name, 0), skypix=418)
    name = "final_astrometry_visits"
    put(store, name, columns_of(name, 1, visit=1, reason="no <centroids>"), skypix=418)
    return store


def _without_keys(columns: dict[str, Any]) -> dict[str, Any]:
    return {n: v for n, v in columns.items() if n not in ("visit", "detector")}


def _summary_columns(schema: str, **given: Any) -> dict[str, Any]:
    nan = {c.name: np.nan for c in load_schema(schema).columns if c.type == "float64"}
    return _without_keys(columns_of(schema, 4, **(nan | given)))


def _lost(visit: int) -> np.ndarray[Any, Any]:
    return np.array([(visit, d.id) == LOST for d in DETECTORS])


def _write_stars(store: Store, visit: int, band: str, rng: np.random.Generator) -> None:
    first, final = [], []
    for d in DETECTORS:
        n = N_STARS
        color = rng.uniform(0.4, 2.0, n)
        x, y = rng.uniform(0, SIDE, (2, n))
        dt, de1, de2 = NOISE * rng.normal(size=(3, n)) + [[SIZE_BIAS], [SHAPE_BIAS], [0]]
        reserved, k = np.arange(n) % 4 == 0, np.arange(n)
        trace = 8.8 * (1 + dt)
        e1 = MODEL_E1 + de1
        moments = {
            "ixx": trace * (1 + e1) / 2, "iyy": trace * (1 - e1) / 2, "ixy": trace * de2 / 2,
            "ixxPSF": 4.4 * (1 + MODEL_E1), "iyyPSF": 4.4 * (1 - MODEL_E1),
        }  # fmt: skip
        about = {"visit": visit, "detector": d.id, "sourceId": 1000 * visit + 100 * d.id + k,
                 "x": x, "y": y}  # fmt: skip
        final.append(columns_of(
            "final_characterization_stars", n, **about, **moments, band=band,
            ixxErr=8.8 * NOISE / np.sqrt(2), iyyErr=8.8 * NOISE / np.sqrt(2),
            ixyErr=8.8 * NOISE / 2, psf_color_value=np.where(k < 5, 1.2, color),
            psf_color_type="g-i", psf_color_assumed=k < 5, calib_psf_candidate=k < n - 2,
            calib_psf_used=~reserved & (k < n - 2), calib_psf_reserved=reserved & (k < n - 2),
        ))  # fmt: skip
        # The first PSF is too small for blue stars.
        size = 1 + SIZE_BIAS + SIZE_SLOPE * (color - 1.2)
        moments |= {m: v / size * (1 + SIZE_BIAS) for m, v in moments.items() if "PSF" in m}
        first.append(columns_of("initial_stars", n, **about, **moments, calib_psf_used=k % 8 == 0))
        first[-1] |= _bright_star(n, d.id)
    for name, parts in (("initial_stars", first), ("final_characterization_stars", final)):
        columns = {c: np.concatenate([p[c] for p in parts]) for c in parts[0]}
        if name == "initial_stars":
            # In another order, and without the bright star of detector 3.
            columns = {c: v[::-1][1:] for c, v in columns.items()}
        put(store, name, columns, visit=visit)
    lost = _lost(visit)
    source = np.where(lost, "neighbors", "stars")
    kept = _without_keys(columns_of(
        "final_characterization_summary", 4, psf_source=source, ap_corr_source=source,
        n_psf_used=np.where(lost, 0, 58), n_psf_reserved=20, psf_order=2,
    ))  # fmt: skip
    rows = {d.id: ComponentRow({}) for d in DETECTORS}
    store.put(ComponentTable(rows, kept), "final_characterization_summary", visit=visit)


def _bright_star(number: int, detector: int) -> dict[str, Any]:
    """Return columns that make the last star a bright one in the middle of the detector."""
    middle = (SIDE - 1) / 2
    ra, dec = wcs(detector, 150.1).pixel_to_world_values(middle, middle)
    last = np.arange(number) == number - 1
    return {
        "ra": np.where(last, ra, np.nan), "dec": np.where(last, dec, np.nan),
        "psfFlux": np.where(last, 10 ** (0.4 * (31.4 - WING_MAG)), 1.0),
        "pixelFlags_saturated": last,
    }  # fmt: skip


def wings() -> np.ndarray[Any, Any]:
    """Return the light about the star in cells."""
    place = np.arange(SIDE // CELL) * CELL + (CELL - 1) / 2 - (SIDE - 1) / 2
    away = 0.2 * np.hypot(place, place[:, None])
    return np.where((away > 9.0) & (away < 41.0), WING, 0.0)


def _write_sky(store: Store, visit: int) -> None:
    side = SIDE // CELL
    row, column = (v.ravel() for v in np.indices((side, side)))
    samples, rows = [], {}
    for d in DETECTORS:
        level = SKY + STEP * (d.id == 3) + wings()[row, column]
        samples.append(columns_of(
            "sky_samples", row.size, visit=visit, detector=d.id, row=row, column=column,
            level=level, count=np.where(row % 5 == 3, 0, 200), x=column * CELL, y=row * CELL,
            cell_pix=CELL, noise=18.0, n_rows=SIDE, n_columns=SIDE,
        ))  # fmt: skip
        first = SKY + STEP * (d.id == 3) + FIRST_OFF * (d.id == 1)
        store.put(_flat(first), "initial_background", visit=visit, detector=d.id)
        layer = MeshLayer.on_box(Box(0, SIDE, 0, SIDE), wings(), interpolation="bilinear")
        rows[d.id] = ComponentRow({"background": _flat(SKY).add_layer("wings", layer)})
    if visit == LOST[0]:
        rows[LOST[1]] = ComponentRow({}, {"background": "measureSky found no sky"})
    joined = {n: np.concatenate([s[n] for s in samples]) for n in samples[0]}
    joined = {n: v[joined["count"] > 0] for n, v in joined.items()}
    put(store, "sky_samples", joined, visit=visit)
    lost = _lost(visit)
    columns = columns_of(
        "visit_background", 4, level=np.where(lost, np.nan, SKY), used_fraction=0.8, n_stars=1
    )
    store.put(ComponentTable(rows, _without_keys(columns)), "visit_background", visit=visit)
    status = {
        "task": "modelVisitBackground", "data_id": {"visit": visit}, "outcome": "done",
        "reason": "", "hint": "", "numbers": {"order": 2, "model_error": 0.03},
    }  # fmt: skip
    if visit == LOST[0]:
        status |= {"outcome": "partial", "reason": "no <sky> of detector 3"}
    write_json(store.roots[0] / f"status/modelVisitBackground/visit={visit}.json", status)


def _flat(level: float) -> Background:
    return Background((("sky", PolynomialLayer.constant(level)),))


def _write_summary(store: Store, visit: int, *, effective: bool) -> None:
    lost = _lost(visit)
    columns = _summary_columns(
        "final_visit_summary", pixelScale=0.2, psfSigma=2.0, psfIxx=4.4, psfIyy=3.6, psfIxy=0.0,
        zeroPoint=31.3 + 0.01 * visit, skyBg=SKY, skyNoise=18.0, magLim=24.0 + 0.5 * (visit == 3),
        effTime=15.0 if effective else np.nan, expTime=SECONDS, wcs_change=0.02,
        has_background=~lost, lost=np.where(lost, "psf: no <star>", ""),
        psf_source=np.where(lost, "none", "stars"),
    )  # fmt: skip
    rows = {d.id: ComponentRow({}) for d in DETECTORS}
    store.put(ComponentTable(rows, columns), "final_visit_summary", visit=visit)
