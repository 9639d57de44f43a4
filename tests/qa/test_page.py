"""The page as a reader has it: whole, apart from the network, readable, of bounded size."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from drpflow.config.make_report import MakeReportConfig, VisitLimitsConfig
from drpflow.io.atomic import write_json
from drpflow.io.status_files import Outcome
from drpflow.io.store import Store
from drpflow.qa.attrition_section import attrition_section
from drpflow.qa.calibration_section import VisitNumbers, calibration_section
from drpflow.qa.flags_section import FlagCounts, flags_section
from drpflow.qa.page import MOST_ROWS, Block, Column, Marked, Picture, Section, make_table, render
from drpflow.qa.report import write_report
from drpflow.qa.sky_section import SkyChapter
from drpflow.qa.visit_pages import VisitPages, anchor_of
from drpflow.qa.visit_states import VisitFigures, VisitState, in_order_of_interest, visit_states
from tests.qa.browser import browser
from tests.qa.calibrated_run import write_run
from tests.qa.final_run import transient_place, write_final_run
from tests.qa.page_structure import Structure
from tests.qa.test_coadds import write_coadds

TEMPLATE = Path(__file__).parents[2] / "src/drpflow/qa/templates/report.html"
BENCHMARK = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
PHONE_PIX, LAPTOP_PIX = 390, 1300
FAULTS = (
    '<a href="#nowhere">x</a><div style="width:3000px">x</div>'
    '<img src="http://127.0.0.1:9/x.png" alt="x"><script>fail()</script>'
)
TRENDS = ("width", "zero point", "sky", "5 sigma", "to")


def write_whole_run(root: Path) -> None:
    """Write products of all kinds of chapters: those of several small runs in one folder."""
    write_final_run(root)
    write_run(root, "rg")
    write_coadds(root)
    for detector, outcome in enumerate(("done", "failed")):
        status = {"task": "isr", "data_id": {"visit": 7, "detector": detector}, "numbers": {},
                  "outcome": outcome, "reason": "" if outcome == "done" else "<all> is NaN",
                  "hint": ""}  # fmt: skip
        write_json(root / f"status/isr/visit=7/detector={detector}.json", status)
        times = root / f"benchmarks/isr/visit=7/detector={detector}.tsv"
        times.parent.mkdir(parents=True, exist_ok=True)
        times.write_text(BENCHMARK + "4.0\t0:00:04\t300\t1\t1\t1\t5\t6\t75\t3.0\n")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("whole")
    write_whole_run(root)
    config = MakeReportConfig(light_curves={"new": transient_place(), "nowhere": (10.0, 60.0)})
    write_report(root, root / "index.html", config)
    text = (root / "index.html").read_text()
    shutil.rmtree(root)
    return text


@pytest.fixture(scope="module")
def structure(page: str) -> Structure:
    return Structure.of(page)


def test_page_is_whole_and_apart_from_the_network(page: str, structure: Structure) -> None:
    assert structure.faults == []
    assert structure.policy.startswith("default-src 'none'; img-src data:;")
    assert len(structure.ids) == len(set(structure.ids))
    assert {t[0] for t in structure.targets} == {"#"}
    assert {t[1:] for t in structure.targets} <= set(structure.ids)
    assert all(s.startswith("data:image/webp;base64,") for s in structure.sources)
    assert not re.search(r"(?:url\(|@import|//[a-z])", re.sub(r'"data:[^"]*"', "", page))


def test_every_chapter_is_reached(page: str, structure: Structure) -> None:
    chapters = re.findall(r'<section id="([^"]+)"', page)
    assert {"overview", "attrition", "calibration", "summary", "coadds", "final", "light-curves",
            "visits", "flags", "resources"} <= set(chapters)  # fmt: skip
    assert {f"#{key}" for key in chapters} <= set(structure.targets)


def test_images_say_what_they_show_and_how_large_they_are(structure: Structure) -> None:
    assert len(structure.images) > 30
    for image in structure.images:
        assert len(image["alt"]) > 10
        assert int(image["width"]) > 100
        assert int(image["height"]) > 50


def test_the_overview_judges(page: str) -> None:
    part = page.split('<section id="overview"')[1].split("</section>")[0]
    row = next(r for r in part.split("<tr>") if "jobs that failed" in r)
    cells = re.findall(r'<td(?: class="([^"]*)")?>(?:<a href="#([^"]*)">)?([^<]*)', row)
    assert cells[1] == ("bad", "", "50")
    assert [c[2] for c in cells[2:6]] == ["%", "2", "0", "5"]
    assert cells[6] == ("text bad", "", "bad")
    assert cells[7] == ("text", "attrition", "Jobs")
    assert "Not told by this run so far: visits without a zero point" in part


def test_the_page_of_a_visit_says_what_was_lost(page: str) -> None:
    assert '<td><a href="#visit-7">7</a></td><td class="text watch">watch: lost detectors' in page
    part = page.split('id="visit-7"')[1].split('id="visit-8"')[0]
    for title in ("First look", "Final calibrations", "Losses"):
        assert f"<h4>{title}</h4>" in part
    assert "&lt;all&gt; is NaN" in part.split("Losses</h4>")[1]


def test_light_curves_of_the_configuration(page: str) -> None:
    part = page.split('<section id="light-curves"')[1].split("</section>")[0]
    assert part.count("<img") == 1
    rows = [re.findall(r"<td[^>]*>([^<]*)", r) for r in part.split("<tr>")[2:]]
    assert rows[0][:1] + rows[0][3:5] == ["new", "8", "3"]
    assert rows[1][:1] + rows[1][3:5] == ["nowhere", "0", "0"]


def test_the_page_in_a_browser(page: str, tmp_path: Path) -> None:
    """No errors, no requests, all figures load, links lead somewhere, nothing is too wide.

    A page with all these faults shows that they would be seen.
    """
    found = {}
    with browser(tmp_path) as chromium:
        for name, text, width in (
            ("phone", page, PHONE_PIX),
            ("laptop", page, LAPTOP_PIX),
            ("broken", page.replace("<h1>", FAULTS + "<h1>"), PHONE_PIX),
        ):
            file = tmp_path / f"{name}.html"
            file.write_text(text)
            found[name] = chromium.look(file, width)
    for name, width in (("phone", PHONE_PIX), ("laptop", LAPTOP_PIX)):
        assert found[name]["faults"] == []
        assert found[name]["images"] == page.count("<img ")
        # A scroll bar takes some of a laptop's window.
        assert width - 20 <= found[name]["width"] <= width
    told = " ".join(found["broken"]["faults"])
    for fault in ("Content Security Policy", "fail is not defined", "empty: x", "wider than",
                  "dead link: #nowhere"):  # fmt: skip
        assert fault in told


def _brightness(color: str) -> float:
    """Return the relative luminance of ``#rgb`` or ``#rrggbb`` (WCAG 2.2)."""
    text = color[1:] if len(color) == 7 else "".join(2 * c for c in color[1:])
    parts = [int(text[k : k + 2], 16) / 255 for k in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_text_stands_out_by_day_and_by_night() -> None:
    """Contrast of 4.5 at least, which WCAG 2.2 asks of small text (1.4.3, AA)."""
    text = TEMPLATE.read_text()
    rules = re.findall(r"(?s):root \{(.*?)\}", text)
    schemes = [dict(re.findall(r"--([\w-]+): (#\w+)", rule)) for rule in rules]
    assert len(schemes) == 2
    for colors in schemes:
        pairs = [(ink, paper) for ink in ("ink", "soft", "accent", "good", "watch", "bad")
                 for paper in ("paper", "band")]  # fmt: skip
        pairs += [(mood, f"{mood}-paper") for mood in ("good", "watch", "bad")]
        pairs += [("ink", f"{mood}-paper") for mood in ("good", "watch", "bad")]
        for ink, paper in pairs:
            high, low = sorted((_brightness(colors[ink]), _brightness(colors[paper])), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= 4.5, (ink, paper)


def test_long_tables_are_cut_and_say_so() -> None:
    table = make_table([Column("a"), Column("b", digits=1)], [[k, k / 2] for k in range(1500)])
    assert len(table.rows) == MOST_ROWS
    assert table.left_out == 500
    block = Block("t", table=table)
    page = render("x", "", [Section("k", "K", blocks=[block])], "")
    assert f"The first {MOST_ROWS} rows; 500 more are left out here." in page


def test_marked_cells() -> None:
    table = make_table([Column("a", digits=1)], [[Marked(2.04, "watch", "here")]])
    cell = table.rows[0][0]
    assert (cell, cell.mood, cell.anchor) == ("2.0", "watch", "here")  # type: ignore[attr-defined]


def test_sizes_of_images(structure: Structure) -> None:
    """Of both kinds of WebP, without and with loss."""
    sizes = {Picture(i["src"], "").size_pix for i in structure.images}
    assert None not in sizes
    assert Picture("data:image/png;base64," + 44 * "A", "").size_pix is None


def figures(visit: int, **given: float) -> VisitFigures:
    values = {"lost": 0, "detectors": 4, "width_arcsec": 0.8, "ellipticity": 0.05,
              "scatter_mmag": 10.0, "residual_mas": 20.0, "depth_mag": 24.0}  # fmt: skip
    return VisitFigures(visit, "r", **(values | given))  # type: ignore[arg-type]


def test_visits_are_judged_by_their_limits() -> None:
    visits = [figures(k) for k in range(1, 6)]
    visits += [figures(6, width_arcsec=1.2), figures(7, depth_mag=22.5, lost=1),
               figures(8, ellipticity=float("nan"))]  # fmt: skip
    states = visit_states(visits, VisitLimitsConfig())
    assert states[1] == VisitState("good", {})
    assert states[6].text() == "watch: PSF width", "1.5 times the median of its band"
    assert states[7].text() == "bad: depth", "what is only to be watched is no reason"
    assert states[7].moods == {"lost": "watch", "shallow": "bad"}
    assert states[8].mood == "good", "what is not known is not judged"
    assert visit_states([figures(1, width_arcsec=0.0)], VisitLimitsConfig())[1].mood == "good"
    assert in_order_of_interest([v.visit for v in visits], states)[:2] == [7, 6]


def test_few_visits_show_all_of_the_run() -> None:
    states = {k: VisitState("good", {}) for k in range(100)}
    first = sorted(in_order_of_interest(list(range(100)), states)[:8])
    assert np.diff(first).max() < 30


def many_visits(number: int) -> list[VisitNumbers]:
    panels = {f"{name} [x]": np.linspace(20, 25, 62) for name in TRENDS}
    row = ["20250203", "r", 30.0, 1.2, "61 / 62", 0, 1, 0.8, 0.05, 31.0, 10.0, 300.0, 20.0, 24.0,
           25.0, 100000]  # fmt: skip
    return [
        VisitNumbers(k, [k, *row], [[k, 3, "none", "none", "no stars"]], "r", 6e4 + k, 20250203,
                     panels, 61, 0, 1)
        for k in range(number)
    ]  # fmt: skip


def page_of(visits: list[VisitNumbers]) -> int:
    """Return the size of what grows with visits: one detector of each is lost."""
    states = visit_states([v.figures for v in visits], VisitLimitsConfig())
    lost = [
        Outcome("isr", {"visit": v.visit, "detector": 3}, "failed", "the frame is empty")
        for v in visits
    ]
    flags = {f"pixelFlags_{k}": 1 for k in range(20)}
    sections = [
        calibration_section(visits, states, {}),
        flags_section([FlagCounts(v.visit, 100, flags) for v in visits]),
        attrition_section(lost),
    ]
    return len(render("x", "", sections, ""))


def test_tables_of_a_survey_of_a_thousand_visits_are_bounded() -> None:
    """Below 4 MB; twice as many visits are not 5 % more, since tables end at a thousand rows."""
    small, large = page_of(many_visits(1000)), page_of(many_visits(2000))
    assert small < 4e6
    assert large < 1.05 * small


def test_pages_of_a_thousand_visits_fill_the_room_that_they_are_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = Picture("data:image/webp;base64," + "A" * 400_000, "x")

    def page(_: VisitPages, visit: int, *, calibrated: bool) -> Block:
        return Block(f"{visit}", key=anchor_of(visit), parts=[Block(figures=[image])])

    monkeypatch.setattr(VisitPages, "_page", page)
    monkeypatch.setattr(VisitPages, "_known", lambda _: (list(range(1000)), set()))
    states = {k: VisitState("bad" if k == 777 else "good", {}) for k in range(1000)}
    pages = VisitPages(Store(tmp_path), {}, SkyChapter(None, {}), states)
    section = pages.section(12.0)
    size = len(render("x", "", [section], ""))
    assert 11.5e6 < size < 12.1e6
    assert anchor_of(777) in {block.key for block in section.blocks}
    assert f"Here are {len(section.blocks)} of 1000 visits" in section.note
    assert [b.title for b in pages.section(12.0, [7, 5]).blocks] == ["5", "7"]
    assert len(pages.section(0.0).blocks) == 1
