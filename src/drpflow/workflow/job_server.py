"""Jobs of one machine as forks of one process, which has loaded all modules once.

A job spends 0.9 CPU s on the start of Python and on its imports, which is as much as many tasks
need for a detector of 1024². ``snakemake`` on the user's machine therefore starts a server beside
its jobs (:func:`start`); the shell of a job starts :mod:`drpflow.workflow.job_client`, which
hands it the command line; the server forks, and the fork runs the script's task as
a process of its own would (docs/decisions/job-server.md has the measurements).

A job lives and dies as if the shell had started it: it has the client's environment, working
folder and standard streams, and the kernel kills it as soon as the client is gone. The server
ends with the Snakemake that has started it, whatever ends that one. Where no server answers, the
client is the job.
"""

from __future__ import annotations

import atexit
import ctypes
import fcntl
import gc
import json
import os
import runpy
import secrets
import select
import shlex
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any, Final, NoReturn

from drpflow import paths
from drpflow.workflow.job_client import ACCEPTED, HEAD, VARIABLE, address, user_of_peer

if TYPE_CHECKING:
    from drpflow.workflow.task_runner import Task

_OFF: Final = "off"
# The server costs 1.7 CPU s, and spares each job 0.7.
_LEAST_JOBS: Final = 4
# Packages whose modules the scripts import when they run.
_PACKAGES: Final = ("drpflow.tasks", "drpflow.io")
_WAITING_CLIENTS: Final = 128
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NAME: Final = 15
_READY: Final = "ready\n"


def start(workflow: Any) -> None:
    """Start a server for the jobs of a Snakemake that is about to run them on this machine.

    Parameters
    ----------
    workflow
        Snakemake's workflow, from its ``onstart:``.
    """
    wanted = os.environ.pop(VARIABLE, "") != _OFF  # or it is of a Snakemake about this one
    if (
        not wanted
        or sys.platform != "linux"
        or "DRPFLOW_NOTE_MODULES" in os.environ  # of single jobs
        or workflow.touch
        or not workflow.local_exec
        or workflow.deployment_settings.deployment_method
        or len(workflow.dag) < _LEAST_JOBS
    ):
        return
    name = f"drpflow-jobs-{secrets.token_hex(8)}"
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", __name__, name, str(os.getpid())],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    atexit.register(_end, process)
    assert process.stdout is not None
    if process.stdout.readline() == _READY:
        os.environ[VARIABLE] = name


def client_prefix() -> str:
    """Return shell words after which ``python`` asks the server, where there is one.

    It takes the place of the shell, which has nothing to do after it.
    """
    client = shlex.quote(str(Path(__file__).with_name("job_client.py")))
    return (
        f'if [ -n "${{{VARIABLE}:-}}" ]; then python() {{ exec python -S -P {client} "$@"; }}; fi; '
    )


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()


def serve(name: str, parent: int) -> None:
    """Fork for each client, until the process that has started this one ends.

    Parameters
    ----------
    name
        Name of the socket to listen at.
    parent
        Id of that process.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address(name))
        listener.listen(_WAITING_CLIENTS)
        sys.stdout.write(_READY)
        sys.stdout.flush()
        try:
            tasks = load_tasks()
        except Exception as error:  # noqa: BLE001 - jobs will say what is wrong
            sys.exit(f"no job server, jobs start by themselves: {error}")
        # Ended jobs tell their clients; nobody waits for them here.
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        while True:
            # A client whose connection ends before its job has begun does the job itself.
            with listener.accept()[0] as connection, suppress(OSError):
                if os.fork() == 0:
                    listener.close()
                    _work_and_end(connection, tasks)


def load_tasks() -> dict[str, Task]:
    """Load what the tasks import, and return the tasks by the paths of their scripts.

    Raises
    ------
    RuntimeError
        If a library has started a thread, which forks would lack.
    """
    from drpflow.workflow.task_runner import start_process

    start_process(1)
    for package in _PACKAGES:
        for module in iter_modules(import_module(package).__path__, f"{package}."):
            import_module(module.name)
    _prepare_kernels()
    scripts = sorted((paths.share_root() / "scripts").glob("*.py"))
    tasks = {str(script): runpy.run_path(str(script))["TASK"] for script in scripts}
    if sum(1 for _ in Path("/proc/self/task").iterdir()) > 1:
        raise RuntimeError("the job server has several threads and cannot fork")
    # What is frozen is not searched for dead objects, and so stays shared with the forks.
    gc.collect()
    gc.freeze()
    return tasks


def _prepare_kernels() -> None:
    """Have numba build, for a kernel of no use, what it needs before it can load any."""
    import numba

    numba.njit(lambda x: x)(1.0)


def _work_and_end(connection: socket.socket, tasks: dict[str, Task]) -> NoReturn:
    """Do the job of a client in this process, which is the fork for it."""
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _work(connection, tasks)
    except OSError:
        pass  # the client is gone
    except BaseException:  # noqa: BLE001 - a fork must never go on as the server
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(1)  # nobody asks: the client has been told


def _work(connection: socket.socket, tasks: dict[str, Task]) -> None:
    if user_of_peer(connection) != os.geteuid():
        return
    words, streams = _take(connection)
    task = tasks.get(words[0])
    if task is None:
        return
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    _prctl(_PR_SET_NAME, task.name.encode())
    _die_with(connection)
    connection.sendall(ACCEPTED)
    code = run_task(task, words)
    atexit._run_exitfuncs()  # as os._exit will not
    _live_without(connection)
    connection.sendall(bytes([code & 0xFF]))


def _take(connection: socket.socket) -> tuple[list[str], list[int]]:
    """Return the command line and the standard streams; enter folder and environment.

    Raises
    ------
    ConnectionError
        If the client was killed while it asked.
    """
    head, streams, _, _ = socket.recv_fds(connection, HEAD.size, 3)
    if len(head) < HEAD.size:
        raise ConnectionError
    (size,) = HEAD.unpack(head)
    with connection.makefile("rb") as stream:
        body = stream.read(size)
    if len(body) < size:
        raise ConnectionError
    words, folder, environment = json.loads(body)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    return words, streams


def run_task(task: Task, words: list[str]) -> int:
    """Run a task as its script would, in this process.

    Parameters
    ----------
    task
        The task.
    words
        Command line: the script and its arguments.

    Returns
    -------
    int
        The exit code.
    """
    from drpflow.workflow.task_runner import main

    sys.argv = list(words)
    try:
        code = main(task)
    except SystemExit as end:  # of the parser of command lines
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - what ends a script ends this process
        sys.excepthook(*sys.exc_info())
        code = 1
    with suppress(OSError):  # the disk of the log is full
        sys.stdout.flush()
        sys.stderr.flush()
    return code


def _die_with(connection: socket.socket) -> None:
    """Have this process killed as soon as the other end of a connection is closed."""
    fcntl.fcntl(connection, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(connection, fcntl.F_SETSIG, signal.SIGKILL)
    flags = fcntl.fcntl(connection, fcntl.F_GETFL)
    fcntl.fcntl(connection, fcntl.F_SETFL, flags | os.O_ASYNC)
    poll = select.poll()
    poll.register(connection, select.POLLRDHUP)
    if poll.poll(0):  # it was closed before
        os._exit(1)


def _live_without(connection: socket.socket) -> None:
    flags = fcntl.fcntl(connection, fcntl.F_GETFL)
    fcntl.fcntl(connection, fcntl.F_SETFL, flags & ~os.O_ASYNC)


def _prctl(option: int, value: Any) -> None:
    ctypes.CDLL(None).prctl(option, value)


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
