"""drpflow light-curve, by the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from drpflow.cli import main
from tests.qa.final_run import TRANSIENT_VISITS, transient_place, write_final_run


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("curve")
    write_final_run(root)
    return root


def test_figure_and_sheet(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ra, dec = transient_place()
    output = tmp_path / "new.png"
    code = main([
        "light-curve", "--radec", str(ra), str(dec), "--results", str(results), "--name", "SN",
        "--output", str(output),
    ])  # fmt: skip
    assert code == 0
    assert "a source in 3 of 8 visits" in capsys.readouterr().out
    assert output.read_bytes().startswith(b"\x89PNG")
    head, *rows = (tmp_path / "new.tsv").read_text().splitlines()
    names = head.split("\t")
    table = [dict(zip(names, row.split("\t"), strict=True)) for row in rows]
    assert [int(r["visit"]) for r in table if r["psfFlux"]] == list(TRANSIENT_VISITS)
    assert all(r["limit"] for r in table)


def test_pixel_instead_of_a_place(results: Path, tmp_path: Path) -> None:
    output = tmp_path / "new.svg"
    arguments = ["--pixel", "3", "1", "300", "8", "--results", str(results)]
    assert main(["light-curve", *arguments, "--output", str(output)]) == 0
    assert "<svg" in output.read_text()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--radec", "10", "60"], "no visit with final sources"),
        (["--radec", "10", "60", "--output", "a.doc"], "no such kind of figure"),
        (["--pixel", "77", "0", "1", "1"], "no final WCS"),
        (["--radec", "10", "60", "--radius", "-1"], "-1 is no distance"),
        (["--radec", "10", "60", "--radius", "nan"], "nan is no distance"),
    ],
)
def test_faults_are_told(
    results: Path, arguments: list[str], told: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(["light-curve", *arguments, "--results", str(results)]) == 2
    assert told in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
