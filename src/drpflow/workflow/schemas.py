"""JSON schemas and the page on the configuration, made from the models.

The models are the only place where a parameter is declared. ``python -m
drpflow.workflow.schemas`` writes ``workflow/schemas/*.json`` and ``docs/configuration.md`` anew;
a test fails where they differ.
"""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel

from drpflow.config.run import RunConfig
from drpflow.data.camera import Camera
from drpflow.io.atomic import write_text
from drpflow.io.datasets import DatasetTable
from drpflow.paths import share_root

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic.fields import FieldInfo

_INTRODUCTION = """\
# Configuration

Every key of `config/config.yaml`, generated from the models in `src/drpflow/config`
(`python -m drpflow.workflow.schemas`). config/README.md tells how the file is used.
Unknown keys, wrong types and values out of range are refused before anything runs.
"""


def config_schema() -> dict[str, Any]:
    """Return the JSON schema of the run configuration."""
    return RunConfig.model_json_schema()


def documents(root: Path) -> dict[Path, str]:
    """Return every generated file of a source checkout with its contents."""
    schemas = root / "workflow" / "schemas"
    return {
        schemas / "config.schema.json": _json(config_schema()),
        schemas / "camera.schema.json": _json(Camera.model_json_schema()),
        schemas / "datasets.schema.json": _json(DatasetTable.model_json_schema()),
        root / "docs" / "configuration.md": configuration_page(),
    }


def configuration_page() -> str:
    """Return the page on the configuration, as Markdown."""
    parts = [_INTRODUCTION, "## The run\n", _table(RunConfig)]
    for name, model in _sections(RunConfig):
        parts += _chapter(name, model)
    return "\n".join(parts)


def _chapter(name: str, model: type[BaseModel]) -> list[str]:
    """Return a section and the sections in it, e.g. ``isr`` and ``isr.overscan``."""
    mark = "###" if "." in name else "##"
    parts = [f"{mark} `{name}`\n", _paragraph(model), _table(model)]
    for inner, inner_model in _sections(model):
        parts += _chapter(f"{name}.{inner}", inner_model)
    return parts


def main() -> int:
    """Write every generated file."""
    for path, text in documents(share_root()).items():
        write_text(path, text)
    return 0


def _json(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


def _sections(model: type[BaseModel]) -> list[tuple[str, type[BaseModel]]]:
    """Return the fields of a model that are models themselves."""
    found = []
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            found.append((name, inner))
    return found


def _paragraph(model: type[BaseModel]) -> str:
    return re.sub(r"``(.*?)``", r"`\1`", (model.__doc__ or "").strip()) + "\n"


def _table(model: type[BaseModel]) -> str:
    inner = dict(_sections(model))
    rows = ["| key | default | unit | range | meaning |", "|---|---|---|---|---|"]
    for name, field in model.model_fields.items():
        default = "a section" if name in inner else _default(field)
        meaning = (field.description or "").replace("|", "\\|")
        cells = [f"`{name}`", default, _unit(field), _range(field), meaning]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "*required*"
    value = field.get_default(call_default_factory=True)
    if value is None:
        return "unset"
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    return f"`{json.dumps(value, default=str)}`"


def _unit(field: FieldInfo) -> str:
    extra = field.json_schema_extra
    return str(extra.get("unit") or "") if isinstance(extra, dict) else ""


def _range(field: FieldInfo) -> str:
    """Return what a value may be, e.g. ``> 0`` or a list of choices."""
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    parts = [
        f"{sign} {getattr(constraint, name):g}"
        for constraint in field.metadata
        for name, sign in signs.items()
        if getattr(constraint, name, None) is not None
    ]
    choices = [a for a in get_args(field.annotation) if isinstance(a, str)]
    return ", ".join(parts + [f"`{choice}`" for choice in choices])


if __name__ == "__main__":
    sys.exit(main())
