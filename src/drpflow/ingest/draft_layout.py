"""Guessing detectors and amplifiers from the section cards of sample frames.

Section cards (``DATASEC``, ``BIASSEC``, ``CCDSEC``, ``DETSEC``) are written in IRAF's way,
``[x1:x2,y1:y2]``, counted from 1, last pixel included, reversed where the read-out runs the
other way. They become half-open boxes counted from 0, and flips.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from drpflow.ingest.formats import read_number
from drpflow.io.headers import card

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from drpflow.data.camera import Section
    from drpflow.io.headers import FileHeaders, Hdu

_SECTION: Final = re.compile(r"\[\s*(\d+)\s*:\s*(\d+)\s*,\s*(\d+)\s*:\s*(\d+)\s*\]")
GAIN_KEYS: Final = ("GAIN", "EGAIN", "CCDGAIN", "GAINEFF", "ARAWGAIN")
NOISE_KEYS: Final = ("RDNOISE", "READNOIS", "RDNOIS", "RON", "ENOISE", "RONOISE")
SATURATION_KEYS: Final = ("SATURATE", "SATURAT", "SATLEVEL", "SATUR", "MAXLIN")
DETECTOR_KEYS: Final = (
    "CCDNUM",
    "CCDNAME",
    "CHIPID",
    "CHIP",
    "DETPOS",
    "CCD_ID",
    "DETID",
    "CCDLOC",
)
# Suffixes with which one header describes several amplifiers: GAINA, GAIN1, GAIN01 …
_SUFFIXES: Final = (
    *"ABCDEFGH", *(str(i) for i in range(1, 33)), *(f"{i:02d}" for i in range(1, 33)),
)  # fmt: skip


@dataclass
class DraftAmplifier:
    """One amplifier as far as headers tell; a comment for each thing that was guessed."""

    name: str
    data: Section
    raw: Section
    serial: Section | None = None
    parallel: Section | None = None
    raw_hdu: int | str | None = None
    place: tuple[Section, bool, bool] | None = None
    flip_x: bool = False
    flip_y: bool = False
    gain: float | None = None
    read_noise: float | None = None
    saturation: float | None = None
    keys: dict[str, str] = field(default_factory=dict)


@dataclass
class DraftDetector:
    """One detector as far as headers tell."""

    id: int
    name: str
    size: tuple[int, int]
    raw_size: tuple[int, int]
    amplifiers: list[DraftAmplifier]
    hdu: Hdu
    notes: list[str] = field(default_factory=list)
    sizes_differ: bool = False


def parse_section(text: object) -> tuple[Section, bool, bool] | None:
    """Read an IRAF section as a half-open box and whether its x and y ranges run backwards.

    Returns None where `text` is no section, or an empty one such as ``[0:0,0:0]``.
    """
    match = _SECTION.fullmatch(str(text).strip())
    if match is None:
        return None
    x1, x2, y1, y2 = (int(group) for group in match.groups())
    if min(x1, x2, y1, y2) < 1:
        return None
    box = min(x1, x2) - 1, max(x1, x2), min(y1, y2) - 1, max(y1, y2)
    return box, x1 > x2, y1 > y2


def draft_detectors(files: Iterable[FileHeaders]) -> list[DraftDetector]:
    """Return the detectors that sample files show, ordered by id.

    Images that share a detector's name within one file are its amplifiers; otherwise each image
    is a detector, with the amplifiers that its header describes.
    """
    found: dict[str, DraftDetector] = {}
    for file in files:
        for name, hdus in _by_detector(file).items():
            new = _detector(name, hdus, file, len(found) + 1)
            old = found.setdefault(name, new)
            if old.size != new.size:
                _widen(old, new)
    detectors = sorted(found.values(), key=lambda d: d.id)
    if len({d.id for d in detectors}) < len(detectors):
        for number, detector in enumerate(detectors, 1):
            detector.id = number
    return detectors


def detector_key(files: Sequence[FileHeaders]) -> str | None:
    """Return the header key that names the detector, if some key does so in every image."""
    hdus = [(file, hdu) for file in files for hdu in file.frames()]
    for key in DETECTOR_KEYS:
        if all(value(file, hdu, key) not in {None, ""} for file, hdu in hdus):
            return key
    return None


def value(file: FileHeaders, hdu: Hdu, key: str) -> object:
    """Return a card of the image HDU, else of the primary; None where there is none."""
    for header in (hdu.header, file.primary):
        try:
            found = card(header, key)
        except ValueError:
            continue
        if found is not None and str(found).strip():
            return found.strip() if isinstance(found, str) else found
    return None


def _widen(detector: DraftDetector, other: DraftDetector) -> None:
    """Take the larger size where samples of one detector differ: they are cut-outs."""
    nx, ny = (max(sizes) for sizes in zip(detector.size, other.size, strict=True))
    detector.size, detector.sizes_differ = (nx, ny), True
    whole = DraftAmplifier("A", (0, nx, 0, ny), (0, nx, 0, ny))
    whole.keys = detector.amplifiers[0].keys
    for name in ("gain", "read_noise", "saturation"):
        setattr(whole, name, getattr(detector.amplifiers[0], name))
    detector.amplifiers = [whole]


def _by_detector(file: FileHeaders) -> dict[str, list[Hdu]]:
    """Return the images of a file by the detector that they name."""
    key = detector_key([file])
    groups: dict[str, list[Hdu]] = {}
    for hdu in file.frames():
        name = str(value(file, hdu, key)) if key else hdu.name
        groups.setdefault(name or f"CCD{hdu.index or 1}", []).append(hdu)
    return groups


def _detector(name: str, hdus: list[Hdu], file: FileHeaders, number: int) -> DraftDetector:
    detector_id = int(name) if name.isdigit() else number
    ny, nx = hdus[0].shape
    notes: list[str] = []
    if len(hdus) > 1:
        amplifiers, label = [_own_amplifier(file, hdu) for hdu in hdus], name
    else:
        amplifiers = _shared_hdu_amplifiers(file, hdus[0], notes)
        # Where a number names the detector, another card often has the name that people use.
        other = value(file, hdus[0], "CCDNAME") or value(file, hdus[0], "DETPOS") or hdus[0].name
        label = str(other or name) if name.isdigit() else name
    _place(amplifiers)
    size = max(a.data[1] for a in amplifiers), max(a.data[3] for a in amplifiers)
    return DraftDetector(detector_id, label, size, (nx, ny), amplifiers, hdus[0], notes)


def _shared_hdu_amplifiers(file: FileHeaders, hdu: Hdu, notes: list[str]) -> list[DraftAmplifier]:
    """Return the amplifiers that one image's header describes; `notes` gets what was odd."""
    suffixes = [s for s in _SUFFIXES if value(file, hdu, f"DATASEC{s}") is not None]
    plain = parse_section(value(file, hdu, "DATASEC")) is None
    trim = "TRIMSEC" if plain and not suffixes else "DATASEC"
    amplifiers = []
    for suffix in suffixes or [""]:
        key = f"{trim}{suffix}"
        name = str(value(file, hdu, f"AMPNAM{suffix}") or suffix or "A")
        amplifiers.append(_amplifier(file, hdu, name, key, suffix))
        section = parse_section(value(file, hdu, key))
        if section and not _inside(section[0], hdu):
            ny, nx = hdu.shape
            notes.append(
                f"{key} {value(file, hdu, key)} reaches beyond the {nx} x {ny} image: it seems to "
                "be trimmed already"
            )
    return amplifiers


