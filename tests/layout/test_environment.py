"""The three places that name packages agree."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def split(requirement: str) -> tuple[str, str]:
    """Split ``name>=1`` or ``name >=1`` into name and version condition."""
    match = re.fullmatch(r"([A-Za-z0-9_.-]+)\s*(.*)", requirement)
    assert match, requirement
    return match[1].lower(), match[2]


def test_conda_environment_equals_pyproject() -> None:
    conda = yaml.safe_load((ROOT / "envs/drpflow.yaml").read_text())["dependencies"]
    wanted = dict(split(r) for r in PROJECT["dependencies"])
    wanted |= dict(split(r) for r in PROJECT["optional-dependencies"]["sim"])
    wanted["python"] = PROJECT["requires-python"]
    assert dict(split(r) for r in conda) == wanted


def test_every_requirement_is_pinned() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {re.split("==", line)[0].lower().replace("_", "-") for line in lines if "==" in line}
    wanted = {split(r)[0] for r in PROJECT["dependencies"]}
    for extra in PROJECT["optional-dependencies"].values():
        wanted |= {split(r)[0] for r in extra if not r.startswith("drpflow[")}
    assert not {w.replace("_", "-") for w in wanted} - pinned


def test_constraints_hold_no_address() -> None:
    text = (ROOT / "constraints.txt").read_text()
    assert "://" not in text
    assert "@" not in text
