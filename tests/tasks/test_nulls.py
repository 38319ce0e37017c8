"""Nulls: chance is called chance, a signal is found, and slow variables do not fool them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from planted import ALL, CHOICE, PAW, STATE, WHEEL, Copier, Guesser, PlantedSession, plant

from neuroduet.config import from_mapping
from neuroduet.data.arrays import from_arrays
from neuroduet.data.recording import save
from neuroduet.data.session import open_sessions
from neuroduet.metrics import r2
from neuroduet.models import build
from neuroduet.tasks import TASKS
from neuroduet.tasks.chance import pairing_draws
from neuroduet.tasks.collect import Collected, blinded
from neuroduet.tasks.evaluate import Evaluation, score_predictors
from neuroduet.tasks.imposters import deeds_of, imposters
from neuroduet.tasks.measure import ScoredWindows
from neuroduet.tasks.nulls import (
    NULLS,
    Null,
    Pairing,
    compare,
    null_generator,
    reordered,
    rolled,
    shifted,
    shuffled,
)
from neuroduet.tasks.run import NULL_COLUMNS, evaluate
from neuroduet.tasks.task import USUAL
from neuroduet.training.runs import save_model
from neuroduet.training.state import MEAN
from neuroduet.types import NEURAL, Batch, Masks, Prediction

WINDOWS, BINS, DRAWS = 12, 10, 39


def pairing(
    true: np.ndarray,
    predicted: np.ndarray,
    trials: bool = False,
    scored: np.ndarray | None = None,
) -> Pairing:
    """One continuous behaviour of one channel in windows of ten bins."""
    shape = (-1, BINS, 1)
    seen = np.ones(true.reshape(shape).shape[:2], bool) if scored is None else scored
    found = Collected(
        true=true.reshape(shape).astype(np.float32),
        predicted=predicted.reshape(shape).astype(np.float32),
        scored=seen,
    )
    start_s = np.arange(len(seen), dtype=float)
    return Pairing(found=found, available=np.ones_like(seen), start_s=start_s, trials=trials)


def score(found: Collected) -> float:
    return float(r2(found.true[found.scored], found.predicted[found.scored]))


def p_values(kind: str, make, repeats: int = 120, draws: int = DRAWS) -> np.ndarray:
    """P-values of many experiments; ``make`` gives the true and the predicted series of one."""
    found = []
    for seed in range(repeats):
        generator = np.random.default_rng([seed, 77])
        one = pairing(*make(generator))
        drawn = [score(x) for x in NULLS[kind](one, draws, generator)]
        found.append(compare(score(one.found), drawn)[3])
    return np.array(found)


def white(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    true, predicted = generator.normal(size=(2, WINDOWS * BINS))
    return true, predicted


def slow(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two independent series that drift over several windows, without an end (circular)."""
    n = WINDOWS * BINS
    spectrum = 1 / (1 + np.arange(n // 2 + 1) ** 2)
    noise = generator.normal(size=(2, n))
    true, predicted = np.fft.irfft(np.fft.rfft(noise) * spectrum, n=n)
    return true / true.std(), predicted / predicted.std()


def drifting(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The same with ends: autoregressive, with a memory of four windows."""
    n = 3 * WINDOWS * BINS
    values = generator.normal(size=(2, n))
    for t in range(1, n):
        values[:, t] += 0.975 * values[:, t - 1]
    return values[0], values[1]


def assert_uniform(found: np.ndarray) -> None:
    """Sorted p-values lie along the diagonal (Kolmogorov-Smirnov at 0.1 %)."""
    expected = (np.arange(len(found)) + 1) / len(found)
    assert np.abs(np.sort(found) - expected).max() < 1.95 / np.sqrt(len(found)) + 1 / (1 + DRAWS)


@pytest.mark.parametrize("kind", NULLS)
def test_p_values_of_predictions_that_know_nothing_are_uniform(kind: str) -> None:
    assert_uniform(p_values(kind, white))


def test_shifts_keep_p_values_uniform_where_variables_are_slow() -> None:
    assert_uniform(p_values("shifted", slow))


def test_shuffles_call_slow_chance_significant_and_shifts_do_not() -> None:
    shuffles, shifts = (p_values(kind, drifting, 100) for kind in ("shuffled", "shifted"))
    assert (shuffles <= 0.05).mean() > 0.15
    assert (shifts <= 0.05).mean() < 0.11


@pytest.mark.parametrize("kind", NULLS)
def test_p_values_are_small_where_there_is_a_signal(kind: str) -> None:
    def signal(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        true, noise = white(generator)
        return true, true + noise

    assert (p_values(kind, signal, 40) == 1 / (1 + DRAWS)).mean() > 0.9


def test_shifts_keep_the_autocorrelation_of_predictions_and_shuffles_do_not() -> None:
    true, predicted = slow(np.random.default_rng(0))
    one = pairing(true, predicted)

    def roughness(found: Collected) -> float:
        return float(np.abs(np.diff(found.predicted.ravel())).max())

    smooth = np.abs(np.diff(np.r_[predicted, predicted[0]])).max()
    generator = np.random.default_rng(1)
    assert max(map(roughness, shifted(one, 30, generator))) <= smooth + 1e-6
    assert min(map(roughness, shuffled(one, 30, generator))) > 2 * smooth


def test_each_shift_comes_once_and_none_leaves_things_as_they_are() -> None:
    values = np.arange(WINDOWS * BINS, dtype=float)
    for trials, number in ((False, WINDOWS * BINS), (True, WINDOWS)):
        one = pairing(values, values, trials=trials)
        drawn = list(shifted(one, 1000, np.random.default_rng(0)))
        first = sorted(float(x.predicted[0, 0, 0]) for x in drawn)
        step = BINS if trials else 1
        assert first == [step * k for k in range(1, number)]


def test_trials_are_shifted_whole_in_the_order_of_time() -> None:
    values = np.repeat(np.arange(4.0), BINS)
    one = pairing(values, values, trials=True)
    start_s = np.array([3.0, 1.0, 0.0, 2.0])
    late = Pairing(found=one.found, available=one.available, start_s=start_s, trials=True)
    found = {tuple(x.predicted[:, 0, 0]) for x in shifted(late, 9, np.random.default_rng(0))}
    # In the order of time the windows are 2, 1, 3, 0; each gets the one before it, and so on.
    assert found == {(3, 2, 0, 1), (1, 0, 3, 2), (2, 3, 1, 0)}


def test_predictions_are_there_also_of_what_was_not_observed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Pairing] = []

    def spy(pairing: Pairing, draws: int, generator: np.random.Generator) -> list[Collected]:
        asked.append(pairing)
        return []

    monkeypatch.setattr("neuroduet.tasks.chance.NULLS", {"spy": spy})
    session = plant(missing=0.5, ragged=True)
    test = session.indices("test")
    bins = int(session.lengths[test].max())
    valid = session.valid[test, :bins]
    windows = ScoredWindows(
        session=session,
        batches=[session.batch(test)],
        condition=None,
        split="test",
        blind=True,
        options=USUAL,
    )
    trials = replace(windows, condition=np.zeros(len(test), dtype=np.int64))
    values, observed = session.behaviours, session.observed
    answers = {
        "wheel": (values["wheel"][test, :bins], observed["wheel"][test, :bins]),
        "choice": (values["choice"][test], observed["choice"][test]),
        NEURAL: (session.activity[test, :bins], valid[:, :, None] & (np.arange(4) > 0)),
    }
    for name, (true, scored) in answers.items():
        of = windows if name == "wheel" else trials
        found = Collected(true=true, predicted=true, scored=scored)
        assert pairing_draws(found, name, name, "decoding", of) == {"spy": []}
    wheel, choice, activity = asked
    np.testing.assert_array_equal(wheel.available, valid)
    np.testing.assert_array_equal(choice.available, np.ones(len(test), dtype=bool))
    assert activity.available is activity.found.scored
    assert [pairing.trials for pairing in asked] == [False, True, True]
    np.testing.assert_array_equal(wheel.start_s, test * 1.0)


@given(st.integers(1, 200), st.integers(0, 50))
def test_a_shift_moves_scored_bins_only_and_loses_none(shift: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    true, predicted = white(generator)
    one = pairing(true, predicted, scored=generator.random((WINDOWS, BINS)) < 0.4)
    moved = rolled(one.found, np.arange(WINDOWS), shift)
    seen = one.found.scored
    np.testing.assert_array_equal(moved.scored, seen)
    np.testing.assert_array_equal(moved.predicted[~seen], one.found.predicted[~seen])
    expected = np.roll(one.found.predicted[seen], shift, axis=0)
    np.testing.assert_array_equal(moved.predicted[seen], expected)
    assert moved.true is one.found.true


def test_activity_is_shifted_along_the_bins_in_which_any_unit_is_scored() -> None:
    seen = np.array([[True, True, False], [True, False, False]])
    found = Collected(
        true=np.zeros((2, 3, 2), np.float32),
        predicted=np.arange(12, dtype=np.float32).reshape(2, 3, 2),
        scored=seen[:, :, None] & np.array([True, False]),
    )
    # The second window comes first in time, and its one scored bin gets what the last one had.
    shifted_by_one = rolled(found, np.array([1, 0]), 1).predicted
    np.testing.assert_array_equal(shifted_by_one[1], [[2, 3], [8, 9], [10, 11]])
    np.testing.assert_array_equal(shifted_by_one[0], [[6, 7], [0, 1], [4, 5]])


def test_a_reordered_window_is_scored_where_the_other_has_a_prediction() -> None:
    true, predicted = white(np.random.default_rng(0))
    one = pairing(true, predicted)
    available = one.available.copy()
    available[3, 6:] = False
    order = np.roll(np.arange(WINDOWS), 1)
    short = Pairing(found=one.found, available=available, start_s=one.start_s, trials=True)
    found = reordered(short, order)
    assert not found.scored[4, 6:].any()
    assert found.scored.sum() == one.found.scored.sum() - 4


def test_a_p_value_counts_the_score_itself_and_ties() -> None:
    assert compare(1.0, [0.0] * 9)[3] == 0.1
    assert compare(1.0, [1.0 + 1e-12, 0.0, 0.0])[3] == 0.5
    assert compare(1e6, [1e6 - 1e-5, 0.0, 0.0])[3] == 0.5
    assert compare(-1.0, [0.0] * 9)[3] == 1.0
    assert compare(0.5, [np.nan, 0.0])[:2] == (1, 0.0)
    assert np.isnan(compare(np.nan, [0.0])[3])
    # The two numbers differ by 0.2: their standard deviation is half of that times root 2.
    assert compare(0.9, [0.1, 0.3])[:3] == (2, 0.2, pytest.approx(0.2**0.5 * 0.1**0.5))
    assert np.isnan(compare(0.9, [0.1])[2])
    assert compare(0.5, [])[0] == 0
    assert np.isnan(compare(0.5, [])[3])


def test_a_diverged_model_is_as_bad_as_any_null() -> None:
    draws, mean, sd, p_value = compare(-np.inf, [-np.inf, 0.1])
    assert (draws, p_value) == (2, 1.0)
    assert mean == -np.inf
    assert np.isnan(sd)


def test_draws_depend_on_the_place_and_on_nothing_else() -> None:
    one, again = null_generator("s", "decoding", "x"), null_generator("s", "decoding", "x")
    assert one.random() == again.random()
    assert one.random() != null_generator("s", "decoding", "y").random()


def rows(found: Evaluation, **wanted: str) -> list[Null]:
    return [n for n in found.nulls if all(getattr(n, k) == v for k, v in wanted.items())]


def test_every_score_stands_beside_its_nulls() -> None:
    sessions = [plant("a", seed=1, windows=60), plant("b", seed=2, windows=50)]
    found = score_predictors([Guesser(sessions)], sessions, nulls=19)
    plain = score_predictors([Guesser(sessions)], sessions)
    assert repr(found.scores) == repr(plain.scores)
    assert plain.nulls == []
    keys = {(s.session, s.task, s.target, s.metric, s.value) for s in found.scores}
    for kind in NULLS:
        beside = rows(found, null=kind)
        assert {(n.session, n.task, n.target, n.metric, n.value) for n in beside} == keys
        assert {n.draws for n in beside} <= {19}
    strange = rows(found, null="imposter")
    assert {n.draws for n in strange} == {1}
    assert {n.task for n in strange} == {"encoding", "encoding_from", "decoding"}


def test_a_cheat_is_significant_and_a_guess_is_not() -> None:
    session = plant(windows=60)
    found = score_predictors(
        [Copier(), Guesser([session])], [session], ["decoding"], blind=False, nulls=99
    )
    for null in found.nulls:
        small = null.p_value <= 1 / (1 + null.draws) + 1e-9
        assert small if null.model == "copier" else null.p_value > 0.01, null


def test_nulls_of_ragged_windows_and_missing_values_can_be_scored() -> None:
    session = plant(windows=60, ragged=True, missing=0.3)
    found = score_predictors([Guesser([session])], [session], nulls=5)
    assert all(np.isfinite(n.p_value) for n in found.nulls)


def test_nulls_do_not_depend_on_batches_or_on_who_else_is_scored() -> None:
    session = plant(windows=30, ragged=True)
    one = score_predictors([Guesser([session])], [session], nulls=5, batch_size=4)
    two = score_predictors([Copier(), Guesser([session])], [session], nulls=5)
    assert [summary(n) for n in rows(two, model="guesser")] == [summary(n) for n in one.nulls]


def summary(null: Null) -> tuple[object, ...]:
    return null.task, null.target, null.metric, null.null, null.draws, null.p_value


class Echo:
    """Predicts activity as the first channel of the wheel: it believes what it is shown."""

    name = "echo"

    def predict(self, batch: Batch, masks: Masks, task: str) -> Prediction:
        return Prediction(activity=batch.behaviours["wheel"].expand(batch.activity.shape).clone())


def test_an_imposter_shows_the_behaviour_of_another_session() -> None:
    own, other = plant("a", seed=1, windows=20), plant("b", seed=2, windows=12, bins=7)
    indices = own.indices("test")
    batches = [own.batch(indices[:5]), own.batch(indices[5:9]), own.batch(indices[9:])]
    batches[0].valid[:, 5:] = False
    test = other.indices("test")
    deeds = deeds_of(other.info.behaviours, [other.batch(test)])
    made = imposters(batches, own.info.behaviours, deeds)
    assert [len(batch.windows) for batch in made] == [5, 1]
    wheel = torch.cat([batch.behaviours["wheel"] for batch in made])
    np.testing.assert_array_equal(wheel[:, :7], other.behaviours["wheel"][test][:6])
    assert not torch.cat([batch.observed["wheel"] for batch in made])[:, 7:].any()
    assert not made[0].observed["wheel"][:, 5:].any()
    assert made[1].observed["wheel"][:, 5:7].any()
    np.testing.assert_array_equal(made[0].activity, batches[0].activity)
    choice = torch.cat([batch.behaviours["choice"] for batch in made])
    np.testing.assert_array_equal(choice, other.behaviours["choice"][test][:6])


def test_imposters_need_a_behaviour_of_the_same_nature() -> None:
    own, other = plant("a", behaviours=(WHEEL, CHOICE)), plant("b", behaviours=(PAW, CHOICE))
    batch = own.batch(own.indices("test"))
    deeds = deeds_of(other.info.behaviours, [other.batch(other.indices("test"))])
    (made,) = imposters([batch], own.info.behaviours, deeds)
    assert not made.observed["wheel"].any()
    assert not made.behaviours["wheel"].any()
    assert made.observed["choice"].any()
    strangers = deeds_of((STATE,), [plant("c").batch(np.arange(5))])
    assert imposters([batch], (WHEEL,), strangers) == []


def test_encoding_by_an_imposter_is_predicted_from_the_behaviour_it_is_shown() -> None:
    sessions = [plant(name, seed=seed, windows=40) for seed, name in enumerate("abc")]
    for session in sessions:
        follow(session)
    found = score_predictors([Echo()], sessions, ["encoding"], nulls=9)
    null = rows(found, session="a", metric="bits_per_spike_pooled", null="imposter")[0]
    assert null.draws == 2
    assert null.value > null.null_mean + 0.2
    assert null.p_value == pytest.approx(1 / 3)


def follow(session: PlantedSession) -> None:
    """Make the counts follow the wheel."""
    rates = np.exp(session.behaviours["wheel"])
    session.activity[:] = np.random.default_rng(5).poisson(np.repeat(rates, 4, axis=2))


def test_blinding_holds_for_imposters_too() -> None:
    sessions = [plant("a", seed=1), plant("b", seed=2)]
    spy = Copier()
    score_predictors([spy], sessions, ["decoding"], nulls=2)
    assert len(spy.seen) == 4
    assert not any(batch.behaviours[b.name].any() for batch in spy.seen for b in ALL)
    batch = sessions[0].batch(np.arange(3))
    task = TASKS["decoding"]
    masks = task.masks(batch, task.variants(sessions[0].info)[0])
    assert not blinded(batch, masks).observed["wheel"].any()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run that was never trained, on two recordings with trials."""
    for seed, name in enumerate(("m1", "m2")):
        generator = np.random.default_rng(seed)
        speed = generator.normal(size=(30, 6)).astype(np.float32)
        recording = from_arrays(
            session_id=name,
            counts=generator.poisson(np.exp(0.3 + speed[:, :, None] * generator.normal(size=12))),
            bin_size_s=0.05,
            behaviours={"speed": speed, "choice": generator.integers(0, 2, 30)},
            units={"region": ["CA1", "VISp"] * 6},
        )
        (tmp_path / "data").mkdir(exist_ok=True)
        save(recording, tmp_path / "data" / f"{name}.h5")
    config = from_mapping({"model": {"width": 16, "layers": 1, "heads": 2, "feed_forward": 16}})
    sessions = open_sessions(tmp_path / "data", config.data)
    torch.manual_seed(0)
    model = build(config.model, [session.info for session in sessions])
    weights = {name: p.detach().clone() for name, p in model.named_parameters()}
    save_model(tmp_path / "run", config, model, [(MEAN, weights)])
    return tmp_path / "run"


def test_a_score_table_with_nulls_keeps_its_rows_and_gains_columns(run: Path) -> None:
    data, tasks = run.parent / "data", ["encoding", "decoding", "co_smoothing", "regions"]
    plain = evaluate(run, data, tasks=tasks)
    assert not (run / "scores_nulls.csv").exists()
    table = evaluate(run, data, tasks=tasks, nulls=7)
    assert list(table.columns) == [*plain.columns, *NULL_COLUMNS]
    kept = [name for name in plain.columns if name != "null"]
    pd.testing.assert_frame_equal(table[kept], plain[kept])
    scored = table[table.model != "majority"]
    assert scored.p_value.between(1 / 8, 1).all()
    pd.testing.assert_frame_equal(pd.read_csv(run / "scores.csv"), table)
    nulls = pd.read_csv(run / "scores_nulls.csv", keep_default_na=False)
    assert set(nulls.null) == {"shuffled", "shifted", "imposter"}
    assert set(nulls[nulls.task == "regions"].null) == {"shuffled"}
    evaluate(run, data, tasks=tasks)
    assert not (run / "scores_nulls.csv").exists(), "they belong to other scores"


def test_the_activity_has_nulls_of_its_own() -> None:
    sessions = [plant("a", seed=1, windows=30), plant("b", seed=2, windows=30)]
    found = score_predictors([Guesser(sessions)], sessions, ["co_smoothing", "forward"], nulls=4)
    # No behaviour is shown, so that there is nothing an imposter could say.
    assert {n.null for n in found.nulls} == {"shuffled", "shifted"}
    assert {n.target for n in found.nulls} == {"spikes"}
    assert NEURAL not in {n.target for n in found.nulls}
