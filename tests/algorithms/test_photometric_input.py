"""Tables of the photometric calibration from camera and metadata."""

from dataclasses import replace

import numpy as np
import pytest

from drpflow.algorithms.photometric_input import (
    VisitInput,
    check_usable,
    detectors_of,
    sec_z,
    visits_of,
    with_references,
)
from drpflow.data.camera import Camera
from drpflow.data.photometric_tables import Observations, Stars
from drpflow.data.reference_stars import ReferenceStars
from drpflow.data.visit_info import VisitInfo
from drpflow.errors import AlgorithmError

AMPLIFIER = {
    "name": "A",
    "data_section": [0, 400, 0, 200],
    "raw_data_section": [0, 400, 0, 200],
    "gain": 1.0,
    "read_noise": 5.0,
    "saturation": 60000,
}
CAMERA = Camera.model_validate(
    {
        "name": "small",
        "optics": {"plate_scale_arcsec_per_mm": 36.0, "radius_mm": 100.0, "radial": [0.1]},
        "detectors": [
            {
                "id": number,
                "name": f"D{number}",
                "size_pix": [400, 200],
                "pixel_size_mm": 0.1,
                "center_mm": [50.0 * k, 0.0],
                "rotation_deg": 90.0 * k,
                "amplifiers": [AMPLIFIER],
            }
            for k, number in enumerate((7, 3))
        ],
        "filters": [
            {"physical_filter": "g old", "band": "g"},
            {"physical_filter": "g new", "band": "g"},
            {"physical_filter": "r", "band": "r"},
        ],
    }
)
INFO = VisitInfo(
    visit=5,
    physical_filter="g new",
    band="g",
    night="2025-02-03",
    exposure_time_s=30.0,
    mjd=60709.2,
    ra_deg=150.0,
    dec_deg=-12.0,
    recorded_airmass=1.3,
)
FILTERS = {"g old", "g new", "r"}
SUMMARY = {
    "detector": np.array([3, 7]),
    "psfSigma": np.array([2.0, np.nan]),
    "pixelScale": np.array([0.25, 0.25]),
    "zenithDistance": np.array([60.0, np.nan]),
}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"band": ""}, "its band is unknown"),
        ({"mjd": None}, "its mjd is unknown"),
        ({"exposure_time_s": 0.0}, "its exposure time is 0.0 s"),
        ({"recorded_airmass": None}, "neither its airmass nor"),
        ({"physical_filter": "z"}, "the passband of its filter 'z' is not known"),
    ],
)
def test_what_a_visit_lacks(change: dict[str, object], reason: str) -> None:
    assert VisitInput(INFO, {}).lacks(FILTERS) == ""
    assert reason in VisitInput(replace(INFO, **change), {}).lacks(FILTERS)  # type: ignore[arg-type]


def test_sec_z_is_from_place_and_time_where_they_are_known() -> None:
    assert sec_z(INFO) == 1.3
    placed = replace(INFO, latitude_deg=-12.0, longitude_deg=0.0, recorded_hour_angle_deg=45.0)
    # cos z = sin² δ + cos² δ cos H
    s, c = np.sin(np.radians(12)), np.cos(np.radians(12))
    assert sec_z(placed) == pytest.approx(1 / (s * s + c * c * np.sqrt(0.5)), rel=2e-3)


def test_visits() -> None:
    other = replace(INFO, visit=9, physical_filter="r", band="r", night="", pressure_hpa=740.0)
    table = visits_of([VisitInput(INFO, SUMMARY), VisitInput(other, {})], CAMERA)
    assert table.bands == ("g", "r")
    assert table.physical_filters == ("g old", "g new", "r")
    assert table.physical_filter.tolist() == [1, 2]
    assert table.night.tolist() == [20250203, 60708]
    assert table.fwhm_arcsec[0] == pytest.approx(2.3548 * 0.5, rel=1e-4)
    assert np.isnan(table.fwhm_arcsec[1])
    assert np.isnan(table.pressure_hpa[0])
    # Detector 3 is the second of the camera.
    assert table.detector_airmass == pytest.approx(np.array([[1.3, 2.0], [1.3, 1.3]]))


