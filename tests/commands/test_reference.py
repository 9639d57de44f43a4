"""``drpflow reference``: from tables and from a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.table import Table as AstropyTable

from drpflow import Store, cli, paths
from drpflow.data.visit_info import VisitInfo
from drpflow.io.camera_yaml import load_camera
from drpflow.io.reference_stars import read_reference_stars
from drpflow.io.run_yaml import load_run
from drpflow.io.schemas import load_schema
from drpflow.io.solved_instrument import read_solved_instrument
from drpflow.io.tables import write_table


def test_convert_writes_what_calibrate_image_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    table = tmp_path / "survey.csv"
    rows = AstropyTable({"objid": [5, 6], "ra": [1.0, 2.0], "dec": [3.0, 4.0], "m": [20.0, 21.0]})
    rows.write(table, format="ascii.csv")
    output = tmp_path / "stars.parquet"
    arguments = [str(table), "--magnitude", "r=m", "--epoch", "2016", "--output", str(output)]
    assert cli.main(["reference", "convert", *arguments]) == 0
    found = read_reference_stars(output, 1.5, 3.5, 2.0)
    np.testing.assert_allclose(found.magnitude("r"), [20.0, 21.0])
    out = capsys.readouterr().out
    assert "2 stars with fluxes in r" in out
    assert "Next" not in out, "there is no run folder here"
    # A catalogue is not replaced by mistake.
    assert cli.main(["reference", "convert", *arguments]) == 2
    assert "exists already" in capsys.readouterr().err
    assert cli.main(["reference", "convert", *arguments, "--force"]) == 0
    assert cli.main(["reference", "convert", str(table), "--magnitude", "r", "--force"]) == 2
    assert "no NAME=VALUE" in capsys.readouterr().err


def test_a_catalogue_without_stars_is_not_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "empty.csv"
    AstropyTable(names=["objid", "ra", "dec", "m"]).write(table, format="ascii.csv")
    output = tmp_path / "stars.parquet"
    arguments = [str(table), "--magnitude", "r=m", "--epoch", "2016", "--output", str(output)]
    assert cli.main(["reference", "convert", *arguments]) == 2
    assert "no row has a position" in capsys.readouterr().err
    assert not output.exists()


def sources(n: int, visit: int, seed: int) -> dict[str, Any]:
    """Rows of ``initial_stars_detector`` with clean point sources."""
    rng = np.random.default_rng(seed)
    columns: dict[str, Any] = {}
    for column in load_schema("initial_stars_detector").without({"visit", "detector"}).columns:
        kind = np.dtype("U1" if column.type == "str" else column.type)
        columns[column.name] = np.zeros(n, kind)
    flux = 10 ** rng.uniform(3.5, 5, n)
    columns |= {
        "sourceId": visit * 1000 + np.arange(n),
        "x": rng.uniform(20, 490, n),
        "y": rng.uniform(20, 490, n),
        "xErr": np.full(n, 0.02, np.float32),
        "yErr": np.full(n, 0.03, np.float32),
        "psfFlux_instFlux": flux,
        "psfFlux_instFluxErr": np.sqrt(flux),
        "detect_isPrimary": np.ones(n, bool),
    }
    return columns


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A run of two visits of a camera with one detector, without a WCS."""
    camera = paths.share_root() / "config/cameras/saao1m_ste3.yaml"
    loaded = load_camera(camera)
    band, detector = loaded.filters[0], loaded.detectors[0].id
    store = Store(tmp_path / "results")
    for visit, number in ((1, 20), (2, 30)):
        info = VisitInfo(
            visit=visit, physical_filter=band.physical_filter, band=band.band, mjd=56500.0 + visit,
            exposure_time_s=100.0, ra_deg=273.9, dec_deg=-25.3, rotation_deg=0.0,
        )  # fmt: skip
        store.put(info, "visit_info", visit=visit)
        store.put(
            sources(number, visit, visit), "initial_stars_detector", visit=visit, detector=detector
        )
    config = tmp_path / "config.yaml"
    config.write_text(
        f"camera: {camera.resolve()}\nsheets: sheets\noutput: {tmp_path / 'results'}\n"
        f"reference_stars: {tmp_path / 'ref.parquet'}\n"
    )
    return tmp_path


