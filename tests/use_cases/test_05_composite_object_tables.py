"""Use case 5: tables that split one set of rows by columns, read as one."""

import numpy as np
import pytest

from drpflow import InputError


@pytest.fixture
def split(survey):
    ids = np.array([11, 12, 17])
    stars = {"isolated_star_id": ids, "ra": np.array([1.0, 2.0, 3.0])}
    magnitudes = {"isolated_star_id": ids, "mag_r": np.array([20.0, np.nan, 22.0])}
    survey.store.put(stars, "isolated_stars", skypix=4)
    survey.store.put(magnitudes, "fgcm_standard_stars", skypix=4)
    return survey


def test_columns_of_all_tables(split):
    table = split.fresh().get("standard_stars", skypix=4)
    assert table.columns == ["skypix", "isolated_star_id", "ra", "mag_r"]
    np.testing.assert_array_equal(table["mag_r"], [20.0, np.nan, 22.0])
    assert split.fresh().query("standard_stars") == [{"skypix": 4}]
    assert split.fresh().exists("standard_stars", skypix=4)


def test_some_columns(split):
    table = split.fresh().get("standard_stars", skypix=4, columns=["mag_r", "ra"])
    assert table.columns == ["mag_r", "ra"]


def test_rows_that_are_not_the_same_are_refused(split):
    wrong = {"isolated_star_id": np.array([11, 17, 12]), "mag_r": np.zeros(3)}
    split.store.put(wrong, "fgcm_standard_stars", skypix=4)
    with pytest.raises(InputError, match=r"row 1 has isolated_star_id = 17.* 12"):
        split.fresh().get("standard_stars", skypix=4)


def test_tables_of_different_length_are_refused(split):
    wrong = {"isolated_star_id": np.array([11, 12]), "mag_r": np.zeros(2)}
    split.store.put(wrong, "fgcm_standard_stars", skypix=4)
    with pytest.raises(InputError, match="has 2 rows, isolated_stars of skypix=4 has 3"):
        split.fresh().get("standard_stars", skypix=4)


def test_repeated_identifiers_are_refused(split):
    twice = {"isolated_star_id": np.array([11, 11, 12]), "ra": np.zeros(3)}
    split.store.put(twice, "isolated_stars", skypix=4)
    with pytest.raises(InputError, match="11 stands in several rows"):
        split.fresh().get("standard_stars", skypix=4)


def test_a_column_that_two_tables_tell_differently_is_refused(split):
    wrong = {"isolated_star_id": np.array([11, 12, 17]), "ra": np.zeros(3)}
    split.store.put(wrong, "fgcm_standard_stars", skypix=4)
    with pytest.raises(InputError, match="column 'ra' holds other values"):
        split.fresh().get("standard_stars", skypix=4)
