"""The detections of isolated stars of a whole survey, gathered for the photometric fit.

Files are read one after the other and column by column; in memory stay 32 bytes a detection: rows
of star, visit and detector, magnitude and error, place on the detector; and 8 more with a second
flux for the clouds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa

from drpflow.data.arrow_arrays import from_arrow
from drpflow.data.flux_errors import own_errors
from drpflow.data.photometric_tables import Observations, Stars
from drpflow.errors import InputError, suggest
from drpflow.io.tables import open_parquet, table_meta

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    import pyarrow.parquet as pq
    from numpy.typing import NDArray

    from drpflow.data.camera import Camera

    Columns: TypeAlias = Mapping[str, NDArray[Any]]

MAG_PER_RELATIVE = 2.5 / np.log(10.0)
_STARS = ("isolated_star_id", "ra", "dec", "reserved")
_SOURCES = ("isolated_star_id", "visit", "detector", "x", "y")
# Rows that are converted at a time: temporaries stay near 100 MB.
_BATCH = 1_000_000


@dataclass(frozen=True, eq=False)
class Gathered:
    """Stars and their detections.

    Parameters
    ----------
    stars
        The stars of all pixels, those of one pixel together, without reference magnitudes.
    skypix
        HEALPix pixel of each star, shape (S,).
    observations
        Detections; those without a positive flux have NaN magnitudes.
    dropped
        Detections on visits or detectors that are not calibrated.
    """

    stars: Stars
    skypix: NDArray[np.int64]
    observations: Observations
    dropped: int


def gather_sources(
    star_files: Sequence[Path],
    source_files: Sequence[Path],
    camera: Camera,
    exposure_time_s: Mapping[int, float],
    flux: str,
    cloud_flux: str | None = None,
) -> Gathered:
    """Read stars and detections of all HEALPix pixels.

    Parameters
    ----------
    star_files, source_files
        ``isolated_stars`` and ``isolated_stars_source`` of the same pixels, in the same order.
    camera
        Gives detectors and their sizes.
    exposure_time_s
        Of each visit that is calibrated; their order, by number, is that of the rows.
    flux
        Which flux counts, such as ``normCompTophatFlux``, in electrons.
    cloud_flux
        Another one, such as ``psfFlux``, that tells the clouds inside an image.

    Raises
    ------
    InputError
        If a file is of another kind, or a detection belongs to no star.
    """
    files = [open_parquet(path) for path in source_files]
    second = cloud_flux is not None
    columns = _Columns(sum(file.metadata.num_rows for file in files), second=second)
    converter = _Converter(camera, exposure_time_s, flux, cloud_flux)
    stars: list[Columns] = []
    pixels, first = [], 0
    for star_path, path, file in zip(star_files, source_files, files, strict=True):
        part = _read(open_parquet(star_path), _STARS, star_path)
        pixel = table_meta(file.schema_arrow).get("data_id", {}).get("skypix", -1)
        _fill(columns, converter, path, file, part["isolated_star_id"], first)
        stars.append(part)
        pixels.append(np.full(len(part["ra"]), pixel, np.int64))
        first += len(part["ra"])
    return Gathered(
        _stars(stars, star_files),
        np.concatenate(pixels) if pixels else np.zeros(0, np.int64),
        columns.observations(),
        columns.size - columns.used,
    )


def _stars(parts: list[Columns], files: Sequence[Path]) -> Stars:
    def column(name: str, kind: Any) -> NDArray[Any]:
        return np.concatenate([part[name] for part in parts]) if parts else np.zeros(0, kind)

    ids = column("isolated_star_id", np.int64)
    order = np.argsort(ids, kind="stable")
    again = np.flatnonzero(np.diff(ids[order]) == 0)
    if again.size:
        row = int(order[again[0] + 1])
        path = files[int(np.searchsorted(np.cumsum([len(p["ra"]) for p in parts]), row, "right"))]
        problem = f"star {ids[row]} stands twice, here or in two pieces of the sky"
        raise InputError(path, problem, "Associate the stars of all pieces again")
    return Stars(ids, column("ra", float), column("dec", float), column("reserved", bool))


def _read(file: pq.ParquetFile, names: Iterable[str], path: Path) -> Columns:
    _check(file, names, path)
    table = file.read(columns=list(names))
    return {name: from_arrow(table.column(name)) for name in names}


def _check(file: pq.ParquetFile, names: Iterable[str], path: Path) -> None:
    known = file.schema_arrow.names
    for name in names:
        if name not in known:
            raise InputError(
                path, f"it has no column {name!r}{suggest(name, known)}", f"It has {known}"
            )


class _Columns:
    """Columns that are filled from the front."""

    def __init__(self, size: int, *, second: bool) -> None:
        self.size, self.used = size, 0
        self.star, self.visit, self.detector = (np.empty(size, np.int32) for _ in range(3))
        self.mag = np.empty(size, np.float64)
        self.mag_err, self.u, self.v = (np.empty(size, np.float32) for _ in range(3))
        self.names = ["star", "visit", "detector", "mag", "mag_err", "u", "v"]
        if second:
            self.cloud_mag, self.cloud_mag_err = (np.empty(size, np.float32) for _ in range(2))
            self.names += ["cloud_mag", "cloud_mag_err"]

    def append(self, values: Columns) -> None:
        end = self.used + values["star"].size
        for name, column in values.items():
            getattr(self, name)[self.used : end] = column
        self.used = end

    def observations(self) -> Observations:
        return Observations(**{name: getattr(self, name)[: self.used] for name in self.names})


class _Flux:
    """One of the fluxes that detections have.

    Parameters
    ----------
    name
        Such as ``psfFlux``.
    """

    def __init__(self, name: str) -> None:
        self.value, self.error = f"{name}_instFlux", f"{name}_instFluxErr"
        self.flag = f"{name}_flag"
        self.correction = f"{name}_apCorr", f"{name}_apCorrErr"

    def magnitudes(
        self, columns: Columns, kept: NDArray[np.bool_], seconds: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return magnitudes and errors; NaN for fluxes that are flagged or not positive."""
        flux, error = columns[self.value][kept], columns[self.error][kept]
        good = (flux > 0) & (error > 0)
        if self.flag in columns:
            good &= ~columns[self.flag][kept]
        if all(name in columns for name in self.correction):
            error = own_errors(flux, error, *(columns[name][kept] for name in self.correction))
        flux = np.where(good, flux, np.nan)
        return -2.5 * np.log10(flux / seconds), MAG_PER_RELATIVE * error / flux


