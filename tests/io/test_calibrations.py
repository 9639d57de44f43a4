"""Reading of calibration files, and the sentence for each fault."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from drpflow.data.calibrations import Calibrations
from drpflow.data.camera import Amplifier, Detector
from drpflow.errors import InputError
from drpflow.io.calibrations import read_calibrations
from drpflow.io.units import check_unit

NX, NY = 20, 12
NAMES = ["A", "B"]


@pytest.fixture
def detector() -> Detector:
    amps = tuple(
        Amplifier(
            name=name,
            data_section=(10 * i, 10 * i + 10, 0, NY),
            raw_data_section=(10 * i, 10 * i + 10, 0, NY),
            gain=2.0,
            read_noise=4.0,
            saturation=60000.0,
        )
        for i, name in enumerate(NAMES)
    )
    return Detector(id=7, name="S7", size_pix=(NX, NY), pixel_size_mm=0.01, amplifiers=amps)


def image(name: str, unit: str = "", value: float = 1.0, **cards: Any) -> list[Any]:
    hdu = fits.ImageHDU(np.full((NY, NX), value, np.float32), name=name)
    if unit:
        hdu.header["BUNIT"] = unit
    for key, card in {"CALTYPE": name.lower(), "CCDNUM": 7, **cards}.items():
        hdu.header[key.replace("_", "-")] = card
    return [hdu]


def table(name: str, **columns: Any) -> list[Any]:
    made = []
    for key, values in columns.items():
        array = np.asarray(values)
        form = f"{array.dtype.itemsize // 4}A" if array.dtype.kind == "U" else ""
        form = (
            form
            or f"{array[0].size if array.ndim > 1 else 1}{'J' if array.dtype.kind == 'i' else 'D'}"
        )
        made.append(fits.Column(key, form, array=array))
    return [fits.BinTableHDU.from_columns(made, name=name)]


def good(kind: str) -> list[Any]:
    """HDUs of a faultless file."""
    nodes = np.tile(np.linspace(0, 6e4, 5), (2, 1))
    return {
        "bias": lambda: image("BIAS", "adu"),
        "dark": lambda: image("DARK", "electron s-1"),
        "flat": lambda: image("FLAT", FILTER="r"),
        "defects": lambda: table(
            "DEFECTS", x0=[1, 4], x1=[2, 6], y0=[0, 3], y1=[NY, 5], kind=["column", "hot"]
        ),
        "ptc": lambda: table(
            "PTC", amplifier=["B", "A"], gain=[2.1, 1.9], gain_err=[0.1, 0.1],
            read_noise=[5.0, 4.0], saturation=[5e4, 6e4],
        ),
        "linearizer": lambda: table(
            "LINEARIZER", amplifier=NAMES, node_adu=nodes, correction_adu=1e-3 * nodes
        ),
        "crosstalk": lambda: crosstalk(),
        "brighter_fatter": lambda: [fits.ImageHDU(np.full((5, 5), 1e-7), name="KERNEL")],
        "cti": lambda: table("CTI", amplifier=NAMES, serial_cti=[1e-6, 2e-6]),
    }[kind]()  # fmt: skip


def crosstalk(n: int = 2) -> list[Any]:
    hdu = fits.ImageHDU(np.array([[0, 1e-3], [2e-3, 0]])[:n, :n], name="CROSSTALK")
    hdu.header["AMP0"], hdu.header["AMP1"] = "B", "A"
    return [hdu]


def write(path: Path, hdus: list[Any]) -> Path:
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path, overwrite=True)
    return path


def read(path: Path, kind: str, detector: Detector, **more: Any) -> Any:
    return read_calibrations({kind: (path, None)}, detector, **more).get(kind)


def test_all_kinds(tmp_path: Path, detector: Detector) -> None:
    files = {k: (write(tmp_path / f"{k}.fits", good(k)), None) for k in Calibrations.kinds()}
    found = read_calibrations(files, detector, "r")
    assert found.bias is not None
    assert found.bias.data.dtype == np.float32
    assert found.bias.data.dtype.isnative
    assert found.defects is not None
    assert found.defects.boxes.tolist() == [[1, 2, 0, NY], [4, 6, 3, 5]]
    assert found.defects.kinds == ("column", "hot")
    assert found.ptc is not None
    assert found.ptc.amplifiers["A"].gain == 1.9
    assert found.ptc.amplifiers["B"].saturation_adu == 5e4
    assert found.linearizer is not None
    assert found.linearizer.amplifiers["A"].correction_adu[-1] == pytest.approx(60)
    assert found.crosstalk is not None
    assert found.crosstalk.ordered(("A", "B")).linear[0, 1] == 2e-3
    assert found.brighter_fatter is not None
    assert found.brighter_fatter.kernel.dtype == np.float64
    assert found.cti is not None
    assert found.cti.serial == {"A": 1e-6, "B": 2e-6}
    assert found.sources["bias"].endswith("bias.fits")


def test_variance_hdu(tmp_path: Path, detector: Detector) -> None:
    hdus = [*good("bias"), fits.ImageHDU(np.full((NY, NX), 0.2, np.float32), name="VARIANCE")]
    bias = read(write(tmp_path / "b.fits", hdus), "bias", detector)
    assert bias.variance[0, 0] == pytest.approx(0.2)
    hdus[1].data = np.ones((3, 3), np.float32)
    with pytest.raises(InputError, match=r"b.fits: HDU VARIANCE is 3 x 3 pixels"):
        read(write(tmp_path / "b.fits", hdus), "bias", detector)


def test_a_single_image_may_have_any_name_and_place(tmp_path: Path, detector: Detector) -> None:
    pixels = np.ones((NY, NX), np.float32)
    plain = tmp_path / "plain.fits"
    fits.PrimaryHDU(pixels).writeto(plain)
    assert read(plain, "flat", detector).data.shape == (NY, NX)
    several = write(
        tmp_path / "several.fits",
        [fits.ImageHDU(pixels, name="ONE"), fits.ImageHDU(2 * pixels, name="TWO")],
    )
    assert read_calibrations({"bias": (several, "TWO")}, detector).bias.data[0, 0] == 2  # type: ignore[union-attr]
    assert read_calibrations({"bias": (several, "1")}, detector).bias.data[0, 0] == 1  # type: ignore[union-attr]
    with pytest.raises(InputError, match=r"no HDU 'BIAS' for the bias. HDUs here: .*ONE, TWO"):
        read(several, "bias", detector)


def changed(kind: str, change: Any) -> list[Any]:
    hdus = good(kind)
    result = change(hdus[0])
    return hdus if result is None else result


def set_card(key: str, value: Any) -> Any:
    return lambda hdu: hdu.header.__setitem__(key, value)


def set_value(column: str, row: int, value: float) -> Any:
    return lambda hdu: hdu.data[column].__setitem__(row, value)


FAULTS = {
    "other detector": ("bias", set_card("CCDNUM", 3), "of detector 3 .CCDNUM., but was given"),
    "other kind": ("bias", set_card("CALTYPE", "dark"), "it is a dark .CALTYPE., but was given as"),
    "other filter": ("flat", set_card("FILTER", "g"), "of filter 'g', but was given for 'r'"),
    "wrong unit": ("bias", set_card("BUNIT", "electron"), "unit is 'electron' .BUNIT., not 'adu'"),
    "wrong unit of dark": ("dark", set_card("BUNIT", "adu"), "not 'electron s-1'"),
    "wrong shape": (
        "bias", lambda hdu: [fits.ImageHDU(hdu.data[:5], name="BIAS")],
        "HDU BIAS is 20 x 5 pixels, but detector 7 has 20 x 12",
    ),
    "cube": (
        "dark", lambda hdu: [fits.ImageHDU(np.zeros((2, NY, NX)), name="DARK")],
        "holds no two-dimensional image",
    ),
    "all NaN": (
        "flat", lambda hdu: [fits.ImageHDU(np.full((NY, NX), np.nan), name="FLAT")],
        "HDU FLAT has no finite pixel",
    ),
    "missing column": (
        "ptc", lambda hdu: table("PTC", amplifier=NAMES, gian=[1.0, 2.0]),
        "has no column 'gain'; did you mean 'gian'",
    ),
    "missing amplifier": (
        "cti", lambda hdu: table("CTI", amplifier=["A"], serial_cti=[0.0]),
        "nothing for amplifier B",
    ),
    "negative gain": ("ptc", set_value("gain", 0, -1.0), "amplifier B has gain -1"),
    "impossible transfer": ("cti", set_value("serial_cti", 1, 0.5), "amplifier B has serial_cti"),
    "empty box": ("defects", set_value("x1", 1, 4), "row 1 is the empty box"),
    "nodes that fall": (
        "linearizer",
        lambda hdu: table("LINEARIZER", amplifier=NAMES, node_adu=[[0.0, 2, 1], [0.0, 1, 2]],
                          correction_adu=np.zeros((2, 3))),
        "increase",
    ),
    "too few amplifiers": ("crosstalk", lambda hdu: crosstalk(1), "has the shape .1, 1., not"),
    "kernel of even size": (
        "brighter_fatter", lambda hdu: [fits.ImageHDU(np.zeros((4, 4)), name="KERNEL")],
        "square of odd size",
    ),
    "kernel with NaN": (
        "brighter_fatter", lambda hdu: [fits.ImageHDU(np.full((3, 3), np.nan), name="KERNEL")],
        "no numbers",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_faults_are_told(name: str, tmp_path: Path, detector: Detector) -> None:
    kind, change, message = FAULTS[name]
    path = write(tmp_path / f"{kind}.fits", changed(kind, change))
    with pytest.raises(InputError, match=message) as error:
        read(path, kind, detector, physical_filter="r")
    assert str(error.value).startswith(str(path))
    assert error.value.remedy


def test_files_that_cannot_be_read(tmp_path: Path, detector: Detector) -> None:
    with pytest.raises(InputError, match=r"nowhere.fits: the bias file does not exist"):
        read(tmp_path / "nowhere.fits", "bias", detector)
    rubbish = tmp_path / "rubbish.fits"
    rubbish.write_text("no FITS at all")
    with pytest.raises(InputError, match=r"rubbish.fits: the bias cannot be read"):
        read(rubbish, "bias", detector)
    with pytest.raises(InputError, match=r"'bais' is no kind of calibration; did you mean 'bias'"):
        read_calibrations({"bais": (rubbish, None)}, detector)


@pytest.mark.filterwarnings("ignore:File may have been truncated")
def test_truncated_file(tmp_path: Path, detector: Detector) -> None:
    path = write(tmp_path / "bias.fits", good("bias"))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - 2880])
    with pytest.raises(InputError, match=r"bias.fits: "):
        read(path, "bias", detector)


@pytest.mark.parametrize(
    ("stated", "wanted"),
    [("ADU", "adu"), ("DN", "adu"), ("e-/s", "electron s-1"), (None, "adu"), ("", ""),
     ("electron / s", "electron s-1"), ("1", "")],
)  # fmt: skip
def test_spellings_of_units(stated: str | None, wanted: str) -> None:
    check_unit(stated, wanted, "x.fits")


def test_another_unit_is_refused() -> None:
    with pytest.raises(InputError, match=r"x.fits: the unit is 'nJy' \(BUNIT\), not 'adu'"):
        check_unit("nJy", "adu", "x.fits")
