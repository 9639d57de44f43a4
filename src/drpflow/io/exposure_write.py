"""Writing exposures, and parts of them, as FITS files (``docs/filespec.md``)."""

from __future__ import annotations

import hashlib
import json
import zlib
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from astropy.io import fits

from drpflow.data.mask import Mask
from drpflow.data.tiled_plane import TiledMask, TiledPlane
from drpflow.io.atomic import atomic_path
from drpflow.io.components_fits import binary_table, record_to_hdu, text_column
from drpflow.io.exposure_headers import (
    FORMAT_VERSION,
    geometry_header,
    mask_plane_cards,
    primary_cards,
    variance_unit,
)
from drpflow.io.gzip_times import clear_gzip_times
from drpflow.io.tiled_fits import tiled_hdu, tiled_mask_hdu

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from drpflow.data.dataset_ref import DatasetRef
    from drpflow.data.exposure import Exposure
    from drpflow.data.record import Component, Record

Compression = Literal["none", "lossless", "lossy"]

QUANTIZE_LEVEL = 16
"""Lossy pixels are stored in steps of their noise / 16: the rms error is then 1.8 % of the noise
and the noise grows by 0.016 %."""
# Dithering keeps the mean of faint signals unbiased; method 2 also keeps exact zeros
# (Pence, White & Seaman 2010, PASP 122, 1065).
_DITHER = 2
_PIXEL_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "lossless": {"compression_type": "GZIP_2", "quantize_level": 0},
    "lossy": {
        "compression_type": "RICE_1",
        "quantize_level": QUANTIZE_LEVEL,
        "quantize_method": _DITHER,
    },
}


def write_exposure(
    path: str | Path,
    exposure: Exposure,
    *,
    dataset: str = "",
    data_id: Mapping[str, Any] | None = None,
    links: Mapping[str, DatasetRef] | None = None,
    compression: Compression = "none",
    tiled: Mapping[str, TiledPlane | TiledMask] | None = None,
) -> None:
    """Write an exposure, atomically. Equal exposures give equal bytes.

    Parameters
    ----------
    path
        The file.
    exposure
        What is written.
    dataset, data_id
        Dataset type and data ID, for the header.
    links
        Components that stand in another dataset and are not to be stored here.
    compression
        Of the pixels. ``"lossy"``: image and variance by RICE in steps of noise / 16 with
        subtractive dither, whose seed follows from the data ID; the mask always without loss.
    tiled
        Image, variance and mask in tiles that are compressed already; `compression` then holds
        for the others.

    Raises
    ------
    TypeError
        If a component holds what cannot be stored.
    ValueError
        If pixels that are to be compressed with loss are infinite.
    """
    data_id, links = dict(data_id or {}), dict(links or {})
    records = {
        name: component.to_record()
        for name, component in exposure.components.items()
        if name not in links
    }
    content = content_digest(exposure, records, links)
    primary = fits.PrimaryHDU()
    primary.header.extend(primary_cards(exposure, dataset, data_id, content))
    pixels = Pixels(compression, dither_seed(dataset, data_id), tiled)
    hdus = [
        primary,
        *_plane_hdus(exposure, pixels),
        *(record_to_hdu(record, name) for name, record in records.items()),
        _components_hdu(records, links, exposure.missing),
        _text_hdu("PROVENANCE", "JSON", exposure.provenance.to_json()),
    ]
    _write(path, hdus)


def write_part(
    path: str | Path,
    name: str,
    value: Component | NDArray[Any] | Mask,
    base: str,
    exposure: Exposure | None = None,
) -> None:
    """Write one component or plane that stands for that of an exposure, atomically.

    Parameters
    ----------
    path
        The file.
    name
        Component or plane.
    value
        A component, a mask, or the array of an image or variance.
    base
        Digest of the exposure that it belongs to; empty if there is none beside it.
    exposure
        That exposure, which gives a plane its position, unit and WCS cards.
    """
    primary = fits.PrimaryHDU()
    primary.header["ORIGIN"] = ("drpflow", "program")
    primary.header["DRPFMT"] = (FORMAT_VERSION, "version of this file format")
    primary.header["BASE"] = (base, "digest of the exposure that this belongs to")
    shared = fits.Header() if exposure is None else geometry_header(exposure)
    if isinstance(value, Mask):
        hdu = mask_hdu(value, shared, Pixels("lossless"))
    elif isinstance(value, np.ndarray):
        header = shared if exposure is None else _with_unit(name, exposure, shared)
        hdu = Pixels().hdu(name.upper(), value, header)
    else:
        hdu = record_to_hdu(value.to_record(), name)
    _write(path, [primary, hdu])


