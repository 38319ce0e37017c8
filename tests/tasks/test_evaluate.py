from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import (
    ALL,
    CHOICE,
    WHEEL,
    Copier,
    Guesser,
    PlantedSession,
    Silent,
    TraceCopier,
    plant,
    value,
)

from neuroduet import metrics
from neuroduet.errors import UserError
from neuroduet.tasks import TASKS
from neuroduet.tasks.evaluate import score_predictors
from neuroduet.tasks.oracle import oracles
from neuroduet.tasks.scoring import averaged, conditions
from neuroduet.types import NEURAL, UNLABELLED, Batch, Masks, Prediction

MASKED = ["encoding", "encoding_from", "decoding"]


class Flat:
    """Predicts each unit's mean count, each behaviour's zero and always class 1."""

    name = "flat"

    def __init__(self, session: PlantedSession, split: str = "test") -> None:
        chosen = session.indices(split)
        valid = session.valid[chosen]
        self.rates = session.activity[chosen][valid].mean(axis=0, dtype=np.float64)

    def predict(self, batch: Batch, masks: Masks, task: str) -> Prediction:
        rates = torch.as_tensor(self.rates, dtype=torch.float32)
        behaviours = {}
        for b in ALL:
            if b.name in batch.behaviours:
                logits = torch.zeros((*batch.observed[b.name].shape, b.size))
                if b.kind == "categorical":
                    logits[..., 1] = 1.0
                behaviours[b.name] = logits
        return Prediction(activity=rates.log().expand(batch.activity.shape), behaviours=behaviours)


def test_predicting_every_value_reads_one() -> None:
    scores = score_predictors([Copier()], [plant()], ["decoding"], blind=False).scores
    assert {s.target for s in scores} == {b.name for b in ALL} | {"paw[0]", "paw[1]"}
    assert all(s.value == 1.0 for s in scores)


def test_a_predictor_that_copies_hidden_values_finds_zeros() -> None:
    session, cheat = plant(), Copier()
    scores = score_predictors([cheat], [session], MASKED).scores
    assert value(scores, task="encoding", metric="bits_per_spike") < -5
    assert value(scores, target="wheel", metric="r2", task="decoding") == pytest.approx(
        0, abs=0.05
    )
    labels = session.behaviours["choice"][session.indices("test")]
    assert value(scores, target="choice", metric="accuracy") == pytest.approx((labels == 0).mean())


def test_only_what_is_hidden_is_replaced_by_zeros() -> None:
    session, cheat = plant(windows=8), Copier()
    whole = session.batch(session.indices("test"))
    score_predictors([cheat], [session], ["encoding_from"])
    assert len(cheat.seen) == len(ALL)
    for kept, seen in zip(ALL, cheat.seen, strict=True):
        assert not seen.activity.any()
        for b in ALL:
            same = torch.equal(seen.behaviours[b.name], whole.behaviours[b.name])
            assert same is (b is kept)
            assert seen.observed[b.name].any().item() is (b is kept)


def test_a_predictor_that_is_not_blinded_is_given_the_batch_itself() -> None:
    session, copier = plant(windows=8), Copier()
    score_predictors([copier], [session], ["encoding"], blind=False)
    assert torch.equal(copier.seen[0].activity, session.batch(session.indices("test")).activity)


def test_the_mean_rate_reads_no_bits_per_spike() -> None:
    session = plant(ragged=True)
    scores = score_predictors([Flat(session)], [session], ["encoding"]).scores
    for metric in ("bits_per_spike", "bits_per_spike_pooled", "r2"):
        assert value(scores, metric=metric) == pytest.approx(0.0, abs=1e-5)
    assert all(s.null == 0.0 for s in scores)