def test_detectors_stand_where_the_optics_put_them() -> None:
    table = detectors_of(CAMERA)
    assert table.id.tolist() == [7, 3]
    # 36 arcsec/mm is 0.01 deg/mm; (50 mm / 100 mm)² of distortion.
    assert table.x_deg == pytest.approx([0.0, 0.5 * (1 + 0.1 * 0.25)])
    assert table.matrix[0] == pytest.approx(np.diag([0.2, 0.1]), rel=1e-2)
    # Turned by 90 degrees, u runs along +y and v along -x.
    assert table.matrix[1, 1, 0] == pytest.approx(0.2, rel=0.05)
    assert table.matrix[1, 0, 1] == pytest.approx(-0.1, rel=0.1)


def test_references_by_place() -> None:
    stars = Stars(np.array([1, 2, 3]), np.array([10.0, 10.1, 10.2]), np.zeros(3), np.zeros(3, bool))
    catalog = ReferenceStars.from_columns(
        {
            "id": np.array([5, 6]),
            "ra": np.array([10.2, 10.0 + 0.3 / 3600]),
            "dec": np.zeros(2),
            "epoch": np.full(2, 60000.0),
            "flux_g": np.array([3631.0, -1.0]),
            "flux_g_err": np.array([36.31, 1.0]),
        }
    )
    found = with_references(stars, catalog, ("g", "r"), 60000.0, 0.5)
    assert found.reference_mag is not None
    assert found.reference_err is not None
    assert found.reference_mag[2, 0] == pytest.approx(22.5, abs=1e-4)
    assert found.reference_err[2, 0] == pytest.approx(0.010857, rel=1e-3)
    assert np.isnan(found.reference_mag).sum() == 5
    assert with_references(stars, catalog, ("z",), 60000.0, 0.5) is stars
    assert with_references(stars, None, ("g",), 60000.0, 0.5) is stars


def observed(star: list[int], visit: list[int], mag_err: float = 0.01) -> Observations:
    n = len(star)
    columns = np.zeros(n), np.full(n, mag_err), np.zeros(n), np.zeros(n)
    return Observations(np.array(star, int), np.array(visit, int), np.zeros(n, int), *columns)


def test_observations_of_which_none_is_of_use() -> None:
    check_usable(observed([0], [0]))
    with pytest.raises(AlgorithmError, match="no observation has a usable flux"):
        check_usable(observed([0, 1], [0, 0], mag_err=0.0))
    with pytest.raises(AlgorithmError, match="there is no observation of a star"):
        check_usable(observed([], []))


def catalog(bands: tuple[str, ...]) -> ReferenceStars:
    columns = {"id": [1, 2], "ra": [10.0, 10.1], "dec": [-5.0, -5.0], "epoch": [60000.0, 60000.0]}
    for k, band in enumerate(bands):
        columns[f"flux_{band}"] = [1e5 * (k + 1), 2e5]
        columns[f"flux_{band}_err"] = [1e3, 1e3]
    return ReferenceStars.from_columns({n: np.array(v) for n, v in columns.items()})


def test_bands_of_the_catalog_that_no_visit_has_tell_colors() -> None:
    stars = Stars([7, 8], [10.0, 10.2], [-5.0, -5.0], [False, False])
    found = with_references(stars, catalog(("g", "r", "i", "odd")), ("r",), 60000.0, 0.5)
    assert found.color_mag is not None
    np.testing.assert_allclose(found.color_wavelength_nm, [477.0, 762.0])
    color = found.color_mag[0, 0] - found.color_mag[0, 1]
    assert color == pytest.approx(2.5 * np.log10(3.0))
    assert np.isnan(found.color_mag[1]).all()
    assert with_references(stars, catalog(("r",)), ("r",), 60000.0, 0.5).color_mag is None
    # Without the band of the visits it ties nothing, but still tells colours.
    other = with_references(stars, catalog(("g", "i")), ("r",), 60000.0, 0.5)
    assert other.reference_mag is None
    assert other.color_mag is not None
    assert with_references(stars, catalog(("g",)), ("r",), 60000.0, 0.5) is stars
