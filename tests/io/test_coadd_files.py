"""The files of compareWarpAssembleCoadd."""

from __future__ import annotations

import json

import numpy as np
import pytest

from drpflow.algorithms.warp.mosaic import empty_warp
from drpflow.config.compare_warp_assemble_coadd import CompareWarpAssembleCoaddConfig
from drpflow.config.plan_coaddition import PlanCoadditionConfig
from drpflow.config.sky_map import SkyMapConfig
from drpflow.data.coadd_plan import CoaddPlan
from drpflow.data.exposure import Exposure
from drpflow.data.geometry import Box
from drpflow.data.mask import Mask
from drpflow.data.noise_covariance import NoiseCovariance
from drpflow.data.psf import GaussianPsf
from drpflow.data.sky_map import build_sky_map
from drpflow.data.warp_masks import WarpMask
from drpflow.errors import InputError, MissingDatasetError
from drpflow.io.coadd_files import read_inputs, read_patch, read_warp_mask, write_products
from drpflow.io.coadd_plan_files import write_plan
from drpflow.io.schemas import load_schema
from drpflow.io.store import Store
from tests.algorithms.warp.scenes import tract_wcs

BOX = Box(-20, 40, 10, 50)
PLACE = {"tract": 0, "patch": 0, "band": "r"}
# Used; used, its PSF wider than the target; left out by the plan; not in the plan.
MATCHED, WIDE, OUT, UNKNOWN = VISITS = (3, 5, 8, 9)
SKY_MAP = SkyMapConfig.model_validate({
    "layout": "field", "pixel_scale_arcsec": 0.2, "patch_inner_pix": 300, "patch_border_pix": 20,
    "field": {"ra_deg": 150.0, "dec_deg": 2.0, "width_deg": 0.01, "height_deg": 0.01},
})  # fmt: skip


def image(seed: int, *, psf: bool = True) -> Exposure:
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 5, BOX.shape).astype(np.float32)
    mask = Mask.zeros(BOX.shape)
    mask.set("CLIPPED", values > 5)
    components = {"wcs": tract_wcs(), "noise_covariance": NoiseCovariance.white()}
    components |= {"psf": GaussianPsf(2.0)} if psf else {}
    variance = rng.uniform(20, 30, BOX.shape).astype(np.float32)
    return Exposure(values, mask, variance, unit="nJy", xy0=BOX.xy0, components=components)


def options(root, **more) -> dict:
    store = Store(root)
    place = {"tract": 0, "patch": 0}
    warps = {
        name: str(store.path(name, **place, visit=0)).replace("visit=0", "visit={visit}")
        .replace("_0_0_0.fits", "_0_0_{visit}.fits")
        for name in ("direct_warp", "psf_matched_warp")
    }  # fmt: skip
    masks = str(store.path("warp_mask", **PLACE, visit=0)).replace("visit=0", "visit={visit}")
    return {
        "sky_map": json.dumps(SKY_MAP.model_dump(mode="json")),
        "coadd_plan": store.path("coadd_plan", tract=0, band="r"),
        "coadd": store.path("coadd", **PLACE),
        "coadd_n_image": store.path("coadd_n_image", **PLACE),
        "warp_mask": masks,
        "config": CompareWarpAssembleCoaddConfig(),
        "code": "abc",
        **warps, **PLACE, **more,
    }  # fmt: skip


def put_inputs(root) -> None:
    """Write a plan of three visits and the warps of four."""
    used = np.array([True, True, False])
    columns = {"visit": np.array(VISITS[:3]), "detector": np.zeros(3, np.int32)}
    columns |= {"used": used, "used_matched": used, "weight": np.array([0.5, 0.25, 0.125])}
    for column in load_schema("coadd_plan").without({"tract", "band"}).columns:
        blank = np.zeros(3, column.type if column.type != "str" else "U1")
        columns.setdefault(column.name, blank)
    about = {"final_visit_summary": "{visit}", "config": PlanCoadditionConfig()}
    write_plan(CoaddPlan(columns, 3.0, {}, 1.0), VISITS[:3], options(root) | about)
    for visit in VISITS:
        wide = empty_warp(tract_wcs(), BOX, "wider than the target")
        matched = wide if visit == WIDE else image(100 + visit)
        for name, warp in (("direct_warp", image(visit)), ("psf_matched_warp", matched)):
            Store(root).put(warp, name, tract=0, patch=0, visit=visit)


def test_products_are_read_as_they_were_written(tmp_path) -> None:
    runs = np.array([[-1, 0, 12, -5, 3], [-1, 1, 20, 0, 9], [2, 0, 130, 40, 48]], np.int32)
    detector, artifact, y, x0, x1 = runs.T
    mask = WarpMask(("streak", "cosmic_ray"), [31.5, 8.25], detector, artifact, y, x0, x1)
    coadd, n_image = image(1), image(2, psf=False)
    made = options(tmp_path)
    write_products(coadd, n_image, {3: mask, 5: WarpMask.empty()}, made)
    store = Store(tmp_path)
    back, counts = store.get("coadd", **PLACE), store.get("coadd_n_image", **PLACE)
    assert back.box == BOX
    assert back.wcs == tract_wcs()
    assert back.psf == GaussianPsf(2.0)
    np.testing.assert_array_equal(back.mask.any(("CLIPPED",)), coadd.mask.any(("CLIPPED",)))
    np.testing.assert_array_equal(counts.image, n_image.image)
    np.testing.assert_array_equal(back.image, coadd.image)
    np.testing.assert_array_equal(back.variance, coadd.variance)
    assert back.provenance.task == "compareWarpAssembleCoadd"
    assert back.provenance.code == "abc"
    names = [i["name"] for i in back.provenance.inputs]
    assert names == ["coadd_plan", *2 * ["direct_warp"], *2 * ["psf_matched_warp"]]
    found = read_warp_mask(store.path("warp_mask", **PLACE, visit=3))
    assert found.kind == mask.kind
    assert found.detectors == [2]
    for name, column in mask.columns().items():
        np.testing.assert_array_equal(found.columns()[name], column)
    assert len(read_warp_mask(store.path("warp_mask", **PLACE, visit=5))) == 0


def test_inputs_are_the_visits_that_the_plan_uses(tmp_path) -> None:
    put_inputs(tmp_path)
    found = read_inputs(options(tmp_path), VISITS)
    assert found.visits == list(VISITS)
    assert [(w.visit, w.weight) for w in found.warps] == [(MATCHED, 0.5), (WIDE, 0.25)]
    assert [w.matched is not None for w in found.warps] == [True, False]
    np.testing.assert_array_equal(found.warps[1].direct.image, image(WIDE).image)
    assert found.fwhm_pix == pytest.approx(3.0 * 2.3548, rel=1e-4)
    patch = build_sky_map(SKY_MAP).tract(0).patch(0)
    assert (found.wcs, found.box) == read_patch(options(tmp_path))
    assert found.box == patch.outer
    assert found.bright_objects == ()


def test_a_lacking_file_or_patch_is_named(tmp_path) -> None:
    with pytest.raises(MissingDatasetError, match="coadd_plan"):
        read_inputs(options(tmp_path), VISITS)
    put_inputs(tmp_path)
    with pytest.raises(MissingDatasetError, match="direct_warp_0_0_77"):
        read_inputs(options(tmp_path), [*VISITS, 77])
    with pytest.raises(InputError):
        read_patch(options(tmp_path, patch=999))
    path = tmp_path / "warp_mask.parquet"
    path.write_bytes(b"no table")
    with pytest.raises(InputError, match=r"warp_mask\.parquet"):
        read_warp_mask(path)
