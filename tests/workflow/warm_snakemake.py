"""Snakemake with its modules loaded, forked for every plan: half of a dry run is imports.

A child of it does what ``python -m snakemake`` does, in the folder and environment that a request
names; drpflow's own modules are loaded by the child alone, from the code as it then is. Requests
are lines of JSON on stdin, answers exit codes on stdout.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import tempfile
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn


def plan(
    words: list[str], folder: Path, environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run Snakemake with these words, in a process of its own."""
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    with tempfile.TemporaryDirectory() as name:
        texts = {key: Path(name, key) for key in ("stdout", "stderr")}
        request = {"words": words, "folder": str(folder), "environment": environment}
        request |= {key: str(path) for key, path in texts.items()}
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        out, err = (path.read_text() for path in texts.values())
    return subprocess.CompletedProcess(["snakemake", *words], code, out, err)


@cache
def _server() -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    server = subprocess.Popen([sys.executable, __file__], stdin=pipe, stdout=pipe, text=True)
    assert server.stdin is not None
    atexit.register(server.wait)
    atexit.register(server.stdin.close)
    return server


def _serve() -> None:
    # What every plan needs and no test changes.
    for name in ("snakemake.cli", "snakemake.report", "pandas", "smart_open", "yte", "pydantic"):
        import_module(name)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _become(json.loads(line))
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _become(request: dict[str, Any]) -> NoReturn:
    from snakemake.cli import main

    os.chdir(request["folder"])
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(request[name], os.O_WRONLY | os.O_CREAT), number)
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.path[:1] = [request["folder"], *request["environment"]["PYTHONPATH"].split(os.pathsep)]
    sys.argv = ["snakemake", *request["words"]]
    main()
    raise AssertionError("snakemake ends with its exit code")


if __name__ == "__main__":
    _serve()
