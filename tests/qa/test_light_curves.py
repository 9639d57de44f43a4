"""Light curves of places whose brightness is known."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from drpflow.errors import MissingDatasetError
from drpflow.io.store import Store
from drpflow.qa.light_curves import LightCurve, draw_light_curve, place_of, read_light_curve
from tests.qa.final_run import (
    DEPTH_MAG,
    TRANSIENT_NJY,
    TRANSIENT_VISITS,
    VISITS,
    transient_place,
    write_final_run,
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return write_final_run(tmp_path_factory.mktemp("curves"))


def test_transient_is_seen_when_it_shines(store: Store) -> None:
    found = read_light_curve(store, "new", *transient_place())
    assert found.visit.tolist() == list(VISITS)
    assert found.visit[found.detected].tolist() == list(TRANSIENT_VISITS)
    assert found.flux_njy[found.detected] == pytest.approx(
        [TRANSIENT_NJY * v for v in TRANSIENT_VISITS]
    )
    assert found.detector[found.detected].tolist() == [1, 1, 1]
    assert (found.separation_arcsec[found.detected] < 1e-3).all()
    assert found.limit_njy == pytest.approx(10 ** (0.4 * (31.4 - DEPTH_MAG)))
    mag = found.columns()["mag"][found.detected]
    assert mag[0] == pytest.approx(31.4 - 2.5 * np.log10(3 * TRANSIENT_NJY))


def test_place_by_a_pixel(store: Store) -> None:
    assert place_of(store, 3, 1, 300.0, 8.0) == pytest.approx(transient_place(), abs=1e-9)
    with pytest.raises(MissingDatasetError):
        place_of(store, 99, 1, 0, 0)


def test_place_that_no_visit_covers(store: Store) -> None:
    found = read_light_curve(store, "nowhere", 10.0, 60.0)
    assert found.visit.size == 0
    assert found.columns()["mag"].size == 0


def test_what_is_flagged_says_so(store: Store) -> None:
    """The first star is under an artifact in every visit."""
    table = store.get("source", visit=1).to_dict()
    k = int(np.flatnonzero(table["pixelFlags_artifactCenter"])[0])
    found = read_light_curve(store, "spoilt", table["ra"][k], table["dec"][k])
    assert found.flagged.all()
    assert found.detected.all()


def test_a_source_whose_flux_failed_is_no_upper_limit(store: Store) -> None:
    found = read_light_curve(store, "new", *transient_place())
    failed = replace(found, flux_njy=np.full(found.visit.size, np.nan))
    np.testing.assert_array_equal(failed.detected, found.detected)
    limits = [
        sum(line.get_xdata().size for axes in figure.axes for line in axes.lines
            if line.get_marker() == "v")
        for figure in (draw_light_curve(found), draw_light_curve(failed))
    ]  # fmt: skip
    assert limits[0] == limits[1] == (~found.detected).sum()


def test_longest_of_many_nights_has_its_own_panel(store: Store) -> None:
    found = read_light_curve(store, "new", *transient_place())
    many = replace(found, mjd=np.array([1.0, 2, 3, 4, 5, 6, 7, 7.1]))
    assert len(draw_light_curve(many).axes) == 7
    more = LightCurve(*(np.tile(v, 2) if isinstance(v := getattr(found, n), np.ndarray) else v
                        for n in LightCurve.__dataclass_fields__))  # fmt: skip
    nights = np.repeat(np.arange(14.0), 1 + (np.arange(14) == 9) * 2)
    many = replace(more, mjd=nights + np.linspace(0, 0.1, 16))
    panels = draw_light_curve(many).axes
    assert len(panels) == 2
    assert panels[1].get_xlabel() == "MJD − 9"


def test_figure_has_a_panel_a_night(store: Store) -> None:
    found = read_light_curve(store, "new", *transient_place())
    figure = draw_light_curve(found)
    assert len(figure.axes) == len(VISITS)
    labels = {text.get_text() for text in figure.legends[0].get_texts()}
    assert labels == {"g", "r", "g, 5 sigma", "r, 5 sigma"}


def overlaps(texts: list[Text]) -> list[tuple[str, str]]:
    """Return the pairs of texts of a drawn figure that cover each other."""
    shown = [t for t in texts if t.get_visible() and t.get_text()]
    boxes = [(t.get_text(), t.get_window_extent()) for t in shown]
    return [(a, b) for (a, one), (b, other) in combinations(boxes, 2) if one.overlaps(other)]


@pytest.mark.parametrize("visits", [(1,) * 8, (1, 1, 1, 1, 1, 1, 1, 12), (1, 2, 1, 3, 1), (4, 9)])
def test_times_do_not_overlap(store: Store, visits: tuple[int, ...]) -> None:
    """Narrow panels: lone visits, some at times of many decimals."""
    nights = np.repeat(np.arange(len(visits)), visits)
    n = nights.size
    found = read_light_curve(store, "new", *transient_place())
    values = {k: getattr(found, k) for k in LightCurve.__dataclass_fields__}
    many = LightCurve(
        **{k: np.resize(v, n) if isinstance(v, np.ndarray) else v for k, v in values.items()}
    )
    mjd = 56471.02987 + nights * 1.0031 + np.linspace(0, 0.2, n)
    figure = draw_light_curve(replace(many, mjd=mjd))
    FigureCanvasAgg(figure).draw()
    ticks = [
        text
        for axes in figure.axes
        for text in axes.get_xticklabels()
        if axes.get_xlim()[0] <= text.get_position()[0] <= axes.get_xlim()[1]
    ]
    assert len(ticks) >= len(visits)
    assert overlaps(ticks) == []
    assert overlaps([axes.xaxis.label for axes in figure.axes]) == []
