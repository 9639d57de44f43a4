"""The files of matchSource and fitStellarMotions: read, written, broken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drpflow.config.fit_stellar_motions import FitStellarMotionsConfig
from drpflow.config.match_source import MatchSourceConfig
from drpflow.data.healpix import pixels_of_deg
from drpflow.data.motion_input import SOURCE_COLUMNS
from drpflow.data.reference_stars import ReferenceStars
from drpflow.data.source_ids import make_source_ids
from drpflow.data.table import Table
from drpflow.data.visit_info import VisitInfo
from drpflow.errors import InputError
from drpflow.io import match_files, motion_files
from drpflow.io.associate_files import Region
from drpflow.io.records import write_component_json
from drpflow.io.reference_stars import write_reference_stars
from drpflow.io.tables import read_table, write_table
from drpflow.tasks.fit_stellar_motions import fit_stellar_motions
from drpflow.tasks.match_source import SOURCE_COLUMNS as MATCHED_COLUMNS
from drpflow.tasks.match_source import VisitSources, match_source

RA, DEC, N = 120.2, -5.1, 25
ORDER, SOLVED = 5, 7
PIXEL = int(pixels_of_deg(ORDER, RA, DEC))
VISITS = [1, 2, 3, 4]
FLAGS = FitStellarMotionsConfig().noise.bad_flags


def source_table(visit: int, shift_deg: float = 0.0) -> dict[str, Any]:
    rng = np.random.default_rng(visit)
    n = N
    columns = dict.fromkeys((*MATCHED_COLUMNS, *SOURCE_COLUMNS), np.zeros(n))
    columns |= dict.fromkeys(FLAGS, np.zeros(n, bool))
    return columns | {
        "sourceId": make_source_ids(visit, 2, n),
        "detector": np.full(n, 2, np.int16),
        "ra": RA + shift_deg + np.arange(n) * 5 / 3600 + rng.normal(0, 0.01, n) / 3600,
        "dec": DEC + rng.normal(0, 0.01, n) / 3600,
        **dict.fromkeys(("raErr", "decErr"), np.full(n, 0.01 / 3600)),
        **dict.fromkeys(("xErr", "yErr"), np.full(n, 0.05)),
        **{f"localWcs_CDMatrix_{i}_{i}": np.full(n, 0.2 / 3600) for i in (1, 2)},
        "psfFlux": np.full(n, 1e4),
        "psfFluxErr": np.full(n, 100.0),
        "detect_isPrimary": np.ones(n, bool),
        "sky_source": np.zeros(n, bool),
    }


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    """A run of four visits over a year, and where its products go."""
    given: dict[str, Any] = {"skypix": PIXEL, "order": ORDER, "visits": "1-4", "code": "c"}
    for kind in ("visit_info", "source", "final_visit_summary"):
        suffix = "json" if kind == "visit_info" else "parquet"
        given[kind] = str(tmp_path / kind / "visit={visit}" / f"{kind}.{suffix}")
    for kind in ("source_matches", "source_matches_join", "stellar_motions"):
        given[kind] = tmp_path / f"skypix={PIXEL}" / f"{kind}.parquet"
    given["final_astrometry_visits"] = str(tmp_path / "v" / "skypix={skypix}" / "v.parquet")
    given["reference_stars"] = tmp_path / "reference.parquet"
    for v in VISITS:
        info = VisitInfo(v, physical_filter="r1", band="gi"[v % 2], mjd=60000.0 + 110 * v)
        write_component_json(Path(given["visit_info"].format(visit=v)), info)
        path = Path(given["source"].format(visit=v))
        write_table(path, source_table(v), data_id={"visit": v})
        summary = {"detector": np.array([2]), "wcs_skypix": np.array([SOLVED])}
        summary |= {"wcs_error": np.array([0.002])}
        path = Path(given["final_visit_summary"].format(visit=v))
        write_table(path, summary, data_id={"visit": v})
    columns = {"visit": np.array(VISITS), "floor": np.full(4, 3.0)}
    columns |= {f"dcr_{a}{e}": np.ones(4) for a in ("east", "north") for e in ("", "_err")}
    solved = Table.from_columns(columns, meta={"reference_color": 0.8, "color_bands": ["g", "i"]})
    path = Path(given["final_astrometry_visits"].format(skypix=SOLVED))
    write_table(path, solved, data_id={"skypix": SOLVED})
    here = {"id": np.array([77]), "ra": np.array([RA]), "dec": np.array([DEC])}
    here |= {"epoch": np.array([57388.5]), "flux_r": np.array([1e4]), "flux_r_err": np.array([1.0])}
    stars = ReferenceStars.from_columns(here)
    write_reference_stars(given["reference_stars"], stars)
    return given


def match(options: dict[str, Any]) -> list[InputError]:
    """Do what the script of matchSource does."""
    config = MatchSourceConfig()
    region = Region.about(ORDER, PIXEL, 5.0)
    read, faults = match_files.read_sources(VISITS, options, region, MATCHED_COLUMNS)
    visits = [VisitSources.of(*part) for part in read]
    catalog = match_files.read_references(options["reference_stars"], ORDER, PIXEL)
    found = match_source(visits, (ORDER, PIXEL), catalog, 0.2, config)
    match_files.write_outputs(found.matches, found.join, options | {"config": config})
    return faults


def fit(options: dict[str, Any], pieces: list[int] | None = None) -> list[InputError]:
    """Do what the script of fitStellarMotions does."""
    options = options | {"config": FitStellarMotionsConfig()}
    given, faults = motion_files.read_inputs(options, VISITS, pieces or [SOLVED])
    made = fit_stellar_motions(given, options["config"])
    motion_files.write_outputs(made.stars, made.notes, options)
    return faults


def test_from_sources_to_motions(options: dict[str, Any]) -> None:
    assert match(options) == []
    assert fit(options) == []
    matches = read_table(options["source_matches"])
    assert (matches["n_source"] == 4).all()
    assert matches.meta["min_snr"] == 5.0
    assert matches["reference_id"][0] == 77
    stars = read_table(options["stellar_motions"])
    assert stars["source_match_id"].tolist() == matches["source_match_id"].tolist()
    assert stars.units["raPM"] == "mas/yr"
    assert np.isfinite(stars["raPM"]).all()
    assert stars["referenceId"][0] == 77
    assert stars.meta["healpix_order"] == ORDER
    assert stars.meta["provenance"]["task"] == "fitStellarMotions"


def test_equal_inputs_give_equal_bytes(options: dict[str, Any]) -> None:
    written = []
    for _ in range(2):
        match(options)
        fit(options)
        names = ("source_matches", "source_matches_join", "stellar_motions")
        written.append([options[name].read_bytes() for name in names])
    assert written[0] == written[1]


def test_a_visit_that_cannot_be_read_is_left_out(options: dict[str, Any]) -> None:
    Path(options["source"].format(visit=2)).write_bytes(b"nothing")
    faults = match(options)
    assert len(faults) == 1
    assert "visit=2" in str(faults[0])
    assert (read_table(options["source_matches"])["n_source"] == 3).all()
    # Nothing of that visit was matched: nothing of it is missing.
    assert fit(options) == []
    trouble = motion_files.trouble(faults)
    assert trouble is not None
    assert trouble.numbers["unreadable_files"] == 1


def test_a_summary_that_is_lost_takes_its_sources_along(options: dict[str, Any]) -> None:
    match(options)
    Path(options["final_visit_summary"].format(visit=3)).unlink()
    assert len(fit(options)) == 1
    assert (read_table(options["stellar_motions"])["n_good"] == 3).all()


def test_without_any_summary_places_have_no_errors(options: dict[str, Any]) -> None:
    match(options)
    for v in VISITS:
        Path(options["final_visit_summary"].format(visit=v)).unlink()
    assert len(fit(options)) == len(VISITS)
    stars = read_table(options["stellar_motions"])
    assert len(stars) == len(read_table(options["source_matches"]))
    assert np.isnan(stars["raErr"]).all()


def test_no_visit_can_be_read(options: dict[str, Any]) -> None:
    for v in VISITS:
        Path(options["visit_info"].format(visit=v)).unlink()
    with pytest.raises(InputError):
        match(options)


def test_a_table_of_sources_without_a_column(options: dict[str, Any]) -> None:
    columns = source_table(1)
    del columns["psfFluxErr"]
    write_table(Path(options["source"].format(visit=1)), columns, data_id={"visit": 1})
    (fault,) = match(options)
    assert "psfFluxErr" in str(fault)


def test_sources_that_are_made_anew_do_not_fit_old_groups(options: dict[str, Any]) -> None:
    match(options)
    columns = source_table(4)
    columns["sourceId"] = columns["sourceId"] + 1000
    write_table(Path(options["source"].format(visit=4)), columns, data_id={"visit": 4})
    (fault,) = fit(options)
    assert "25 sources that are matched" in str(fault)


def test_without_solution_and_catalogue(options: dict[str, Any]) -> None:
    options = options | {"reference_stars": None}
    match(options)
    (fault,) = fit(options, [99])
    assert "skypix=99" in str(fault)
    stars = read_table(options["stellar_motions"])
    assert np.isfinite(stars["raPM"]).all()
    assert (stars["referenceId"] == 0).all()
    assert len(stars.meta["notes"]) == 2


def test_a_flag_that_source_does_not_have() -> None:
    with pytest.raises(InputError, match="pixelFlags_satured"):
        motion_files.known_flags(["pixelFlags_satured"])


def test_tables_without_rows(options: dict[str, Any]) -> None:
    match_files.write_outputs({}, {}, options | {"config": MatchSourceConfig()})
    assert fit(options) == []
    assert len(read_table(options["stellar_motions"])["ra"]) == 0
