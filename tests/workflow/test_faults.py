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
    """Cut short, emptied, altered; and status files that were cut short, or are gone."""
    survey = copy_of(finished, tmp_path / "run")
    right, root = finished.products(), survey.folder / "results"
    cut = root / "source/visit=11/source.parquet"
    empty = next(root.glob("stellar_motions/*/*.parquet"))
    altered = root / "source/visit=12/source.parquet"
    torn = [next((root / "status" / task).rglob("*.json")) for task in ("matchSource", "makeWarp")]
    gone = next((root / "status/associateIsolatedStars").rglob("*.json"))
    cut.write_bytes(cut.read_bytes()[:-100])
    empty.write_bytes(b"")
    content = bytearray(altered.read_bytes())
    content[len(content) // 2] ^= 1
    altered.write_bytes(content)
    for path in torn:
        path.write_text(path.read_text()[:50])
    gone.unlink()

    dry = survey.drpflow("run", "--cores", "2", "--", "--dry-run", "--quiet", "rules")
    assert f"{cut.relative_to(survey.folder)} has " in dry.stderr
    assert cut.exists()
    result = survey.drpflow("run", "--cores", "2")
    assert result.returncode == 0, result.stdout + result.stderr
    for path, why in (
        (cut, "has "),
        (empty, "has 0 bytes instead of "),
        (altered, "has other bytes"),
        (torn[0], "it is no status file"),
        (torn[1], "it is no status file"),
        (gone, "is missing: what its job makes is made again"),
    ):
        assert f"{path.relative_to(survey.folder)} {why}" in result.stderr
    assert (root / "damaged" / cut.relative_to(root)).is_file()
    assert products(survey) == right
    again = survey.drpflow("run", "--cores", "2")
    assert "Nothing to do" in again.stdout, again.stdout + again.stderr


def test_damage_of_frames_that_have_been_archived(finished: SmallSurvey, tmp_path: Path) -> None:
    """Good images stay, whatever is wrong with what isr has left."""
    survey = copy_of(finished, tmp_path / "run")
    root, raw = survey.folder / "results", survey.raw_path(11, 0)
    status = root / "status/isr/visit=11/detector=0.json"
    raw.unlink()
    right = {name: d for name, d in products(survey).items() if name.startswith("initial_pvi")}
    whole = status.read_bytes()
    for change in (lambda: status.write_bytes(whole[:40]), status.unlink):
        change()
        result = survey.drpflow("run", "--cores", "2")
        assert result.returncode == 0, result.stderr
        assert "raw/11_0.fits is not there, of which it was made" in result.stderr
        assert "Delete it" not in result.stdout + result.stderr
        assert "isr: 3 of 4 done" in result.stdout
    status.write_bytes(whole)
    thumbnail = next((root / "post_isr_thumbnail/visit=11").glob("*_0.*"))
    thumbnail.write_bytes(thumbnail.read_bytes()[:-5])
    result = survey.drpflow("run", "--cores", "2")
    assert result.returncode == 2, result.stderr
    assert "raw/11_0.fits, of which it was made, is not there" in result.stderr
    assert {name: d for name, d in products(survey).items() if name in right} == right


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
