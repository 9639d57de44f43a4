"""Artifacts of simulated stacks, against what was put in."""

from __future__ import annotations

import numpy as np
import pytest
from coadd_scores import artifact_counts
from warp_stacks import TARGET_FWHM_PIX, StackConfig, make_stack

from drpflow.algorithms.coadd.artifacts import farthest_look_pix, find_artifacts
from drpflow.algorithms.coadd.static_sky import find_static_sky
from drpflow.config.compare_warp_assemble_coadd import CompareWarpAssembleCoaddConfig
from drpflow.data.geometry import Box
from drpflow.data.warps import Warp

CONFIG = CompareWarpAssembleCoaddConfig()


def test_artifacts_are_found_and_variable_sources_spared(stack, found) -> None:
    _, truth, box = stack
    counts = artifact_counts(found[1].masks, truth, box, limit=2)
    share = {name: masked / number for name, (number, masked) in counts.items()}
    assert counts["trails"][0] > 1000
    assert share["trails"] >= 0.97
    assert share["rays"] >= 0.93
    assert share["asteroids"] >= 0.93
    assert share["clean"] <= 0.012  # trails in half of the visits, twice as many as usual
    assert share["transients"] <= 0.03
    assert share["variables"] <= 0.03


def test_classes(stack, found) -> None:
    _, truth, box = stack
    right, wrong = 0, 0
    for visit, mask in found[1].masks.items():
        streaks = mask.paint(box, kinds=["streak"])
        if visit in truth.trails:
            bright = truth.trails[visit] > 1.5
            assert streaks[bright].mean() > 0.9
        points = mask.paint(box, kinds=["cosmic_ray"])
        for snr, rows, columns in truth.rays[visit]:
            y, x = int(rows.mean()), int(columns.mean())
            here = np.s_[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3]
            if snr > 20 and not streaks[here].any():
                right += points[here].any()
                wrong += not points[here].any()
    assert right > 3 * wrong > 0 or not wrong


def test_noise_of_visits_is_measured(stack, found) -> None:
    """The variance plane of the matched warps ignores that resampled pixels are correlated."""
    warps, _, _ = stack
    sky = found[0]
    for warp in warps:
        scales = sky.scales[warp.visit]
        assert np.median(scales) == pytest.approx(1.1, abs=0.25)


def test_decisions_do_not_depend_on_the_patch() -> None:
    """A canvas that ends elsewhere gives the same pixels, 128 pixels from where it ends.

    What is promised is less: long lines may look further.
    """
    assert farthest_look_pix(TARGET_FWHM_PIX, CONFIG) >= 128
    warps, truth, box = make_stack(StackConfig(side=520, visits=5, seed=2, trail_visits=0.5))
    whole = _found(warps, truth.sharpness, box)
    part = Box(box.x0 + 90, box.x1, box.y0, box.y1 - 70)
    cut = [Warp(w.visit, w.weight, w.direct.cutout(part), w.matched.cutout(part)) for w in warps]
    again = _found(cut, truth.sharpness, part)
    inside = Box(part.x0 + 128, box.x1, box.y0, part.y1 - 128)
    n = 0
    for visit, mask in whole.masks.items():
        one, other = mask.paint(inside), again.masks[visit].paint(inside)
        np.testing.assert_array_equal(one, other)
        n += one.sum()
    assert n > 500


def _found(warps: list[Warp], sharpness: dict[int, float], box: Box):
    sky = find_static_sky(warps, box, CONFIG)
    return find_artifacts(warps, sky, TARGET_FWHM_PIX, sharpness, CONFIG)


def test_small_parts_give_the_same_sky(stack, found) -> None:
    """How much is held at a time makes no difference."""
    warps, _, box = stack
    small = find_static_sky(warps, box, CONFIG.model_copy(update={"memory_mb": 20}))
    for name in ("mean", "total", "noise", "start", "direct"):
        np.testing.assert_array_equal(getattr(small, name), getattr(found[0], name))


