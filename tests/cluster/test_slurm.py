"""The profile for SLURM, with a SLURM: the products of a run on one machine, byte for byte."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from drpflow import paths
from tests.cluster.one_node_slurm import NoSlurmError, OneNodeSlurm
from tests.workflow.small_survey import digests
from tests.workflow.test_names import BATCH_RULES, RULES

ENGINE = ("--profile", "slurm", "--cores", "3", "--verbose", "--")
# No accounting database; and a cluster of one machine answers at once.
ENGINE += ("--slurm-no-account", "--slurm-status-command", "squeue", "--latency-wait", "10")
ENGINE += ("--slurm-init-seconds-before-status-checks", "2")
FIELD = {"ra_deg": 150.1, "dec_deg": -12.3, "width_deg": 0.032, "height_deg": 0.032}


@pytest.fixture(scope="module")
def slurm() -> Iterator[OneNodeSlurm]:
    # The folder holds a socket, whose path must be short.
    with tempfile.TemporaryDirectory(prefix="slurm-") as name, ExitStack() as until_then:
        try:
            running = until_then.enter_context(OneNodeSlurm(Path(name)))
        except NoSlurmError as reason:
            pytest.skip(str(reason))
        yield running


def make_run(folder: Path, tiny: Path) -> None:
    """Two visits of the survey tiny; paths are relative, since they stand in products."""
    folder.mkdir()
    (folder / "tiny").symlink_to(tiny)
    options = ["--camera", "tiny/camera.yaml", "--calibrations", "tiny/calib"]
    drpflow(folder, "ingest", "tiny/raw", *options, "--output", "sheets")
    config = {"camera": "tiny/camera.yaml", "sheets": "sheets", "visits": [1, 2], "batch": "visit"}
    config |= {"reference_stars": "tiny/reference/reference_stars.parquet"}
    config |= {"skyMap": {"layout": "field", "field": FIELD, "patch_inner_pix": 600}}
    (folder / "config").mkdir()
    (folder / "config/config.yaml").write_text(yaml.safe_dump(config))


def drpflow(folder: Path, *words: str, **environment: str) -> str:
    result = subprocess.run(
        [sys.executable, "-m", "drpflow.cli", *words],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=1200,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


@pytest.mark.workflow
def test_slurm_makes_what_one_machine_makes(
    slurm: OneNodeSlurm, tiny_folder: Path, tmp_path: Path
) -> None:
    """By the official plugin, in groups: the first look at a visit is one job of SLURM."""
    for name in ("here", "there"):
        make_run(tmp_path / name, tiny_folder)
    drpflow(tmp_path / "here", "run", "calibration", "--cores", "2")
    said = drpflow(tmp_path / "there", "run", "calibration", *ENGINE, **slurm.environment)
    products = digests(tmp_path / "here/results")
    assert len(products) > 40
    assert digests(tmp_path / "there/results") == products
    words = ("--states=all", "--noheader", "--format=%T %k")
    jobs = slurm.call("squeue", *words).splitlines()
    assert all(job.startswith("COMPLETED") for job in jobs)
    assert sum("first_look" in job for job in jobs) == 2
    assert len(jobs) < len(re.findall(r"(?m)^ *rule \w+:$", said)) / 1.5


def test_the_profile_names_rules_that_exist() -> None:
    profile = yaml.safe_load((paths.profile("slurm") / "config.yaml").read_text())
    known = {*RULES, *(f"{name}OfVisit" for name in BATCH_RULES)}
    assert set(profile["groups"]) <= known
    assert set(profile["group-components"]) == set(profile["groups"].values())
    for name in BATCH_RULES:
        assert profile["groups"].get(f"{name}OfVisit") == profile["groups"].get(name)
