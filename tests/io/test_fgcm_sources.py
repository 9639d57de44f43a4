from pathlib import Path

import numpy as np
import pytest

from drpflow.data.camera import Camera
from drpflow.errors import InputError
from drpflow.io.fgcm_sources import Gathered, gather_sources
from drpflow.io.tables import write_table

SIZE = (200, 100)
AMPLIFIER = {
    "name": "A",
    "data_section": [0, 200, 0, 100],
    "raw_data_section": [0, 200, 0, 100],
    "gain": 1.0,
    "read_noise": 5.0,
    "saturation": 60000,
}


def camera() -> Camera:
    detectors = [
        {
            "id": number,
            "name": f"D{number}",
            "size_pix": SIZE,
            "pixel_size_mm": 0.015,
            "center_mm": (0.0, 10.0 * k),
            "amplifiers": [AMPLIFIER],
        }
        for k, number in enumerate((7, 3))
    ]
    return Camera.model_validate(
        {
            "name": "small",
            "optics": {"plate_scale_arcsec_per_mm": 10.0},
            "detectors": detectors,
            "filters": [{"physical_filter": "r1", "band": "r"}],
        }
    )


def write_pixel(
    folder: Path, pixel: int, stars: list[int], sources: dict[str, list[float]]
) -> None:
    where = {"skypix": pixel}
    columns = {
        "isolated_star_id": np.array(stars),
        "ra": np.full(len(stars), 10.0),
        "dec": np.full(len(stars), -5.0),
        "reserved": np.array(stars) % 2 == 1,
    }
    write_table(folder / f"stars{pixel}.parquet", columns, dataset="isolated_stars", data_id=where)
    given = {name: np.array(values) for name, values in sources.items()}
    write_table(folder / f"sources{pixel}.parquet", given, data_id=where)


def sources(**changes: list[float]) -> dict[str, list[float]]:
    columns: dict[str, list[float]] = {
        "isolated_star_id": [12, 11, 12],
        "visit": [5, 5, 9],
        "detector": [3, 7, 3],
        "x": [-0.5, 99.5, 199.5],
        "y": [-0.5, 49.5, 99.5],
        "f_instFlux": [1000.0, 500.0, 3000.0],
        "f_instFluxErr": [10.0, 10.0, 30.0],
    }
    return columns | changes


def gather(folder: Path, pixels: list[int], times: dict[int, float]) -> Gathered:
    return gather_sources(
        [folder / f"stars{p}.parquet" for p in pixels],
        [folder / f"sources{p}.parquet" for p in pixels],
        camera(),
        times,
        "f",
    )


def test_rows_magnitudes_and_places(tmp_path: Path) -> None:
    write_pixel(tmp_path, 4, [12, 11], sources())
    write_pixel(tmp_path, 8, [31], sources(isolated_star_id=[31, 31, 31]))
    found = gather(tmp_path, [4, 8], {9: 30.0, 5: 10.0})
    o = found.observations
    assert o.star.tolist() == [0, 1, 0, 2, 2, 2]
    assert o.visit.tolist() == [0, 0, 1, 0, 0, 1]
    assert o.detector.tolist() == [1, 0, 1, 1, 0, 1]
    assert o.mag[:3] == pytest.approx(-2.5 * np.log10([100.0, 50.0, 100.0]))
    assert o.mag_err[:3] == pytest.approx(1.0857 * np.array([0.01, 0.02, 0.01]), rel=1e-3)
    assert o.u[:3].tolist() == [-1.0, 0.0, 1.0]
    assert o.v[:3].tolist() == [-1.0, 0.0, 1.0]
    assert found.skypix.tolist() == [4, 4, 8]
    assert found.stars.id.tolist() == [12, 11, 31]
    assert found.stars.reserved.tolist() == [False, True, True]
    assert found.dropped == 0


def test_the_error_of_the_aperture_correction_belongs_to_the_zero_point(tmp_path: Path) -> None:
    given = sources(f_apCorr=[2.0, 2.0, 2.0], f_apCorrErr=[0.01, 0.0, float("nan")])
    write_pixel(tmp_path, 4, [12, 11], given)
    found = gather(tmp_path, [4], {5: 10.0, 9: 30.0}).observations.mag_err / 1.0857
    # 1000 e with an error of 10, of which 1000 / 2 * 0.01 = 5 are shared.
    assert found == pytest.approx([np.sqrt(75.0) / 1000, 0.02, 0.01], rel=1e-3)


