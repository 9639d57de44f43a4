"""updateVisitSummary: components, guards, statistics, and pixels read through it, against truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drpflow.algorithms.depth import limiting_magnitude
from drpflow.data.component_table import ComponentRow
from drpflow.data.sky_wcs import SkyWcs
from drpflow.errors import MissingDatasetError
from drpflow.io.store import Store
from drpflow.workflow.task_runner import main
from tests.tasks.astrometric_run import DEC_DEG, RA_DEG, SCALE_ARCSEC, camera
from tests.tasks.final_visit import (
    EXPOSURE_S,
    N_STARS,
    NJY_PER_ELECTRON,
    PIECES,
    READ_NOISE2,
    SIGMA_PIX,
    SKY,
    VISIT,
    FinalVisitScene,
    make_visit,
    true_calib,
)
from tests.tasks.test_finalize_astrometry import script

FIDUCIAL = {"r": {"fwhm_arcsec": 1.0, "sky_electron_per_s": 5.0, "zero_point_mag": 26.0}}
CONFIG = {"depth": {"fiducial": FIDUCIAL}}
ZERO_POINT = 31.4 - 2.5 * np.log10(NJY_PER_ELECTRON)


def run(scene: FinalVisitScene, **config: Any) -> dict[str, Any]:
    """Run the script; return the status."""
    assert main(script("update_visit_summary").TASK, scene.arguments(**(config or CONFIG))) == 0
    path = scene.root / f"status/updateVisitSummary/visit={VISIT}.json"
    return dict(json.loads(path.read_text()))


def column(scene: FinalVisitScene, name: str) -> Any:
    return np.asarray(Store(scene.root).get("final_visit_summary", visit=VISIT)[name])


def component(scene: FinalVisitScene, name: str, detector: int = 0) -> Any:
    store = Store(scene.root)
    return store.get(f"final_visit_summary.{name}", visit=VISIT, detector=detector)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> FinalVisitScene:
    scene = make_visit(tmp_path_factory.mktemp("final") / "results")
    status = run(scene)
    assert status["outcome"] == "done", status
    return scene


@pytest.fixture(scope="module")
def unused(tmp_path_factory: pytest.TempPathFactory) -> FinalVisitScene:
    return make_visit(tmp_path_factory.mktemp("unused") / "results")


@pytest.fixture
def fresh(unused: FinalVisitScene, tmp_path: Path) -> FinalVisitScene:
    return unused.copied_to(tmp_path / "results")


def test_every_component_is_the_final_one(whole: FinalVisitScene) -> None:
    for d, wcs in whole.wcs.items():
        assert component(whole, "wcs", d) == wcs
        assert component(whole, "psf", d).sigma_pix == SIGMA_PIX
        assert component(whole, "photo_calib", d) == true_calib()
        for name in ("ap_corr", "valid_polygon", "detector", "summary_stats", "background"):
            assert component(whole, name, d) is not None
    assert (column(whole, "wcs_skypix") == PIECES[0]).all()
    assert column(whole, "wcs_change") == pytest.approx(0.05, rel=0.01)
    assert (column(whole, "lost") == "").all()
    assert column(whole, "has_background").all()


def test_transmission_is_air_times_passband(whole: FinalVisitScene) -> None:
    curve = component(whole, "transmission")
    # No throughput is told: the nominal r passband, with air of 0.8.
    assert curve.throughput(623.0) == pytest.approx(0.8)
    assert curve.throughput(500.0) == 0
    assert curve.effective_wavelength_nm() == pytest.approx(620, abs=5)


def test_statistics_agree_with_the_truth(whole: FinalVisitScene) -> None:
    assert column(whole, "zeroPoint") == pytest.approx(ZERO_POINT, abs=1e-3)
    assert column(whole, "psfSigma") == pytest.approx(SIGMA_PIX, rel=1e-3)
    assert column(whole, "skyBg") == pytest.approx(SKY, rel=1e-3)
    assert column(whole, "skyNoise") == pytest.approx(np.sqrt(SKY + READ_NOISE2), rel=0.01)
    assert column(whole, "meanVar") == pytest.approx(SKY + READ_NOISE2, rel=0.01)
    assert column(whole, "maskedFraction") == pytest.approx(100 / 500**2)
    area = 4 * np.pi * SIGMA_PIX**2
    limit = limiting_magnitude(ZERO_POINT, area, SKY + READ_NOISE2)
    assert column(whole, "magLim") == pytest.approx(limit, abs=0.01)
    fwhm = 2.3548 * SIGMA_PIX * SCALE_ARCSEC
    light = 10 ** (0.8 * (ZERO_POINT - 2.5 * np.log10(EXPOSURE_S) - 26.0))
    time = EXPOSURE_S * fwhm**-2 * light * 5 * EXPOSURE_S / SKY
    assert column(whole, "effTime") == pytest.approx(time, rel=0.01)
    assert column(whole, "pixelScale") == pytest.approx(SCALE_ARCSEC, rel=1e-3)
    assert (column(whole, "expTime") == EXPOSURE_S).all()


def test_statistics_of_stars(whole: FinalVisitScene) -> None:
    assert (column(whole, "nPsfStar") == 3 * N_STARS // 4).all()
    assert (column(whole, "nAstromStar") == 33).all()
    assert (column(whole, "nPhotomStar") == 31).all()
    assert (column(whole, "zero_point_err") == 0.003).all()
    assert (column(whole, "offset_err") == 0.005).all()
    # Rayleigh: the mean of a distance of 3 mas in each coordinate.
    mean = column(whole, "astromOffsetMean")
    assert mean == pytest.approx(0.003 * np.sqrt(np.pi / 2), rel=0.25)
    assert np.abs(column(whole, "psfStarDeltaE1Median")).max() < 0.01
    assert column(whole, "psfStarDeltaSizeScatter") == pytest.approx(0.0035 * SIGMA_PIX, rel=0.75)


def test_the_pointing_is_that_of_the_final_wcss(whole: FinalVisitScene) -> None:
    turn = (column(whole, "boresight_ra") - RA_DEG + 180) % 360 - 180
    assert np.abs(3600 * turn).max() < 1e-3
    assert column(whole, "boresight_dec") == pytest.approx(DEC_DEG, abs=1e-7)
    assert column(whole, "pointing_offset").max() < 1e-3


def test_other_programs_find_the_sky(whole: FinalVisitScene) -> None:
    from astropy.io import fits
    from astropy.wcs import WCS

    header = fits.Header.fromstring(str(column(whole, "sip_header")[2]), sep="\n")
    x, y = np.array([0.0, 250.0, 499.0]), np.array([30.0, 250.0, 499.0])
    ra, dec = whole.wcs[2].pixel_to_world_values(x, y)
    places = WCS(header).pixel_to_world(x, y)
    off = np.hypot((places.ra.deg - ra) * np.cos(np.radians(dec)), places.dec.deg - dec)
    assert 3600 * off.max() <= column(whole, "sip_error")[2] + 1e-6


def test_pixels_read_through_it(whole: FinalVisitScene) -> None:
    store = Store(whole.root)
    for d in (0, 3):
        view = store.get("recalibrated_pvi", visit=VISIT, detector=d)
        assert view.unit == "nJy"
        y, x = np.mgrid[: view.shape[0], : view.shape[1]]
        factor = true_calib().factor(x, y)
        # (sky + source/c + noise - sky) c: what is left of the truth is the noise that was added.
        wanted = whole.source_njy[d] + whole.noise_electron[d] * factor
        np.testing.assert_allclose(view.image, wanted, atol=2e-3, rtol=2e-6)
        first = store.get("initial_pvi", visit=VISIT, detector=d)
        ratio = view.variance / first.variance
        np.testing.assert_allclose(ratio, (factor / 3.1) ** 2, rtol=1e-5)
        assert view.wcs == whole.wcs[d]
        assert view.psf.sigma_pix == SIGMA_PIX
        assert view.summary_stats["psfSigma"] == pytest.approx(SIGMA_PIX, rel=1e-3)


def test_the_nearest_piece_that_has_a_wcs_counts(fresh: FinalVisitScene) -> None:
    fresh.spoil(f"final_astrometry_wcs/{PIECES[0]}", 1, "wcs", "no stars")
    fresh.write_tables()
    assert run(fresh)["outcome"] == "done"
    assert column(fresh, "wcs_skypix").tolist() == [PIECES[0], PIECES[1], PIECES[0], PIECES[0]]
    assert column(fresh, "wcs_change")[1] == pytest.approx(0, abs=1e-9)


def shifted(arcsec: float, detector: int) -> SkyWcs:
    return SkyWcs.from_camera(camera(), detector, RA_DEG, DEC_DEG + arcsec / 3600, 0.0)


def test_a_wcs_that_moves_a_corner_too_far_is_dropped(fresh: FinalVisitScene) -> None:
    for piece in PIECES:
        rows = fresh.tables[f"final_astrometry_wcs/{piece}"]
        rows[2] = ComponentRow({"wcs": shifted(0.7, 2)})
        rows[3] = ComponentRow({"wcs": shifted(0.4, 3)})
    fresh.write_tables()
    status = run(fresh)
    assert status["outcome"] == "partial"
    assert status["numbers"]["without_wcs"] == 1
    assert "moves a corner by 0.65 arcsec" in column(fresh, "lost")[2]
    assert column(fresh, "wcs_skypix").tolist()[2] == -1
    assert column(fresh, "wcs_change")[2] == pytest.approx(0.65, rel=0.01)
    for name in ("ra", "llcra", "pixelScale", "nAstromStar", "astromOffsetMean", "effTime"):
        assert np.isnan(column(fresh, name)[2]), name
        assert np.isfinite(column(fresh, name)[[0, 1, 3]]).all(), name
    # Zero point and PSF are no worse for it.
    assert np.isfinite(column(fresh, "magLim")).all()
    with pytest.raises(MissingDatasetError, match="moves a corner"):
        component(fresh, "wcs", 2)


def test_a_rescued_preliminary_wcs_is_allowed_its_error(fresh: FinalVisitScene) -> None:
    for piece in PIECES:
        fresh.tables[f"final_astrometry_wcs/{piece}"][2] = ComponentRow({"wcs": shifted(0.7, 2)})
    fresh.columns["initial_visit_summary"] = {"wcs_source": "pointing", "wcs_error": 0.3}
    fresh.write_tables()
    assert run(fresh)["outcome"] == "done"
    assert component(fresh, "wcs", 2) == shifted(0.7, 2)


def test_without_a_preliminary_wcs_none_is_believed(fresh: FinalVisitScene) -> None:
    fresh.spoil("initial_visit_summary", 0, "wcs", "no match")
    fresh.write_tables()
    assert run(fresh)["outcome"] == "partial"
    assert "no preliminary WCS" in column(fresh, "lost")[0]


@pytest.mark.parametrize(
    ("table", "name", "lost"),
    [
        ("fgcm_photo_calib", "photo_calib", ("zeroPoint", "magLim", "nPhotomStar")),
        ("final_characterization_summary", "psf", ("psfSigma", "magLim", "nPsfStar")),
        ("visit_background", "background", ("skyBg", "skyNoise", "meanVar", "magLim")),
    ],
)
def test_what_is_missing_stays_missing(
    fresh: FinalVisitScene, table: str, name: str, lost: tuple[str, ...]
) -> None:
    fresh.spoil(table, 1, name, "it came to grief")
    fresh.write_tables()
    status = run(fresh)
    assert status["outcome"] == "partial"
    assert status["numbers"][f"without_{name}"] == 1
    assert f"{name}: it came to grief" in column(fresh, "lost")[1]
    for statistic in lost:
        values = column(fresh, statistic)
        assert np.isnan(values[1]), statistic
        assert np.isfinite(values[[0, 2, 3]]).all(), statistic
    with pytest.raises(MissingDatasetError, match="it came to grief"):
        component(fresh, name, 1)


@pytest.mark.parametrize(
    ("table", "name"),
    [
        ("fgcm_photo_calib", "photo_calib"),
        ("final_characterization_summary", "psf"),
        ("visit_background", "background"),
    ],
)
def test_a_row_that_is_not_there(fresh: FinalVisitScene, table: str, name: str) -> None:
    del fresh.tables[table][1]
    fresh.write_tables()
    status = run(fresh)
    assert status["outcome"] == "partial"
    assert status["numbers"][f"without_{name}"] == 1
    lost = column(fresh, "lost")
    assert f"{name}: " in lost[1]
    assert "has no row detector=1" in lost[1]
    assert (lost[[0, 2, 3]] == "").all()
    assert np.isnan(column(fresh, "effTime")[1])
    assert np.isfinite(column(fresh, "effTime")[[0, 2, 3]]).all()


def test_a_detector_that_no_solution_has(fresh: FinalVisitScene) -> None:
    for piece in PIECES:
        del fresh.tables[f"final_astrometry_wcs/{piece}"][1]
    fresh.write_tables()
    assert run(fresh)["outcome"] == "partial"
    lost = column(fresh, "lost")
    assert lost[1] == "wcs: the solution knows no such detector"
    assert (lost[[0, 2, 3]] == "").all()


def test_tables_that_are_not_there(fresh: FinalVisitScene) -> None:
    for name in ("fgcm_photo_calib", "final_characterization_summary", "visit_background"):
        fresh.path(name, visit=VISIT).unlink()
    fresh.path("final_characterization_stars", visit=VISIT).unlink()
    fresh.path("fgcm_transmission_atmosphere", visit=VISIT).unlink()
    status = run(fresh)
    assert status["outcome"] == "partial"
    numbers = status["numbers"]
    for name in ("psf", "ap_corr", "photo_calib", "transmission", "background"):
        assert numbers[f"without_{name}"] == 4
    assert np.isnan(column(fresh, "zeroPoint")).all()
    assert np.isfinite(column(fresh, "ra")).all()


def test_an_image_that_cannot_be_read(fresh: FinalVisitScene) -> None:
    fresh.path("initial_pvi", visit=VISIT, detector=3).write_bytes(b"no FITS")
    assert run(fresh)["outcome"] == "partial"
    assert np.isnan(column(fresh, "skyNoise")[3])
    assert "sky:" in column(fresh, "lost")[3]
    assert np.isfinite(column(fresh, "skyNoise")[:3]).all()


def test_a_visit_of_one_detector(fresh: FinalVisitScene) -> None:
    for rows in fresh.tables.values():
        for d in (1, 2, 3):
            del rows[d]
    fresh.write_tables()
    fresh.wcs = {0: fresh.wcs[0]}
    assert run(fresh)["outcome"] == "done"
    assert column(fresh, "detector").tolist() == [0]


def test_a_visit_that_cannot_be_put_together(fresh: FinalVisitScene) -> None:
    fresh.path("initial_visit_summary", visit=VISIT).write_bytes(b"nothing")
    assert run(fresh)["outcome"] == "failed"
    assert column(fresh, "detector").tolist() == [0, 1, 2, 3]
    assert all("initial_visit_summary" in text for text in column(fresh, "lost"))
    with pytest.raises(MissingDatasetError):
        component(fresh, "psf")


def test_two_runs_give_equal_bytes(whole: FinalVisitScene) -> None:
    path = whole.path("final_visit_summary", visit=VISIT)
    before = path.read_bytes()
    run(whole)
    assert path.read_bytes() == before
