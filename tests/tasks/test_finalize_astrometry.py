"""finalizeAstrometry: what better centroids give, when it is spared, what it says of both."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from drpflow.io.cache import ComponentCache
from drpflow.io.component_tables import ComponentRows
from drpflow.io.tables import read_table, write_table
from drpflow.workflow.task_runner import main
from tests.tasks.astrometric_run import (
    NOISE_PIX,
    SKYPIX,
    SmallAstrometry,
    small_astrometry,
    write_survey,
)
from tests.tasks.final_astrometry_run import (
    TABLES,
    WCS,
    second_arguments,
    true_pixels,
    write_centroids,
)

SCRIPTS = Path(__file__).parents[2] / "scripts"
BETTER = 8.0
"""How much smaller the noise of final centroids is here."""


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"{name}_script", SCRIPTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def solve_first(folder: Path, given: SmallAstrometry) -> list[str]:
    """Run solveAstrometry; return the arguments that both tasks have."""
    words = write_survey(folder, given)
    own = [*words, "--solved-astrometry-wcs", str(folder / "out" / WCS)]
    for name in TABLES:
        own += [f"--solved-astrometry-{name}", str(folder / f"out/{name}.parquet")]
    own += ["--status", str(folder / f"status/solveAstrometry/skypix={SKYPIX}.json")]
    assert main(script("solve_astrometry").TASK, [*own, "--code", "c"]) == 0
    return words


class Second:
    """A run of finalizeAstrometry."""

    def __init__(self, folder: Path, words: list[str], out: str, **config: Any) -> None:
        self.folder = folder / out
        arguments = second_arguments(folder, words, self.folder)
        arguments += ["--config", json.dumps(config)]
        assert main(script("finalize_astrometry").TASK, arguments) == 0
        status = self.folder / f"status/finalizeAstrometry/skypix={SKYPIX}.json"
        self.status = dict(json.loads(status.read_text()))
        self.numbers = self.status["numbers"]

    def wcs(self, visit: int) -> ComponentRows:
        return ComponentRows(self.path(visit), "detector", ComponentCache())

    def path(self, visit: int) -> Path:
        return self.folder / f"wcs/skypix={SKYPIX}/{visit}.parquet"

    def error_mas(self, given: SmallAstrometry) -> float:
        errors = [
            given.errors_mas(v, d, self.wcs(v).component("wcs", d)) for v, d in sorted(given.wcs)
        ]
        return float(np.sqrt(np.mean(np.square(errors))))


@pytest.fixture(scope="module")
def given() -> SmallAstrometry:
    return small_astrometry()


@pytest.fixture(scope="module")
def solved(
    tmp_path_factory: pytest.TempPathFactory, given: SmallAstrometry
) -> tuple[Path, list[str]]:
    folder = tmp_path_factory.mktemp("second")
    words = solve_first(folder, given)
    rng = np.random.default_rng(5)
    x, y = (a + rng.normal(0, NOISE_PIX / BETTER, a.size) for a in true_pixels(given))
    write_centroids(folder, given, x, y, NOISE_PIX / BETTER)
    return folder, words


@pytest.fixture(scope="module")
def finished(solved: tuple[Path, list[str]]) -> Second:
    return Second(*solved, "better", method="polynomials", min_change_mas=0)


def first_error_mas(folder: Path, given: SmallAstrometry) -> float:
    errors = []
    for v, d in sorted(given.wcs):
        rows = ComponentRows(
            folder / f"out/wcs/skypix={SKYPIX}/{v}.parquet", "detector", ComponentCache()
        )
        errors.append(given.errors_mas(v, d, rows.component("wcs", d)))
    return float(np.sqrt(np.mean(np.square(errors))))


def test_better_centroids_give_better_wcss(
    finished: Second, solved: tuple[Path, list[str]], given: SmallAstrometry
) -> None:
    assert finished.status["outcome"] == "done", finished.status
    before, after = first_error_mas(solved[0], given), finished.error_mas(given)
    assert after < 0.4 * before
    assert finished.numbers["passed_on"] == "final_astrometry"
    # Both stand on the same catalogue, so that the change is what the first was off.
    assert 0.2 * before < finished.numbers["median_change_mas"] < 2 * before
    assert 0 < finished.numbers["expected_change_mas"] < 2 * before


def test_repeatability_before_and_after(finished: Second) -> None:
    numbers = finished.numbers
    assert numbers["am1_after_mas"] < 0.3 * numbers["am1_before_mas"]
    assert numbers["am1_before_mas"] == pytest.approx(np.sqrt(2) * 1e3 * 0.3 * NOISE_PIX, rel=0.3)


def test_the_products_say_which_fit_they_are_of(finished: Second) -> None:
    table = read_table(finished.path(21))
    assert table.meta["passed_on"] == "final_astrometry"
    assert table.meta["provenance"]["task"] == "finalizeAstrometry"
    assert (table.to_dict()["change"] > 0).all()
    visits = read_table(finished.folder / "visits.parquet").meta
    assert visits["median_change"] == pytest.approx(finished.numbers["median_change_mas"], abs=1e-3)
    assert visits["am1_before"] > visits["am1_after"]
    for name in TABLES:
        columns = read_table(finished.folder / f"{name}.parquet").to_dict()
        first = read_table(finished.folder.parent / f"out/{name}.parquet").to_dict()
        assert set(columns) == set(first)


def test_equal_centroids_spare_the_fit(
    solved: tuple[Path, list[str]], given: SmallAstrometry, tmp_path: Path
) -> None:
    folder, words = solved
    shutil.copytree(folder / "out", tmp_path / "out")
    obs = given.survey.observations
    rng = np.random.default_rng(6)
    x, y = (a + rng.normal(0, 1e-3, a.size) for a in (obs.x, obs.y))
    write_centroids(tmp_path, given, x, y, NOISE_PIX)
    second = Second(tmp_path, words, "spared", method="polynomials")
    assert second.numbers["passed_on"] == "solved_astrometry"
    assert second.numbers["expected_change_mas"] < 0.2
    assert second.numbers["median_change_mas"] == 0
    assert second.numbers["am1_after_mas"] == second.numbers["am1_before_mas"]
    first = ComponentRows(
        tmp_path / f"out/wcs/skypix={SKYPIX}/22.parquet", "detector", ComponentCache()
    )
    for d in range(4):
        assert second.wcs(22).component("wcs", d) == first.component("wcs", d)
    assert read_table(second.path(22)).meta["passed_on"] == "solved_astrometry"
    for name in TABLES:
        mine = read_table(second.folder / f"{name}.parquet").to_dict()
        theirs = read_table(tmp_path / f"out/{name}.parquet").to_dict()
        for column, values in theirs.items():
            np.testing.assert_array_equal(mine[column], values, err_msg=column)


def test_another_method_is_never_spared(
    solved: tuple[Path, list[str]], given: SmallAstrometry, tmp_path: Path
) -> None:
    folder, words = solved
    shutil.copytree(folder / "out", tmp_path / "out")
    obs = given.survey.observations
    write_centroids(tmp_path, given, obs.x, obs.y, NOISE_PIX)
    second = Second(tmp_path, words, "other", method="turbulence", min_change_mas=1e6)
    assert second.numbers["passed_on"] == "final_astrometry"
    assert second.numbers["expected_change_mas"] == pytest.approx(0, abs=1e-6)
    assert second.error_mas(given) < 1.5 * first_error_mas(folder, given)


@pytest.mark.parametrize("how", ["no file", "flagged", "empty"])
def test_a_visit_without_final_centroids_is_solved_by_its_first_ones(
    solved: tuple[Path, list[str]],
    finished: Second,
    given: SmallAstrometry,
    tmp_path: Path,
    how: str,
) -> None:
    folder, words = solved
    for name in ("out", "final"):
        shutil.copytree(folder / name, tmp_path / name)
    path = tmp_path / "final/23.parquet"
    columns = read_table(path).to_dict()
    path.unlink()
    if how == "flagged":
        write_table(path, {**columns, "centroid_flag": np.ones(len(columns["x"]), bool)})
    elif how == "empty":
        write_table(path, {name: values[:0] for name, values in columns.items()})
    second = Second(tmp_path, words, "lost", method="polynomials", min_change_mas=0)
    assert second.status["outcome"] == "done"
    assert second.numbers["n_by_first_centroids"] == 1
    notes = read_table(second.folder / "visits.parquet").meta["notes"]
    assert any(note.startswith("visit 23 by its first centroids: ") for note in notes)

    def error(run: Second, visits: tuple[int, ...]) -> float:
        errors = [
            given.errors_mas(v, d, run.wcs(v).component("wcs", d))
            for v, d in sorted(given.wcs)
            if v in visits
        ]
        return float(np.sqrt(np.mean(np.square(errors))))

    # Its own WCSs are as good as the first ones were; the others do not notice.
    assert error(second, (23,)) < 1.2 * first_error_mas(folder, given)
    others = 20, 21, 22, 24, 25
    assert error(second, others) < 1.2 * error(finished, others)


def test_nothing_to_go_by(solved: tuple[Path, list[str]], tmp_path: Path) -> None:
    folder, words = solved
    shutil.copytree(folder / "out", tmp_path / "out")
    second = Second(tmp_path, words, "nothing")
    assert second.status["outcome"] == "failed"
    for visit in range(20, 26):
        assert second.wcs(visit).missing("wcs", 3)
    columns = read_table(second.folder / "visits.parquet").to_dict()
    assert not columns["solved"].any()
