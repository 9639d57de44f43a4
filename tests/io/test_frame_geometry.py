"""Whose frame it is: whole detectors and cut-outs."""

from __future__ import annotations

import pytest

from drpflow.data.camera import Camera
from drpflow.data.visit_info import VisitInfo
from drpflow.io.frame_geometry import Geometry
from tests.algorithms.isr.cameras import two_by_two


def geometry(*, allow_cutouts: bool) -> Geometry:
    camera = Camera(
        name="cam",
        optics={"plate_scale_arcsec_per_mm": 20.0},
        filters=({"physical_filter": "r", "band": "r"},),
        detectors=(two_by_two(),),
        allow_cutouts=allow_cutouts,
    )
    return Geometry(camera, camera.detectors[0], VisitInfo(visit=1, physical_filter="r"))


def test_cutout_is_one_amplifier() -> None:
    whole = geometry(allow_cutouts=True)
    cut = whole.of_shape((30, 50)).detector
    assert cut.size_pix == (50, 30)
    assert cut.id == whole.detector.id
    (amplifier,) = cut.amplifiers
    gains = [a.gain for a in whole.detector.amplifiers]
    assert amplifier.gain == pytest.approx(sum(gains) / 4)
    assert amplifier.read_noise == max(a.read_noise for a in whole.detector.amplifiers)
    assert amplifier.data_section == (0, 50, 0, 30)


@pytest.mark.parametrize("shape", [(80, 100), (81, 100), (30, 200), (5,)])
def test_other_shapes_are_left_alone(shape: tuple[int, ...]) -> None:
    whole = geometry(allow_cutouts=True)
    assert whole.of_shape(shape) is whole


def test_only_where_the_camera_has_cutouts() -> None:
    whole = geometry(allow_cutouts=False)
    assert whole.of_shape((30, 50)) is whole
