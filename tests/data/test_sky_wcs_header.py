"""FITS headers are read as astropy reads them."""

from __future__ import annotations

import bz2
import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from drpflow.data.sky_wcs import SkyWcs
from drpflow.data.tan_projection import separation_deg
from drpflow.errors import InputError

DATA = Path(__file__).parents[3] / "shared" / "data"

BASE: dict[str, Any] = {
    "NAXIS": 2,
    "NAXIS1": 1000,
    "NAXIS2": 800,
    "CTYPE1": "RA---TAN",
    "CTYPE2": "DEC--TAN",
    "CRVAL1": 0.02,
    "CRVAL2": 48.0,
    "CRPIX1": 480.5,
    "CRPIX2": 420.25,
}
CD = {"CD1_1": -7e-5, "CD1_2": 3e-6, "CD2_1": 2e-6, "CD2_2": 7.2e-5}
SIP = {
    "CTYPE1": "RA---TAN-SIP",
    "CTYPE2": "DEC--TAN-SIP",
    "A_ORDER": 3,
    "B_ORDER": 2,
    "A_2_0": 2e-6,
    "A_1_1": -3e-6,
    "A_0_3": 4e-9,
    "B_0_2": 5e-6,
    "B_1_1": 1e-6,
}
TPV = {
    "CTYPE1": "RA---TPV",
    "CTYPE2": "DEC--TPV",
    "PV1_0": 1e-4,
    "PV1_1": 1.002,
    "PV1_2": -3e-4,
    "PV1_4": 2e-3,
    "PV1_5": -1e-3,
    "PV1_7": 0.05,
    "PV1_9": -0.03,
    "PV1_13": 0.2,
    "PV1_38": 30.0,
    "PV2_1": 0.999,
    "PV2_4": -2e-3,
    "PV2_6": 1e-3,
    "PV2_8": 0.04,
    "PV2_17": 0.3,
    "PV2_31": -20.0,
}
CASES: dict[str, dict[str, Any]] = {
    "cd": {**BASE, **CD},
    "cdelt": {**BASE, "CDELT1": -7e-5, "CDELT2": 7e-5},
    "pc": {**BASE, "CDELT1": -7e-5, "CDELT2": 7e-5, "PC1_2": 0.3, "PC2_1": -0.25},
    "crota": {**BASE, "CDELT1": -7e-5, "CDELT2": 6e-5, "CROTA2": 33.0},
    "lonpole": {**BASE, **CD, "LONPOLE": 140.0},
    "latitude first": {
        **BASE,
        **CD,
        "CTYPE1": "DEC--TAN",
        "CTYPE2": "RA---TAN",
        "CRVAL1": 48.0,
        "CRVAL2": 0.02,
    },
    "sip": {**BASE, **CD, **SIP},
    "tpv": {**BASE, **CD, **TPV},
    "scamp": {**BASE, **CD, **{k: v for k, v in TPV.items() if k.startswith("PV")}},
    "fk5": {**BASE, **CD, "RADESYS": "FK5", "EQUINOX": 2000.0},
}


