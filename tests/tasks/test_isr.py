"""The task isr: its steps together, what it refuses, what it declares as failed."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from drpflow.algorithms.isr.context import FrameContext, first_wcs
from drpflow.config.base import validate
from drpflow.config.isr import IsrConfig
from drpflow.data.calibrations import (
    CalibrationImage,
    Calibrations,
    Crosstalk,
    Cti,
    Defects,
    Linearizer,
    NonLinearity,
)
from drpflow.data.camera import Camera, Detector, Filter, HeaderValue, Optics
from drpflow.data.visit_info import VisitInfo
from drpflow.errors import AlgorithmError, InputError
from drpflow.tasks.isr import failed_exposure, isr
from tests.algorithms.isr.cameras import two_by_two

NX, NY = 100, 80
BIAS_ADU, SKY, DARK, TIME_S = 1000.0, 300.0, 0.5, 20.0
VISIT = VisitInfo(visit=5, physical_filter="r", exposure_time_s=TIME_S, ra_deg=30.0, dec_deg=-20.0)


@pytest.fixture(scope="module")
def detector() -> Detector:
    return two_by_two(NX, NY)


def fields(seed: int = 1) -> dict[str, np.ndarray]:
    """Bias structure [adu], dark [electron s-1], flat, of the assembled detector."""
    rng = np.random.default_rng(seed)
    return {
        "bias": rng.normal(0, 3, (NY, NX)).astype(np.float32),
        "dark": rng.uniform(0, 2 * DARK, (NY, NX)).astype(np.float32),
        "flat": rng.uniform(0.8, 1.2, (NY, NX)).astype(np.float32),
    }


def calibrations(**more: Any) -> Calibrations:
    return Calibrations(**{k: CalibrationImage(v) for k, v in fields().items()}, **more)


def expose(
    detector: Detector, sky: np.ndarray, seed: int = 2, read_noise: float | None = None
) -> np.ndarray:
    """Raw frame of a scene: flat, dark, Poisson, gain, bias, overscan; no crosstalk or bending."""
    rng = np.random.default_rng(seed)
    pattern = fields()
    electrons = rng.poisson(sky * pattern["flat"] + pattern["dark"] * TIME_S)
    right = max(a.raw_serial_overscan[1] for a in detector.amplifiers)
    raw = np.full((NY, right), BIAS_ADU, np.float32)
    level = BIAS_ADU + np.cumsum(rng.normal(0, 0.1, NY))
    for amp in detector.amplifiers:
        x0, x1, y0, y1 = amp.data_section
        u0, u1, v0, v1 = amp.raw_data_section
        noise = (amp.read_noise if read_noise is None else read_noise) / amp.gain
        block = np.s_[v0:v1, u0 - 4 : amp.raw_serial_overscan[1]]
        raw[block] = rng.normal(level[v0:v1, None], noise, raw[block].shape)
        flips = np.s_[:: -1 if amp.flip_y else 1, :: -1 if amp.flip_x else 1]
        part = electrons[y0:y1, x0:x1] / amp.gain + pattern["bias"][y0:y1, x0:x1]
        raw[v0:v1, u0:u1] += part[flips]
    return np.rint(raw).clip(0, 65535).astype(np.float32)


def scene() -> np.ndarray:
    y, x = np.mgrid[:NY, :NX]
    image = np.full((NY, NX), SKY)
    for x0, y0, peak in ((20, 15, 2e4), (70, 60, 5e4), (52, 38, 1e4)):
        image += peak * np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / 2 / 1.8**2)
    return image


def config(**changes: Any) -> IsrConfig:
    return validate(IsrConfig, changes, "test")


def test_a_frame_is_restored(detector: Detector) -> None:
    truth = scene()
    result = isr(expose(detector, truth), detector, VISIT, calibrations(), config())
    exposure = result.exposure
    assert exposure.unit == "electron"
    assert not exposure.mask.array.any()
    off = (exposure.image - truth) / np.sqrt(exposure.variance)
    assert abs(off.mean()) < 4 / np.sqrt(off.size)
    assert off.std() == pytest.approx(1, abs=0.03)
    for amp in detector.amplifiers:
        x0, x1, y0, y1 = amp.data_section
        assert abs((exposure.image - truth)[y0:y1, x0:x1].mean()) < 0.3 * amp.read_noise * 1.5
    assert exposure.visit_info is VISIT
    assert exposure.detector is not None
    assert exposure.detector.id == detector.id


def test_statistics(detector: Detector) -> None:
    from drpflow.io.schemas import load_schema

    statistics = isr(
        expose(detector, scene()), detector, VISIT, calibrations(), config()
    ).statistics
    columns = {c.name for c in load_schema("isr_statistics").columns}
    assert set(statistics) == columns - {"visit"}
    assert list(statistics["amplifier"]) == [a.name for a in detector.amplifiers]
    np.testing.assert_allclose(statistics["overscan_level_adu"], BIAS_ADU, atol=5)
    noise = statistics["overscan_sigma_adu"] * statistics["gain"]
    np.testing.assert_allclose(noise, [a.read_noise for a in detector.amplifiers], rtol=0.08)
    np.testing.assert_allclose(statistics["median_electron"], SKY, rtol=0.02)
    assert statistics["is_usable"].all()


def test_all_calibrations_together(detector: Detector) -> None:
    """Crosstalk, bending and late charge put on a noiseless frame come off again."""
    names = tuple(a.name for a in detector.amplifiers)
    rng = np.random.default_rng(5)
    linear = np.abs(rng.normal(1e-3, 3e-4, (4, 4)))
    np.fill_diagonal(linear, 0)
    node = np.linspace(0, 6e4, 13)
    loss = 2e-5
    given = Calibrations(
        crosstalk=Crosstalk(names, linear),
        linearizer=Linearizer(dict.fromkeys(names, NonLinearity(node, -2e-7 * node**2))),
        cti=Cti(dict.fromkeys(names, loss)),
    )
    truth = scene() - SKY
    signals = []
    for amp in detector.amplifiers:
        x0, x1, y0, y1 = amp.data_section
        flips = np.s_[:: -1 if amp.flip_y else 1, :: -1 if amp.flip_x else 1]
        charge = truth[y0:y1, x0:x1][flips]
        n = np.arange(charge.shape[1]) + 5  # 4 cells of prescan
        late = charge * n * loss
        read = charge - late
        read[:, 1:] += late[:, :-1]
        adu = read / amp.gain
        # The root of measured + 2e-7 measured² = linear.
        signals.append((np.sqrt(1 + 8e-7 * adu) - 1) / 4e-7)
    raw = np.full((NY, max(a.raw_serial_overscan[1] for a in detector.amplifiers)), BIAS_ADU)
    for v, amp in enumerate(detector.amplifiers):
        u0, u1, v0, v1 = amp.raw_data_section
        raw[v0:v1, u0:u1] += signals[v] + sum(linear[v, s] * signals[s] for s in range(4))
    image = isr(raw.astype(np.float32), detector, VISIT, given, config(required=[])).exposure.image
    plain = isr(
        raw.astype(np.float32), detector, VISIT, Calibrations(), config(required=[])
    ).exposure.image
    assert np.abs(plain - truth).max() > 100
    assert np.abs(image - truth).max() < 0.5


def test_flags(detector: Detector) -> None:
    truth = scene()
    truth[30:34, 30:34] = 2e6  # saturates
    boxes = np.array([[10, 11, 0, NY], [40, 42, 50, 52]], np.int32)
    linear = np.full((4, 4), 1e-3) * (1 - np.eye(4))
    names = tuple(a.name for a in detector.amplifiers)
    given = calibrations(defects=Defects(boxes), crosstalk=Crosstalk(names, linear))
    exposure = isr(expose(detector, truth), detector, VISIT, given, config()).exposure
    mask = exposure.mask
    assert mask.any("BAD")[:, 10].all()
    assert mask.any("BAD")[50:52, 40:42].all()
    saturated = np.zeros((NY, NX), bool)
    saturated[29:35, 29:35] = True  # grown by one pixel
    np.testing.assert_array_equal(mask.any("SAT"), saturated)
    # The ghost in the lower right amplifier, whose readout is mirrored in x.
    ghost = mask.any("CROSSTALK")
    assert ghost[30:34, NX - 34 : NX - 30].all()
    assert not ghost[:40, :50].any()
    np.testing.assert_array_equal(mask.any("INTRP"), mask.any(("BAD", "SAT")))
    assert np.isfinite(exposure.image).all()
    assert np.isfinite(exposure.variance).all()


def test_lost_pixels_are_told_apart(detector: Detector) -> None:
    raw = expose(detector, scene())
    raw[10, 20] = np.nan
    exposure = isr(raw, detector, VISIT, calibrations(), config()).exposure
    assert exposure.mask.any("UNMASKEDNAN").sum() == 1
    assert exposure.mask.any("INTRP")[10, 16]
    assert np.isfinite(exposure.image).all()
    kept = isr(
        raw, detector, VISIT, calibrations(), config(interpolation={"planes": ["BAD"]})
    ).exposure
    assert np.isnan(kept.image).sum() == 1
    assert not kept.mask.any("INTRP").any()


def test_noisy_and_dead_amplifiers_are_bad(detector: Detector) -> None:
    raw = expose(detector, scene())
    noisy, dead = detector.amplifiers[1], detector.amplifiers[2]
    rng = np.random.default_rng(3)
    _, _, v0, v1 = noisy.raw_data_section
    left, right = noisy.raw_data_section[0], noisy.raw_serial_overscan[1]
    raw[v0:v1, left:right] += rng.normal(0, 40, (v1 - v0, right - left))
    _, _, v0, v1 = dead.raw_data_section
    raw[v0:v1, dead.raw_data_section[0] : dead.raw_serial_overscan[1]] = 12
    result = isr(raw, detector, VISIT, calibrations(), config())
    blank = result.exposure.mask.any("NO_DATA")
    for amp in detector.amplifiers:
        x0, x1, y0, y1 = amp.data_section
        assert (blank[y0:y1, x0:x1] == (amp in (noisy, dead))).all()
    np.testing.assert_array_equal(np.isnan(result.exposure.image), blank)
    assert (result.exposure.mask.any("BAD") == blank).all()
    assert list(result.statistics["is_usable"]) == [True, False, False, True]
    assert "too noisy" in str(result.numbers[f"fault_{noisy.name}"])
    assert result.numbers[f"fault_{dead.name}"] == "dead"
    assert result.problem is not None
    told = rf"2 of 4 amplifiers are lost: {noisy.name} \(too noisy.*\), {dead.name} \(dead\)$"
    assert re.match(told, result.problem.message)

    # What the calibrations know already is told to nobody.
    always = Defects(np.array([amp.data_section for amp in (noisy, dead)]))
    assert isr(raw, detector, VISIT, calibrations(defects=always), config()).problem is None


def test_a_sky_that_takes_most_of_the_range_is_told(detector: Detector) -> None:
    full = min(a.saturation * a.gain for a in detector.amplifiers)
    for level, told in ((0.3 * full, False), (0.7 * full, True)):
        raw = expose(detector, np.full((NY, NX), level))
        problem = isr(raw, detector, VISIT, calibrations(), config()).problem
        assert (problem is not None) == told
    assert problem is not None
    assert "the level of the sky takes" in problem.message
    assert "isr.max_sky_fraction" in problem.hint


def test_no_usable_amplifier_is_a_declared_failure(detector: Detector) -> None:
    raw = expose(detector, scene(), read_noise=60.0)
    with pytest.raises(AlgorithmError, match="no amplifier is usable") as error:
        isr(raw, detector, VISIT, calibrations(), config())
    assert error.value.numbers == {"amplifiers": 4}
    assert error.value.hint
    with pytest.raises(AlgorithmError, match=r"no amplifier is usable: \w+ is saturated"):
        isr(np.full_like(raw, 65535), detector, VISIT, calibrations(), config())


def test_missing_calibrations(detector: Detector) -> None:
    raw = expose(detector, scene())
    only_bias = calibrations().without(("flat",))
    with pytest.raises(InputError, match="no flat for detector 3 in filter r") as error:
        isr(raw, detector, VISIT, only_bias, config())
    assert "isr.required" in error.value.remedy
    assert isr(raw, detector, VISIT, only_bias, config(required=["bias"])).exposure is not None
    without_dark = config(skip=["dark"])
    brighter = isr(raw, detector, VISIT, calibrations(), without_dark).exposure.image
    darker = isr(raw, detector, VISIT, calibrations(), config()).exposure.image
    assert (brighter - darker).mean() == pytest.approx(DARK * TIME_S, rel=0.1)


def test_dark_current_needs_an_exposure_time(detector: Detector) -> None:
    unknown = VisitInfo(visit=5, physical_filter="r")
    raw = expose(detector, scene())
    with pytest.raises(InputError, match="visit 5 has no exposure_time_s"):
        isr(raw, detector, unknown, calibrations(), config())
    isr(raw, detector, unknown, calibrations(), config(skip=["dark"]))


def test_frames_that_do_not_fit_the_camera(detector: Detector) -> None:
    raw = expose(detector, scene())

    def run(array: Any, on: Detector = detector, **changes: Any) -> None:
        isr(array, on, VISIT, calibrations(), config(**changes), FrameContext("raw.fits"))

    with pytest.raises(InputError, match=r"raw.fits: the raw array is 100 x 80 pixels.*LR reaches"):
        run(raw[:, :100])
    with pytest.raises(InputError, match=r"raw.fits: all pixels are NaN"):
        run(np.full_like(raw, np.nan))
    with pytest.raises(InputError, match=r"raw.fits: amplifier UR is missing"):
        run({"LL": raw, "LR": raw, "UL": raw})
    sized = detector.model_copy(update={"raw_size_pix": (148, 81)})
    with pytest.raises(InputError, match=r"raw.fits: the raw array is 148 x 80.*not 148 x 81"):
        run(raw, sized)
    with pytest.raises(InputError, match=r"skip_leading 19 .* of the 20 overscan columns"):
        run(raw, overscan={"serial": {"skip_leading": 19}})


def test_one_array_for_each_amplifier_gives_the_same(detector: Detector) -> None:
    raw = expose(detector, scene())
    whole = isr(raw, detector, VISIT, calibrations(), config()).exposure
    arrays = {a.name: raw for a in detector.amplifiers}
    parts = isr(arrays, detector, VISIT, calibrations(), config()).exposure
    np.testing.assert_array_equal(whole.image, parts.image)


def test_dither_is_seeded_from_the_data_id(detector: Detector) -> None:
    dithered = config(dequantize=True)
    raw = expose(detector, scene())
    images = [
        isr(raw.copy(), detector, visit, calibrations(), dithered).exposure.image
        for visit in (VISIT, VISIT, VisitInfo(visit=6, physical_filter="r", exposure_time_s=20.0))
    ]
    np.testing.assert_array_equal(images[0], images[1])
    assert (images[0] != images[2]).any()


def test_the_raw_frame_is_left_as_it_was(detector: Detector) -> None:
    raw = expose(detector, scene())
    before = raw.copy()
    isr(raw, detector, VISIT, calibrations(), config())
    np.testing.assert_array_equal(raw, before)


def test_amplifier_offsets(detector: Detector) -> None:
    raw = expose(detector, np.full((NY, NX), SKY))
    amp = detector.amplifiers[0]
    u0, u1, v0, v1 = amp.raw_data_section
    raw[v0:v1, u0:u1] += 5  # adu, which the overscan does not know of
    settings = {"enabled": True, "strip_pix": 25, "inset_pix": 2, "max_offset_electron": 20}
    result = isr(raw, detector, VISIT, calibrations(), config(amp_offset=settings))
    expected = 5 * amp.gain * np.array([0.75, -0.25, -0.25, -0.25])
    np.testing.assert_allclose(result.statistics["amp_offset_electron"], expected, atol=2.5)


def test_detrended_frames_only_get_variance_and_mask(detector: Detector) -> None:
    rng = np.random.default_rng(4)
    gain = detector.amplifiers[0].gain
    amp = detector.amplifiers[0]
    adu = rng.normal(100, 10, (NY, NX)).astype(np.float32)
    adu[5, 5] = np.nan
    adu[20, 20] = 60000
    result = isr(adu, detector, VISIT, Calibrations(), config(input="detrended"))
    exposure = result.exposure
    x0, x1, y0, y1 = amp.data_section
    clear = np.ones((NY, NX), bool)
    clear[19:22, 19:22] = clear[5, 5] = False
    part = np.zeros_like(clear)
    part[y0:y1, x0:x1] = True
    clear &= part
    np.testing.assert_allclose(exposure.image[clear], adu[clear] * gain, rtol=1e-6)
    np.testing.assert_allclose(
        exposure.variance[clear], adu[clear] * gain + amp.read_noise**2, rtol=1e-5
    )
    assert exposure.mask.any("UNMASKEDNAN")[5, 5]
    assert exposure.mask.any("SAT")[19:22, 19:22].all()
    assert exposure.unit == "electron"
    assert np.isnan(result.statistics["overscan_level_adu"]).all()


def test_detrended_frames_with_companions(detector: Detector) -> None:
    image = np.full((NY, NX), 50, np.float32)
    weight = np.full((NY, NX), 0.04, np.float32)
    weight[0, 0] = 0
    flags = np.zeros((NY, NX), np.int64)
    flags[3, 3], flags[4, 4] = 2, 8
    settings = {"electron_per_unit": 3.0, "mask_planes": {"CR": 2, "SAT": 8}}
    result = isr(
        image, detector, VISIT, Calibrations(),
        config(input="detrended", detrended=settings, saturation={"grow_pix": 0}),
        FrameContext(unit="nJy", weight=weight, mask=flags),
    )  # fmt: skip
    exposure = result.exposure
    assert exposure.image[10, 10] == 150
    assert exposure.variance[10, 10] == pytest.approx(9 / 0.04)
    assert exposure.mask.any("BAD")[0, 0]
    assert exposure.mask.any("CR")[3, 3]
    assert exposure.mask.any("SAT").sum() == 1


def test_detrended_frames_in_rates_on_a_pedestal(detector: Detector) -> None:
    image = np.full((NY, NX), 1012, np.float32)
    about = FrameContext(unit="electron s-1", pedestal=1000)
    exposure = isr(
        image, detector, VISIT, Calibrations(), config(input="detrended"), about
    ).exposure
    np.testing.assert_allclose(exposure.image, 12 * VISIT.exposure_time_s, rtol=1e-6)


def test_detrended_frames_that_do_not_fit(detector: Detector) -> None:
    settings = config(input="detrended")
    image = np.ones((NY, NX), np.float32)

    def run(array: Any, unit: str = "adu") -> None:
        isr(array, detector, VISIT, Calibrations(), settings, FrameContext("x.fits", unit))

    with pytest.raises(InputError, match="detrended image is 90 x 80 pixels, but detector 3 has"):
        run(image[:, :90])
    with pytest.raises(InputError, match="all pixels are NaN"):
        run(image * np.nan)
    with pytest.raises(InputError, match="its pixels are in nanomaggy"):
        run(image, "nanomaggy")
    with pytest.raises(InputError, match="its pixels are in electron, but a raw frame is in adu"):
        isr(image, detector, VISIT, calibrations(), config(), FrameContext(unit="electron"))


def camera(detector: Detector, **changes: Any) -> Camera:
    values: dict[str, Any] = {
        "name": "test",
        "optics": Optics(plate_scale_arcsec_per_mm=20.0),
        "detectors": (detector,),
        "filters": (Filter(physical_filter="r", band="r"),),
        "header": {"visit": HeaderValue(key="EXPNUM")},
    }
    return Camera(**(values | changes))


def test_first_wcs_from_the_camera(detector: Detector) -> None:
    wcs, missing = first_wcs(camera(detector), detector, VISIT, {})
    assert missing == {}
    assert wcs is not None
    ra, dec = wcs.pixel_to_world_values((NX - 1) / 2, (NY - 1) / 2)
    assert (ra, dec) == pytest.approx((30.0, -20.0), abs=1e-9)


def test_first_wcs_from_the_header_or_none(detector: Detector) -> None:
    by_header = camera(detector, wcs_from="header")
    wcs, missing = first_wcs(by_header, detector, VISIT, {})
    assert wcs is None
    assert missing["wcs"]
    cards = {
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 30.0, "CRVAL2": -20.0,
        "CRPIX1": 1.0, "CRPIX2": 1.0, "CD1_1": 1e-4, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 1e-4,
    }  # fmt: skip
    wcs, missing = first_wcs(by_header, detector, VISIT, cards)
    assert wcs is not None
    assert wcs.pixel_to_world_values(0, 0) == pytest.approx((30.0, -20.0))
    nowhere = VisitInfo(visit=1)
    assert first_wcs(camera(detector), detector, nowhere, {})[1] == {
        "wcs": "the visit sheet gives no boresight"
    }


def test_failed_exposure_is_complete(detector: Detector) -> None:
    exposure = failed_exposure(detector, VISIT, "no amplifier is usable")
    assert exposure.shape == (NY, NX)
    assert np.isnan(exposure.image).all()
    assert exposure.mask.any("NO_DATA").all()
    assert exposure.wcs is None
    assert exposure.missing == {"wcs": "no amplifier is usable"}
    assert exposure.visit_info is VISIT
