"""What one image's apertures are off by, from what stars have in other visits."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.algorithms.final_image.reference_scale import reference_offset
from drpflow.data.flux_ratios import FluxRatios

N_STARS, N_IMAGES = 80, 12
ERROR = 0.02


def ratios(offset: np.ndarray, seed: int, *, seen: float = 0.7) -> FluxRatios:
    """Stars with 0 to 40 % more in the aperture; some have a neighbour in one visit only."""
    rng = np.random.default_rng(seed)
    star, image = (g.ravel() for g in np.mgrid[:N_STARS, : offset.size])
    excess = rng.exponential(0.1, N_STARS)
    values = excess[star] + offset[image] + rng.normal(0, ERROR, star.size)
    values[rng.random(star.size) < 0.05] += 0.5
    values[rng.random(star.size) < 0.05] = np.nan
    kept = rng.random(star.size) < seen
    return FluxRatios(1000 + star[kept], 7 * image[kept], image[kept] == 3, values[kept])


@pytest.mark.parametrize("seed", range(5))
def test_the_offset_is_found(seed: int) -> None:
    """56 stars of 0.02, and a mean of twelve images: 0.004; the naive median is off by 0.07."""
    offset = np.random.default_rng([seed, 1]).normal(0, 0.02, N_IMAGES)
    offset[3] = 0.06
    given = ratios(offset, seed)
    found, number = reference_offset(given)
    assert found == pytest.approx(0.06 - np.median(offset), abs=0.015)
    assert 40 < number < 80
    naive = np.nanmedian(given.log_ratio[given.here])
    assert abs(naive - 0.06) > 3 * abs(found - 0.06 + np.median(offset))


def test_stars_of_few_visits_tell_nothing() -> None:
    """On two images each star's excess follows either: the offset would come out small."""
    assert reference_offset(ratios(np.array([0.0, 0.0]), 1, seen=1.0)) == (0.0, 0)
    few = ratios(np.full(N_IMAGES, 0.05), 2)
    none_here = few._replace(here=np.zeros(few.star.size, bool))
    assert reference_offset(none_here) == (0.0, 0)
    nothing = few._replace(log_ratio=np.full(few.star.size, np.nan))
    assert reference_offset(nothing) == (0.0, 0)


def test_the_order_of_rows_is_no_matter() -> None:
    given = ratios(np.linspace(-0.05, 0.05, N_IMAGES), 4)
    order = np.random.default_rng(9).permutation(given.star.size)
    turned = FluxRatios(*(column[order] for column in given))
    assert reference_offset(turned) == pytest.approx(reference_offset(given), abs=1e-9)
