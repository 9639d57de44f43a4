"""The sky map: every place in one tract and patch, overlaps as stated, grids as stated."""

from __future__ import annotations

import json

import healpy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drpflow.config.base import validate
from drpflow.config.sky_map import SkyMapConfig
from drpflow.data.geometry import Box
from drpflow.data.sky_layouts import Rings
from drpflow.data.sky_map import SkyMap, build_sky_map, sky_map_from_json
from drpflow.data.tan_projection import separation_deg
from drpflow.errors import InputError

FIELD = {"ra_deg": 150.1, "dec_deg": -12.3, "width_deg": 0.14, "height_deg": 0.10}
SMALL = {"patch_inner_pix": 1500, "patch_border_pix": 60, "pixel_scale_arcsec": 1.0}
SECTIONS = {
    "rings": {**SMALL},
    "odd rings": {**SMALL, "rings": 25, "first_ra_deg": 200.0},
    "healpix": {**SMALL, "layout": "healpix", "order": 4},
    "field": {**SMALL, "layout": "field", "field": FIELD, "patch_inner_pix": 200},
}


def sky_map(**section: object) -> SkyMap:
    return build_sky_map(validate(SkyMapConfig, section, "my.yaml"))


@pytest.fixture(params=SECTIONS)
def whole(request: pytest.FixtureRequest) -> SkyMap:
    return sky_map(**SECTIONS[request.param])


@pytest.fixture(params=[name for name in SECTIONS if name != "field"])
def full(request: pytest.FixtureRequest) -> SkyMap:
    """Return a map of the whole sky."""
    return sky_map(**SECTIONS[request.param])


def places(n: int, seed: int = 1) -> np.ndarray:
    """Places all over the sky, among them the poles and the meridian."""
    rng = np.random.default_rng(seed)
    ra, dec = rng.uniform(0, 360, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))
    special = [(0.0, 0.1), (360.0 - 1e-9, 10.0), (77.0, 90.0), (0.0, -90.0), (180.0, 89.99)]
    return np.concatenate([np.stack([ra, dec], axis=1), special]).T


def test_rings_are_those_of_lsst() -> None:
    """18,938 tracts of 1.488 degrees, the numbers going from south to north and to the east."""
    layout = Rings(120)
    assert layout.size == 18938
    assert layout.height_deg == pytest.approx(180 / 121)
    ra, dec = layout.centers_deg()
    assert (np.diff(dec) >= 0).all()
    assert (ra[1], dec[0], dec[-1]) == (0.0, -90.0, 90.0)
    same = np.diff(dec) == 0
    assert (np.diff(ra)[same] > 0).all()


@pytest.mark.parametrize("order", [3, 6])
def test_healpix_owners_are_those_of_healpy(order: int) -> None:
    ra, dec = places(2000)
    owner = sky_map(layout="healpix", order=order, pixel_scale_arcsec=5.0).layout.owner(ra, dec)
    wanted = healpy.ang2pix(1 << order, ra, dec, nest=True, lonlat=True)
    np.testing.assert_array_equal(owner, wanted)


def test_every_place_is_in_its_tract_and_patch(full: SkyMap) -> None:
    ra, dec = places(300)
    tract, patch = full.owner(ra, dec)
    assert (tract >= 0).all()
    for k in range(ra.size):
        one = full.tract(int(tract[k]))
        x, y = one.wcs.world_to_pixel_values(ra[k], dec[k])
        mine = one.patch(int(patch[k]))
        assert mine.inner.contains(x, y)
        assert mine.outer.covers(mine.inner)


def test_tracts_overlap_by_what_was_asked_for(full: SkyMap) -> None:
    """Whatever lies nearer than that to a tract's own places has pixels in it."""
    overlap = 0.999 / 60
    ra, dec = places(20_000, seed=2)
    angle = np.random.default_rng(3).uniform(0, 2 * np.pi, ra.size)
    away = np.clip(dec + overlap * np.sin(angle), -90, 90)
    across = ra + overlap * np.cos(angle) / np.maximum(np.cos(np.radians(away)), 1e-3)
    tract = full.layout.owner(ra, dec)
    beyond = separation_deg(ra, dec, across, away) <= 1 / 60
    beyond &= full.layout.owner(across, away) != tract
    assert beyond.sum() > 40
    for k in np.flatnonzero(beyond)[:300]:
        one = full.tract(int(tract[k]))
        assert one.box.contains(*one.wcs.world_to_pixel_values(across[k], away[k]))


def test_tracts_are_not_larger_than_needed(full: SkyMap) -> None:
    """A tract's own places come within a patch of a pixel of each of its four sides."""
    number = int(full.layout.owner(40.0, 30.0))
    one = full.tract(number)
    box = one.box
    x, y = np.meshgrid(*(np.linspace(-0.5, n - 0.5, 400) for n in (box.width, box.height)))
    mine = full.layout.owner(*one.wcs.pixel_to_world_values(x, y)) == number
    limit = 1.3 * 60 + max(one.n_patches) + box.width / 400
    for place, size in ((x, box.width), (y, box.height)):
        assert place[mine].min() < limit + 0.03 * size
        assert place[mine].max() > size - limit - 0.03 * size


