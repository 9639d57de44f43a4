"""Wings of stars as a layer."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.data.background import Background
from drpflow.data.geometry import Box
from drpflow.data.record import from_record
from drpflow.data.star_wings import StarWingsLayer

RADII = np.geomspace(8.0, 128.0, 5)


def layer(**changes: object) -> StarWingsLayer:
    given = {
        "x": [20.0, -30.0], "y": [40.0, 10.0], "flux": [1e5, 3e5], "region": [0, 1],
        "radii": RADII, "profile": [[1, 0.9, 0.5, 0.2, 0], [2, 1, 0.5, 0.1, 0]], "faintest": 0.01,
    }  # fmt: skip
    return StarWingsLayer(**(given | changes))  # type: ignore[arg-type]


def test_a_part_is_the_same_as_the_whole():
    whole = layer().image(Box(0, 100, 0, 80))
    part = layer().image(Box(30, 60, 20, 50))
    assert np.array_equal(whole[20:50, 30:60], part)
    assert whole.max() > 100


def test_it_comes_back_from_its_stored_form():
    background = Background((("wings", layer()),))
    assert from_record(background.to_record()) == background


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": [1.0]}, "number"),
        ({"radii": [1.0, 2.0, 3.0, 4.0, 5.0]}, "one factor"),
        ({"profile": [[1, 1, 1, 1, 1], [1, 1, 1, 1, 0]]}, "last node"),
        ({"region": [0, 2]}, "no profile"),
        ({"faintest": 0.0}, "faintest"),
        ({"profile": [[1.0, 0.0]]}, "nodes"),
    ],
)
def test_what_does_not_fit_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        layer(**changes)
