"""The files of compareWarpAssembleCoadd: warps in, a coadd and masks of visits out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from drpflow import __version__
from drpflow.data.coadd_inputs import CoaddInputs
from drpflow.data.coadd_psf import CoaddPsf
from drpflow.data.double_gaussian_psf import DoubleGaussianPsf
from drpflow.data.noise_covariance import NoiseCovariance
from drpflow.data.photo_calib import PhotoCalib
from drpflow.data.provenance import Provenance
from drpflow.data.psf import PixelGridPsf
from drpflow.data.sky_map import sky_map_from_json
from drpflow.data.warp_masks import WarpMask
from drpflow.data.warps import Warp
from drpflow.io.bright_objects import read_bright_objects
from drpflow.io.coadd_plan_files import read_coadd_plan
from drpflow.io.datasets import DatasetTable
from drpflow.io.exposure_fits import open_exposure
from drpflow.io.exposure_write import write_exposure
from drpflow.io.schemas import load_schema
from drpflow.io.tables import read_table, write_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from drpflow.data.bright_objects import BrightObject
    from drpflow.data.exposure import Exposure
    from drpflow.data.geometry import Box
    from drpflow.data.sky_wcs import SkyWcs

# What is read by name is imported here by statement, so that its code counts.
_KINDS = (CoaddInputs, CoaddPsf, DoubleGaussianPsf, NoiseCovariance, PhotoCalib, PixelGridPsf)
_MASK = "warp_mask"


class CoaddInputFiles(NamedTuple):
    """See :class:`drpflow.tasks.compare_warp_assemble_coadd.CoaddOf`."""

    wcs: SkyWcs
    box: Box
    warps: list[Warp]
    visits: list[int]
    fwhm_pix: float | None
    bright_objects: tuple[BrightObject, ...]
    shared: bool


def read_patch(options: Mapping[str, Any]) -> tuple[SkyWcs, Box]:
    """Return the WCS of a tract and the pixels of a patch.

    Parameters
    ----------
    options
        ``sky_map``: the section ``skyMap`` as JSON; ``tract``, ``patch``.

    Raises
    ------
    InputError
        If there is no such patch.
    """
    tract = sky_map_from_json(options["sky_map"]).tract(options["tract"])
    return tract.wcs, tract.patch(options["patch"]).outer


def read_inputs(options: Mapping[str, Any], visits: Sequence[int]) -> CoaddInputFiles:
    """Return what is to be coadded; pixels are read when they are asked for.

    Parameters
    ----------
    options
        Those of :func:`read_patch`; ``coadd_plan``: the file; ``direct_warp`` and
        ``psf_matched_warp``: paths with ``{visit}``; ``config``: the section.
    visits
        The visits of the patch.

    Raises
    ------
    InputError
        If a file cannot be read.
    MissingDatasetError
        If one does not exist.
    """
    wcs, box = read_patch(options)
    plan = read_coadd_plan(options["coadd_plan"])
    # A tract has one scale, up to 1e-4 at its edges.
    scale = float(wcs.pixel_scale_arcsec(*box.center))
    warps = []
    for visit in visits:
        direct = open_exposure(options["direct_warp"].format(visit=visit))
        matched = open_exposure(options["psf_matched_warp"].format(visit=visit))
        weight = plan.weight(visit)
        if weight > 0 and "psf" in direct.components:
            has_matched = "psf" in matched.components
            area = plan.psf_area(visit) / scale**2
            warps.append(Warp(visit, weight, direct, matched if has_matched else None, area))
    objects: tuple[BrightObject, ...] = ()
    if options["config"].bright_objects:
        objects = read_bright_objects(Path(options["config"].bright_objects))
    shared = len(sky_map_from_json(options["sky_map"]).tract(options["tract"])) > 1
    return CoaddInputFiles(wcs, box, warps, list(visits), plan.target_fwhm_pix, objects, shared)


def write_products(
    coadd: Exposure, n_image: Exposure, masks: Mapping[int, WarpMask], options: Mapping[str, Any]
) -> None:
    """Write a coadd, its number of visits and the masks of the visits.

    Parameters
    ----------
    coadd, n_image
        The images.
    masks
        By visit.
    options
        ``coadd`` and ``coadd_n_image``: the files; ``warp_mask``: path with ``{visit}``;
        ``tract``, ``patch``, ``band``. For the provenance ``config`` (the section), ``code``
        (fingerprint) and what was read.
    """
    table = DatasetTable.load()
    provenance = _provenance(options, list(masks))
    data_id = {name: options[name] for name in ("tract", "patch", "band")}
    for visit, mask in masks.items():
        write_table(
            options[_MASK].format(visit=visit),
            mask.columns(),
            load_schema(_MASK),
            data_id={**data_id, "visit": visit},
            provenance=provenance,
        )
    for name, exposure in (("coadd_n_image", n_image), ("coadd", coadd)):
        write_exposure(
            options[name],
            exposure.replace(provenance=provenance),
            dataset=name,
            data_id=data_id,
            compression=table.dataset(name).compression,
        )


def read_warp_mask(path: Path) -> WarpMask:
    """Return what comparing warps found in a visit.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    return WarpMask.from_columns(read_table(path, schema=load_schema(_MASK)).to_dict())


def _provenance(options: Mapping[str, Any], visits: Sequence[int]) -> Provenance:
    inputs = [{"name": "coadd_plan", "path": str(options["coadd_plan"])}]
    for name in ("direct_warp", "psf_matched_warp"):
        inputs += [{"name": name, "path": options[name].format(visit=v)} for v in visits]
    return Provenance(
        version=__version__,
        task="compareWarpAssembleCoadd",
        config=options["config"].model_dump(mode="json"),
        code=options.get("code", ""),
        inputs=tuple(inputs),
    )
