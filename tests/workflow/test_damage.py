"""Products that are not what their jobs wrote are found, and go out of the way."""

from __future__ import annotations

import errno
import json
import os
import shutil
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from drpflow.errors import InputError
from drpflow.io.atomic import content_of
from drpflow.io.datasets import DatasetTable
from drpflow.io.run_yaml import load_run
from drpflow.io.status_files import write_outcome
from drpflow.workflow.damage import find_damage, find_damage_of_task, set_aside
from drpflow.workflow.plan import Plan, load_plan
from drpflow.workflow.repair import Repair
from drpflow.workflow.shards import parse
from tests.workflow.small_survey import DETECTORS, VISITS, SmallSurvey, camera_values

TABLE, ROOT = DatasetTable.load(), Path("results")
INCOMPLETE = Path(".snakemake/incomplete")
OF_ISR = ("isr_statistics", "post_isr_thumbnail")
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


class Run:
    """A run folder with frames and sheets, and products as jobs would have left them."""

    def __init__(self, folder: Path) -> None:
        self.survey = SmallSurvey(folder, folder)
        (folder / "config").mkdir()
        self.survey.write_camera(camera_values())
        for detector in DETECTORS:
            self.survey.write_calibrations(detector)
            for visit in VISITS:
                self.survey.write_raw(visit, detector)
        self.survey.write_sheets(VISITS)
        self.survey.write_config(keep=[])

    @property
    def plan(self) -> Plan:
        return load_plan(load_run(Path("config/config.yaml")))

    def job(self, task: str, outcome: str = "done", **data_id: int) -> tuple[Path, Path]:
        """Write what a job leaves; return its status file and its first product."""
        of_task = [name for name, entry in TABLE.datasets.items() if entry.task == task]
        names = [name for name in of_task if not TABLE.is_temporary(name)]
        paths = [TABLE.path(ROOT, name, **data_id) for name in names]
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{path} " * 10)
        status = TABLE.status_path(ROOT, task, **data_id)
        files = {str(path.relative_to(ROOT)): content_of(path) for path in paths}
        record = RECORD | {"task": task, "data_id": data_id, "outcome": outcome, "files": files}
        write_outcome(status, record)
        return status, paths[0]

    @staticmethod
    def note_inputs(status: Path, *inputs: str) -> None:
        """Write what Snakemake notes of the inputs of a job."""
        name = urlsafe_b64encode(str(status).encode()).decode()
        note = Path(".snakemake/metadata", name)
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(json.dumps({"input": inputs}))

    def inputs(self, visit: int, detector: int) -> set[str]:
        """Return the files of a frame that its job has as inputs."""
        frame = SimpleNamespace(visit=str(visit), detector=str(detector))
        return set(self.plan.survey.frame_files(frame).values())


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    return Run(tmp_path)


RAW, FRAME = "raw/11_0.fits", {"visit": 11, "detector": 0}
PUT_BACK = "Put it back, and run again"


def test_what_cannot_be_made_again_is_left(made: Run) -> None:
    """The frame has been archived since: its job would put stubs in the place of good images."""
    _, product = made.job("isr", **FRAME)
    _, image = made.job("calibrateImage", **FRAME)
    Path(RAW).unlink()
    for path in (product, image):
        whole = path.read_bytes()
        path.write_bytes(whole[:9])
        (told,) = Repair(made.plan, dry=True).begin()
        assert told.endswith(f"{RAW} is not there, of which it was made. {PUT_BACK}")
        with pytest.raises(InputError, match=f"{path}: it has 9 bytes .*{RAW}.*{PUT_BACK}"):
            list(Repair(made.plan).begin())
        assert path.read_bytes() == whole[:9]
        path.write_bytes(whole)
    assert not list(Repair(made.plan).begin())


def test_a_detrended_image_that_is_there_does_for_a_raw_frame(made: Run) -> None:
    made.job("isr", **FRAME)
    _, image = made.job("calibrateImage", **FRAME)
    detrended = TABLE.path(ROOT, "post_isr_image", **FRAME)
    detrended.parent.mkdir(parents=True, exist_ok=True)
    detrended.touch()
    image.write_bytes(b"")
    Path(RAW).unlink()
    (told,) = Repair(made.plan).begin()
    assert told.endswith("moved to results/damaged and made again")
    assert not image.exists()


@pytest.mark.parametrize("text", ["", '{"task": "isr"', None])
def test_a_frame_without_status_that_has_been_archived(made: Run, text: str | None) -> None:
    """It stays an input, so that its job, which would find nothing, does not run."""
    status, _ = made.job("isr", **FRAME)
    made.note_inputs(status, RAW)
    Path(RAW).unlink()
    if text is None:
        status.unlink()
    else:
        status.write_text(text)
    assert RAW in made.inputs(11, 0)
    (told,) = Repair(made.plan).begin()
    assert told.startswith(str(status))
    assert f"{RAW} is not there" in told
    assert not Path(".snakemake/incomplete").exists()


