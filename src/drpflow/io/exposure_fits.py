"""Reading exposures piece by piece, and writing them (``docs/filespec.md``).

``open_exposure(path)`` reads nothing. Asking for a component reads that component, asking for a
cut-out reads (about) those pixels. A component that cannot be read raises when it is asked for,
and spoils nothing else.
"""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from drpflow.data.component_names import COMPONENTS
from drpflow.data.dataset_ref import DatasetRef
from drpflow.data.exposure import UNITS, Exposure, LazyComponents, check_inside
from drpflow.data.geometry import Box
from drpflow.data.provenance import Provenance
from drpflow.errors import InputError, MissingDatasetError, suggest
from drpflow.io.cache import ComponentCache
from drpflow.io.components_fits import record_from_hdu
from drpflow.io.exposure_headers import FORMAT_VERSION, mask_from_header
from drpflow.io.exposure_write import write_exposure, write_part
from drpflow.io.fits_index import FitsIndex
from drpflow.io.records import rebuild

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from drpflow.data.exposure import PlaneName, Unit
    from drpflow.data.mask import Mask
    from drpflow.io.fits_index import HduEntry

__all__ = ["FitsExposure", "open_exposure", "parts_folder", "write_exposure", "write_part"]


def open_exposure(path: str | Path) -> Exposure:
    """Return the exposure of a file; nothing is read until it is asked for.

    Components that the file links to are looked for in the run folder that the path is part of.

    Raises
    ------
    MissingDatasetError
        If the file does not exist.
    """
    path = Path(path)
    if not path.exists():
        raise MissingDatasetError(f"{path} does not exist")

    def resolve(ref: DatasetRef) -> Any:
        from drpflow.io.store import Store

        return Store(Store.locate(path).root).get(ref.name, **ref.data_id)

    return Exposure.from_source(FitsExposure(path, resolve))


def parts_folder(path: str | Path) -> Path:
    """Return the folder of the components that were stored for an exposure later on."""
    return Path(path).with_suffix(".parts")


class FitsExposure:
    """Source of an exposure in a FITS file.

    Parameters
    ----------
    path
        The file.
    resolve
        Returns the component that a link names.
    cache
        Where components are kept once they are read.
    """

    def __init__(
        self,
        path: Path,
        resolve: Callable[[DatasetRef], Any],
        cache: ComponentCache | None = None,
    ) -> None:
        self.path = path
        self._resolve = resolve
        self._cache = cache or ComponentCache()

    @cached_property
    def index(self) -> FitsIndex:
        """Where the HDUs lie.

        Raises
        ------
        InputError
            If the file is no exposure, or of a format that came later.
        """
        index = FitsIndex(self.path)
        version = index.primary.header.get("DRPFMT")
        if version is None:
            raise InputError(
                self.path, "drpflow did not write it (no card DRPFMT)", "Give an exposure"
            )
        if version > FORMAT_VERSION:
            raise InputError(
                self.path,
                f"its format is {version}, this drpflow reads up to {FORMAT_VERSION}",
                "Upgrade drpflow",
            )
        return index

    @cached_property
    def box(self) -> Box:
        """The pixels that there are."""
        return stored_box(self.index.entry("IMAGE"))

    @cached_property
    def unit(self) -> Unit:
        """Unit of the image."""
        unit = self.index.entry("IMAGE").header.get("BUNIT")
        if unit not in UNITS:
            raise InputError(
                self.path, f"BUNIT is {unit!r}", f"The unit of an exposure is {', '.join(UNITS)}"
            )
        return cast("Unit", unit)

    @cached_property
    def provenance(self) -> Provenance:
        """What made it; `stages` also names the parts that were stored later."""
        provenance = Provenance.from_json(self.index.table("PROVENANCE").data[0][0])
        name = self.index.primary.header["DATASET"]
        return provenance.with_stages({part: f"{name}.{part}" for part in self.parts})

    @cached_property
    def parts(self) -> dict[str, FitsIndex]:
        """Components and planes that were stored later and stand for those of the file.

        A part of another content than that of the file was left behind when the file was
        replaced, and does not count.
        """
        folder = parts_folder(self.path)
        if not folder.is_dir():
            return {}
        content = self.index.primary.header["CONTENT"]
        found = {path.stem: FitsIndex(path) for path in sorted(folder.glob("[a-z]*.fits"))}
        return {k: v for k, v in found.items() if v.primary.header["BASE"] == content}

    @cached_property
    def _contents(self) -> dict[str, dict[str, str]]:
        """The table of contents: one row a component."""
        data = self.index.table("COMPONENTS").data
        rows = ({key: str(row[key]) for key in data.names} for row in data)
        return {row["COMPONENT"]: row for row in rows}

    @cached_property
    def components(self) -> Mapping[str, Any]:
        """The components that exist, each read when it is looked up."""
        there = {name for name, row in self._contents.items() if row["STATE"] != "missing"}
        names = tuple(n for n in COMPONENTS if n in there or n in self.parts)
        return LazyComponents(names, self.component)

    @cached_property
    def missing(self) -> dict[str, str]:
        """Why components do not exist."""
        return {
            name: str(json.loads(row["REASON"]))
            for name, row in self._contents.items()
            if row["STATE"] == "missing" and name not in self.parts
        }

    def component(self, name: str) -> Any:
        """Return a component, reading nothing else.

        Raises
        ------
        MissingDatasetError
            If the exposure has none of that name, with the reason.
        InputError
            If it cannot be read.
        """
        if name in self.parts:
            return self._read(self.parts[name], name)
        if name.upper() in self.index and name in COMPONENTS:
            return self._read(self.index, name)
        row = self._contents.get(name)
        if row is None:
            hint = suggest(name, COMPONENTS) if name not in COMPONENTS else ""
            raise MissingDatasetError(f"{self.path} has no component {name}{hint}")
        if row["STATE"] == "missing":
            raise MissingDatasetError(f"{self.path} has no {name}: {self.missing[name]}")
        return self._resolve(DatasetRef(row["DATASET"], json.loads(row["DATA_ID"])))

    def _read(self, index: FitsIndex, name: str) -> Any:
        return read_component(index, name, self._cache)

    def plane(self, name: PlaneName, box: Box) -> Any:
        """Return a part of the image, the mask or the variance."""
        index = self.parts.get(name, self.index)
        x0, y0 = self.box.xy0
        return read_plane(index, name, box.shifted(-x0, -y0))


