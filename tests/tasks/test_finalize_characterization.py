"""A visit's final PSFs and aperture corrections, and what is said where they cannot be had."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from drpflow.algorithms.final_characterization.fit import DetectorFit
from drpflow.config.final_psf import FinalPsfConfig
from drpflow.config.finalize_characterization import FinalizeCharacterizationConfig
from drpflow.data.background import Background, PolynomialLayer
from drpflow.errors import AlgorithmError
from drpflow.io.schemas import load_schema
from drpflow.tasks.finalize_characterization import (
    Characterized,
    finalize_characterization,
    nothing,
)
from tests.algorithms.final_characterization.visit_images import REFERENCE_COLOR, true_shape
from tests.tasks.characterized_visit import VISIT, MadeUp, make_visit

PSF = FinalPsfConfig(iterations=4)
CONFIG = FinalizeCharacterizationConfig(psf=PSF)


def run(made: MadeUp, config: FinalizeCharacterizationConfig = CONFIG) -> Characterized:
    return finalize_characterization(made.visit, made.exposure, config)


@pytest.fixture(scope="module")
def made() -> MadeUp:
    return make_visit()


@pytest.fixture(scope="module")
def found(made: MadeUp) -> Characterized:
    return run(made)


def test_every_detector_has_its_components(found: Characterized) -> None:
    assert found.problem is None
    assert list(found.summary.rows) == [0, 1, 2, 3]
    for row in found.summary.rows.values():
        assert row.components["psf"] is not None
        assert "psfFlux" in row.components["ap_corr"]
    assert set(found.summary.columns["psf_source"]) == {"stars"}
    assert found.summary.columns["n_psf_used"][1] == 3


def test_columns_are_those_of_the_schemas(found: Characterized) -> None:
    stars = {c.name for c in load_schema("final_characterization_stars").columns}
    assert stars <= set(found.stars)
    summary = {c.name for c in load_schema("final_characterization_summary").columns}
    assert summary == set(found.summary.columns) | {"detector"}
    assert set(nothing(VISIT, [1, 2], "why").summary.columns) == set(found.summary.columns)


def test_reserved_stars_are_measured_and_not_used(found: Characterized) -> None:
    stars = found.stars
    reserved = stars["reserved"]
    assert 8 < reserved.sum() < 30
    assert not (stars["calib_psf_used"] & reserved).any()
    assert not (stars["calib_apcorr_used"] & reserved).any()
    assert (stars["calib_psf_reserved"] == reserved).all()
    assert not stars["shape_flag"][reserved].any()
    assert np.isnan(stars["psf_chi2"][reserved]).all()


def test_reserved_stars_agree_with_the_model(found: Characterized) -> None:
    stars = found.stars
    rows = stars["calib_psf_reserved"]
    size = (stars["ixx"] + stars["iyy"]) / (stars["ixxPSF"] + stars["iyyPSF"]) - 1
    error = np.hypot(stars["ixxErr"], stars["iyyErr"]) / (stars["ixxPSF"] + stars["iyyPSF"])
    assert np.median(np.abs(size[rows] / error[rows])) < 1.5
    assert abs(found.numbers["reserved_dT_T"]) < 0.03


def test_corrected_fluxes_are_the_true_ones(made: MadeUp, found: Characterized) -> None:
    """On the scale of the 12-pixel aperture, in electrons: the same share of all stars."""
    stars = found.stars
    flux = np.concatenate([image.flux for image in made.images.values()])
    bright = flux > 2e4
    for name in ("psfFlux", "gaussianFlux", "compGaussianFlux3"):
        ratio = stars[f"{name}_instFlux"] / flux
        assert np.median(ratio[bright]) == pytest.approx(1, abs=0.02)
        assert 1.48 * np.median(np.abs(ratio[bright] - np.median(ratio[bright]))) < 0.015
    apart = np.hypot(stars["x"] - np.concatenate([i.x for i in made.images.values()]),
                     stars["y"] - np.concatenate([i.y for i in made.images.values()]))  # fmt: skip
    assert np.median(apart[bright]) < 0.02


def test_places_by_the_astrometric_solution_are_told(found: Characterized) -> None:
    stars = found.stars
    known = np.isfinite(stars["x_expected"])
    assert known.all()
    assert (
        np.median(np.hypot(stars["x"] - stars["x_expected"], stars["y"] - stars["y_expected"]))
        < 0.05
    )


def test_a_detector_without_a_star_has_what_its_neighbours_have() -> None:
    found = run(make_visit((34, 0, 30, 32), 2))
    columns = found.summary.columns
    assert columns["psf_source"].tolist() == ["stars", "neighbors", "stars", "stars"]
    assert columns["ap_corr_source"].tolist() == ["stars", "neighbors", "stars", "stars"]
    values = [
        r.components["ap_corr"].evaluate("psfFlux", 160, 160) for r in found.summary.rows.values()
    ]
    assert values[1] == pytest.approx(np.mean([values[k] for k in (0, 2, 3)]), abs=0.005)


def test_all_stars_reserved_is_a_declared_failure() -> None:
    made = make_visit((20, 0, 20, 0), 3, reserved_share=1.1)
    with pytest.raises(AlgorithmError, match="0 stars are too few") as failure:
        run(made)
    assert failure.value.numbers["reserved"] == 40


def test_all_stars_flagged_is_a_declared_failure(made: MadeUp) -> None:
    flagged = {**made.visit.sources, "psfFlux_flag": np.ones(len(made.visit.sources["x"]), bool)}
    with pytest.raises(AlgorithmError, match="too few"):
        run(MadeUp(replace(made.visit, sources=flagged), made.images))


def test_an_uncertain_aperture_correction_costs_no_star(made: MadeUp) -> None:
    """Its error is that of all stars: in crowded fields 6 %, which no S/N of 20 would survive."""
    sources = dict(made.visit.sources)
    flux = sources["psfFlux_instFlux"]
    sources["psfFlux_apCorrErr"] = np.full(len(flux), 0.06)
    sources["psfFlux_instFluxErr"] = np.hypot(sources["psfFlux_instFluxErr"], 0.06 * flux)
    found = run(MadeUp(replace(made.visit, sources=sources), made.images))
    assert (found.stars["calib_psf_candidate"] == run(made).stars["calib_psf_candidate"]).all()


def test_no_measured_size_is_a_declared_failure(made: MadeUp) -> None:
    flagged = {**made.visit.sources, "shape_flag": np.ones(len(made.visit.sources["x"]), bool)}
    with pytest.raises(AlgorithmError, match="measured size"):
        run(MadeUp(replace(made.visit, sources=flagged), made.images))


def test_no_isolated_star_at_all_is_a_declared_failure(made: MadeUp) -> None:
    none = {name: values[:0] for name, values in made.visit.sources.items()}
    with pytest.raises(AlgorithmError, match="no isolated star") as failure:
        run(MadeUp(replace(made.visit, sources=none), made.images))
    assert failure.value.numbers == {"sources": 0}


def test_a_detector_whose_stars_are_all_reserved_has_what_its_neighbours_have() -> None:
    made = make_visit((34, 20, 30, 32), 6)
    sources = dict(made.visit.sources)
    sources["reserved"] = sources["reserved"] | (sources["detector"] == 1)
    found = run(MadeUp(replace(made.visit, sources=sources), made.images))
    assert found.problem is None
    columns = found.summary.columns
    assert columns["psf_source"].tolist() == ["stars", "neighbors", "stars", "stars"]
    assert columns["ap_corr_source"].tolist() == ["stars", "neighbors", "stars", "stars"]
    assert (columns["n_psf_used"][1], columns["n_psf_reserved"][1]) == (0, 20)
    here = found.stars["detector"] == 1
    trace = found.stars["ixx"] + found.stars["iyy"]
    model = found.stars["ixxPSF"] + found.stars["iyyPSF"]
    assert np.median((trace / model - 1)[here]) == pytest.approx(0, abs=0.02)


def test_three_stars_keep_the_size_within_two_per_cent(made: MadeUp, found: Characterized) -> None:
    """The size at the detector's middle and corners, drawn with the colour of reference."""
    psf = found.summary.rows[1].components["psf"]
    image = made.images[1]
    x, y = np.array([40.0, 160.0, 280.0, 40.0, 280.0]), np.array([40.0, 160.0, 280.0, 280.0, 40.0])
    color = np.full(5, REFERENCE_COLOR)
    seen, true = psf.compute_shape(x, y, color), true_shape(image.place, x, y, color)
    size = ((seen.xx * seen.yy - seen.xy**2) / (true.xx * true.yy - true.xy**2)) ** 0.25
    assert np.abs(size - 1).max() < 0.02


