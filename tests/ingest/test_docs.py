"""The pages on cameras and ingest tell every key, column and format, and their example works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from drpflow.config.base import validate
from drpflow.data.camera import (
    HEADER_FORMATS,
    HEADER_PROPERTIES,
    Amplifier,
    Camera,
    Companions,
    Detector,
    Filter,
    HeaderValue,
    Observatory,
    Optics,
)
from drpflow.ingest.camera_check import camera_faults
from drpflow.io.sheets import CalibrationRow, ExposureRow, RejectedRow, VisitRow

DOCS = Path(__file__).parents[2] / "docs"
CAMERAS, INGEST = ((DOCS / name).read_text() for name in ("cameras.md", "ingest.md"))


@pytest.mark.parametrize(
    "model",
    [Camera, Observatory, Optics, Detector, Amplifier, Filter, HeaderValue, Companions],
    ids=lambda m: m.__name__,
)
def test_every_key_of_a_camera_file_is_told(model: type) -> None:
    assert not [name for name in model.model_fields if f"`{name}`" not in CAMERAS]  # type: ignore[attr-defined]


def test_every_property_and_format_is_told() -> None:
    assert not [
        name for name in (*HEADER_PROPERTIES, *HEADER_FORMATS) if f"`{name}`" not in CAMERAS
    ]


def test_every_shipped_camera_is_told() -> None:
    shipped = (DOCS.parent / "config" / "cameras").glob("*.yaml")
    assert not [path.stem for path in shipped if f"`{path.stem}`" not in CAMERAS]


@pytest.mark.parametrize("kind", [VisitRow, ExposureRow, CalibrationRow, RejectedRow])
def test_every_column_is_told(kind: type) -> None:
    assert ", ".join(kind._fields) in INGEST  # type: ignore[attr-defined]


def test_the_example_is_a_camera() -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", CAMERAS, re.DOTALL)
    assert camera_faults(validate(Camera, yaml.safe_load(example), "the example")) == []
