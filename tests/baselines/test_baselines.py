from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from neuroduet import baselines
from neuroduet.baselines import fit_baselines
from neuroduet.errors import UserError
from neuroduet.types import NEURAL, Batch, Masks, Prediction

ENCODERS = {"mean_rate", "psth", "reduced_rank", "poisson_glm"}
ACTIVITY = {"smoothed", "reduced_rank_units", "reduced_rank_past"}
DECODERS = {"mean", "ridge", "majority", "logistic"}


@pytest.fixture(scope="module")
def predictors(session):
    return fit_baselines(session)


@pytest.fixture(scope="module")
def held_out(session) -> Batch:
    return session.batch(session.indices("test"))


def ask(predictors, batch: Batch, masks: Masks, task: str) -> dict[str, torch.Tensor]:
    """Every answer of every predictor, by ``predictor target``."""
    found = {}
    for predictor in predictors:
        answer: Prediction = predictor.predict(batch, masks, task)
        targets = dict(answer.behaviours)
        if answer.activity is not None:
            targets[NEURAL] = answer.activity
        found |= {f"{predictor.name} {name}": values for name, values in targets.items()}
    return found


def scrambled(batch: Batch, names: set[str]) -> Batch:
    """The batch with other values in some modalities."""
    generator = torch.Generator().manual_seed(7)
    behaviours = dict(batch.behaviours)
    for name in names - {NEURAL}:
        order = torch.randperm(len(batch.valid), generator=generator)
        behaviours[name] = behaviours[name][order]
    activity = batch.activity.flip(0) + 1 if NEURAL in names else batch.activity
    return replace(batch, behaviours=behaviours, activity=activity)


def test_each_baseline_is_named_and_answers_its_targets(
    predictors, held_out, hiding, all_behaviours
):
    assert {p.name for p in predictors} == ENCODERS | ACTIVITY | DECODERS
    assert isinstance(predictors[0], baselines.Predictor)
    encoded = ask(predictors, held_out, hiding(held_out, {NEURAL}), "encoding")
    assert set(encoded) == {f"{name} {NEURAL}" for name in ENCODERS}
    for values in encoded.values():
        assert values.shape == held_out.activity.shape
        assert torch.isfinite(values).all()
    decoded = ask(predictors, held_out, hiding(held_out, all_behaviours), "decoding")
    continuous, categorical = {"wheel", "paws", "delay"}, {"choice", "block", "state"}
    assert set(decoded) == {
        *(f"{model} {name}" for model in ("mean", "ridge") for name in continuous),
        *(f"{model} {name}" for model in ("majority", "logistic") for name in categorical),
    }
    sizes = {"wheel": 1, "paws": 2, "choice": 2, "block": 3, "state": 2, "delay": 1}
    for key, values in decoded.items():
        name = key.split()[1]
        assert values.shape == (*held_out.observed[name].shape, sizes[name])
        assert torch.isfinite(values).all()


def test_other_tasks_and_sessions_get_no_answer(predictors, held_out, hiding, all_behaviours):
    everything = hiding(held_out, {NEURAL, *all_behaviours})
    assert ask(predictors, held_out, everything, "regions") == {}
    elsewhere = replace(held_out, session="s1")
    assert ask(predictors, elsewhere, everything, "encoding") == {}
    assert ask(predictors, elsewhere, everything, "decoding") == {}
    one = ask(predictors, held_out, hiding(held_out, {"wheel"}), "decoding")
    assert set(one) == {"mean wheel", "ridge wheel"}


def test_hidden_values_do_not_influence_a_prediction(predictors, held_out, hiding, all_behaviours):
    for hidden, task in (
        ({NEURAL}, "encoding"),
        ({NEURAL, "block", "paws"}, "encoding"),
        ({NEURAL, *all_behaviours} - {"wheel"}, "encoding_from"),
        ({NEURAL, *all_behaviours}, "decoding"),
        (all_behaviours, "decoding"),
    ):
        masks = hiding(held_out, hidden)
        before = ask(predictors, held_out, masks, task)
        after = ask(predictors, scrambled(held_out, hidden), masks, task)
        assert before.keys() == after.keys()
        assert len(before) > 0
        assert all(torch.equal(before[key], after[key]) for key in before)


