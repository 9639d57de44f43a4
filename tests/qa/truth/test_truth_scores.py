"""Products whose faults are known get just these faults in the scoreboard."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from drpflow.data.mask import Mask
from drpflow.errors import InputError
from drpflow.qa.merit import Figure
from drpflow.qa.truth import pixels
from drpflow.qa.truth.detection import Depth, wcs_error_pix
from drpflow.qa.truth.score import Score, digits_of, from_columns, to_columns
from drpflow.qa.truth.sources import SourceTally, add_frame, galaxy_sizes, source_rows
from drpflow.qa.truth.tables import Frame, TruthTables
from tests.qa.truth.small_truth import (
    N_STARS,
    SCALE_ARCSEC,
    SIDE,
    SIGMA_PIX,
    SKY_ELECTRON,
    VISIT,
    light_at,
    write_truth,
)

BIAS_MMAG, ERROR_FACTOR, LOST = 7.0, 1.25, 5
MATCH_PIX = 0.01


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> TruthTables:
    folder = tmp_path_factory.mktemp("survey") / "truth"
    write_truth(folder)
    return TruthTables(folder.parent)


@pytest.fixture(scope="module")
def frame(truth: TruthTables) -> Frame:
    (one,) = truth.frames(VISIT)
    return one


def test_a_folder_without_truth_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no truth"):
        TruthTables(tmp_path)


def test_frame_knows_its_scale(frame: Frame) -> None:
    assert frame.pixel_arcsec == pytest.approx(SCALE_ARCSEC, rel=1e-6)
    assert frame.fwhm_pix == pytest.approx(2.3548 * SIGMA_PIX, rel=1e-6)
    assert frame.usable
    assert frame.flagged("TRAIL").sum() == 6 * SIDE
    assert frame.flagged("SATURATED", "TRAIL").sum() == 6 * SIDE + 4


def test_scale_across_right_ascension_zero(frame: Frame) -> None:
    middle = len(frame.grid["x"]) // 2
    ra = (frame.grid["ra"] - frame.grid["ra"][middle : middle + 2].mean()) % 360
    assert np.ptp(ra[middle : middle + 2]) > 180
    moved = replace(frame, grid=frame.grid | {"ra": ra})
    assert moved.pixel_arcsec == pytest.approx(SCALE_ARCSEC, rel=1e-4)


def test_light_is_found_from_sources_without_noise(frame: Frame) -> None:
    """Light and colour term come apart: what is left is the light relative to the middle."""
    s = frame.sources
    expected = s["flux_electron"] / 0.5 / light_at(s["x"])
    off = -2500 * np.log10(frame.reference_njy / expected)
    assert np.abs(off - np.median(off)).max() < 0.1
    assert abs(np.median(off)) < 0.1


def table_of(frame: Frame, rng: np.random.Generator) -> dict[str, Any]:
    """Return a catalogue with stated faults: errors too small, fluxes too faint, some lost."""
    s = frame.sources
    njy = frame.reference_njy
    number = s["x"].size
    relative = 1 / s["snr"]
    flux = njy * 10 ** (-0.4e-3 * BIAS_MMAG) * (1 + relative * rng.normal(size=number))
    place = np.sqrt(2) * SIGMA_PIX / s["snr"]
    noise = place * rng.normal(size=(2, number))
    extended = s["kind"] == 1
    kept = np.ones(number, bool)
    kept[np.flatnonzero((s["snr"] > 9) & (s["snr"] < 11) & ~extended)[:LOST]] = False
    columns = {
        "detector": np.zeros(number, int), "x": s["x"] + noise[0], "y": s["y"] + noise[1],
        "xErr": place / ERROR_FACTOR, "yErr": place / ERROR_FACTOR, "ra": s["ra"],
        "dec": s["dec"] + 5 / 3.6e6, "psfFlux": flux, "psfFluxErr": njy * relative / ERROR_FACTOR,
        "psfFlux_flag": np.zeros(number, bool), "calibFlux": flux,
        "centroid_flag": np.zeros(number, bool), "extendedness": extended.astype(float),
        "detect_isPrimary": np.ones(number, bool), "sky_source": np.zeros(number, bool),
        "pixelFlags_artifact": s["y"] < SIDE / 2,
        "pixelFlags_streak": np.zeros(number, bool),
    }  # fmt: skip
    return {n: v[kept] for n, v in columns.items()}


@pytest.fixture(scope="module")
def scores(truth: TruthTables, frame: Frame) -> dict[str, Score]:
    tally = SourceTally()
    dead = frame.flagged("TRAIL")
    table = table_of(frame, np.random.default_rng(9))
    ghost = {n: np.append(v, v[:1]) for n, v in table.items()}
    # One detection of nothing, half-way between lattice points, far from the trail.
    ghost["x"][-1], ghost["y"][-1] = 26.5, 26.5
    sizes = galaxy_sizes(truth.table("galaxies"))
    add_frame(tally, frame, ghost, dead, frame.reference_njy, sizes)
    return {s.metric: s for s in source_rows("finalizeImage", tally, final=True)}


def test_without_masks_nothing_is_called_false(truth: TruthTables, frame: Frame) -> None:
    """A cosmic ray that nobody knows of is not a detection of nothing."""
    sizes, dead = galaxy_sizes(truth.table("galaxies")), np.zeros_like(frame.flagged("TRAIL"))
    table = table_of(frame, np.random.default_rng(9))
    table["x"][0], table["y"][0] = 26.5, 26.5
    names = []
    for known in (True, False):
        tally = SourceTally()
        add_frame(tally, frame, table, dead, None, sizes, masks_known=known)
        names.append([s.metric for s in source_rows("finalizeImage", tally, final=True)])
    assert set(names[0]) - set(names[1]) == {"detections of nothing, outside masks"}


def test_lost_sources_are_counted(scores: dict[str, Score], frame: Frame) -> None:
    one = scores["complete at S/N 10"]
    assert one.number - one.number * one.value / 100 == pytest.approx(LOST, abs=1.01)
    assert scores["complete at S/N 20"].value == 100
    assert one.mood == "bad"


def test_fluxes_are_as_wrong_as_they_were_made(scores: dict[str, Score]) -> None:
    assert scores["zero points against truth, rms"].value == pytest.approx(BIAS_MMAG, abs=1.5)
    found = scores["PSF flux of bright stars against truth, median"]
    assert found.value == pytest.approx(BIAS_MMAG, abs=1.5)
    assert found.mood == "bad"
    assert scores["PSF flux less aperture flux, bright stars, median"].value == 0
    for low, high in ((10, 20), (20, 50), (50, 200)):
        width = scores[f"width of flux pulls, S/N {low} to {high}"]
        assert width.value == pytest.approx(ERROR_FACTOR, rel=0.35)
        assert width.low < ERROR_FACTOR < width.high


def test_positions_and_classes(scores: dict[str, Score]) -> None:
    sky = scores["position of bright stars on the sky, rms of a coordinate"]
    # 5 mas in one coordinate, none in the other: the robust width of both is between.
    assert 0 <= sky.value <= 1.4826 * 5 + 0.01
    assert scores["stars called points, S/N above 50"].value == 100
    assert scores["galaxies wider than 0.3 PSF called extended, S/N above 50"].value == 100
    assert scores["stars among what is called a point, S/N above 10"].value == 100


def test_sources_on_trails(scores: dict[str, Score], frame: Frame) -> None:
    """Those on the lower half of the trail are flagged."""
    s = frame.sources
    on = np.abs(s["x"] - 202.5) < 2.5
    expected = 100 * np.mean(s["y"][on] < SIDE / 2)
    one = scores["sources on satellite trails flagged"]
    assert one.value == pytest.approx(expected, abs=30)
    assert one.mood == "bad"


def test_nothing_is_called_a_detection(scores: dict[str, Score]) -> None:
    one = scores["detections of nothing, outside masks"]
    assert one.value * one.number / 100 == pytest.approx(1, abs=0.01)


def test_depth_leaves_out_what_is_masked(frame: Frame) -> None:
    s = frame.sources
    whole = Depth(frame, np.zeros((SIDE, SIDE), bool)).completeness(s["x"], s["y"])
    masked = Depth(frame, np.ones((SIDE, SIDE), bool)).completeness(s["x"], s["y"])
    assert whole["S/N 10"][0] == whole["S/N 10"][1] > 5
    assert masked["S/N 10"] == (0, 0)


class Shifted:
    """The true WCS, off by a part of a pixel."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame

    def world_to_pixel_values(self, ra: Any, dec: Any) -> tuple[Any, Any]:
        return self.frame.grid["x"] + 0.03, self.frame.grid["y"] + 0.04


