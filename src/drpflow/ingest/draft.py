"""Drafting a camera file from sample frames.

The draft is valid, so that ingest runs at once; every guess carries the key it came from as a
comment, and what could not be guessed carries a TODO.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from drpflow.errors import InputError
from drpflow.ingest.draft_header import (
    Entry,
    Samples,
    draft_header_map,
    draft_observatory,
    has_sky_wcs,
    pixel_scale_arcsec,
    pixel_size_mm,
    quote,
    sky_orientation,
)
from drpflow.ingest.draft_layout import DraftAmplifier, DraftDetector, draft_detectors, value
from drpflow.ingest.formats import read_number
from drpflow.io.headers import read_headers
from drpflow.io.units import normalize_unit

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# Stand-ins where headers tell nothing; each is marked TODO in the draft.
_GAIN: Final = 1.0
_READ_NOISE: Final = 5.0
_SATURATION: Final = 60_000.0
_PIXEL_SCALE_ARCSEC: Final = 1.0
_PIXEL_SIZE_MM: Final = 0.015
_UNITS: Final = ("adu", "electron", "adu s-1", "electron s-1", "nJy", "nanomaggy")


def draft_camera(paths: Sequence[Path], name: str | None = None) -> tuple[str, str]:
    """Draft a camera file from sample frames.

    Parameters
    ----------
    paths
        Frames of the sky: of one exposure for each filter, with all detectors.
    name
        Name of the camera; by default made from INSTRUME.

    Returns
    -------
    name, text
        The name, and the YAML text of the camera file.

    Raises
    ------
    InputError
        If a file cannot be read or none of its HDUs holds a two-dimensional image.
    """
    files = []
    for path in paths:
        file = read_headers(path, all_hdus=False)
        if not file.frames():
            present = ", ".join(hdu.describe() for hdu in file.hdus[:4])
            raise InputError(
                path, f"it holds no two-dimensional image: {present}", "Give frames of the sky"
            )
        files.append(file)
    samples = Samples(files)
    name = name or _slug(str(samples.first("INSTRUME") or samples.first("TELESCOP") or "camera"))
    detectors = draft_detectors(files)
    filters = _filters(samples)
    blocks = [
        [f"# Drafted by 'drpflow camera init' from {', '.join(p.name for p in paths[:3])}"
         + (" …" if len(paths) > 3 else "") + ".",
         "# Look at each guess, and mend what is marked TODO; docs/cameras.md tells every key.",
         f"name: {name}",
         f"description: {quote(str(samples.first('INSTRUME') or name))}"],
        ["observatory:", *_lines(draft_observatory(samples))],
        _optics(samples),
        ["detectors:", *_detector_lines(detectors, samples)],
        ["filters:", *filters],
        _frame_kind(samples, any(d.sizes_differ for d in detectors)),
        ["header:", *_lines(draft_header_map(samples, name, len(detectors) > 1))],
    ]  # fmt: skip
    return name, "\n\n".join("\n".join(block) for block in blocks) + "\n"


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_") or "camera"


def _lines(entries: Sequence[Entry], indent: str = "  ") -> list[str]:
    return [
        f"{indent}{entry.key}: {entry.yaml}" + (f"  # {entry.comment}" if entry.comment else "")
        for entry in entries
    ]


def _optics(samples: Samples) -> list[str]:
    size, size_note = _pixel_size(samples)
    found = pixel_scale_arcsec(samples)
    scale, note = (found[0], f"guessed from {found[1]}") if found else (
        _PIXEL_SCALE_ARCSEC, "TODO arcsec a pixel, over the pixel size in mm"
    )  # fmt: skip
    orientation = sky_orientation(samples)
    x_axis = orientation[1] if orientation else "west"
    axis_note = "guessed from the WCS" if orientation else "TODO east for mirror images"
    note += f"; pixels of {size:g} mm {size_note}"
    return [
        "optics:",
        f"  plate_scale_arcsec_per_mm: {scale / size:.6g}  # {note}",
        f"  x_axis: {x_axis}  # {axis_note}",
    ]


def _pixel_size(samples: Samples) -> tuple[float, str]:
    found = pixel_size_mm(samples)
    return (found[0], f"guessed from {found[1]}") if found else (_PIXEL_SIZE_MM, "TODO assumed")


def _detector_lines(detectors: Sequence[DraftDetector], samples: Samples) -> list[str]:
    lines = []
    cutouts = any(detector.sizes_differ for detector in detectors)
    size, note = _pixel_size(samples)
    for detector in detectors:
        nx, ny = detector.size
        lines += [f"  # {text}" for text in detector.notes]
        lines += [
            f"  - id: {detector.id}",
            f"    name: {quote(detector.name)}",
            f"    size_pix: [{nx}, {ny}]",
        ]
        if detector.amplifiers[0].raw_hdu is None and not cutouts:
            lines.append(f"    raw_size_pix: [{detector.raw_size[0]}, {detector.raw_size[1]}]")
        if len(detectors) > 1:
            lines.append(_center(detector, samples, size))
        lines += [f"    pixel_size_mm: {size:g}  # {note}", "    amplifiers:"]
        for amp in detector.amplifiers:
            lines += _amplifier_lines(amp)
    return lines


def _center(detector: DraftDetector, samples: Samples, size_mm: float) -> str:
    """Return where a detector stands, from a reference pixel that all share as boresight.

    A reference pixel within the image is the detector's own and tells nothing.
    """
    todo = "    center_mm: [0.0, 0.0]  # TODO place in the focal plane"
    file, hdu = next((f, h) for f, h in samples.images if h is detector.hdu)
    try:
        ref = [read_number(value(file, hdu, f"CRPIX{axis}")) for axis in (1, 2)]
    except ValueError:
        return todo
    if all(1 < r < n for r, n in zip(ref, detector.size, strict=True)):
        return todo
    x, y = (((n + 1) / 2 - r) * size_mm for n, r in zip(detector.size, ref, strict=True))
    note = "guessed from CRPIX1 and CRPIX2, as if CRVAL were the boresight"
    return f"    center_mm: [{x:.3f}, {y:.3f}]  # {note}"


def _amplifier_lines(amp: DraftAmplifier) -> list[str]:
    lines = [
        f"      - name: {quote(amp.name)}",
        f"        data_section: {list(amp.data)}",
        f"        raw_data_section: {list(amp.raw)}" + _from(amp, "raw"),
    ]
    if amp.serial:
        lines.append(f"        raw_serial_overscan: {list(amp.serial)}{_from(amp, 'serial')}")
    if amp.parallel:
        lines.append(f"        raw_parallel_overscan: {list(amp.parallel)}{_from(amp, 'parallel')}")
    if amp.raw_hdu is not None:
        hdu = amp.raw_hdu if isinstance(amp.raw_hdu, int) else quote(amp.raw_hdu)
        lines.append(f"        raw_hdu: {hdu}")
    lines += [f"        flip_{axis}: true" for axis in "xy" if getattr(amp, f"flip_{axis}")]
    for key, fallback in (
        ("gain", _GAIN), ("read_noise", _READ_NOISE), ("saturation", _SATURATION),
    ):  # fmt: skip
        number = getattr(amp, key)
        note = _from(amp, key) if number else "  # TODO no key was recognised"
        lines.append(f"        {key}: {number or fallback:.7g}{note}")
    return lines


def _from(amp: DraftAmplifier, what: str) -> str:
    return f"  # guessed from {amp.keys[what]}" if what in amp.keys else ""


def _filters(samples: Samples) -> list[str]:
    """Return the section ``filters:``, with the filters that the samples have."""
    for key in ("FILTER", "FILTERS", "FILTER1", "FILTNAM", "FILTERID", "INSFLNAM"):
        names = sorted({str(found) for found in samples.values(key)})
        if names:
            return [
                f"  - {{physical_filter: {_quoted(name)}, band: {_quoted(_band(name))}}}"
                f"  # guessed from {key}; TODO effective_wavelength_nm"
                for name in names
            ]
    return ["  - {physical_filter: unknown, band: unknown}  # TODO no key was recognised"]


def _quoted(name: str) -> str:
    """Return a filter's name as quoted YAML: names such as 58 must not become numbers."""
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _band(name: str) -> str:
    """Guess a band: the first letter that stands alone in the name, else the name itself."""
    match = re.search(r"(?<![A-Za-z])([A-Za-z])(?![A-Za-z])", name)
    return match[1].lower() if match else _slug(name)


def _frame_kind(samples: Samples, cutouts: bool) -> list[str]:
    written = str(samples.first("BUNIT") or "")
    unit = normalize_unit(written)
    note = f"guessed from BUNIT = {written!r}" if unit in _UNITS else "TODO assumed"
    wcs = "header" if has_sky_wcs(samples) else "camera"
    lines = [
        f"raw_unit: {unit if unit in _UNITS else 'adu'}  # {note}",
        f"wcs_from: {wcs}  # guessed from CTYPE1",
    ]
    if cutouts:
        lines.append("allow_cutouts: true  # frames of one detector differ in size")
    if all("_ooi_" in file.path.name for file in samples.files):
        rule = "{science: _ooi_, weight: _oow_, mask: _ood_}"
        lines.append(f"companions: {rule}  # guessed from the names of the files")
    return lines