def compare(header: Any, n: int = 300) -> tuple[float, float]:
    """Largest difference to astropy: forward in arcsec, round trip in pixels."""
    wcs = SkyWcs.from_fits_header(header)
    nx, ny = wcs.pixel_shape or (1000, 1000)
    rng = np.random.default_rng(8)
    x, y = rng.uniform(-0.5, nx - 0.5, n), rng.uniform(-0.5, ny - 0.5, n)
    reader = WCS(fits.Header(header))
    expected = reader.all_pix2world(x, y, 0)
    if reader.wcs.lng == 1:
        expected = expected[::-1]
    sky = wcs.pixel_to_world_values(x, y)
    back = np.array(wcs.world_to_pixel_values(*sky)) - [x, y]
    return 3600 * float(separation_deg(*sky, *expected).max()), float(np.abs(back).max())


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore::astropy.wcs.FITSFixedWarning")
def test_agrees_with_astropy(name: str) -> None:
    arcsec, pix = compare(CASES[name])
    assert arcsec < 1e-8
    assert pix < 1e-8


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN"}, "no TAN"),
    ({"CTYPE1": "LINEAR"}, "no TAN"),
    ({"CTYPE2": "RA---TAN"}, "no TAN"),
    ({"CTYPE2": "DEC--TPV"}, "two projections"),
    ({"CRVAL2": None}, "lacks CRVAL2"),
    ({"CRPIX1": "middle"}, "CRPIX1 = 'middle' is not a number"),
    ({"CRVAL2": 91.0}, "declination"),
    ({"CD1_1": 0.0, "CD1_2": 0.0}, "singular"),
    ({"CUNIT1": "arcsec"}, "not 'deg'"),
    ({"RADESYS": "FK4"}, "FK4"),
    ({"RADESYS": "FK5", "EQUINOX": 1950.0}, "equinox 1950"),
    ({**TPV, "CTYPE1": "DEC--TPV", "CTYPE2": "RA---TPV"}, "latitude first"),
    ({**TPV, "PV1_3": 0.1}, "PV1_3 is a radial TPV term"),
]


@pytest.mark.parametrize(("change", "problem"), FAULTS, ids=[p for _, p in FAULTS])
def test_faults_are_named(change: dict[str, Any], problem: str) -> None:
    header = {**BASE, **CD, **change}
    header = {key: value for key, value in header.items() if value is not None}
    with pytest.raises(InputError, match="frame.fits: .*" + problem.replace("(", r"\(")):
        SkyWcs.from_fits_header(header, "frame.fits")


def test_header_without_size_has_no_shape() -> None:
    header = {k: v for k, v in CASES["sip"].items() if not k.startswith("NAXIS")}
    wcs = SkyWcs.from_fits_header(header)
    assert wcs.pixel_shape is None
    assert wcs.pixel_to_world_values(10, 20) == pytest.approx(
        SkyWcs.from_fits_header(CASES["sip"]).pixel_to_world_values(10, 20), abs=1e-12
    )


def real_headers(pattern: str, opener: Any = None) -> list[fits.Header]:
    found = []
    for path in sorted(DATA.glob(pattern))[:12]:
        if opener:
            # The first header has it, and the pixels behind it need not be decompressed.
            with opener(path) as stream:
                found.append(fits.Header.fromfile(stream))
            continue
        with fits.open(path) as hdus:
            found += [hdu.header for hdu in hdus if "CTYPE1" in hdu.header][:1]
    return found


@pytest.mark.real_data
@pytest.mark.skipif(not DATA.is_dir(), reason="the real frames are not here")
@pytest.mark.parametrize(
    ("pattern", "opener"),
    [
        ("decam_cutouts/testcase6/images/decam/**/*ooi*.fits", None),
        ("decam_cutouts/mzlsbass*/images/**/*oo[iwd]*.fits*", None),
        ("sdss_m2/frame-*.fits.bz2", bz2.open),
        ("sdss_m2/fpC-*.fit.gz", gzip.open),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_real_headers_agree_with_astropy(pattern: str, opener: Any) -> None:
    headers = real_headers(pattern, opener)
    assert headers
    for header in headers:
        arcsec, pix = compare(header, n=50)
        assert arcsec < 1e-8
        assert pix < 1e-6


def test_tpv_without_terms_is_tan() -> None:
    """The convention's default for PVi_1 is 1, though astropy takes 0."""
    bare = {**BASE, **CD, "CTYPE1": "RA---TPV", "CTYPE2": "DEC--TPV"}
    found = SkyWcs.from_fits_header(bare).pixel_to_world_values(10.0, 20.0)
    expected = SkyWcs.from_fits_header(CASES["cd"]).pixel_to_world_values(10.0, 20.0)
    assert found == pytest.approx(expected, abs=1e-12)
