"""Jobs that are forks of the job server: as if the shell had started them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import yaml

from drpflow.io.benchmark_files import read_benchmarks
from drpflow.paths import script
from drpflow.workflow import job_client, job_server
from drpflow.workflow.task_runner import Task
from tests.workflow.small_survey import SmallSurvey, camera_values

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux alone has the server")

SCRIPT = str(script("makeVisitInfo"))
ROW = {"visit": "7", "night": "n1", "physical_filter": "g1", "band": "g", "exptime_s": "30.0",
       "mjd_begin": "61041.2", "ra_deg": "10.0", "dec_deg": "-30.0"}  # fmt: skip
LONGEST_S = 30.0
CLIENT = [sys.executable, "-S", "-P", job_client.__file__]


class Workflow:
    """What the server asks Snakemake's workflow for."""

    def __init__(
        self,
        *,
        local: bool = True,
        methods: set[str] = frozenset(),
        jobs: int = 99,
        touch: bool = False,
    ):
        self.local_exec = local
        self.deployment_settings = SimpleNamespace(deployment_method=methods)
        self.dag = range(jobs)
        self.touch = touch


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[psutil.Process]:
    """A server that this process has started."""
    monkeypatch.delenv(job_client.VARIABLE, raising=False)
    at_exit: list[tuple[Callable[..., None], subprocess.Popen[str]]] = []
    monkeypatch.setattr("atexit.register", lambda *call: at_exit.append(call))
    job_server.start(Workflow())
    ((end, process),) = at_exit
    assert os.environ[job_client.VARIABLE].startswith("drpflow-jobs-")
    yield psutil.Process(process.pid)
    end(process)
    del os.environ[job_client.VARIABLE]


@pytest.fixture
def camera(tmp_path: Path) -> Path:
    path = tmp_path / "camera.yaml"
    path.write_text(yaml.safe_dump(camera_values()))
    return path


