"""Masks of cosmic rays that are right and wrong in known pixels."""

from __future__ import annotations

import numpy as np

from drpflow.qa.truth.cosmic_rays import count_cosmic_rays, star_cores


def test_cosmic_rays_are_counted_where_they_can_be_found() -> None:
    electron, masked = np.zeros((50, 50)), np.zeros((50, 50), bool)
    electron[10, 10:20] = 500.0
    electron[30, 30] = 500.0
    masked[10, 10:18] = True
    usable = np.ones((50, 50), bool)
    usable[30, 30] = False
    cores = star_cores((50, 50), [40.0, 12.0], [40.0, 10.0], 2.0)
    masked[40, 40] = True
    counts = count_cosmic_rays(masked, electron, 10.0, cores, usable)
    assert (counts.hit, counts.hit_masked) == (10, 8)
    # The star on the track is not judged but for its outer rows; of the other one pixel is lost.
    assert counts.core == 13 + 2
    assert counts.core_masked == 1
    assert (counts + counts).core == 30
