"""Products that are not what their jobs wrote are found, and go out of the way."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from drpflow.errors import InputError
from drpflow.io.atomic import content_of
from drpflow.workflow.damage import Damage, find_damage, find_damage_of_task, set_aside

STATUS = "status/fgcm/run.json"
RECORD = {"task": "fgcm", "data_id": {}, "outcome": "done", "reason": "", "hint": "", "numbers": {}}
NAMES = (
    "stars/stars.parquet",
    "wcs/skypix=1/visit=1.parquet",
    "wcs/skypix=1/deeper/visit=2.parquet",
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Products of one job, of which two stand in a folder that Snakemake knows as one output."""
    for number, name in enumerate(NAMES):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(bytes([number]) * 1000)
    (tmp_path / "wcs/skypix=1/.snakemake_timestamp").touch()
    files = {name: content_of(tmp_path / name) for name in NAMES}
    (tmp_path / STATUS).parent.mkdir(parents=True)
    (tmp_path / STATUS).write_text(json.dumps(RECORD | {"files": files}))
    return tmp_path


def found(root: Path, *, thorough: bool = False) -> dict[str, str]:
    jobs = [str(root / STATUS), str(root / "status/fgcm/never.json")]
    damages = find_damage(root, jobs, thorough=thorough)
    return {str(p.relative_to(root)): why for d in damages for p, why in d.faults.items()}


def alter(path: Path) -> None:
    path.write_bytes(b"x" + path.read_bytes()[1:])


def alter_unseen(path: Path) -> None:
    """As a disk does it."""
    times = path.stat()
    alter(path)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_nothing_is_wrong(root: Path) -> None:
    (root / NAMES[0]).touch()
    assert not found(root)
    assert not found(root, thorough=True)


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (lambda path: path.write_bytes(b""), "has 0 bytes instead of 1000"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "has 999 bytes instead of 1000"),
        (alter, "has other bytes"),
    ],
)
def test_damage(root: Path, harm: Callable[[Path], None], why: str) -> None:
    harm(root / NAMES[0])
    assert found(root) == {NAMES[0]: why}


def test_bytes_that_change_by_themselves_show_where_all_are_read(root: Path) -> None:
    alter_unseen(root / NAMES[1])
    assert not found(root)
    assert found(root, thorough=True) == {NAMES[1]: "has other bytes"}


def test_files_that_have_changed_places(tmp_path: Path) -> None:
    """By renaming: each keeps its time, by which only the earlier job's shows."""
    jobs, products = [], []
    for visit in (1, 2):
        product, job = tmp_path / f"pvi/{visit}", tmp_path / f"status/isr/visit={visit}.json"
        job.parent.mkdir(parents=True, exist_ok=True)
        product.parent.mkdir(exist_ok=True)
        product.write_text(f"visit {visit}")
        record = RECORD | {"task": "isr", "data_id": {"visit": visit}}
        job.write_text(json.dumps(record | {"files": {f"pvi/{visit}": content_of(product)}}))
        for path, time_s in ((product, 10 * visit), (job, 10 * visit + 1)):
            os.utime(path, (time_s, time_s))
        jobs.append(str(job))
        products.append(product)
    assert not list(find_damage_of_task(tmp_path, jobs))
    aside = tmp_path / "aside"
    products[0].rename(aside)
    products[1].rename(products[0])
    aside.rename(products[1])
    assert [list(d.faults) for d in find_damage(tmp_path, jobs)] == [products[:1]]
    found = list(find_damage_of_task(tmp_path, jobs))
    assert [list(damage.faults) for damage in found] == [products[:1], products[1:]]


def test_what_is_deleted(root: Path) -> None:
    """Snakemake does not look into a folder; of single files it knows by itself."""
    (root / NAMES[0]).unlink()
    assert not found(root)
    (root / NAMES[2]).unlink()
    assert found(root) == {NAMES[2]: "is missing"}


@pytest.mark.parametrize("text", ["", '{"task": "fgcm"'])
def test_a_status_file_that_was_cut_short(root: Path, text: str) -> None:
    (root / STATUS).write_text(text)
    assert "no status file" in found(root)[STATUS]


@pytest.mark.parametrize("change", [{"task": "isr"}, {"data_id": {"visit": 3}}])
def test_the_status_file_of_another_job(root: Path, change: dict[str, object]) -> None:
    (root / STATUS).write_text(json.dumps(RECORD | change))
    assert found(root)[STATUS].startswith("is that of")


def test_a_status_file_that_may_not_be_read_is_not_made_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, mode: str) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(InputError, match=r"Permission denied\. Give yourself"):
        found(root)


def test_status_of_an_earlier_drpflow_tells_nothing(root: Path) -> None:
    (root / STATUS).write_text(json.dumps(RECORD))
    (root / NAMES[0]).write_bytes(b"")
    assert not found(root, thorough=True)


def test_set_aside(root: Path) -> None:
    """The job is as if it had not run, and what was damaged can be looked at."""
    alter(root / NAMES[2])
    (damage,) = find_damage(root, [str(root / STATUS)])
    set_aside(root, damage)
    left = [str(p.relative_to(root)) for p in sorted(root.rglob("*")) if p.is_file()]
    assert left == [f"damaged/{NAMES[2]}"]
    assert not (root / "wcs/skypix=1").exists()
    set_aside(root, damage)  # by whoever was interrupted before the end


def test_a_damaged_status_file_is_set_aside(root: Path) -> None:
    set_aside(root, Damage(root / STATUS, {root / STATUS: "cut short"}))
    assert not (root / STATUS).exists()
    assert (root / "damaged" / STATUS).is_file()
    assert (root / NAMES[0]).is_file()
