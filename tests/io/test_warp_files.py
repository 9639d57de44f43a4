"""The files of makeWarp."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.algorithms.warp.mosaic import empty_warp
from drpflow.config.make_warp import MakeWarpConfig
from drpflow.data.geometry import Box
from drpflow.data.visit_info import VisitInfo
from drpflow.errors import InputError, MissingDatasetError
from drpflow.io.store import Store
from drpflow.io.warp_files import exposure_opener, write_warps
from tests.algorithms.warp.scenes import tract_wcs

BOX = Box(-20, 40, 10, 50)


def options(root, visit: int = 7) -> dict:
    store = Store(root)
    return {
        **{n: store.path(n, visit=visit) for n in (
            "visit_info", "final_visit_summary", "visit_background"
        )},
        "initial_pvi": [store.path("initial_pvi", visit=visit, detector=d) for d in (0, 1)],
    }  # fmt: skip


def test_warps_are_read_as_they_were_written(tmp_path):
    store, info = Store(tmp_path), VisitInfo(visit=7, band="r", mjd=60000.0)
    store.put(info, "visit_info", visit=7)
    warp = empty_warp(tract_wcs(), BOX, "nothing is there", visit_info=info)
    place = {"tract": 3, "patch": 5, "visit": 7}
    files = {n: store.path(n, **place) for n in ("direct_warp", "psf_matched_warp")}
    about = {"tract": 3, "patch": 5, "config": MakeWarpConfig(), "code": "abc", "coadd_plan": "p"}
    write_warps((warp, warp), {**options(tmp_path), **about, **files})
    for name in files:
        back = store.get(name, **place)
        assert back.box == BOX
        assert np.isnan(back.image).all()
        assert back.visit_info == info
        assert back.wcs == tract_wcs()
        assert dict(back.missing) == dict(warp.missing)
        assert back.provenance.task == "makeWarp"
        assert back.provenance.code == "abc"
        assert [i["name"] for i in back.provenance.inputs].count("initial_pvi") == 2
        assert back.provenance.config["resampling"]["kernel_order"] == 3


def test_inputs_of_one_visit_lie_below_one_root(tmp_path):
    one, other = options(tmp_path / "a"), options(tmp_path / "b")
    with pytest.raises(MissingDatasetError):
        exposure_opener(one)(0)
    with pytest.raises(InputError, match="2 folders or visits"):
        exposure_opener({**one, "visit_background": other["visit_background"]})
    with pytest.raises(InputError, match="2 folders or visits"):
        exposure_opener({**one, "initial_pvi": options(tmp_path / "a", 8)["initial_pvi"]})