def test_inner_boxes_divide_the_tract(whole: SkyMap) -> None:
    tract = whole.tract(len(whole) // 3)
    seen = np.zeros(tract.box.shape, np.int8)
    for patch in tract.patches:
        seen[patch.inner.slices()] += 1
        assert patch.outer == patch.inner.grow(60).intersect(tract.box)
        assert patch.warp == patch.outer.grow(SkyMapConfig().warp_margin_pix)
        assert max(patch.inner.shape) <= (200 if len(whole) == 1 else 1500)
        x, y = patch.inner.center
        assert tract.patch_of(x, y) == patch.id
        assert tract.patch_of(patch.inner.x0 - 0.5, patch.inner.y0 - 0.5) == patch.id
    assert (seen == 1).all()
    assert tract.patch_of(-0.6, 0.0) == tract.patch_of(0.0, tract.box.height - 0.4) == -1


def test_grid_of_a_tract(whole: SkyMap) -> None:
    """Centre, scale, handedness; the WCS survives its record."""
    tract = whole.tract(len(whole) // 2)
    x, y = tract.box.center
    ra, dec = tract.wcs.pixel_to_world_values(x, y)
    centers = np.transpose(whole.layout.centers_deg())[tract.id]
    assert separation_deg(ra, dec, *centers) < 1e-10
    assert tract.pixel_scale_arcsec == pytest.approx(1.0, abs=1e-9)
    np.testing.assert_allclose(tract.wcs.linearize(x, y), [[-1, 0], [0, 1]], atol=1e-9)
    assert type(tract.wcs).from_record(tract.wcs.to_record()) == tract.wcs


def test_rotated_field() -> None:
    tract = sky_map(**SECTIONS["field"] | {"field": FIELD | {"rotation_deg": 90.0}}).tract(0)
    east, north = tract.wcs.linearize(*tract.box.center) @ [0.0, 1.0]
    assert (east, north) == pytest.approx((1.0, 0.0), abs=1e-9)


def test_field_has_the_stated_size_and_owns_nothing_else() -> None:
    whole = sky_map(**SECTIONS["field"])
    tract = whole.tract(0)
    assert tract.n_patches == (3, 2)
    assert (tract.box.width, tract.box.height) == (504, 360)
    inside, outside = whole.owner([150.1, 150.1], [-12.3, -12.4])
    assert inside.tolist() == [0, -1]
    assert outside[1] == -1


@given(
    x0=st.integers(-700, 9000), y0=st.integers(-700, 9000),
    width=st.integers(1, 5000), height=st.integers(1, 5000),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_patches_in_a_box(x0: int, y0: int, width: int, height: int) -> None:
    tract = sky_map(**SECTIONS["rings"]).tract(9000)
    box = Box(x0, x0 + width, y0, y0 + height)
    wanted = [p.id for p in tract.patches if not p.outer.intersect(box).is_empty]
    assert tract.patches_in(box) == wanted


def test_tracts_near_circles(whole: SkyMap) -> None:
    """None that touches is missed; most of those named do touch."""
    ra, dec = places(40, seed=5) if len(whole) > 1 else np.array([[150.1, 150.3], [-12.3, -12.3]])
    radius = np.linspace(0.1, 2.0, ra.size)
    pairs = {(c, t) for c, t in whole.tracts_near(ra, dec, radius).tolist()}
    rng = np.random.default_rng(6)
    for k in range(ra.size):
        angle, r = rng.uniform(0, 2 * np.pi, 200), radius[k] * np.sqrt(rng.uniform(0, 1, 200))
        other = np.clip(dec[k] + r * np.sin(angle), -90, 90)
        across = ra[k] + r * np.cos(angle) / np.maximum(np.cos(np.radians(other)), 1e-6)
        close = separation_deg(ra[k], dec[k], across, other) <= radius[k]
        touched = set(whole.layout.owner(across[close], other[close]).tolist()) - {-1}
        assert {(k, t) for t in touched} <= pairs
    assert len(pairs) < 40 * ra.size


def test_json() -> None:
    section = json.dumps(SECTIONS["field"])
    assert sky_map_from_json(section).tract(0).box == sky_map(**SECTIONS["field"]).tract(0).box


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ({"layout": "ring"}, "'layout' has the value 'ring'. It is not valid: .*'rings', 'healp"),
        ({"patch_inner_pix": 50}, "'patch_inner_pix' has the value 50. .* equal to 100"),
        (
            {"patch_inner_pix": 150},
            "'patch_inner_pix' has the value 150. .* twice as large as its border of 100 pixels",
        ),
        ({"field": FIELD | {"width_deg": 0}}, "'field.width_deg' has the value 0"),
        ({"patch_inner": 50}, "unknown key 'patch_inner'; did you mean 'patch_inner_pix'"),
        ({"layout": "field", "pixel_scale_arcsec": 1}, "has no centre. Add field: {ra_deg"),
        ({}, "the pixel scale is not known. Give pixel_scale_arcsec"),
    ],
)
def test_faults(section: dict, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        sky_map(**section)


def test_tracts_and_patches_that_are_not_there() -> None:
    whole = sky_map(**SECTIONS["field"])
    with pytest.raises(InputError, match=r"tract 1: the sky map has 1 tracts. Name one of 0 to 0"):
        whole.tract(1)
    with pytest.raises(InputError, match=r"patch 6: tract 0 has 6 patches. Name one of 0 to 5"):
        whole.tract(0).patch(6)
