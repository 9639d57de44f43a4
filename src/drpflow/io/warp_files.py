"""The files of makeWarp: what its script reads and writes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from drpflow import __version__
from drpflow.data.background import Background
from drpflow.data.dataset_ref import DatasetRef
from drpflow.data.double_gaussian_psf import DoubleGaussianPsf
from drpflow.data.geometry import Box, ValidPolygon
from drpflow.data.photo_calib import PhotoCalib
from drpflow.data.provenance import Provenance
from drpflow.data.psf import PixelGridPsf
from drpflow.data.sky_map import sky_map_from_json
from drpflow.data.sky_wcs import SkyWcs
from drpflow.data.star_wings import StarWingsLayer
from drpflow.data.visit_info import VisitInfo
from drpflow.errors import InputError
from drpflow.io.coadd_plan_files import read_coadd_plan
from drpflow.io.exposure_write import write_exposure
from drpflow.io.store import Store
from drpflow.io.visit_info_files import read_visit_info

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from drpflow.data.exposure import Exposure

VIEW = "recalibrated_pvi"
"""What is resampled."""
# What is read by name is imported here by statement, so that its code counts.
_KINDS = (Background, PhotoCalib, PixelGridPsf, SkyWcs, StarWingsLayer, ValidPolygon, VisitInfo)
_WARPS = ("direct_warp", "psf_matched_warp")
_TABLES = ("coadd_plan", "final_visit_summary", "visit_background", "visit_info")


class WarpInputs(NamedTuple):
    """See :class:`drpflow.tasks.make_warp.WarpOf`."""

    info: VisitInfo
    tract_wcs: SkyWcs
    box: Box
    planned: dict[int, str]
    unused: dict[int, str]
    target: DoubleGaussianPsf | None


def read_patch(options: Mapping[str, Any]) -> tuple[VisitInfo, SkyWcs, Box]:
    """Return the visit, and WCS and pixels of the patch: what every warp has.

    Parameters
    ----------
    options
        ``visit_info``: its file; ``sky_map``: the section ``skyMap`` as JSON; ``tract``, ``patch``.

    Raises
    ------
    InputError
        If there is no such patch, or the metadata cannot be read.
    """
    tract = sky_map_from_json(options["sky_map"]).tract(options["tract"])
    return read_visit_info(options["visit_info"]), tract.wcs, tract.patch(options["patch"]).warp


def read_inputs(options: Mapping[str, Any], detectors: Iterable[int]) -> WarpInputs:
    """Return what is to be resampled where.

    Parameters
    ----------
    options
        Those of :func:`read_patch`, and ``coadd_plan``: the table of the visit's band.
    detectors
        Detectors that may reach the patch.

    Raises
    ------
    InputError
        If something cannot be read.
    """
    info, wcs, box = read_patch(options)
    plan = read_coadd_plan(options["coadd_plan"])
    used = set(plan.detectors(info.visit))
    there = list(detectors)
    planned = {d: plan.reason(info.visit, d, matched=True) for d in there if d in used}
    unused = {d: plan.reason(info.visit, d) for d in there if d not in used}
    sigma = plan.target_sigma_pix
    target = None if sigma is None else DoubleGaussianPsf.from_sigma(sigma)
    return WarpInputs(info, wcs, box, planned, unused, target)


def exposure_opener(options: Mapping[str, Any]) -> Callable[[int], Exposure]:
    """Return the function that opens the recalibrated exposure of a detector.

    Parameters
    ----------
    options
        ``visit_info``, ``final_visit_summary``, ``visit_background`` and ``initial_pvi``: files
        below one output root.

    Raises
    ------
    InputError
        If they lie below several roots, or name several visits.
    """
    names = ("visit_info", "final_visit_summary", "visit_background")
    places = [
        Store.locate(path) for path in (*(options[n] for n in names), *options["initial_pvi"])
    ]
    found = {(Path(p.root).resolve(), p.data_id["visit"]) for p in places}
    if len(found) > 1:
        raise InputError(
            places[0].root,
            f"the inputs of a warp belong to {len(found)} folders or visits",
            "Give the products of one visit below one output root",
        )
    store, visit = Store(places[0].root), places[0].data_id["visit"]
    return lambda detector: store.get(VIEW, visit=visit, detector=detector)


def write_warps(warps: tuple[Exposure, Exposure], options: Mapping[str, Any]) -> None:
    """Write the direct and the matched warp.

    Parameters
    ----------
    warps
        The two, with the metadata of the visit, to which the files link.
    options
        ``direct_warp`` and ``psf_matched_warp``: the files; ``tract``, ``patch``. For the
        provenance ``config`` (the section), ``code`` (fingerprint) and the input files.
    """
    provenance = _provenance(options)
    for name, warp in zip(_WARPS, warps, strict=True):
        visit = warp.components["visit_info"].visit
        write_exposure(
            options[name],
            warp.replace(provenance=provenance),
            dataset=name,
            data_id={"tract": options["tract"], "patch": options["patch"], "visit": visit},
            links={"visit_info": DatasetRef("visit_info", {"visit": visit})},
        )


def _provenance(options: Mapping[str, Any]) -> Provenance:
    files = [{"name": name, "path": str(options[name])} for name in _TABLES if options.get(name)]
    files += [{"name": "initial_pvi", "path": str(path)} for path in options["initial_pvi"]]
    return Provenance(
        version=__version__,
        task="makeWarp",
        config=options["config"].model_dump(mode="json"),
        code=options.get("code", ""),
        inputs=tuple(files),
    )
