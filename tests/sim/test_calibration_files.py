from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from drpflow.sim.calibration_files import calibration_paths, write_calibrations
from tests.sim.conftest import Calibrated

AMPLIFIERS = ["C00", "C01", "C10", "C11"]


@pytest.fixture(scope="module")
def paths(calibrated: Calibrated, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("calib")
    write_calibrations(folder, "simcam", calibrated.measured)
    return calibration_paths(folder, "simcam", 1, ("sim_r",))


def test_every_file_says_what_it_is(paths: dict[str, Path]) -> None:
    assert len(paths) == 9
    for kind, path in paths.items():
        header = fits.getheader(path)
        assert header["CALTYPE"] == kind.removesuffix("_sim_r")
        assert (header["INSTRUME"], header["CCDNUM"]) == ("simcam", 1)
        assert header.get("FILTER") == ("sim_r" if kind == "flat_sim_r" else None)


@pytest.mark.parametrize(
    ("kind", "unit", "frames"),
    [("bias", "adu", 16), ("dark", "electron s-1", 6), ("flat_sim_r", None, 10)],
)
def test_masters(paths: dict[str, Path], kind: str, unit: str | None, frames: int) -> None:
    with fits.open(paths[kind]) as hdus:
        image, variance = hdus[kind.split("_")[0].upper()], hdus["VARIANCE"]
        assert image.data.shape == variance.data.shape == (512, 512)
        assert image.data.dtype == variance.data.dtype == np.dtype(">f4")
        assert image.header.get("BUNIT") == unit
        assert hdus[0].header["NCOMBINE"] == frames
        assert np.all(variance.data > 0)


def test_tables(calibrated: Calibrated, paths: dict[str, Path]) -> None:
    measured = calibrated.measured
    ptc, linearizer, cti = (
        fits.getdata(paths[kind], kind.upper()) for kind in ("ptc", "linearizer", "cti")
    )
    assert ptc.names == ["amplifier", "gain", "gain_err", "read_noise", "saturation"]
    assert linearizer.names == ["amplifier", "node_adu", "correction_adu"]
    assert cti.names == ["amplifier", "serial_cti"]
    for table in (ptc, linearizer, cti):
        assert list(table["amplifier"]) == AMPLIFIERS
    np.testing.assert_array_equal(ptc["gain"], measured.photon_transfer.gain)
    np.testing.assert_array_equal(linearizer["node_adu"][2], measured.linearizers[2].node_adu)
    np.testing.assert_array_equal(cti["serial_cti"], measured.serial_cti)


def test_defects(calibrated: Calibrated, paths: dict[str, Path]) -> None:
    table = fits.getdata(paths["defects"], "DEFECTS")
    assert table.names == ["x0", "x1", "y0", "y1", "kind"]
    assert table["x0"].dtype == np.dtype(">i4")
    rows = [((r["x0"], r["x1"], r["y0"], r["y1"]), r["kind"]) for r in table]
    assert rows == [(d.box, d.kind) for d in calibrated.measured.defects]


def test_crosstalk_and_kernel(calibrated: Calibrated, paths: dict[str, Path]) -> None:
    with fits.open(paths["crosstalk"]) as hdus:
        np.testing.assert_array_equal(hdus["CROSSTALK"].data, calibrated.measured.crosstalk)
        assert [hdus["CROSSTALK"].header[f"AMP{i}"] for i in range(4)] == AMPLIFIERS
    with fits.open(paths["brighter_fatter"]) as hdus:
        kernel = hdus["KERNEL"].data
        assert hdus["KERNEL"].header["BUNIT"] == "electron-1"
    assert kernel.dtype == np.dtype(">f8")
    assert kernel.shape == (17, 17)


def test_same_bytes_each_time(
    calibrated: Calibrated, paths: dict[str, Path], tmp_path: Path
) -> None:
    write_calibrations(tmp_path, "simcam", calibrated.measured)
    for path in paths.values():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()
