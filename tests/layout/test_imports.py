"""Imports go one way, and the simulator shares nothing with what it tests."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SRC = Path(__file__).parents[2] / "src"
MODULES = sorted((SRC / "drpflow").rglob("*.py"))

# What each package may import from drpflow, besides itself.
FOUNDATION = {"errors", "progress", "paths"}
ALLOWED = {
    "kernels": set(),
    "data": {"errors", "config", "kernels"},
    "algorithms": {"errors", "data", "kernels", "config"},
    "tasks": {"errors", "data", "kernels", "algorithms", "config"},
    "config": FOUNDATION,
    "io": FOUNDATION | {"data", "config"},
    "ingest": FOUNDATION | {"data", "config", "io"},
    "sim": {"errors", "progress", "memory", "config.base", "io.atomic"},
    "qa": FOUNDATION | {"data", "config", "io", "algorithms"},
    "workflow": FOUNDATION | {"memory", "data", "config", "io"},
}


def imports_of(path: Path) -> set[str]:
    """Return the drpflow modules that a file imports anywhere, as dotted names below drpflow."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write imports in full"
            names = [node.module or ""]
            if node.module == "drpflow":
                names = [f"drpflow.{alias.name}" for alias in node.names]
        else:
            continue
        found |= {name.removeprefix("drpflow.") for name in names if name.startswith("drpflow.")}
    return found


def may(importing: str, imported: str) -> bool:
    """Return whether package `importing` may import module `imported`."""
    if imported.split(".")[0] in {importing, "__version__"}:
        return True
    prefixes = {imported[:i] for i, c in enumerate(imported) if c == "."} | {imported}
    return bool(prefixes & ALLOWED[importing])


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_imports_go_one_way(package: str) -> None:
    faults = [
        f"{path.relative_to(SRC)} imports drpflow.{name}"
        for path in MODULES
        if path.relative_to(SRC / "drpflow").parts[0] == package
        for name in imports_of(path)
        if not may(package, name)
    ]
    assert not faults, "\n".join(faults)


def test_every_package_has_a_rule() -> None:
    packages = {p.parent.relative_to(SRC / "drpflow").parts[:1] for p in MODULES}
    names = {part[0] for part in packages if part}
    assert names - {"commands", "schemas"} == set(ALLOWED)


def test_nothing_imports_the_simulator() -> None:
    users = [
        path.relative_to(SRC / "drpflow")
        for path in MODULES
        if any(name.split(".")[0] == "sim" for name in imports_of(path))
        and path.relative_to(SRC / "drpflow").parts[0] != "sim"
    ]
    assert [str(u) for u in users] == ["commands/simulate.py"]


def test_scripts_do_not_import_the_simulator() -> None:
    scripts = sorted((SRC.parent / "scripts").glob("*.py"))
    assert scripts
    assert not [s.name for s in scripts if any(n.startswith("sim") for n in imports_of(s))]
