"""Calibration files: FITS to :class:`~drpflow.data.calibrations.Calibrations`, checked.

One file a kind and detector. The HDU's name is the kind's (``BIAS``, ``DARK`` …); a file with
a single HDU of the right type may call it as it likes. Cards ``CALTYPE``, ``CCDNUM``, ``FILTER``
and ``BUNIT`` are checked where they are present. ``docs/tasks/isr.md`` lists columns and units.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.data.calibrations import (
    AmplifierNoise,
    BrighterFatterKernel,
    CalibrationImage,
    Calibrations,
    Crosstalk,
    Cti,
    Defects,
    Linearizer,
    NonLinearity,
    Ptc,
)
from drpflow.errors import InputError, suggest
from drpflow.io.units import check_unit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from drpflow.data.camera import Detector

_AGAIN = "Copy or make the file again"
# Cards and HDU names of each kind.
_UNITS = {"bias": "adu", "dark": "electron s-1", "flat": "", "brighter_fatter": "electron-1"}
_HDU_NAMES = {"brighter_fatter": "KERNEL"}


def read_calibrations(
    files: Mapping[str, tuple[str | Path, int | str | None]],
    detector: Detector,
    physical_filter: str = "",
) -> Calibrations:
    """Read and check the calibrations of a detector.

    Parameters
    ----------
    files
        Path and HDU by kind; None or 0 for the HDU of the kind's name.
    detector
        The detector they must belong to.
    physical_filter
        The filter that a flat must be of; empty for any.

    Raises
    ------
    InputError
        If a file cannot be read, lacks an HDU or a column, is of another kind, detector, filter,
        unit or shape, lacks an amplifier, or holds no usable number.
    """
    found: dict[str, Any] = {}
    for kind, (path, hdu) in files.items():
        if kind not in _READERS:
            known = ", ".join(_READERS)
            problem = f"{kind!r} is no kind of calibration{suggest(kind, _READERS)}"
            raise InputError(path, problem, f"Known kinds: {known}")
        found[kind] = _read(kind, Path(path), hdu or None, detector, physical_filter)
    return Calibrations(**found, sources={kind: str(path) for kind, (path, _) in files.items()})


@dataclass(frozen=True)
class _Source:
    """An open file, and what its contents must agree with."""

    path: Path
    hdus: Any
    main: Any
    detector: Detector

    def fault(self, problem: str, remedy: str = _AGAIN) -> InputError:
        """Return the error to raise."""
        return InputError(self.path, problem, remedy)

    def card(self, key: str) -> Any:
        """Return a card of the HDU, else of the primary; None if there is none."""
        return self.main.header.get(key, self.hdus[0].header.get(key))

    def optional(self, name: str) -> Any:
        """Return the array of a further HDU, or None."""
        return self.hdus[name].data if name in self.hdus else None

    def columns(self, *names: str) -> dict[str, Any]:
        """Return columns of the table.

        Raises
        ------
        InputError
            If one is missing.
        """
        known = list(self.main.columns.names)
        for name in names:
            if name not in known:
                raise self.fault(
                    f"HDU {self.main.name} has no column {name!r}{suggest(name, known)}",
                    f"Columns here: {', '.join(known)}",
                )
        return {name: self.main.data[name] for name in names}

    def amplifier_rows(self, names: Any) -> dict[str, int]:
        """Return the row of each amplifier of the detector.

        Raises
        ------
        InputError
            If an amplifier has none.
        """
        rows = {str(name).strip(): i for i, name in enumerate(names)}
        for amp in self.detector.amplifiers:
            if amp.name not in rows:
                raise self.fault(
                    f"there is nothing for amplifier {amp.name}{suggest(amp.name, rows)}",
                    f"It must hold all amplifiers of detector {self.detector.id}",
                )
        return {amp.name: rows[amp.name] for amp in self.detector.amplifiers}


def _read(
    kind: str, path: Path, hdu: int | str | None, detector: Detector, physical_filter: str
) -> Any:
    from astropy.io import fits

    if not path.is_file():
        problem = f"the {kind} file does not exist"
        raise InputError(path, problem, "Correct the path in calibrations.tsv, or ingest again")
    try:
        with fits.open(path, memmap=False) as hdus:
            source = _Source(path, hdus, _find_hdu(hdus, kind, hdu, path), detector)
            _check_cards(source, kind, physical_filter)
            return _READERS[kind](source)
    except (OSError, EOFError, zlib.error, TypeError) as error:
        raise InputError(path, f"the {kind} cannot be read ({error})", _AGAIN) from None
    except ValueError as error:  # the in-memory classes check what they are given
        raise InputError(path, str(error), "Make the calibration again") from None


def _find_hdu(hdus: Any, kind: str, hdu: int | str | None, path: Path) -> Any:
    """Return the HDU with the calibration itself."""
    wanted: int | str = _HDU_NAMES.get(kind, kind.upper()) if hdu is None else hdu
    if isinstance(wanted, str) and wanted.isdecimal():
        wanted = int(wanted)
    if wanted in hdus if isinstance(wanted, str) else wanted < len(hdus):
        return hdus[wanted]
    filled = [h for h in hdus if h.header.get("NAXIS", 0) > 0]
    if hdu is None and len(filled) == 1:
        return filled[0]
    names = ", ".join(h.name or str(i) for i, h in enumerate(hdus))
    raise InputError(path, f"there is no HDU {wanted!r} for the {kind}", f"HDUs here: {names}")


def _check_cards(source: _Source, kind: str, physical_filter: str) -> None:
    """Compare kind, detector, filter and unit with what the header says, where it does."""
    stated = str(source.card("CALTYPE") or kind).strip().lower()
    if stated != kind:
        raise source.fault(
            f"it is a {stated} (CALTYPE), but was given as {kind}", "Correct calibrations.tsv"
        )
    number = source.card("CCDNUM")
    names = {str(source.detector.id), source.detector.name}
    if number is not None and str(number).strip() not in names:
        raise source.fault(
            f"it is of detector {number} (CCDNUM), but was given for {source.detector.id}",
            "Correct calibrations.tsv",
        )
    stated = str(source.card("FILTER") or "").strip()
    if kind == "flat" and physical_filter and stated and stated != physical_filter:
        raise source.fault(
            f"it is of filter {stated!r}, but was given for {physical_filter!r}",
            "Correct calibrations.tsv",
        )
    if kind in _UNITS:
        check_unit(source.main.header.get("BUNIT"), _UNITS[kind], source.path)


def _image(source: _Source) -> CalibrationImage:
    data = _pixels(source, source.main.data, source.main.name)
    if not np.isfinite(data).any():
        raise source.fault(f"HDU {source.main.name} has no finite pixel")
    variance = source.optional("VARIANCE")
    if variance is not None:
        variance = _pixels(source, variance, "VARIANCE")
    return CalibrationImage(data, variance)


def _pixels(source: _Source, array: Any, name: str) -> np.ndarray:
    wanted = source.detector.shape
    if array is None or array.ndim != 2:
        raise source.fault(f"HDU {name} holds no two-dimensional image")
    if array.shape != wanted:
        raise source.fault(
            f"HDU {name} is {array.shape[1]} x {array.shape[0]} pixels, but detector "
            f"{source.detector.id} has {wanted[1]} x {wanted[0]}",
            "Calibration images cover the assembled detector, without overscan",
        )
    return np.asarray(array, np.float32)


def _defects(source: _Source) -> Defects:
    columns = source.columns("x0", "x1", "y0", "y1")
    boxes = np.column_stack([np.asarray(c, np.int32) for c in columns.values()])
    names = source.main.columns.names
    kinds = tuple(str(k).strip() for k in source.main.data["kind"]) if "kind" in names else ()
    empty = (boxes[:, 1] <= boxes[:, 0]) | (boxes[:, 3] <= boxes[:, 2])
    if empty.any():
        raise source.fault(
            f"row {int(np.argmax(empty))} is the empty box {boxes[empty][0].tolist()}",
            "Boxes are half open: x0 < x1, y0 < y1",
        )
    return Defects(boxes.reshape(-1, 4), kinds)


def _ptc(source: _Source) -> Ptc:
    c = source.columns("amplifier", "gain", "read_noise", "saturation")
    rows = source.amplifier_rows(c["amplifier"])
    errors = source.main.data["gain_err"] if "gain_err" in source.main.columns.names else None
    amplifiers = {}
    for name, i in rows.items():
        error = float("nan") if errors is None else float(errors[i])
        values = [float(c[key][i]) for key in ("gain", "read_noise", "saturation")]
        if not np.isfinite(values).all() or values[0] <= 0 or values[1] < 0 or values[2] <= 0:
            raise source.fault(
                f"amplifier {name} has gain {values[0]:g}, read_noise {values[1]:g}, saturation "
                f"{values[2]:g}",
                "They must be positive numbers; without this file the camera file's hold",
            )
        amplifiers[name] = AmplifierNoise(values[0], error, values[1], values[2])
    return Ptc(amplifiers)


def _linearizer(source: _Source) -> Linearizer:
    c = source.columns("amplifier", "node_adu", "correction_adu")
    amplifiers = {}
    for name, i in source.amplifier_rows(c["amplifier"]).items():
        node, correction = (np.asarray(c[k][i], np.float64) for k in ("node_adu", "correction_adu"))
        known = np.isfinite(node) & np.isfinite(correction)  # shorter lists are filled with NaN
        amplifiers[name] = NonLinearity(node[known], correction[known])
    return Linearizer(amplifiers)


def _crosstalk(source: _Source) -> Crosstalk:
    linear = _matrix(source, source.main.data, source.main.name)
    names = tuple(
        str(source.main.header.get(f"AMP{i}", amp.name)).strip()
        for i, amp in enumerate(source.detector.amplifiers)
    )
    source.amplifier_rows(names)
    quadratic = source.optional("CROSSTALK_QUADRATIC")
    if quadratic is not None:
        quadratic = _matrix(source, quadratic, "CROSSTALK_QUADRATIC")
    return Crosstalk(names, linear, quadratic)


def _matrix(source: _Source, array: Any, name: str) -> np.ndarray:
    n = len(source.detector.amplifiers)
    if array is None or array.shape != (n, n):
        shape = None if array is None else array.shape
        raise source.fault(f"HDU {name} has the shape {shape}, not {(n, n)} for {n} amplifiers")
    return _finite(source, array, name)


def _brighter_fatter(source: _Source) -> BrighterFatterKernel:
    if source.main.data is None:
        raise source.fault(f"HDU {source.main.name} is empty")
    return BrighterFatterKernel(_finite(source, source.main.data, source.main.name))


def _finite(source: _Source, array: Any, name: str) -> np.ndarray:
    values = np.asarray(array, np.float64)
    if not np.isfinite(values).all():
        raise source.fault(f"HDU {name} holds values that are no numbers")
    return values


def _cti(source: _Source) -> Cti:
    c = source.columns("amplifier", "serial_cti")
    serial = {}
    for name, i in source.amplifier_rows(c["amplifier"]).items():
        serial[name] = float(c["serial_cti"][i])
        if not 0.0 <= serial[name] < 1e-2:
            raise source.fault(
                f"amplifier {name} has serial_cti {serial[name]:g}",
                "It is the fraction left behind at each transfer, from 0 to 0.01",
            )
    return Cti(serial)


_READERS: dict[str, Callable[[_Source], Any]] = {
    "bias": _image,
    "dark": _image,
    "flat": _image,
    "defects": _defects,
    "ptc": _ptc,
    "linearizer": _linearizer,
    "crosstalk": _crosstalk,
    "brighter_fatter": _brighter_fatter,
    "cti": _cti,
}
