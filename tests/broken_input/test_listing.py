"""Several broken frames in one survey: each is listed with its reason, and the rest goes on."""

from __future__ import annotations

import json
import shutil
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from drpflow.cli import main
from drpflow.io.datasets import DatasetTable
from drpflow.io.sheets import read_exposures, read_rejected, read_visits
from drpflow.io.status_files import write_outcome
from tests.broken_input.conftest import DETECTOR, VISIT, Survey


def break_in_every_way(survey: Survey) -> dict[str, str]:
    """Break the other five frames; return a part of the reason for each by file name."""
    short, empty, no_key, no_filter, no_time = (
        path for path in sorted(survey.folder.glob("raw/*/*.fits")) if path != survey.frame
    )
    short.write_bytes(short.read_bytes()[: short.stat().st_size // 2])
    empty.write_bytes(b"")
    fits.delval(no_key, "EXPTIME")
    fits.setval(no_filter, "FILTER", value="sim_q")
    fits.setval(no_time, "EXPTIME", value=0.0)
    twice = survey.frame.with_name(f"{survey.frame.stem}_again.fits")
    shutil.copy(survey.frame, twice)
    with fits.open(survey.frame, mode="update") as hdus:
        hdus[0].data = np.full(hdus[0].data.shape, np.nan, np.float32)
    return {
        short.name: "truncated",
        empty.name: "the file is empty",
        no_key.name: "header key EXPTIME is missing",
        no_filter.name: "filter 'sim_q' is not in camera",
        no_time.name: "exposure_time_s is 0",
        twice.name: f"visit {VISIT} detector {DETECTOR} is given by",
    }


def test_every_broken_frame_is_listed_with_its_reason(
    survey: Survey, capsys: pytest.CaptureFixture[str]
) -> None:
    reasons = break_in_every_way(survey)
    assert survey.ingest() == 0
    rejected = {
        Path(row.path).name: row.reason
        for row in read_rejected(survey.folder / "sheets/rejected.tsv")
    }
    assert rejected.keys() == reasons.keys()
    assert all(part in rejected[name] for name, part in reasons.items())
    visits = read_visits(survey.folder / "sheets/visits.tsv")
    (frame,) = read_exposures(survey.folder / "sheets/exposures.tsv", visits)
    assert (frame.visit, frame.detector) == (VISIT, DETECTOR)

    lost = survey.isr()
    assert lost["outcome"] == "failed"
    status = DatasetTable.load().status_path("results", "isr", visit=VISIT, detector=DETECTOR)
    status.parent.mkdir(parents=True)
    values = json.loads((survey.folder / "out/status.json").read_text())
    del values["crc32"]
    write_outcome(status, values | {"data_id": {"visit": VISIT, "detector": DETECTOR}})

    capsys.readouterr()
    assert main(["status", "--all"]) == 1
    told = "".join(capsys.readouterr().out.split())
    assert main(["report"]) == 0
    page = unescape(Path("results/report/index.html").read_text())
    for reason in (*rejected.values(), lost["reason"]):
        assert reason in page
        assert "".join(reason.split()) in told
