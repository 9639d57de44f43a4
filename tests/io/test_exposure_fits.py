"""Exposures in FITS files: exact, lazy, readable by others, whole or not at all."""

from __future__ import annotations

import signal
import subprocess
import sys
import warnings

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from drpflow import InputError
from drpflow.data.dataset_ref import DatasetRef
from drpflow.data.exposure import Exposure
from drpflow.data.geometry import Box
from drpflow.data.mask import Mask
from drpflow.data.psf import GaussianPsf
from drpflow.data.visit_info import VisitInfo
from drpflow.errors import MissingDatasetError
from drpflow.io.datasets import DatasetTable
from drpflow.io.exposure_fits import FitsExposure, open_exposure, parts_folder, write_part
from drpflow.io.exposure_write import write_exposure
from tests.io.conftest import assert_same_exposure, make_exposure

planes = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9)


@st.composite
def exposures(draw: st.DrawFn) -> Exposure:
    shape = draw(planes)
    floats = st.floats(width=32)
    bits = draw(hnp.arrays(np.int32, shape))
    names = draw(st.permutations(["BAD", "SAT", "DETECTED_NEGATIVE", "SPIKE"]))
    return Exposure(
        draw(hnp.arrays(np.float32, shape, elements=floats)),
        Mask(bits, {name: bit for bit, name in enumerate(names)}),
        draw(hnp.arrays(np.float32, shape, elements=floats)),
        unit=draw(st.sampled_from(["adu", "electron", "nJy"])),
        xy0=draw(st.tuples(st.integers(-99, 99), st.integers(-99, 99))),
        components={"psf": GaussianPsf(1.5)} if draw(st.booleans()) else {},
        missing={"wcs": draw(st.text(max_size=20))} if draw(st.booleans()) else {},
    )


@given(exposures())
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_exposure_comes_back_exactly(tmp_path, exposure):
    write_exposure(tmp_path / "e.fits", exposure)
    assert_same_exposure(open_exposure(tmp_path / "e.fits"), exposure)


def test_full_exposure_comes_back_exactly(tmp_path):
    exposure = make_exposure(xy0=(1000, -20))
    write_exposure(tmp_path / "e.fits", exposure, dataset="pvi", data_id={"visit": 1})
    assert_same_exposure(open_exposure(tmp_path / "e.fits"), exposure)


@pytest.mark.parametrize("compression", ["none", "lossless", "lossy"])
def test_two_writes_give_the_same_bytes(tmp_path, monkeypatch, compression):
    """Also on another day: some compressions store the time."""
    exposure = make_exposure()
    exposure.variance[:20] = 3.0  # without noise, so that RICE falls back to gzip
    for now, name in enumerate("ab"):
        monkeypatch.setattr("time.time", lambda now=now: 1e9 + 1e6 * now)
        write_exposure(tmp_path / name, exposure, compression=compression)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_lossless_compression_is_exact_even_where_nothing_is_finite(tmp_path):
    exposure = make_exposure()
    exposure.image[3, :5] = [np.nan, np.inf, -np.inf, 0.0, -0.0]
    exposure.variance[:] = np.inf
    write_exposure(tmp_path / "e.fits", exposure, compression="lossless")
    assert_same_exposure(open_exposure(tmp_path / "e.fits"), exposure)


def test_lossy_compression_keeps_mean_nan_zero_and_mask(tmp_path):
    exposure = make_exposure((400, 500))
    exposure.image[5, 7] = np.nan
    exposure.image[100:110] = 0
    write_exposure(tmp_path / "e.fits", exposure, compression="lossy")
    back = open_exposure(tmp_path / "e.fits")
    noise = 3.0
    difference = (back.image - exposure.image)[np.isfinite(exposure.image)]
    # Steps of noise/16 leave an error of noise/16/√12; the noise is measured row by row, by
    # third-order differences.
    assert np.std(difference) == pytest.approx(noise / 16 / np.sqrt(12), rel=0.1)
    assert abs(difference.mean()) < 4 * np.std(difference) / np.sqrt(difference.size)
    assert np.isnan(back.image[5, 7])
    assert np.isnan(back.image).sum() == 1
    assert (back.image[100:110] == 0).all()
    assert back.mask == exposure.mask
    assert (tmp_path / "e.fits").stat().st_size < 0.62 * 3 * exposure.image.nbytes


def test_infinite_pixels_are_not_compressed_with_loss(tmp_path):
    exposure = make_exposure()
    exposure.variance[2, 3] = np.inf
    with pytest.raises(ValueError, match="variance holds infinite pixels"):
        write_exposure(tmp_path / "e.fits", exposure, compression="lossy")
    assert list(tmp_path.iterdir()) == []