def _own_amplifier(file: FileHeaders, hdu: Hdu) -> DraftAmplifier:
    """Return an amplifier that has an image of its own."""
    amp = _amplifier(file, hdu, hdu.name or str(hdu.index), "DATASEC", "")
    amp.raw_hdu = hdu.name or hdu.index
    return amp


def _amplifier(
    file: FileHeaders, hdu: Hdu, name: str, data_key: str, suffix: str
) -> DraftAmplifier:
    ny, nx = hdu.shape
    parsed = parse_section(value(file, hdu, data_key))
    trimmed = parsed is not None and not _inside(parsed[0], hdu)
    raw = parsed[0] if parsed and not trimmed else (0, nx, 0, ny)
    amp = DraftAmplifier(name, raw, raw)
    if parsed and not trimmed:
        amp.keys["raw"] = data_key
        _add_overscan(amp, file, hdu, f"BIASSEC{suffix}")
    for key in (f"CCDSEC{suffix}", f"DETSEC{suffix}"):
        amp.place = amp.place or parse_section(value(file, hdu, key))
    _add_numbers(amp, file, hdu, suffix)
    return amp


def _place(amplifiers: list[DraftAmplifier]) -> None:
    """Set where each amplifier's pixels go: as headers tell, else as they lie in the raw image."""
    places = [amp.place for amp in amplifiers]
    if any(
        p is None or _size(p[0]) != _size(a.raw) for p, a in zip(places, amplifiers, strict=True)
    ):
        (_place_in_order if amplifiers[0].raw_hdu is not None else _place_as_read)(amplifiers)
        return
    x_first = min(place[0][0] for place in places if place)
    y_first = min(place[0][2] for place in places if place)
    for amp in amplifiers:
        assert amp.place is not None
        (x0, x1, y0, y1), amp.flip_x, amp.flip_y = amp.place
        amp.data = x0 - x_first, x1 - x_first, y0 - y_first, y1 - y_first


