"""The truth of a simulated survey, frame by frame, from its files alone.

No task reads it: it lies beside the run, and whoever scores names the folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drpflow.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Columns: TypeAlias = dict[str, NDArray[Any]]

STAR, GALAXY = 0, 1
STAR_LIKE = (STAR, 2, 3)
"""Kinds of sources that are points: stars, supernovae, flares."""
ASTEROID = 4

_FEWEST_PSF_STARS, _FEWEST_REFERENCES = 10, 3
# Of the light that reaches a place.
_ORDER, _COLOR_ORDER, _ROUNDS, _FAR = 4, 4, 3, 6.0


def read_columns(path: Path) -> Columns:
    """Return the columns of a Parquet file."""
    import pyarrow.parquet as pq

    table = pq.ParquetFile(path).read()
    return {name: table[name].to_numpy() for name in table.column_names}


@dataclass(frozen=True, eq=False)
class Frame:
    """One detector of one visit.

    Parameters
    ----------
    folder
        The folder ``truth``.
    visit, detector
        Which.
    row
        Its row of the table of detectors.
    sources
        True sources on it, with their colour between the first and the last band.
    grid
        Pixels and sky of a reference star: ``x``, ``y``, ``ra``, ``dec``.
    """

    folder: Path
    visit: int
    detector: int
    row: dict[str, float]
    sources: Columns
    grid: Columns

    @property
    def usable(self) -> bool:
        """Whether there are stars enough: 10 for a PSF, 3 bright ones of the catalogue."""
        return bool(
            self.row["psf_stars"] >= _FEWEST_PSF_STARS
            and self.row["bright_reference_stars"] >= _FEWEST_REFERENCES
        )

    @property
    def fwhm_pix(self) -> float:
        """Full width at half maximum at the centre."""
        return self.row["fwhm_arcsec"] / self.pixel_arcsec

    @property
    def pixel_arcsec(self) -> float:
        """Pixel scale in the middle of the detector."""
        g, middle = self.grid, len(self.grid["x"]) // 2
        step = g["x"][middle + 1] - g["x"][middle]
        turn = (g["ra"][middle + 1] - g["ra"][middle] + 180) % 360 - 180
        east = turn * np.cos(np.radians(g["dec"][middle]))
        return float(3600 * np.hypot(east, g["dec"][middle + 1] - g["dec"][middle]) / step)

    @property
    def has_images(self) -> bool:
        """Whether its true images have been kept."""
        return self._path.is_file()

    @property
    def _path(self) -> Path:
        name = f"electrons_{self.visit}_{self.detector}.fits"
        return self.folder / "electrons" / f"visit={self.visit}" / name

    def image(self, name: str) -> NDArray[Any]:
        """Return a true image: ELECTRONS, PHOTO_ELECTRONS, COSMIC_RAYS or FLAGS."""
        return self._read(name)[0]

    def flagged(self, *names: str) -> NDArray[np.bool_]:
        """Return where true flags are set: SATURATED, DEFECT, TRAIL, GHOST."""
        flags, header = self._read("FLAGS")
        return np.asarray((flags & sum(int(header[f"FLAG {n}"]) for n in names)) != 0)

    def _read(self, name: str) -> tuple[NDArray[Any], Any]:
        if name not in self._images:
            from astropy.io import fits

            data, header = fits.getdata(self._path, name, header=True)
            self._images[name] = np.asarray(data), header
        return self._images[name]

    @cached_property
    def _images(self) -> dict[str, tuple[NDArray[Any], Any]]:
        """Images and headers that were read; they last as long as the frame."""
        return {}

    @cached_property
    def reference_njy(self) -> Floats:
        """Flux of a reference star that would free as many electrons as each source.

        In the passband of the reference catalogue, vignetting and cloud at the place of the source
        taken into account: what a perfect calibration of this detector alone would give.
        """
        s = self.sources
        return np.asarray(
            s["flux_electron"] / self.row["electron_per_reference_njy"] / self._light, np.float64
        )

    @cached_property
    def _light(self) -> Floats:
        """Light that reaches the place of each source over that at the centre.

        Electrons and magnitudes of the true sources have no noise: their ratio is that light
        times a function of colour, and polynomials follow both.
        """
        s = self.sources
        x, y = (2 * s[n] / max(float(self.grid[n].max()), 1.0) - 1 for n in ("x", "y"))
        place = np.stack(
            [x**i * y**j for i in range(_ORDER + 1) for j in range(_ORDER + 1 - i) if i + j], 1
        )
        color = s["color"][:, None] ** np.arange(_COLOR_ORDER + 1)
        value = np.log(s["flux_electron"]) + 0.4 * np.log(10) * s["mag"]
        design = np.concatenate([place, color], axis=1)
        good = np.isfinite(value) & np.isfinite(s["color"]) & (s["kind"] == STAR)
        if good.sum() < 3 * design.shape[1]:
            return np.ones(x.size)
        terms = np.zeros(design.shape[1])
        for _ in range(_ROUNDS):
            terms = np.linalg.lstsq(design[good], value[good], rcond=None)[0]
            off = np.where(good, value - design @ terms, np.nan)
            good &= np.abs(off) <= _FAR * 1.4826 * np.nanmedian(np.abs(off)) + 1e-12
        return np.asarray(np.exp(place @ terms[: place.shape[1]]), np.float64)


class TruthTables:
    """The truth of a survey.

    Parameters
    ----------
    folder
        The folder ``truth`` that ``drpflow simulate`` made, or the one that it lies in.

    Raises
    ------
    InputError
        If there is no truth.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder if (folder / "detectors.parquet").is_file() else folder / "truth"
        if not (self.folder / "detectors.parquet").is_file():
            raise InputError(
                folder, "there is no truth of a simulated survey in it",
                "Name the folder truth that drpflow simulate made",
            )  # fmt: skip

    @cached_property
    def detectors(self) -> Columns:
        """A row a frame."""
        return self.table("detectors")

    @cached_property
    def _wcs(self) -> Columns:
        return self.table("wcs")

    def table(self, name: str) -> Columns:
        """Return a table by its name, e.g. ``stars``."""
        return read_columns(self.folder / f"{name}.parquet")

    @cached_property
    def visits(self) -> list[int]:
        """Numbers of the visits."""
        return sorted(set(self.detectors["visit"].tolist()))

    def sources(self, visit: int) -> Columns:
        """Return the true sources on all detectors of a visit."""
        columns = read_columns(self.folder / "sources" / f"visit={visit}" / "sources.parquet")
        ids, colors = self._colors
        at = np.minimum(np.searchsorted(ids, columns["id"]), ids.size - 1)
        columns["color"] = np.where(ids[at] == columns["id"], colors[at], np.nan)
        return columns

    @cached_property
    def _colors(self) -> tuple[NDArray[np.int64], Floats]:
        """Identifiers of stars and galaxies, sorted, and their colours."""
        parts = [self.table(name) for name in ("stars", "galaxies")]
        bands = [n for n in parts[0] if n.startswith("mag_")]
        ids = np.concatenate([p["id"] for p in parts])
        colors = np.concatenate([p[bands[0]] - p[bands[-1]] for p in parts])
        order = np.argsort(ids)
        return ids[order], colors[order]

    def frames(self, visit: int) -> list[Frame]:
        """Return the frames of a visit by detector."""
        table, sources, grid = self.detectors, self.sources(visit), self._wcs
        found = []
        for k in np.flatnonzero(table["visit"] == visit):
            detector = int(table["detector"][k])
            here = sources["detector"] == detector
            there = (grid["visit"] == visit) & (grid["detector"] == detector)
            found.append(
                Frame(
                    self.folder, visit, detector, {n: v[k] for n, v in table.items()},
                    {n: v[here] for n, v in sources.items()},
                    {n: grid[n][there] for n in ("x", "y", "ra", "dec")},
                )
            )  # fmt: skip
        return sorted(found, key=lambda f: f.detector)
