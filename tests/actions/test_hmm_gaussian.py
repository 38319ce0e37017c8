import numpy as np
import pytest
from scipy.stats import multivariate_normal

from neuroduet.actions.hmm.autoregressive import join
from neuroduet.actions.hmm.fitting import Parameters, climb, expect, make_prior
from neuroduet.actions.hmm.gaussian import (
    Emissions,
    Moments,
    log_density,
    log_prior,
    maximise,
    moments,
    prior_moments,
)
from neuroduet.actions.hmm.options import ARHMMOptions, HMMOptions
from neuroduet.actions.hmm.starts import clustered

NO_PRIOR = {"sticky": 0.0, "concentration": 0.0, "prior_frames": 0.0, "ridge": 0.0, "floor": 0.0}


def quiet(objective):
    assert np.isfinite(objective)


def random_emissions(rng, states, components, regressors):
    roots = rng.normal(size=(states, components, components))
    covariances = roots @ roots.transpose(0, 2, 1) + np.eye(components)
    return Emissions(rng.normal(size=(states, components, regressors)), covariances)


def test_densities_are_those_of_scipy():
    rng = np.random.default_rng(0)
    emissions = random_emissions(rng, states=3, components=2, regressors=4)
    rows = rng.normal(size=(50, 6))
    found = log_density(emissions, rows)
    for state in range(3):
        mean = rows[:, :4] @ emissions.weights[state].T
        density = multivariate_normal(np.zeros(2), emissions.covariances[state])
        assert found[:, state] == pytest.approx(density.logpdf(rows[:, 4:] - mean))


def test_moments_are_weighted_sums_of_outer_products():
    rng = np.random.default_rng(1)
    rows, weights = rng.normal(size=(5000, 3)), rng.random((5000, 2))
    found = moments(rows, weights)
    assert found.frames == pytest.approx(weights.sum(0))
    assert found.products == pytest.approx(np.einsum("tk,ti,tj->kij", weights, rows, rows))


def test_maximising_without_a_prior_is_weighted_least_squares():
    rng = np.random.default_rng(2)
    inputs = np.c_[rng.normal(size=(400, 2)), np.ones(400)]
    outputs = inputs @ rng.normal(size=(3, 2)) + rng.normal(size=(400, 2))
    weights = rng.random((400, 1))
    nothing = Moments(np.zeros(1), np.zeros((1, 5, 5)))
    found = maximise(moments(np.c_[inputs, outputs], weights), nothing, components=2)
    root = np.sqrt(weights)
    expected = np.linalg.lstsq(root * inputs, root * outputs)[0]
    assert found.weights[0] == pytest.approx(expected.T)
    left = outputs - inputs @ expected
    assert found.covariances[0] == pytest.approx((weights * left).T @ left / weights.sum())


def test_no_other_emissions_beat_the_maximum():
    rng = np.random.default_rng(3)
    rows = np.c_[rng.normal(size=(200, 1)), np.ones(200), rng.normal(size=(200, 2))]
    weights = rng.random((200, 1))
    prior = prior_moments(moments(rows, np.ones((200, 1))), 2, frames=5.0, ridge=1.0, floor=0.5)
    best = maximise(moments(rows, weights), prior, components=2)

    def objective(emissions):
        return float((weights * log_density(emissions, rows)).sum()) + log_prior(emissions, prior)

    for _ in range(20):
        change = rng.normal(0, 0.05, (2, 2))
        covariances = best.covariances + 0.05 * (change @ change.T)
        moved = Emissions(best.weights + rng.normal(0, 0.02, best.weights.shape), covariances)
        assert objective(moved) < objective(best)


def test_a_state_without_frames_is_the_prior():
    rng = np.random.default_rng(4)
    rows = np.c_[np.ones(500), rng.normal(3.0, 2.0, 500)]
    prior = prior_moments(moments(rows, np.ones((500, 1))), 1, frames=2.0, ridge=0.0, floor=0.0)
    found = maximise(Moments(np.zeros(1), np.zeros((1, 2, 2))), prior, components=1)
    assert found.weights[0, 0, 0] == pytest.approx(rows[:, 1].mean())
    assert found.covariances[0, 0, 0] == pytest.approx(rows[:, 1].var())


@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("options", [{}, NO_PRIOR], ids=["prior", "likelihood"])
def test_expectation_maximisation_never_decreases_its_objective(order, options):
    rng = np.random.default_rng(5)
    recordings = [np.cumsum(rng.normal(size=(n, 2)), axis=0) / 5 for n in (200, 1, 300, 2)]
    stream = join([one.astype(np.float32) for one in recordings], order)
    chosen = ARHMMOptions(iterations=25, tolerance=0.0, **options)
    prior = make_prior(stream, 4, chosen)
    start = clustered(stream, 4, prior, rng)
    objectives = climb(stream, start, prior, chosen, quiet).objectives
    assert len(objectives) > 3
    assert np.diff(objectives).min() > -1e-7 * abs(objectives[-1])
    assert objectives[-1] > objectives[0] + 1


def test_without_a_prior_the_objective_is_the_log_likelihood():
    rng = np.random.default_rng(6)
    stream = join([rng.normal(size=(300, 2)).astype(np.float32)], 0)
    options = HMMOptions(iterations=3, **NO_PRIOR)
    prior = make_prior(stream, 2, options)
    start = clustered(stream, 2, prior, rng)
    objectives = climb(stream, start, prior, options, quiet).objectives
    assert objectives[0] == pytest.approx(expect(stream, start).log_likelihood)


def test_likelihood_and_posteriors_equal_hmmlearn():
    hmmlearn = pytest.importorskip("hmmlearn.hmm", reason="hmmlearn is not installed")
    rng = np.random.default_rng(7)
    lengths = [150, 1, 349]
    values = rng.normal(size=(500, 3)).astype(np.float32)
    emissions = random_emissions(rng, states=4, components=3, regressors=1)
    initial, transition = rng.dirichlet(np.ones(4)), rng.dirichlet(np.ones(4), size=4)
    theirs = hmmlearn.GaussianHMM(4, covariance_type="full")
    theirs.startprob_, theirs.transmat_ = initial, transition
    theirs.means_, theirs.covars_ = emissions.weights[:, :, 0], emissions.covariances
    stream = join([values[:150], values[150:151], values[151:]], 0)
    ours = expect(stream, Parameters(initial, transition, emissions))
    likelihood, posteriors = theirs.score_samples(values, lengths)
    assert ours.log_likelihood == pytest.approx(likelihood)
    assert ours.moments.frames == pytest.approx(posteriors.sum(0))


def test_regressors_are_the_frames_before_and_never_of_another_recording():
    stream = join([np.arange(4.0)[:, None], 10 + np.arange(3.0)[:, None]], 2)
    whole = stream.rows(0, 7)
    assert whole[3].tolist() == [2.0, 1.0, 1.0, 3.0]
    assert stream.complete(0, 7).tolist() == [False, False, True, True, False, False, True]
    for begin in range(7):
        assert stream.rows(begin, 7).tolist() == whole[begin:].tolist()
        assert stream.complete(begin, 7).tolist() == stream.complete(0, 7)[begin:].tolist()
