"""Derivatives of the model and the solution of its normal equations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from drpflow.algorithms.fgcm.layout import Block, Layout, Night, Prior, first_prior
from drpflow.algorithms.fgcm.model import Model
from drpflow.algorithms.fgcm.rows import build_rows
from drpflow.algorithms.fgcm.solver import Problem, Quadratic

from .made_up_survey import made_up_survey


@pytest.fixture(scope="module", params=[False, True], ids=["visit airmass", "detector airmass"])
def case(request):
    survey = made_up_survey(4, nights=2, per_night=6, stars_per_detector=20)
    visits = survey.visits
    if request.param:
        tilt = 0.01 * visits.airmass[:, None] ** 2 * np.linspace(-1, 1, len(survey.detectors))
        visits = replace(visits, detector_airmass=visits.airmass[:, None] + tilt + 0.02)
    config = survey.config
    rows, _ = build_rows(survey.observations, visits, survey.detectors, survey.stars, config)
    layout = Layout.of(visits, survey.detectors, config, rows.regions)
    model = Model(visits, survey.detectors, survey.table, layout, config)
    rng = np.random.default_rng(1)
    prior = first_prior(layout, survey.table.standard_atmosphere, config)
    known = np.append(survey.parameters, np.zeros(len(rows.regions) + rows.regions.n_wide))
    parameters = known + 0.3 * rng.normal(size=layout.size) / np.sqrt(prior.precision)
    layout.block(Block.THROUGHPUT, parameters)[:, 0] = (
        layout.block(Block.THROUGHPUT, survey.parameters)[:, 0] + 0.01
    )
    problem = Problem(rows, model, rng.normal(0.003, 0.003, rows.n_pairs))
    weight = 1 / (rows.err**2 + 0.01**2)
    return problem, prior, parameters, weight


def test_gradient_agrees_with_finite_differences(case):
    problem, prior, parameters, weight = case
    model = problem.model
    gradient = problem.gradient(model.at(parameters), weight)
    scale = 1 / np.sqrt(prior.precision)
    largest = np.abs(gradient * scale).max()
    for k in range(parameters.size):
        # χ² is a parabola in all but the air; there steps are small.
        h = scale[k] * (1e-3 if k < model.layout.begins[Block.THROUGHPUT] else 0.1)
        step = np.zeros_like(parameters)
        step[k] = h
        chi2 = [problem.chi2(model.at(parameters + a * step), weight) for a in (-2, -1, 1, 2)]
        found = (chi2[0] - 8 * chi2[1] + 8 * chi2[2] - chi2[3]) / (12 * h) / 2
        assert abs(found - gradient[k]) * scale[k] < 1e-6 * largest, k


def test_normal_matrix_is_the_derivative_of_the_gradient(case):
    """By columns of linear parameters, of which the gradient is linear."""
    problem, prior, parameters, weight = case
    model = problem.model
    normal = problem.normal(model.at(parameters), weight)
    np.testing.assert_array_equal(normal, normal.T)
    linear = np.arange(model.layout.begins[Block.GRAY], parameters.size, 7)
    for k in linear:
        step = np.zeros_like(parameters)
        step[k] = prior.precision[k] ** -0.5
        ahead, behind = (problem.gradient(model.at(parameters + s * step), weight) for s in (1, -1))
        found = (ahead - behind) / (2 * step[k])
        tolerance = 1e-4 * np.abs(normal[:, k]).max()
        # Columns of the air hold second derivatives of the model besides.
        begin = model.layout.begins[Block.THROUGHPUT]
        np.testing.assert_allclose(found[begin:], normal[begin:, k], atol=tolerance)


def test_posterior_of_a_small_linear_problem():
    rng = np.random.default_rng(2)
    design, truth = rng.normal(size=(50, 4)), np.array([1.0, -2.0, 0.5, 3.0])
    data = design @ truth
    point = np.zeros(4)
    quadratic = Quadratic(point, design.T @ design, design.T @ (design @ point - data))
    prior = Prior(np.array([0.0, 0.0, 0.0, 1.0]), np.array([1e-6, 1e-6, 1e-6, 100.0]))
    posterior = quadratic.solve(prior)
    matrix = design.T @ design + np.diag(prior.precision)
    wanted = np.linalg.solve(matrix, design.T @ data + prior.precision * prior.mean)
    np.testing.assert_allclose(posterior.mean, wanted)
    covariance = np.linalg.inv(matrix)
    np.testing.assert_allclose(posterior.covariance(), covariance)
    np.testing.assert_allclose(posterior.all_variances(), np.diag(covariance))
    np.testing.assert_allclose(posterior.variance(np.array([2, 0])), np.diag(covariance)[[2, 0]])


@pytest.mark.parametrize("case", [True], ids=["detector airmass"], indirect=True)
def test_airmass_over_the_field_is_interpolated_to_a_micromagnitude(case):
    problem, _, parameters, _ = case
    model = problem.model
    found = model.at(parameters)
    for d in range(model.layout.n_detectors):
        own = replace(
            model.visits, airmass=model.visits.detector_airmass[:, d], detector_airmass=None
        )
        exact = Model(own, model.detectors, model.table, model.layout, model.config).at(parameters)
        rows = np.arange(len(own)) * model.layout.n_detectors + d
        np.testing.assert_allclose(found.local[rows], exact.local[rows], atol=1e-6)
        np.testing.assert_allclose(found.i10[rows], exact.i10[rows], atol=1e-4)


def test_held_air_has_no_derivatives(case):
    problem, _, parameters, weight = case
    model = problem.model
    held = model.config.model_copy(
        update={"air": model.config.air.model_copy(update={"free": False})}
    )
    other = Model(model.visits, model.detectors, model.table, model.layout, held)
    gradient = Problem(problem.rows, other, problem.slope).gradient(other.at(parameters), weight)
    night = model.layout.block(Block.NIGHT, gradient)
    assert not night[:, : Night.GRAY].any()
    assert night[:, Night.GRAY].all()
