"""Faults of the machine: the same command afterwards, and the products are what they must be.

benchmarks/fault_trials.py has many more of each (docs/faults.md).
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from faults import forget, kill_at_random, with_small_files, without_rights, wrong_products

from tests.workflow.small_survey import SmallSurvey

pytestmark = pytest.mark.workflow

LAST = ("consolidateSourceTable", "matchSource", "fitStellarMotions", "makeReport")
KILLS = 4


def copy_of(survey: SmallSurvey, folder: Path) -> SmallSurvey:
    """Return a survey that has been run as far as the given one, in a folder of its own."""
    shutil.copytree(survey.folder, folder, ignore=shutil.ignore_patterns("modules"))
    return SmallSurvey(folder, survey.code)


def products(survey: SmallSurvey) -> dict[str, str]:
    """Return the digests of products, without what was set aside."""
    found = survey.products()
    return {name: d for name, d in found.items() if not name.startswith("damaged/")}


def run_with(survey: SmallSurvey, prepare) -> subprocess.CompletedProcess[str]:
    """Run under a limit that the machine sets."""
    return subprocess.run(
        survey.command("run", "--cores", "2"),
        cwd=survey.folder,
        env=survey.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
        preexec_fn=prepare,
    )


def test_kill_9_at_any_moment(finished: SmallSurvey, tmp_path: Path) -> None:
    survey = copy_of(finished, tmp_path / "run")
    right, rng = finished.products(), random.Random(20)
    forget(survey, LAST)
    for _ in range(KILLS):
        kill_at_random(survey, rng, 4.0)
        assert not wrong_products(survey.products(), right)
    last = survey.drpflow("run", "--cores", "2")
    assert last.returncode == 0, last.stdout + last.stderr
    assert products(survey) == right


def test_damaged_products_are_made_again(finished: SmallSurvey, tmp_path: Path) -> None:
    """Cut short, emptied, altered; and a status file that was cut short."""
    survey = copy_of(finished, tmp_path / "run")
    right, root = finished.products(), survey.folder / "results"
    cut = root / "source/visit=11/source.parquet"
    empty = next(root.glob("stellar_motions/*/*.parquet"))
    altered = root / "source/visit=12/source.parquet"
    torn = next((root / "status/makeReport").rglob("*.json"))
    cut.write_bytes(cut.read_bytes()[:-100])
    empty.write_bytes(b"")
    content = bytearray(altered.read_bytes())
    content[len(content) // 2] ^= 1
    altered.write_bytes(content)
    torn.write_text(torn.read_text()[:50])

    dry = survey.drpflow("run", "--cores", "2", "--", "--dry-run", "--quiet", "rules")
    assert f"{cut.relative_to(survey.folder)} has " in dry.stderr
    assert cut.exists()
    result = survey.drpflow("run", "--cores", "2")
    assert result.returncode == 0, result.stdout + result.stderr
    for path, why in (
        (cut, "has "),
        (empty, "has 0 bytes instead of "),
        (altered, "has other bytes"),
    ):
        assert f"{path.relative_to(survey.folder)} {why}" in result.stderr
    assert (root / "damaged" / cut.relative_to(root)).is_file()
    assert products(survey) == right


def test_bytes_that_change_by_themselves(finished: SmallSurvey, tmp_path: Path) -> None:
    survey = copy_of(finished, tmp_path / "run")
    path = survey.folder / "results/report/index.html"
    times, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    result = survey.drpflow("run", "--cores", "2", "--verify")
    assert result.returncode == 0, result.stderr
    assert "index.html has other bytes" in result.stderr
    assert products(survey) == finished.products()


def test_full_disk_and_no_right_to_write(finished: SmallSurvey, tmp_path: Path) -> None:
    """One after the other, each told in a sentence; without them the same command ends well."""
    survey = copy_of(finished, tmp_path / "run")
    forget(survey, ("fitStellarMotions", "makeReport"))
    shut = survey.folder / "results/source/visit=11"
    (shut / "source.parquet").unlink()
    shut.chmod(0o555)
    try:
        result = run_with(survey, without_rights)
    finally:
        # Snakemake removes the empty folder of a job that failed.
        with suppress(FileNotFoundError):
            shut.chmod(0o755)
    assert result.returncode == 1, result.stderr
    assert "Permission denied. Give yourself the right to" in result.stderr
    result = run_with(survey, with_small_files(30_000))
    assert result.returncode == 1, result.stderr
    assert "File too large. " in result.stderr
    assert not wrong_products(survey.products(), finished.products())
    mended = survey.drpflow("run", "--cores", "2")
    assert mended.returncode == 0, mended.stdout + mended.stderr
    assert products(survey) == finished.products()


def test_a_folder_in_which_nothing_can_be_written(finished: SmallSurvey, tmp_path: Path) -> None:
    survey = copy_of(finished, tmp_path / "run")
    root = survey.folder / "results"
    root.chmod(0o555)
    try:
        result = run_with(survey, without_rights)
    finally:
        root.chmod(0o755)
    assert result.returncode == 2
    assert "results: nothing can be written into it (permission denied)" in result.stderr
    assert "Traceback" not in result.stderr