def test_dither_differs_between_datasets(tmp_path):
    seeds = set()
    for visit in (1, 2):
        path = tmp_path / f"{visit}.fits"
        write_exposure(
            path, make_exposure(), dataset="pvi", data_id={"visit": visit}, compression="lossy"
        )
        with fits.open(path, disable_image_compression=True) as hdus:
            seeds.add(hdus["IMAGE"].header["ZDITHER0"])
    assert len(seeds) == 2


@pytest.mark.parametrize("compression", ["none", "lossy"])
def test_astropy_alone_sees_pixels_units_planes_and_wcs(tmp_path, compression):
    exposure = make_exposure((100, 120), xy0=(300, 500))
    path = tmp_path / "e.fits"
    write_exposure(
        path,
        exposure,
        dataset="pvi",
        data_id={"visit": 12, "detector": 3},
        compression=compression,
    )
    with warnings.catch_warnings(), fits.open(path) as hdus:
        warnings.simplefilter("error")
        hdus.verify("exception")
        primary = hdus[0].header
        assert primary["DATASET"] == "pvi"
        assert (primary["VISIT"], primary["DETECTOR"]) == (12, 3)
        assert (primary["OBJECT"], primary["FILTER"], primary["EXPTIME"]) == ("COSMOS", "r_01", 30)
        assert primary["INSTRUME"] == "simcam"
        assert primary["MJD-AVG"] == 60000.5
        assert primary["MJD-OBS"] == pytest.approx(60000.5 - 15 / 86400, abs=1e-9)
        assert primary["TIMESYS"] == "TAI"
        units = [hdus[name].header.get("BUNIT") for name in ("IMAGE", "VARIANCE", "MASK")]
        assert units == ["nJy", "nJy2", None]
        bit = hdus["MASK"].header["MP_DETECTED_NEGATIVE"]
        planes = (hdus["MASK"].data >> bit) & 1
        np.testing.assert_array_equal(planes == 1, exposure.mask.any("DETECTED_NEGATIVE"))
        for name in ("IMAGE", "MASK", "VARIANCE"):
            check_wcs(hdus[name].header, exposure)


def check_wcs(header: fits.Header, exposure: Exposure) -> None:
    """The WCS of a pixel HDU, by astropy, is as good as the header says."""
    wcs = WCS(header)
    j, i = np.mgrid[0:100:7, 0:120:7]
    got = wcs.all_pix2world(i.ravel(), j.ravel(), 0)
    want = exposure.wcs.pixel_to_world_values(i.ravel() + 300, j.ravel() + 500)
    offset_arcsec = 3600 * np.hypot(
        (got[0] - want[0]) * np.cos(np.radians(want[1])), got[1] - want[1]
    )
    assert offset_arcsec.max() < max(1.5 * header["SIPERR"], 1e-6)
    assert header["SIPERR"] < 1e-3


def test_every_dimension_has_a_card(tmp_path):
    path = tmp_path / "e.fits"
    dimensions = {n: d for n, d in DatasetTable.load().dimensions.items() if not d.implied}
    data_id = {n: 7 if d.type == "int" else "r_01" for n, d in dimensions.items()}
    write_exposure(path, make_exposure(), dataset="pvi", data_id=data_id)
    header = fits.getheader(path)
    assert header["FILTER"] == "r_01"
    assert len(set(dimensions) & {card.comment for card in header.cards}) == len(dimensions)


def test_mask_planes_are_documented_in_the_header(tmp_path):
    write_exposure(tmp_path / "e.fits", make_exposure())
    card = fits.getheader(tmp_path / "e.fits", "MASK").cards["MP_SAT"]
    assert card.comment == "saturated, or full well exceeded"


def test_opening_reads_nothing(tmp_path, monkeypatch):
    write_exposure(tmp_path / "e.fits", make_exposure())
    exposure = open_exposure(tmp_path / "e.fits")
    (tmp_path / "e.fits").unlink()
    with pytest.raises(MissingDatasetError, match="does not exist"):
        exposure.box  # noqa: B018


def test_absent_file(tmp_path):
    with pytest.raises(MissingDatasetError, match=r"absent\.fits does not exist"):
        open_exposure(tmp_path / "absent.fits")