def test_error_of_a_wcs(frame: Frame) -> None:
    assert wcs_error_pix(Shifted(frame), frame) == pytest.approx(0.05)


def test_masks_are_counted(frame: Frame) -> None:
    mask = Mask.zeros((SIDE, SIDE))
    mask.set("CR", (slice(100, 101), slice(40, 55)))
    mask.set("SAT", (slice(10, 12), slice(10, 11)))
    tally = pixels.PixelTally()
    pixels.add_masks(tally, frame, SimpleNamespace(mask=mask, shape=(SIDE, SIDE)))  # type: ignore[arg-type]
    assert tally.counts["CR"] == [15, 20]
    assert tally.counts["SATURATED"] == [2, 4]
    assert tally.counts["cores"][0] == 0
    assert tally.counts["cores"][1] > 500


def test_dome_is_interpolated(truth: TruthTables) -> None:
    made = pixels.dome_light(truth.table("illumination"), 0, "sim_r", (SIDE, SIDE))
    assert made[7, 200] == pytest.approx(1 + 0.1 * 200 / SIDE, abs=1e-6)


def test_background_error_is_that_of_large_squares(frame: Frame) -> None:
    light = np.full((SIDE, SIDE), SKY_ELECTRON)
    used = np.ones((SIDE, SIDE), bool)
    true = pixels.TrueLight(frame, light, light, used, "sim_r")
    rng = np.random.default_rng(1)
    image = light + 0.5 + rng.normal(0, 1, light.shape)
    background = SimpleNamespace(image=lambda box: image)
    tally = pixels.PixelTally()
    pixels.add_background(tally, "first background", true, background, 1.0)  # type: ignore[arg-type]
    # Half an electron of 100, and noise of 1/50 in squares of 50 pixels.
    assert tally.array("first background")[0] == pytest.approx(0.5, abs=0.01)


