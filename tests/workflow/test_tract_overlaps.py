"""Visits by tract and patch: none missed, few for nothing."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from drpflow.config.base import validate
from drpflow.config.run import RunConfig
from drpflow.config.sky_map import SkyMapConfig
from drpflow.data.camera import Camera
from drpflow.data.sky_map import SkyMap, build_sky_map
from drpflow.data.sky_wcs import SkyWcs
from drpflow.errors import InputError
from drpflow.io.datasets import DatasetTable
from drpflow.io.sheets import ExposureRow, VisitRow
from drpflow.workflow.plan import Plan
from drpflow.workflow.presence import Presence
from drpflow.workflow.survey import Frame, Survey
from drpflow.workflow.tract_overlaps import TractOverlaps, suggested_field, touching
from tests.workflow.small_survey import camera_values
from tests.workflow.test_overlaps import PLACES, wide_camera

RINGS = {
    "pixel_scale_arcsec": 2.0,
    "patch_inner_pix": 500,
    "patch_border_pix": 20,
    "warp_margin_pix": 15,
}
FIELD = {"ra_deg": 10.0, "dec_deg": -30.0, "width_deg": 0.2, "height_deg": 0.1}


def sky_map(**section: object) -> SkyMap:
    return build_sky_map(validate(SkyMapConfig, section, "my.yaml"))


def survey(
    camera: Camera, *places: tuple[float, float], rotation_deg: float | None = 0.0, bands: str = "g"
) -> Survey:
    """A visit at each place, bands by turns."""
    rows = [
        VisitRow(v, "n", f"{b}1", b, 30.0, 61000.0, *place, rotation_deg)
        for v, (place, b) in enumerate(zip(places, bands * len(places), strict=False), 1)
    ]
    frames = [Frame(ExposureRow(r.visit, d.id, "x"), {}) for r in rows for d in camera.detectors]
    return Survey(rows, frames, camera, Presence(lambda row: False))


def touched_patches(
    camera: Camera, row: VisitRow, whole: SkyMap, turn: float
) -> set[tuple[str, str, str, int]]:
    """Find (tract, patch, visit, detector) from pixels all over the detectors.

    A detector that touches the warp of a patch is one, if any touches its image.
    """
    found, images = set(), set()
    for detector in camera.detectors:
        wcs = SkyWcs.from_camera(camera, detector, row.ra_deg, row.dec_deg, turn)
        nx, ny = detector.size_pix
        x, y = np.meshgrid(np.linspace(-0.5, nx - 0.5, 40), np.linspace(-0.5, ny - 0.5, 40))
        ra, dec = (v.ravel() for v in wcs.pixel_to_world_values(x, y))
        for number in np.unique(whole.tracts_near(ra, dec, 0.0)[:, 1]).tolist():
            tract = whole.tract(number)
            place = tract.wcs.world_to_pixel_values(ra, dec)
            for patch in tract.patches:
                if patch.warp.contains(*place).any():
                    found.add((str(number), str(patch.id), str(row.visit), detector.id))
                if patch.outer.contains(*place).any():
                    images.add((str(number), str(patch.id)))
    return {one for one in found if one[:2] in images}


def named(overlaps: TractOverlaps, visit: int) -> set[tuple[str, str, str, int]]:
    return {
        (t, p, v, d)
        for (t, p, v), detectors in overlaps.detectors.items()
        for d in detectors
        if v == str(visit)
    }


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("layout", ["rings", "healpix"])
def test_every_patch_that_a_detector_touches(layout: str, place: tuple[float, float]) -> None:
    """Several tracts and patches, overlaps and poles among them; little for nothing."""
    camera, whole = wide_camera(), sky_map(layout=layout, **RINGS)
    visits = survey(camera, place, rotation_deg=33.0)
    found = named(TractOverlaps(visits, whole, 0.0), 1)
    wanted = touched_patches(camera, visits.visits["1"], whole, 33.0)
    assert len({patch for _, patch, *_ in wanted}) > 4
    assert wanted <= found
    assert len(found) < 1.15 * len(wanted) + 3


def test_unknown_rotation() -> None:
    """All detectors count for every patch that one of them may touch."""
    camera, whole = wide_camera(), sky_map(**RINGS)
    visits = survey(camera, PLACES[2], rotation_deg=None)
    found = named(TractOverlaps(visits, whole, 0.0), 1)
    for turn in (0.0, 45.0, 200.0):
        assert touched_patches(camera, visits.visits["1"], whole, turn) <= found


def test_margin() -> None:
    camera, whole = wide_camera(), sky_map(**RINGS)
    visits = survey(camera, PLACES[0])
    found = named(TractOverlaps(visits, whole, 0.2), 1)
    for dra, ddec in ((0.19, 0.0), (-0.13, 0.13), (0.0, -0.19)):
        row = visits.visits["1"]._replace(ra_deg=dra, dec_deg=ddec)
        assert touched_patches(camera, row, whole, 0.0) <= found


def test_patches_whose_image_no_visit_of_the_band_touches() -> None:
    """A detector beside an image is on its warp: a job if another visit of its band is on both."""
    camera = Camera.model_validate(camera_values(1))
    section = {"pixel_scale_arcsec": 0.3, "patch_inner_pix": 400, "patch_border_pix": 10}
    whole = sky_map(layout="field", field=FIELD, warp_margin_pix=90, **section)
    patch = whole.tract(0).patch(8)
    wcs, y = whole.tract(0).wcs, (patch.inner.y0 + patch.inner.y1) / 2
    beside = tuple(map(float, wcs.pixel_to_world_values(patch.outer.x1 + 40.0, y)))
    inside = tuple(map(float, wcs.pixel_to_world_values(patch.outer.x1 - 200.0, y)))
    alone = TractOverlaps(survey(camera, beside), whole, 0.0)
    assert {patch for _, patch, _ in alone.detectors} == {"9"}
    both = TractOverlaps(survey(camera, beside, inside), whole, 0.0)
    assert both.visits_of_patch["0", "8", "g"] == ["1", "2"]
    other = TractOverlaps(survey(camera, beside, inside, bands="gr"), whole, 0.0)
    assert ("0", "8", "g") not in other.visits_of_patch
    assert other.visits_of_patch["0", "8", "r"] == ["2"]


def test_a_small_field_has_a_small_margin() -> None:
    """Half its shorter side, where skypix says more; what is given counts."""
    small = survey(Camera.model_validate(camera_values(1)), (10.0, -30.0))
    assert plan(small).margin_deg == pytest.approx(48 * 0.3 / 2 / 3600, rel=1e-3)
    assert plan(small, margin_deg=0.3).margin_deg == 0.3
    assert plan(small, margin_deg=0.3).sky_map == plan(small).sky_map
    wide = survey(wide_camera(), (10.0, -30.0))
    assert plan(wide).margin_deg == plan(wide).run.skypix.margin_deg
    # A boresight in a header may be the corner of a detector.
    headers = camera_values(1) | {"wcs_from": "header"}
    stated = plan(survey(Camera.model_validate(headers), (10.0, -30.0)))
    diagonal_deg = np.hypot(64, 48) * 0.3 / 3600
    assert stated.pointing_margin_deg - stated.margin_deg == pytest.approx(diagonal_deg, rel=1e-3)


def test_a_new_camera_has_few_empty_jobs() -> None:
    """One detector of 512 pixels where two tracts overlap: 5 jobs; 60 with margins of 0.1 deg."""
    values = camera_values(1)
    values["detectors"][0] |= {"size_pix": [512, 512]}
    box = [0, 512, 0, 512]
    amplifier = values["detectors"][0]["amplifiers"][0] | {"raw_serial_overscan": None}
    amplifier |= {"data_section": box, "raw_data_section": box}
    values["detectors"][0]["amplifiers"] = [amplifier]
    visits = survey(Camera.model_validate(values), (273.871, -25.285))
    assert len(plan(visits).tracts.detectors) <= 6
    assert len(plan(visits, margin_deg=0.1, patch_inner_pix=512).tracts.detectors) > 40


def test_what_the_rules_look_up() -> None:
    """Two visits side by side in two bands: one patch has both, others have one or none."""
    camera = Camera.model_validate(camera_values())
    whole = sky_map(layout="field", field=FIELD, pixel_scale_arcsec=0.3, patch_inner_pix=400,
                    patch_border_pix=10, warp_margin_pix=5)  # fmt: skip
    visits = survey(camera, (10.0, -30.0), (10.02, -30.0), (10.0, -30.0), bands="gr")
    found = TractOverlaps(visits, whole, 0.0)
    assert len(whole.tract(0)) == 18
    patches = {patch for _, patch, _ in found.detectors}
    assert 1 < len(patches) < 18
    both = [p for (_, p, b), v in found.visits_of_patch.items() if (b, v) == ("g", ["1", "3"])]
    alone = [p for (_, p, b), v in found.visits_of_patch.items() if b == "r"]
    patch = SimpleNamespace(tract="0", patch=both[0], band="g")
    assert found.of_patch("w/{tract}_{patch}_{visit}")(patch) == [
        f"w/0_{both[0]}_1",
        f"w/0_{both[0]}_3",
    ]
    assert found.patch_visits(patch) == "1,3"
    pattern = "w/{tract}_{patch}_{band}_{visit}"
    assert found.opened(pattern)(patch) == f"w/0_{both[0]}_g_{{visit}}"
    tract = SimpleNamespace(tract="0", band="g")
    assert found.of_tract("s/{visit}")(tract) == ["s/1", "s/3"]
    assert found.tract_visits(tract) == "1,3"
    warp = SimpleNamespace(tract="0", patch=alone[0], visit="2")
    assert found.of_warp("p/{tract}/{band}")(warp) == ["p/0/r"]
    detectors = found.detectors["0", alone[0], "2"]
    assert found.of_warp("i/{visit}_{detector}")(warp) == [f"i/2_{d}" for d in detectors]
    assert found.warp_detectors(warp) in {"0", "1", "0-1"}
    assert found.expand("c/{tract}/{band}") == ["c/0/g", "c/0/r"]
    assert len(found.expand("c/{tract}_{patch}_{band}")) == len(found.visits_of_patch)
    assert len(found.expand("c/{tract}_{patch}_{visit}")) == len(found.detectors)
    job = found.memory_mb(100.0, 10.0)
    assert job(warp, 2) == 2 * job(warp, 1)


def test_chosen_tracts() -> None:
    camera, whole = wide_camera(), sky_map(**RINGS)
    visits = survey(camera, PLACES[0])
    every = TractOverlaps(visits, whole, 0.0)
    chosen = int(next(iter(every.visits_of_tract))[0])
    some = TractOverlaps(visits, whole, 0.0, [chosen])
    assert {tract for tract, _ in some.visits_of_tract} == {str(chosen)}
    with pytest.raises(InputError, match=r"no visit touches the tracts 7. Correct field or tracts"):
        TractOverlaps(visits, whole, 0.0, [7])
    with pytest.raises(InputError, match="tract 99999: the sky map has 18938 tracts"):
        TractOverlaps(visits, whole, 0.0, [99999])


def test_touching() -> None:
    """Quadrangles beside, in, about and diagonal to a box."""
    box = np.array([[0.0], [10.0], [0.0], [10.0]])
    square = np.array([[-1.0, 1.0, 1.0, -1.0], [-1.0, -1.0, 1.0, 1.0]])
    diamond = np.array([[-5.0, 0.0, 5.0, 0.0], [0.0, -5.0, 0.0, 5.0]])
    shapes = [
        (square.T + np.array([5, 5]), True),
        (square.T * 100, True),
        (square.T + np.array([11.5, 5]), False),
        (diamond.T + 12.4, True),
        (diamond.T + 12.6, False),
        (diamond.T * np.nan, False),
    ]
    x, y = np.array([shape for shape, _ in shapes]).transpose(2, 0, 1)
    wanted = [(k, 0) for k, (_, inside) in enumerate(shapes) if inside]
    assert touching(x, y, box, 0.0) == wanted
    assert len(touching(x, y, box, 2.0)) == 5


def plan(visits: Survey, **section: object) -> Plan:
    values = {"camera": "c.yaml", "sheets": "sheets", "skyMap": section}
    return Plan(RunConfig.model_validate(values), DatasetTable.load(), visits, {})


def test_field_without_a_centre() -> None:
    """The sentence names the mean boresight, and what it suggests holds every visit."""
    camera = wide_camera()
    visits = survey(camera, (359.9, 20.0), (0.3, 20.2), bands="gr")
    with pytest.raises(InputError) as error:
        _ = plan(visits, layout="field").tracts
    assert "the layout field has no centre. Add field: {ra_deg: 0.0999, dec" in str(error.value)
    field = suggested_field(visits)
    assert (field["ra_deg"], field["dec_deg"]) == pytest.approx((0.1, 20.1), abs=1e-3)
    whole = sky_map(layout="field", field=field, pixel_scale_arcsec=5.0, patch_inner_pix=9000)
    tract = whole.tract(0)
    for row in visits.visits.values():
        for d in camera.detectors:
            wcs = SkyWcs.from_camera(camera, d, row.ra_deg, row.dec_deg, 0.0)
            assert tract.box.contains(*tract.wcs.world_to_pixel_values(*wcs.sky_corners().T)).all()


def test_scale_of_the_camera_unless_it_is_given() -> None:
    visits = survey(Camera.model_validate(camera_values()), (10.0, -30.0))
    assert '"pixel_scale_arcsec": 0.3' in plan(visits).sky_map
    assert '"pixel_scale_arcsec": 0.5' in plan(visits, pixel_scale_arcsec=0.5).sky_map
    assert plan(visits, tracts=[6000]).sky_map == plan(visits).sky_map


def test_patches_are_as_large_as_detectors_unless_they_are_given() -> None:
    values = camera_values()
    sizes = {}
    for side in (64, 1024, 8192):
        values["detectors"][0]["size_pix"] = [side, 48]
        box = [0, side, 0, 48]
        amplifier = values["detectors"][1]["amplifiers"][0] | {"raw_serial_overscan": None}
        amplifier |= {"data_section": box, "raw_data_section": box}
        values["detectors"][0]["amplifiers"] = [amplifier]
        visits = survey(Camera.model_validate(values), (10.0, -30.0))
        sizes[side] = json.loads(plan(visits).sky_map)["patch_inner_pix"]
    assert sizes == {64: 1000, 1024: 1024, 8192: 4000}
    assert json.loads(plan(visits, patch_inner_pix=700).sky_map)["patch_inner_pix"] == 700


def test_field_that_no_visit_touches() -> None:
    visits = survey(Camera.model_validate(camera_values()), (10.0, -30.0))
    with pytest.raises(InputError, match=r"no visit touches the tracts. Correct field or tracts"):
        _ = plan(visits, layout="field", field=FIELD | {"dec_deg": 30.0}).tracts
