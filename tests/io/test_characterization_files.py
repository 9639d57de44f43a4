"""What finalizeCharacterization reads of a run, and what it writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drpflow.config.finalize_characterization import FinalizeCharacterizationConfig
from drpflow.data.camera import Camera, Filter
from drpflow.data.component_table import ComponentRow, ComponentTable
from drpflow.data.psf import GaussianPsf
from drpflow.data.sky_wcs import SkyWcs
from drpflow.data.table import Table
from drpflow.data.visit_info import VisitInfo
from drpflow.errors import InputError
from drpflow.io import characterization_files as files
from drpflow.io.cache import ComponentCache
from drpflow.io.component_tables import ComponentRows, write_component_table
from drpflow.io.records import write_component_json
from drpflow.io.tables import read_table, write_table
from drpflow.tasks.finalize_characterization import Characterized, nothing
from tests.tasks.star_scene import make_camera

MJD = 60366.25
COLUMNS = ("isolated_star_id", "sourceId", "detector", "x", "y")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return the options of a script for a run of one visit on two pieces of the sky."""
    camera = make_camera()
    filters = tuple(Filter(physical_filter=b, band=b) for b in ("g", "r", "i"))
    monkeypatch.setattr(
        files, "load_camera", lambda _: Camera(**{**camera.__dict__, "filters": filters})
    )
    info = VisitInfo(
        visit=12, physical_filter="g", band="g", exposure_time_s=30.0, mjd=MJD,
        ra_deg=150.0, dec_deg=-20.0, rotation_deg=0.0, instrument="testcam",
    )  # fmt: skip
    write_component_json(tmp_path / "visit_info.json", info)
    wcs = SkyWcs.from_camera(camera, 3, 150.0, -20.0, 0.0)
    psf = ComponentTable({3: ComponentRow({"psf": GaussianPsf(2.0)})})
    write_component_table(tmp_path / "summary.parquet", psf, ("psf",), "detector")
    _write(tmp_path / "stars.parquet", detector=[3, 3, 4], x=[1.0, 2.0, 9.0], y=[5.0, 6.0, 9.0])
    for piece, ids in ((7, [1, 2]), (8, [3])):
        _write(
            tmp_path / f"source_{piece}.parquet",
            isolated_star_id=ids, sourceId=[10 * k for k in ids], detector=[3] * len(ids),
            visit=[12] * len(ids), x=[100.0] * len(ids), y=[50.0] * len(ids),
        )  # fmt: skip
        known = [k != 2 for k in ids]
        _write(
            tmp_path / f"standard_{piece}.parquet",
            isolated_star_id=[k for k in ids for _ in range(2)], band=["g", "i"] * len(ids),
            color=[0.5 + k for k in ids for _ in range(2)],
            color_assumed=[not k for k in known for _ in range(2)],
        )  # fmt: skip
    unknown = [np.nan] * 2
    _write(
        tmp_path / "solved_1.parquet",
        isolated_star_id=[1, 3], ra=[150.0, 150.0], dec=[-20.0, -20.0], epoch=[MJD - 365.25] * 2,
        pm_ra=[0.0, 100.0], pm_dec=[0.0, 0.0], parallax=unknown, ra_err=[3.0] * 2,
        dec_err=[4.0] * 2, pm_ra_err=[0.0] * 2, pm_dec_err=[0.0] * 2, parallax_err=unknown,
    )  # fmt: skip
    solved = ComponentTable({3: ComponentRow({"wcs": wcs})}, {"wcs_error": [0.01]})
    write_component_table(tmp_path / "wcs_1_12.parquet", solved, ("wcs",), "detector")
    return {
        "camera": "testcam",
        "visit_info": tmp_path / "visit_info.json",
        "initial_visit_summary": tmp_path / "summary.parquet",
        "initial_stars": tmp_path / "stars.parquet",
        "initial_pvi": [tmp_path / "initial_pvi_12_3.fits"],
        "isolated_stars_source": f"{tmp_path}/source_{{skypix}}.parquet",
        "fgcm_standard_stars": f"{tmp_path}/standard_{{skypix}}.parquet",
        "solved_astrometry_stars": f"{tmp_path}/solved_{{skypix}}.parquet",
        "solved_astrometry_wcs": f"{tmp_path}/wcs_{{skypix}}_{{visit}}.parquet",
        "final_characterization_summary": tmp_path / "final.parquet",
        "final_characterization_stars": tmp_path / "final_stars.parquet",
        "config": FinalizeCharacterizationConfig(),
    }


def _write(path: Path, **columns: Any) -> None:
    kept = {n: np.array(v, np.int32 if n == "detector" else None) for n, v in columns.items()}
    write_table(path, Table.from_columns(kept), dataset="made_up")


