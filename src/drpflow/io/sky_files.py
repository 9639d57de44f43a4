"""The files of measureSky: exposures in, samples of the sky out."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow import __version__
from drpflow.data.detector_info import DetectorInfo
from drpflow.data.provenance import Provenance
from drpflow.data.sky_samples import SkySamples
from drpflow.errors import InputError
from drpflow.io.exposure_fits import open_exposure, read_mask
from drpflow.io.schemas import load_schema
from drpflow.io.tables import read_table, write_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from drpflow.data.exposure import Exposure

_NAME = "sky_samples"


def read_exposures(
    paths: Sequence[Path], footprints: Sequence[Path] = ()
) -> Iterator[tuple[int, Exposure, NDArray[np.bool_] | None]]:
    """Yield detectors, exposures, whose pixels are read when they are asked for, and footprints.

    Parameters
    ----------
    paths
        ``initial_pvi`` of each detector.
    footprints
        Masks, in the same order, whose plane DETECTED marks what was found elsewhere; or none.

    Raises
    ------
    InputError
        If an exposure does not say of which detector it is, or a mask is not as large as it.
    """
    for path, extra in zip_longest(paths, footprints):
        if path is None:
            raise InputError(extra, "there is no exposure for it", "Give one mask an exposure")
        exposure = open_exposure(path)
        info = exposure.detector
        if not isinstance(info, DetectorInfo):
            raise InputError(path, "it does not say of which detector it is", "Make it again")
        yield info.id, exposure, _detected(extra, exposure.shape)


def _detected(path: Path | None, shape: tuple[int, int]) -> NDArray[np.bool_] | None:
    """Return what a mask says was detected; None without a file."""
    if path is None:
        return None
    mask = read_mask(path)
    if mask.shape != shape:
        raise InputError(path, f"{mask.shape} pixels for an exposure of {shape}", "Make it again")
    return mask.any("DETECTED")


def write_samples(
    samples: Mapping[int, SkySamples], visit: int, options: Mapping[str, Any]
) -> None:
    """Write the samples of a visit.

    Parameters
    ----------
    samples
        By detector; may be empty.
    visit
        The visit.
    options
        ``sky_samples``: the file. For the provenance ``config`` (the section), ``code``
        (fingerprint), ``initial_pvi`` and, if there are any, ``footprints``.
    """
    schema = load_schema(_NAME)
    parts = []
    for key in sorted(samples):
        columns = samples[key].to_columns()
        parts.append({"detector": np.full(len(columns["row"]), key, np.int64), **columns})
    inner = schema.without({"visit"}).columns
    if parts:
        whole = {c.name: np.concatenate([p[c.name] for p in parts]) for c in inner}
    else:
        whole = {c.name: np.zeros(0, np.dtype(c.type)) for c in inner}
    write_table(
        options[_NAME],
        whole,
        schema,
        dataset=_NAME,
        data_id={"visit": visit},
        provenance=Provenance(
            version=__version__,
            task="measureSky",
            config=options["config"].model_dump(mode="json"),
            code=options.get("code", ""),
            inputs=tuple(
                {"name": name, "path": str(path)}
                for name in ("initial_pvi", "footprints")
                for path in options.get(name) or ()
            ),
        ),
    )


def read_samples(path: Path) -> dict[int, SkySamples]:
    """Return the samples of a visit by detector.

    Raises
    ------
    InputError
        If the file cannot be read.
    MissingDatasetError
        If it does not exist.
    """
    columns = read_table(path, schema=load_schema(_NAME)).to_dict()
    found = {}
    for key in np.unique(columns["detector"]):
        rows = columns["detector"] == key
        found[int(key)] = SkySamples.from_columns({n: v[rows] for n, v in columns.items()})
    return found
