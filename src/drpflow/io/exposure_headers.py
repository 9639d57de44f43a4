"""The cards of an exposure's HDUs: what an observer and a FITS viewer look for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from astropy.io import fits

from drpflow.data.mask import PLANES, Mask

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from drpflow.data.exposure import Exposure, Unit
    from drpflow.data.geometry import Box
    from drpflow.data.provenance import Provenance

Card: TypeAlias = "tuple[str, Any, str]"

FORMAT_VERSION = 1
"""Version of the container; each kind of component has a version of its own."""

_CARD_LENGTH = 80
# Cards of the data ID; the FITS standard allows eight characters.
_DIMENSION_KEYS = {
    "visit": "VISIT",
    "detector": "DETECTOR",
    "band": "BAND",
    "physical_filter": "FILTER",
    "skypix": "SKYPIX",
    "tract": "TRACT",
    "patch": "PATCH",
    "subfilter": "SUBFILT",
    "template": "TEMPLATE",
}
# Attribute of the visit's metadata -> card.
_VISIT_KEYS: Mapping[str, tuple[str, str]] = {
    "instrument": ("INSTRUME", "camera"),
    "observatory": ("OBSERVAT", "observatory"),
    "target": ("OBJECT", "name of the field"),
    "physical_filter": ("FILTER", "physical filter"),
    "band": ("BAND", "band"),
    "exposure_time_s": ("EXPTIME", "[s] open shutter"),
    "begin_mjd": ("MJD-OBS", "[d] start of exposure, TAI"),
    "mjd": ("MJD-AVG", "[d] mid-exposure, TAI"),
    "ra_deg": ("RA", "[deg] boresight, ICRS"),
    "dec_deg": ("DEC", "[deg] boresight, ICRS"),
    "airmass": ("AIRMASS", "airmass of the boresight"),
}


class HasFitsHeader(Protocol):
    """A WCS that can write itself as standard FITS cards."""

    def to_fits_header(self, box: Box | None = None) -> list[Card]:
        """Return cards for the pixels of a box."""
        ...


def primary_cards(
    exposure: Exposure, dataset: str, data_id: Mapping[str, Any], content: str
) -> list[Card]:
    """Return the cards of the primary HDU.

    Parameters
    ----------
    exposure
        The exposure.
    dataset, data_id
        Its dataset type and data ID, both possibly empty.
    content
        Digest of the contents.
    """
    cards: list[Card] = [
        ("ORIGIN", "drpflow", "program"),
        ("DRPFMT", FORMAT_VERSION, "version of this file format"),
        ("DATASET", dataset, "dataset type"),
        ("CONTENT", content, "digest of pixels and components"),
        *provenance_cards(exposure.provenance),
    ]
    for name, value in data_id.items():
        cards.append((_DIMENSION_KEYS[name], value, name))
    cards += visit_cards(exposure.components.get("visit_info"), {c[0] for c in cards})
    detector_name = getattr(exposure.components.get("detector"), "name", None)
    if isinstance(detector_name, str):
        cards.append(("DETNAME", detector_name, "name of the detector"))
    return cards


def provenance_cards(provenance: Provenance) -> list[Card]:
    """Return the short form of the provenance; the HDU PROVENANCE holds the rest."""
    return [
        ("DRPVERS", provenance.version, "version of drpflow"),
        ("TASK", provenance.task, "task that made this"),
        ("CODEID", provenance.code, "fingerprint of its code"),
    ]


def visit_cards(visit_info: Any, taken: set[str]) -> list[Card]:
    """Return what observers expect to find of a visit, so far as it is known."""
    cards: list[Card] = []
    for attribute, (key, comment) in _VISIT_KEYS.items():
        value = getattr(visit_info, attribute, None)
        if key not in taken and _is_card_value(value):
            cards.append((key, value, comment))
    return [*cards, ("TIMESYS", "TAI", "time scale")] if cards else cards


def _is_card_value(value: Any) -> bool:
    if isinstance(value, float):
        return value == value and abs(value) != float("inf")
    return isinstance(value, (str, int))


def geometry_header(exposure: Exposure) -> fits.Header:
    """Return the cards that image, mask and variance share: position and WCS.

    PIXX0 and PIXY0 say which pixel (x, y) the first one is; the WCS counts from the first
    pixel of the file, as FITS does.
    """
    header = fits.Header()
    x0, y0 = exposure.xy0
    header["PIXX0"] = (x0, "[pix] x of the first pixel, from 0")
    header["PIXY0"] = (y0, "[pix] y of the first pixel, from 0")
    wcs: HasFitsHeader | None = exposure.components.get("wcs")
    if wcs is not None and hasattr(wcs, "to_fits_header"):
        header.extend(wcs.to_fits_header(exposure.box))
    return header


def variance_unit(unit: Unit) -> str:
    """Return the unit of a variance in FITS spelling."""
    return "1" if unit == "1" else f"{unit}2"


def mask_plane_cards(mask: Mask) -> list[fits.Card]:
    """Return a card ``MP_<plane> = bit`` for each plane, with its meaning as far as it fits."""
    return [
        _card(f"MP_{name}", bit, PLANES.get(name, "")) for name, bit in sorted(mask.planes.items())
    ]


def _card(key: str, value: int, comment: str) -> fits.Card:
    keyword = key if len(key) <= 8 else f"HIERARCH {key}"
    room = _CARD_LENGTH - len(str(fits.Card(keyword, value)).rstrip()) - len(" / ")
    return fits.Card(keyword, value, comment[: max(room, 0)])


def mask_from_header(array: NDArray[np.int32], header: fits.Header) -> Mask:
    """Return a mask whose planes are those that its header names."""
    planes = {key[3:]: int(value) for key, value in header.items() if key.startswith("MP_")}
    return Mask(array, planes)
