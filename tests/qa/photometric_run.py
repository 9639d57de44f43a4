"""A run with stars and a global photometric calibration whose numbers are known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from drpflow.data.air import AirAbsorption, AirState
from drpflow.data.component_table import ComponentRow, ComponentTable
from drpflow.data.detector_info import DetectorInfo
from drpflow.data.look_up_table import FilterTable, LookUpTable, StandardPassband
from drpflow.data.photo_calib import PhotoCalib
from drpflow.data.table import Table
from drpflow.data.visit_info import VisitInfo
from drpflow.io.atomic import write_json
from drpflow.io.schemas import load_schema
from drpflow.io.store import Store
from tests.qa.calibrated_run import DETECTORS, SIDE

SKYPIX = 107049
SECONDS = 30.0
BANDS = "grgrgr"
"""Of visits 1 to 6."""
CLOUDY_VISIT = 3
LOST = (4, 3)
"""Visit and detector without a zero point."""
BIAS_MAG = 0.01
"""By so much stars on the left half of detector 0 come out too faint in r."""
COLOR_TERM, PIVOT = 0.02, 0.8
N_STARS = 400


@dataclass(frozen=True)
class Truth:
    """What was put in: standard magnitudes (N_STARS, 2) of g and r, and the noise."""

    mag: np.ndarray[Any, Any]
    noise_mag: float


def columns_of(schema: str, number: int, **given: Any) -> dict[str, Any]:
    """Return all columns of a schema, zero where nothing is given."""
    columns: dict[str, Any] = {}
    for column in load_schema(schema).columns:
        text = column.type == "str"
        columns[column.name] = (
            np.full(number, "") if text else np.zeros(number, np.dtype(column.type))
        )
    return columns | {n: np.broadcast_to(np.asarray(v), number).copy() for n, v in given.items()}


def put(store: Store, name: str, columns: dict[str, Any], meta: Any = None, **data_id: int) -> None:
    """Write a table, without the columns that stand in its path."""
    schema = load_schema(name).without(set(data_id))
    kept = {c.name: np.asarray(columns[c.name]) for c in schema.columns}
    kept = {
        c.name: kept[c.name].astype(str if c.type == "str" else np.dtype(c.type))
        for c in schema.columns
    }
    store.put(Table.from_columns(kept, schema, meta=meta or {}), name, **data_id)


def write_photometry(
    root: Path, *, noise_mag: float = 0.002, reserved: float = 0.3, shared_mag: float = 0.0
) -> Truth:
    """Write six visits of four detectors that see the same stars at the same places.

    Fluxes are said to share an error of `shared_mag` on each image.
    """
    store, rng = Store(root), np.random.default_rng([17])
    mag = 17 + rng.uniform(0, 3, (N_STARS, 2))
    truth = Truth(mag, noise_mag)
    stars = {
        "isolated_star_id": 100 + np.arange(N_STARS),
        "detector": np.arange(N_STARS) % 4,
        "x": rng.uniform(0, SIDE, N_STARS),
        "y": rng.uniform(0, SIDE, N_STARS),
        "reserved": rng.uniform(size=N_STARS) < reserved,
    }
    zero = 26 + rng.normal(0, 0.01, (6, 4))
    _write_stars(store, stars, truth)
    _write_sources(store, stars, truth, zero, rng, shared_mag)
    for visit in range(1, 7):
        _write_visit(store, visit, zero[visit - 1], rng)
    _write_zero_points(store, zero)
    _write_parameters(store)
    store.put(look_up_table(), "fgcm_look_up_table")
    _write_status(root)
    return truth


def _write_stars(store: Store, stars: dict[str, Any], truth: Truth) -> None:
    rng = np.random.default_rng([18])
    put(
        store,
        "isolated_stars",
        columns_of(
            "isolated_stars", N_STARS, skypix=SKYPIX, isolated_star_id=stars["isolated_star_id"],
            ra=(359.9 + 0.2 * rng.uniform(size=N_STARS)) % 360, dec=rng.uniform(-12.4, -12.2, 400),
            n_source=6, n_expected=6, n_seen=6, bands="g,r", snr=rng.uniform(10, 400, N_STARS),
            position_chi2=10.0, reserved=stars["reserved"],
        ),
        {"healpix_order": 7},
        skypix=SKYPIX,
    )  # fmt: skip
    parts = []
    for k, band in enumerate("gr"):
        part = columns_of(
            "fgcm_standard_stars", N_STARS, isolated_star_id=stars["isolated_star_id"], band=band,
            mag_std=truth.mag[:, k], mag_err=0.001, n_good=3, n_total=3, chi2=2.0,
            color=truth.mag[:, 0] - truth.mag[:, 1], reserved=stars["reserved"],
        )  # fmt: skip
        parts.append(part)
    both = {n: np.concatenate([p[n] for p in parts]) for n in parts[0]}
    put(store, "fgcm_standard_stars", both, skypix=SKYPIX)


def _write_sources(
    store: Store, stars: dict[str, Any], truth: Truth, zero: Any, rng: np.random.Generator,
    shared_mag: float,
) -> None:  # fmt: skip
    relative = np.log(10) / 2.5
    error = relative * np.hypot(truth.noise_mag, shared_mag)
    parts = []
    for visit, band in enumerate(BANDS, 1):
        k = "gr".index(band)
        color = truth.mag[:, 0] - truth.mag[:, 1]
        mag = truth.mag[:, k] - COLOR_TERM * (color - PIVOT)
        mag = mag - zero[visit - 1, stars["detector"]] + rng.normal(0, truth.noise_mag, N_STARS)
        left = (stars["detector"] == 0) & (stars["x"] < SIDE / 2) & (band == "r")
        flux = SECONDS * 10 ** (-0.4 * (mag + BIAS_MAG * left))
        parts.append(
            columns_of(
                "isolated_stars_source", N_STARS, skypix=SKYPIX, visit=visit, band=band,
                normCompTophatFlux_instFlux=flux,
                normCompTophatFlux_instFluxErr=flux * error, normCompTophatFlux_apCorr=1.1,
                normCompTophatFlux_apCorrErr=1.1 * relative * shared_mag,
                **{n: stars[n] for n in ("isolated_star_id", "detector", "x", "y", "reserved")},
            )
        )  # fmt: skip
    joined = {n: np.concatenate([p[n] for p in parts]) for n in parts[0]}
    put(store, "isolated_stars_source", joined, skypix=SKYPIX)


def _write_visit(store: Store, visit: int, zero: Any, rng: np.random.Generator) -> None:
    band = BANDS[visit - 1]
    info = VisitInfo(
        visit=visit, instrument="testcam", physical_filter=f"sim_{band}", band=band,
        night=str(20250202 + (visit + 1) // 2), exposure_time_s=SECONDS, mjd=60710.0 + visit,
        pressure_hpa=740.0,
    )  # fmt: skip
    store.put(info, "visit_info", visit=visit)
    points = zero + 2.5 * np.log10(SECONDS) + rng.normal(0, 0.02)
    about = {
        d.id: ComponentRow(
            {
                "detector": DetectorInfo(d, "testcam"),
                "photo_calib": PhotoCalib.from_zero_point(float(points[d.id])),
            }
        )
        for d in DETECTORS
    }
    summary = columns_of("initial_visit_summary", 4, zeroPoint=points)
    kept = {n: v for n, v in summary.items() if n not in ("visit", "detector")}
    store.put(ComponentTable(about, kept), "initial_visit_summary", visit=visit)
    rows = {}
    for d in DETECTORS:
        point = float(zero[d.id]) + 2.5 * np.log10(SECONDS)
        calib = PhotoCalib.from_zero_point(point, 0.001)
        lost = (visit, d.id) == LOST
        rows[d.id] = ComponentRow(
            {} if lost else {"photo_calib": calib}, {"photo_calib": "clouds: too thick"}
        )
    columns = {
        "flag": np.ones(4, np.int32), "zero_point": zero, "zero_point_err": np.full(4, 1e-3),
        "gray": np.zeros(4), "n_star": np.full(4, 90, np.int32), "offset_err": np.full(4, 2e-3),
    }  # fmt: skip
    store.put(ComponentTable(rows, columns), "fgcm_photo_calib", visit=visit)


def _write_zero_points(store: Store, zero: Any) -> None:
    visit = np.repeat(np.arange(1, 7), 4)
    detector = np.tile(np.arange(4), 6)
    band = np.array([BANDS[v - 1] for v in visit])
    lost = (visit == LOST[0]) & (detector == LOST[1])
    flag = np.where(visit == CLOUDY_VISIT, 4, 1)
    flag[detector == 2] |= 32
    point = zero.ravel().copy()
    point[lost], flag[lost] = np.nan, 16
    columns = columns_of(
        "fgcm_zero_points", 24, visit=visit, detector=detector, band=band,
        physical_filter=np.char.add("sim_", band), night=20250202 + (visit + 1) // 2, flag=flag,
        zero_point=point, zero_point_err=1e-3, offset_err=2e-3,
        gray=np.where(visit == CLOUDY_VISIT, -0.3, 0.001), n_star=90, color_term=COLOR_TERM,
        color_pivot=PIVOT, clear_probability=0.9,
        cloud_flux_offset=np.where(visit == CLOUDY_VISIT, 0.031, np.nan),
    )  # fmt: skip
    put(store, "fgcm_zero_points", columns)


def _write_parameters(store: Store) -> None:
    rows: list[dict[str, Any]] = [
        {"name": name, "night": night, "value": value, "error": error, "unit": unit}
        for night in (20250203, 20250204, 20250205)
        for name, value, error, unit in (
            ("ln_pwv", np.log(3.0), 0.1, "ln(mm)"), ("ln_pwv_slope", 0.0, 0.05, "h-1"),
            ("ozone", 260.0, 20.0, "dobson"), ("aerosol_tau", 0.05, 0.01, ""),
            ("aerosol_tau_slope", 0.0, 0.001, "h-1"), ("aerosol_alpha", 1.0, 0.3, ""),
            ("night_gray", 0.001, 0.002, "mag"),
        )
    ]  # fmt: skip
    rows += [
        {"name": f"star_flat_{term}", "physical_filter": f, "epoch": 0, "detector": d,
         "value": 0.004 if term == "10" else 0.001, "error": 0.0005, "unit": "mag"}
        for f in ("sim_g", "sim_r") for d in range(4) for term in ("00", "10", "01")
    ]  # fmt: skip
    rows.append({"name": "throughput", "physical_filter": "sim_g", "epoch": 0, "value": 0.02,
                 "error": 0.001, "unit": "mag"})  # fmt: skip
    usual = {"night": -1, "visit": -1, "epoch": -1, "detector": -1, "band": "",
             "physical_filter": ""}  # fmt: skip
    filled = [usual | row for row in rows]
    columns = {c.name: np.array([r[c.name] for r in filled])
               for c in load_schema("fgcm_parameters").columns}  # fmt: skip
    put(store, "fgcm_parameters", columns)


def look_up_table() -> LookUpTable:
    """Return a table in which aerosols alone take light, at 775 nm."""
    one = np.ones(1)
    air = AirAbsorption(
        775.0 * one, 0 * one, 0 * one, np.array([[0.0], [0.0], [1.0]]),
        np.array([[0.0], [0.0], [1.0]]),
    )  # fmt: skip
    tables = tuple(
        FilterTable(
            f"sim_{band}", band, False, StandardPassband(1.0, 0.0, 775.0), air,
            np.array([[[1.0]], [[0.0]]]), np.zeros(4, np.int32),
        )
        for band in "gr"
    )  # fmt: skip
    return LookUpTable(tables, (0, 1, 2, 3), AirState(), air)


def _write_status(root: Path) -> None:
    status = {"task": "fgcm", "data_id": {}, "outcome": "done", "reason": "", "hint": ""}
    status["numbers"] = {"notes": "<one> night is dark; another is not"}  # type: ignore[assignment]
    write_json(root / "status/fgcm/fgcm.json", status)
    status |= {"task": "associateIsolatedStars", "data_id": {"skypix": SKYPIX}}
    status["numbers"] = {  # type: ignore[assignment]
        "visits": 6, "detections": 2600, "stars": 400, "sources": 2400, "reserved": 120,
        "groups": 450, "not_alone": 31, "not_lasting": 19, "unreadable_visits": 0, "far_stars": 5,
    }  # fmt: skip
    write_json(root / f"status/associateIsolatedStars/skypix={SKYPIX}.json", status)
