"""Why a job would run, in words that name what has changed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from drpflow.errors import InputError
from drpflow.workflow.code_notes import changed_code
from drpflow.workflow.snakemake_notes import recorded_inputs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from drpflow.workflow.dry_run import PlannedJob
    from drpflow.workflow.plan import Plan

_MOST_FILES: Final = 3
_DIGEST: Final = re.compile(r"[0-9a-f]{16}")
_INPUT_SET: Final = "Set of input files has changed since last execution"
_WORDS: Final = {
    "Code has changed since last execution": "the command line of its rule has changed",
    "Forced execution": "it was asked for by force",
}


def reasons_of(job: PlannedJob, plan: Plan) -> list[str]:
    """Return why a job would run, beside that others do.

    Parameters
    ----------
    job
        The job.
    plan
        The run as it stands.

    Returns
    -------
    list of str
        A clause a reason; none where it merely follows others.
    """
    found = list(_of_missing(job, plan))
    if job.updated:
        have = "has" if len(job.updated) == 1 else "have"
        found.append(f"{_some(job.updated)} {have} changed")
    if job.params is not None:
        found += _of_params(job.task, *job.params, plan)
    for text in job.other:
        found += _of_inputs(job) if text == _INPUT_SET else [_WORDS.get(text, text)]
    return found


def _of_missing(job: PlannedJob, plan: Plan) -> Iterator[str]:
    """Yield what is said of outputs that are not there: none yet, used up, or lost."""
    gone = [path for path in job.missing if not _is_temporary(path, plan)]
    if job.missing and not any(Path(path).exists() for path in job.outputs):
        yield "it has not run yet"
    elif gone:
        yield f"{_some(gone)} {'is' if len(gone) == 1 else 'are'} not there"
    elif job.missing:
        names = sorted({plan.table.locate(path).name for path in job.missing})
        yield f"{_some(names)}, deleted after use, is needed again"


def _is_temporary(path: str, plan: Plan) -> bool:
    try:
        return plan.is_temporary(plan.table.locate(path).name)
    except InputError:
        return False


def _of_inputs(job: PlannedJob) -> list[str]:
    """Return which inputs are new, and which are no longer asked for."""
    records = (recorded_inputs(path) for path in job.outputs)
    before = next((record for record in records if record is not None), None)
    if before is None:
        return ["it has other inputs than before"]
    new, old = sorted(set(job.inputs) - before), sorted(before - set(job.inputs))
    told = [f"it has {n} inputs more ({_some(new)})" for n in [len(new)] if new]
    return told + [f"it has {n} inputs less ({_some(old)})" for n in [len(old)] if old]


def _of_params(task: str, before: Sequence[Any], now: Sequence[Any], plan: Plan) -> list[str]:
    """Return what changed params say: each kind of value has a form of its own."""
    kinds = dict.fromkeys(_kind(value) for value in (*before, *now))
    found: list[str] = []
    for kind in kinds:
        old, new = ([v for v in values if _kind(v) == kind] for values in (before, now))
        match kind:
            case "config":
                found += _of_config(task, _first(old), _first(new), plan)
            case "row":
                found += _changes("visit sheet: ", _flat(_first(old)), _flat(_first(new)))
            case "sky map":
                found += _changes("skyMap.", _flat(_first(old)), _flat(_first(new)))
            case "digest":
                found += _of_digests(task, old, new, plan)
            case "files":
                found.append(f"the sheets name other files for it: {new}, before {old}")
            case _:
                found.append(f"a parameter is {_plain(new)}, was {_plain(old)}")
    return found


def _kind(value: Any) -> str:
    if not isinstance(value, str):
        return "value"
    if _DIGEST.fullmatch(value):
        return "digest"
    if value.startswith("--raw "):
        return "files"
    if not value.startswith("{"):
        return "value"
    keys = json.loads(value).keys()
    if {"physical_filter", "mjd"} <= keys:
        return "row"
    return "sky map" if {"pixel_scale_arcsec", "patch_inner_pix"} <= keys else "config"


def _of_digests(task: str, old: Sequence[str], new: Sequence[str], plan: Plan) -> list[str]:
    """Tell code, reference catalogue and camera file apart."""
    found, code = [], plan.code.get(task, "")
    rest = [digest for digest in new if digest != code]
    if code in new:
        noted = (changed_code(digest, code) for digest in old)
        changes = next((change for change in noted if change is not None), None)
        what = "; ".join(changes) if changes else "which functions, no note of an earlier run tells"
        found.append(f"its code has changed ({what})")
    if plan.reference_digest in rest:
        found.append("the files of the reference catalogue have changed")
    if set(rest) - {plan.reference_digest}:
        found.append("what it reads of the camera file, or its throughputs, has changed")
    return found


def _of_config(task: str, old: str | None, new: str | None, plan: Plan) -> list[str]:
    """Return which keys of a section differ, with defaults written out."""
    section = getattr(plan.run, task, None)
    default = _flat(type(section)().model_dump_json()) if section is not None else {}
    return _changes(f"config: {task}.", {**default, **_flat(old)}, {**default, **_flat(new)})


def _changes(what: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    keys = [key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)]
    return [f"{what}{key} is {_word(new, key)}, was {_word(old, key)}" for key in keys]


def _word(values: Mapping[str, Any], key: str) -> str:
    return json.dumps(values[key]) if key in values else "not set"


def _flat(text: str | None) -> dict[str, Any]:
    """Return the values of nested JSON under dotted keys."""

    def walk(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
        for key, value in values.items():
            if isinstance(value, dict) and value:
                yield from walk(value, f"{prefix}{key}.")
            else:
                yield f"{prefix}{key}", value

    return dict(walk(json.loads(text or "{}"), ""))


def _first(values: Sequence[str]) -> str | None:
    return values[0] if values else None


def _plain(values: Sequence[Any]) -> str:
    return ", ".join(map(repr, values)) or "not set"


def _some(names: Sequence[str]) -> str:
    """Return the first of many names."""
    more = f" and {len(names) - _MOST_FILES} more" if len(names) > _MOST_FILES else ""
    return ", ".join(names[:_MOST_FILES]) + more