def test_two_visits_blame_the_brighter() -> None:
    config = StackConfig(side=320, visits=2, seed=4, trail_visits=0.0, ghost_visits=0.0,
                         variables=0, transients=0)  # fmt: skip
    warps, truth, box = make_stack(config)
    masks = _found(warps, truth.sharpness, box).masks
    counts = artifact_counts(masks, truth, box, limit=1)
    assert counts["asteroids"][0] == counts["asteroids"][1] > 2
    assert counts["clean"][1] < 0.005 * counts["clean"][0]


def test_bright_trails_are_masked_no_wider_than_their_light() -> None:
    """The matched PSF spreads a trail of 40 noises far beyond what the direct warp shows."""
    config = StackConfig(side=360, visits=4, seed=8, trail_visits=1.0, trail_snr=(40.0, 41.0),
                         ghost_visits=0.0, cosmic_rays=0, asteroids=0, variables=0,
                         transients=0, stars=30, bright_stars=0, galaxies=0)  # fmt: skip
    warps, truth, box = make_stack(config)
    masks = _found(warps, truth.sharpness, box).masks
    lit, masked_dark, masked_lit = 0, 0, 0
    for visit, light in truth.trails.items():
        marked, others = masks[visit].paint(box), np.zeros(box.shape, bool)
        for other, trail in truth.trails.items():
            others |= (trail > 1e-3) & (other != visit)
        lit += ((light > 1.5) & ~others).sum()
        masked_lit += (marked & (light > 1.5) & ~others).sum()
        masked_dark += (marked & (light < 0.05) & ~others).sum()
    assert lit > 3000
    assert masked_lit > 0.97 * lit
    # Half a bin of 4 pixels, and 1 more that masks of lines grow: about that on either side.
    assert masked_dark < 2 * len(truth.trails) * box.width * 3.2


def test_a_trail_is_followed_to_where_its_visit_is_alone() -> None:
    config = StackConfig(side=400, visits=3, seed=11, trail_visits=1.0, trail_snr=(4.0, 5.0),
                         ghost_visits=0.0, cosmic_rays=0, asteroids=0, variables=0,
                         transients=0)  # fmt: skip
    warps, truth, box = make_stack(config)
    trail = truth.trails[0]
    right = (trail[:, 200:] > 1.5).sum() > (trail[:, :200] > 1.5).sum()
    there, alone = (np.s_[:, :200], np.s_[:, 200:]) if right else (np.s_[:, 200:], np.s_[:, :200])
    for warp in warps[1:]:
        for exposure in (warp.direct, warp.matched):
            exposure.image[alone] = np.nan
    marked = _found(warps, truth.sharpness, box).masks[0].paint(box)
    bright, dark = trail > 1.5, trail < 1e-6
    bright[there] = dark[there] = False
    assert bright.sum() > 300
    assert marked[bright].mean() > 0.85  # a source beside it hides a piece
    assert marked[dark].mean() < 0.01


def test_sources_that_shine_in_half_of_the_visits_are_spared() -> None:
    """Their median is of the poorest seeing, their mean half as bright: they look too narrow."""
    config = StackConfig(side=420, visits=8, seed=3, trail_visits=0.0, ghost_visits=0.0,
                         cosmic_rays=0, asteroids=0, transients=40, variables=0)  # fmt: skip
    warps, truth, box = make_stack(config)
    masks = _found(warps, truth.sharpness, box).masks
    counts: list[bool] = []
    for x, y, flux in truth.transients:
        if 3 <= np.count_nonzero(flux) <= 5:
            place = np.s_[round(y), round(x)]
            counts += [bool(masks[v].paint(box)[place]) for v in np.flatnonzero(flux).tolist()]
    assert len(counts) > 20
    assert np.mean(counts) <= 0.02


@pytest.mark.parametrize("seed", [504, 505])
def test_variable_stars_in_the_light_of_others_are_spared(seed: int) -> None:
    """In a field full of them: no peak of their own, or narrower than their median promises."""
    config = StackConfig(visits=3, seed=seed, trail_visits=0.0, ghost_visits=0.0, cosmic_rays=0,
                         asteroids=0, variables=60, transients=0)  # fmt: skip
    warps, truth, box = make_stack(config)
    masks = _found(warps, truth.sharpness, box).masks
    painted = [mask.paint(box) for mask in masks.values()]
    lost = [(x, y) for x, y, _ in truth.variables for p in painted if p[round(y), round(x)]]
    assert lost == []
