"""The look-up table of a camera, from its file to the written table."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pytest

from drpflow.config.fgcm_make_look_up_table import FgcmMakeLookUpTableConfig
from drpflow.data.camera import Amplifier, Camera, Detector, Filter, Observatory, Optics
from drpflow.io.absorption import read_absorption
from drpflow.io.look_up_table_files import read_look_up_table
from drpflow.tasks.fgcm_make_look_up_table import empty_table, fgcm_make_look_up_table
from drpflow.workflow.task_runner import main
from tests.data.look_up_tables import bell
from tests.io.test_look_up_table_files import AMPLIFIER, write_camera, write_curve

SCRIPT = Path(__file__).parents[2] / "scripts/fgcm_make_look_up_table.py"
AIR = read_absorption()
CONFIG = FgcmMakeLookUpTableConfig()


def camera_with(*filters: Filter, elevation_m: float = 2663.0) -> Camera:
    return Camera(
        name="test",
        observatory=Observatory(elevation_m=elevation_m),
        optics=Optics(plate_scale_arcsec_per_mm=20.0),
        detectors=tuple(
            Detector(
                id=number, name=f"D{number}", size_pix=(100, 100), center_mm=(2.0 * number, 0.0),
                pixel_size_mm=0.015, amplifiers=(Amplifier.model_validate(AMPLIFIER),),
            )
            for number in (3, 5, 8)
        ),
        filters=filters,
    )  # fmt: skip


def test_each_different_curve_is_kept_once() -> None:
    camera = camera_with(Filter(physical_filter="r", band="r"))
    curves = {"r": {3: bell(620, 130), 5: bell(622, 130), 8: bell(620, 130)}}
    made = fgcm_make_look_up_table(camera, curves, AIR, CONFIG)
    assert made.problem is None
    table = made.table.table("r")
    assert not table.nominal
    assert table.curve.tolist() == [0, 1, 0]
    assert made.numbers["n_curves"] == 2
    assert made.numbers["wavelength_r_nm"] == pytest.approx(616.5, abs=1.5)
    assert "nominal" not in made.numbers


def test_a_camera_that_tells_no_throughput() -> None:
    camera = camera_with(
        Filter(physical_filter="I", band="i", effective_wavelength_nm=798.0),
        Filter(physical_filter="thing", band="thing"),
    )
    made = fgcm_make_look_up_table(camera, {}, AIR, CONFIG)
    assert made.problem is None
    assert made.numbers["nominal"] == (
        "I: a common I filter at 798 nm; thing: a CCD without a filter"
    )
    assert all(table.nominal for table in made.table.tables)
    found = made.table.evaluate("I", None, *made.table.standard_atmosphere.values())
    assert found.i0.shape == (3,)
    assert (found.i0 > 0).all()


def test_filters_beyond_the_air_are_left_out_with_a_reason() -> None:
    camera = camera_with(
        Filter(physical_filter="r", band="r"), Filter(physical_filter="J", band="j")
    )
    own = {3: bell(1250, 160), 5: bell(1250, 160), 8: bell(1250, 160)}
    made = fgcm_make_look_up_table(camera, {"J": own}, AIR, CONFIG)
    assert made.table.filters == ("r",)
    assert made.problem is not None
    assert "filters J are left out" in made.problem.message
    assert made.problem.numbers == {"n_filters_left_out": 1}


def test_standard_air() -> None:
    camera = camera_with(Filter(physical_filter="g", band="g"))
    low = camera_with(Filter(physical_filter="g", band="g"), elevation_m=0.0)
    high, deep, told = (
        fgcm_make_look_up_table(c, {}, AIR, config).table
        for c, config in (
            (camera, CONFIG),
            (low, CONFIG),
            (low, CONFIG.model_copy(update={"pressure_hpa": 731.656177})),
        )
    )
    assert high.standard_atmosphere.pressure_hpa == pytest.approx(731.66, abs=0.01)
    assert deep.standard_atmosphere.pressure_hpa == pytest.approx(1013.25)
    assert deep.standard("g").i0 < high.standard("g").i0
    assert told.standard("g").i0 == pytest.approx(high.standard("g").i0, rel=1e-8)
    assert empty_table(low, AIR, CONFIG).filters == ()


def run(folder: Path, camera: Path, name: str, config: str = "{}") -> Path:
    """Run the script and return the table that it wrote."""
    task = runpy.run_path(str(SCRIPT))["TASK"]
    out = folder / name
    words = ["--camera", camera, "--fgcm-look-up-table", out, "--config", config]
    words += ["--status", folder / "status/fgcmMakeLookUpTable/run.json", "--code", "c"]
    assert main(task, [str(word) for word in words]) == 0
    return out


def status(folder: Path) -> dict[str, object]:
    return json.loads((folder / "status/fgcmMakeLookUpTable/run.json").read_text())


def test_script(tmp_path: Path) -> None:
    camera = write_camera(tmp_path)
    write_curve(tmp_path / "curves/r.csv", 0.5)
    write_curve(tmp_path / "curves/r_02.csv", 0.25)
    first, second = (run(tmp_path, camera, name) for name in ("a.fits", "b.fits"))
    assert first.read_bytes() == second.read_bytes()
    found = status(tmp_path)
    assert found["outcome"] == "done"
    assert found["numbers"]["nominal"] == "i_trio: a common i filter"
    table = read_look_up_table(first)
    i0 = table.evaluate("r_trio", None, *table.standard_atmosphere.values()).i0
    assert i0 == pytest.approx(i0[0] * np.array([1.0, 0.5, 1.0]))
    drier = read_look_up_table(run(tmp_path, camera, "c.fits", '{"pwv_mm": 1.0}'))
    assert drier.standard("r").i0 > table.standard("r").i0


def test_script_with_a_faulty_curve(tmp_path: Path) -> None:
    camera = write_camera(tmp_path)
    (tmp_path / "curves").mkdir()
    (tmp_path / "curves/r.csv").write_text("wavelength_nm,throughput\n500,0.1\n400,0.2\n")
    table = read_look_up_table(run(tmp_path, camera, "a.fits"))
    assert table.filters == ()
    assert table.detectors == (1, 2, 12)
    found = status(tmp_path)
    assert found["outcome"] == "failed"
    assert "the wavelengths do not rise" in str(found["reason"])
