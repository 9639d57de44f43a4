"""Planes of artifacts and flags of known stars."""

from __future__ import annotations

from typing import Any

import numpy as np

from drpflow.algorithms.final_image.flags import (
    artifact_flags,
    mark_artifacts,
    match_stars,
    star_flags,
)
from drpflow.algorithms.measurement.work_image import WorkImage, plain_scene
from drpflow.data.geometry import Box
from drpflow.data.mask import BITS, Mask
from drpflow.data.warp_masks import KINDS, WarpMask

SHAPE = (60, 80)
BOX = Box.from_shape(SHAPE)
DETECTOR = 4


def artifacts(kinds: tuple[str, ...], detector: int = DETECTOR) -> WarpMask:
    """One run of ten pixels for each class, in rows 10, 20, ..."""
    n = len(kinds)
    y = 10 * (1 + np.arange(n))
    return WarpMask(
        kinds, np.ones(n), np.full(n, detector), np.arange(n), y, np.full(n, 30), np.full(n, 40)
    )


def test_every_class_has_its_planes() -> None:
    mask, pixels = mark_artifacts(Mask.zeros(SHAPE), [artifacts(KINDS)], DETECTOR, BOX)
    for row, kind in zip(range(10, 60, 10), KINDS, strict=True):
        here = {name for name in ("STREAK", "ARTIFACT", "TRANSIENT") if mask.any(name)[row, 35]}
        expected = {"streak": {"STREAK", "ARTIFACT"}, "transient": {"TRANSIENT"}}
        assert here == expected.get(kind, {"ARTIFACT"})
    assert pixels == {"streak_pixels": 10, "artifact_pixels": 40, "transient_pixels": 10}


def test_other_detectors_and_frames_do_not_count() -> None:
    given = [artifacts(("streak",), 5), artifacts(("streak",), -1)]
    mask, _ = mark_artifacts(Mask.zeros(SHAPE), given, DETECTOR, BOX)
    assert not mask.any(("STREAK", "ARTIFACT", "TRANSIENT")).any()


def test_a_mask_of_an_older_file_gets_the_planes() -> None:
    planes = {name: bit for name, bit in BITS.items() if name not in ("ARTIFACT", "TRANSIENT")}
    planes["CLOUD"] = BITS["ARTIFACT"]  # taken
    old = Mask(np.full(SHAPE, 1 << planes["CLOUD"], np.int32), planes)
    mask, _ = mark_artifacts(old, [artifacts(("streak",))], DETECTOR, BOX)
    assert mask.any("ARTIFACT").sum() == 10
    assert mask.any("CLOUD").all()
    assert len(set(mask.planes.values())) == len(mask.planes)


def work_with_footprints() -> WorkImage:
    """Two sources of one run each; a third row has none."""
    zeros, ones = np.zeros(SHAPE, np.float32), np.ones(SHAPE, np.float32)
    scene = plain_scene(zeros, ones, np.zeros(SHAPE, bool))._replace(
        span_y=np.array([10, 40], np.int32),
        span_x0=np.array([20, 20], np.int32),
        span_x1=np.array([32, 32], np.int32),
        first_span=np.array([0, 1, 2]),
        first_value=np.array([0, 12, 24]),
    )
    return WorkImage(scene, zeros, np.zeros(SHAPE, bool))


def test_footprints_and_centres_are_told_apart() -> None:
    mask, _ = mark_artifacts(Mask.zeros(SHAPE), [artifacts(("streak",))], DETECTOR, BOX)
    x, y = np.array([22.0, 25.0, 35.0]), np.array([10.0, 40.0, 10.0])
    flags = artifact_flags(work_with_footprints(), mask, x, y, 1.5)
    assert flags["pixelFlags_streak"].tolist() == [True, False, True]
    assert flags["pixelFlags_streakCenter"].tolist() == [False, False, True]
    assert flags["pixelFlags_artifact"].tolist() == [True, False, True]
    assert not flags["pixelFlags_transient"].any()


def sources() -> dict[str, Any]:
    return {
        "x": np.array([10.0, 20.0, 20.4, np.nan, 50.0]),
        "y": np.array([10.0, 20.0, 20.0, 5.0, 50.0]),
        "sky_source": np.array([False, False, False, False, True]),
    }


def test_a_star_is_the_nearest_source() -> None:
    stars = {
        "x": np.array([10.1, 20.35, 20.3, 50.0, 70.0, np.nan]),
        "y": np.array([10.0, 20.0, 20.0, 50.0, 10.0, 3.0]),
        "used": np.array([True, True, False, True, True, True]),
    }
    rows, star_rows = match_stars(sources(), stars, 0.5)
    assert dict(zip(rows.tolist(), star_rows.tolist(), strict=True)) == {0: 0, 2: 1}
    flags = star_flags(5, stars, (rows, star_rows), ["used"])
    assert flags["used"].tolist() == [True, False, True, False, False]


def test_without_stars_nothing_is_flagged() -> None:
    empty = {"x": np.zeros(0), "y": np.zeros(0), "used": np.zeros(0, bool)}
    for stars in (None, empty):
        pairs = match_stars(sources(), stars, 1.0)
        assert pairs[0].size == 0
        assert not star_flags(5, stars, pairs, ["used"])["used"].any()
