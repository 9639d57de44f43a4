"""Masks of visits as runs of pixels."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.data.geometry import Box
from drpflow.data.warp_masks import ON_PATCH, WarpMask


@pytest.fixture
def mask() -> WarpMask:
    """A streak on the tract and on detector 4, and a ghost on the tract."""
    return WarpMask(
        ("streak", "ghost"), np.array([50.0, 7.0]),
        detector=[ON_PATCH, ON_PATCH, ON_PATCH, 4], artifact=[0, 0, 1, 0],
        y=[-3, -2, 5, 0], x0=[-5, -4, 0, 10], x1=[-1, 3, 20, 12],
    )  # fmt: skip


def test_paint(mask) -> None:
    box = Box(-4, 2, -3, 6)
    painted = mask.paint(box)
    expected = np.zeros(box.shape, bool)
    expected[0, :3] = expected[1, :] = True
    expected[8, 4:] = True
    np.testing.assert_array_equal(painted, expected)
    np.testing.assert_array_equal(mask.paint(box, kinds=["ghost"])[:8], False)
    assert mask.paint(Box(0, 20, 0, 20), 4).sum() == 2
    assert not mask.paint(Box(100, 120, 0, 20)).any()


def test_areas_and_detectors(mask) -> None:
    assert mask.detectors == [4]
    assert mask.areas().tolist() == [11, 20]
    assert mask.areas(4).tolist() == [2, 0]


def test_round_trip(mask) -> None:
    again = WarpMask.from_columns({k: np.asarray(v) for k, v in mask.columns().items()})
    assert again.kind == mask.kind
    for name in ("snr", "detector", "artifact", "y", "x0", "x1"):
        np.testing.assert_array_equal(getattr(again, name), getattr(mask, name))
    assert len(WarpMask.from_columns(WarpMask.empty().columns())) == 0


@pytest.mark.parametrize(
    ("kind", "artifact", "says"),
    [(("comet",), [0], "comet"), (("ghost",), [1], "0 to 0"), (("ghost",), [0, 0], "length")],
)
def test_what_does_not_fit_is_refused(kind, artifact, says) -> None:
    with pytest.raises(ValueError, match=says):
        WarpMask(kind, [1.0], [ON_PATCH], artifact, [0], [0], [1])