class Pixels:
    """How pixel arrays become HDUs.

    Parameters
    ----------
    compression
        Of image and variance.
    seed
        Of the dither, 1 … 10000.
    tiled
        Planes that are compressed already.
    """

    def __init__(
        self,
        compression: Compression = "none",
        seed: int = 1,
        tiled: Mapping[str, TiledPlane | TiledMask] | None = None,
    ) -> None:
        self.compression = compression
        self.seed = seed
        self.tiled = tiled or {}

    def hdu(self, name: str, array: NDArray[Any], header: fits.Header) -> Any:
        """Return the HDU of an image or variance."""
        tiled = self.tiled.get(name.lower())
        if isinstance(tiled, TiledPlane):
            return tiled_hdu(tiled, header, name)
        if self.compression == "none":
            return fits.ImageHDU(array, header, name=name)
        options = dict(_PIXEL_OPTIONS[self.compression])
        if self.compression == "lossy":
            if np.isinf(array).any():
                raise ValueError(f"{name.lower()} holds infinite pixels, which RICE cannot store")
            options["dither_seed"] = self.seed
        return fits.CompImageHDU(array, header, name=name, **options)


def mask_hdu(mask: Mask, header: fits.Header, pixels: Pixels) -> Any:
    """Return the HDU of a mask, compressed without loss unless pixels are not compressed."""
    header.extend(mask_plane_cards(mask))
    tiled = pixels.tiled.get("mask")
    if isinstance(tiled, TiledMask):
        return tiled_mask_hdu(tiled, header)
    if pixels.compression == "none":
        return pixels.hdu("MASK", mask.array, header)
    return fits.CompImageHDU(mask.array, header, name="MASK", compression_type="RICE_1")


def _plane_hdus(exposure: Exposure, pixels: Pixels) -> list[Any]:
    shared = geometry_header(exposure)
    return [
        pixels.hdu("IMAGE", exposure.image, _with_unit("image", exposure, shared)),
        mask_hdu(exposure.mask, shared.copy(), pixels),
        pixels.hdu("VARIANCE", exposure.variance, _with_unit("variance", exposure, shared)),
    ]


def _with_unit(name: str, exposure: Exposure, shared: fits.Header) -> fits.Header:
    """Return the header of the image or the variance."""
    unit = exposure.unit if name == "image" else variance_unit(exposure.unit)
    return fits.Header([("BUNIT", unit, "unit of the pixels"), *shared.cards])


def _components_hdu(
    records: Mapping[str, Record], links: Mapping[str, DatasetRef], missing: Mapping[str, str]
) -> fits.BinTableHDU:
    """Return the table of contents: where each component is, or why it is not."""
    rows = [(name, "stored", "", "", "") for name in records]
    for name, ref in links.items():
        rows.append((name, "linked", ref.name, json.dumps(dict(ref.data_id)), ""))
    for name, reason in missing.items():
        rows.append((name, "missing", "", "", json.dumps(reason)))
    names = ("COMPONENT", "STATE", "DATASET", "DATA_ID", "REASON")
    columns = [text_column(key, [row[i] for row in rows] or [""]) for i, key in enumerate(names)]
    return binary_table(columns, "COMPONENTS")


def _text_hdu(name: str, column: str, text: str) -> fits.BinTableHDU:
    return binary_table([text_column(column, [text])], name)


def _write(path: str | Path, hdus: list[Any]) -> None:
    with atomic_path(path) as temporary:
        fits.HDUList(hdus).writeto(temporary)
        if any(isinstance(hdu, fits.CompImageHDU) for hdu in hdus):
            clear_gzip_times(temporary)


def dither_seed(dataset: str, data_id: Mapping[str, Any]) -> int:
    """Return the seed of the dither, 1 … 10000, from what names the dataset."""
    name = dataset + json.dumps({key: str(value) for key, value in data_id.items()})
    return zlib.crc32(name.encode()) % 10000 + 1


def content_digest(
    exposure: Exposure, records: Mapping[str, Record], links: Mapping[str, DatasetRef]
) -> str:
    """Return a digest of pixels and components, 16 hexadecimal digits.

    It ties parts that are stored later to this exposure. 200 MB cost 0.1 s.
    """
    digest = hashlib.sha256()
    mask = exposure.mask
    for array in (exposure.image, mask.array, exposure.variance):
        digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    about: list[Iterable[Any]] = [exposure.unit, exposure.box, sorted(mask.planes.items())]
    digest.update(repr(about).encode())
    for name, record in records.items():
        digest.update(repr((name, record.kind, record.version, record.meta)).encode())
        for key, array in record.arrays.items():
            digest.update(repr((key, array.dtype.str, array.shape)).encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    for name, ref in links.items():
        digest.update(f"{name} {ref}".encode())
    return digest.hexdigest()[:16]
