"""The files of finalizeCharacterization: what its script reads and writes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from drpflow import __version__
from drpflow.data.provenance import Provenance
from drpflow.data.reference_stars import ReferenceStars
from drpflow.errors import InputError, MissingDatasetError, suggest
from drpflow.io.cache import ComponentCache
from drpflow.io.camera_yaml import load_camera
from drpflow.io.component_tables import ComponentRows, write_component_table
from drpflow.io.datasets import DatasetTable
from drpflow.io.exposure_fits import open_exposure
from drpflow.io.schemas import load_schema
from drpflow.io.tables import read_table, write_table
from drpflow.io.visit_info_files import path_of, read_visit_info

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from drpflow.data.background import Background
    from drpflow.data.camera import Camera
    from drpflow.data.component_table import ComponentTable
    from drpflow.data.exposure import Exposure
    from drpflow.data.psf import Psf
    from drpflow.data.sky_wcs import SkyWcs
    from drpflow.data.visit_info import VisitInfo

    Columns: TypeAlias = dict[str, NDArray[Any]]
    Floats: TypeAlias = NDArray[np.float64]

SUMMARY, STARS = "final_characterization_summary", "final_characterization_stars"
_SOURCE = "isolated_stars_source"
_ASTROMETRY = ("ra", "dec", "epoch", "pm_ra", "pm_dec", "parallax", "ra_err", "dec_err")
_ERRORS = ("pm_ra_err", "pm_dec_err", "parallax_err")
_INPUTS = (
    "visit_info", "initial_visit_summary", "initial_stars", "initial_pvi", "visit_background",
    _SOURCE, "fgcm_standard_stars", "solved_astrometry_stars", "solved_astrometry_wcs",
)  # fmt: skip
_COLORS = ("isolated_star_id", "color", "color_assumed", "band")


class DetectorParts(NamedTuple):
    """See :class:`drpflow.tasks.finalize_characterization.FirstLook`."""

    psf: Psf | None
    wcs: SkyWcs | None
    wcs_error_arcsec: float
    peaks: tuple[Floats, Floats]
    background: Background | None


class Inputs(NamedTuple):
    """See :class:`drpflow.tasks.finalize_characterization.VisitStars`."""

    visit: int
    band: str
    camera: Camera
    detectors: dict[int, DetectorParts]
    sources: Columns
    color_type: str


def read_inputs(
    options: Mapping[str, Any],
    pieces: Sequence[int],
    solved: Sequence[int],
    columns: Iterable[str],
) -> Inputs:
    """Read all that is known of a visit but its pixels.

    Parameters
    ----------
    options
        ``camera``; paths ``visit_info``, ``initial_visit_summary``, ``initial_stars`` and, if
        there is one, ``visit_background``; ``initial_pvi``: of each detector;
        ``isolated_stars_source`` and ``fgcm_standard_stars`` with ``{skypix}``;
        ``solved_astrometry_stars`` with ``{skypix}``, ``solved_astrometry_wcs`` with that and
        ``{visit}``.
    pieces, solved
        Pieces of the sky that the visit touches: of the association, of the astrometric solution.
    columns
        Of ``isolated_stars_source``.

    Raises
    ------
    InputError
        If a file is faulty, or there is no such column.
    """
    info = read_visit_info(options["visit_info"])
    sources = _sources(options[_SOURCE], pieces, info.visit, columns)
    camera = load_camera(options["camera"])
    stars = sources["isolated_star_id"]
    sources["color"], kind = _colors(options["fgcm_standard_stars"], pieces, stars, camera)
    sources |= _places(options["solved_astrometry_stars"], solved, sources, info)
    ids = sorted(exposure_paths(options["initial_pvi"]))
    first = _FirstLooks(options, info.visit, solved)
    detectors = {d: first.detector(d) for d in ids}
    return Inputs(info.visit, info.band, camera, detectors, sources, kind)


def exposure_paths(paths: Iterable[Path]) -> dict[int, Path]:
    """Return the files of a visit's detectors by detector, as their names tell."""
    return {_detector_of(Path(path)): Path(path) for path in paths}


def _detector_of(path: Path) -> int:
    return _data_id(path)[1]