def _place_in_order(amplifiers: list[DraftAmplifier]) -> None:
    """Put amplifiers that have images of their own side by side."""
    x0 = 0
    for amp in amplifiers:
        width, height = _size(amp.raw)
        amp.data = x0, x0 + width, 0, height
        x0 += width


def _place_as_read(amplifiers: list[DraftAmplifier]) -> None:
    """Put amplifiers as they lie in the raw image, without what lies between them."""
    columns = sorted({amp.raw[:2] for amp in amplifiers})
    rows = sorted({amp.raw[2:] for amp in amplifiers})
    for amp in amplifiers:
        width, height = _size(amp.raw)
        x0 = sum(x1 - x0 for x0, x1 in columns if x1 <= amp.raw[0])
        y0 = sum(y1 - y0 for y0, y1 in rows if y1 <= amp.raw[2])
        amp.data = x0, x0 + width, y0, y0 + height


def _add_overscan(amp: DraftAmplifier, file: FileHeaders, hdu: Hdu, key: str) -> None:
    parsed = parse_section(value(file, hdu, key))
    if parsed is None or not _inside(parsed[0], hdu):
        return
    box, raw = parsed[0], amp.raw
    if box[1] <= raw[0] or box[0] >= raw[1]:
        amp.serial, amp.keys["serial"] = box, key
    elif box[3] <= raw[2] or box[2] >= raw[3]:
        amp.parallel, amp.keys["parallel"] = box, key


def _add_numbers(amp: DraftAmplifier, file: FileHeaders, hdu: Hdu, suffix: str) -> None:
    for name, keys in (
        ("gain", GAIN_KEYS), ("read_noise", NOISE_KEYS), ("saturation", SATURATION_KEYS),
    ):  # fmt: skip
        # Keys have eight characters: SATURATE becomes SATURATA for amplifier A.
        candidates = [f"{key[: 8 - len(suffix)]}{suffix}" for key in keys] + list(keys)
        for key in candidates:
            try:
                number = read_number(value(file, hdu, key))
            except ValueError:
                continue
            if number > 0:
                setattr(amp, name, number)
                amp.keys[name] = key
                break


def _size(box: Section) -> tuple[int, int]:
    return box[1] - box[0], box[3] - box[2]


def _inside(box: Section, hdu: Hdu) -> bool:
    ny, nx = hdu.shape
    return box[1] <= nx and box[3] <= ny
