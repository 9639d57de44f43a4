"""The sheets: which visits, exposures and calibrations there are.

Tab-separated text with one header line, made by ``drpflow ingest`` and open to the editor of
one's choice. An empty field means unknown (visits) or any (calibrations). Paths are relative to
the folder from which drpflow runs, or absolute.

Read with the ``csv`` module: a sheet of 10,000 rows in some 50 ms, without pandas.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from math import isfinite
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from drpflow.errors import InputError, suggest
from drpflow.io.atomic import write_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

VISITS: Final = "visits.tsv"
EXPOSURES: Final = "exposures.tsv"
CALIBRATIONS: Final = "calibrations.tsv"
REJECTED: Final = "rejected.tsv"


class VisitRow(NamedTuple):
    """One visit: an exposure of the whole camera in one filter.

    Angles in degrees, `mjd` TAI at mid-exposure, (`ra_deg`, `dec_deg`) the boresight,
    `rotation_deg` the position angle of the focal plane's +y axis. None: unknown.
    """

    visit: int
    night: str
    physical_filter: str
    band: str
    exposure_time_s: float
    mjd: float
    ra_deg: float
    dec_deg: float
    rotation_deg: float | None = None
    airmass: float | None = None
    hour_angle_deg: float | None = None
    temperature_c: float | None = None
    pressure_hpa: float | None = None
    humidity_percent: float | None = None
    target: str = ""


class ExposureRow(NamedTuple):
    """The image of one detector in one visit.

    `hdu` is an index or an ``EXTNAME``; where each amplifier has an HDU of its own, that of the
    first. `weight_path` and `mask_path` name companion files with the same HDUs, or are empty.
    """

    visit: int
    detector: int
    path: str
    hdu: int | str = 0
    weight_path: str = ""
    mask_path: str = ""


class CalibrationRow(NamedTuple):
    """One calibration file, and the exposures that it is for (None or "": any).

    It is valid where ``mjd_from <= mjd < mjd_until``.
    """

    kind: str
    detector: int | None
    physical_filter: str
    mjd_from: float | None
    mjd_until: float | None
    path: str
    hdu: int | str = 0


class RejectedRow(NamedTuple):
    """A file, or an HDU of it, that ingest did not take, and why."""

    path: str
    hdu: int | str
    reason: str


Row = TypeVar("Row", VisitRow, ExposureRow, CalibrationRow, RejectedRow)


def _hdu(text: str) -> int | str:
    return int(text) if text.isdigit() else text or 0


def _number(text: str) -> float:
    value = float(text)
    if not isfinite(value):
        raise ValueError(text)
    return value


def _optional_number(text: str) -> float | None:
    return _number(text) if text else None


def _optional_int(text: str) -> int | None:
    return int(text) if text else None


class _Column(NamedTuple):
    parse: Callable[[str], Any]
    wanted: str
    decimals: int | None = None  # how a float is written


_TEXT = _Column(str, "text")
_INT = _Column(int, "a whole number")
_HDU = _Column(_hdu, "an HDU")
_OPTIONAL_INT = _Column(_optional_int, "a whole number, or empty")


def _float(decimals: int) -> _Column:
    return _Column(_number, "a number", decimals)


def _maybe(decimals: int) -> _Column:
    return _Column(_optional_number, "a number, or empty", decimals)


# 1e-8 day is 0.9 ms; 1e-7 deg is 0.4 mas.
_COLUMNS: Final[Mapping[type, Mapping[str, _Column]]] = {
    VisitRow: {
        "visit": _INT,
        "night": _TEXT,
        "physical_filter": _TEXT,
        "band": _TEXT,
        "exposure_time_s": _float(6),
        "mjd": _float(8),
        "ra_deg": _float(7),
        "dec_deg": _float(7),
        "rotation_deg": _maybe(6),
        "airmass": _maybe(5),
        "hour_angle_deg": _maybe(5),
        "temperature_c": _maybe(3),
        "pressure_hpa": _maybe(3),
        "humidity_percent": _maybe(3),
        "target": _TEXT,
    },
    ExposureRow: {
        "visit": _INT,
        "detector": _INT,
        "path": _TEXT,
        "hdu": _HDU,
        "weight_path": _TEXT,
        "mask_path": _TEXT,
    },
    CalibrationRow: {
        "kind": _TEXT,
        "detector": _OPTIONAL_INT,
        "physical_filter": _TEXT,
        "mjd_from": _maybe(8),
        "mjd_until": _maybe(8),
        "path": _TEXT,
        "hdu": _HDU,
    },
    RejectedRow: {"path": _TEXT, "hdu": _HDU, "reason": _TEXT},
}
_MANDATORY: Final[Mapping[type, frozenset[str]]] = {
    VisitRow: frozenset(
        {"visit", "physical_filter", "band", "exposure_time_s", "mjd", "ra_deg", "dec_deg"}
    ),
    ExposureRow: frozenset({"visit", "detector", "path"}),
    CalibrationRow: frozenset({"kind", "path"}),
    RejectedRow: frozenset({"path", "reason"}),
}
_ORDER: Final[Mapping[type, Callable[[Any], Any]]] = {
    VisitRow: attrgetter("visit"),
    ExposureRow: attrgetter("visit", "detector"),
    CalibrationRow: lambda r: (
        r.kind,
        -1 if r.detector is None else r.detector,
        r.physical_filter,
        r.mjd_from or 0.0,
        r.path,
    ),
    RejectedRow: lambda r: (r.path, str(r.hdu), r.reason),
}


def read_visits(path: str | Path) -> list[VisitRow]:
    """Read a visit sheet.

    Raises
    ------
    InputError
        Naming the file, row and value: unknown or missing columns, values of the wrong type, a
        visit that stands twice, an impossible pointing or exposure time.
    """
    rows = _read(path, VisitRow)
    _refuse_repeats(path, rows, attrgetter("visit"), "visit {}")
    for number, row in enumerate(rows, 2):
        fault = _visit_fault(row)
        if fault:
            raise InputError(path, f"row {number} (visit {row.visit}): {fault}", "Correct the row")
    return rows


def read_exposures(path: str | Path, visits: Iterable[VisitRow] | None = None) -> list[ExposureRow]:
    """Read an exposure sheet.

    Parameters
    ----------
    path
        The sheet.
    visits
        Rows of the visit sheet: each exposure must belong to one.

    Raises
    ------
    InputError
        Naming the file, row and value: unknown or missing columns, values of the wrong type, a
        visit and detector that stand twice, a visit that the visit sheet lacks.
    """
    rows = _read(path, ExposureRow)
    _refuse_repeats(path, rows, attrgetter("visit", "detector"), "visit {0[0]} detector {0[1]}")
    if visits is not None:
        known = {row.visit for row in visits}
        for number, row in enumerate(rows, 2):
            if row.visit not in known:
                raise InputError(
                    path,
                    f"row {number}: visit {row.visit} is not in the visit sheet",
                    f"Add it to {VISITS}, or run drpflow ingest again",
                )
    return rows


def read_calibrations(path: str | Path) -> list[CalibrationRow]:
    """Read a calibration sheet; an absent file is a sheet without rows.

    Raises
    ------
    InputError
        Naming the file, row and value: unknown or missing columns, values of the wrong type, a
        validity that ends before it begins.
    """
    if not Path(path).is_file():
        return []
    rows = _read(path, CalibrationRow)
    for number, row in enumerate(rows, 2):
        start, end = row.mjd_from, row.mjd_until
        if start is not None and end is not None and not start < end:
            raise InputError(
                path,
                f"row {number}: valid from MJD {start} until {end}, which is no span of time",
                "Correct mjd_from and mjd_until",
            )
    return rows


def read_rejected(path: str | Path) -> list[RejectedRow]:
    """Read the list of rejected files; an absent file is an empty list.

    Raises
    ------
    InputError
        If the columns are not those of such a list.
    """
    return _read(path, RejectedRow) if Path(path).is_file() else []


def write_sheet(path: str | Path, kind: type[Row], rows: Iterable[Row]) -> bool:
    """Write a sheet with its rows in order, whole or not at all.

    Parameters
    ----------
    path
        The sheet.
    kind
        The class of its rows.
    rows
        Its rows, in any order.

    Returns
    -------
    bool
        Whether the file changed. One that would be the same is not touched, so that its time
        stays.
    """
    columns = _COLUMNS[kind]
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter="\t", lineterminator="\n")
    writer.writerow(columns)
    for row in sorted(rows, key=_ORDER[kind]):
        writer.writerow(
            _format(value, column.decimals)
            for value, column in zip(row, columns.values(), strict=True)
        )
    text = buffer.getvalue()
    path = Path(path)
    if path.is_file() and path.read_bytes() == text.encode():
        return False
    write_text(path, text)
    return True


class CalibrationIndex:
    """Calibrations ordered for many look-ups.

    Parameters
    ----------
    rows
        The rows of a calibration sheet.
    source
        The sheet, for error messages.
    """

    def __init__(self, rows: Iterable[CalibrationRow], source: str | Path = CALIBRATIONS) -> None:
        self._source = source
        self._by_detector: dict[int | None, list[CalibrationRow]] = defaultdict(list)
        for row in rows:
            self._by_detector[row.detector].append(row)

    def select(self, detector: int, physical_filter: str, mjd: float) -> dict[str, CalibrationRow]:
        """Return the calibration of each kind for one exposure.

        Of those that fit, the one that states more (a detector, a filter) is taken, and among
        equals the one whose validity began last.

        Parameters
        ----------
        detector, physical_filter, mjd
            The exposure.

        Raises
        ------
        InputError
            If two calibrations of a kind fit equally well.
        """
        best: dict[str, tuple[tuple[int, float], CalibrationRow]] = {}
        tied: dict[str, CalibrationRow] = {}
        for row in self._fitting(detector, physical_filter, mjd):
            stated = (row.detector is not None) + bool(row.physical_filter)
            rank = (stated, float("-inf") if row.mjd_from is None else row.mjd_from)
            if row.kind not in best or rank > best[row.kind][0]:
                best[row.kind] = rank, row
                tied.pop(row.kind, None)
            elif rank == best[row.kind][0]:
                tied[row.kind] = row
        for kind, other in tied.items():
            raise InputError(
                self._source,
                f"{best[kind][1].path} and {other.path} are both the {kind} for detector "
                f"{detector}, filter {physical_filter}, MJD {mjd:.3f}",
                "Remove one, or give them detector, physical_filter or mjd_from",
            )
        return {kind: row for kind, (_, row) in best.items()}

    def _fitting(self, detector: int, physical_filter: str, mjd: float) -> Iterator[CalibrationRow]:
        for key in (detector, None):
            for row in self._by_detector.get(key, ()):
                if (
                    row.physical_filter in {"", physical_filter}
                    and (row.mjd_from is None or row.mjd_from <= mjd)
                    and (row.mjd_until is None or mjd < row.mjd_until)
                ):
                    yield row


def _read(path: str | Path, kind: type[Row]) -> list[Row]:
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream, delimiter="\t")
            names = _header(path, kind, next(reader, []))
            # A column that the sheet lacks is read as an empty field, which `_row` puts last.
            plan = [
                (names.index(name) if name in names else -1, column.parse)
                for name, column in _COLUMNS[kind].items()
            ]
            return [
                _row(path, kind, names, plan, fields, number)
                for number, fields in enumerate(reader, 2)
                if fields
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        raise InputError(
            path, f"the sheet cannot be read ({fault})", "Run drpflow ingest to make it"
        ) from None


def _header(path: Path, kind: type, names: list[str]) -> list[str]:
    """Check the header line and return its column names."""
    known = _COLUMNS[kind]
    for name in names:
        if name not in known:
            remedy = f"Columns here: {', '.join(known)}; they are separated by tabs"
            raise InputError(path, f"unknown column {name!r}{suggest(name, known)}", remedy)
    missing = [name for name in known if name in _MANDATORY[kind] and name not in names]
    if missing:
        raise InputError(path, f"column {missing[0]!r} is missing", f"Add '{missing[0]}'")
    return names


def _row(
    path: Path,
    kind: type[Row],
    names: list[str],
    plan: list[tuple[int, Callable[[str], Any]]],
    fields: list[str],
    number: int,
) -> Row:
    if len(fields) != len(names):
        raise InputError(
            path,
            f"row {number} has {len(fields)} fields, the header line {len(names)}",
            "Separate the fields by tabs, and leave unknown ones empty",
        )
    fields.append("")
    try:
        return kind._make([parse(fields[index]) for index, parse in plan])
    except ValueError:
        known = _COLUMNS[kind]
        name = next(n for n in names if not _parses(known[n], fields[names.index(n)]))
        raise InputError(
            path,
            f"row {number}: column {name!r} holds {fields[names.index(name)]!r}",
            f"It takes {known[name].wanted}",
        ) from None


def _parses(column: _Column, field: str) -> bool:
    try:
        column.parse(field)
    except ValueError:
        return False
    return True


def _refuse_repeats(
    path: str | Path, rows: Sequence[Any], key: Callable[[Any], Any], name: str
) -> None:
    seen: dict[Any, int] = {}
    for number, row in enumerate(rows, 2):
        first = seen.setdefault(key(row), number)
        if first != number:
            raise InputError(
                path, f"{name.format(key(row))} stands in rows {first} and {number}", "Remove one"
            )


def _visit_fault(row: VisitRow) -> str:
    """Return what is impossible about a visit, or ``""``."""
    if not row.exposure_time_s > 0:
        return f"exposure_time_s is {row.exposure_time_s}, not a positive number"
    if not 0 <= row.ra_deg < 360:
        return f"ra_deg is {row.ra_deg}, outside 0 to 360"
    if not -90 <= row.dec_deg <= 90:
        return f"dec_deg is {row.dec_deg}, outside -90 to 90"
    return "" if 0 < row.mjd < 200_000 else f"mjd is {row.mjd}, no Modified Julian Date"


def _format(value: Any, decimals: int | None) -> str:
    if value is None:
        return ""
    if decimals is None:
        return str(value)
    text = f"{value:.{decimals}f}".rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text
