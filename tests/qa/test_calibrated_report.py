"""The report of calibrated visits: what a reader finds on the page."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from drpflow.qa.calibration_section import about_band, of_a_second
from drpflow.qa.report import write_report
from tests.qa.calibrated_run import write_run


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("run")
    write_run(root, "rg")
    write_report(root, root / "index.html")
    write_report(root, root / "again.html")
    assert (root / "index.html").read_bytes() == (root / "again.html").read_bytes()
    return (root / "index.html").read_text()


def test_page_is_self_contained(page: str) -> None:
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)", page)
    for anchor in re.findall(r"href=\"#([^\"]+)\"", page):
        assert f'id="{anchor}"' in page


def test_every_visit_has_its_figures_and_numbers(page: str) -> None:
    for visit in (7, 8):
        part = page.split(f'id="visit-{visit}"')[1].split("Losses</h4>")[0]
        captions = re.findall(r"<figcaption>([^<]+)", part)
        assert len(captions) == 8
        assert part.count("<img") == 8
        assert len(re.findall(r"<tr>", part)) == 1 + 4


def test_lost_and_rescued_detectors_are_named_with_the_reason(page: str) -> None:
    table = page.split("Lost and rescued detectors</h3>")[1].split("</table>")[0]
    rows = [re.findall(r"<td[^>]*>([^<]*)", row) for row in table.split("<tr>")[2:]]
    assert rows == [
        ["7", "1", "stars", "neighbors", "–"],
        ["7", "2", "none", "none", "&lt;no star&gt; was found"],
    ]


def test_the_run_at_a_glance(page: str) -> None:
    tiles = dict(re.findall(r"<b>([^<]*)</b><span>([^<]*)</span>", page))
    assert tiles["7 / 8"] == "detectors of use"
    assert tiles["1"] == "of them rescued"
    assert "0.9" in next(value for value, label in tiles.items() if label == "median PSF width")


def test_zero_points_of_a_second_about_the_median_of_the_band() -> None:
    zero, exposure = np.array([30.0, 28.5, 29.0, np.nan]), np.array([30.0, 30 / 3.9810717, 30, 0])
    found = of_a_second(zero, exposure)
    assert found[0] == pytest.approx(30 - 2.5 * np.log10(30))
    assert found[1] == pytest.approx(found[0], abs=1e-6), "1.5 magnitudes are four times the light"
    assert of_a_second(zero, None)[0] == 30
    bands = np.array(["g", "g", "r", "r"])
    np.testing.assert_allclose(about_band(found, bands)[:3], 0, atol=1e-6)


def test_stars_without_directions_have_circles(tmp_path: Path) -> None:
    write_run(tmp_path, "r", offsets=False)
    write_report(tmp_path, tmp_path / "index.html")
    assert "stars − reference catalogue" in (tmp_path / "index.html").read_text()