def words(folder: Path, camera: Path) -> list[str]:
    """Return the command line of a job, as the shell has it after ``python``."""
    job = ["--row", json.dumps(ROW), "--camera", str(camera), "--visit-info"]
    job += [str(folder / "visit_info.json"), "--status", str(folder / "status.json")]
    return [SCRIPT, *job, "--timing", str(folder / "timing.tsv")]


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONGEST_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def gone(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.status() == psutil.STATUS_ZOMBIE
    return True


class Blocked:
    """A job of the server whose timing goes into a pipe, and which waits for a reader of it."""

    def __init__(
        self,
        server: psutil.Process,
        folder: Path,
        camera: Path,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        self.timing = folder / "timing.tsv"
        os.mkfifo(self.timing)
        self.client = subprocess.Popen([*CLIENT, *words(folder, camera)], preexec_fn=prepare)
        wait_until((folder / "status.json").exists)
        (self.process,) = server.children()

    def release(self) -> None:
        assert self.timing.read_text()


def test_a_job_makes_the_same_bytes(server: psutil.Process, tmp_path: Path, camera: Path) -> None:
    for name, command in (("alone", [sys.executable]), ("forked", CLIENT)):
        folder = tmp_path / name
        folder.mkdir()
        with (folder / "log").open("w") as log:
            subprocess.run([*command, *words(folder, camera)], check=True, stderr=log)
    for name in ("visit_info.json", "status.json", "log"):
        made = [(tmp_path / way / name).read_bytes() for way in ("alone", "forked")]
        assert made[0].replace(b"alone", b"forked") == made[1]
    assert (tmp_path / "forked/timing.tsv").read_text().startswith("s\t")
    wait_until(lambda: not server.children())


def test_streams_folder_and_exit_code_are_the_callers(
    server: psutil.Process, tmp_path: Path, camera: Path
) -> None:
    command = words(Path(), camera.relative_to(tmp_path))
    done = subprocess.run([*CLIENT, *command], cwd=tmp_path, check=False)
    assert done.returncode == 0
    assert (tmp_path / "visit_info.json").is_file()
    wrong = subprocess.run([*CLIENT, SCRIPT, "--no"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("usage: makeVisitInfo.py")
    told = subprocess.run([*CLIENT, SCRIPT, "--help"], capture_output=True, text=True, check=True)
    assert told.stdout.startswith("usage: makeVisitInfo.py")
    assert server.is_running()


def test_the_server_is_asked(
    server: psutil.Process, tmp_path: Path, camera: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert server.is_running()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert job_client.ask(words(tmp_path, camera)) == 0
    assert job_client.ask(["unknown.py"]) is None
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert job_client.ask(words(tmp_path, camera)) is None


@pytest.mark.parametrize("prepare", [None, lambda: os.close(0)], ids=["", "no stdin"])
def test_a_job_dies_with_its_client(
    server: psutil.Process, tmp_path: Path, camera: Path, prepare: Callable[[], None] | None
) -> None:
    job = Blocked(server, tmp_path, camera, prepare)
    assert job.process.name() == "makeVisitInfo"
    job.client.kill()
    job.client.wait()
    wait_until(lambda: gone(job.process))
    assert server.is_running()


def test_a_client_tells_that_its_job_was_killed(
    server: psutil.Process, tmp_path: Path, camera: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    job = Blocked(server, tmp_path, camera)
    job.process.kill()
    assert job.client.wait(LONGEST_S) == 128 + signal.SIGKILL
    assert "was killed" in capfd.readouterr().err


def test_who_ignores_interrupts_goes_on_to(
    server: psutil.Process, tmp_path: Path, camera: Path
) -> None:
    """As whatever a shell script starts with ``&``."""
    ignore = partial(signal.signal, signal.SIGINT, signal.SIG_IGN)
    job = Blocked(server, tmp_path, camera, ignore)
    for process in (job.client, job.process):
        process.send_signal(signal.SIGINT)
    job.release()
    assert job.client.wait(LONGEST_S) == 0


def test_the_shell_becomes_the_client(
    server: psutil.Process, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the path of the package holds what a shell would take for its own."""
    assert server.is_running()
    folder = tmp_path / 'it\'s $HOME {"a"}'
    folder.mkdir()
    shutil.copy(job_client.__file__, folder)
    monkeypatch.setattr(job_server, "__file__", str(folder / "job_server.py"))
    path = f"PATH={Path(sys.executable).parent}:$PATH; set -euo pipefail; "
    shell = path + job_server.client_prefix() + f'python "{SCRIPT}" --help; echo not reached'
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: makeVisitInfo.py")
    assert "not reached" not in done.stdout


def test_a_job_outlives_the_server(server: psutil.Process, tmp_path: Path, camera: Path) -> None:
    """Those that come later are processes of their own."""
    job = Blocked(server, tmp_path, camera)
    server.kill()
    wait_until(lambda: gone(server))
    job.release()
    assert job.client.wait(LONGEST_S) == 0
    job.timing.unlink()
    (tmp_path / "visit_info.json").unlink()
    assert job_client.ask(words(tmp_path, camera)) is None
    subprocess.run([*CLIENT, *words(tmp_path, camera)], check=True)
    assert (tmp_path / "visit_info.json").is_file()


def test_the_server_dies_with_its_snakemake(tmp_path: Path) -> None:
    code = """
import os, time
from types import SimpleNamespace as Any
from drpflow.workflow.job_server import start
settings = Any(deployment_method=set())
start(Any(local_exec=True, deployment_settings=settings, dag=range(9), touch=False))
print(os.environ["DRPFLOW_JOB_SERVER"], flush=True)
time.sleep(60)
"""
    snakemake = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert snakemake.stdout is not None
    assert snakemake.stdout.readline().startswith("drpflow-jobs-")
    (server,) = psutil.Process(snakemake.pid).children()
    snakemake.kill()
    snakemake.wait()
    snakemake.stdout.close()
    wait_until(lambda: gone(server))


@pytest.mark.parametrize(
    "workflow",
    [Workflow(local=False), Workflow(methods={"CONDA"}), Workflow(jobs=2), Workflow(touch=True)],
    ids=["on a cluster", "in another environment", "few jobs", "touch"],
)
def test_no_server_where_it_is_of_no_use(
    workflow: Workflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(job_client.VARIABLE, "that of a Snakemake about this one")
    job_server.start(workflow)
    assert job_client.VARIABLE not in os.environ


def test_the_user_can_do_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(job_client.VARIABLE, "off")
    job_server.start(Workflow())
    assert job_client.VARIABLE not in os.environ
    assert job_client.ask([SCRIPT]) is None


@pytest.mark.parametrize(
    ("end", "code"),
    [(0, 0), (SystemExit(2), 2), (SystemExit(), 0), (SystemExit("no"), 1), (ValueError("no"), 1)],
)
def test_how_a_task_ends(
    end: int | BaseException, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def main(task: Task) -> int:
        assert sys.argv == ["x.py", "--a"]
        assert task is TASK
        if isinstance(end, BaseException):
            raise end
        return end

    monkeypatch.setattr("drpflow.workflow.task_runner.main", main)
    monkeypatch.setattr(sys, "argv", ["pytest"])
    assert job_server.run_task(TASK, ["x.py", "--a"]) == code


TASK = Task("x", lambda args: None, None, lambda parser: None)


@pytest.mark.workflow
def test_a_run_leaves_no_process(finished: SmallSurvey, tmp_path: Path) -> None:
    """Its jobs have been forks: they held all that the server has loaded."""
    survey = SmallSurvey.make(tmp_path)
    done = survey.drpflow("run", "--cores", "2", DRPFLOW_TEST_RUN=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert survey.products() == finished.products()
    forked, alone = (read_benchmarks(s.folder / "results")["makeVisitInfo"]["max_rss"]
                     for s in (survey, finished))  # fmt: skip
    assert forked.min() > 1.2 * alone.max()
    left = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("DRPFLOW_TEST_RUN") == str(tmp_path):
                left.append(process.cmdline())
    assert not left
