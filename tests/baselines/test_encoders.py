from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import PoissonRegressor

from neuroduet import metrics
from neuroduet.baselines import fit_mean_rate, fit_poisson_glm, fit_psth, fit_reduced_rank
from neuroduet.baselines.design import fit_design
from neuroduet.baselines.poisson_glm import glm_path
from neuroduet.baselines.psth import condition_codes
from neuroduet.baselines.reduced_rank import reduced_rank_weights
from neuroduet.baselines.selection import ActivityScore, activity_score, r2_of
from neuroduet.baselines.solve import ridge_path


def planted(rank: int | None = None, units: int = 6):
    """Columns, weights and Poisson counts in double precision."""
    generator = torch.Generator().manual_seed(0)
    columns = torch.randn(3000, 5, generator=generator, dtype=torch.float64)
    columns = columns - columns.mean(dim=0)
    weights = 0.4 * torch.randn(5, units, generator=generator, dtype=torch.float64)
    if rank is not None:
        u, s, v = torch.linalg.svd(weights, full_matrices=False)
        weights = u[:, :rank] * s[:rank] @ v[:rank]
    counts = torch.poisson((columns @ weights - 0.5).exp(), generator=generator)
    return columns, weights, counts


def bits(log_rates: torch.Tensor, batch) -> float:
    rates = log_rates.exp().numpy()
    return metrics.bits_per_spike(rates, batch.activity.numpy(), batch.valid.numpy())


def test_selection_scores_by_the_metric_that_is_reported(session):
    batch = session.batch(session.indices("valid"))
    log_rates = torch.randn(batch.activity.shape, generator=torch.Generator().manual_seed(0))
    score = activity_score(batch, True).of(log_rates[batch.valid])
    assert score == pytest.approx(bits(log_rates, batch), abs=1e-4)
    true, predicted = batch.activity[batch.valid], log_rates[batch.valid]
    traces = ActivityScore(activity=true, null=true.mean(dim=0), is_poisson=False)
    expected = metrics.r2(true.numpy(), predicted.numpy())
    assert traces.of(predicted) == pytest.approx(expected, rel=1e-4)
    everywhere = torch.ones(len(true), dtype=torch.bool)
    assert float(r2_of(true, predicted[None], everywhere)[0]) == pytest.approx(expected, rel=1e-4)


def test_glm_equals_scikit_learn_on_one_unit():
    columns, _, counts = planted(units=1)
    penalty = 30.0
    ((_, _, fit),) = glm_path(columns, counts, (penalty,), steps=(60, 0))
    model = PoissonRegressor(alpha=penalty / len(columns), tol=1e-10, max_iter=1000)
    model.fit(columns.numpy(), counts[:, 0].numpy())
    np.testing.assert_allclose(fit.weights[:, 0], model.coef_, atol=1e-5)
    np.testing.assert_allclose(fit.offset, [model.intercept_], atol=1e-5)


def test_glm_fits_each_unit_as_if_it_were_alone():
    columns, _, counts = planted()
    ((_, _, together),) = glm_path(columns, counts, (10.0,), steps=(80, 0))
    ((_, _, alone),) = glm_path(columns, counts[:, 2:3], (10.0,), steps=(80, 0))
    torch.testing.assert_close(together.weights[:, 2:3], alone.weights, atol=1e-5, rtol=0)


def test_glm_recovers_planted_weights_at_full_and_at_low_rank():
    columns, weights, counts = planted(rank=2)
    fits = {rank: fit for _, rank, fit in glm_path(columns, counts, (1.0,), (2,))}
    assert (fits[None].weights - weights).norm() < 0.15 * weights.norm()
    assert torch.linalg.matrix_rank(fits[2].weights, atol=1e-8) == 2
    assert (fits[2].weights - weights).norm() < (fits[None].weights - weights).norm()


def test_low_rank_glm_reaches_a_lower_loss_than_truncating_the_full_one():
    columns, _, counts = planted()
    fits = {rank: fit for _, rank, fit in glm_path(columns, counts, (1.0,), (1,))}
    u, s, v = torch.linalg.svd(fits[None].weights, full_matrices=False)
    truncated = u[:, :1] * s[:1] @ v[:1]

    def loss(weights: torch.Tensor, offset: torch.Tensor) -> float:
        linear = columns @ weights + offset
        return float((linear.exp() - counts * linear).sum() + 0.5 * (weights**2).sum())

    assert loss(fits[1].weights, fits[1].offset) < loss(truncated, fits[None].offset)


