"""Files of compressImage and rebuildImage: what they hold and what they refuse."""

from __future__ import annotations

import json

import numpy as np
import pytest

from drpflow import InputError, Store
from drpflow.algorithms.compression.quantize import compress_pixels
from drpflow.config.compress_image import CompressImageConfig
from drpflow.errors import AlgorithmError
from drpflow.io import compress_files as files
from drpflow.io.camera_yaml import load_camera
from drpflow.io.frame_geometry import Geometry
from tests.tasks.compressed_run import ID, VISIT, make_images, put_background, write_run

CONFIG = CompressImageConfig(tile_pix=64)


class Run:
    """A folder with all inputs, and the options of both scripts."""

    def __init__(self, folder) -> None:
        self.images = make_images()
        self.store = write_run(folder, self.images)
        camera = load_camera(str(folder / "camera.yaml"))
        self.of = Geometry(camera, camera.detector(3), VISIT)
        names = ("pvi", "post_isr_image", "compressed_pvi", "rebuilt_pvi")
        self.options = {name: self.store.path(name, **ID) for name in names}
        self.options |= {"visit_background": self.store.path("visit_background", visit=12)}
        self.options |= {"config": CONFIG, "code": "abc"}

    def compress(self) -> None:
        pvi = files.read_pvi(self.options["pvi"], self.of)
        seeds = files.dither_seeds("compressed_pvi", ID)
        pixels = compress_pixels(pvi, seeds, CONFIG)
        files.write_compressed(self.of, pvi, pixels.tiled, self.options)


@pytest.fixture
def run(tmp_path) -> Run:
    made = Run(tmp_path)
    made.compress()
    return made


def test_the_archive_knows_what_made_the_image_when_that_has_gone(run):
    content = run.store.get("pvi", **ID).provenance
    run.options["pvi"].unlink()
    kept = run.store.get("compressed_pvi", **ID)
    assert kept.provenance.task == "compressImage"
    (source,) = kept.provenance.inputs
    assert source["name"] == "pvi"
    assert len(source["content"]) == 16
    assert source["provenance"] == json.loads(content.to_json())
    assert kept.visit_info == VISIT  # by its link


def test_all_that_a_rebuild_needs_is_read(run):
    inputs = files.read_rebuild_inputs(run.of, run.options)
    assert inputs.background.to_record() == run.images.background.to_record()
    assert inputs.compressed.background.to_record() == run.images.background.to_record()
    assert np.array_equal(inputs.detrended.image, run.images.detrended.image, equal_nan=True)
    assert inputs.steps["image"][1] == (60, 80)  # divisors of 120 and 160
    assert set(inputs.steps) == {"image", "variance"}


def test_a_detector_without_background_is_a_declared_failure(run):
    put_background(run.store, None)
    with pytest.raises(AlgorithmError, match="no sky"):
        files.read_rebuild_inputs(run.of, run.options)


def test_an_image_of_another_detector_is_refused(run, tmp_path):
    run.store.put(run.images.pvi.cutout((0, 50, 0, 60)), "pvi", **ID)
    with pytest.raises(InputError, match="60 rows and 50 columns, but detector 3 has 120 and 160"):
        files.read_pvi(run.options["pvi"], run.of)


def test_two_runs_give_the_same_bytes(run):
    first = run.options["compressed_pvi"].read_bytes()
    run.compress()
    assert run.options["compressed_pvi"].read_bytes() == first


def test_seeds_differ_between_planes_and_images():
    one, two = (files.dither_seeds("compressed_pvi", ID | {"visit": v}) for v in (1, 2))
    assert len({*one.values(), *two.values()}) == 4
    assert all(1 <= seed <= 10000 for seed in (*one.values(), *two.values()))


def test_a_rebuilt_image_stands_beside(run):
    files.write_rebuilt(run.of, run.images.pvi, run.options)
    rebuilt = Store(run.store.roots[0]).get("rebuilt_pvi", **ID)
    assert np.array_equal(rebuilt.image, run.images.pvi.image, equal_nan=True)
    assert rebuilt.provenance.task == "rebuildImage"
    assert [i["name"] for i in rebuilt.provenance.inputs] == [
        "post_isr_image", "visit_background", "compressed_pvi",
    ]  # fmt: skip