def test_from_frame_takes_the_visit_with_most_stars(
    run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = ["--config", str(run_folder / "config.yaml")]
    assert cli.main(["reference", "from-frame", *config]) == 0
    found = read_reference_stars(run_folder / "ref.parquet", 273.9, -25.3, 1.0)
    assert len(found) == 30
    assert set(found.epoch) == {56502.0}
    (band,) = found.bands
    expected = np.sort(sources(30, 2, 2)["psfFlux_instFlux"])
    # 1 electron a second is 25 mag, and the exposure took 100 s.
    np.testing.assert_allclose(
        np.sort(found.magnitude(band))[::-1], 25 + 5 - 2.5 * np.log10(expected), atol=1e-9
    )
    out = capsys.readouterr().out
    assert "relative" in out
    assert "visit 2" in out
    assert "camera's WCS" in out
    arguments = [*config, "--visit", "1", "--zero-point", "30", "--force"]
    assert cli.main(["reference", "from-frame", *arguments]) == 0
    assert len(read_reference_stars(run_folder / "ref.parquet", 273.9, -25.3, 1.0)) == 20


def test_a_run_without_sources_is_told(
    run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = ["--config", str(run_folder / "config.yaml"), "--band", "nothing"]
    assert cli.main(["reference", "from-frame", *config]) == 2
    assert "no visit has sources in band 'nothing'" in capsys.readouterr().err


def test_other_bands_are_added_where_stars_match(
    run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(run_folder / "results")
    (detector,) = {d["detector"] for d in store.query("initial_stars_detector")}
    base = store.get("visit_info", visit=2)
    for visit, band, shift_pix in ((11, "z", 0.5), (12, "u", 40.0)):
        info = replace(base, visit=visit, band=band)
        columns = sources(30, visit, 2)
        columns |= {"x": columns["x"][:25] + shift_pix, "psfFlux_instFlux": np.full(25, 1e5)}
        columns = {name: values[:25] for name, values in columns.items()}
        store.put(info, "visit_info", visit=visit)
        data_id = {"visit": visit, "detector": detector}
        store.put(columns, "initial_stars_detector", **data_id)
    assert cli.main(["reference", "from-frame", "--config", str(run_folder / "config.yaml")]) == 0
    found = read_reference_stars(run_folder / "ref.parquet", 273.9, -25.3, 1.0)
    assert set(found.bands) == {base.band, "z"}
    assert np.isfinite(found.magnitude("z")).sum() == 25
    np.testing.assert_allclose(np.nanmedian(found.magnitude("z")), 25 + 5 - 12.5)
    assert "Left out: band u" in capsys.readouterr().out


def test_the_config_of_a_run_folder_names_the_new_catalogue(
    run_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.main(["init", str(run_folder), "--camera", "saao1m_ste3"])
    monkeypatch.chdir(run_folder)
    config = Path("config/config.yaml")
    before = config.read_text()
    assert load_run(config).reference_stars is None
    capsys.readouterr()
    assert cli.main(["reference", "from-frame", "--output", "mine.parquet"]) == 0
    assert f"write into {config}: reference_stars: mine.parquet" in capsys.readouterr().out
    assert config.read_text() == before, "the line is for another file"
    assert cli.main(["reference", "from-frame"]) == 0
    assert f"{config} names it. Next: drpflow run" in capsys.readouterr().out
    reference = load_run(config).reference_stars
    assert reference is not None
    assert reference.is_file()
    opened = config.read_text()
    assert opened.replace("\nreference_stars:", "\n# reference_stars:") == before
    assert cli.main(["reference", "from-frame", "--force"]) == 0
    assert "names it" in capsys.readouterr().out
    assert config.read_text() == opened


def test_from_solution_takes_the_stars_of_the_global_fits(
    run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All pieces of the sky; the final places where there are some."""
    config, output = run_folder / "config.yaml", run_folder / "solved.parquet"
    words = ["reference", "from-solution", "--config", str(config), "--output", str(output)]
    assert cli.main(words) == 2
    assert "drpflow run calibration" in capsys.readouterr().err
    store = Store(run_folder / "results")
    zero_points = empty("fgcm_zero_points", 3) | {"visit": np.array([1, 2, 2])}
    write_table(store.path("fgcm_zero_points"), zero_points, load_schema("fgcm_zero_points"))
    parameters = empty("fgcm_parameters", 1) | {"name": np.array(["star_flat_10"])}
    write_table(store.path("fgcm_parameters"), parameters, load_schema("fgcm_parameters"))
    for piece, stars in ((7, [70, 71]), (8, [80])):
        places = empty("solved_astrometry_stars", len(stars))
        places |= {"isolated_star_id": np.array(stars), "ra": np.full(len(stars), 273.9)}
        places |= {"dec": np.full(len(stars), -25.3), "epoch": np.full(len(stars), 56000.0)}
        name = "solved_astrometry_stars"
        write_table(store.path(name, skypix=piece), places, load_schema(name))
        standard = empty("fgcm_standard_stars", len(stars))
        standard |= {"isolated_star_id": np.array(stars), "band": np.full(len(stars), "g")}
        standard |= {"mag_std": np.full(len(stars), 20.0), "mag_err": np.full(len(stars), 0.01)}
        name = "fgcm_standard_stars"
        write_table(store.path(name, skypix=piece), standard, load_schema(name))
    assert cli.main(words) == 0
    found = read_reference_stars(output, 273.9, -25.3, 1.0)
    np.testing.assert_array_equal(found.id, [70, 71, 80])
    np.testing.assert_allclose(found.magnitude("g"), 20.0)
    instrument = read_solved_instrument(output)
    assert instrument is not None
    assert [item.name for item in instrument.photometry] == ["star_flat_10"]
    told = capsys.readouterr().out
    assert "the solution of visits 1-2 in " in told
    assert f"reference_stars: {output}" in told


def empty(name: str, rows: int) -> dict[str, Any]:
    """Columns of zeros."""
    kinds = {c.name: "U1" if c.type == "str" else c.type for c in load_schema(name).columns}
    return {column: np.zeros(rows, np.dtype(kind)) for column, kind in kinds.items()}
