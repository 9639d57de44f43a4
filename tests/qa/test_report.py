from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from drpflow.data.camera import Amplifier, Detector
from drpflow.data.detector_info import DetectorInfo
from drpflow.data.exposure import Exposure
from drpflow.data.mask import Mask
from drpflow.data.table import Table
from drpflow.io.atomic import write_json
from drpflow.io.schemas import load_schema
from drpflow.io.store import Store
from drpflow.qa.figures import sky_limits
from drpflow.qa.isr_section import amplifier_section
from drpflow.qa.report import write_report


def detector(number: int) -> Detector:
    section = (0, 64, 0, 64)
    amplifier = Amplifier(
        name="A", data_section=section, raw_data_section=section, gain=1, read_noise=5,
        saturation=60000,
    )  # fmt: skip
    return Detector(
        id=number, name=f"S{number}", size_pix=(64, 64), center_mm=(1.5 * number, 0),
        rotation_deg=90.0 * number, pixel_size_mm=0.015, amplifiers=(amplifier,),
    )  # fmt: skip


def thumbnail(number: int, rng: np.random.Generator) -> Exposure:
    image = rng.normal(500, 10, (64, 64)).astype(np.float32)
    mask = Mask.zeros((64, 64))
    mask.set("BAD", (slice(0, 4), slice(0, 64)))
    return Exposure(
        image,
        mask,
        np.full((64, 64), 100, np.float32),
        unit="electron",
        components={"detector": DetectorInfo(detector(number), "testcam")},
        missing={"wcs": "the pixels were binned"},
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    store = Store(tmp_path)
    rng = np.random.default_rng(3)
    schema = load_schema("isr_statistics")
    for number in (0, 1):
        store.put(thumbnail(number, rng), "post_isr_thumbnail", visit=7, detector=number)
        values: dict[str, list[object]] = {
            c.name: ["A"] if c.type == "str" else [1] for c in schema.columns
        }
        values |= {"visit": [7], "detector": [number], "overscan_level_adu": [1000.5 + number]}
        store.put(Table.from_columns(values, schema), "isr_statistics", visit=7, detector=number)
        status = {"task": "isr", "data_id": {"visit": 7, "detector": number}, "outcome": "done"}
        status |= {"reason": "", "numbers": {}, "hint": ""}
        if number:
            status |= {"outcome": "failed", "reason": "<the frame> is all NaN", "hint": "Look"}
        write_json(tmp_path / f"status/isr/visit=7/detector={number}.json", status)
    return tmp_path


def test_report_is_one_file_that_shows_what_there_is(root: Path) -> None:
    write_report(root, root / "report/index.html")
    page = (root / "report/index.html").read_text()
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)", page)
    assert page.count("data:image/webp;base64,") >= 4
    assert "&lt;the frame&gt; is all NaN" in page
    assert "1001.50" in page
    assert "Visit 7" in page
    ratio = float(re.findall(r"<td>(1?0?\.\d{3}|1\.\d{3})</td>", page)[0])
    assert 0.9 < ratio < 1.1


def test_amplifiers_without_overscan(root: Path) -> None:
    """No curve of those that have none, no figure where none has; all numbers stay listed."""
    store, schema = Store(root), load_schema("isr_statistics")
    assert len(amplifier_section(store).blocks[0].figures) == 2
    for without, figures in (([0], 2), ([0, 1], 0)):
        for number in without:
            old = store.get("isr_statistics", visit=7, detector=number).to_dict()
            nan = {n: np.array([np.nan]) for n in ("overscan_level_adu", "overscan_sigma_adu")}
            made = Table.from_columns({**old, **nan}, schema)
            store.put(made, "isr_statistics", visit=7, detector=number)
        blocks = amplifier_section(Store(root)).blocks
        assert sum(len(block.figures) for block in blocks) == figures
        assert len(blocks[-1].table.rows) == 2


def test_two_reports_are_equal(root: Path) -> None:
    for name in ("a.html", "b.html"):
        write_report(root, root / name)
    assert (root / "a.html").read_bytes() == (root / "b.html").read_bytes()


def test_an_empty_run_has_a_report(tmp_path: Path) -> None:
    write_report(tmp_path, tmp_path / "index.html")
    assert "Nothing was lost" in (tmp_path / "index.html").read_text()


def test_sky_limits_hold_the_sky_and_not_the_stars() -> None:
    rng = np.random.default_rng(1)
    image = rng.normal(100, 2, (200, 200)).astype(np.float32)
    image[:5] = 1e5
    low, high = sky_limits([image])
    assert low == pytest.approx(96, abs=0.5)
    assert high == pytest.approx(124, abs=1.5)
    assert sky_limits([]) == (0.0, 1.0)
