"""Tables of the truth about the detectors: the hardware, and what befell each frame."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.sim.readout import Readout
from drpflow.sim.tables import write_table

if TYPE_CHECKING:
    from pathlib import Path

    from drpflow.sim.survey import Survey

_UNITS = {
    "gain": "electron adu-1",
    "read_noise": "electron",
    "bias": "adu",
    "dark_electron_s": "electron s-1",
    **dict.fromkeys(("x0", "x1", "y0", "y1"), "pix"),
}


def frame_table_path(folder: Path, visit: int, detector: int) -> Path:
    """Return where the numbers of a frame wait for the others."""
    return folder / "frames" / f"{visit}_{detector}.json"


def collect_frame_tables(survey: Survey, folder: Path) -> None:
    """Put the numbers of all frames into ``detector_frames.parquet``."""
    rows = [
        json.loads(frame_table_path(folder, v.visit, d.id).read_text())
        for v in survey.visits
        for d in survey.instrument.detectors
    ]
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    units = {name: "adu" for name in columns if name.startswith("bias_")}
    write_table(folder / "detector_frames.parquet", columns, units)


def write_hardware(survey: Survey, folder: Path) -> None:
    """Write ``amplifiers.parquet``, ``crosstalk.parquet`` and ``defects.parquet``."""
    readout = Readout(survey.config.detector, survey.config.seed)
    amplifiers: list[dict[str, Any]] = []
    crosstalk: list[dict[str, Any]] = []
    defects: list[dict[str, Any]] = []
    for detector in survey.instrument.detectors:
        names = [c.name for c in readout.layout(detector)]
        true = readout.amplifiers(detector)
        for i, name in enumerate(names):
            amplifiers.append(
                {
                    "detector": detector.id,
                    "amplifier": name,
                    "gain": true.gain[i],
                    "read_noise": true.read_noise[i],
                    "bias": true.bias[i],
                    "nonlinearity": true.nonlinearity[i],
                    "wave_phase": true.wave_phase[i],
                    "serial_cti": true.serial_cti[i],
                }
            )
            crosstalk += [
                {"detector": detector.id, "victim": name, "source": source,
                 "ratio": true.crosstalk[i, j]}
                for j, source in enumerate(names) if i != j
            ]  # fmt: skip
        for item in readout.sensor(detector).defects:
            box = dict(zip(("x0", "x1", "y0", "y1"), item.box, strict=True))
            defects.append(
                {"detector": detector.id, **box, "kind": item.kind, "response": item.response,
                 "dark_electron_s": item.dark_electron_s}
            )  # fmt: skip
    for name, rows in (("amplifiers", amplifiers), ("crosstalk", crosstalk), ("defects", defects)):
        if rows:
            _write(folder / f"{name}.parquet", rows)


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    columns: dict[str, Any] = {}
    for name, first in rows[0].items():
        values = [row[name] for row in rows]
        columns[name] = values if isinstance(first, str) else np.array(values)
    write_table(path, columns, _UNITS)