def test_stars_have_their_colours_and_places(run: dict[str, Any]) -> None:
    found = files.read_inputs(run, [7, 8], [1], COLUMNS)
    sources = found.sources
    assert (found.visit, found.band, found.color_type) == (12, "g", "g-i")
    assert sources["isolated_star_id"].tolist() == [1, 2, 3]
    assert sources["color"] == pytest.approx([1.5, np.nan, 3.5], nan_ok=True)
    moved = (sources["ra"][2] - sources["ra"][0]) * np.cos(np.radians(20)) * 3.6e6
    assert moved == pytest.approx(100.0, rel=1e-6)
    assert np.isnan(sources["ra"][1])
    assert sources["place_err"][[0, 2]] == pytest.approx(np.sqrt(12.5))


def test_what_is_known_of_a_detector(run: dict[str, Any]) -> None:
    (detector,) = files.read_inputs(run, [7, 8], [1], COLUMNS).detectors.items()
    number, known = detector
    assert number == 3
    assert known.psf.sigma_pix == 2.0
    assert known.wcs.pixel_shape is not None
    assert known.wcs_error_arcsec == 0.01
    assert known.peaks[0].tolist() == [1.0, 2.0]
    assert known.background is None


def test_without_a_solution_there_is_no_wcs(run: dict[str, Any]) -> None:
    found = files.read_inputs(run, [7, 8], [], COLUMNS)
    assert found.detectors[3].wcs is None
    assert np.isnan(found.sources["ra"]).all()


def test_without_standard_stars_no_colour_is_known(run: dict[str, Any], tmp_path: Path) -> None:
    """As fgcm leaves it where it found nothing: whole tables without rows."""
    empty = {"isolated_star_id": np.zeros(0, np.int64), "color": np.zeros(0)}
    empty |= {"color_assumed": np.zeros(0, bool), "band": np.zeros(0, np.str_)}
    for piece in (7, 8):
        path = tmp_path / f"standard_{piece}.parquet"
        write_table(path, Table.from_columns(empty), dataset="made_up")
    found = files.read_inputs(run, [7, 8], [1], COLUMNS)
    assert np.isnan(found.sources["color"]).all()
    assert found.color_type == ""
    assert np.isfinite(found.sources["ra"][[0, 2]]).all()


def test_a_detector_that_the_solution_lacks_has_no_wcs(run: dict[str, Any], tmp_path: Path) -> None:
    """A row without the component, and a solution of other detectors only."""
    lost = ComponentTable({3: ComponentRow({}, {"wcs": "no star"})}, {"wcs_error": [np.nan]})
    write_component_table(tmp_path / "wcs_1_12.parquet", lost, ("wcs",), "detector")
    assert files.read_inputs(run, [7, 8], [1], COLUMNS).detectors[3].wcs is None
    other = ComponentTable({4: ComponentRow({}, {"wcs": "no star"})}, {"wcs_error": [np.nan]})
    write_component_table(tmp_path / "wcs_1_12.parquet", other, ("wcs",), "detector")
    known = files.read_inputs(run, [7, 8], [1], COLUMNS).detectors[3]
    assert known.wcs is None
    assert np.isnan(known.wcs_error_arcsec)


def test_a_visit_that_the_solution_left_out(run: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "wcs_1_12.parquet").unlink()
    found = files.read_inputs(run, [7, 8], [1], COLUMNS)
    assert found.detectors[3].wcs is None
    assert np.isfinite(found.sources["ra"][0])


def test_a_visit_without_isolated_stars(run: dict[str, Any]) -> None:
    _write(Path(str(run["isolated_stars_source"]).format(skypix=8)), isolated_star_id=[3],
           sourceId=[30], detector=[3], visit=[13], x=[1.0], y=[1.0])  # fmt: skip
    found = files.read_inputs(run, [8], [1], COLUMNS)
    assert len(found.sources["isolated_star_id"]) == 0
    assert list(found.detectors) == [3]


def test_unknown_flag_is_named(run: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="psfFlux_flagg"):
        files.read_inputs(run, [7], [1], (*COLUMNS, "psfFlux_flagg"))


def test_images_say_by_their_names_of_which_detector_they_are(run: dict[str, Any]) -> None:
    assert files.visit_of(run) == (12, [3])
    with pytest.raises(InputError, match="visit and a detector"):
        files.exposure_paths([Path("image.fits")])


def test_a_failed_visit_has_whole_tables(run: dict[str, Any]) -> None:
    files.write_outputs(nothing(12, [3], "no stars"), 12, run)
    rows = ComponentRows(run["final_characterization_summary"], "detector", ComponentCache())
    assert rows.missing("psf", 3) == "no stars"
    assert rows.missing("ap_corr", 3) == "no stars"
    assert read_table(run["final_characterization_summary"], ["lost"])["lost"].tolist() == [
        "no stars"
    ]
    assert len(read_table(run["final_characterization_stars"])) == 0


def test_components_come_back(run: dict[str, Any]) -> None:
    made = nothing(12, [3], "")
    row = {3: ComponentRow({"psf": GaussianPsf(1.5)}, {"ap_corr": "few"})}
    files.write_outputs(Characterized(ComponentTable(row, made.summary.columns), {}, {}), 12, run)
    rows = ComponentRows(run["final_characterization_summary"], "detector", ComponentCache())
    assert rows.component("psf", 3).sigma_pix == 1.5
    assert rows.missing("ap_corr", 3) == "few"
