"""Tables of other surveys become reference catalogues with the right numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy import units as u
from astropy.table import MaskedColumn, Table

from drpflow.errors import InputError
from drpflow.io.reference_convert import (
    ColumnNames,
    concatenate,
    convert_table,
    read_raw_table,
)


def gaia() -> Table:
    """Rows as the Gaia archive gives them."""
    return Table(
        {
            "source_id": np.array([4065900000000000123, 4065900000000000124]),
            "ra": [270.1, 270.2] * u.deg,
            "dec": [-25.1, -25.2] * u.deg,
            "ra_error": [0.1, 0.2] * u.mas,
            "dec_error": [0.1, 0.2] * u.mas,
            "pmra": MaskedColumn([1.5, 0.0], mask=[False, True], unit=u.mas / u.yr),
            "pmdec": MaskedColumn([-2.5, 0.0], mask=[False, True], unit=u.mas / u.yr),
            "parallax": MaskedColumn([0.7, 0.0], mask=[False, True], unit=u.mas),
            "ref_epoch": [2016.0, 2016.0] * u.yr,
            "phot_g_mean_mag": [15.0, 18.0] * u.mag,
            "phot_g_mean_flux_over_error": [1000.0, 200.0],
            "phot_bp_mean_mag": [15.5, 18.9] * u.mag,
            "ra_pmra_corr": [0.25, -0.5],
            "parallax_pmdec_corr": MaskedColumn([0.1, 0.0], mask=[False, True]),
        }
    )


def converted(path: Path, names: ColumnNames | None = None) -> Any:
    return convert_table(read_raw_table(path), names or ColumnNames())


@pytest.mark.parametrize("name", ["g.fits", "g.fits.gz", "g.vot", "g.ecsv", "g.csv", "g.parquet"])
def test_gaia_in_any_format(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith("parquet"):
        from drpflow.io.tables import write_table

        table = gaia().filled(np.nan)
        write_table(path, table)
    else:
        kinds = {"vot": "votable", "ecsv": "ascii.ecsv", "csv": "ascii.csv"}
        gaia().write(path, format=kinds.get(path.suffix[1:], "fits"))
    stars, left_out = converted(path)
    assert left_out == 0
    assert list(stars.id) == [4065900000000000123, 4065900000000000124]
    np.testing.assert_allclose(stars.epoch, 57388.5)
    np.testing.assert_allclose(stars.pm_ra, [1.5, np.nan])
    np.testing.assert_allclose(stars.parallax, [0.7, np.nan])
    assert stars.bands == ("gaia_g", "gaia_bp")
    assert set(stars.correlation) == {"ra_pm_ra_corr", "pm_dec_parallax_corr"}
    np.testing.assert_allclose(stars.correlation["ra_pm_ra_corr"], [0.25, -0.5])
    np.testing.assert_allclose(stars.correlation["pm_dec_parallax_corr"], [0.1, np.nan])
    # AB magnitude of the first star in G: 15.0 + 0.1136.
    assert stars.magnitude("gaia_g")[0] == pytest.approx(15.1136)
    np.testing.assert_allclose(
        stars.flux_err_njy["gaia_g"] / stars.flux_njy["gaia_g"], [1e-3, 5e-3], rtol=1e-6
    )
    assert np.isnan(stars.flux_err_njy["gaia_bp"]).all()


def written(tmp_path: Path, **columns: Any) -> Path:
    path = tmp_path / "table.ecsv"
    Table(columns).write(path, format="ascii.ecsv", overwrite=True)
    return path


def test_columns_that_the_user_names(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        number=[7],
        lon=[1.0] * u.rad,
        lat=[3600.0] * u.arcmin,
        w=[20.0],
        e_w=[0.1],
        fz=[2.0] * u.uJy,
        e_fz=[100.0],
    )
    names = ColumnNames(
        columns={"id": "number", "ra": "LON", "dec": "lat"},
        magnitudes={"r": "w"},
        magnitude_errors={"r": "e_w"},
        fluxes={"z": "fz"},
        flux_errors={"z": "e_fz"},
        offsets_mag={"r": 0.5},
        epoch=2000.0,
    )
    stars, _ = converted(path, names)
    assert stars.ra[0] == pytest.approx(np.degrees(1.0))
    assert stars.dec[0] == pytest.approx(60.0)
    assert stars.epoch[0] == 51544.5
    assert stars.magnitude("r")[0] == pytest.approx(20.5)
    assert stars.flux_err_njy["r"][0] / stars.flux_njy["r"][0] == pytest.approx(0.0921, rel=1e-3)
    assert stars.flux_njy["z"][0] == pytest.approx(2000.0)
    assert stars.flux_err_njy["z"][0] == pytest.approx(100.0)


@pytest.mark.parametrize("epoch", [2015.5, 57204.125 + 2400000.5, 57204.125])
def test_years_julian_dates_and_mjd_are_told_apart(tmp_path: Path, epoch: float) -> None:
    path = written(tmp_path, id=[1], ra=[1.0], dec=[1.0], epoch=[epoch], rmag=[20.0], e_rmag=[0.02])
    stars, _ = converted(path)
    assert stars.epoch[0] == pytest.approx(57205.875 if epoch < 3000 else 57204.125)


def test_values_that_stand_for_none_and_rows_without_a_place(tmp_path: Path) -> None:
    path = written(
        tmp_path, objID=[1, 2, 3], raMean=[1.0, 2.0, np.nan], decMean=[1.0, 2.0, 3.0],
        epochMean=[55500.0] * 3, gMeanPSFMag=[-999.0, 20.0, 20.0],
        gMeanPSFMagErr=[-999.0, 0.01, 0.0],
    )  # fmt: skip
    stars, left_out = converted(path)
    assert left_out == 1
    np.testing.assert_allclose(stars.flux_njy["g"], [np.nan, 10 ** (0.4 * 11.4)])
    assert np.isnan(stars.flux_err_njy["g"][0])


GOOD: dict[str, Any] = {"id": [1], "ra": [1.0], "dec": [1.0], "epoch": [2016.0], "rmag": [20.0]}


@pytest.mark.parametrize(
    ("changes", "names", "problem"),
    [
        ({"ra": None}, ColumnNames(), "no column is known as ra"),
        ({"epoch": None}, ColumnNames(), "no column is known as epoch"),
        ({"epoch": [12.0]}, ColumnNames(), "an epoch of 12 is no year"),
        ({"rmag": None}, ColumnNames(), "known as a magnitude or flux"),
        ({"id": ["a"]}, ColumnNames(), "holds no whole numbers"),
        ({"id": [1.5]}, ColumnNames(), "holds fractions"),
        ({"ra": [1.0] * u.m}, ColumnNames(), "does not turn into 'deg'"),
        ({}, ColumnNames(magnitudes={"r": "rmga"}), "no column 'rmga'; did you mean 'rmag'"),
        ({"flux_r": [1.0] * u.m}, ColumnNames(), "column 'flux_r' is in 'm'"),
    ],
)
def test_faults_are_told(
    tmp_path: Path, changes: dict[str, Any], names: ColumnNames, problem: str
) -> None:
    columns = {k: v for k, v in (GOOD | changes).items() if v is not None}
    with pytest.raises(InputError, match=problem):
        converted(written(tmp_path, **columns), names)


def test_files_that_are_no_tables_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_raw_table(tmp_path / "a.fits")
    (tmp_path / "a.fits").write_text("not FITS")
    with pytest.raises(InputError, match="cannot be read as fits"):
        read_raw_table(tmp_path / "a.fits")
    (tmp_path / "a.docx").write_text("")
    with pytest.raises(InputError, match="kind is not known"):
        read_raw_table(tmp_path / "a.docx")


def test_overlapping_tables_keep_each_star_once(tmp_path: Path) -> None:
    one, _ = converted(written(tmp_path, **GOOD))
    more = {k: [*v, *v] for k, v in GOOD.items()} | {"id": [2, 1], "zmag": [19.0, 19.0]}
    two, _ = converted(written(tmp_path, **more))
    both = concatenate([one, two])
    assert list(both.id) == [1, 2]
    np.testing.assert_allclose(both.magnitude("z"), [np.nan, 19.0])


def test_tiles_without_stars_add_nothing(tmp_path: Path) -> None:
    parts = []
    for name, rows in (("full.fits", 2), ("empty.fits", 0)):
        gaia()[:rows].write(tmp_path / name)
        stars, _ = convert_table(read_raw_table(tmp_path / name), ColumnNames())
        parts.append(stars)
    assert [len(part) for part in parts] == [2, 0]
    whole = concatenate(parts)
    np.testing.assert_array_equal(whole.id, parts[0].id)
    np.testing.assert_array_equal(whole.epoch, parts[0].epoch)
