"""Solving the astrometry of plain tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from drpflow import cli
from drpflow.io.reference_stars import write_reference_stars
from drpflow.io.tables import read_table, write_table
from tests.tasks.astrometric_run import SmallAstrometry, small_astrometry


@pytest.fixture(scope="module")
def given() -> SmallAstrometry:
    return small_astrometry()


def write_tables(folder: Path, given: SmallAstrometry) -> list[str]:
    survey, stars = given.survey, given.survey.stars
    obs, visits = survey.observations, [item.info for item in survey.visits]
    ids = np.array([info.visit for info in visits])
    detectors = np.array([d.id for d in survey.camera.detectors])
    columns = {"star": stars.id[obs.star], "visit": ids[obs.visit]}
    columns |= {"detector": detectors[obs.detector], "x": obs.x, "y": obs.y}
    columns |= {"x_err": np.sqrt(obs.xx), "y_err": np.sqrt(obs.yy)}
    columns |= {"ra": stars.ra_deg[obs.star], "dec": stars.dec_deg[obs.star]}
    write_table(folder / "observations.parquet", columns)
    rows = [(v.visit, v.mjd, v.ra_deg, v.dec_deg, v.rotation_deg, v.band) for v in visits]
    texts = (["" if value is None else str(value) for value in row] for row in rows)
    lines = ["visit,mjd,ra,dec,rotation,band", *(",".join(row) for row in texts)]
    (folder / "visits.csv").write_text("\n".join(lines) + "\n")
    table = {"star": stars.id, "ra": stars.ra_deg, "dec": stars.dec_deg, "color": stars.color}
    write_table(folder / "stars.parquet", table | {"reserved": stars.reserved})
    (folder / "camera.yaml").write_text(yaml.safe_dump(survey.camera.model_dump(mode="json")))
    reference: tuple[str, ...] = ()
    if survey.references is not None:
        write_reference_stars(folder / "reference.parquet", survey.references)
        reference = ("--reference", str(folder / "reference.parquet"))
    return [
        *("solve-astrometry", "--observations", str(folder / "observations.parquet")),
        *("--visits", str(folder / "visits.csv"), "--camera", str(folder / "camera.yaml")),
        *(*reference, "--output", str(folder / "out")),
    ]


def errors_mas(folder: Path, given: SmallAstrometry) -> list[float]:
    """Return rms errors of all WCSs."""
    from drpflow.io.cache import ComponentCache
    from drpflow.io.component_tables import ComponentRows

    found = []
    for visit, detector in given.wcs:
        path = folder / f"out/solved_astrometry_wcs/visit={visit}/solved_astrometry_wcs.parquet"
        wcs = ComponentRows(path, "detector", ComponentCache()).component("wcs", detector)
        found.append(float(np.sqrt(np.mean(given.errors_mas(visit, detector, wcs) ** 2))))
    return found


def test_tables_in_tables_out(
    tmp_path: Path, given: SmallAstrometry, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*write_tables(tmp_path, given), "--stars", str(tmp_path / "stars.parquet")]
    assert cli.main(words) == 0
    told = capsys.readouterr().out
    assert "503 stars, 6 visits: stated errors of the WCSs" in told
    assert "left open: " in told
    assert np.median(errors_mas(tmp_path, given)) < 2.0
    stars = read_table(tmp_path / "out/solved_astrometry_stars.parquet").to_dict()
    assert stars["isolated_star_id"].tolist() == given.survey.stars.id.tolist()
    assert stars["reserved"].any()
    assert cli.main(words) == 2
    assert "it exists" in capsys.readouterr().err
    assert cli.main([*words, "--force"]) == 0


def test_stars_by_their_places(tmp_path: Path, given: SmallAstrometry) -> None:
    """Without a table of stars, and without a column that says which is which."""
    words = write_tables(tmp_path, given)
    path = tmp_path / "observations.parquet"
    columns = read_table(path).to_dict()
    columns.pop("star")
    write_table(path, columns)
    assert cli.main(words) == 0
    assert np.median(errors_mas(tmp_path, given)) < 2.0


def test_stars_by_their_places_and_a_table(
    tmp_path: Path, given: SmallAstrometry, capsys: pytest.CaptureFixture[str]
) -> None:
    """Observations without a column star belong to the stars of the table that they are near."""
    words = [*write_tables(tmp_path, given), "--stars", str(tmp_path / "stars.parquet")]
    path = tmp_path / "observations.parquet"
    columns = read_table(path).to_dict()
    columns.pop("star")
    # Two observations of nothing in the table: one elsewhere, one without a place.
    columns["dec"] = columns["dec"].copy()
    columns["dec"][10] += 0.01
    columns["dec"][20] = np.nan
    write_table(path, columns)
    assert cli.main(words) == 0
    assert "2 observations of other visits, detectors or stars left out" in capsys.readouterr().out
    assert np.median(errors_mas(tmp_path, given)) < 2.0
    stars = read_table(tmp_path / "out/solved_astrometry_stars.parquet").to_dict()
    assert stars["isolated_star_id"].tolist() == given.survey.stars.id.tolist()
    np.testing.assert_array_equal(stars["reserved"], given.survey.stars.reserved)
    residuals = read_table(tmp_path / "out/solved_astrometry_residuals.parquet").to_dict()
    assert residuals["used"].mean() > 0.95


def test_config_counts(
    tmp_path: Path, given: SmallAstrometry, capsys: pytest.CaptureFixture[str]
) -> None:
    words = write_tables(tmp_path, given)
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"solveAstrometry": {"stars": {"motions": False}}}))
    assert cli.main([*words, "--config", str(path)]) == 0
    stars = read_table(tmp_path / "out/solved_astrometry_stars.parquet").to_dict()
    free = stars["reference_id"] == 0
    assert np.isnan(stars["pm_ra"][free]).all()
    assert np.isfinite(stars["pm_ra"][~free]).any()
    path.write_text(yaml.safe_dump({"solveAstrometry": {"star": {}}}))
    assert cli.main([*words, "--config", str(path), "--force"]) == 2
    assert "unknown key 'star'" in capsys.readouterr().err


def test_tables_without_places_are_refused(
    tmp_path: Path, given: SmallAstrometry, capsys: pytest.CaptureFixture[str]
) -> None:
    words = write_tables(tmp_path, given)
    path = tmp_path / "observations.parquet"
    columns = read_table(path).to_dict()
    write_table(path, {name: columns[name] for name in columns if name != "dec"})
    assert cli.main(words) == 2
    assert "no column 'dec'" in capsys.readouterr().err