class _Converter:
    """Turns columns of detections into those of observations."""

    def __init__(
        self,
        camera: Camera,
        exposure_time_s: Mapping[int, float],
        flux: str,
        cloud_flux: str | None,
    ) -> None:
        self.fluxes = [_Flux(name) for name in (flux, cloud_flux) if name is not None]
        self.names = [*_SOURCES, *(n for f in self.fluxes for n in (f.value, f.error))]
        self.optional = [n for f in self.fluxes for n in (f.flag, *f.correction)]
        self.visits = np.array(sorted(exposure_time_s), np.int64)
        self.times = np.array([exposure_time_s[int(v)] for v in self.visits])
        self.detectors = np.array([d.id for d in camera.detectors], np.int64)
        self.sizes = np.array([d.size_pix for d in camera.detectors], float)
        self.order = np.argsort(self.detectors)

    def __call__(self, columns: Columns) -> Columns:
        """Return the observations; ``star`` still holds the star's number."""
        visit = _rows(self.visits, columns["visit"])
        place = _rows(self.detectors[self.order], columns["detector"])
        kept = (visit >= 0) & (place >= 0)
        visit, detector = visit[kept], self.order[place[kept]]
        size = self.sizes[detector]
        out = {
            "star": columns["isolated_star_id"][kept],
            "visit": visit.astype(np.int32),
            "detector": detector.astype(np.int32),
            "u": (2 * columns["x"][kept] + 1) / size[:, 0] - 1,
            "v": (2 * columns["y"][kept] + 1) / size[:, 1] - 1,
        }
        for prefix, flux in zip(("", "cloud_"), self.fluxes, strict=False):
            mag, err = flux.magnitudes(columns, kept, self.times[visit])
            out |= {f"{prefix}mag": mag, f"{prefix}mag_err": err}
        return out


def _rows(sorted_values: NDArray[Any], values: NDArray[Any]) -> NDArray[np.intp]:
    """Return where values stand in a sorted list, -1 for those that are not in it."""
    if not sorted_values.size:
        return np.full(values.size, -1, np.intp)
    rows = np.minimum(np.searchsorted(sorted_values, values), sorted_values.size - 1)
    return np.where(sorted_values[rows] == values, rows, -1)


def _fill(
    columns: _Columns,
    converter: _Converter,
    path: Path,
    file: pq.ParquetFile,
    star_ids: NDArray[Any],
    first: int,
) -> None:
    """Append the detections of a file, whose stars begin at row `first`."""
    _check(file, converter.names, path)
    known = file.schema_arrow.names
    extra = [n for n in converter.optional if n in known]
    order = np.argsort(star_ids)
    for batch in file.iter_batches(_BATCH, columns=[*converter.names, *extra]):
        table = pa.Table.from_batches([batch])
        given = {name: from_arrow(table.column(name)) for name in table.column_names}
        values = dict(converter(given))
        rows = _rows(star_ids[order], values["star"])
        if (rows < 0).any():
            star = int(values["star"][rows < 0][0])
            raise InputError(
                path, f"star {star} is not among the isolated stars", "Associate the stars again"
            )
        values["star"] = order[rows] + first
        columns.append(values)
