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


def direct(wings: StarWingsLayer, box: Box) -> np.ndarray:
    """The light star by star, no further in than the first node."""
    total = np.zeros(box.shape)
    for x, y, flux, region in zip(wings.x, wings.y, wings.flux, wings.region, strict=True):
        r = np.maximum(np.hypot(box.x - x, box.y[:, None] - y), wings.radii[0])
        c = np.interp(np.log(r), np.log(wings.radii), wings.profile[region])
        total += np.where(r < wings.radii[-1], flux * c / r**2, 0.0)
    return total


def test_many_faint_wings_add_up():
    # 300 stars, none of which gives a pixel more than 0.02.
    rng, box = np.random.default_rng(4), Box(0, 300, 0, 200)
    radii = np.geomspace(35.0, 900.0, 9)
    x, y = rng.uniform(-800, 1100, (2, 300))
    flux, region = 10 ** rng.uniform(4, 4.4, 300), rng.integers(0, 2, 300)
    profile = np.array([[1, 1.1, 1.0, 0.9, 0.8, 0.6, 0.4, 0.1, 0], [1] * 8 + [0]]) * 1e-3
    wings = StarWingsLayer(x, y, flux, region, radii, profile, faintest=0.004)
    true = direct(wings, box)
    error = wings.image(box) - true
    assert true.mean() > 0.02
    far = np.ones(box.shape, bool)
    for u, v in zip(x, y, strict=True):
        far &= np.hypot(box.x - u, box.y[:, None] - v) > 35
    assert far.mean() > 0.2
    assert abs(error[far].mean()) < 0.01 * true[far].mean()
    assert np.abs(error[far]).max() < 0.004


@pytest.mark.parametrize("faintest", [1e-3, 1e-2, 0.1])
def test_the_light_of_a_star_is_as_exact_as_was_asked(faintest):
    box = Box(0, 400, 0, 300)
    radii = np.geomspace(35.0, 900.0, 9)
    profile = [[1e-3, 1.1e-3, 1e-3, 8e-4, 7e-4, 5e-4, 3e-4, 1e-4, 0]]
    for place in ((150.3, 98.2), (-60.0, 120.0), (500.0, 350.0)):
        wings = StarWingsLayer(*np.array(place)[:, None], [2e6], [0], radii, profile, faintest)
        r = np.hypot(box.x - place[0], box.y[:, None] - place[1])
        error = np.abs(wings.image(box) - direct(wings, box))[r > 35]
        assert error.max() < faintest


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
