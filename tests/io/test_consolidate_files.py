"""Components and stars of a visit's detectors, without their pixels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from drpflow.config.base import StrictModel
from drpflow.data.camera import Camera
from drpflow.data.component_table import ComponentRow, ComponentTable
from drpflow.data.detector_info import DetectorInfo
from drpflow.data.exposure import Exposure
from drpflow.data.plane_maps import AffineMap
from drpflow.data.provenance import Provenance
from drpflow.data.sky_wcs import SkyWcs
from drpflow.data.summary_stats import SummaryStats
from drpflow.data.tan_projection import TanProjection
from drpflow.errors import InputError
from drpflow.io.consolidate_files import read_detectors, search_circle, write_outputs
from drpflow.io.schemas import load_schema
from drpflow.io.store import Store
from tests.io.conftest import make_exposure
from tests.workflow.small_survey import camera_values

CAMERA = Camera.model_validate(camera_values(4))
VISIT = 12


def columns(n: int) -> dict[str, Any]:
    """Columns of `n` stars."""
    schema = load_schema("initial_stars_detector")
    inner = schema.without({"visit", "detector"})
    return {c.name: np.full(n, "" if c.type == "str" else 1, c.type) for c in inner.columns}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two detectors; the second has no WCS and no stars."""
    store = Store(tmp_path / "results")
    for number in (0, 1):
        exposure = make_exposure(
            detector=DetectorInfo(CAMERA.detector(number), CAMERA.name),
            summary_stats=SummaryStats({"psfSigma": 1.5 + number}),
        )
        if number:
            exposure = without_wcs(exposure)
        store.put(exposure, "initial_pvi", visit=VISIT, detector=number)
        stars = columns(3 - 3 * number)
        store.put(stars, "initial_stars_detector", visit=VISIT, detector=number)
    return store


def without_wcs(exposure: Exposure) -> Exposure:
    kept = {name: item for name, item in exposure.components.items() if name != "wcs"}
    return Exposure(
        exposure.image,
        exposure.mask,
        exposure.variance,
        unit=exposure.unit,
        components=kept,
        missing={"wcs": "no match"},
        provenance=exposure.provenance,
    )


def paths(store: Store, name: str) -> list[Path]:
    return [store.path(name, visit=VISIT, detector=d) for d in (0, 1)]


def read(store: Store) -> Any:
    return read_detectors(
        paths(store, "initial_pvi"), paths(store, "initial_stars_detector"), VISIT
    )


def test_what_there_is_and_why_the_rest_is_not(store: Store) -> None:
    found = read(store)
    assert list(found) == [0, 1]
    exposure = store.get("initial_pvi", visit=VISIT, detector=0)
    for name in ("wcs", "psf", "photo_calib", "detector", "summary_stats"):
        assert found[0].components[name] == exposure.components[name]
    assert set(found[0].missing) == {"ap_corr", "valid_polygon"}
    assert "only 3 stars" in found[0].missing["ap_corr"]
    assert found[1].missing["wcs"] == "no match"
    assert "wcs" not in found[1].components
    assert found[1].components["summary_stats"]["psfSigma"] == 2.5
    assert len(found[0].stars["x"]) == 3
    assert (found[0].stars["detector"] == 0).all()
    assert len(found[1].stars["x"]) == 0


def test_a_component_that_cannot_be_read_is_missing(store: Store) -> None:
    """The rest of the visit goes on."""
    path = paths(store, "initial_pvi")[1]
    with fits.open(path) as hdus:
        start = hdus["PSF"].fileinfo()["datLoc"]
    content = bytearray(path.read_bytes())
    content[start : start + 20] = b"x" * 20
    path.write_bytes(content)
    found = read(store)
    assert "psf" not in found[1].components
    assert found[1].missing["psf"]
    assert "photo_calib" in found[1].components
    assert "psf" in found[0].components


def test_stars_that_cannot_be_read_are_none(store: Store) -> None:
    paths(store, "initial_stars_detector")[0].write_bytes(b"no Parquet")
    found = read(store)
    assert found[0].stars == {}
    assert "wcs" in found[0].components


def test_an_exposure_that_cannot_be_read_is_known_by_its_stars(store: Store) -> None:
    paths(store, "initial_pvi")[1].write_bytes(b"no FITS")
    found = read(store)
    assert found[1].components == {}
    assert len(found[1].missing) == 7
    paths(store, "initial_stars_detector")[1].write_bytes(b"no Parquet")
    with pytest.raises(InputError, match="says of which detector it is"):
        read(store)


