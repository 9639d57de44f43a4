"""What `drpflow solve-astrometry` makes of bad input: a declared outcome each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from drpflow import cli
from drpflow.io.tables import read_table, write_table
from tests.commands.test_solve_astrometry import errors_mas, write_tables
from tests.tasks.astrometric_faults import FAULTS, NUMBER, moved_visit
from tests.tasks.astrometric_run import SmallAstrometry, small_astrometry

# Plain tables have no first WCSs: a visit's pointing is but where the fit begins.
REASONS = {"first WCS": "", "wrong stars": "its stars scatter by"}


@pytest.fixture(scope="module")
def given() -> SmallAstrometry:
    return small_astrometry()


def words(folder: Path, given: SmallAstrometry, method: str) -> list[str]:
    """Write the tables; return the command."""
    (folder / "config.yaml").write_text(yaml.safe_dump({"solveAstrometry": {"method": method}}))
    return [
        *write_tables(folder, given),
        *("--stars", str(folder / "stars.parquet"), "--config", str(folder / "config.yaml")),
    ]


@pytest.mark.parametrize("method", ["polynomials", "turbulence"])
@pytest.mark.parametrize("name", FAULTS)
def test_a_declared_outcome(
    name: str,
    method: str,
    tmp_path: Path,
    given: SmallAstrometry,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fault, lost = FAULTS[name], REASONS.get(name, FAULTS[name].lost)
    survey = fault.change(given.survey)
    assert cli.main(words(tmp_path, replace(given, survey=survey), method)) == 0
    told = capsys.readouterr().out.replace("\n", " ")
    assert fault.said in told
    assert "left open: " in told
    visits = read_table(tmp_path / "out/solved_astrometry_visits.parquet").to_dict()
    reasons = dict(zip(visits["visit"], visits["reason"], strict=True))
    assert [v for v, reason in reasons.items() if reason] == ([NUMBER] if lost else [])
    assert lost in reasons[NUMBER]
    assert (f"lost: 1 visits have no solution: visit {NUMBER}: {lost}" in told) == bool(lost)
    path = "out/solved_astrometry_wcs/visit={}/solved_astrometry_wcs.parquet"
    table = read_table(tmp_path / path.format(NUMBER)).to_dict()
    assert np.isnan(table["wcs_error"]).tolist() == [bool(lost)] * 4
    kept = {key: wcs for key, wcs in given.wcs.items() if key[0] != NUMBER}
    assert np.median(errors_mas(tmp_path, replace(given, wcs=kept))) < fault.limit_mas


def test_a_pointing_is_but_a_start(tmp_path: Path, given: SmallAstrometry) -> None:
    moved = replace(given, survey=moved_visit(given.survey, 5 / 60))
    assert cli.main(words(tmp_path, moved, "polynomials")) == 0
    assert np.max(errors_mas(tmp_path, given)) < 5.0


def test_nothing_that_can_be_solved(
    tmp_path: Path, given: SmallAstrometry, capsys: pytest.CaptureFixture[str]
) -> None:
    command = write_tables(tmp_path, replace(given, survey=replace(given.survey, references=None)))
    path = tmp_path / "observations.parquet"
    columns = read_table(path).to_dict()
    write_table(path, {name: values[:0] for name, values in columns.items()})
    assert cli.main(command) != 0
    assert "no visit can be solved" in capsys.readouterr().err
    # Every observation a star of its own.
    write_table(path, columns | {"star": np.arange(columns["star"].size)})
    assert cli.main(command) != 0
    assert "no visit shares enough stars" in capsys.readouterr().err
