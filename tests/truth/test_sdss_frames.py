"""calibrateImage on a frame of SDSS: its PSF is that of the stars, its zero point SDSS's.

``docs/real-frames.md`` has the figures of all five bands.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from sdss_frames import compare, detrended_frames, outer_half

FRAMES = Path(__file__).parents[3] / "shared" / "data" / "sdss_m2"
pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not FRAMES.is_dir(), reason="the real frames are not here"),
]


def test_size_and_zero_point_are_those_of_the_pixels_and_of_sdss(tmp_path: Path) -> None:
    ((_, exposure, field),) = detrended_frames(FRAMES, tmp_path, "r")
    # A quarter of the time, and few stars touch.
    outer_half(exposure)
    found = compare(exposure, field)
    assert not isinstance(found, str), found
    assert found.psf_stars >= 30
    assert found.zero_point_stars >= 15
    assert found.size == pytest.approx(1, abs=0.03), "the PSF beside the stars"
    assert found.size / found.sdss_size == pytest.approx(1, abs=0.05), "and beside SDSS's"
    assert abs(found.zero_point_mag - field.zero_point_mag) < 0.02