def test_one_archived_frame_of_a_visit_in_one_job(made: Run) -> None:
    """The job of the visit would need it for what another detector has lost."""
    made.survey.write_config(keep=[], batch="visit")
    made.job("isr", **FRAME)
    _, product = made.job("isr", visit=11, detector=1)
    product.write_bytes(b"")
    Path(RAW).unlink()
    with pytest.raises(InputError, match=f"{product}: .*{RAW}"):
        list(Repair(made.plan).begin())


def test_frames_that_are_lost_stay_so(made: Run) -> None:
    """Made without a raw frame, or of one whose products have been deleted, or not at all."""
    Path(RAW).unlink()
    assert RAW not in made.inputs(11, 0)
    status, _ = made.job("isr", "failed", **FRAME)
    made.note_inputs(status, "calib/bias_0.fits")
    assert RAW not in made.inputs(11, 0)
    status.write_text("")
    assert RAW not in made.inputs(11, 0)
    made.note_inputs(status, RAW)
    assert RAW in made.inputs(11, 0)
    shutil.rmtree(ROOT)
    assert RAW not in made.inputs(11, 0)


def test_a_job_whose_status_file_is_lost_is_done_again(made: Run) -> None:
    """Nothing is thrown away: Snakemake is told that the job has not come to its end."""
    torn, first = made.job("matchSource", skypix=65884)
    gone, second = made.job("isr", **FRAME)
    torn.write_text(torn.read_text()[:60])
    gone.unlink()
    told = list(Repair(made.plan, dry=True).begin())
    assert not Path(".snakemake/incomplete").exists()
    assert list(Repair(made.plan).begin()) == told
    assert told[0] == f"{gone} is missing: what its job makes is made again"
    assert told[1].startswith(f"{torn} it is no status file")
    notes = {urlsafe_b64decode(path.name).decode() for path in INCOMPLETE.iterdir()}
    assert str(torn) in notes
    assert notes - {str(torn)} <= {str(TABLE.path(ROOT, name, **FRAME)) for name in OF_ISR}
    assert first.exists()
    assert second.exists()
    # Until Snakemake has done them: the one is told again, of the other Snakemake knows.
    assert [line.split()[0] for line in Repair(made.plan).begin()] == [str(torn)]


def test_a_damaged_status_file_is_no_reason_to_read_all_products(root: Path) -> None:
    other = root / "status/fgcm/other.json"
    other.write_text("")
    alter_unseen(root / NAMES[0])
    jobs = [str(other), str(root / STATUS)]
    assert [damage.status for damage in find_damage_of_task(root, jobs)] == [other]


def test_jobs_that_never_ran_have_no_lost_status(made: Run) -> None:
    made.job("isr", **FRAME)
    assert not list(Repair(made.plan).begin())


def test_a_shard_leaves_the_damage_of_others(made: Run) -> None:
    """It does not make what was set aside; whoever makes it finds it."""
    made.job("isr", visit=11, detector=0)
    products = [made.job("isr", visit=visit, detector=1)[1] for visit in VISITS]
    _, later = made.job("matchSource", skypix=65884)
    for path in (*products, later):
        path.write_bytes(b"")
    repair = Repair(made.plan, shard=parse("first-look 11"))
    told = list(repair.begin())
    assert len(told) == 3
    assert [line.endswith("of another shard, and left to it") for line in told] == [
        False,
        True,
        True,
    ]
    assert [path.exists() for path in (*products, later)] == [False, True, True]
    assert not list(repair.end())
    later.write_bytes(b"x")
    whole = made.job("isr", visit=11, detector=0)[1]
    whole.write_bytes(b"")
    assert [line.split()[0] for line in repair.end()] == [str(whole)]


def test_products_on_another_disk(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To which a folder is a link: nothing can be renamed from the one to the other."""

    def refuse(*paths: object, **options: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    for name in ("rename", "replace"):
        monkeypatch.setattr(os, name, refuse)
    other = root / "other"
    shutil.copytree(root / "wcs/skypix=1", other)
    shutil.rmtree(root / "wcs/skypix=1")
    (root / "wcs/skypix=1").symlink_to(other)
    alter(root / NAMES[2])
    (damage,) = find_damage(root, [str(root / STATUS)])
    set_aside(root, damage)
    left = [str(p.relative_to(root)) for p in sorted(root.rglob("*")) if p.is_file()]
    assert left == [f"damaged/{NAMES[2]}"]
    assert not (root / "wcs/skypix=1").is_symlink()
