"""What a solution has found of the instrument, in its catalogue and out of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drpflow.algorithms.solved_reference import held_maps, held_parameters
from drpflow.data.component_table import ComponentRow, ComponentTable
from drpflow.data.plane_maps import AffineMap, PolynomialMap
from drpflow.data.polynomial import Basis2D, Domain
from drpflow.data.reference_stars import ReferenceStars
from drpflow.data.sky_wcs import SkyWcs
from drpflow.data.solved_instrument import HeldMap, HeldParameter, SolvedInstrument
from drpflow.data.tan_projection import TanProjection
from drpflow.errors import InputError
from drpflow.io.component_tables import write_component_table
from drpflow.io.reference_stars import write_reference_stars
from drpflow.io.schemas import load_schema
from drpflow.io.solved_instrument import (
    INSTRUMENT,
    gather_solved_instrument,
    read_solved_instrument,
)
from drpflow.io.store import Store
from drpflow.io.tables import write_table

STARS = ReferenceStars.from_columns(
    {
        "id": np.arange(3),
        "ra": np.full(3, 10.0),
        "dec": np.full(3, -30.0),
        "epoch": np.full(3, 60000.0),
        "flux_g": np.full(3, 1e4),
    }
)


def static(size: float) -> PolynomialMap:
    basis = Basis2D(2, Domain(-0.1, 0.1, -0.2, 0.2))
    more = size * np.arange(12).reshape(2, 6)
    return PolynomialMap(basis, PolynomialMap.identity(basis).coefficients + more)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "stars.parquet"
    parameter = HeldParameter("star_flat_10", -0.0123456789, 3e-4, "g1", 1, 7)
    given = SolvedInstrument((parameter,), (HeldMap(7, 60001.5, 2.5, static(1e-7)),))
    write_reference_stars(path, STARS, about={INSTRUMENT: given.to_meta()})
    found = read_solved_instrument(path)
    assert found is not None
    assert found.photometry == given.photometry
    (item,) = found.maps
    assert (item.detector, item.mjd, item.error_mas) == (7, 60001.5, 2.5)
    assert item.polynomial.basis == given.maps[0].polynomial.basis
    np.testing.assert_array_equal(
        item.polynomial.coefficients, given.maps[0].polynomial.coefficients
    )


def test_other_catalogues_have_none(tmp_path: Path) -> None:
    path = tmp_path / "stars.parquet"
    write_reference_stars(path, STARS)
    assert read_solved_instrument(path) is None
    assert read_solved_instrument(tmp_path) is None
    assert read_solved_instrument(None) is None
    write_reference_stars(path, STARS, about={INSTRUMENT: {"maps": []}})
    with pytest.raises(InputError, match="from-solution"):
        read_solved_instrument(path)


def table(errors: list[float], size: float) -> ComponentTable:
    stages = ("detector", AffineMap(np.eye(2) * 1e-4, np.zeros(2))), ("static", static(size))
    wcs = SkyWcs(stages, TanProjection(10.0, -30.0, 0.0), (100, 100))
    n = len(errors)
    rows = {d: ComponentRow({"wcs": wcs}) for d in range(n)}
    nan = dict.fromkeys(("rms", "reserved_rms"), np.full(n, np.nan))
    zero = dict.fromkeys(("n_good", "n_reserved"), np.zeros(n, np.int32))
    sip = {"sip_header": np.full(n, ""), "sip_error": np.zeros(n)}
    return ComponentTable(rows, {"wcs_error": np.array(errors), **nan, **zero, **sip})


def empty(dataset: str, rows: int, /, **columns: Any) -> dict[str, Any]:
    """Columns of zeros but for some."""
    kinds = {c.name: "U1" if c.type == "str" else c.type for c in load_schema(dataset).columns}
    return {n: np.zeros(rows, np.dtype(kind)) for n, kind in kinds.items()} | columns


def test_of_a_run_the_piece_with_most_visits_and_its_best_wcs_count(tmp_path: Path) -> None:
    store = Store(tmp_path)
    names = np.array(["night_gray", "star_flat_00", "sensitivity"])
    bands = {"physical_filter": np.array(["", "g1", ""]), "band": np.array(["", "", "g"])}
    values = {"value": np.array([1.0, 2.0, 3.0]), "error": np.array([0.1, 0.2, 0.3])}
    parameters = empty("fgcm_parameters", 3, name=names, **bands, **values)
    write_table(store.path("fgcm_parameters"), parameters, load_schema("fgcm_parameters"))
    for piece, visits in ((5, [1, 2]), (6, [1])):
        known = {"visit": np.array(visits), "mjd": 60000.0 + np.array(visits)}
        columns = empty("solved_astrometry_visits", len(visits), **known)
        columns |= {"solved": np.ones(len(visits), bool), "skypix": np.full(len(visits), piece)}
        path = store.path("solved_astrometry_visits", skypix=piece)
        write_table(path, columns, load_schema("solved_astrometry_visits"))
        for visit in visits:
            write_component_table(
                store.path("solved_astrometry_wcs", visit=visit, skypix=piece),
                table([0.01 * visit, 0.03 / visit], 1e-7 * piece),
                ("wcs",),
                "detector",
                load_schema("solved_astrometry_wcs"),
                dataset="solved_astrometry_wcs",
                data_id={"visit": visit, "skypix": piece},
            )
    parts = gather_solved_instrument(store, ())
    found = held_maps(parts.wcs)
    assert [(m.detector, m.mjd) for m in found] == [(0, 60001.0), (1, 60002.0)]
    # Arcseconds of both coordinates together to mas of each.
    np.testing.assert_allclose([m.error_mas for m in found], [10 / 2**0.5, 15 / 2**0.5])
    np.testing.assert_array_equal(found[0].polynomial.coefficients, static(5e-7).coefficients)
    kept = held_parameters(parts.parameters)
    assert kept[0] == HeldParameter("star_flat_00", 2.0, 0.2, "g1", 0, 0, "")
    assert [p.name for p in kept] == ["star_flat_00", "sensitivity"]
    assert len(gather_solved_instrument(store, (60001.5,)).wcs) == 4