def test_reduced_rank_at_full_rank_equals_ridge():
    columns, _, counts = planted()
    gram, moment = columns.T @ columns, columns.T @ counts
    penalties = torch.tensor([0.5, 20.0], dtype=torch.float64)
    path = ridge_path(gram, moment, penalties)
    found = [w for _, w in reduced_rank_weights(gram, moment, penalties, (None, 6))]
    for weights, ridge in zip(found, path.repeat_interleave(2, dim=0), strict=True):
        torch.testing.assert_close(weights, ridge)


def test_reduced_rank_has_its_rank_and_recovers_planted_weights():
    columns, weights, _ = planted(rank=2)
    noise = torch.randn(3000, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    gram, moment = columns.T @ columns, columns.T @ (columns @ weights + noise)
    penalties = torch.tensor([1.0], dtype=torch.float64)
    (_, low), (_, full) = reduced_rank_weights(gram, moment, penalties, (2, None))
    assert torch.linalg.matrix_rank(low, atol=1e-8) == 2
    assert (low - weights).norm() < (full - weights).norm() < 0.2 * weights.norm()


def test_mean_rate_is_the_log_of_the_training_mean(session):
    train = session.batch(session.indices("train"))
    found = fit_mean_rate(train, session.info).activity
    mean = train.activity[train.valid].mean(dim=0)
    torch.testing.assert_close(found[:-1], mean[:-1].log())
    assert torch.isfinite(found[-1])


def test_psth_finds_the_course_and_the_conditions(make_session):
    session = make_session(ragged=False)
    bins = torch.arange(16) / 16
    choice = session.whole.behaviours["choice"].float()
    rates = (3 * bins)[None, :, None] * (1 + choice)[:, None, None] * torch.ones(9)
    session.whole.activity.copy_(torch.poisson(rates, generator=torch.Generator().manual_seed(0)))
    train, valid, test = (session.batch(session.indices(s)) for s in ("train", "valid", "test"))
    psth = fit_psth(train, valid, session.info)
    found = psth.activity(test).exp()
    error = (found - rates[test.windows]).abs().mean()
    assert error < 0.15 * rates.mean()


def test_psth_ignores_a_condition_that_is_hidden(session, hiding):
    train, valid, test = (session.batch(session.indices(s)) for s in ("train", "valid", "test"))
    psth = fit_psth(train, valid, session.info)
    shown = hiding(test, {"activity", "block", "choice"})
    expected = psth.course.expand(len(test.valid), -1, -1)[:, : test.valid.shape[1]]
    torch.testing.assert_close(psth.activity(test, shown), expected)


def test_condition_codes_cross_the_classes(session, hiding):
    batch = session.batch(np.arange(6, 20))
    crossed = session.info.behaviours[2:4]
    expected = batch.behaviours["choice"] * 3 + batch.behaviours["block"]
    assert torch.equal(condition_codes(batch, crossed, None), expected)
    hidden = condition_codes(batch, crossed, hiding(batch, {"block"}))
    assert (hidden == -1).all()


@pytest.mark.parametrize("fit", [fit_reduced_rank, fit_poisson_glm])
def test_encoders_explain_planted_activity(fit, session):
    train, valid, test = (session.batch(session.indices(s)) for s in ("train", "valid", "test"))
    predictor = fit(train, valid, session.info)
    encoder = predictor.encoders[frozenset(b.name for b in session.info.behaviours)]
    mean = fit_mean_rate(train, session.info).activity.expand(test.activity.shape)
    assert bits(encoder.activity(test), test) > bits(mean, test) + 0.1


def test_traces_are_predicted_as_means(make_session):
    session = make_session("traces")
    train, valid, test = (session.batch(session.indices(s)) for s in ("train", "valid", "test"))
    for ranks in ((None,), (1, 2, 4, None)):
        predictor = fit_reduced_rank(train, valid, session.info, ranks=ranks)
        found = max(predictor.encoders.items(), key=lambda item: len(item[0]))[1].activity(test)
        true, predicted = test.activity[test.valid], found[test.valid]
        assert metrics.r2(true[:, :-1].numpy(), predicted[:, :-1].numpy()) > 0.4
    assert fit_design(train, (), 0).columns(train).shape[2] == 8