def pointing(ra_deg: float, dec_deg: float) -> dict[int, SkyWcs]:
    """WCSs of the outer detectors of the four in a row."""
    found = {}
    for number in (0, 3):
        detector = CAMERA.detector(number)
        scale = detector.pixel_size_mm * CAMERA.optics.plate_scale_arcsec_per_mm / 3600
        nx, ny = detector.size_pix
        center = np.array([(nx - 1) / 2, (ny - 1) / 2])
        shift = np.array(detector.center_mm) * CAMERA.optics.plate_scale_arcsec_per_mm / 3600
        to_field = AffineMap(scale * np.eye(2), shift - scale * center)
        projection = TanProjection(ra_deg, dec_deg, 0.0, "east")
        found[number] = SkyWcs((("field", to_field),), projection, (nx, ny))
    return found


@pytest.mark.parametrize(("ra_deg", "dec_deg"), [(150.0, 2.0), (0.001, -30.0), (77.0, 89.999)])
def test_the_circle_holds_the_camera(ra_deg: float, dec_deg: float) -> None:
    wcss = pointing(ra_deg, dec_deg)
    center_ra, center_dec, radius_deg = search_circle(CAMERA, wcss, 0.01)
    for number, wcs in wcss.items():
        nx, ny = CAMERA.detector(number).size_pix
        ra, dec = wcs.pixel_to_world_values([0, nx, 0, nx], [0, 0, ny, ny])
        assert (distance_deg(center_ra, center_dec, ra, dec) < radius_deg - 0.01).all()
    assert radius_deg < 0.05


def distance_deg(ra0: float, dec0: float, ra: Any, dec: Any) -> Any:
    (a0, d0), a, d = np.radians([ra0, dec0]), np.radians(ra), np.radians(dec)
    half = np.sin((d - d0) / 2) ** 2 + np.cos(d) * np.cos(d0) * np.sin((a - a0) / 2) ** 2
    return np.degrees(2 * np.arcsin(np.sqrt(half)))


class Section(StrictModel):
    """A config section."""


def options(store: Store) -> dict[str, Any]:
    names = ("initial_visit_summary", "initial_stars")
    return {
        **{name: store.table.path(store.roots[0], name, visit=VISIT) for name in names},
        "initial_pvi": paths(store, "initial_pvi"),
        "initial_stars_detector": paths(store, "initial_stars_detector"),
        "config": Section(),
        "code": "abc",
    }


def test_nothing_gives_tables_without_rows(store: Store) -> None:
    schema = store.table.dataset("initial_visit_summary").table_schema
    empty = {}
    if schema:
        inner = load_schema(schema).without({"visit", "detector"})
        empty = {c.name: np.zeros(0, np.dtype(c.type)) for c in inner.columns}
    write_outputs(ComponentTable({}, empty), {}, VISIT, options(store))
    assert len(store.get("initial_stars", visit=VISIT)) == 0
    assert len(store.get("initial_visit_summary", visit=VISIT)) == 0


def test_what_is_written_finds_its_components(store: Store) -> None:
    found = read(store)
    schema = store.table.dataset("initial_visit_summary").table_schema
    plain = {}
    if schema:
        inner = load_schema(schema).without({"visit", "detector"})
        plain = {c.name: np.full(2, "" if c.type == "str" else 1, c.type) for c in inner.columns}
    rows = {d: ComponentRow(p.components, p.missing) for d, p in found.items()}
    given = found[0].stars
    nothing = np.full(len(given["x"]), np.nan, np.float32)
    offsets = {"reference_offset_ra": nothing, "reference_offset_dec": nothing}
    write_outputs(ComponentTable(rows, plain), given | offsets, VISIT, options(store))
    stars = store.get("initial_stars", visit=VISIT)
    assert len(stars) == 3
    assert (stars["visit"] == VISIT).all()
    wcs = store.get("initial_visit_summary.wcs", visit=VISIT, detector=0)
    assert wcs == found[0].components["wcs"]
    assert store.get("initial_stars.psf", visit=VISIT, detector=1) == found[1].components["psf"]
    provenance = stars.meta["provenance"]
    assert provenance["task"] == "consolidateVisit"
    assert len(provenance["inputs"]) == 4
    assert Provenance.from_json(json.dumps(provenance)).code == "abc"