class Psf:
    """The true PSF, 1 % too wide, with a distortion of 0.02."""

    color_ref = None

    def compute_shape(self, x: Any, y: Any, color: Any) -> Any:
        xx = (1.01 * SIGMA_PIX) ** 2 * np.ones(len(x))
        return SimpleNamespace(xx=1.02 * xx, yy=0.98 * xx, xy=0 * xx)


def test_psf_is_compared_with_true_stars(frame: Frame) -> None:
    true = pixels.true_shapes(frame)
    assert true is not None
    assert np.median(true.moments[0]) == pytest.approx(SIGMA_PIX**2, rel=2e-3)
    tally = pixels.PixelTally()
    pixels.add_psf(tally, "final", Psf(), true)
    assert np.median(tally.array("final trace")) == pytest.approx(0.0201, abs=2e-3)
    assert np.median(tally.array("final e1")) == pytest.approx(0.02, abs=2e-3)
    rows = {s.metric: s for s in pixels.pixel_rows(tally)}
    assert rows["PSF size T against true stars, robust"].mood == "bad"


def test_verdicts() -> None:
    def score(value: float, low: float, high: float) -> Score:
        figure = Figure(value, low, high, 9)
        return Score.of("isr", "x", "%", figure, least=1.0, most=2.0)

    assert (score(1.5, 1.2, 1.8).verdict, score(1.5, 1.2, 1.8).mood) == ("yes", "good")
    assert score(1.5, 0.8, 1.8).verdict == "yes?"
    assert score(2.1, 1.9, 2.3).verdict == "no?"
    assert (score(3.0, 2.5, 3.5).verdict, score(3.0, 2.5, 3.5).mood) == ("no", "bad")
    assert Score("isr", "x", "", 1.0, 0.5, 1.5, 3).verdict == ""
    assert score(1.5, 1.2, 1.8).asked == "1 to 2"


def test_digits_follow_the_interval() -> None:
    assert digits_of(0.0289, 0.0073) == 4
    assert digits_of(99.9, 0.4) == 2
    assert digits_of(7000.0, 300.0) == 0
    text = Score("isr", "x", "", 0.02891, 0.0254, 0.0327, 63).text()
    assert text == "0.0289 (0.0254 to 0.0327)"


def test_scores_survive_their_table() -> None:
    rows = [
        Score("fgcm", "a", "mmag", 1.0, 0.5, 1.5, 7, most=2.0),
        Score("isr", "b", "", 1, 1, 1, 2),
    ]
    back = from_columns(to_columns(rows))
    assert [(s.stage, s.metric, s.value, s.number, s.asked) for s in back] == [
        ("fgcm", "a", 1.0, 7, "≤ 2"), ("isr", "b", 1.0, 2, ""),
    ]  # fmt: skip
    assert N_STARS > 100
