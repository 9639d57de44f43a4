"""The files of consolidateSourceTable: what its script reads and writes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from drpflow import __version__
from drpflow.data.geometry import ValidPolygon
from drpflow.data.provenance import Provenance
from drpflow.data.sky_wcs import SkyWcs
from drpflow.data.table import Table
from drpflow.errors import DrpflowError, InputError
from drpflow.io.aggregate import columns_differ
from drpflow.io.cache import ComponentCache
from drpflow.io.component_tables import ComponentRows
from drpflow.io.moc_files import write_moc
from drpflow.io.row_groups import write_row_groups
from drpflow.io.schemas import load_schema
from drpflow.io.tables import read_table, text_widths

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from drpflow.data.moc import Moc

# What is read by name is imported here by statement, so that its code counts.
_CLASSES = {"wcs": SkyWcs, "valid_polygon": ValidPolygon}
_NAME, _COVERAGE, _FROM = "source", "source_coverage", "final_source_detector"
_INPUTS = ("final_visit_summary", _FROM)


class DetectorTables:
    """``final_source_detector`` of the detectors of a visit, read one at a time.

    Parameters
    ----------
    paths
        The files; a folder ``detector=<id>`` of each says whose it is.

    Raises
    ------
    InputError
        If the path of one does not say whose it is, or two are of one detector.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self._paths: dict[int, Path] = {}
        for path in paths:
            match = re.search(r"detector=(\d+)", str(path))
            if match is None or int(match[1]) in self._paths:
                problem = "no folder of it is named detector=<id>, or another has the same"
                raise InputError(path, problem, "Name each file once, where the workflow has it")
            self._paths[int(match[1])] = path
        self._schema = load_schema(_FROM)
        self.widths: dict[str, int] = {}
        """Largest length of the texts in each such column, of all that was read so far."""

    @property
    def detectors(self) -> list[int]:
        """The detectors, ascending."""
        return sorted(self._paths)

    def read(self, detector: int) -> Table:
        """Return the sources of a detector, without the column ``visit``.

        Raises
        ------
        MissingDatasetError
            If there is no file.
        InputError
            If it cannot be read, or its columns are not those of the schema.
        """
        path = self._paths[detector]
        table = read_table(path, data_id={"detector": detector}, schema=self._schema)
        expected = Table.empty(self._schema.without({"visit"}))
        odd = columns_differ(expected, table)
        if odd:
            raise InputError(path, f"{odd} than in its schema", "Run finalizeImage again")
        for name, width in text_widths(table.arrow).items():
            self.widths[name] = max(width, self.widths.get(name, 0))
        return table


def read_outline(path: Path, detector: int) -> tuple[SkyWcs | None, ValidPolygon | None]:
    """Return WCS and usable part of a detector, each None if it is not there.

    Parameters
    ----------
    path
        ``final_visit_summary``.
    detector
        The detector.
    """
    found: dict[str, Any] = {}
    for name, kind in _CLASSES.items():
        try:
            component = ComponentRows(path, "detector", ComponentCache()).component(name, detector)
        except (DrpflowError, OSError):
            component = None  # updateVisitSummary has told why
        found[name] = component if isinstance(component, kind) else None
    return found["wcs"], found["valid_polygon"]


def write_source(
    tables: DetectorTables,
    rows: Mapping[int, int],
    lost: Mapping[int, str],
    options: Mapping[str, Any],
    why_empty: str = "",
) -> None:
    """Write ``source``: a row group a detector.

    Parameters
    ----------
    tables
        Reads the sources.
    rows
        Number of sources by detector, of those that are written, in order.
    lost
        Why others are not there.
    options
        ``source``: the file; ``visit``. For the provenance ``config`` (the section), ``code``
        (fingerprint) and the input files.
    why_empty
        Why the table could not be made at all.

    Raises
    ------
    InputError
        If a table holds something else by now.
    """
    meta: dict[str, Any] = {
        "detectors": list(rows),
        "rows": list(rows.values()),
        "lost": [{"detector": d, "reason": reason} for d, reason in lost.items()],
    }
    write_row_groups(
        options[_NAME],
        (tables.read(detector) for detector in rows),
        load_schema(_NAME),
        list(rows.values()),
        tables.widths or {"band": 0, "physical_filter": 0},
        dataset=_NAME,
        data_id={"visit": options["visit"]},
        meta=meta | ({"why_empty": why_empty} if why_empty else {}),
        provenance=_provenance(options),
    )


def write_coverage(moc: Moc, options: Mapping[str, Any]) -> None:
    """Write ``source_coverage``.

    Parameters
    ----------
    moc
        The coverage.
    options
        ``source_coverage``: the file; ``visit``.
    """
    cards = {
        "VISIT": (options["visit"], "visit"),
        "VERSION": (__version__, "of drpflow"),
        "TASK": ("consolidateSourceTable", "what made it"),
    }
    write_moc(options[_COVERAGE], moc, cards)


def _provenance(options: Mapping[str, Any]) -> Provenance:
    files: list[dict[str, Any]] = []
    for name in _INPUTS:
        given = options[name]
        paths = given if isinstance(given, list) else [given]
        files += [{"name": name, "path": str(path)} for path in paths]
    return Provenance(
        version=__version__,
        task="consolidateSourceTable",
        config=options["config"].model_dump(mode="json"),
        code=options.get("code", ""),
        inputs=tuple(files),
    )
