"""Calibrating from plain tables."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from drpflow import cli
from drpflow.io.look_up_table_files import write_look_up_table
from drpflow.io.tables import read_table, write_table
from drpflow.sim.photometric_survey import PhotometricSurvey, detector_directions
from tests.tasks.photometric_run import SIZE_PIX, camera_of, small_survey, table_of


@pytest.fixture(scope="module")
def survey() -> PhotometricSurvey:
    return small_survey()


def write_tables(folder: Path, survey: PhotometricSurvey) -> list[str]:
    m, s = survey.measurements, survey.stars
    observations = {
        "star": s.id[m.star],
        "visit": 100 + m.visit,
        "detector": 10 + m.detector,
        "mag": m.mag,
        "mag_err": m.mag_err,
        "x": (m.u.astype(float) + 1) * SIZE_PIX / 2 - 0.5,
        "y": (m.v.astype(float) + 1) * SIZE_PIX / 2 - 0.5,
    }
    directions = [detector_directions(survey.camera, e) for e in survey.exposures]
    visits = {
        "visit": np.array([100 + e.number for e in survey.exposures]),
        "band": np.array([survey.bands[e.band] for e in survey.exposures]),
        "night": np.array([f"night {e.night}" for e in survey.exposures]),
        "mjd": np.array([e.mjd for e in survey.exposures]),
        "airmass": np.array(
            [e.airmass(d).mean() for e, d in zip(survey.exposures, directions, strict=True)]
        ),
        "exposure_time_s": np.full(len(survey.exposures), 30.0),
        "ra": np.array([e.ra_deg for e in survey.exposures]),
        "dec": np.array([e.dec_deg for e in survey.exposures]),
    }
    stars = {"star": s.id, "ra": s.ra, "dec": s.dec, "reserved": s.reserved}
    for k, band in enumerate(survey.bands):
        stars |= {f"mag_{band}": s.reference_mag[:, k], f"mag_{band}_err": s.reference_err[:, k]}
    write_table(folder / "observations.parquet", observations)
    write_table(folder / "stars.parquet", stars)
    lines = [",".join(visits), *(",".join(map(str, r)) for r in zip(*visits.values(), strict=True))]
    (folder / "visits.csv").write_text("\n".join(lines) + "\n")
    (folder / "camera.yaml").write_text(yaml.safe_dump(camera_of(survey)))
    write_look_up_table(folder / "table.fits", table_of(survey))
    return [
        *("fgcm", "--observations", str(folder / "observations.parquet")),
        *("--visits", str(folder / "visits.csv"), "--stars", str(folder / "stars.parquet")),
        *("--camera", str(folder / "camera.yaml"), "--output", str(folder / "out")),
    ]


def test_tables_in_tables_out(
    tmp_path: Path, survey: PhotometricSurvey, capsys: pytest.CaptureFixture[str]
) -> None:
    words = write_tables(tmp_path, survey)
    assert cli.main([*words, "--look-up-table", str(tmp_path / "table.fits")]) == 0
    assert "photometric visits" in capsys.readouterr().out
    table = read_table(tmp_path / "out/fgcm_zero_points.parquet").to_dict()
    assert len(table["visit"]) == 24 * 4
    thick = np.array([e.cloud_mag > 0.05 for e in survey.exposures])
    assert (table["flag"][thick[table["visit"] - 100]] & 12 > 0).all()
    standard = read_table(tmp_path / "out/fgcm_standard_stars.parquet").to_dict()
    assert set(standard["band"]) == {"g", "r", "i"}
    given = read_table(tmp_path / "observations.parquet").to_dict()
    each = read_table(tmp_path / "out/fgcm_observations.parquet").to_dict()
    for name in ("star", "visit", "detector"):
        np.testing.assert_array_equal(each[name], given[name])
    off = each["mag_calibrated"] - given["mag"] - survey.measurements.correction
    good = ~survey.measurements.spoilt
    band = np.array([e.band for e in survey.exposures])[survey.measurements.visit]
    for k in range(3):
        mine = off[good & (band == k)]
        assert np.std(mine - np.median(mine)) < 0.006
    assert cli.main(words) == 2
    assert "it exists" in capsys.readouterr().err


def test_a_second_flux_is_used_and_told(
    tmp_path: Path, survey: PhotometricSurvey, capsys: pytest.CaptureFixture[str]
) -> None:
    words = write_tables(tmp_path, survey)
    path = tmp_path / "observations.parquet"
    columns = read_table(path).to_dict()
    columns |= {"cloud_mag": columns["mag"] + 0.2, "cloud_mag_err": 0.5 * columns["mag_err"]}
    write_table(path, columns)
    assert cli.main([*words, "--look-up-table", str(tmp_path / "table.fits")]) == 0
    assert "followed by the second flux on 96 detector images" in " ".join(
        capsys.readouterr().out.split()
    )
    table = read_table(tmp_path / "out/fgcm_zero_points.parquet").to_dict()
    np.testing.assert_allclose(table["cloud_flux_offset"], -0.2, atol=1e-4)


def test_guessed_passbands_are_told(
    tmp_path: Path, survey: PhotometricSurvey, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(write_tables(tmp_path, survey)) == 0
    assert "guessed passbands" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("table", "old", "new", "message"),
    [
        ("visits.csv", "airmass", "airmas", "no column 'airmass' (did you mean 'airmas'?)"),
        ("visits.csv", "100,", "101,", "appears twice"),
        ("visits.csv", ",r,", ",rr,", "no filter 'rr'"),
    ],
)
def test_faults_are_named(
    tmp_path: Path,
    survey: PhotometricSurvey,
    capsys: pytest.CaptureFixture[str],
    table: str,
    old: str,
    new: str,
    message: str,
) -> None:
    words = write_tables(tmp_path, survey)
    path = tmp_path / table
    path.write_text(path.read_text().replace(old, new, 1))
    assert cli.main(words) == 2
    assert message.split(" (")[0] in capsys.readouterr().err