@pytest.mark.parametrize("compression", ["none", "lossless"])
def test_a_cutout_is_that_part_and_reads_that_part(tmp_path, monkeypatch, compression):
    exposure = make_exposure((90, 70), xy0=(10, 20))
    write_exposure(tmp_path / "e.fits", exposure, compression=compression)
    asked = []
    pixels = FitsExposure.plane
    monkeypatch.setattr(
        FitsExposure, "plane", lambda self, n, box: asked.append(box) or pixels(self, n, box)
    )
    cut = open_exposure(tmp_path / "e.fits").cutout((15, 40, 25, 30))
    assert cut.xy0 == (15, 25)
    np.testing.assert_array_equal(cut.image, exposure.image[5:10, 5:30])
    np.testing.assert_array_equal(cut.mask.array, exposure.mask.array[5:10, 5:30])
    assert cut.wcs == exposure.wcs
    assert set(asked) == {Box(15, 40, 25, 30)}
    inner = cut.cutout((16, 18, 26, 28))
    np.testing.assert_array_equal(inner.variance, exposure.variance[6:8, 6:8])


@pytest.mark.parametrize("box", [(0, 5, 0, 49), (-1, 5, 0, 5), (5, 5, 0, 5), (60, 70, 0, 5)])
def test_a_box_beyond_the_exposure_is_refused(tmp_path, box):
    write_exposure(tmp_path / "e.fits", make_exposure())
    with pytest.raises(ValueError, match="is no part of"):
        open_exposure(tmp_path / "e.fits").cutout(box)


def test_missing_component_tells_its_reason(tmp_path):
    write_exposure(tmp_path / "e.fits", make_exposure())
    exposure = open_exposure(tmp_path / "e.fits")
    assert exposure.ap_corr is None
    with pytest.raises(MissingDatasetError, match="n'est-ce pas – «non»"):
        exposure.require("ap_corr")


def find_hdu(path, name: str) -> tuple[int, int]:
    """Start and end of an HDU's data."""
    with fits.open(path) as hdus:
        where = hdus[name].fileinfo()
        return where["datLoc"], where["datLoc"] + where["datSpan"]


def test_a_broken_component_spoils_nothing_else(tmp_path):
    path = tmp_path / "e.fits"
    write_exposure(path, make_exposure())
    start, _ = find_hdu(path, "PSF")
    content = bytearray(path.read_bytes())
    content[start : start + 20] = b"x" * 20
    path.write_bytes(content)
    exposure = open_exposure(path)
    assert exposure.wcs == make_exposure().wcs
    assert exposure.image.shape == (48, 64)
    assert "psf" in exposure.components
    with pytest.raises(InputError, match=r"e\.fits: its psf cannot be read"):
        exposure.psf  # noqa: B018


@pytest.mark.parametrize("lost", ["VARIANCE", "PSF", "PROVENANCE"])
def test_a_truncated_file_gives_what_it_has_and_names_what_it_lost(tmp_path, lost):
    path = tmp_path / "e.fits"
    write_exposure(path, make_exposure())
    start, _ = find_hdu(path, lost)
    path.write_bytes(path.read_bytes()[: start + 10])
    exposure = open_exposure(path)
    assert exposure.image.shape == (48, 64)
    with pytest.raises(InputError, match=f"ends within the HDU {lost}|has no HDU"):
        {
            "VARIANCE": lambda: exposure.variance,
            "PSF": lambda: exposure.psf,
            "PROVENANCE": lambda: exposure.provenance,
        }[lost]()


@pytest.mark.parametrize("content", [b"", b"not FITS at all" * 400, b"SIMPLE  =" + b" " * 71])
def test_what_is_no_fits_file_is_told(tmp_path, content):
    path = tmp_path / "e.fits"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"e\.fits: it is (empty|no FITS file)"):
        open_exposure(path).box  # noqa: B018


def test_fits_of_other_programs_is_told(tmp_path):
    fits.writeto(tmp_path / "e.fits", np.zeros((3, 3)))
    with pytest.raises(InputError, match="drpflow did not write it"):
        open_exposure(tmp_path / "e.fits").box  # noqa: B018


def test_a_later_format_says_upgrade(tmp_path):
    write_exposure(tmp_path / "e.fits", make_exposure())
    fits.setval(tmp_path / "e.fits", "DRPFMT", value=2)
    with pytest.raises(InputError, match=r"format is 2, this drpflow reads up to 1\. Upgrade"):
        open_exposure(tmp_path / "e.fits").unit  # noqa: B018


def test_an_unknown_unit_is_told(tmp_path):
    write_exposure(tmp_path / "e.fits", make_exposure())
    fits.setval(tmp_path / "e.fits", "BUNIT", value="counts", extname="IMAGE")
    with pytest.raises(InputError, match="BUNIT is 'counts'"):
        open_exposure(tmp_path / "e.fits").unit  # noqa: B018