def test_visible_values_do_influence_a_prediction(predictors, held_out, hiding, all_behaviours):
    masks = hiding(held_out, {NEURAL, *all_behaviours} - {"wheel"})
    before = ask(predictors, held_out, masks, "encoding_from")
    after = ask(predictors, scrambled(held_out, {"wheel"}), masks, "encoding_from")
    assert not torch.equal(before[f"poisson_glm {NEURAL}"], after[f"poisson_glm {NEURAL}"])
    masks = hiding(held_out, all_behaviours)
    before = ask(predictors, held_out, masks, "decoding")
    after = ask(predictors, scrambled(held_out, {NEURAL}), masks, "decoding")
    for key in ("ridge wheel", "logistic choice", "logistic state"):
        assert not torch.equal(before[key], after[key])


def test_a_single_visible_behaviour_uses_weights_of_its_own(predictors, held_out, hiding):
    (glm,) = (p for p in predictors if p.name == "poisson_glm")
    masks = hiding(held_out, {NEURAL, *held_out.behaviours} - {"wheel"})
    expected = glm.encoders[frozenset({"wheel"})].activity(held_out)
    found = glm.predict(held_out, masks, "encoding_from").activity
    assert torch.equal(found, expected)


def test_test_windows_do_not_influence_a_fit(session, predictors, held_out, hiding):
    whole = session.whole
    rows = torch.as_tensor(session.indices("test"))
    activity = whole.activity.clone()
    activity[rows] = 9.0
    behaviours = {name: values.clone() for name, values in whole.behaviours.items()}
    for values in behaviours.values():
        values[rows] = values[rows].flip(0)
    changed = replace(session, whole=replace(whole, activity=activity, behaviours=behaviours))
    others = fit_baselines(changed)
    for hidden, task in (({NEURAL}, "encoding"), (set(whole.behaviours), "decoding")):
        masks = hiding(held_out, hidden)
        before, after = (ask(p, held_out, masks, task) for p in (predictors, others))
        assert all(torch.equal(before[key], after[key]) for key in before)


def test_a_prediction_does_not_depend_on_the_other_windows_of_a_batch(
    session, predictors, held_out, hiding, all_behaviours
):
    one = session.batch(session.indices("test")[3:4])
    for hidden, task in (({NEURAL}, "encoding"), (all_behaviours, "decoding")):
        whole = ask(predictors, held_out, hiding(held_out, hidden), task)
        alone = ask(predictors, one, hiding(one, hidden), task)
        for key, values in alone.items():
            torch.testing.assert_close(values, whole[key][3:4], atol=1e-5, rtol=1e-5)


def test_traces_get_ridge_encoding_instead_of_a_poisson_model(make_session):
    session = make_session("traces")
    names = {predictor.name for predictor in fit_baselines(session)}
    assert names == ENCODERS - {"poisson_glm"} | {"ridge_encoding"} | ACTIVITY | DECODERS


def test_without_validation_windows_some_training_windows_are_kept_apart(session):
    train, valid = baselines._windows_to_fit(
        replace(session, splits={**session.splits, "valid": np.arange(0)})
    )
    both = torch.cat([train.windows, valid.windows])
    assert sorted(both.tolist()) == list(range(44))
    assert len(valid.windows) == 8


def test_too_few_windows_are_one_clear_sentence(session):
    short = replace(session, splits={"train": np.arange(1), "valid": np.arange(0)})
    with pytest.raises(UserError, match="need at least 2 windows"):
        fit_baselines(short)


def test_a_session_without_behaviour_still_has_rates(session):
    bare = replace(
        session,
        info=replace(session.info, behaviours=()),
        whole=replace(session.whole, behaviours={}, observed={}),
    )
    found = fit_baselines(bare)
    assert {predictor.name for predictor in found} == ENCODERS | ACTIVITY