def _data_id(path: Path) -> tuple[int, int]:
    """Return visit and detector of a file that is named ``initial_pvi_<visit>_<detector>``."""
    words = path.name.partition(".")[0].split("_")
    if len(words) < 3 or not (words[-1].isdecimal() and words[-2].isdecimal()):
        problem = "its name does not end with the numbers of a visit and a detector"
        raise InputError(path, problem, "Give the files of a run, initial_pvi_<visit>_<detector>")
    return int(words[-2]), int(words[-1])


def exposure_opener(paths: Iterable[Path]) -> Callable[[int], Exposure]:
    """Return the function that opens the image of a detector, anew each time it is asked."""
    found = exposure_paths(paths)
    return lambda detector: open_exposure(found[detector])


def _sources(pattern: str, pieces: Sequence[int], visit: int, columns: Iterable[str]) -> Columns:
    known = [c.name for c in load_schema(_SOURCE).columns]
    wanted = list(dict.fromkeys([*columns, "visit"]))
    for name in wanted:
        if name not in known:
            raise InputError(
                "finalizeCharacterization.stars.bad_flags",
                f"{_SOURCE} has no column {name!r}{suggest(name, known)}",
                "docs/datasets.md lists its columns",
            )
    parts = []
    for piece in pieces:
        table = read_table(path_of(pattern, skypix=piece), wanted)
        rows = np.flatnonzero(table["visit"] == visit)
        parts.append({name: np.array(table[name])[rows] for name in wanted})
    if not parts:
        problem = "the visit touches no piece of the sky"
        raise InputError(f"visit {visit}", problem, "Check the visit sheet")
    whole = {name: np.concatenate([part[name] for part in parts]) for name in wanted}
    order = np.lexsort((whole["sourceId"], whole["detector"]))
    return {name: values[order] for name, values in whole.items()}


def _colors(
    pattern: str, pieces: Sequence[int], stars: NDArray[np.int64], camera: Camera
) -> tuple[Floats, str]:
    """Return the colours of stars, NaN where they are not measured, and what they are."""
    color = np.full(len(stars), np.nan)
    bands: set[str] = set()
    for piece in pieces:
        table = read_table(path_of(pattern, skypix=piece), list(_COLORS))
        bands |= set(np.unique(table["band"]).tolist())
        rows = np.flatnonzero(~np.asarray(table["color_assumed"], bool))
        at, found = _rows_of(table["isolated_star_id"][rows], stars)
        color[at] = table["color"][rows][found]
    order = [b for b in dict.fromkeys(f.band for f in camera.filters) if b in bands]
    return color, f"{order[0]}-{order[-1]}" if order else ""