def test_a_file_that_is_replaced_while_in_use_is_told(tmp_path):
    write_exposure(tmp_path / "e.fits", make_exposure())
    exposure = open_exposure(tmp_path / "e.fits")
    assert exposure.unit == "nJy"
    write_exposure(tmp_path / "e.fits", make_exposure(seed=2))
    with pytest.raises(InputError, match="replaced while it was in use"):
        exposure.image  # noqa: B018


def test_a_linked_component_is_not_stored(tmp_path):
    exposure = make_exposure()
    links = {"visit_info": DatasetRef("visit_info", {"visit": 12})}
    write_exposure(tmp_path / "e.fits", exposure, links=links)
    assert "VISIT_INFO" not in FitsExposure(tmp_path / "e.fits", None).index
    asked = []

    def resolve(ref: DatasetRef) -> VisitInfo:
        asked.append(ref)
        return VisitInfo(12)

    source = FitsExposure(tmp_path / "e.fits", resolve)
    assert "visit_info" in source.components
    assert asked == []
    assert Exposure.from_source(source).visit_info == VisitInfo(12)
    assert asked == [DatasetRef("visit_info", {"visit": 12})]


def test_a_link_outside_a_run_folder_is_told(tmp_path):
    links = {"visit_info": DatasetRef("visit_info", {"visit": 12})}
    write_exposure(tmp_path / "e.fits", make_exposure(), links=links)
    exposure = open_exposure(tmp_path / "e.fits")
    assert exposure.wcs is not None
    with pytest.raises(InputError, match="not the path of a dataset"):
        exposure.visit_info  # noqa: B018


def test_parts_stand_for_those_of_their_exposure_only(tmp_path):
    path = tmp_path / "e.fits"
    write_exposure(path, make_exposure())
    digest = fits.getval(path, "CONTENT")
    folder = parts_folder(path)
    write_part(folder / "psf.fits", "psf", GaussianPsf(9.0), digest)
    assert open_exposure(path).psf == GaussianPsf(9.0)
    write_exposure(path, make_exposure(seed=2))  # other pixels: another exposure
    assert open_exposure(path).psf == GaussianPsf(1.7)
    write_exposure(path, make_exposure())  # the first again
    assert open_exposure(path).psf == GaussianPsf(9.0)


def test_a_stray_temporary_file_is_no_part(tmp_path):
    path = tmp_path / "e.fits"
    write_exposure(path, make_exposure())
    parts_folder(path).mkdir()
    (parts_folder(path) / ".psf.fits.123.tmp").write_bytes(b"half")
    assert open_exposure(path).psf == GaussianPsf(1.7)


@pytest.mark.parametrize("change", ["pixel", "mask", "component", "unit", "link"])
def test_the_digest_notices_any_change(tmp_path, change):
    first, second = make_exposure(), make_exposure()
    links = {}
    if change == "pixel":
        second.variance[4, 5] += 1
    elif change == "mask":
        second.mask.array[4, 5] ^= 1
    elif change == "component":
        second = second.replace(psf=GaussianPsf(1.7000001))
    elif change == "unit":
        second = second.replace(unit="electron")
    else:
        links = {"visit_info": DatasetRef("visit_info", {"visit": 13})}
    write_exposure(tmp_path / "1.fits", first)
    write_exposure(tmp_path / "2.fits", second, links=links)
    digests = [fits.getval(tmp_path / f"{i}.fits", "CONTENT") for i in (1, 2)]
    assert digests[0] != digests[1]


def test_the_digest_notices_the_pixels_alone_and_not_the_provenance(tmp_path):
    write_exposure(tmp_path / "1.fits", make_exposure())
    again = make_exposure()
    write_exposure(tmp_path / "2.fits", again.replace(provenance=None), dataset="pvi")
    digests = [fits.getval(tmp_path / f"{i}.fits", "CONTENT") for i in (1, 2)]
    assert digests[0] == digests[1]


WRITER = """
import sys
from tests.io.conftest import make_exposure
from drpflow.io.exposure_write import write_exposure
exposure = make_exposure((2000, 2000))
print("ready", flush=True)
for _ in range(50):
    write_exposure(sys.argv[1], exposure)
"""


def test_kill_in_mid_write_leaves_a_whole_file(tmp_path):
    path = tmp_path / "e.fits"
    write_exposure(path, make_exposure())
    for delay_s in (0.0, 0.03, 0.1):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            with pytest.raises(subprocess.TimeoutExpired):
                writer.wait(delay_s or 1e-3)
            writer.send_signal(signal.SIGKILL)
        exposure = open_exposure(path)
        assert exposure.shape in {(48, 64), (2000, 2000)}
        assert exposure.provenance.task == "calibrateImage"
        assert exposure.variance.shape == exposure.shape
