"""Read-outs of frozen features: planted relations, scikit-learn's answers, what is never read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from planted import CHOICE, LATENCY, PAW, STATE, WHEEL, PlantedSession, plant
from sklearn.linear_model import LogisticRegression, Ridge

from neuroduet.errors import UserError
from neuroduet.metrics import r2
from neuroduet.tasks.axes import PENALTIES, principal_axes
from neuroduet.tasks.behaviour import Decoding
from neuroduet.tasks.by_region import unit_masks
from neuroduet.tasks.collect import blinded
from neuroduet.tasks.frozen import FrozenReadout
from neuroduet.tasks.readouts import LAGS, STRENGTHS, _out_of_fold
from neuroduet.types import NEURAL, Batch, Masks, Prediction, UnitQuestions

TASK = Decoding()


class Mixer:
    """A frozen model: features are fixed mixtures of the activity in the batch."""

    name = "mixer"

    def __init__(self, session: PlantedSession, width: int = 5, padding: float = 0.0) -> None:
        generator = torch.Generator().manual_seed(1)
        self.sessions, self.padding = [session.info], padding
        self.mix = torch.randn(len(session.info.units), width, generator=generator)
        self.seen: list[tuple[Batch, Masks]] = []

    def embeddings(self) -> dict[str, np.ndarray]:
        return {self.sessions[0].id: self.mix.numpy()}

    def predict(self, batch: Batch, masks: Masks, task: str) -> Prediction:
        return Prediction(activity=batch.activity + 1, behaviours={task: batch.activity})

    def predict_units(
        self, batch: Batch, masks: Masks, questions: UnitQuestions, task: str
    ) -> torch.Tensor | None:
        return batch.activity + 2 if task == "co_smoothing" else None

    @torch.inference_mode()
    def features(self, batch: Batch, masks: Masks) -> torch.Tensor:
        self.seen.append((batch, masks))
        mixed = batch.activity @ self.mix + 3.0
        return torch.where(batch.valid[:, :, None], mixed, self.padding)


class Guarded:
    """A session whose test windows must not be touched."""

    def __init__(self, session: PlantedSession) -> None:
        self.session, self.read = session, 0
        self.info, self.windows = session.info, session.windows
        self.statistics, self.truth = session.statistics, session.truth

    def indices(self, split: str) -> np.ndarray:
        assert split != "test"
        return self.session.indices(split)

    def batch(self, indices: np.ndarray) -> Batch:
        assert (self.session.split[indices] != "test").all()
        self.read += 1
        return self.session.batch(indices)


def world(*behaviours, valid: bool = True, **settings) -> PlantedSession:
    """Three fifths of the windows train, one fifth each is chosen by and tested on."""
    session = plant(behaviours=behaviours, **settings)
    parts = ["train", "train", "train", "valid" if valid else "train", "test"]
    return replace(session, split=np.resize(parts, len(session.activity)))


def mixed(session: PlantedSession, model: Mixer) -> np.ndarray:
    return session.activity @ model.mix.numpy()


def decode(readout: FrozenReadout, session: PlantedSession) -> dict[str, torch.Tensor]:
    """Predictions of the test windows, asked as the evaluation does."""
    batch = session.batch(session.indices("test"))
    masks = TASK.masks(batch, TASK.variants(session.info)[0])
    return readout.predict(blinded(batch, masks), masks, TASK.name).behaviours


def standard(session: PlantedSession, model: Mixer) -> dict[str, np.ndarray]:
    """Features of every split, by hand: mean 0 and variance 1 over training bins."""
    features = mixed(session, model).astype(np.float64)
    train = features[session.indices("train")].reshape(-1, features.shape[2])
    scaled = (features - train.mean(axis=0)) / train.std(axis=0)
    return {split: scaled[session.indices(split)] for split in ("train", "valid", "test")}


@pytest.mark.parametrize("shape", [(40, 6), (9, 30)])
def test_every_penalty_equals_its_own_solve(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(shape, generator=generator, dtype=torch.float64) + 2
    y = torch.randn(len(rows), 3, generator=generator, dtype=torch.float64)
    y = y - y.mean(dim=0)
    axes, centred = principal_axes(rows), rows - rows.mean(dim=0)
    path = axes.axes @ axes.ridge(rows, y)
    assert len(path) == len(PENALTIES)
    for penalty, weights in zip(PENALTIES, path, strict=True):
        ridge = penalty * (centred**2).sum() * torch.eye(shape[1], dtype=torch.float64)
        expected = torch.linalg.solve(centred.T @ centred + ridge, centred.T @ y)
        torch.testing.assert_close(weights, expected, rtol=1e-6, atol=1e-7)


def test_the_strongest_penalty_comes_first() -> None:
    assert list(PENALTIES) == sorted(PENALTIES, reverse=True)


def test_values_of_a_bin_are_found_at_another_lag_in_ragged_windows() -> None:
    session = world(WHEEL, PAW, windows=100, bins=14, ragged=True, missing=0.1)
    model = Mixer(session)
    features = mixed(session, model)
    late = np.minimum(np.arange(14) + 3, session.lengths[:, None] - 1)
    shifted = np.take_along_axis(features, late[..., None], axis=1)
    session.behaviours["wheel"] = shifted[..., :1] * 2.0 + 5.0
    session.behaviours["paw"] = features[..., [1, 2]] - shifted[..., [3, 4]]
    readout, test = FrozenReadout(model, [session]), session.indices("test")
    found = decode(readout, session)
    bins = found["wheel"].shape[1]
    for name in ("wheel", "paw"):
        seen = session.observed[name][test][:, :bins]
        true = session.behaviours[name][test][:, :bins]
        assert r2(true[seen].astype(np.float32), found[name].numpy()[seen]) > 0.999


def test_a_map_that_differs_from_bin_to_bin_is_found_from_whole_windows() -> None:
    session = world(WHEEL, windows=400, bins=6)
    model = Mixer(session, width=4)
    features = mixed(session, model)
    order = np.array([3, 0, 5, 2, 1, 4])
    signs = np.array([1.0, -1.0, 2.0, -2.0, 1.0, -1.0])
    session.behaviours["wheel"] = (features[:, order, :1] * signs[:, None]).astype(np.float32)
    found = decode(FrozenReadout(model, [session]), session)["wheel"]
    true = session.behaviours["wheel"][session.indices("test")]
    assert r2(true.reshape(-1, 1), found.numpy().reshape(-1, 1)) > 0.99


def test_trials_and_states_are_found() -> None:
    session = world(CHOICE, LATENCY, STATE, windows=200, bins=8)
    model = Mixer(session)
    features = mixed(session, model)
    drive = features[:, :, 0].mean(axis=1)
    session.behaviours["choice"] = (drive > np.median(drive)).astype(np.int64)
    session.behaviours["latency"] = features[:, :4, 1].sum(axis=1)[:, None].astype(np.float32)
    scores = features[..., :3] - features[..., :3].mean(axis=(0, 1))
    session.behaviours["state"] = scores.argmax(axis=2)
    found, test = decode(FrozenReadout(model, [session]), session), session.indices("test")
    right = found["choice"].argmax(dim=1).numpy() == session.behaviours["choice"][test]
    assert right.mean() > 0.9
    assert r2(session.behaviours["latency"][test], found["latency"].numpy()) > 0.95
    right = found["state"].argmax(dim=2).numpy() == session.behaviours["state"][test]
    assert right.mean() > 0.9


def lagged_columns(features: np.ndarray, lags: tuple[int, ...]) -> np.ndarray:
    """Every bin as a row: its features at each lag, edges repeated."""
    bins = np.arange(features.shape[1])
    parts = [features[:, np.clip(bins + lag, 0, bins[-1])] for lag in lags]
    return np.concatenate(parts, axis=2).reshape(-1, len(lags) * features.shape[2])


def test_values_per_bin_are_those_of_scikit_learn() -> None:
    """All candidates are fitted again by hand, and the best on validation windows is compared."""
    session = world(WHEEL, windows=60, bins=8, units=6)
    model = Mixer(session)
    noise = session.behaviours["wheel"]
    session.behaviours["wheel"] = (mixed(session, model)[..., :1] + 2 * noise).astype(np.float32)
    x = standard(session, model)
    y = {s: session.behaviours["wheel"][session.indices(s)][..., 0] for s in x}
    designs = [{s: lagged_columns(x[s], lags) for s in x} for lags in LAGS]
    answers = [{s: y[s].reshape(-1) for s in x} for _ in LAGS]
    designs.append({s: x[s].reshape(len(x[s]), -1) for s in x})
    answers.append(y)
    tried = []
    for rows, values in zip(designs, answers, strict=True):
        energy = ((rows["train"] - rows["train"].mean(axis=0)) ** 2).sum()
        for penalty in PENALTIES:
            ridge = Ridge(alpha=penalty * energy).fit(rows["train"], values["train"])
            guess = ridge.predict(rows["valid"]).reshape(-1, 1)
            score = r2(values["valid"].reshape(-1, 1), guess.astype(np.float32))
            tried.append((score, ridge.predict(rows["test"]).reshape(y["test"].shape)))
    found = decode(FrozenReadout(model, [session]), session)["wheel"][..., 0]
    np.testing.assert_allclose(found, max(tried, key=lambda entry: entry[0])[1], atol=1e-3)


def test_classes_per_trial_are_those_of_scikit_learn() -> None:
    session = world(CHOICE, windows=80, bins=1, units=6)
    model = Mixer(session)
    drive = mixed(session, model)[:, 0, 0] + np.random.default_rng(2).normal(size=80)
    session.behaviours["choice"] = (drive > np.median(drive)).astype(np.int64)
    x = {split: rows[:, 0] for split, rows in standard(session, model).items()}
    whole = np.concatenate([x["train"], x["valid"]])
    centred = whole - whole.mean(axis=0)
    size = np.sqrt((centred**2).sum() / len(whole))
    found = decode(FrozenReadout(model, [session]), session)["choice"].numpy()
    expected = []
    for strength in STRENGTHS:
        classifier = LogisticRegression(C=strength, class_weight="balanced", tol=1e-8)
        classifier.fit(x["train"] / size, session.behaviours["choice"][session.indices("train")])
        expected.append(classifier.decision_function(x["test"] / size))
    gaps = [np.abs(found[:, 1] - found[:, 0] - logits).max() for logits in expected]
    # The solver stops at a gradient of 1e-3; here logits reach from -7 to 3.
    assert min(gaps) < 0.15
    assert sorted(gaps)[1] > 1.0, "penalties can be told apart"


def test_many_columns_and_few_trials_are_no_trouble() -> None:
    """Four hundred columns and eighteen trials that say nothing about the behaviour."""
    session = world(LATENCY, windows=30, bins=10, units=20)
    model = Mixer(session, width=40)
    found = decode(FrozenReadout(model, [session]), session)["latency"]
    assert found.shape == (6, 1)
    assert found.isfinite().all()
    assert found.std() < 2 * session.behaviours["latency"].std(), "noise is not blown up"


@pytest.mark.parametrize("valid", [True, False])
def test_test_windows_are_never_read_and_read_outs_are_kept(valid: bool) -> None:
    session = world(WHEEL, CHOICE, valid=valid)
    guarded = Guarded(session)
    readout = FrozenReadout(Mixer(session), [guarded])
    first = decode(readout, session)
    assert guarded.read > 0
    read = guarded.read
    again = decode(readout, session)
    assert guarded.read == read
    fresh = decode(FrozenReadout(Mixer(session), [session]), session)
    for name in ("wheel", "choice"):
        assert torch.equal(first[name], again[name])
        assert torch.equal(first[name], fresh[name])


def test_what_test_windows_hold_changes_nothing() -> None:
    session = world(WHEEL, CHOICE)
    batch = session.batch(session.indices("test"))
    masks = TASK.masks(batch, TASK.variants(session.info)[0])
    before = FrozenReadout(Mixer(session), [session]).predict(batch, masks, TASK.name)
    test = session.indices("test")
    changed = replace(session, behaviours={n: v.copy() for n, v in session.behaviours.items()})
    changed.behaviours["wheel"][test] = 100.0
    changed.behaviours["choice"][test] = 1
    after = FrozenReadout(Mixer(session), [changed]).predict(batch, masks, TASK.name)
    for name in ("wheel", "choice"):
        assert torch.equal(before.behaviours[name], after.behaviours[name])


@pytest.mark.parametrize("prompt", [3, None])
def test_training_windows_are_shown_as_the_test_windows_are(prompt: int | None) -> None:
    session = world(WHEEL, CHOICE, units=6)
    batch = session.batch(session.indices("test"))
    units = torch.tensor([True, False, True, True, False, False])
    asked = None if prompt is None else torch.full((len(batch.windows),), prompt)
    masks = unit_masks(batch, units, ("wheel",), asked)
    model = Mixer(session)
    found = FrozenReadout(model, [session]).predict(batch, masks, "decoding_by_region")
    assert set(found.behaviours) == {"wheel"}
    assert len(model.seen) == 3
    for shown, asked in model.seen[:-1]:
        assert not shown.activity[:, :, ~units].any()
        assert shown.activity[:, :, units].any()
        assert not any(seen.any() for seen in shown.observed.values())
        assert torch.equal(asked.visible[NEURAL], units.expand_as(asked.visible[NEURAL]))
        assert not asked.visible["choice"].any()
        assert asked.prompt is None if prompt is None else (asked.prompt == prompt).all()


def test_every_set_of_visible_units_has_read_outs_of_its_own() -> None:
    session = world(WHEEL, windows=100, units=6)
    session.behaviours["wheel"] = session.activity[:, :, 4:5].copy()
    model = Mixer(session, width=6)
    model.mix = torch.eye(6)
    readout, batch = FrozenReadout(model, [session]), session.batch(session.indices("test"))
    scores = []
    for hidden in (0, 4, 0):
        units = torch.arange(6) != hidden
        masks = unit_masks(batch, units, ("wheel",), None)
        found = readout.predict(blinded(batch, masks), masks, "decoding_by_region")
        true = batch.behaviours["wheel"].numpy().reshape(-1, 1)
        scores.append(r2(true, found.behaviours["wheel"].numpy().reshape(-1, 1)))
    assert scores[0] > 0.99
    assert abs(scores[1]) < 0.1
    assert scores[2] == scores[0]


def test_features_of_padding_do_not_matter() -> None:
    session = world(WHEEL, CHOICE, LATENCY, STATE, windows=60, bins=9, ragged=True)
    clean, dirty = (
        decode(FrozenReadout(Mixer(session, padding=padding), [session]), session)
        for padding in (0.0, 1e4)
    )
    for name, values in clean.items():
        assert torch.equal(values, dirty[name]), name


def test_other_tasks_are_answered_by_the_model_itself() -> None:
    session = world(WHEEL)
    model = Mixer(session)
    readout, batch = FrozenReadout(model, [Guarded(session)]), session.batch(np.arange(3))
    masks = unit_masks(batch, torch.tensor([True]), (), None)
    found = readout.predict(batch, masks, "forward")
    assert torch.equal(found.activity, batch.activity + 1)
    assert set(found.behaviours) == {"forward"}
    none = torch.zeros(1, 4, dtype=torch.bool)
    questions = UnitQuestions(hidden=none, scored=none)
    units = readout.predict_units(batch, masks, questions, "co_smoothing")
    assert torch.equal(units, batch.activity + 2)
    assert readout.predict_units(batch, masks, questions, "encoding") is None
    assert (readout.name, readout.sessions) == ("mixer", [session.info])
    np.testing.assert_array_equal(readout.embeddings()[session.info.id], model.mix)


def test_what_was_hardly_observed_is_left_out() -> None:
    session = world(WHEEL, CHOICE, LATENCY)
    train = session.indices("train")
    session.observed["choice"][train[1:]] = False
    session.observed["wheel"][train] = False
    assert set(decode(FrozenReadout(Mixer(session), [session]), session)) == {"latency"}


def test_features_that_never_vary_give_the_mean() -> None:
    session = world(WHEEL, CHOICE, LATENCY, STATE)
    model = Mixer(session)
    model.mix = torch.zeros_like(model.mix)
    found, train = decode(FrozenReadout(model, [session]), session), session.indices("train")
    mean = session.behaviours["latency"][train].mean()
    np.testing.assert_allclose(found["latency"], np.full((8, 1), mean), atol=1e-5)
    assert all(values.isfinite().all() for values in found.values())


def test_errors_say_what_is_wrong() -> None:
    session = world(WHEEL)
    with pytest.raises(UserError, match="unknown session 'mouse/1'"):
        decode(FrozenReadout(Mixer(session), []), session)
    model = Mixer(session)
    model.mix = model.mix * float("nan")
    with pytest.raises(UserError, match="not finite"):
        decode(FrozenReadout(model, [session]), session)
    few = replace(session, split=np.resize(["test"], len(session.activity)).astype("<U5"))
    few.split[:2] = ["train", "valid"]
    with pytest.raises(UserError, match="1 training windows"):
        decode(FrozenReadout(Mixer(session), [few]), few)


def test_cross_validation_fits_to_four_fifths_and_predicts_every_trial_once() -> None:
    fitted_to = []

    def fit(rows: torch.Tensor, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        fitted_to.append(len(rows))
        return torch.ones(1, 1, 1), torch.full((1, 1), 100.0)

    trials = torch.arange(20.0)[:, None]
    truth, predicted = _out_of_fold(trials, trials, fit)
    assert fitted_to == [16] * 5
    assert sorted(truth[:, 0].tolist()) == trials[:, 0].tolist()
    assert torch.equal(predicted[0], truth + 100)
