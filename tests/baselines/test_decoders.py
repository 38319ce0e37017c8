from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import balanced_accuracy_score

from neuroduet.baselines import fit_logistic, fit_majority, fit_mean_behaviour, fit_ridge
from neuroduet.baselines.logistic import fit_classes
from neuroduet.baselines.signals import fit_signal
from neuroduet.baselines.trials import fit_trial_features, folds_of, span


@pytest.fixture(scope="module")
def splits(session):
    return [session.batch(session.indices(name)) for name in ("train", "valid", "test")]


@pytest.fixture(scope="module")
def ridge(session, splits):
    return fit_ridge(splits[0], splits[1], session.info)


@pytest.fixture(scope="module")
def logistic(session, splits):
    return fit_logistic(splits[0], splits[1], session.info)


def test_ridge_decodes_better_than_the_mean(session, splits, ridge):
    train, _, test = splits
    null = fit_mean_behaviour(train, session.info)
    for name in ("wheel", "delay"):
        seen, true = test.observed[name], test.behaviours[name]
        errors, usual = (((x.read_outs[name].values(test) - true)[seen] ** 2).mean()
                         for x in (ridge, null))  # fmt: skip
        assert errors < 0.8 * usual


def test_ridge_per_trial_equals_scikit_learn(splits, ridge):
    train, model = splits[0], ridge.read_outs["delay"]
    x, y = model.features.of(train).double(), train.behaviours["delay"][:, 0]
    # The chosen penalty is not kept: it follows from the size of the solution.
    norms = []
    for power in range(-4, 3):
        other = Ridge(alpha=10.0**power * x.shape[0] * x.shape[1]).fit(x.numpy(), y.numpy())
        norms.append(np.abs(other.coef_ - model.weights[:, 0].numpy()).max())
    assert min(norms) < 1e-5


def test_logistic_beats_the_majority_on_what_activity_tells(session, splits, logistic):
    train, _, test = splits
    majority = fit_majority(train, session.info)
    for name, margin in (("choice", 0.2), ("state", 0.05)):
        seen = test.observed[name]
        true = test.behaviours[name][seen]
        found, null = (
            x.read_outs[name].values(test)[seen].argmax(dim=-1) for x in (logistic, majority)
        )
        gained = balanced_accuracy_score(true, found) - balanced_accuracy_score(true, null)
        assert gained > margin


def test_logistic_separates_separable_classes():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(90) % 3
    features = torch.randn(90, 4, generator=generator) + 6 * torch.eye(3, 4)[labels]
    fit = fit_classes(features, labels, 3, 1.0)
    assert (fit.logits(features).argmax(dim=1) == labels).float().mean() > 0.98


def test_two_classes_give_the_probabilities_of_scikit_learn():
    generator = torch.Generator().manual_seed(0)
    features, labels = torch.randn(60, 3, generator=generator), torch.arange(60) % 2
    found = fit_classes(features, labels, 2, 0.1).logits(features).softmax(dim=1)
    model = LogisticRegression(C=0.1, class_weight="balanced", tol=1e-3)
    model.fit(features.double().numpy(), labels.numpy())
    np.testing.assert_allclose(found, model.predict_proba(features.double().numpy()), atol=1e-5)


def test_a_class_without_a_training_label_is_never_predicted():
    features = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(40) % 2 * 2
    logits = fit_classes(features, labels, 4, 1.0).logits(features)
    assert set(logits.argmax(dim=1).tolist()) == {0, 2}
    only = fit_classes(features, torch.ones(40, dtype=torch.long), 3, 1.0).logits(features)
    assert (only.argmax(dim=1) == 1).all()


def test_a_penalised_fit_in_the_span_of_trials_equals_the_whole_fit():
    generator = torch.Generator().manual_seed(0)
    features, labels = torch.randn(20, 50, generator=generator), torch.arange(20) % 2
    axes = span(features)
    assert axes.shape == (50, 20)
    small = fit_classes(features @ axes, labels, 2, 0.5)
    whole = fit_classes(features, labels, 2, 0.5)
    torch.testing.assert_close(axes @ small.weights, whole.weights, atol=2e-3, rtol=0)


def test_folds_hold_every_class_in_proportion():
    labels = torch.tensor([0] * 25 + [1] * 10)
    folds = folds_of(labels)
    assert (torch.bincount(folds[labels == 0]) == 5).all()
    assert (torch.bincount(folds[labels == 1]) == 2).all()


def test_the_signal_is_centred_on_training_bins_and_zero_in_padding(splits):
    train = splits[0]
    for transform in ("none", "sqrt", "unit", "sqrt_unit"):
        values = fit_signal(train, transform, 1.0).of(train)
        assert (values[~train.valid] == 0).all()
        assert values[train.valid].mean(dim=0).abs().max() < 1e-5
    assert values[train.valid].std(dim=0, correction=0)[:-1].numpy() == pytest.approx(1, abs=1e-4)


def test_decoders_do_not_depend_on_padding(splits, ridge, logistic):
    test = splits[2]
    odd = torch.where(test.valid[..., None], test.activity, 50.0)
    padded = replace(test, activity=odd)
    for name, model in {**ridge.read_outs, **logistic.read_outs}.items():
        seen = test.observed[name]
        torch.testing.assert_close(model.values(test)[seen], model.values(padded)[seen])


def test_trial_features_are_standardised_on_training_windows(splits):
    features = fit_trial_features(splits[0], 2).of(splits[0])
    assert features.mean(dim=0).abs().max() < 1e-5
    kept = features[:, torch.arange(18) % 9 != 8]  # the last unit is silent
    assert kept.std(dim=0, correction=0).numpy() == pytest.approx(1.0, abs=1e-4)
