"""A run with a global astrometric solution whose residuals are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from drpflow.data.component_table import ComponentRow, ComponentTable
from drpflow.data.provenance import Provenance
from drpflow.data.reference_stars import ReferenceStars
from drpflow.data.table import Table
from drpflow.data.visit_info import VisitInfo
from drpflow.io.atomic import write_json
from drpflow.io.reference_stars import write_reference_stars
from drpflow.io.schemas import load_schema
from drpflow.io.store import Store
from drpflow.io.tables import write_table
from tests.qa.calibrated_run import DETECTORS, SIDE, wcs
from tests.qa.photometric_run import columns_of, put

SKYPIX = 1672
N_STARS, N_VISITS = 600, 8
NOTE = "order of detector 3 fell to 1; too few stars"
LOST = 8
"""Visit that has no solution, and could not be read."""
NOISE_MAS, TURBULENCE_MAS, BIAS_MAS, FIRST_MAS = 2.0, 3.0, 5.0, 30.0
"""Scatter of centroids; an offset that each visit has, drawn with this rms in each coordinate; a
shift along x of all stars on detector 0; the rms of an offset of each visit before."""
CHANGE_MAS = 1.25
"""Change of all WCSs by the second fit."""
EPOCH = 60500.0


def write_astrometry(
    root: Path, *, catalogue: bool = True, stage: str = "solved_astrometry"
) -> Path:
    """Write the products of one piece of the sky; return the path of the reference catalogue."""
    store, rng = Store(root), np.random.default_rng([23])
    path = root.parent / f"{root.name}_reference.parquet"
    stars = _stars(rng)
    provenance = Provenance(
        version="0", task="solveAstrometry",
        inputs=({"name": "reference_stars", "path": str(path)},) if catalogue else (),
    )  # fmt: skip
    if catalogue:
        write_reference_stars(path, _references(stars, rng))
    columns = {n: v for n, v in stars.items() if n not in ("detector", "x", "y")}
    first = columns_of(
        "isolated_stars", N_STARS, isolated_star_id=stars["isolated_star_id"][::-1],
        ra=stars["ra"][::-1], dec=stars["dec"][::-1] + 20 / 3.6e6, epoch=EPOCH,
    )  # fmt: skip
    put(store, "isolated_stars", first, skypix=26752)
    _write(store, f"{stage}_stars", columns, provenance, skypix=SKYPIX)
    fields = _write_wcs(store, stage)
    residuals = _residuals(stars, fields, rng)
    _write(store, f"{stage}_residuals", residuals, provenance, skypix=SKYPIX)
    about: dict[str, Any] = {"notes": [NOTE], "held": ["position of the whole: held by priors"]}
    if stage != "solved_astrometry":
        about |= {"passed_on": stage, "expected_change": 0.1, "median_change": CHANGE_MAS}
    _write(store, f"{stage}_visits", _visits(residuals), provenance, about, skypix=SKYPIX)
    status = {
        "task": "solveAstrometry", "data_id": {"skypix": SKYPIX}, "outcome": "partial",
        "reason": "visit 8: too <far> off", "hint": "",
        "numbers": {"notes": NOTE},
    }  # fmt: skip
    write_json(root / f"status/solveAstrometry/skypix={SKYPIX}.json", status)
    return path


def _write(
    store: Store,
    name: str,
    columns: dict[str, Any],
    provenance: Provenance,
    meta: dict[str, Any] | None = None,
    **data_id: int,
) -> None:
    schema = load_schema(name)
    inner = schema.without(set(data_id))
    kept = {
        c.name: np.asarray(columns[c.name]).astype(str if c.type == "str" else np.dtype(c.type))
        for c in inner.columns
    }
    table = Table.from_columns(kept, inner, meta=meta)
    path = store.path(name, **data_id)
    write_table(path, table, schema, dataset=name, data_id={**data_id}, provenance=provenance)


def _stars(rng: np.random.Generator) -> dict[str, Any]:
    """Return stars, half of them tied to the catalogue; motions pull with width 1."""
    reserved = np.arange(N_STARS) % 5 == 0
    tied = ~reserved
    given = {
        "isolated_star_id": 10 + np.arange(N_STARS),
        "ra": 150.1 + rng.uniform(-0.02, 0.02, N_STARS),
        "dec": -12.3 + rng.uniform(-0.02, 0.02, N_STARS),
        "epoch": EPOCH, "n_good": N_VISITS - 1, "chi2": 12.0, "dof": 12.0,
        "reference_id": 1000 + np.arange(N_STARS), "reserved": reserved,
        "flag": np.where(tied, 2, 1), "pm_ra_err": 1.0, "pm_dec_err": 1.0, "parallax_err": 1.0,
        "pm_ra": rng.normal(0, 5, N_STARS), "pm_dec": rng.normal(0, 5, N_STARS),
        "parallax": rng.normal(1, 1, N_STARS),
    }  # fmt: skip
    columns = columns_of("solved_astrometry_stars", N_STARS, **given)
    columns["n_rejected"][:20] = 3
    place = {"detector": np.arange(N_STARS) % 4, "x": rng.uniform(0, SIDE, N_STARS),
             "y": rng.uniform(0, SIDE, N_STARS)}  # fmt: skip
    return columns | place


def _references(stars: dict[str, Any], rng: np.random.Generator) -> ReferenceStars:
    """Return a catalogue ten years before, with places 4 mas off in each coordinate."""
    tied = stars["flag"] == 2
    # Fit and catalogue differ by the error of their difference: with sigmas 2 and 1 and the
    # catalogue as prior √(4 - 1), apart √(4 + 1).
    sigma = np.sqrt(np.where(tied, 3.0, 5.0))
    motion = {n: stars[n] + rng.normal(0, sigma) for n in ("pm_ra", "pm_dec", "parallax")}
    scale = 3.6e6 * np.cos(np.radians(stars["dec"]))
    back = (EPOCH - 3652.5 - EPOCH) / 365.25
    ra = stars["ra"] + (motion["pm_ra"] * back + rng.normal(0, 4, N_STARS)) / scale
    dec = stars["dec"] + (motion["pm_dec"] * back + rng.normal(0, 4, N_STARS)) / 3.6e6
    n = N_STARS
    return ReferenceStars.from_columns(
        {
            "id": stars["reference_id"], "ra": ra, "dec": dec, **motion,
            "epoch": np.full(n, EPOCH - 3652.5), "ra_err": np.full(n, 4.0),
            "dec_err": np.full(n, 4.0), "pm_ra_err": np.full(n, 2.0),
            "pm_dec_err": np.full(n, 2.0), "parallax_err": np.full(n, 2.0),
            "flux_r": np.full(n, 1e5), "flux_r_err": np.full(n, 1e3),
        }
    )  # fmt: skip


def _write_wcs(store: Store, stage: str) -> dict[int, Any]:
    """Write the WCSs of all visits but the lost one; return those of the detectors."""
    found = {d.id: replace(wcs(d.id, 150.1), pixel_shape=(SIDE, SIDE)) for d in DETECTORS}
    for visit in range(1, N_VISITS + 1):
        info = VisitInfo(
            visit=visit, instrument="testcam", physical_filter="sim_r", band="r",
            night=str(20250200 + (visit + 1) // 2), exposure_time_s=30.0, mjd=60700.0 + visit,
        )  # fmt: skip
        store.put(info, "visit_info", visit=visit)
        lost = visit == LOST
        rows = {
            d: ComponentRow({} if lost else {"wcs": found[d]}, {"wcs": "the visit is lost"})
            for d in found
        }
        columns = columns_of(
            f"{stage}_wcs", 4, change=CHANGE_MAS, wcs_error=np.nan if lost else 0.001, n_good=100,
            n_reserved=25, rms=3.0, reserved_rms=4.0, sip_error=1e-5,
        )  # fmt: skip
        given = {c.name for c in load_schema(f"{stage}_wcs").columns}
        given -= {"visit", "skypix", "detector"}
        kept = {n: v for n, v in columns.items() if n in given}
        store.put(ComponentTable(rows, kept), f"{stage}_wcs", visit=visit, skypix=SKYPIX)
    return found


def _residuals(
    stars: dict[str, Any], fields: dict[int, Any], rng: np.random.Generator
) -> dict[str, Any]:
    x, y = np.empty(N_STARS), np.empty(N_STARS)
    for key, each in fields.items():
        mine = stars["detector"] == key
        place = each.pixel_to_world_values(stars["x"][mine], stars["y"][mine])
        x[mine], y[mine] = each.projection.from_sky(*place)
    parts = []
    for visit in range(1, N_VISITS):
        shift = rng.normal(0, TURBULENCE_MAS, 2)
        first = rng.normal(0, FIRST_MAS, 2)
        dx, dy = rng.normal(0, NOISE_MAS, (2, N_STARS)) + shift[:, None]
        dx = dx + BIAS_MAS * (stars["detector"] == 0)
        rejected = (np.arange(N_STARS) < 20) & (visit <= 3)
        parts.append(
            columns_of(
                "solved_astrometry_residuals", N_STARS, visit=visit, field_x=x, field_y=y,
                dx=dx, dy=dy, initial_dx=dx + first[0], initial_dy=dy + first[1],
                xx=NOISE_MAS**2, yy=NOISE_MAS**2, used=~rejected, rejected=rejected,
                **{n: stars[n] for n in ("isolated_star_id", "detector", "reserved")},
            )
        )  # fmt: skip
    return {n: np.concatenate([p[n] for p in parts]) for n in parts[0]}


def _visits(residuals: dict[str, Any]) -> dict[str, Any]:
    number = np.arange(1, N_VISITS + 1)
    good = [int(residuals["used"][residuals["visit"] == v].sum()) for v in number]
    lost = number == LOST
    return columns_of(
        "solved_astrometry_visits", N_VISITS, visit=number, band=np.where(lost, "", "r"),
        mjd=np.where(lost, np.nan, 60700.0 + number),
        solved=~lost, reason=np.where(lost, "too <far> off", ""),
        group=np.where(lost, -1, 0), floor=np.where(lost, np.nan, TURBULENCE_MAS),
        dcr_east=1.5, dcr_east_err=0.2, order=3, offset=0.03, n_good=good,
        n_rejected=np.where(number <= 3, 20, 0),
    )  # fmt: skip
