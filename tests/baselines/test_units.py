from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import PoissonRegressor

from neuroduet import metrics
from neuroduet.baselines import units_readout, units_rule
from neuroduet.baselines.psth import fit_mean_rate
from neuroduet.baselines.smoothing import smooth
from neuroduet.baselines.units import fit_unit_regression
from neuroduet.baselines.units_groups import Group, joined
from neuroduet.baselines.units_latents import Components, fit_spectrum, infer
from neuroduet.baselines.units_readout import log_readouts
from neuroduet.baselines.units_smoothed import Smoother, fit_smoothed
from neuroduet.masking.activity import last_bins
from neuroduet.tasks import TASKS
from neuroduet.tasks.activity import one_question
from neuroduet.tasks.questions import AnswersUnits
from neuroduet.types import NEURAL, Batch, Masks, SessionInfo, UnitQuestions

UNITS, BINS, LATENTS = 24, 30, 3
UNIT_TASKS = ("co_smoothing", "intra_region", "inter_region")


SPLITS = ((0, 60), (60, 80), (80, 110))


def info_of(units: int, bins: int, neural: str = "counts", regions: int = 0) -> SessionInfo:
    names = tuple("ABC"[n * regions // units] for n in range(units)) if regions else None
    return SessionInfo(
        id="s0",
        subject="mouse",
        neural=neural,
        units=tuple(f"u{n}" for n in range(units)),
        regions=names,
        behaviours=(),
        bin_size_s=0.02,
        max_bins=bins,
    )


def batch_of(activity: torch.Tensor, lengths: torch.Tensor | None = None) -> Batch:
    windows, bins, _ = activity.shape
    lengths = torch.full((windows,), bins) if lengths is None else lengths
    valid = torch.arange(bins) < lengths[:, None]
    return Batch(
        session="s0",
        activity=torch.where(valid[..., None], activity.float(), 0.0),
        valid=valid,
        behaviours={},
        observed={},
        windows=torch.arange(windows),
    )


def autoregressive(shape: tuple[int, int, int], memory: float, seed: int) -> torch.Tensor:
    """Stationary AR(1) of unit variance along the second axis."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(shape, generator=generator)
    steps = [noise[:, 0]]
    for t in range(1, shape[1]):
        steps.append(memory * steps[-1] + (1 - memory**2) ** 0.5 * noise[:, t])
    return torch.stack(steps, dim=1)


def split(batch: Batch) -> list[Batch]:
    return [rows(batch, slice(*part)) for part in SPLITS]


def rows(batch: Batch, chosen: slice) -> Batch:
    return replace(
        batch,
        activity=batch.activity[chosen],
        valid=batch.valid[chosen],
        windows=batch.windows[chosen],
    )


def asked(batch: Batch, info: SessionInfo, task: str) -> tuple[Masks, UnitQuestions]:
    (variant,) = TASKS[task].variants(info)
    return TASKS[task].masks(batch, variant), variant.questions


def forward_masks(batch: Batch, horizon: int) -> Masks:
    late = last_bins(batch, torch.full((len(batch.valid), 1), horizon))
    valid = batch.valid[..., None]
    return Masks(visible={NEURAL: valid & ~late}, scored={NEURAL: valid & late})


@pytest.fixture(scope="module", autouse=True)
def _few_hyper_parameters():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(units_rule, "SMOOTHING_BINS", (0.0, 2.0))
        patch.setattr(units_rule, "RANKS", (1, 4, 8))
        patch.setattr(units_rule, "PENALTIES", (30.0, 3.0))
        yield


def world(neural: str, ragged: bool = False):
    """Two slow latents of all units and one of the units of each of two regions."""
    generator = torch.Generator().manual_seed(1)
    latents = autoregressive((110, BINS, LATENTS + 1), 0.9, seed=0)
    loadings = torch.randn(LATENTS + 1, UNITS, generator=generator)
    loadings[2, UNITS // 2 :] = 0
    loadings[3, : UNITS // 2] = 0
    shared = latents @ loadings
    if neural == "traces":
        noise = torch.randn(shared.shape, generator=generator)
        activity, truth = 5 + 2 * (shared + noise), loadings
    else:
        truth = (0.6 * shared - 1.5).exp()
        activity = torch.poisson(truth, generator=generator)
        activity[:, :, 4] = 0  # a silent unit
    lengths = torch.randint(20, BINS + 1, (110,), generator=generator) if ragged else None
    return batch_of(activity, lengths), truth, info_of(UNITS, BINS, neural, regions=2)


@pytest.fixture(scope="module")
def counts():
    batch, truth, info = world("counts", ragged=True)
    train, valid, test = split(batch)
    return fit_unit_regression(train, valid, info), train, valid, test, truth[80:], info


@pytest.fixture(scope="module")
def smoothed(counts):
    _, train, valid, _, _, info = counts
    return fit_smoothed(train, valid, info)


def some_components(units: int = 7, rank: int = 3) -> Components:
    generator = torch.Generator().manual_seed(2)
    return Components(loadings=torch.randn(units, rank, generator=generator), noise=0.7)


def bits(log_rates, batch, keep=slice(None)) -> float:
    arrays = (log_rates.exp(), batch.activity)
    return metrics.bits_per_spike(*(a[..., keep].numpy() for a in arrays), batch.valid.numpy())


def test_leaving_a_unit_out_by_the_identity_equals_inferring_without_it():
    components = some_components()
    generator = torch.Generator().manual_seed(3)
    signal, weights = torch.randn(5, 7, generator=generator), torch.randn(3, 7)
    shown = torch.tensor([True, True, False, True, True, True, False])
    whole = infer(components, shown)
    found = whole.readout(signal, whole.latents(signal), weights)
    variance = whole.variance(weights)
    for n in range(7):
        without = infer(components, shown & (torch.arange(7) != n))
        expected = without.latents(signal) @ weights[:, n]
        torch.testing.assert_close(found[:, n], expected, atol=1e-5, rtol=1e-4)
        left = weights[:, n] @ without.covariance @ weights[:, n]
        torch.testing.assert_close(variance[n], left, atol=1e-5, rtol=1e-4)


def test_reading_the_loadings_out_gives_the_conditional_mean_of_a_gaussian():
    components = some_components()
    loadings = components.loadings.double().numpy()
    covariance = loadings @ loadings.T + components.noise * np.eye(7)
    shown = np.array([True, False, True, True, True, False, True])
    signal = torch.randn(5, 7, generator=torch.Generator().manual_seed(4))
    weights = covariance[~shown][:, shown] @ np.linalg.inv(covariance[shown][:, shown])
    expected = signal.numpy()[:, shown] @ weights.T
    inference = infer(components, torch.from_numpy(shown))
    found = inference.latents(signal) @ components.loadings.T
    np.testing.assert_allclose(found[:, ~shown], expected, atol=1e-5)


def test_components_recover_the_covariance_that_was_planted():
    planted = Components(loadings=some_components(12).loadings, noise=0.5)
    covariance = planted.loadings @ planted.loadings.T + 0.5 * torch.eye(12)
    noise = torch.randn(40000, 12, generator=torch.Generator().manual_seed(5))
    found = fit_spectrum(noise @ torch.linalg.cholesky(covariance).T).components(3)
    assert found.noise == pytest.approx(0.5, rel=0.03)
    estimate = found.loadings @ found.loadings.T + found.noise * torch.eye(12)
    assert (estimate - covariance).norm() < 0.03 * covariance.norm()


def test_second_moments_without_each_unit_equal_brute_force():
    components, shown = some_components(), torch.arange(7) != 2
    signal = torch.randn(20, 7, generator=torch.Generator().manual_seed(7))
    whole = infer(components, shown)
    found = units_readout._grams(whole, whole.latents(signal), signal)
    for n in range(7):
        latents = infer(components, shown & (torch.arange(7) != n)).latents(signal)
        torch.testing.assert_close(found[n], latents.T @ latents, atol=1e-4, rtol=1e-4)


def test_readouts_equal_scikit_learn_refitted_without_each_unit(monkeypatch):
    monkeypatch.setattr(units_readout, "STEPS", 60)
    components = some_components(6, 2)
    generator = torch.Generator().manual_seed(6)
    latents = torch.randn(4000, 2, generator=generator)
    signal = latents @ components.loadings.T + torch.randn(4000, 6, generator=generator)
    counts = torch.poisson((0.3 * latents @ components.loadings.T - 1).exp(), generator=generator)
    shown = torch.tensor([True, True, True, True, True, False])
    groups = [Group(shown=shown, asked=torch.ones(6, dtype=torch.bool))]
    ((_, weights, offset),) = log_readouts(signal, counts, components, groups, (20.0,))
    power = (components.loadings**2).mean(dim=0)
    root = (power / power.mean()).sqrt()
    for n in (0, 3, 5):
        without = infer(components, shown & (torch.arange(6) != n))
        model = PoissonRegressor(alpha=20.0 / 4000, tol=1e-10, max_iter=1000)
        model.fit((without.latents(signal) * root).numpy(), counts[:, n].numpy())
        np.testing.assert_allclose(weights[:, n], model.coef_ * root.numpy(), atol=2e-4)
        left = weights[:, n] @ without.covariance @ weights[:, n]
        np.testing.assert_allclose(offset[n] + 0.5 * left, model.intercept_, atol=2e-4)


@pytest.mark.parametrize("task", UNIT_TASKS)
def test_many_questions_at_once_get_the_answers_of_each_alone(counts, smoothed, task):
    _, _, _, test, _, info = counts
    masks, questions = asked(test, info, task)
    for model in (counts[0], smoothed):
        found = model.predict_units(test, masks, questions, task)
        assert torch.isfinite(found).all()
        for index in (0, 1, len(questions.hidden) - 1):
            scored = questions.scored[index]
            alone = model.predict(test, one_question(masks, questions, index), task).activity
            torch.testing.assert_close(found[..., scored], alone[..., scored], atol=1e-4, rtol=0)


def test_folds_of_units_get_the_same_answers_on_both_ways(counts):
    model, _, _, test, _, info = counts
    masks, _ = asked(test, info, "co_smoothing")
    fold = torch.arange(UNITS) % 4
    hidden = torch.stack([fold == index for index in range(4)])
    questions = UnitQuestions(hidden=hidden, scored=hidden)
    found = model.predict_units(test, masks, questions, "co_smoothing")
    for index in range(4):
        masked = one_question(masks, questions, index)
        alone = model.predict(test, masked, "co_smoothing").activity
        torch.testing.assert_close(found[..., hidden[index]], alone[..., hidden[index]])


@pytest.mark.parametrize("task", UNIT_TASKS)
def test_hidden_units_do_not_influence_an_answer(counts, smoothed, task):
    _, _, _, test, _, info = counts
    masks, questions = asked(test, info, task)
    for model in (counts[0], smoothed):
        before = model.predict_units(test, masks, questions, task)
        for index in (0, len(questions.hidden) - 1):
            hidden, scored = questions.hidden[index], questions.scored[index]
            other = replace(
                test, activity=torch.where(hidden, 7 - test.activity.flip(0), test.activity)
            )
            after = model.predict_units(other, masks, questions, task)
            torch.testing.assert_close(after[..., scored], before[..., scored], atol=2e-4, rtol=0)
            masked = one_question(masks, questions, index)
            nan = replace(test, activity=test.activity.masked_fill(hidden, torch.nan))
            one, two = (model.predict(b, masked, task).activity for b in (test, nan))
            assert torch.equal(one, two)


def test_region_tasks_see_the_region_or_all_but_it(counts):
    model, _, _, test, _, info = counts
    outside = torch.arange(UNITS) >= UNITS // 2
    changed = replace(test, activity=test.activity + outside * test.activity.flip(0))
    for task, unmoved in (("intra_region", True), ("inter_region", False)):
        masks, questions = asked(test, info, task)
        one, two = (model.predict_units(b, masks, questions, task) for b in (test, changed))
        assert torch.equal(one[..., ~outside], two[..., ~outside]) == unmoved
        assert torch.equal(one[..., outside], two[..., outside]) != unmoved


def test_planted_latents_are_found_from_other_units(counts):
    model, train, _, test, truth, info = counts
    null = fit_mean_rate(train, info).activity.expand(test.activity.shape)
    found = {}
    for task in UNIT_TASKS:
        masks, questions = asked(test, info, task)
        found[task] = bits(model.predict_units(test, masks, questions, task), test)
    assert bits(null, test) < 0.01
    assert found["co_smoothing"] > 0.5 * bits(truth.log(), test)
    assert found["co_smoothing"] > found["intra_region"] > 0.3
    assert found["co_smoothing"] > found["inter_region"] > 0.3


def test_co_smoothing_is_better_than_a_regression_of_each_unit_on_all_others(counts):
    model, train, _, test, _, info = counts
    # Width and penalty that serve the regression best on these very windows.
    x, x_test = (smooth(batch.activity, batch.valid, 2.0) for batch in (train, test))
    y = train.activity[train.valid].numpy()
    regression = torch.zeros(test.activity.shape)
    for n in np.flatnonzero(y.sum(axis=0) > 0):
        others = np.arange(UNITS) != n
        glm = PoissonRegressor(alpha=0.01, max_iter=300)
        glm.fit(x[train.valid][:, others].numpy(), y[:, n])
        rates = torch.from_numpy(glm.predict(x_test[..., others].flatten(0, 1).numpy()))
        regression[..., n] = rates.unflatten(0, test.valid.shape).log().float()
    masks, questions = asked(test, info, "co_smoothing")
    found = model.predict_units(test, masks, questions, "co_smoothing")
    assert bits(found, test) > bits(regression, test) > 0.3


def test_traces_reach_the_score_of_the_rule_that_made_them():
    batch, loadings, info = world("traces")
    train, valid, test = split(batch)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(units_rule, "SMOOTHING_BINS", (0.0,))
        patch.setattr(units_rule, "RANKS", (2, 4, 8))
        model = fit_unit_regression(train, valid, info)
    assert {rule.link for rule in model.rules.values()} == {"trace"}
    masks, questions = asked(test, info, "co_smoothing")
    found = model.predict_units(test, masks, questions, "co_smoothing")
    covariance = (loadings.T @ loadings + torch.eye(UNITS)).double()
    precision = torch.linalg.inv(covariance)
    weights = -(precision - torch.diag(precision.diagonal())) / precision.diagonal()
    best = (test.activity - 5).double() @ weights + 5
    score, bound = (
        np.nanmean(metrics.r2_by_unit(test.activity.numpy(), x.numpy(), test.valid.numpy()))
        for x in (found.double(), best)
    )
    assert bound > 0.5
    assert score > bound - 0.03


def test_noise_is_answered_by_the_mean():
    noise = torch.poisson(
        torch.full((110, 12, 8), 0.5), generator=torch.Generator().manual_seed(0)
    )
    info = info_of(8, 12)
    train, valid, test = split(batch_of(noise))
    masks, questions = asked(test, info, "co_smoothing")
    null = fit_mean_rate(train, info).activity.expand(test.activity.shape)
    for fit in (fit_unit_regression, fit_smoothed):
        model = fit(train, valid, info)
        assert set(UNIT_TASKS[1:]).isdisjoint(getattr(model, "rules", None) or model.smoothers)
        found = model.predict_units(test, masks, questions, "co_smoothing")
        assert bits(found, test) > bits(null, test) - 0.01


def test_a_single_unit_reads_its_mean():
    one = torch.poisson(torch.full((110, 12, 1), 0.5))
    info = info_of(1, 12)
    train, valid, test = split(batch_of(one))
    masks, questions = asked(test, info, "co_smoothing")
    found = fit_unit_regression(train, valid, info).predict_units(
        test, masks, questions, "co_smoothing"
    )
    mean = fit_mean_rate(train, info).activity
    torch.testing.assert_close(found, mean.expand(found.shape))
    found = fit_smoothed(train, valid, info).predict_units(test, masks, questions, "co_smoothing")
    torch.testing.assert_close(found, mean.expand(found.shape))


def test_padding_changes_no_answer(counts, smoothed):
    _, _, _, test, _, info = counts
    length = int(test.valid[0].sum())
    assert length < BINS
    cut = replace(
        test,
        activity=test.activity[:1, :length],
        valid=test.valid[:1, :length],
        windows=test.windows[:1],
    )
    for model in (counts[0], smoothed):
        (masks, questions), (short, _) = (
            asked(test, info, UNIT_TASKS[0]),
            asked(cut, info, UNIT_TASKS[0]),
        )
        whole = model.predict_units(test, masks, questions, UNIT_TASKS[0])[:1, :length]
        alone = model.predict_units(cut, short, questions, UNIT_TASKS[0])
        torch.testing.assert_close(whole, alone, atol=1e-4, rtol=0)


def test_only_own_tasks_and_sessions_are_answered(counts, smoothed):
    model, _, _, test, _, info = counts
    masks, questions = asked(test, info, "co_smoothing")
    assert isinstance(model, AnswersUnits)
    assert isinstance(smoothed, AnswersUnits)
    assert model.name == "reduced_rank_units"
    assert set(model.rules) == set(UNIT_TASKS)
    assert model.predict(test, masks, "forward").activity is None
    assert smoothed.predict_units(test, masks, questions, "forward") is None
    elsewhere = replace(test, session="s1")
    assert model.predict_units(elsewhere, masks, questions, "co_smoothing") is None


def test_questions_about_one_unit_are_joined_with_others_that_see_the_same():
    single = UnitQuestions(hidden=torch.eye(4) > 0, scored=torch.eye(4) > 0)
    (group,) = joined(single, torch.tensor([True, True, True, False]))
    assert group.shown.tolist() == [True, True, True, False]
    assert group.asked.tolist() == [True] * 4
    pair = torch.tensor([[True, True, False, False]])
    (group,) = joined(UnitQuestions(hidden=pair, scored=pair), torch.ones(4, dtype=torch.bool))
    assert group.shown.tolist() == [False, False, True, True]


def test_the_gain_of_the_population_by_hand(smoothed):
    mean = torch.tensor([4.0, 1.0, 1.0])
    model = replace(
        smoothed,
        scaling=replace(smoothed.scaling, mean=mean, scale=mean.sqrt()),
        null=mean.log(),
        smoothers={"co_smoothing": Smoother(width_bins=0.0, prior=1.0)},
    )
    batch = batch_of(torch.tensor([[[8.0, 3.0, 100.0]]]))
    masks = Masks(
        visible={NEURAL: torch.tensor([[[True, True, False]]])},
        scored={NEURAL: torch.ones(1, 1, 3, dtype=torch.bool)},
    )
    found = model.predict(batch, masks, "co_smoothing").activity
    # Units 0 and 1: 8 / 2 + 3 over 2 + 1 is 7 / 3 of the usual; half of the way to it is used.
    assert float(found[0, 0, 2].exp()) == pytest.approx(5 / 3, rel=1e-5)
    assert float(found[0, 0, 0].exp()) == pytest.approx(4 * 2, rel=1e-5)


def test_smoothing_finds_each_units_own_past(smoothed, counts):
    _, train, _, test, _, info = counts
    masks = forward_masks(test, 3)
    found = smoothed.predict(test, masks, "forward").activity
    null = fit_mean_rate(train, info).activity.expand(found.shape)
    late = replace(test, valid=masks.scored[NEURAL][..., 0])
    assert bits(found, late) > bits(null, late) + 0.05
    hidden = replace(test, activity=test.activity.masked_fill(masks.scored[NEURAL], 9.0))
    assert torch.equal(found, smoothed.predict(hidden, masks, "forward").activity)