@pytest.mark.parametrize("ragged", [False, True])
def test_activity_scores_are_those_of_the_whole_arrays(ragged: bool) -> None:
    session = plant(ragged=ragged, missing=0.2)
    guesser = Guesser([session])
    found = score_predictors([guesser], [session], ["encoding"], batch_size=7)
    test = session.indices("test")
    rates = guesser.tables["mouse/1"][NEURAL].exp().numpy()[test]
    counts, valid = session.activity[test], session.valid[test]
    seen = session.observed["choice"][test]
    condition = np.where(seen, session.behaviours["choice"][test], -1)
    want = {
        "bits_per_spike": metrics.bits_per_spike(rates, counts, valid),
        "bits_per_spike_pooled": metrics.bits_per_spike(rates, counts, valid, average="pooled"),
        "r2": metrics.r2(counts[valid], rates[valid]),
        "psth_r2": metrics.psth_r2(rates, counts, valid, condition),
    }
    assert {s.metric for s in found.scores} == set(want)
    for metric, expected in want.items():
        assert value(found.scores, metric=metric) == pytest.approx(expected, rel=1e-5)
    n = {s.metric: s.n for s in found.scores}
    assert n["bits_per_spike"] == counts.sum()
    assert n["r2"] == valid.sum()
    assert n["psth_r2"] == seen.sum()
    bits = [u["value"] for u in found.units if u["metric"] == "bits_per_spike"]
    each = metrics.bits_per_spike_by_unit(rates, counts, valid)
    np.testing.assert_allclose(bits, each, rtol=1e-5)


@pytest.mark.parametrize("ragged", [False, True])
def test_behaviour_scores_are_those_of_the_whole_arrays(ragged: bool) -> None:
    session = plant(ragged=ragged, missing=0.3)
    guesser = Guesser([session])
    scores = score_predictors([guesser], [session], ["decoding"], batch_size=7).scores
    test = session.indices("test")
    table = {n: x.numpy()[test] for n, x in guesser.tables["mouse/1"].items()}
    true = {n: x[test] for n, x in session.behaviours.items()}
    seen = {n: x[test] for n, x in session.observed.items()}
    paw, guess = true["paw"][seen["paw"]], table["paw"][seen["paw"]]
    each = [metrics.r2(paw[:, c], guess[:, c]) for c in (0, 1)]
    assert value(scores, target="paw", metric="r2") == pytest.approx(np.mean(each))
    assert value(scores, target="paw[1]", metric="r2") == pytest.approx(each[1])
    assert value(scores, target="paw", metric="r2_per_trial") == pytest.approx(
        metrics.r2_per_trial(true["paw"], table["paw"], seen["paw"])
    )
    n = {(s.target, s.metric): s.n for s in scores}
    assert n["paw", "r2"] == seen["paw"].sum()
    assert n["paw", "r2_per_trial"] == seen["paw"].any(axis=1).sum()
    latency = metrics.r2(true["latency"][seen["latency"]], table["latency"][seen["latency"]])
    assert value(scores, target="latency", metric="r2") == pytest.approx(latency)
    for name in ("state", "choice"):
        labels, chosen = true[name][seen[name]], table[name][seen[name]].argmax(-1)
        for metric in ("accuracy", "balanced_accuracy", "macro_f1"):
            expected = getattr(metrics, metric)(labels, chosen)
            assert value(scores, target=name, metric=metric) == pytest.approx(expected)


def test_behaviours_given_per_trial_have_no_score_within_the_trial() -> None:
    scores = score_predictors([Copier()], [plant()], ["decoding"]).scores
    assert {s.target for s in scores if s.metric == "r2_per_trial"} == {"wheel", "paw"}


def test_the_null_of_classes_is_the_majority_of_the_training_windows() -> None:
    session = plant(windows=8, behaviours=(CHOICE,))
    # Training windows are 0, 2, 4, 6 (majority class 1); test labels are 0, 0, 0, 1.
    choice = np.array([1, 0, 1, 0, 1, 0, 0, 1])
    session = replace(session, behaviours={"choice": choice})
    scores = score_predictors([Flat(session)], [session], ["decoding"]).scores
    null = {s.metric: s.null for s in scores}
    # Always class 1: a quarter is right; F1 is 0 for class 0 and 2 * .25 / 1.25 for class 1.
    assert null == pytest.approx({"accuracy": 0.25, "balanced_accuracy": 0.5, "macro_f1": 0.2})
    assert all(s.value == pytest.approx(s.null) for s in scores)
    assert all(s.n == 4 for s in scores)


def test_a_sessions_missing_behaviours_have_no_rows() -> None:
    with_all, with_one = plant("a"), plant("b", behaviours=(WHEEL,))
    guesser = Guesser([with_all, with_one])
    scores = score_predictors([guesser], [with_all, with_one], MASKED).scores
    decoded = {s.target for s in scores if s.session == "b" and s.task == "decoding"}
    alone = {s.target for s in scores if s.session == "b" and s.task == "encoding_from"}
    assert decoded == alone == {"wheel"}


