"""The files of planCoaddition: summaries of visits in, a plan out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drpflow import __version__
from drpflow.data.coadd_plan import CoaddPlan
from drpflow.data.provenance import Provenance
from drpflow.data.table import Table
from drpflow.errors import InputError
from drpflow.io.component_tables import PREFIX, plain_columns
from drpflow.io.schemas import load_schema
from drpflow.io.tables import read_table, write_table
from drpflow.io.visit_info_files import path_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Columns: TypeAlias = Mapping[str, NDArray[Any]]

_NAME = "coadd_plan"
_SUMMARY = "final_visit_summary"
_META = ("target_sigma_pix", "target_fwhm_pix", "limits", "efficiency")


def read_summaries(
    pattern: str, visits: Sequence[int], needed: Sequence[str]
) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """Read the plain columns of the summaries of visits, and what their detectors lack.

    Parameters
    ----------
    pattern
        Path of ``final_visit_summary``, with ``{visit}``.
    visits
        The visits.
    needed
        Components that a detector must have, ``background`` among them.

    Returns
    -------
    columns, lacking
        A row a detector; which of `needed` each lacks, with reasons, empty for none.

    Raises
    ------
    InputError
        If a file cannot be read.
    MissingDatasetError
        If one does not exist.
    """
    parts, lacking = [], []
    for visit in visits:
        path = path_of(pattern, visit=visit)
        held = [name for name in needed if name != "background"]
        names = [*plain_columns(path), *(PREFIX + name for name in held)]
        columns = read_table(path, names).to_dict()
        reasons = [_lacking(columns, held, k) for k in range(len(columns["detector"]))]
        lacking += [
            "; ".join(
                [*texts, *([] if has or "background" not in needed else ["without background"])]
            )
            for texts, has in zip(reasons, columns["has_background"], strict=True)
        ]
        plain = {n: c for n, c in columns.items() if not n.startswith(PREFIX)}
        plain["visit"] = np.full(len(columns["detector"]), visit, np.int64)
        parts.append(plain)
    merged = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return merged, lacking


def _lacking(columns: Columns, held: Sequence[str], row: int) -> list[str]:
    texts = []
    for name in held:
        record = str(columns[PREFIX + name][row])
        reason = json.loads(record).get("missing") if record.startswith('{"missing"') else None
        if reason is not None:
            texts.append(f"without {name}: {reason}")
    return texts


def write_plan(plan: CoaddPlan, visits: Sequence[int], options: Mapping[str, Any]) -> None:
    """Write a plan.

    Parameters
    ----------
    plan
        The plan; it may have no rows.
    visits
        Those that it was made from.
    options
        ``coadd_plan``: the file; ``tract``, ``band``; for the provenance ``config``, ``code``
        and ``final_visit_summary`` with ``{visit}``.
    """
    schema = load_schema(_NAME)
    inner = schema.without({"tract", "band"})
    columns = {c.name: plan.columns.get(c.name, np.zeros(0, c.type)) for c in inner.columns}
    about = {name: getattr(plan, name) for name in _META} | {"limits": dict(plan.limits)}
    write_table(
        options[_NAME],
        Table.from_columns(columns, inner, meta=about),
        schema,
        dataset=_NAME,
        data_id={"tract": options["tract"], "band": options["band"]},
        provenance=Provenance(
            version=__version__,
            task="planCoaddition",
            config=options["config"].model_dump(mode="json"),
            code=options.get("code", ""),
            inputs=tuple(
                {"name": _SUMMARY, "path": str(path_of(options[_SUMMARY], visit=visit))}
                for visit in visits
            ),
        ),
    )


def read_coadd_plan(path: Path) -> CoaddPlan:
    """Return a plan.

    Raises
    ------
    InputError
        If the file cannot be read, or is none of a plan.
    MissingDatasetError
        If it does not exist.
    """
    table = read_table(path, schema=load_schema(_NAME))
    if not set(_META) <= set(table.meta):
        raise InputError(path, "it is no table of planCoaddition", "Name a coadd_plan")
    sigma, efficiency = table.meta["target_sigma_pix"], table.meta["efficiency"]
    return CoaddPlan(table.to_dict(), sigma, table.meta["limits"], efficiency)
