from pathlib import Path

import numpy as np
import pytest

from drpflow.sim.photometry import standard_curve
from drpflow.sim.truth_tables import GRID_NODES, electron_per_njy

from .surveys import QUIET, build, quiet, tiny


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("truth")
    tiny().write_truth(folder)
    return folder


def read(path: Path) -> dict[str, np.ndarray]:
    import pyarrow.parquet as pq

    table = pq.ParquetFile(path).read()
    return {name: table[name].to_numpy() for name in table.column_names}


def test_all_tables_are_there(folder: Path) -> None:
    names = {str(p.relative_to(folder)) for p in folder.rglob("*.parquet")}
    single = (
        "stars galaxies supernovae flares asteroids reference visits detectors wcs psf "
        "illumination atmosphere"
    )
    assert names == {f"{n}.parquet" for n in single.split()} | {
        f"sources/visit={v}/sources.parquet" for v in (1, 2, 3)
    }


def test_two_writes_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    build().write_truth(tmp_path)
    for path in sorted(folder.rglob("*.parquet")):
        assert (tmp_path / path.relative_to(folder)).read_bytes() == path.read_bytes(), path


def test_wcs_grid_maps_back_onto_its_pixels(folder: Path) -> None:
    grid = read(folder / "wcs.parquet")
    assert len(grid["x"]) == 3 * 2 * GRID_NODES**2
    here = (grid["visit"] == 2) & (grid["detector"] == 1)
    x, y = tiny().sky_to_pixel(2, 1, grid["ra"][here], grid["dec"][here])
    np.testing.assert_allclose(x, grid["x"][here], atol=1e-5)
    np.testing.assert_allclose(y, grid["y"][here], atol=1e-5)


def test_sources_are_those_of_the_frames(folder: Path) -> None:
    table = read(folder / "sources" / "visit=1" / "sources.parquet")
    here = table["detector"] == 0
    objects = tiny().render(1, 0).objects
    order = np.argsort(objects["id"])
    match = order[np.searchsorted(objects["id"][order], table["id"][here])]
    for name in ("x", "y", "flux_electron", "mag", "ra", "dec"):
        np.testing.assert_allclose(objects[name][match], table[name][here], rtol=1e-12)


def test_zero_point_turns_magnitudes_into_electrons() -> None:
    survey = quiet()
    model = survey.model(1)
    objects = survey.render(1, 0).objects
    # Only for stars of the reference colour, and at the centre, is it exact.
    temperature = np.full(len(objects), np.inf)
    stars = survey.catalog.stars
    is_star = objects["kind"] == 0
    row = np.searchsorted(stars["id"], objects["id"][is_star])
    temperature[is_star] = stars["temperature_k"][row]
    alike = np.abs(temperature - 5500) < 500
    njy = 3631e9 * 10 ** (-0.4 * objects["mag"][alike])
    zero_point = electron_per_njy(model, 0, standard_curve(survey.throughputs, "sim_r"))
    ratio = objects["flux_electron"][alike] / njy / zero_point
    assert len(ratio) > 5
    assert np.median(ratio) == pytest.approx(1.0, abs=0.05)
    place = survey.optics.detectors[0].place
    light = survey.optics.illumination(
        *place.pixel_to_focal(objects["x"][alike], objects["y"][alike])
    )
    center = survey.optics.illumination(*map(np.array, place.center_mm))
    np.testing.assert_allclose(ratio * center / light, 1.0, atol=3e-3)


def test_visits_hold_what_headers_hide(folder: Path) -> None:
    table = read(folder / "visits.parquet")
    assert list(table["visit"]) == [1, 2, 3]
    assert table["cloud_mag"][2] == 0.3
    for name in ("true_ra_deg", "water_mm", "aerosol_depth", "turbulence_mas", "fwhm_arcsec"):
        assert np.isfinite(table[name]).all()


def test_illumination_says_what_the_flat_leaves(folder: Path) -> None:
    table = read(folder / "illumination.parquet")
    here = (table["detector"] == 0) & (table["physical_filter"] == "sim_r")
    assert here.sum() == GRID_NODES**2
    dome = tiny().dome_illumination(0, "sim_r")
    x, y = (table[c][here].astype(int) for c in ("x", "y"))
    np.testing.assert_allclose(table["dome"][here], dome[y, x])


def test_reference_ids_lead_to_stars(folder: Path) -> None:
    pairs, stars = read(folder / "reference.parquet"), read(folder / "stars.parquet")
    assert np.isin(pairs["id"], stars["id"]).all()


def test_a_survey_without_transients_is_written_too(tmp_path: Path) -> None:
    build(QUIET).write_truth(tmp_path)
    assert len(read(tmp_path / "flares.parquet")["id"]) == 0


def test_throughput_files(tmp_path: Path) -> None:
    tiny().write_throughputs(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {
        f"sim_{b}{d}.csv" for b in "gr" for d in ("", "_00", "_01")
    }
    lines = (tmp_path / "sim_r_01.csv").read_text().splitlines()
    assert lines[0] == "wavelength_nm,throughput"
    curve = np.loadtxt(lines[1:], delimiter=",")
    np.testing.assert_allclose(curve[:, 1], tiny().throughputs.system("sim_r", 1), atol=1e-6)