def test_a_behaviour_that_was_never_observed_has_no_rows() -> None:
    session = plant(behaviours=(WHEEL, CHOICE))
    unseen = np.zeros_like(session.observed["choice"])
    session = replace(session, observed=session.observed | {"choice": unseen})
    scores = score_predictors([Copier()], [session], ["decoding"]).scores
    assert {s.target for s in scores} == {"wheel"}


def test_a_session_without_behaviour_has_nothing_to_score() -> None:
    assert score_predictors([Copier()], [plant(behaviours=())], MASKED).scores == []


def test_what_a_predictor_does_not_answer_has_no_rows() -> None:
    found = score_predictors([Silent()], [plant()], MASKED)
    assert found.scores == []
    assert found.units == []


def test_a_split_without_windows_is_not_scored(caplog: pytest.LogCaptureFixture) -> None:
    assert score_predictors([Copier()], [plant()], ["encoding"], split="valid").scores == []
    assert "no valid windows" in caplog.text


def test_another_split_is_scored_on_its_own_windows() -> None:
    session = plant()
    scores = score_predictors(
        [Copier()], [session], ["encoding"], split="train", blind=False
    ).scores
    assert {s.split for s in scores} == {"train"}
    spikes = session.activity[session.indices("train")].sum()
    assert {s.n for s in scores if s.metric == "bits_per_spike"} == {spikes}


@settings(max_examples=15)
@given(batch_size=st.integers(1, 30), ragged=st.booleans())
def test_the_size_of_the_batches_changes_nothing(batch_size: int, ragged: bool) -> None:
    session = plant(ragged=ragged, windows=20)
    guesser = Guesser([session])
    whole = score_predictors([guesser], [session], MASKED)
    parts = score_predictors([guesser], [session], MASKED, batch_size=batch_size)
    assert repr(whole.scores) == repr(parts.scores)
    assert repr(whole.units) == repr(parts.units)


def test_several_sessions_are_each_scored_as_if_alone() -> None:
    sessions = [plant("a", seed=1, units=3), plant("b", seed=2, units=5, windows=22, ragged=True)]
    guesser = Guesser(sessions)
    together = score_predictors([guesser], sessions, MASKED)
    alone = [score_predictors([guesser], [session], MASKED) for session in sessions]
    assert repr(together.scores) == repr(alone[0].scores + alone[1].scores)
    assert repr(together.units) == repr(alone[0].units + alone[1].units)


def test_traces_are_scored_by_r2_and_not_by_bits() -> None:
    session = plant(neural="traces")
    found = score_predictors([TraceCopier()], [session], ["encoding"], blind=False)
    assert {(s.target, s.metric, s.value) for s in found.scores} == {
        ("traces", "r2", 1.0),
        ("traces", "psth_r2", 1.0),
    }
    assert all(math.isnan(u["rate_hz"]) for u in found.units)


def test_r2_of_counts_leaves_slow_units_out() -> None:
    session = plant(units=3)
    activity = session.activity.copy()
    activity[:, :, 0] = 0
    activity[1, 0, 0] = 1
    activity[:, :, 2] = 0
    session = replace(session, activity=activity)
    units = score_predictors([Guesser([session])], [session], ["encoding"]).units
    # Unit 0 fires once in 20 test windows of 1 s: 0.05 Hz. Unit 2 is silent.
    assert {u["unit"] for u in units if u["metric"] == "r2"} == {"u1"}
    bits = {u["unit"]: u for u in units if u["metric"] == "bits_per_spike"}
    assert bits["u0"]["rate_hz"] == pytest.approx(0.05)
    assert bits["u0"]["region"] == "A"
    assert math.isnan(bits["u2"]["value"])


def test_activity_without_a_spike_has_no_rows() -> None:
    session = plant(behaviours=())
    silent = replace(session, activity=np.zeros_like(session.activity))
    found = score_predictors([Guesser([session])], [silent], ["encoding"])
    assert found.scores == []
    assert all(math.isnan(unit["value"]) and unit["rate_hz"] == 0 for unit in found.units)


@pytest.mark.parametrize("trial", [-1, 3])
def test_windows_that_are_not_trials_have_no_psth(trial: int) -> None:
    session = plant()
    session = replace(session, trial=np.full(len(session.activity), trial))
    scores = score_predictors([Guesser([session])], [session], ["encoding"]).scores
    assert {s.metric for s in scores} == {"bits_per_spike", "bits_per_spike_pooled", "r2"}


