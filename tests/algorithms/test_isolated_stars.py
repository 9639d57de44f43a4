"""What becomes of single stars in the company of others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from drpflow.algorithms.isolated_stars import Association, Detections, associate, good_detections
from drpflow.config.associate_isolated_stars import AssociateIsolatedStarsConfig, DetectionConfig

CONFIG = AssociateIsolatedStarsConfig()
PIXEL_ARCSEC = 0.3


def everywhere(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    return np.ones(np.shape(ra), bool)


class Scene:
    """Detections, put together one source at a time, at arcsec from a place."""

    def __init__(self, ra: float = 0.0, dec: float = 60.0) -> None:
        self.place = ra, dec
        self.rows: list[dict[str, Any]] = []

    def add(self, x: float, y: float, visits: range | list[int], **values: Any) -> Scene:
        default = {"flux": 100.0, "snr": 50.0, "excess": 0.0, "error": 0.02, "good": True}
        self.rows += [{**default, "x": x, "y": y, "visit": v, **values} for v in visits]
        return self

    def detections(self, shuffled: int = 0) -> Detections:
        rows = self.rows
        column = {k: np.array([r[k] for r in rows]) for k in rows[0]}
        ra, dec = self.place
        new_dec = dec + column["y"] / 3600
        new_ra = (ra + column["x"] / 3600 / np.cos(np.radians(dec))) % 360
        source_id = np.arange(len(rows)) + 10 * column["visit"] * len(rows)
        order = np.argsort(source_id)
        return Detections(
            source_id=source_id[order],
            visit=column["visit"][order],
            ra=new_ra[order],
            dec=new_dec[order],
            variance_arcsec2=np.full(len(rows), 0.01**2),
            flux=column["flux"][order],
            snr=column["snr"][order],
            size_excess=column["excess"][order],
            size_excess_err=column["error"][order],
            good=column["good"][order],
        )

    def associate(self, config: AssociateIsolatedStarsConfig = CONFIG) -> Association:
        return associate(self.detections(), config, PIXEL_ARCSEC, everywhere)


def test_a_star_alone() -> None:
    found = Scene().add(0.02, 0, range(5)).add(-0.02, 0, range(5, 10)).associate()
    assert len(found) == 1
    assert found.n_source.tolist() == [10]
    ra, dec = found.positions_deg()
    assert (ra[0] + 180) % 360 - 180 == pytest.approx(0, abs=1e-9)
    assert dec[0] == pytest.approx(60.0, abs=1e-9)
    floor = CONFIG.position_floor_arcsec, CONFIG.position_floor_pix * PIXEL_ARCSEC
    sigma = np.sqrt(0.01**2 + np.square(floor).sum())
    assert found.variance_arcsec2[0] == pytest.approx(sigma**2 / 10)
    assert found.chi2[0] == pytest.approx(10 * (0.02 / sigma) ** 2, rel=1e-3)


def test_the_identifier_is_the_least_of_its_detections() -> None:
    scene = Scene().add(0, 0, range(3)).add(30, 0, range(3))
    found = scene.associate()
    detections = scene.detections()
    for star in range(len(found)):
        assert found.star_id[star] == detections.source_id[found.star == star].min()


@pytest.mark.parametrize(("separation", "stars"), [(1.5, 0), (1.95, 0), (2.05, 2), (0.5, 0)])
def test_two_stars(separation: float, stars: int) -> None:
    found = Scene().add(0, 0, range(6)).add(separation, 0, range(6)).associate()
    assert len(found) == stars


def test_pixels_of_a_coarse_camera_count() -> None:
    scene = Scene().add(0, 0, range(6)).add(2.5, 0, range(6))
    assert len(associate(scene.detections(), CONFIG, 1.0, everywhere)) == 2
    assert len(associate(scene.detections(), CONFIG, 1.5, everywhere)) == 0


def test_a_neighbor_that_is_no_candidate_counts() -> None:
    found = Scene().add(0, 0, range(6)).add(1.5, 0, range(6), good=False).associate()
    assert len(found) == 0


def test_a_neighbor_that_is_too_faint_to_matter_does_not() -> None:
    faint = {"flux": 0.2, "good": False}
    assert len(Scene().add(0, 0, range(6)).add(1.5, 0, range(6), **faint).associate()) == 1
    assert len(Scene().add(0, 0, range(6)).add(1.5, 0, range(6), flux=1.0).associate()) == 0
    unknown = {"flux": np.nan, "good": False}
    assert len(Scene().add(0, 0, range(6)).add(1.5, 0, range(6), **unknown).associate()) == 0


@pytest.mark.parametrize(
    ("visits", "times", "stars"), [(3, 1, 0), (4, 1, 1), (4, 2, 0), (30, 3, 1)]
)
def test_a_flaw_of_single_visits_is_forgiven(visits: int, times: int, stars: int) -> None:
    found = Scene().add(0, 0, range(visits)).add(1.5, 0, range(times), good=False).associate()
    assert len(found) == stars
    if stars:
        assert found.n_disturbed.tolist() == [times]
        assert found.n_source.tolist() == [visits - times]


def test_a_second_detection_in_a_visit_disturbs_it() -> None:
    found = Scene().add(0, 0, range(6)).add(0.6, 0, [2], good=False).associate()
    assert found.n_source.tolist() == [5]
    assert found.n_disturbed.tolist() == [1]


def test_a_stray_member_is_left_out_and_disturbs_its_visit() -> None:
    """One that friends of friends reach, too far from the mean to be the star."""
    scene = Scene().add(0, 0, range(20)).add(0.8, 0, [20]).add(1.6, 0, [21])
    found = scene.associate()
    assert found.n_disturbed.tolist() == [1]
    assert (scene.detections().visit[found.star == 0] < 21).all()
    # The same, and the star itself in these visits: two sources side by side.
    beside = Scene().add(0, 0, range(8)).add(0.8, 0, [0, 1]).add(1.6, 0, [0, 1])
    assert len(beside.associate()) == 0


def test_a_star_that_moves_keeps_the_middle_of_its_path() -> None:
    scene = Scene()
    for visit in range(15):
        scene.add(0.2 * (visit - 7), 0, [visit])
    found = scene.associate()
    assert scene.detections().visit[found.star == 0].tolist() == list(range(2, 13))


def test_a_wrong_wcs_of_one_visit_makes_no_second_star() -> None:
    found = Scene().add(0, 0, range(9)).add(1.6, 0, [9]).associate()
    # What the visit alone shows is no star either: the true one is beside it in all others.
    assert found.n_source.tolist() == [9]


def test_galaxies() -> None:
    assert len(Scene().add(0, 0, range(6), excess=0.3).associate()) == 0
    assert len(Scene().add(0, 0, range(6), excess=0.3, error=0.5).associate()) == 1
    assert len(Scene().add(0, 0, range(6), excess=0.5, error=1.5).associate()) == 0
    assert len(Scene().add(0, 0, range(6), excess=np.nan).associate()) == 0


def test_detections_without_a_candidate_are_nothing() -> None:
    found = Scene().add(0, 0, range(6), good=False).associate()
    assert len(found) == 0
    assert (found.star == -1).all()
    assert (found.seen == -1).all()


def test_few_sources() -> None:
    config = CONFIG.model_copy(update={"min_sources": 3})
    found = Scene().add(0, 0, [0, 1]).add(30, 0, [0, 1, 2]).associate(config)
    assert found.n_source.tolist() == [3]


def test_selection_frees_the_detections_of_the_others() -> None:
    found = Scene().add(0, 0, range(3)).add(30, 0, range(4)).associate()
    some = found.select(found.n_source == 4)
    assert len(some) == 1
    assert (some.star >= 0).sum() == 4
    assert (some.star[found.star == int(np.argmin(found.n_source))] == -1).all()


def test_which_detections_may_stand_for_a_star() -> None:
    flags = {name: np.zeros(6, bool) for name in DetectionConfig().bad_flags}
    flags["pixelFlags_edge"][1] = True
    columns = flags | {
        "psfFlux_instFlux": np.array([100.0, 100.0, 7.9, np.nan, 100.0, 5000.0]),
        "psfFlux_instFluxErr": np.ones(6),
        "blendedness": np.array([np.nan, 0, 0, 0, 0.2, 0]),
    }
    good = good_detections(columns, DetectionConfig())
    assert good.tolist() == [True, False, False, False, False, True]
    limited = good_detections(columns, DetectionConfig(max_snr=1000.0))
    assert limited.tolist() == [True, False, False, False, False, False]