def test_detections_of_other_visits_and_detectors_are_dropped(tmp_path: Path) -> None:
    write_pixel(tmp_path, 4, [12, 11], sources(detector=[3, 99, 3]))
    found = gather(tmp_path, [4], {5: 10.0})
    assert (len(found.observations), found.dropped) == (1, 2)


@pytest.mark.parametrize("flux", [-3.0, 0.0, float("nan")])
def test_fluxes_without_a_logarithm_are_unknown(tmp_path: Path, flux: float) -> None:
    write_pixel(tmp_path, 4, [12, 11], sources(f_instFlux=[1000.0, flux, 3000.0]))
    found = gather(tmp_path, [4], {5: 10.0, 9: 30.0})
    assert np.isnan(found.observations.mag).tolist() == [False, True, False]


def test_flagged_fluxes_are_unknown(tmp_path: Path) -> None:
    write_pixel(tmp_path, 4, [12, 11], sources(f_flag=[True, False, False]))
    found = gather(tmp_path, [4], {5: 10.0, 9: 30.0})
    assert np.isnan(found.observations.mag).tolist() == [True, False, False]


def test_no_star_at_all(tmp_path: Path) -> None:
    write_pixel(tmp_path, 4, [], {name: [] for name in sources()})
    found = gather(tmp_path, [4], {5: 10.0})
    assert (len(found.stars), len(found.observations)) == (0, 0)


def test_a_detection_without_its_star_is_a_fault_that_names_it(tmp_path: Path) -> None:
    write_pixel(tmp_path, 4, [12], sources())
    with pytest.raises(InputError, match="star 11 is not among"):
        gather(tmp_path, [4], {5: 10.0, 9: 30.0})


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    columns = sources()
    del columns["f_instFlux"]
    write_pixel(tmp_path, 4, [12, 11], columns)
    with pytest.raises(InputError, match="no column 'f_instFlux'"):
        gather(tmp_path, [4], {5: 10.0})


def test_a_star_that_stands_twice_is_named(tmp_path: Path) -> None:
    for pixel, stars in ((31, [2, 5]), (32, [8, 5])):
        write_pixel(tmp_path, pixel, stars, sources(isolated_star_id=[stars[0]] * 3))
    with pytest.raises(InputError, match=r"stars32.parquet: star 5 stands twice, here or in two"):
        gather(tmp_path, [31, 32], {5: 10.0, 9: 30.0})


def test_a_second_flux_for_the_clouds(tmp_path: Path) -> None:
    second = {
        "p_instFlux": [1000.0, -5.0, 3000.0],
        "p_instFluxErr": [10.0, 1.0, 15.0],
        "p_flag": [False, False, True],
        "p_apCorr": [1.0, 1.0, 1.0],
        "p_apCorrErr": [0.006, 0.0, 0.0],
    }
    write_pixel(tmp_path, 4, [12, 11], sources(**second))
    files = [tmp_path / "stars4.parquet"], [tmp_path / "sources4.parquet"]
    o = gather_sources(*files, camera(), {5: 10.0, 9: 30.0}, "f", "p").observations
    assert o.mag == pytest.approx(-2.5 * np.log10([100.0, 50.0, 100.0]))
    np.testing.assert_allclose(o.cloud_mag, [-5.0, np.nan, np.nan])
    assert o.cloud_mag_err is not None
    # 1000 e with an error of 10, of which 6 are shared.
    assert o.cloud_mag_err[0] == pytest.approx(1.0857 * 0.008, rel=1e-3)
    assert gather(tmp_path, [4], {5: 10.0}).observations.cloud_mag is None


def test_a_second_flux_that_is_missing_is_named(tmp_path: Path) -> None:
    write_pixel(tmp_path, 4, [12, 11], sources())
    files = [tmp_path / "stars4.parquet"], [tmp_path / "sources4.parquet"]
    with pytest.raises(InputError, match="no column 'psfFlux_instFlux'"):
        gather_sources(*files, camera(), {5: 10.0}, "f", "psfFlux")