def test_conditions_are_combinations_of_the_labels_of_a_trial() -> None:
    session = plant(windows=10, behaviours=(CHOICE, WHEEL, replace(CHOICE, name="block")))
    choice = np.array([0, 0, 0, 0, 0, 1, 0, 1, 0, 1])
    block = np.array([0, 0, 0, 1, 0, 1, 0, 1, 0, 0])
    observed = session.observed | {"block": np.arange(10) != 9}
    behaviours = session.behaviours | {"choice": choice, "block": block}
    session = replace(session, behaviours=behaviours, observed=observed)
    batches = [session.batch(np.array([1, 3])), session.batch(np.array([5, 7, 9]))]
    found = conditions(batches, session.info.behaviours)
    assert found[2] == found[3]
    assert len({found[0], found[1], found[2]}) == 3
    assert found[4] == UNLABELLED


def test_the_oracle_column_is_the_score_of_the_oracle_itself() -> None:
    session = plant(simulated=True, ragged=True)
    found = score_predictors([Guesser([session]), *oracles([session])], [session], MASKED).scores
    encoding = [s for s in found if s.task == "encoding"]
    for s in encoding:
        best = value(encoding, model="oracle_behaviour", metric=s.metric)
        assert s.oracle == pytest.approx(best)
    bits = {s.model: s.value for s in encoding if s.metric == "bits_per_spike"}
    assert bits["oracle_rates"] > bits["oracle_behaviour"] > bits["guesser"]
    assert {s.model for s in found if s.task != "encoding"} == {"guesser"}
    assert all(math.isnan(s.oracle) for s in found if s.task != "encoding")


def test_recorded_sessions_have_no_oracle() -> None:
    session = plant()
    scores = score_predictors(
        [Guesser([session]), *oracles([session])], [session], ["encoding"]
    ).scores
    assert {s.model for s in scores} == {"guesser"}
    assert all(math.isnan(s.oracle) for s in scores)


class Broken(Flat):
    """Predicts what is not a number for one unit and one label."""

    def predict(self, batch: Batch, masks: Masks, task: str) -> Prediction:
        answer = super().predict(batch, masks, task)
        activity = answer.activity.clone()
        activity[0, 0, 0] = float("nan")
        choice = answer.behaviours["choice"].clone()
        choice[0, 0] = float("nan")
        return Prediction(activity=activity, behaviours={"choice": choice})


def test_a_prediction_that_is_not_a_number_is_not_hidden_by_the_others() -> None:
    session = plant()
    scores = score_predictors([Broken(session)], [session], ["encoding", "decoding"]).scores
    assert all(math.isnan(s.value) for s in scores)
    assert {s.target for s in scores} == {"spikes", "choice"}


class Misshapen(Flat):
    """Predicts a bin too few."""

    def predict(self, batch: Batch, masks: Masks, task: str) -> Prediction:
        return Prediction(activity=super().predict(batch, masks, task).activity[:, 1:])


def test_a_prediction_of_another_shape_is_refused() -> None:
    session = plant()
    with pytest.raises(ValueError, match="flat' predicted 'activity'"):
        score_predictors([Misshapen(session)], [session], ["encoding"])


def test_an_unknown_task_names_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'encoding'"):
        score_predictors([], [], ["encodign"])


def test_every_task_stands_under_its_own_name() -> None:
    assert {name: task.name for name, task in TASKS.items()} == {name: name for name in TASKS}


def test_conditions_of_few_trials_are_not_averaged() -> None:
    assert averaged(np.array([2, 2, 7, 2, 2, -1, 2])).tolist() == [2, 2, -1, 2, 2, -1, 2]
    session = plant(windows=60)
    rare = np.zeros(60, dtype=np.int64)
    rare[session.indices("test")[:4]] = 1
    session = replace(session, behaviours=session.behaviours | {"choice": rare})
    scores = score_predictors([Guesser([session])], [session], ["encoding"]).scores
    (found,) = [s for s in scores if s.metric == "psth_r2"]
    assert found.n == (session.observed["choice"] & (rare == 0))[session.indices("test")].sum()


def test_without_a_condition_of_enough_trials_there_is_no_psth() -> None:
    session = plant(windows=8)
    assert len(session.indices("test")) < 5
    scores = score_predictors([Guesser([session])], [session], ["encoding"]).scores
    assert {s.metric for s in scores} == {"bits_per_spike", "bits_per_spike_pooled", "r2"}
