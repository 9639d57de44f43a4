"""What pages tell to type is understood: commands, imports, sections of the configuration."""

from __future__ import annotations

import ast
import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from drpflow import cli
from drpflow.config.base import validate
from drpflow.config.run import RunConfig

ROOT = Path(__file__).parents[2]
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md", ROOT / "config/README.md"]
GENERATED = {"cli.md", "configuration.md", "datasets.md"}


def blocks(page: Path, *languages: str) -> list[str]:
    found = re.findall(r"(?m)^ *```(\w*)\n(.*?)^ *```", page.read_text(), re.DOTALL)
    return [text for language, text in found if language in languages]


def commands(page: Path) -> list[str]:
    text = "\n".join(blocks(page, "", "bash")).replace("\\\n", " ")
    return re.findall(r"(?m)^ *(drpflow [a-z].*)$", text)


def parse(line: str) -> None:
    """Raise SystemExit if a command does not understand its arguments, optional ones included."""
    name, *words = shlex.split(re.sub(r"[\[\]]", "", line), comments=True)[1:]
    assert name in cli.commands(), line
    cli.command_parser(name).parse_args(cli._split(words)[0])


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_commands_are_understood(page: Path) -> None:
    if page.name in GENERATED:
        return
    faults = []
    for line in commands(page):
        try:
            parse(line)
        except SystemExit:
            faults.append(line)
    assert not faults


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_python_can_be_imported(page: Path) -> None:
    for text in blocks(page, "python"):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("drpflow"):
                module = import_module(node.module or "")
                assert [a.name for a in node.names if not hasattr(module, a.name)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_sections_of_the_configuration_are_valid(page: Path) -> None:
    needed = {"camera": "camera.yaml", "sheets": "sheets"}
    for text in blocks(page, "yaml"):
        try:
            given = yaml.safe_load(text)
        except yaml.YAMLError:
            pytest.fail(f"{page}: not YAML: {text}")
        if isinstance(given, dict) and set(given) <= set(RunConfig.model_fields):
            validate(RunConfig, needed | given, page)


def test_pages_have_commands_and_sections() -> None:
    """The searches above find something."""
    assert len(commands(ROOT / "docs/tutorial.md")) > 10
    assert len(blocks(ROOT / "docs/tutorial.md", "yaml")) >= 5
