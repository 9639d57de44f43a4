"""One name, everywhere; rules that are whole; and what Snakemake's own checkers say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from drpflow import paths
from drpflow.config.run import TASK_SECTIONS
from drpflow.io.datasets import DatasetTable

ROOT = Path(__file__).parents[2]
RULES = {
    match[1]: match[2]
    for path in sorted((ROOT / "workflow" / "rules").glob("[0-9]*.smk"))
    for match in re.finditer(r"(?ms)^rule (\w+):\n(.*?)(?=^\S|\Z)", path.read_text())
}
# The same for all detectors of a visit, where `batch: visit` is set.
BATCH_RULES = {
    match[1]: match[2]
    for match in re.finditer(
        r"(?ms)^rule (\w+)OfVisit:\n(.*?)(?=^\S|\Z)",
        (ROOT / "workflow" / "rules" / "batch.smk").read_text(),
    )
}
TABLE = DatasetTable.load()
# Tasks whose script has no parameters of its own.
WITHOUT_SECTION = {"makeVisitInfo", "rebuildImage"}

pytestmark = pytest.mark.skipif(not (ROOT / "tests").is_dir(), reason="needs a checkout")


def words(task: str) -> str:
    return paths.script(task).stem


def test_there_are_rules() -> None:
    visit = {"makeVisitInfo", "isr", "calibrateImage", "consolidateVisit"}
    survey = {"associateIsolatedStars", "fgcmMakeLookUpTable", "fgcm"}
    survey |= {"solveAstrometry", "makeReport"}
    second = {"measureSky", "makeSkyFrame", "modelVisitBackground", "finalizeCharacterization"}
    second |= {"finalizeAstrometry", "updateVisitSummary"}
    coadds = {"planCoaddition", "makeWarp", "compareWarpAssembleCoadd"}
    final = {"finalizeImage", "consolidateSourceTable", "matchSource", "fitStellarMotions"}
    final |= {"compressImage", "rebuildImage"}
    assert visit | survey | second | coadds | final == set(RULES)
    assert set(BATCH_RULES) == {"isr", "calibrateImage", "finalizeImage", "compressImage"}


def test_rules_are_tasks_of_the_table() -> None:
    assert set(RULES) <= set(TABLE.tasks)


def test_scripts_are_the_rules() -> None:
    assert {p.stem for p in (ROOT / "scripts").glob("*.py")} == {words(rule) for rule in RULES}


def test_tasks_of_the_package_are_rules() -> None:
    modules = {p.stem for p in (ROOT / "src/drpflow/tasks").glob("*.py")} - {"__init__"}
    assert modules <= {words(rule) for rule in RULES}


def test_config_sections_are_the_rules() -> None:
    assert set(TASK_SECTIONS) == set(RULES) - WITHOUT_SECTION


def test_every_rule_has_a_page() -> None:
    pages = {p.stem for p in (ROOT / "docs/tasks").glob("*.md")} - {"README"}
    assert pages == set(RULES)


def test_scripts_declare_their_task() -> None:
    for rule in RULES:
        text = paths.script(rule).read_text()
        assert re.search(rf'Task\(\s*"{rule}"', text), rule


@pytest.mark.parametrize("rule", RULES)
def test_rules_are_whole(rule: str) -> None:
    body = RULES[rule]
    parts = re.findall(r"(?m)^    (\w+):", body)
    wanted = ["output", "log", "conda", "threads", "resources", "params", "shell"]
    optional = {"input", "wildcard_constraints", "priority"}
    assert [part for part in parts if part not in optional] == wanted
    dimensions = ", ".join(TABLE.tasks[rule].dimensions)
    assert re.match(rf'    """.*\. \{{{dimensions}\}}"""', body), "docstring with dimensions"
    assert f'status=status("{rule}")' in body
    assert f'logfile("{rule}")' in body
    assert f'timing=timing("{rule}")' in body
    assert f'code=PLAN.code["{rule}"]' in body
    assert f'"$DRPFLOW_SCRIPTS/{words(rule)}.py"' in body
    if rule not in WITHOUT_SECTION:
        assert f'config=PLAN.run.section("{rule}")' in body


@pytest.mark.parametrize("rule", RULES)
def test_rules_write_what_the_table_says(rule: str) -> None:
    written = set(re.findall(r'(\w+)=out(?:_of_(?:survey|piece))?\("(\w+)"\)', RULES[rule]))
    assert written == {(n, n) for n, entry in TABLE.datasets.items() if entry.task == rule}


@pytest.mark.parametrize("rule", RULES)
def test_what_empties_the_disk_goes_first(rule: str) -> None:
    """Whoever is the only one to read large temporary files runs before more are made."""
    large = {
        n for n, e in TABLE.datasets.items() if e.keep == "temporary" and e.format == "exposure"
    }
    read = set(re.findall(r'data\("(\w+)"\)', RULES[rule]))
    first = "    priority: FREES_DISK\n" in RULES[rule]
    assert first == bool(read & large and not TABLE.tasks[rule].on_demand)


def test_rules_read_before_they_are_read() -> None:
    """Files are numbered in the order of the flow: what a rule reads was written above it."""
    seen: set[str] = set()
    for rule, body in RULES.items():
        seen |= {name for name, entry in TABLE.datasets.items() if entry.task == rule}
        assert set(re.findall(r'(?:data|of_survey|opened)\("(\w+)"\)', body)) <= seen, rule


@pytest.mark.parametrize("rule", BATCH_RULES)
def test_batch_rules_do_what_the_rules_do(rule: str) -> None:
    """The same inputs, outputs, options and causes of staleness."""
    one, batch = RULES[rule], BATCH_RULES[rule]
    assert re.match(rf'    """{rule} of all detectors\. \{{visit\}}"""', batch)
    assert dict(re.findall(r'(\w+)=out_of_visit\(\s*"(\w+)"\s*\)', batch)) == dict(
        re.findall(r'(\w+)=out\("(\w+)"\)', one)
    )
    options = re.findall(r'"\s?(--[\w-]+)', one)
    assert [o for o in re.findall(r'"\s?(--[\w-]+)', batch) if o != "--log"] == options
    assert "visit=PLAN.visits_by_detector," in one
    assert "visit=BATCH.visit_pattern," in batch
    given = dict(re.findall(r"(?m)^        (\w+)=(\S+),$", batch))
    for name, value in re.findall(r"(?m)^        (\w+)=(\S+),$", one):
        if name in {"camera", "reference", "config", "reference_digest", "code"}:
            assert given[name] == value
        elif name in {"camera_digest", "files"}:
            assert given[name] == value.replace("SURVEY.", "BATCH.")


def test_neither_script_nor_run_nor_checkpoints() -> None:
    for path in [ROOT / "Snakefile", *(ROOT / "workflow").rglob("*.smk")]:
        text = path.read_text()
        assert not re.search(r"(?m)^\s+(script|run|shadow|wrapper|notebook):|^checkpoint ", text)


def test_common_is_short() -> None:
    assert (ROOT / "workflow/rules/common.smk").read_text().count("\n") < 100


@pytest.mark.workflow
def test_snakemake_lint(finished) -> None:
    result = finished.snakemake("--lint")
    assert result.returncode == 0, result.stdout + result.stderr


def test_snakefmt() -> None:
    pytest.importorskip("snakefmt")
    files = [str(ROOT / "Snakefile"), str(ROOT / "workflow")]
    result = subprocess.run(
        [sys.executable, "-m", "snakefmt", "--check", *files],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