def _rows_of(
    table: NDArray[np.int64], wanted: NDArray[np.int64]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return which of the wanted numbers are in a table, and where."""
    unique, first = np.unique(table, return_index=True)
    if not unique.size:
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    place = np.minimum(np.searchsorted(unique, wanted), unique.size - 1)
    at = np.flatnonzero(unique[place] == wanted)
    return at, first[place[at]]


def _places(pattern: str, solved: Sequence[int], sources: Columns, info: VisitInfo) -> Columns:
    """Return the places of stars at the time of the visit, NaN where they are not known."""
    stars = sources["isolated_star_id"]
    found = {name: np.full(len(stars), np.nan) for name in ("ra", "dec", "place_err")}
    for piece in solved:
        path = path_of(pattern, skypix=piece)
        table = read_table(path, ["isolated_star_id", *_ASTROMETRY, *_ERRORS])
        at, rows = _rows_of(table["isolated_star_id"], stars)
        if not at.size or info.mjd is None:
            continue
        columns = {name: np.array(table[name])[rows] for name in (*_ASTROMETRY, *_ERRORS)}
        columns["id"] = stars[at]
        now = ReferenceStars.from_columns(columns).at_epoch(info.mjd, 0.0)
        found["ra"][at], found["dec"][at] = now.ra, now.dec
        found["place_err"][at] = np.sqrt((now.ra_err**2 + now.dec_err**2) / 2)
    return found


class _FirstLooks:
    """What earlier tasks have made of the detectors of a visit."""

    def __init__(self, options: Mapping[str, Any], visit: int, solved: Sequence[int]) -> None:
        cache = ComponentCache()
        self.psf = ComponentRows(Path(options["initial_visit_summary"]), "detector", cache)
        self.stars = read_table(options["initial_stars"], ["detector", "x", "y"])
        self.backgrounds = None
        if options.get("visit_background"):
            path = Path(options["visit_background"])
            self.backgrounds = ComponentRows(path, "detector", cache)
        self.solutions = []
        for piece in solved:
            path = path_of(options["solved_astrometry_wcs"], skypix=piece, visit=visit)
            if not path.exists():
                continue
            table = read_table(path, ["detector", "wcs_error"])
            errors = dict(zip(table["detector"].tolist(), table["wcs_error"].tolist(), strict=True))
            self.solutions.append((ComponentRows(path, "detector", cache), errors))

    def detector(self, detector: int) -> DetectorParts:
        """Return what is known of a detector."""
        rows = np.flatnonzero(self.stars["detector"] == detector)
        peaks = tuple(np.array(self.stars[name], float)[rows] for name in ("x", "y"))
        found = [
            (error, wcs)
            for table, errors in self.solutions
            if (wcs := _component(table, "wcs", detector)) is not None
            and np.isfinite(error := errors.get(detector, np.nan))
        ]
        error, wcs = min(found, key=lambda item: item[0]) if found else (float("nan"), None)
        background = None
        if self.backgrounds is not None:
            background = _component(self.backgrounds, "background", detector)
        psf = _component(self.psf, "psf", detector)
        return DetectorParts(psf, wcs, error, (peaks[0], peaks[1]), background)


def _component(rows: ComponentRows, name: str, detector: int) -> Any:
    try:
        return rows.component(name, detector)
    except MissingDatasetError:
        return None


class Outputs(Protocol):
    """What is written: :class:`drpflow.tasks.finalize_characterization.Characterized`."""

    @property
    def summary(self) -> ComponentTable:
        """``final_characterization_summary``."""

    @property
    def stars(self) -> Columns:
        """Columns of ``final_characterization_stars``, empty for none."""

    @property
    def residuals(self) -> Mapping[str, Any]:
        """Mean images of stars less the PSF: metadata ``psf_residual`` of the summary."""


def write_outputs(outputs: Outputs, visit: int, options: Mapping[str, Any]) -> None:
    """Write both tables.

    Parameters
    ----------
    outputs
        The products.
    visit
        The visit.
    options
        The files to write, by dataset type. For the provenance ``config`` (the section), ``code``
        (fingerprint) and the input files.
    """
    entry = DatasetTable.load().dataset(SUMMARY)
    provenance = _provenance(options)
    write_component_table(
        options[SUMMARY],
        outputs.summary,
        entry.holds,
        entry.row or "detector",
        load_schema(SUMMARY),
        dataset=SUMMARY,
        data_id={"visit": visit},
        provenance=provenance,
        meta={"psf_residual": dict(outputs.residuals)},
    )
    schema = load_schema(STARS).without({"visit"})
    columns = {c.name: outputs.stars.get(c.name) for c in schema.columns}
    if not outputs.stars:
        columns = {c.name: np.zeros(0, _kind(c.type)) for c in schema.columns}
    write_table(
        options[STARS],
        columns,
        load_schema(STARS),
        dataset=STARS,
        data_id={"visit": visit},
        provenance=provenance,
    )


def _kind(name: str) -> Any:
    return np.str_ if name == "str" else name


def visit_of(options: Mapping[str, Any]) -> tuple[int, list[int]]:
    """Return visit and detectors, as the names of the images tell."""
    found = sorted(_data_id(Path(path)) for path in options["initial_pvi"])
    return found[0][0], [detector for _, detector in found]


def _provenance(options: Mapping[str, Any]) -> Provenance:
    files = []
    for name in _INPUTS:
        given = options.get(name)
        paths = given if isinstance(given, list) else [given]
        files += [{"name": name, "path": str(path)} for path in paths if path]
    return Provenance(
        version=__version__,
        task="finalizeCharacterization",
        config=options["config"].model_dump(mode="json"),
        code=options.get("code", ""),
        inputs=tuple(files),
    )