def test_a_lost_detector_harms_no_other() -> None:
    found = run(make_visit((34, 30, 30, 32), 4, lost=(2,)))
    assert found.problem is not None
    assert found.summary.rows[2].components["psf"] is None
    assert "cannot be had" in found.summary.columns["lost"][2]
    assert [bool(r.components["psf"]) for r in found.summary.rows.values()] == [
        True,
        True,
        False,
        True,
    ]
    assert set(found.stars["detector"]) == {0, 1, 3}


def test_a_model_that_is_no_star_is_declared_lost(
    made: MadeUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DetectorFit, "is_star", lambda _, place: place.detector != 2)
    found = run(made)
    assert found.problem is not None
    assert "no star everywhere" in found.summary.columns["lost"][2]
    assert [r.components["psf"] is None for r in found.summary.rows.values()] == [
        False, False, True, False,
    ]  # fmt: skip


def test_a_visit_of_one_detector(made: MadeUp) -> None:
    one = replace(made.visit, detectors={0: made.visit.detectors[0]})
    found = run(MadeUp(one, made.images))
    assert list(found.summary.rows) == [0]
    assert found.summary.rows[0].components["psf"] is not None


def test_missing_colours_and_places_are_no_failure(made: MadeUp) -> None:
    unknown = np.full(len(made.visit.sources["x"]), np.nan)
    sources = {**made.visit.sources, **dict.fromkeys(("color", "ra", "dec"), unknown)}
    found = run(MadeUp(replace(made.visit, sources=sources), made.images))
    assert found.problem is None
    assert np.isnan(found.summary.columns["psf_color_ref"]).all()
    assert np.isnan(found.stars["x_expected"]).all()
    assert found.stars["psf_color_assumed"].all()


