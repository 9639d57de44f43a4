"""What the report shows of coadds, from products whose numbers are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drpflow.config.plan_coaddition import PlanCoadditionConfig
from drpflow.config.sky_map import SkyMapConfig
from drpflow.data.exposure import Exposure
from drpflow.data.mask import Mask
from drpflow.data.psf import GaussianPsf
from drpflow.data.sky_map import Patch, build_sky_map
from drpflow.data.warp_masks import ON_PATCH, WarpMask
from drpflow.io.coadd_plan_files import write_plan
from drpflow.io.store import Store
from drpflow.qa.coadd_data import BandCoadd, read_tracts
from drpflow.qa.coadd_figures import color_composite
from drpflow.qa.coadd_section import coadd_section
from drpflow.tasks.plan_coaddition import plan_coaddition
from tests.algorithms.summary_rows import summary_rows

SCALE, SIGMA_PIX, NOISE_NJY, COUNT = 0.4, 2.0, 3.0, 5
LEVEL = {"g": 10.0, "i": 20.0}
FIELD = {"ra_deg": 30.0, "dec_deg": -20.0, "width_deg": 0.04, "height_deg": 0.02}
SKY_MAP = build_sky_map(
    SkyMapConfig.model_validate(
        {"layout": "field", "field": FIELD, "pixel_scale_arcsec": SCALE, "patch_inner_pix": 180,
         "patch_border_pix": 10}
    )
)  # fmt: skip


def put_image(
    store: Store, name: str, unit: Any, image: Any, variance: Any, patch: Patch,
    place: dict[str, Any], components: dict[str, Any],
) -> None:  # fmt: skip
    planes = image.astype(np.float32), Mask.zeros(image.shape), variance.astype(np.float32)
    made = Exposure(*planes, unit=unit, xy0=patch.outer.xy0, components=components)
    store.put(made, name, **place)


def write_coadds(root: Path) -> Store:
    """Two patches in two bands; patch 1 in i is empty; a trail in visit 2 on patch 0 in g."""
    store, tract = Store(root), SKY_MAP.tract(0)
    config = PlanCoadditionConfig()
    for band in LEVEL:
        rows = summary_rows(8, detectors=2)
        lacking = ["without wcs: no stars", *[""] * 7]
        plan = plan_coaddition(rows, lacking, SCALE, config).plan
        options = {"coadd_plan": store.path("coadd_plan", tract=0, band=band), "tract": 0,
                   "band": band, "config": config, "final_visit_summary": "{visit}"}  # fmt: skip
        write_plan(plan, [1, 2, 3, 4], options)
        for patch in tract.patches:
            empty = band == "i" and patch.id == 1
            shape = patch.outer.shape
            rng = np.random.default_rng([patch.id, ord(band)])
            image = LEVEL[band] + rng.normal(0, NOISE_NJY, shape)
            variance = np.full(shape, np.nan if empty else NOISE_NJY**2)
            parts = {"wcs": tract.wcs} | ({} if empty else {"psf": GaussianPsf(SIGMA_PIX)})
            place = {"tract": 0, "patch": patch.id, "band": band}
            if empty:
                image[:] = np.nan
            put_image(store, "coadd", "nJy", image, variance, patch, place, parts)
            counts = np.full(shape, 0 if empty else COUNT, np.float32)
            wcs = {"wcs": tract.wcs}
            put_image(store, "coadd_n_image", "1", counts, 0 * counts, patch, place, wcs)
    trail = WarpMask(("streak",), np.array([50.0]), [ON_PATCH] * 3, [0] * 3, [50, 51, 52],
                     [20] * 3, [120] * 3)  # fmt: skip
    store.put(dict(trail.columns()), "warp_mask", tract=0, patch=0, band="g", visit=2)
    return store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return write_coadds(tmp_path_factory.mktemp("coadds"))


@pytest.fixture(scope="module")
def bands(store: Store) -> dict[str, BandCoadd]:
    (tract,) = read_tracts(store)
    assert tract.pixel_scale_arcsec == pytest.approx(SCALE)
    assert tract.block_pix == 1
    return {band.band: band for band in tract.bands}


def test_patches_are_put_together(bands: dict[str, BandCoadd]) -> None:
    box = SKY_MAP.tract(0).box
    assert SKY_MAP.tract(0).n_patches == (2, 1)
    assert bands["g"].image.shape == box.shape
    assert np.isfinite(bands["g"].image).all()
    assert np.nanmedian(bands["g"].image) == pytest.approx(LEVEL["g"], abs=0.1)
    assert (bands["g"].counts == COUNT).all()
    half = np.isfinite(bands["i"].image)
    assert half[:, : box.width // 2].all()
    assert not half[:, box.width // 2 + 10 :].any()


def test_bands_on_other_patches(tmp_path: Path) -> None:
    store = write_coadds(tmp_path)
    for name in ("coadd", "coadd_n_image"):
        store.path(name, tract=0, patch=0, band="g").unlink()
    (tract,) = read_tracts(store)
    assert [band.band for band in tract.bands] == ["g", "i"]


def test_depth_and_seeing(bands: dict[str, BandCoadd]) -> None:
    """Five times the noise of a matched filter, 4 π σ² pixels wide."""
    flux = 5 * NOISE_NJY * np.sqrt(4 * np.pi) * SIGMA_PIX
    assert np.nanmedian(bands["g"].depth_mag) == pytest.approx(
        31.4 - 2.5 * np.log10(flux), abs=0.02
    )
    assert np.nanmedian(bands["g"].fwhm_arcsec) == pytest.approx(2.3548 * 2 * SCALE, rel=0.01)


def test_artifacts_stand_where_they_are(bands: dict[str, BandCoadd]) -> None:
    shown = bands["g"].artifacts[2]
    rows, columns = np.nonzero(shown >= 0)
    assert set(rows.tolist()) == {50, 51, 52}
    assert (columns.min(), columns.max()) == (20, 119)
    assert bands["g"].areas[2]["streak"] == 300
    assert bands["i"].artifacts == {}


def test_section(store: Store) -> None:
    section = coadd_section(store)
    assert section is not None
    titles = [block.title for block in section.blocks]
    assert titles[:4] == ["What went in", "What was left out, and why", "Tract 0", "Tract 0, g"]
    tiles = {tile.label: tile.value for tile in section.tiles}
    assert tiles["detectors coadded"] == "14 / 16"
    (left_out,) = [b.table for b in section.blocks if b.title.startswith("What was left")]
    assert left_out is not None
    assert left_out.rows[0] == ["0", "g", "1", "0", "the coadd", "without wcs: no stars"]
    (masked,) = [b.table for b in section.blocks if b.title == "What was masked"]
    assert masked is not None
    assert masked.rows[0][:4] == ["0", "g", "2", "300"]
    assert all(p.image.startswith("data:image/webp") for b in section.blocks for p in b.figures)


def test_no_section_without_a_plan(tmp_path: Path) -> None:
    assert coadd_section(Store(tmp_path)) is None


def test_a_plan_alone_has_a_section(tmp_path: Path) -> None:
    config = PlanCoadditionConfig()
    plan = plan_coaddition(summary_rows(4), ["no psf"] * 4, SCALE, config).plan
    store = Store(tmp_path)
    options = {"coadd_plan": store.path("coadd_plan", tract=3, band="r"), "tract": 3, "band": "r",
               "config": config, "final_visit_summary": "{visit}"}  # fmt: skip
    write_plan(plan, [1, 2, 3, 4], options)
    section = coadd_section(store)
    assert section is not None
    assert section.tiles[0].value == "0 / 4"


def test_colors() -> None:
    """Equal AB magnitudes are white, a red source is red however bright, the sky is dark."""
    rng = np.random.default_rng(1)
    planes = [rng.normal(7, 0.5, (60, 60)).astype(np.float32) for _ in range(3)]
    for k, plane in enumerate(planes):
        plane[10, 10] += 300
        plane[30, 30] += (5, 50, 5000)[k]
        plane[40:, 40:] = np.nan
    shown = color_composite(planes)
    assert shown[10, 10].min() > 0.97 * shown[10, 10].max() > 100
    assert shown[30, 30, 0] == 255
    assert shown[30, 30, 1] < 30
    assert np.median(shown[:30, :30]) < 40
    assert (shown[40:, 40:] == 0).all()
    assert color_composite(planes[:1]).shape == color_composite(planes[:2]).shape == (60, 60, 3)
