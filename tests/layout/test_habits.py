"""Habits that keep the code readable, checked where a tool does not."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py")) + sorted((ROOT / "scripts").glob("*.py"))
LONGEST_MODULE = 500
LONGEST_FUNCTION = 60
LONGEST_SCRIPT = 60


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_modules_and_functions_are_short(path: Path) -> None:
    text = path.read_text()
    limit = LONGEST_SCRIPT if path.parent.name == "scripts" else LONGEST_MODULE
    assert text.count("\n") <= limit
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= LONGEST_FUNCTION, f"{node.name} has {length} lines"


def test_no_address_and_no_path_of_a_machine() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    forbidden = re.compile(r"p[y]pi\.org|p[y]thonhosted|/h[o]me/|/r[o]ot/|/t[m]p/|/w[o]rk/")
    faults = []
    for name in tracked:
        path = ROOT / name
        binary = path.suffix in {".png", ".fits", ".parquet"}
        if binary or not path.is_file():
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if forbidden.search(line):
                faults.append(f"{name}:{number}: {line.strip()}")
    assert not faults, "\n".join(faults)
