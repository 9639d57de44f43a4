from pathlib import Path

import pyarrow.parquet as pq

from drpflow.sim.readout import Readout
from tests.sim.surveys import tiny


def test_hardware_is_recorded(tiny_folder: Path) -> None:
    survey = tiny()
    readout = Readout(survey.config.detector, survey.config.seed)
    amplifiers = pq.read_table(tiny_folder / "truth" / "amplifiers.parquet").to_pylist()
    defects = pq.read_table(tiny_folder / "truth" / "defects.parquet").to_pylist()
    assert len(amplifiers) == 8
    for detector in survey.instrument.detectors:
        true = readout.amplifiers(detector)
        rows = [r for r in amplifiers if r["detector"] == detector.id]
        assert [r["gain"] for r in rows] == list(true.gain)
        boxes = [
            ((r["x0"], r["x1"], r["y0"], r["y1"]), r["kind"])
            for r in defects
            if r["detector"] == detector.id
        ]
        assert boxes == [(d.box, d.kind) for d in readout.sensor(detector).defects]
    crosstalk = pq.read_table(tiny_folder / "truth" / "crosstalk.parquet")
    assert crosstalk.num_rows == 2 * 12


def test_frames_are_recorded(tiny_folder: Path) -> None:
    table = pq.read_table(tiny_folder / "truth" / "detector_frames.parquet")
    found = {(r["visit"], r["detector"]) for r in table.to_pylist()}
    assert found == {(v, d) for v in (1, 2, 3) for d in (0, 1)}
    assert {"cosmic_rays", "saturated_pixels", "bias_C00"} <= set(table.column_names)
