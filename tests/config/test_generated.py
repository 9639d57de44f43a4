"""What is generated from the models has been generated from these models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import BaseModel

from drpflow.config.run import RunConfig
from drpflow.paths import share_root
from drpflow.workflow.schemas import configuration_page, documents

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENTS = documents(share_root())


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_no_drift(path: Path) -> None:
    assert path.read_text() == DOCUMENTS[path], "run: python -m drpflow.workflow.schemas"


def _fields(model: type[BaseModel], prefix: str = "") -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for name, field in model.model_fields.items():
        found.append((prefix + name, field))
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            found += _fields(inner, f"{prefix}{name}.")
    return found


def test_every_parameter_is_documented_and_on_the_page() -> None:
    page = configuration_page()
    for name, field in _fields(RunConfig):
        assert getattr(field, "description", ""), f"{name} has no documentation"
        assert f"| `{name.rpartition('.')[2]}` |" in page
