from pathlib import Path

import numpy as np
import pytest

from drpflow.sim.photometry import band_flux, mag_to_njy, reference_curve
from drpflow.sim.reference import parallax_error_mas, reference_table, relative_flux_error
from drpflow.sim.sed import SedLibrary

from .surveys import build

SURVEY = build(name="demo")
TABLE, TRUTH_IDS = reference_table(SURVEY)
STARS = SURVEY.catalog.stars[np.searchsorted(SURVEY.catalog.stars["id"], TRUTH_IDS)]


@pytest.mark.parametrize("name", ["pm_ra", "pm_dec", "parallax"])
def test_errors_of_motions_are_what_they_say(name: str) -> None:
    pull = (TABLE[name] - STARS[name]) / TABLE[f"{name}_err"]
    assert pull.mean() == pytest.approx(0.0, abs=4 / np.sqrt(len(pull)))
    assert pull.std() == pytest.approx(1.0, abs=0.1)


def test_errors_of_positions_are_what_they_say() -> None:
    east = (TABLE["ra"] - STARS["ra"]) * np.cos(np.deg2rad(STARS["dec"])) * 3.6e6
    north = (TABLE["dec"] - STARS["dec"]) * 3.6e6
    for pull in (east / TABLE["ra_err"], north / TABLE["dec_err"]):
        assert pull.mean() == pytest.approx(0.0, abs=4 / np.sqrt(len(pull)))
        assert pull.std() == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("band", ["g", "r", "i"])
def test_errors_of_fluxes_are_what_they_say(band: str) -> None:
    curve = reference_curve(SURVEY.config, SURVEY.throughputs, band)
    ratio = SedLibrary.interpolate(band_flux(SURVEY.sed_library, curve), STARS["sed"])
    pull = (TABLE[f"flux_{band}"] - mag_to_njy(STARS["mag"]) * ratio) / TABLE[f"flux_{band}_err"]
    assert pull.mean() == pytest.approx(0.0, abs=4 / np.sqrt(len(pull)))
    assert pull.std() == pytest.approx(1.0, abs=0.1)


def test_errors_are_gaias() -> None:
    # Gaia DR3, median parallax errors: 0.07 mas at 17, 0.5 mas at 20.
    assert parallax_error_mas(np.array([17.0, 20.0])) == pytest.approx([0.075, 0.6], rel=0.25)
    assert relative_flux_error(np.array([18.0, 20.0]), 0.003) == pytest.approx(
        [0.0065, 0.0253], rel=0.05
    )


def test_limits_and_missing_stars() -> None:
    r = SURVEY.config.reference
    assert STARS["mag"].min() > r.bright_mag
    assert STARS["mag"].max() < r.faint_mag
    stars = SURVEY.catalog.stars
    possible = np.sum((stars["mag"] > r.bright_mag) & (stars["mag"] < r.faint_mag))
    assert 1 - len(STARS) / possible == pytest.approx(r.missing_fraction, abs=0.03)


def test_close_pairs_lose_the_fainter_star() -> None:
    wide = build({"reference": {"resolution_arcsec": 6.0, "missing_fraction": 0}}, name="demo")
    table, _ = reference_table(wide)
    cos = np.cos(np.deg2rad(table["dec"]))
    east = np.subtract.outer(table["ra"], table["ra"]) * cos * 3600
    north = np.subtract.outer(table["dec"], table["dec"]) * 3600
    distance = np.hypot(east, north) + 1e3 * np.eye(len(cos))
    assert distance.min() > 5.99
    assert len(cos) < len(TRUTH_IDS)


def test_order_and_ids_tell_nothing_of_the_truth() -> None:
    assert np.abs(np.corrcoef(TABLE["id"], STARS["mag"])[0, 1]) < 0.15
    assert len(np.unique(TABLE["id"])) == len(TABLE["id"])


def test_written_table_has_columns_units_and_the_same_bytes(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    paths = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    for path in paths:
        SURVEY.write_reference(path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    table = pq.read_table(paths[0])
    wanted = (
        "id ra dec pm_ra pm_dec parallax epoch ra_err dec_err pm_ra_err pm_dec_err parallax_err"
    )
    fluxes = [f"flux_{b}{e}" for b in "gir" for e in ("", "_err")]
    assert table.column_names == wanted.split() + fluxes
    assert table.schema.field("pm_ra").metadata == {b"unit": b"mas yr-1"}
    assert table.schema.field("flux_r").metadata == {b"unit": b"nJy"}
    assert set(table["epoch"].to_pylist()) == {57388.5}
