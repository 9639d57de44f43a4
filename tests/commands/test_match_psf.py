"""`drpflow match-psf`: on files, and what it makes of bad input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from drpflow import cli
from drpflow.data.exposure import Exposure
from drpflow.data.mask import Mask
from drpflow.data.plane_maps import AffineMap
from drpflow.data.psf import GaussianPsf, Psf
from drpflow.data.psf_moments import adaptive_moments
from drpflow.data.sky_wcs import SkyWcs
from drpflow.data.tan_projection import TanProjection
from drpflow.io.exposure_fits import open_exposure, write_exposure
from drpflow.io.psf_match_files import read_kernel
from tests.algorithms.psf_match.test_match import drawn

SHAPE = (200, 240)
STAR = (120.4, 99.7)


def wcs(turn_deg: float = 0.0, scale: float = 1.0) -> SkyWcs:
    """A WCS turned about pixel (120, 100)."""
    t = np.radians(turn_deg)
    matrix = scale * 0.2 / 3600 * np.array([[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]])
    offset = -matrix @ np.array([120.0, 100.0])
    return SkyWcs((("detector", AffineMap(matrix, offset)),), TanProjection(30, -20), SHAPE)


def write(path: Path, psf: Psf | None, at: SkyWcs | None = None, **more: object) -> Path:
    """An exposure with one star of flux 1000."""
    image = np.zeros(SHAPE, np.float32)
    if psf is not None:
        stamp, box = psf.compute_image(*STAR)
        image[box.slices()] = 1000 * stamp
    parts = {"psf": psf, "wcs": at}
    exposure = Exposure(
        image, Mask.zeros(SHAPE), np.ones(SHAPE, np.float32), unit="nJy", components=parts, **more
    )
    write_exposure(path, exposure)
    return path


def moments(image: np.ndarray, half: int = 20) -> tuple[float, float, float]:
    """Ixx, Iyy, Ixy of the star."""
    x, y = (round(v) for v in STAR)
    found = adaptive_moments(image[y - half : y + half + 1, x - half : x + half + 1])[0]
    return found.xx, found.yy, found.xy


def command(*words: object) -> int:
    return cli.main(["match-psf", *(str(word) for word in words)])


def test_to_a_width(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path / "a.fits", GaussianPsf(1.7), wcs())
    out = tmp_path / "folder/b.fits"
    # A double Gaussian without wings is a Gaussian of σ = FWHM / 2.3548.
    assert command(source, out, "--fwhm", 2.6 * 2.35482, "--wing-amplitude", 0) == 0
    made = open_exposure(out)
    np.testing.assert_allclose(moments(made.image), (2.6**2, 2.6**2, 0), atol=0.02)
    assert made.wcs == wcs()
    assert float(made.psf.compute_sigma(50, 50)) == pytest.approx(2.6, rel=1e-3)
    assert np.nansum(made.image) == pytest.approx(1000, rel=1e-4)
    assert made.provenance.task == "match-psf"
    assert made.provenance.inputs[0]["path"] == str(source)
    kernel = read_kernel(tmp_path / "folder/b_kernel.fits")
    shape = adaptive_moments(kernel.at([120.0], [100.0])[0])[0]
    assert shape.xx == pytest.approx(2.6**2 - 1.7**2, rel=0.01)
    told = " ".join(capsys.readouterr().out.split())
    assert "against the target: size 0.0" in told
    assert "Written:" in told


def test_to_the_psf_of_another_exposure_at_its_own_angle(tmp_path: Path) -> None:
    import galsim

    from drpflow.data.polynomial import Basis2D, Domain
    from drpflow.data.psf import PixelGridPsf

    image = drawn(galsim.Gaussian(sigma=3.0).shear(g1=0.15), 41)
    long = PixelGridPsf(Basis2D(0, Domain(-0.5, 239.5, -0.5, 199.5)), image[None])
    other = write(tmp_path / "other.fits", long, wcs(90.0))
    source = write(tmp_path / "a.fits", GaussianPsf(1.7), wcs())
    assert command(source, tmp_path / "b.fits", "--like", other) == 0
    xx, yy, _ = moments(open_exposure(tmp_path / "b.fits").image)
    shape = long.compute_shape(100.0, 100.0)
    # The other image is turned by a right angle: long along its x is long along y here.
    np.testing.assert_allclose((xx, yy), (shape.yy, shape.xx), rtol=0.01)
    assert yy > 1.5 * xx


def test_to_an_image_with_another_sum(tmp_path: Path) -> None:
    psf = tmp_path / "psf.fits"
    fits.PrimaryHDU(GaussianPsf(2.4).compute_kernel_image(0, 0)).writeto(psf)
    source = write(tmp_path / "a.fits", GaussianPsf(1.7))
    words = (source, tmp_path / "b.fits", "--like", psf, "--kernel", tmp_path / "k.fits")
    assert command(*words, "--kernel-sum", 0.5) == 0
    made = open_exposure(tmp_path / "b.fits")
    assert np.nansum(made.image) == pytest.approx(500, rel=1e-4)
    np.testing.assert_allclose(moments(made.image), (2.4**2, 2.4**2, 0), atol=0.02)
    assert read_kernel(tmp_path / "k.fits").sum_at(3.0, 4.0) == pytest.approx(0.5, rel=1e-12)


def refuse(capsys: pytest.CaptureFixture[str], said: str, *words: object) -> None:
    assert command(*words) == 2
    told = capsys.readouterr().err
    assert said in " ".join(told.split())
    assert "Traceback" not in told


def test_faults(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path / "a.fits", GaussianPsf(1.7))
    bare = write(tmp_path / "bare.fits", None, missing={"psf": "too few stars"})
    wide = write(tmp_path / "wide.fits", GaussianPsf(4.0))
    out = tmp_path / "b.fits"
    refuse(capsys, "too few stars. Give an exposure with a PSF", bare, out, "--fwhm", 6)
    refuse(capsys, "too few stars", source, out, "--like", bare)
    refuse(capsys, "the PSF is wider than the target", wide, out, "--fwhm", 6)
    refuse(capsys, "Choose a wider target", wide, out, "--like", source)
    refuse(capsys, "must be positive", source, out, "--fwhm", -1)
    refuse(capsys, "gives no image of the sky", source, out, "--fwhm", 6, "--kernel-sum", 0)
    refuse(capsys, "does not exist", tmp_path / "no.fits", out, "--fwhm", 6)
    refuse(capsys, "does not exist", source, out, "--like", tmp_path / "no.fits")
    refuse(capsys, "it is an input", source, source, "--fwhm", 6, "--force")
    refuse(capsys, "would be one file", source, out, "--fwhm", 6, "--kernel", out)
    config = tmp_path / "c.yaml"
    config.write_text("makeWarp: {matching: {kernel_size_pix: 91}}")
    refuse(capsys, "91 pixels is too large", source, out, "--fwhm", 6, "--config", config)
    config.write_text("makeWarp: {matching: {kernel_size: 41}}")
    refuse(capsys, "did you mean 'kernel_size_pix'", source, out, "--fwhm", 6, "--config", config)
    off = np.zeros((31, 31))
    off[3, 4] = 1
    fits.PrimaryHDU(off).writeto(tmp_path / "off.fits")
    refuse(capsys, "off its middle", source, out, "--like", tmp_path / "off.fits")
    refuse(capsys, "did not write it as an exposure", tmp_path / "off.fits", out, "--fwhm", 6)
    assert not out.exists()
    assert command(source, out, "--fwhm", 6) == 0
    before = out.read_bytes()
    refuse(capsys, "add --force", source, out, "--fwhm", 7)
    assert out.read_bytes() == before
    assert command(source, out, "--fwhm", 6, "--force") == 0
    assert out.read_bytes() == before
