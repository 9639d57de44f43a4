"""The jobs of coadds: which tracts, patches and visits the graph holds."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from typing import Any

import numpy as np
import pytest

from drpflow.data.sky_map import sky_map_from_json
from drpflow.io.status_files import read_outcome
from drpflow.io.store import Store
from tests.workflow.small_survey import SmallSurvey
from tests.workflow.test_staleness import planned, restored, sheet_files

pytestmark = pytest.mark.workflow

HEALPIX = {"layout": "healpix", "order": 10, "patch_inner_pix": 400, "patch_border_pix": 20}
"""Tracts of 3 x 3 to 4 x 4 patches."""
PLAN_STATUS = "results/status/planCoaddition/tract=0/band=g.json"


def jobs_of(survey: SmallSurvey, **sections: Any) -> dict[str, set[tuple[str, ...]]]:
    """Return the values of wildcards of the jobs of coadds, by task."""
    with restored(survey.folder / "config/config.yaml"):
        survey.write_config(**sections)
        jobs = planned(survey, "coadds")
    found: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for job in jobs:
        if "tract=" in job:
            found[job.partition(" ")[0]].add(tuple(re.findall(r"=([^,]+)", job)))
    return found


def test_overlapping_tracts_and_patches(finished: SmallSurvey) -> None:
    """Two visits side by side on several tracts: some patches have both, some one, some none."""
    with restored(*sheet_files(finished)):
        finished.write_sheets((11, 12), ra_deg=10.04)
        jobs = jobs_of(finished, skyMap=HEALPIX, skypix={"margin_deg": 0.0})
    warps = jobs["makeWarp"]
    of_patch: dict[tuple[str, str], set[str]] = defaultdict(set)
    for tract, patch, visit in warps:
        of_patch[tract, patch].add(visit)
    assert jobs["compareWarpAssembleCoadd"] == {(*place, "g") for place in of_patch}
    assert jobs["planCoaddition"] == {(tract, "g") for tract, _ in of_patch}
    tracts = {tract for tract, _ in of_patch}
    assert len(tracts) > 1
    assert {len(visits) for visits in of_patch.values()} == {1, 2}
    whole = sky_map_from_json(json.dumps(HEALPIX | {"pixel_scale_arcsec": 0.3}))
    assert len(of_patch) < sum(len(whole.tract(int(tract))) for tract in tracts) / 2


def test_each_band_by_itself(finished: SmallSurvey) -> None:
    with restored(*sheet_files(finished)):
        finished.write_sheets((11, 12), physical_filter="r1", band="r")
        jobs = jobs_of(finished)
    patches = [("0", "0"), ("0", "1")]
    assert jobs["planCoaddition"] == {("0", "g"), ("0", "r")}
    assert jobs["compareWarpAssembleCoadd"] == {(*p, b) for p in patches for b in "gr"}
    assert jobs["makeWarp"] == {(*p, v) for p in patches for v in ("11", "12")}


def test_visits_without_what_a_coadd_needs(finished: SmallSurvey) -> None:
    """Frames of empty sky have no PSF: plan, warps and coadds are whole, and hold nothing."""
    store = Store(finished.folder / "results")
    plan = store.get("coadd_plan", tract=0, band="g")
    assert len(plan) == 4
    assert not plan["used"].any()
    assert all("without " in reason for reason in plan["reason"])
    assert len(store.query("coadd")) == 2
    for data_id in store.query("coadd"):
        coadd = store.get("coadd", **data_id)
        assert np.isnan(coadd.image).all()
        assert coadd.mask.any("NO_DATA").all()
        assert coadd.wcs is not None
        assert (store.get("coadd_n_image", **data_id).image == 0).all()
    assert len(store.query("warp_mask")) == 4
    outcome = read_outcome(finished.folder / "results", finished.folder / PLAN_STATUS)
    assert outcome.partial
    assert "no detector of the visits that touch the tract" in outcome.reason


def test_warps_are_gone(finished: SmallSurvey) -> None:
    assert not list((finished.folder / "results").glob("direct_warp/**/*.fits"))
    assert not list((finished.folder / "results").glob("psf_matched_warp/**/*.fits"))
