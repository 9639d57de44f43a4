"""compressImage: an image, or the reason why there is none."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.config.compress_image import CompressImageConfig
from drpflow.data.visit_info import VisitInfo
from drpflow.errors import AlgorithmError
from drpflow.tasks.compress_image import compress_image, failed_exposure
from tests.algorithms.compression.scenes import make_scene
from tests.algorithms.isr.cameras import two_by_two

SEEDS = {"image": 3, "variance": 4}


def test_an_image_is_compressed_and_the_rest_is_kept():
    scene = make_scene()
    result = compress_image(scene, SEEDS, CompressImageConfig())
    assert result.exposure is scene
    assert set(result.pixels.planes) == {"image", "variance"}
    assert result.numbers["compression_factor"] > 5


def test_an_image_of_nothing_gives_its_reason():
    failed = failed_exposure(two_by_two(), VisitInfo(12, instrument="cam"), "no stars")
    assert np.isnan(failed.image).all()
    assert failed.visit_info.visit == 12
    assert failed.missing["psf"] == "no stars"
    with pytest.raises(AlgorithmError, match="there is no final image: no stars"):
        compress_image(failed, SEEDS, CompressImageConfig())
