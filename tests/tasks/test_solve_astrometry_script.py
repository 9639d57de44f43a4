"""solveAstrometry by its script: files in, files out."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from drpflow.errors import MissingDatasetError
from drpflow.io.cache import ComponentCache
from drpflow.io.component_tables import ComponentRows
from drpflow.io.tables import read_table, write_table
from drpflow.workflow.task_runner import main
from tests.tasks.astrometric_run import (
    PIECES,
    SIZE_PIX,
    SKYPIX,
    SmallAstrometry,
    small_astrometry,
    write_survey,
)

SCRIPT = Path(__file__).parents[2] / "scripts/solve_astrometry.py"
TABLES = ("stars", "visits", "residuals")


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("solve_astrometry_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(folder: Path, words: list[str]) -> dict[str, object]:
    """Run the script; return the status."""
    out = folder / "out"
    words = [*words, "--solved-astrometry-wcs", str(out / "wcs/skypix={skypix}/{visit}.parquet")]
    for name in TABLES:
        words += [f"--solved-astrometry-{name}", str(out / f"{name}.parquet")]
    status = folder / f"status/solveAstrometry/skypix={SKYPIX}.json"
    assert main(script().TASK, [*words, "--status", str(status), "--code", "c"]) == 0
    return dict(json.loads(status.read_text()))


@pytest.fixture(scope="module")
def given() -> SmallAstrometry:
    return small_astrometry()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, given: SmallAstrometry) -> Path:
    folder = tmp_path_factory.mktemp("astrometry")
    status = run(folder, write_survey(folder, given))
    assert status["outcome"] == "done", status
    return folder


def wcs_rows(folder: Path, visit: int) -> tuple[Path, ComponentRows]:
    path = folder / f"out/wcs/skypix={SKYPIX}/{visit}.parquet"
    return path, ComponentRows(path, "detector", ComponentCache())


def test_wcs_and_its_fits_header(finished: Path, given: SmallAstrometry) -> None:
    path, rows = wcs_rows(finished, 21)
    table = read_table(path).to_dict()
    assert table["detector"].tolist() == [0, 1, 2, 3]
    for k, detector in enumerate(table["detector"].tolist()):
        wcs = rows.component("wcs", detector)
        assert np.median(given.errors_mas(21, detector, wcs)) < 3.0
        header = fits.Header.fromstring(str(table["sip_header"][k]), sep="\n")
        x, y = np.array([0.0, 250.0, SIZE_PIX]), np.array([30.0, 250.0, 0.0])
        ra, dec = wcs.pixel_to_world_values(x, y)
        off = np.array(WCS(header).all_pix2world(x, y, 0)) - [ra, dec]
        error = 3600 * np.hypot(off[0] * np.cos(np.radians(dec)), off[1])
        assert error.max() <= 1.01 * table["sip_error"][k] < 1e-3


def test_stars_are_those_of_the_piece(finished: Path, given: SmallAstrometry) -> None:
    """The fit took those of the neighbouring piece as well."""
    stars = read_table(finished / "out/stars.parquet")
    ids = given.survey.stars.id
    assert stars["isolated_star_id"].tolist() == ids[ids % 2 == 0].tolist()
    assert stars.meta["healpix_order"] == 3
    status = json.loads((finished / f"status/solveAstrometry/skypix={SKYPIX}.json").read_text())
    assert status["numbers"]["n_stars"] > 0.9 * len(ids)
    residuals = read_table(finished / "out/residuals.parquet").to_dict()
    assert (residuals["isolated_star_id"] % 2 == 0).all()
    visits = read_table(finished / "out/visits.parquet").to_dict()
    assert visits["visit"].tolist() == [item.info.visit for item in given.survey.visits]
    assert visits["solved"].all()


def test_products_say_for_which_star_and_what_is_open(finished: Path) -> None:
    table = read_table(finished / "out/visits.parquet")
    status = json.loads((finished / f"status/solveAstrometry/skypix={SKYPIX}.json").read_text())
    assert table.meta["reference_color"] == 0.78
    assert table.meta["color_bands"] == ["g", "i"]
    for name in ("held", "notes"):
        sentences = table.meta[name]
        told = status["numbers"].get(name, "")
        assert told.startswith("; ".join(sentences[:10]))
        assert (f"and {len(sentences) - 10} more" in told) == (len(sentences) > 10)
    wcs = read_table(wcs_rows(finished, 21)[0])
    assert wcs.meta["reference_color"] == 0.78
    assert wcs.meta["healpix_order"] == 3


def test_a_second_run_gives_the_same_bytes(finished: Path, given: SmallAstrometry) -> None:
    files = sorted(p for p in (finished / "out").rglob("*") if p.is_file())
    before = [(p.read_bytes(), p.stat().st_mtime_ns) for p in files]
    run(finished, write_survey(finished, given))
    assert [(p.read_bytes(), p.stat().st_mtime_ns) for p in files] == before


def test_an_unreadable_visit_is_lost_alone(tmp_path: Path, given: SmallAstrometry) -> None:
    words = write_survey(tmp_path, given)
    (tmp_path / "summary/22.parquet").write_bytes(b"nothing")
    status = run(tmp_path, words)
    assert status["outcome"] == "partial"
    assert "visit 22" in str(status["reason"])
    lost = read_table(wcs_rows(tmp_path, 22)[0]).to_dict()
    assert lost["detector"].tolist() == [0, 1, 2, 3]
    assert np.isnan(lost["wcs_error"]).all()
    with pytest.raises(MissingDatasetError, match="cannot be read"):
        wcs_rows(tmp_path, 22)[1].component("wcs", 3)
    visits = read_table(tmp_path / "out/visits.parquet").to_dict()
    assert "cannot be read" in visits["reason"][visits["visit"] == 22][0]
    assert wcs_rows(tmp_path, 21)[1].component("wcs", 3) is not None


def test_without_standard_stars(tmp_path: Path, given: SmallAstrometry) -> None:
    """fgcm failed: its tables have no rows, and say nothing of colours."""
    words = write_survey(tmp_path, given)
    for piece in PIECES:
        path = tmp_path / f"standard/{piece}.parquet"
        write_table(path, {n: v[:0] for n, v in read_table(path).to_dict().items()})
    status = run(tmp_path, words)
    assert status["outcome"] == "done"
    table = read_table(tmp_path / "out/visits.parquet")
    assert table.to_dict()["solved"].all()
    assert any("no star has a colour" in note for note in table.meta["notes"])
    assert "color_bands" not in table.meta


def test_a_piece_without_stars(tmp_path: Path, given: SmallAstrometry) -> None:
    """Every visit gets its table, and every product exists."""
    words = write_survey(tmp_path, given)
    for piece in PIECES:
        for folder in ("stars", "sources", "standard"):
            path = tmp_path / f"{folder}/{piece}.parquet"
            columns = {n: values[:0] for n, values in read_table(path).to_dict().items()}
            write_table(path, columns)
    status = run(tmp_path, words)
    assert status["outcome"] == "failed"
    assert "no visit can be solved" in str(status["reason"])
    for name in ("stars", "residuals"):
        assert len(read_table(tmp_path / f"out/{name}.parquet")) == 0
    reasons = read_table(tmp_path / "out/visits.parquet").to_dict()["reason"]
    assert len(reasons) == 6
    assert all("no visit can be solved" in reason for reason in reasons)
    with pytest.raises(MissingDatasetError, match="no visit can be solved"):
        wcs_rows(tmp_path, 25)[1].component("wcs", 0)
