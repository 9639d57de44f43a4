"""Planes in compressed tiles as HDUs, and what their tables tell of the loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits

from drpflow.data.tiled_plane import NULL
from drpflow.errors import InputError
from drpflow.io.components_fits import binary_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.data.tiled_plane import TiledMask, TiledPlane
    from drpflow.io.fits_index import FitsIndex


def tiled_hdu(plane: TiledPlane, header: fits.Header, name: str) -> fits.BinTableHDU:
    """Return a plane as the binary table that readers show as an image.

    Parameters
    ----------
    plane
        The tiles.
    header
        Cards of the image, such as BUNIT and the WCS.
    name
        Of the HDU.
    """
    columns = [
        fits.Column("COMPRESSED_DATA", "PB()", array=_bytes_array(plane.coded)),
        fits.Column("GZIP_COMPRESSED_DATA", "PB()", array=_bytes_array(plane.exact)),
        fits.Column("ZSCALE", "D", array=plane.steps),
        fits.Column("ZZERO", "D", array=plane.zeros),
    ]
    cards = [
        ("ZCMPTYPE", "RICE_1", "compression algorithm"),
        ("ZNAME1", "BLOCKSIZE", "compression block size"),
        ("ZVAL1", 32, "pixels per block"),
        ("ZNAME2", "BYTEPIX", "bytes per pixel (1, 2, 4, or 8)"),
        ("ZVAL2", 4, "bytes per pixel (1, 2, 4, or 8)"),
        ("ZQUANTIZ", "SUBTRACTIVE_DITHER_2", "Pixel Quantization Algorithm"),
        ("ZDITHER0", plane.seed, "dithering offset when quantizing floats"),
        ("ZBLANK", NULL, "integer of a pixel without a value"),
    ]
    return _image_table(columns, plane, -32, cards, header, name)


def tiled_mask_hdu(mask: TiledMask, header: fits.Header, name: str = "MASK") -> fits.BinTableHDU:
    """Return a mask as the binary table that readers show as an image of integers.

    Parameters
    ----------
    mask
        The tiles.
    header
        Cards of the image, among them the planes.
    name
        Of the HDU.
    """
    columns = [fits.Column("COMPRESSED_DATA", "PB()", array=_bytes_array(mask.coded))]
    cards = [("ZCMPTYPE", "GZIP_1", "compression algorithm")]
    return _image_table(columns, mask, 32, cards, header, name)


def _image_table(
    columns: list[fits.Column],
    plane: TiledPlane | TiledMask,
    bitpix: int,
    cards: list[Any],
    header: fits.Header,
    name: str,
) -> fits.BinTableHDU:
    """Return columns of tiles with the cards that make an image of them."""
    hdu = binary_table(columns, name)
    ny, nx = plane.shape
    tile_ny, tile_nx = plane.tile_shape
    hdu.header.extend(
        [
            ("ZIMAGE", True, "extension contains compressed image"),
            ("ZTENSION", "IMAGE", "Image extension"),
            ("ZBITPIX", bitpix, "array data type"),
            ("ZNAXIS", 2, "number of array dimensions"),
            ("ZNAXIS1", nx),
            ("ZNAXIS2", ny),
            ("ZPCOUNT", 0, "number of parameters"),
            ("ZGCOUNT", 1, "number of groups"),
            ("ZTILE1", tile_nx, "size of tiles to be compressed"),
            ("ZTILE2", tile_ny, "size of tiles to be compressed"),
            *cards,
            *header.cards,
        ]
    )
    return hdu


def _bytes_array(tiles: tuple[bytes, ...]) -> NDArray[np.object_]:
    """Return a column of byte arrays of different lengths."""
    array = np.empty(len(tiles), object)
    for i, tile in enumerate(tiles):
        array[i] = np.frombuffer(tile, np.uint8)
    return array


def read_steps(index: FitsIndex, name: str) -> tuple[NDArray[np.float64], tuple[int, int]]:
    """Return the step of each tile of a plane, 0 for one without loss, and rows and columns.

    Parameters
    ----------
    index
        The file.
    name
        Name of the HDU.

    Raises
    ------
    InputError
        If there is no such HDU, or its pixels are not in tiles with steps.
    """
    header = index.entry(name).header
    if not header.get("ZIMAGE") or header.get("ZBITPIX") != -32 or "ZTILE2" not in header:
        problem = f"its {name.lower()} is not compressed with loss"
        raise InputError(index.path, problem, "Give what compressImage wrote")
    steps = np.asarray(index.table(name).data["ZSCALE"], np.float64)
    return steps, (int(header["ZTILE2"]), int(header["ZTILE1"]))
