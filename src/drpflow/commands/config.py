"""Check, show or describe the config file.

check names the first fault; show prints every parameter with its value, its unit and whether
it differs from the default; schema prints the JSON schema for editors.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from drpflow.commands.output import console
from drpflow.commands.run import add_run_arguments, open_plan

if TYPE_CHECKING:
    import argparse

    from pydantic import BaseModel


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("action", choices=["check", "show", "schema"], help="what to do")
    parser.add_argument("section", nargs="?", help="show this section alone, e.g. isr")
    add_run_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Do what was asked for."""
    if args.action == "schema":
        from drpflow.workflow.schemas import config_schema

        console().print_json(json.dumps(config_schema()))
        return 0
    plan = open_plan(args)
    if args.action == "check":
        _tell_check(plan, args)
        return 0
    values: Any = plan.run
    if args.section:
        values = _section(plan.run, args.section)
    _show(values, "")
    return 0


def _tell_check(plan: Any, args: argparse.Namespace) -> None:
    for warning in plan.warnings:
        console().print(f"warning: {warning}", markup=False, highlight=False)
    visits, frames = len(plan.survey.visits), len(plan.survey.frames)
    text = f"{args.config}: good; {visits} visits, {frames} frames"
    console().print(text, markup=False, highlight=False)


def _section(run: BaseModel, name: str) -> Any:
    from drpflow.errors import InputError, suggest

    known = type(run).model_fields
    if name not in known:
        hint = suggest(name, known)
        raise InputError(name, f"no such section{hint}", f"Sections: {', '.join(known)}")
    return getattr(run, name)


def _show(model: Any, indent: str) -> None:
    """Print a model as YAML lines with comments."""
    from pydantic import BaseModel

    if not isinstance(model, BaseModel):
        console().print(f"{indent}{_plain(model)}", markup=False, highlight=False)
        return
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            console().print(f"{indent}{name}:", highlight=False)
            _show(value, indent + "  ")
            continue
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        unit = extra.get("unit") or ""
        changed = "" if value == field.get_default(call_default_factory=True) else "set"
        note = ", ".join(str(part) for part in (unit, changed) if part)
        line = f"{indent}{name}: {_plain(value)}" + (f"  # {note}" if note else "")
        console().print(line, markup=False, highlight=False)


def _plain(value: Any) -> str:
    return json.dumps(value, default=str, ensure_ascii=False)
