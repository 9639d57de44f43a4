"""Final sources of the detectors of a visit, as finalizeImage writes them."""

from __future__ import annotations

from typing import Any

import numpy as np

from drpflow.data.component_table import ComponentRow, ComponentTable
from drpflow.data.geometry import Box, ValidPolygon
from drpflow.data.source_ids import make_source_ids
from drpflow.data.table import Table
from drpflow.io.component_tables import write_component_table
from drpflow.io.datasets import DatasetTable
from drpflow.io.schemas import load_schema
from drpflow.io.tables import write_table
from tests.data.wcs_cases import NX, NY, wcs_at

VISIT, RA, DEC = 21, 150.0, -31.0
SCHEMA = load_schema("final_source_detector")
TABLE = DatasetTable.load()


def wcs_of(detector: int) -> Any:
    """The two detectors of the camera lie side by side; others are far away."""
    return wcs_at(RA + 5 * (detector // 2), DEC, number=detector % 2)


def columns(visit: int, detector: int, n: int) -> dict[str, Any]:
    """Sources all over a detector, the last of each hundred a place of sky."""
    rng = np.random.default_rng([visit, detector])
    made: dict[str, Any] = {}
    for column in SCHEMA.without({"visit", "detector"}).columns:
        if column.type == "str":
            made[column.name] = np.full(n, "r" if column.name == "band" else "r.MP9602")
        elif column.type == "bool":
            made[column.name] = np.zeros(n, bool)
        else:
            made[column.name] = rng.normal(100, 30, n).astype(column.type)
    x, y = rng.uniform(0, NX - 1, n), rng.uniform(0, NY - 1, n)
    ra, dec = wcs_of(detector).pixel_to_world_values(x, y)
    sky = np.arange(n) % 100 == 99
    made |= {"sourceId": make_source_ids(visit, detector, n), "x": x, "y": y, "ra": ra, "dec": dec}
    made |= {"sky_source": sky, "detect_isPrimary": ~sky}
    made["psfFlux"][:1] = np.nan
    return made


def write_sources(root: Any, visit: int, rows: dict[int, int], lost: dict[int, str] = {}) -> None:  # noqa: B006
    """Write the tables of detectors with so many rows, and of others that have none."""
    for detector, n in {**rows, **dict.fromkeys(lost, 0)}.items():
        data_id = {"visit": visit, "detector": detector}
        meta = {"lost": lost[detector]} if detector in lost else {}
        given = columns(visit, detector, n)
        write_table(
            TABLE.path(root, "final_source_detector", **data_id),
            Table.from_columns(given, SCHEMA.without({"visit", "detector"}), meta=meta),
            SCHEMA,
            dataset="final_source_detector",
            data_id=data_id,
        )


def write_summary(root: Any, visit: int, detectors: list[int]) -> None:
    """Write WCS and usable part of detectors, as final_visit_summary holds them."""
    polygon = ValidPolygon.from_box(Box(0, NX, 0, NY))
    rows = {d: ComponentRow({"wcs": wcs_of(d), "valid_polygon": polygon}, {}) for d in detectors}
    path = TABLE.path(root, "final_visit_summary", visit=visit)
    holds = ("wcs", "valid_polygon")
    write_component_table(path, ComponentTable(rows, {}), holds, "detector", dataset="x")
