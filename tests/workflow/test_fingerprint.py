"""A fingerprint changes when code does, and only then."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from drpflow import paths
from drpflow.workflow.fingerprint import SourceTree, analyze, fingerprints

SCRIPT = '''"""A script."""
from drpflow.alpha import work

def main():
    return work(1)
'''
ALPHA = '''"""Alpha."""
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drpflow.typed import Kind

def work(n):
    """Do it."""
    from drpflow.inner.lazy import more  # a lazy import

    return more(n) + 1
'''


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A package with a module imported, one imported lazily, and two that are not."""
    package = tmp_path / "drpflow"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").write_text('"""Top."""\n__version__ = "1.0"\n')
    (package / "inner/__init__.py").write_text("")
    (package / "alpha.py").write_text(ALPHA)
    (package / "inner/lazy.py").write_text("import math\n\ndef more(n):\n    return math.sqrt(n)\n")
    (package / "typed.py").write_text("class Kind: pass\n")
    (package / "other.py").write_text("X = 1\n")
    (tmp_path / "script.py").write_text(SCRIPT)
    return tmp_path


def fingerprint(tree: Path) -> str:
    source = SourceTree(tree / "drpflow", tree / "cache.json")
    result = source.fingerprint(tree / "script.py")
    source.save()
    return result


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_modules_are_those_that_can_run(tree: Path) -> None:
    modules = SourceTree(tree / "drpflow", tree / "cache.json").modules(tree / "script.py")
    assert modules == {"drpflow", "drpflow.alpha", "drpflow.inner", "drpflow.inner.lazy"}


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("script.py", "A script.", "Another text."),
        ("script.py", "def main", "# A comment.\n\n\ndef main"),
        ("drpflow/alpha.py", "Do it.", "Do it well."),
        ("drpflow/alpha.py", "return more(n) + 1", "return (\n        more(n) + 1\n    )"),
        ("drpflow/alpha.py", "import Kind", "import Kind, Sort"),
        ("drpflow/__init__.py", "1.0", "1.1"),
        ("drpflow/typed.py", "pass", "x = 2"),
        ("drpflow/other.py", "1", "2"),
    ],
)
def test_what_does_not_count(tree: Path, file: str, old: str, new: str) -> None:
    before = fingerprint(tree)
    edit(tree / file, old, new)
    assert fingerprint(tree) == before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("script.py", "work(1)", "work(2)"),
        ("drpflow/alpha.py", "+ 1", "+ 1.0"),
        ("drpflow/alpha.py", "more(n) + 1", "more(n) - 1"),
        ("drpflow/inner/lazy.py", "math.sqrt", "math.exp"),
        ("drpflow/inner/lazy.py", "def more(n)", "def more(n, m=None)"),
        ("drpflow/inner/__init__.py", "", "X = 1\n"),
    ],
)
def test_what_counts(tree: Path, file: str, old: str, new: str) -> None:
    before = fingerprint(tree)
    edit(tree / file, old, new)
    changed = fingerprint(tree)
    assert changed != before
    edit(tree / file, new, old) if old else (tree / file).write_text("")
    assert fingerprint(tree) == before


def test_files_beside_the_code(tree: Path) -> None:
    page = tree / "drpflow/inner/templates/page.html"
    page.parent.mkdir()
    page.write_text("a page")
    before = fingerprint(tree)
    page.write_text("another page")
    assert fingerprint(tree) != before
    page.write_text("a page")
    (tree / "drpflow/inner/__pycache__").mkdir()
    (tree / "drpflow/inner/__pycache__/x.pyc").touch()
    (tree / "drpflow/top.txt").touch()
    assert fingerprint(tree) == before
    source = SourceTree(tree / "drpflow", tree / "cache.json")
    assert source.fingerprint(tree / "script.py", [page]) != before


def test_touching_and_a_broken_cache_change_nothing(tree: Path) -> None:
    before = fingerprint(tree)
    (tree / "script.py").touch()
    (tree / "cache.json").write_text('{"x": 3')
    assert fingerprint(tree) == before
    assert json.loads((tree / "cache.json").read_text())


def test_constants_of_different_types_differ() -> None:
    values = ("1", "1.0", "'1'", "b'1'", "None", "'None'", "True", "...")
    digests = {analyze(f"x = {value}").digest for value in values}
    assert len(digests) == 8


def test_real_tasks_differ_and_are_parsed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    scripts = {path.stem: path for path in (paths.share_root() / "scripts").glob("*.py")}
    first = fingerprints(scripts)
    assert len(set(first.values())) == len(scripts) > 2

    def refuse(content: bytes) -> None:
        raise AssertionError("parsed again")

    monkeypatch.setattr("drpflow.workflow.fingerprint.analyze", refuse)
    assert fingerprints(scripts) == first


def test_registry_names_are_not_followed() -> None:
    """Editing one component's class must not make stale what never uses it."""
    assert not analyze('_MODULES = {"psf": "drpflow.data.psf"}').imports


def test_the_whole_package_can_be_analyzed() -> None:
    package = Path(sys.modules["drpflow"].__file__ or "").parent
    for path in package.rglob("*.py"):
        assert analyze(path.read_bytes()).digest


def test_fingerprint_is_the_same_in_another_process(tree: Path) -> None:
    code = (
        "import sys; from pathlib import Path; "
        "from drpflow.workflow.fingerprint import SourceTree; "
        "t = Path(sys.argv[1]); "
        "print(SourceTree(t / 'drpflow', t / 'other.json').fingerprint(t / 'script.py'))"
    )
    output = subprocess.run(
        [sys.executable, "-c", code, str(tree)], capture_output=True, text=True, check=True
    ).stdout
    assert output.strip() == fingerprint(tree)