def test_each_detector_by_itself() -> None:
    config = CONFIG.model_copy(update={"psf": PSF.model_copy(update={"method": "detectors"})})
    found = run(make_visit((30, 2, 30, 30), 5), config)
    assert found.problem is not None
    assert found.summary.rows[1].components["psf"] is None
    assert found.summary.columns["psf_order"].tolist() == [2, -1, 2, 2]


def test_another_background_takes_the_place_of_the_first(made: MadeUp) -> None:
    """A pedestal that is put back and taken off again leaves what was there."""
    background = Background((("sky", PolynomialLayer.constant(0.0)),), unit="electron")
    known = {d: replace(look, background=background) for d, look in made.visit.detectors.items()}
    again = run(MadeUp(replace(made.visit, detectors=known), made.images))
    first = run(made)
    for detector, row in first.summary.rows.items():
        psf = again.summary.rows[detector].components["psf"]
        assert psf.coefficients == pytest.approx(row.components["psf"].coefficients, abs=1e-5)


def test_piff_that_is_not_installed_is_told(made: MadeUp, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from drpflow.errors import InputError

    monkeypatch.setitem(sys.modules, "piff", None)
    config = CONFIG.model_copy(update={"psf": PSF.model_copy(update={"method": "piff"})})
    with pytest.raises(InputError, match="drpflow\\[piff\\]"):
        run(made, config)