def read_component(index: FitsIndex, name: str, cache: ComponentCache) -> Any:
    """Return the component in the HDU of its name, from the cache if it has been read before.

    Raises
    ------
    InputError
        If it cannot be read.
    """

    def make() -> Any:
        """Return the component as read from its HDU."""
        hdu = index.table(name.upper())
        try:
            record = record_from_hdu(hdu)
        except Exception as error:
            problem = f"its {name} cannot be read ({error})"
            raise InputError(index.path, problem, "Make the file again") from error
        return rebuild(record, index.path, name)

    return cache.get((index.signature, name), make)


def read_mask(path: str | Path, box: Box | tuple[int, int, int, int] | None = None) -> Mask:
    """Return the mask of a file that holds a mask alone, or a part of it.

    Parameters
    ----------
    path
        The file.
    box
        Half-open box counted from the first pixel of the file; all of it by default.

    Raises
    ------
    ValueError
        If the box is empty or reaches beyond the mask.
    """
    index = FitsIndex(Path(path))
    whole = stored_box(index.entry("MASK"))
    return cast("Mask", read_plane(index, "mask", check_inside(box or whole, whole)))


def stored_box(entry: HduEntry) -> Box:
    """Return the pixels of an image HDU, in the coordinates that its header states."""
    z = "Z" if entry.is_compressed else ""
    shape = entry.header[f"{z}NAXIS2"], entry.header[f"{z}NAXIS1"]
    return Box.from_shape(shape, (entry.header.get("PIXX0", 0), entry.header.get("PIXY0", 0)))


def read_plane(index: FitsIndex, name: PlaneName, box: Box) -> Any:
    """Return a part of a plane; `box` counts from the first pixel of the file.

    Raises
    ------
    InputError
        If the file does not have it.
    """
    pixels = index.pixels(name.upper(), box)
    if name == "mask":
        header = index.entry("MASK").header
        return mask_from_header(pixels.astype(np.int32, copy=False), header)
    return pixels.astype(np.float32, copy=False)
