"""Bring an exposure to another PSF: a round one of a given width, or that of another image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from drpflow.commands.output import console
from drpflow.errors import InputError, MissingDatasetError

if TYPE_CHECKING:
    import argparse

    from drpflow.algorithms.psf_match.cells import Target
    from drpflow.algorithms.psf_match.match import MatchedPsf
    from drpflow.config.psf_match import PsfMatchConfig
    from drpflow.data.exposure import Exposure


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("exposure", type=Path, help="exposure file of drpflow, with a PSF")
    parser.add_argument("output", type=Path, help="exposure file to write")
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument(
        "--fwhm", type=float, metavar="PIX", help="to a round double Gaussian of this FWHM, pixels"
    )
    target.add_argument(
        "--like",
        type=Path,
        metavar="FILE",
        help="to the PSF of another exposure (at the same place of the sky if both have a WCS, "
        "else of the same pixel), or to the image of a PSF in a FITS file",
    )
    parser.add_argument(
        "--wing-amplitude", type=float, default=0.1, help="amplitude of the wide Gaussian [0.1]"
    )
    parser.add_argument(
        "--wing-ratio", type=float, default=2.5, help="its sigma in sigmas of the narrow one [2.5]"
    )
    parser.add_argument(
        "--kernel-sum", type=float, default=1.0, help="what fluxes are multiplied by [1]"
    )
    parser.add_argument(
        "--kernel", type=Path, help="kernel file to write [OUTPUT with _kernel before its suffix]"
    )
    parser.add_argument("--config", type=Path, help="config file; its section makeWarp.matching")
    parser.add_argument("--force", action="store_true", help="replace files that exist")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from drpflow.algorithms.psf_match.match import match_psf
    from drpflow.io.exposure_fits import write_exposure
    from drpflow.io.psf_match_files import write_kernel

    kernel_path = args.kernel or args.output.with_name(f"{args.output.stem}_kernel.fits")
    _check_outputs(args, kernel_path)
    config = _config(args.config)
    exposure = _exposure(args.exposure)
    target = _target(args, exposure)
    made = match_psf(exposure, target, config=config, kernel_sum=args.kernel_sum)
    cells = made.cells
    images = cells.x, cells.y, cells.images
    write_kernel(kernel_path, made.kernel, images, made.reference, made.numbers)
    matched = made.exposure.replace(provenance=_provenance(args, config))
    write_exposure(args.output, matched)
    _tell(args.output, kernel_path, made)
    return 0


def _check_outputs(args: argparse.Namespace, kernel_path: Path) -> None:
    """Refuse to write over what is read, and over what exists without --force."""
    inputs = {path.resolve() for path in (args.exposure, args.like) if path is not None}
    if kernel_path.resolve() == args.output.resolve():
        problem = "exposure and kernel would be one file"
        raise InputError(kernel_path, problem, "Name another --kernel")
    for path in (args.output, kernel_path):
        if path.resolve() in inputs:
            raise InputError(path, "it is an input", "Name another file to write")
        if path.exists() and not args.force:
            raise InputError(path, "it exists already", "Name another file, or add --force")


def _config(path: Path | None) -> PsfMatchConfig:
    """Return the part of a config file that is about matching; the defaults without one."""
    from drpflow.config.base import validate
    from drpflow.config.psf_match import PsfMatchConfig
    from drpflow.io.config_file import read_sections

    section = read_sections(path).get("makeWarp") or {}
    values = section.get("matching") if isinstance(section, dict) else section
    return validate(PsfMatchConfig, values, path or "--config")


def _exposure(path: Path) -> Exposure:
    """Return the exposure of a file, if it has a PSF."""
    from drpflow.io.exposure_fits import open_exposure
    from drpflow.io.psf_match_files import is_exposure

    if not is_exposure(path):
        raise InputError(path, "drpflow did not write it as an exposure", "Give an exposure file")
    exposure = open_exposure(path)
    try:
        exposure.require("psf")
    except MissingDatasetError as error:
        raise InputError(path, str(error), "Give an exposure with a PSF") from None
    return exposure


def _target(args: argparse.Namespace, exposure: Exposure) -> Target:
    from drpflow.data.double_gaussian_psf import DoubleGaussianPsf
    from drpflow.io.psf_match_files import is_exposure, read_psf_image

    if args.like is None:
        try:
            return DoubleGaussianPsf.from_fwhm(args.fwhm, args.wing_amplitude, args.wing_ratio)
        except ValueError as error:
            raise InputError("--fwhm", str(error), "Give positive widths, like --fwhm 6") from None
    if is_exposure(args.like):
        return _psf_seen_by(exposure, _exposure(args.like))
    return read_psf_image(args.like)


def _psf_seen_by(exposure: Exposure, other: Exposure) -> Target:
    """Return the PSF of another exposure in the pixels of this one."""
    from drpflow.data.coadd_psf import CoaddPsf, CoaddPsfInput
    from drpflow.data.geometry import ValidPolygon

    (psf,) = other.require("psf")
    if exposure.wcs is None or other.wcs is None or exposure.wcs == other.wcs:
        return psf
    polygon = other.valid_polygon or ValidPolygon.from_box(other.box)
    return CoaddPsf(exposure.wcs, (CoaddPsfInput(psf, other.wcs, polygon, 1.0, 0, 0),))


def _provenance(args: argparse.Namespace, config: PsfMatchConfig) -> Any:
    import drpflow
    from drpflow.data.provenance import Provenance

    values = {"kernel_sum": args.kernel_sum, **config.model_dump(mode="json")}
    inputs = [{"name": "exposure", "path": str(args.exposure)}]
    if args.like is None:
        wings = {"wing_amplitude": args.wing_amplitude, "wing_ratio": args.wing_ratio}
        values |= {"fwhm_pix": args.fwhm, **wings}
    else:
        inputs.append({"name": "target", "path": str(args.like)})
    return Provenance(drpflow.__version__, "match-psf", values, "", tuple(inputs))


def _tell(output: Path, kernel: Path, made: MatchedPsf) -> None:
    """Print what was done."""
    out, numbers = console(), made.numbers
    out.print(
        f"kernel of {numbers['kernel_size_pix']} pixels, noise variance times "
        f"{numbers['noise_gain']:.3g}; against the target: size {numbers['size_error']:.2%}, "
        f"ellipticity {numbers['ellipticity_error']:.4f}, profile {numbers['profile_error']:.2%} "
        "of the peak (worst place each)",
        highlight=False,
    )
    for note in made.notes:
        out.print(f"note: {note}", highlight=False)
    out.print(f"Written: {output}, {kernel}", highlight=False, soft_wrap=True)
