"""A simulated survey from the command line, as the README does it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from drpflow import Store, paths
from drpflow.io.moc_files import read_moc
from tests.layout.test_imports import SRC

FIELD = {"ra_deg": 150.1, "dec_deg": -12.3, "width_deg": 0.032, "height_deg": 0.032}
SKY_MAP = {"layout": "field", "field": FIELD, "patch_inner_pix": 600}
"""One patch that holds both detectors, whichever way the camera is turned."""


def drpflow(folder: Path, *words: str) -> str:
    command = [sys.executable, "-m", "drpflow.cli", *words]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout + result.stderr


@pytest.mark.workflow
def test_frames_become_images_without_the_truth(tiny_folder: Path, tmp_path: Path) -> None:
    """The truth folder is gone before the first frame is read."""
    shutil.copytree(tiny_folder, tmp_path / "tiny")
    made = drpflow(tmp_path, "simulate", "tiny", "--output", "tiny", "--cores", "1")
    assert "it was complete already" in made
    shutil.rmtree(tmp_path / "tiny/truth")
    options = ["--camera", "tiny/camera.yaml", "--calibrations", "tiny/calib"]
    drpflow(tmp_path, "ingest", "tiny/raw", *options, "--output", "tiny/sheets")
    config = {"camera": "tiny/camera.yaml", "sheets": "tiny/sheets", "keep": ["pvi"]}
    config |= {"reference_stars": "tiny/reference/reference_stars.parquet"}
    config |= {"skyMap": SKY_MAP}
    (tmp_path / "config").mkdir()
    (tmp_path / "config/config.yaml").write_text(yaml.safe_dump(config))
    assert "isr: 6 of 6 done" in drpflow(tmp_path, "run", "--cores", "1")
    store = Store(tmp_path / "results")
    assert store.query("post_isr_image") == []
    assert len(store.query("initial_pvi", band="r")) == 4
    exposure = store.get("initial_pvi", visit=1, detector=0)
    assert exposure.visit_info is store.get("visit_info", visit=1)
    stars, sources = (store.get(f"isolated_stars{part}_run") for part in ("", "_source"))
    assert len(stars) > 50
    assert stars["n_source"].max() == 3
    assert len(sources) == stars["n_source"].sum()
    assert (tmp_path / "results/report/index.html").stat().st_size > 100_000
    check_sources(store)
    check_rebuilt(tmp_path, store)
    assert "Nothing to do" in drpflow(tmp_path, "run", "--cores", "1")


def check_sources(store: Store) -> None:
    """All sources of the run, and where they were looked for."""
    sources = store.get("source_run")
    assert set(sources["visit"]) == {1, 2, 3}
    assert set(sources["detector"]) == {0, 1}
    for visit in (1, 2, 3):
        mine = sources.select(sources["visit"] == visit)
        assert (mine["detect_isPrimary"] & np.isfinite(mine["psfFlux"])).sum() > 50
        moc = read_moc(store.path("source_coverage", visit=visit))
        assert moc.contains(mine["ra"], mine["dec"]).all()
    names = {n for n in sources.columns if n.startswith("pixelFlags_")}
    assert {"pixelFlags_artifactCenter", "pixelFlags_streak"} <= names


def check_rebuilt(folder: Path, store: Store) -> None:
    """One final image again, without the compression's loss; nothing else is made."""
    path = store.path("rebuilt_pvi", visit=1, detector=0).relative_to(folder)
    made = drpflow(folder, "run", str(path), "--cores", "1")
    assert "2 jobs: isr 1, rebuildImage 1" in made
    final, again = (store.get(n, visit=1, detector=0) for n in ("pvi", "rebuilt_pvi"))
    limit = np.maximum(1e-5 * np.sqrt(final.variance), 2 * np.spacing(np.abs(final.image)))
    good = np.isfinite(final.image)
    assert good.mean() > 0.9
    np.testing.assert_array_equal(np.isfinite(again.image), good)
    assert (np.abs(again.image - final.image)[good] <= limit[good]).all()
    assert store.query("post_isr_image") == []


def test_nothing_but_the_simulator_names_the_truth_folder() -> None:
    root = paths.share_root()
    files = [*SRC.rglob("*.py"), *root.glob("scripts/*.py"), *root.glob("workflow/**/*.smk")]
    files = [f for f in files if "sim" not in f.relative_to(root).parts]
    assert len(files) > 100
    named = {f for f in files if "truth/" in f.read_text() or '"truth"' in f.read_text()}
    judges = {*(SRC / "drpflow/qa/truth").glob("*.py"), SRC / "drpflow/commands/score.py"}
    assert named - judges <= {SRC / "drpflow/qa/truth_section.py"}  # an anchor of the page
    readers = re.compile(r"qa\.truth\.(?!score\b)|qa\.truth import|sim\.truth")
    assert not [f for f in files if f not in judges and readers.search(f.read_text())]
