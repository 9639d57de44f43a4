import numpy as np
import pytest

from drpflow.sim.ghosts import CENTRAL_HOLE, REFLECTIONS, Reflection, _ring, ghost_image
from drpflow.sim.instrument import SimDetector

DETECTOR = SimDetector(0, "a", (1024, 1024), (0.0, 0.0), 0.0, 0.015)


def test_all_ghosts_together_hold_the_light() -> None:
    found = ghost_image(DETECTOR, (0.6, -0.9), 1e5)
    assert found is not None
    assert found[0].sum() == pytest.approx(1e5, rel=0.02)
    assert sum(r.share for r in REFLECTIONS) == pytest.approx(1.0)


def test_a_ghost_is_a_ring_on_the_line_through_the_axis() -> None:
    found = _ring(DETECTOR, (2.0, 1.0), 1.0, Reflection(-0.5, 1.0, 1.0))
    assert found is not None
    ring, x0, y0 = found
    y, x = np.indices(ring.shape)
    center = ((ring * (x + x0)).sum() / ring.sum(), (ring * (y + y0)).sum() / ring.sum())
    # At -0.5 times the star's place, in pixels of 15 micrometres.
    assert center == (
        pytest.approx(511.5 - 1.0 / 0.015, abs=0.3),
        pytest.approx(511.5 - 0.5 / 0.015, abs=0.3),
    )
    r = np.hypot(x + x0 - center[0], y + y0 - center[1]) * 0.015
    assert ring[r < CENTRAL_HOLE - 0.05].max() == 0
    inside = ring[(r > CENTRAL_HOLE + 0.05) & (r < 0.95)]
    assert inside.min() == inside.max() > 0


def test_ghosts_off_the_detector_are_none() -> None:
    assert ghost_image(DETECTOR, (40.0, 40.0), 1e5) is None
