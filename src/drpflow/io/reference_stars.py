"""Reference catalogues: one Parquet file, or a folder with a file for each HEALPix pixel.

``docs/reference-stars.md`` has the columns. Only what lies near the position asked for is read: in
a folder the files of the pixels there, in a file the row groups whose range of declination and
right ascension comes near (:func:`write_reference_stars` sorts the rows so that these are few).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.data.arrow_arrays import from_arrow
from drpflow.data.reference_stars import (
    CORRELATION_COLUMNS,
    OPTIONAL_COLUMNS,
    ReferenceStars,
    bands_of,
)
from drpflow.data.table import Table
from drpflow.errors import InputError, MissingDatasetError, suggest
from drpflow.io.healpix_names import (
    pixel_centers_deg,
    pixel_of_path,
    pixel_path,
    pixel_radius_deg,
)
from drpflow.io.tables import open_parquet, write_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import pyarrow.parquet as pq
    from numpy.typing import NDArray

MANDATORY_COLUMNS = ("id", "ra", "dec", "epoch")
UNITS = {
    "ra": "deg",
    "dec": "deg",
    "epoch": "d",
    "ra_err": "mas",
    "dec_err": "mas",
    "pm_ra": "mas yr-1",
    "pm_dec": "mas yr-1",
    "pm_ra_err": "mas yr-1",
    "pm_dec_err": "mas yr-1",
    "parallax": "mas",
    "parallax_err": "mas",
}
"""Units of the columns that are no fluxes (nJy)."""
_CONVERT = "Make it with `drpflow reference convert`"
# Rows that are read or skipped together: about a square degree of Gaia at high latitudes.
_ROW_GROUP = 4096
_SORT_ORDER = 12


def read_reference_stars(
    path: Path, ra_deg: float, dec_deg: float, radius_deg: float
) -> ReferenceStars:
    """Return the stars of a catalogue within an angle of a position.

    Parameters
    ----------
    path
        A Parquet file, or a folder of ``order=<order>/pixel=<pixel>.parquet``.
    ra_deg, dec_deg
        Centre, ICRS.
    radius_deg
        Angle about it.

    Returns
    -------
    ReferenceStars
        Without rows if the catalogue does not cover the place; ordered by id.

    Raises
    ------
    MissingDatasetError
        If there is nothing of this name.
    InputError
        If it is no reference catalogue.
    """
    if not path.exists():
        raise MissingDatasetError(f"the reference catalogue {path} does not exist")
    parts = [
        _read_file(file, ra_deg, dec_deg, radius_deg)
        for file in _files_near(path, ra_deg, dec_deg, radius_deg)
    ]
    stars = ReferenceStars.from_columns(_concatenate(parts))
    stars = stars.select(stars.within(ra_deg, dec_deg, radius_deg))
    return stars.select(np.argsort(stars.id, kind="stable"))


def write_reference_stars(
    path: Path,
    stars: ReferenceStars,
    order: int | None = None,
    *,
    note: str = "",
    about: Mapping[str, Any] | None = None,
) -> None:
    """Write a catalogue, atomically file by file, rows sorted so that neighbours lie together.

    Parameters
    ----------
    path
        A Parquet file, or a folder if `order` is given.
    stars
        As seen from the barycentre.
    order
        HEALPix order of the folder's files.
    note
        What users of the catalogue should know; stored in the metadata of the table.
    about
        What else these hold.

    Raises
    ------
    ValueError
        If positions are those seen from the Earth, which the table has no column to say.
    """
    import healpy

    if stars.observer != "barycenter":
        raise ValueError("a catalogue is written with positions as seen from the barycentre")
    fine = healpy.ang2pix(1 << _SORT_ORDER, stars.ra, stars.dec, nest=True, lonlat=True)
    stars = stars.select(np.lexsort((stars.id, fine)))
    meta = ({"note": note} if note else {}) | dict(about or {})
    if order is None:
        _write_file(path, stars, meta)
        return
    pixel = healpy.ang2pix(1 << order, stars.ra, stars.dec, nest=True, lonlat=True)
    for number in np.unique(pixel):
        _write_file(pixel_path(path, order, int(number)), stars.select(pixel == number), meta)


def _write_file(path: Path, stars: ReferenceStars, meta: Mapping[str, Any]) -> None:
    columns = stars.to_columns()
    units = UNITS | {name: "nJy" for name in columns if name.startswith("flux_")}
    table = Table.from_columns(columns, units=units, meta=meta)
    write_table(path, table, dataset="reference_stars", row_group_rows=_ROW_GROUP)


def _files_near(path: Path, ra_deg: float, dec_deg: float, radius_deg: float) -> Iterator[Path]:
    """Yield the files that may hold stars within an angle of a position."""
    if not path.is_dir():
        yield path
        return
    files = sorted(path.rglob("*.parquet"))
    if not files:
        raise InputError(path, "the folder holds no Parquet file", _CONVERT)
    for file in files:
        pixel = pixel_of_path(file)
        if pixel is None:
            yield file
            continue
        center = pixel_centers_deg(*pixel)
        if _separation_deg(*center, ra_deg, dec_deg) <= radius_deg + pixel_radius_deg(pixel[0]):
            yield file


def _read_file(
    path: Path, ra_deg: float, dec_deg: float, radius_deg: float
) -> dict[str, NDArray[Any]]:
    """Return the columns of the row groups of a file that come near a position."""
    file = open_parquet(path)
    _check_columns(path, file)
    names = file.schema_arrow.names
    known = (*MANDATORY_COLUMNS, *OPTIONAL_COLUMNS, *CORRELATION_COLUMNS)
    wanted = [n for n in known if n in names]
    wanted += [n for b in bands_of(dict.fromkeys(names)) for n in (f"flux_{b}", f"flux_{b}_err")]
    wanted = [n for n in wanted if n in names]
    groups = _groups_near(file.metadata, ra_deg, dec_deg, radius_deg)
    arrow = file.read_row_groups(groups, columns=wanted)
    return {name: from_arrow(arrow.column(name)) for name in wanted}


def _check_columns(path: Path, file: pq.ParquetFile) -> None:
    """Check that a file is a reference catalogue.

    Raises
    ------
    InputError
        If a column is missing, or has another unit than it must have.
    """
    schema = file.schema_arrow
    for name in MANDATORY_COLUMNS:
        if name not in schema.names:
            hint = suggest(name, schema.names)
            raise InputError(path, f"it has no column {name!r}{hint}", _CONVERT)
    if not bands_of(dict.fromkeys(schema.names)):
        raise InputError(path, "it has no column flux_<band>", _CONVERT)
    for name in schema.names:
        unit = (schema.field(name).metadata or {}).get(b"unit", b"").decode()
        wanted = "nJy" if name.startswith("flux_") else UNITS.get(name, unit)
        if unit and _plain(unit) != _plain(wanted):
            problem = f"column {name!r} is in {unit!r}, not in {wanted!r}"
            raise InputError(path, problem, _CONVERT)


def _plain(unit: str) -> str:
    """Return a unit in one spelling: ``mas/yr`` is ``mas yr-1``."""
    return unit.replace("/yr", " yr-1").replace("day", "d").replace(".", " ").strip()


def _groups_near(
    metadata: pq.FileMetaData, ra_deg: float, dec_deg: float, radius_deg: float
) -> list[int]:
    """Return the row groups whose ranges of coordinates touch the circle's."""
    column = {metadata.schema.column(i).path: i for i in range(metadata.num_columns)}
    # The widest extent in right ascension of a circle that does not hold a pole.
    ratio = np.sin(np.radians(radius_deg)) / max(np.cos(np.radians(dec_deg)), 1e-12)
    holds_pole = abs(dec_deg) + radius_deg >= 90 or ratio >= 1
    half_width = 180.0 if holds_pole else float(np.degrees(np.arcsin(ratio)))
    near = []
    for i in range(metadata.num_row_groups):
        dec, ra = (metadata.row_group(i).column(column[n]).statistics for n in ("dec", "ra"))
        if dec is not None and dec.has_min_max and ra is not None and ra.has_min_max:
            if dec.min > dec_deg + radius_deg or dec.max < dec_deg - radius_deg:
                continue
            # Distance along the circle of right ascension from its middle to the group's.
            middle, half = (ra.min + ra.max) / 2, (ra.max - ra.min) / 2
            if abs((middle - ra_deg + 180) % 360 - 180) > half + half_width:
                continue
        near.append(i)
    return near


def _concatenate(parts: list[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Return the parts below each other; a column that one lacks is NaN there."""
    columns: dict[str, list[NDArray[Any]]] = {name: [] for part in parts for name in part}
    for name in MANDATORY_COLUMNS:
        columns.setdefault(name, [])
    for part in parts:
        rows = len(part["id"])
        for name, values in columns.items():
            values.append(part[name] if name in part else np.full(rows, np.nan))
    return {name: np.concatenate(v) if v else np.zeros(0) for name, v in columns.items()}


def _separation_deg(ra1: Any, dec1: Any, ra2: float, dec2: float) -> float:
    a, b, d = np.radians(dec1), np.radians(dec2), np.radians(ra1 - ra2)
    half = np.sin((a - b) / 2) ** 2 + np.cos(a) * np.cos(b) * np.sin(d / 2) ** 2
    return float(np.degrees(2 * np.arcsin(np.sqrt(min(half, 1.0)))))
