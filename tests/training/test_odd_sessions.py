"""Sessions as they come train and are scored, or are refused in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import odd_sessions as odd
import pandas as pd
import pytest
import torch
from odd_sessions import ODD, Arrays, write
from tiny_runs import SMALL, metrics, model_weights, same

from neuroduet.config import Config, override
from neuroduet.errors import UserError
from neuroduet.presets import PRESETS
from neuroduet.tasks.run import evaluate, write_predictions
from neuroduet.training.fit import train

FEW_STEPS = [
    "model.patch=4",
    "training.threads=1",
    "training.max_epochs=10",
    "training.max_steps=4",
    "training.validate_every=2",
]
FIVE = ("duet", "mtm", "neds", "ndt2", "poyo")


def preset(name: str, *settings: str) -> Config:
    return override(PRESETS[name](), [*SMALL, *FEW_STEPS, *settings])


def whole_life(config: Config, data: Path, run: Path) -> pd.DataFrame:
    """Train, evaluate and predict; the scores."""
    train(config, data, run)
    scores = evaluate(run, data, tasks=["encoding", "decoding"])
    for path in write_predictions(run, data, run / "predictions"):
        with np.load(path) as found:
            for name in found.files:
                if found[name].dtype.kind == "f":
                    assert np.isfinite(found[name]).all(), (path.name, name)
    for row in metrics(run):
        assert all(np.isfinite(float(value)) for value in row.values() if value)
    return scores


def unexplained(scores: pd.DataFrame) -> pd.DataFrame:
    """Scores without a value, except R2 of what does not vary."""
    undefined = scores[~np.isfinite(scores.value.astype(float))]
    constant = (undefined.session == "constant") & (undefined.target == "speed")
    single = undefined.n == 1
    return undefined[~(undefined.metric.str.startswith("r2") & (constant | single))]


@pytest.mark.parametrize(
    "name",
    [name if name == "duet" else pytest.param(name, marks=pytest.mark.slow) for name in FIVE],
)
def test_odd_sessions_are_trained_on_and_scored_together(name: str, tmp_path: Path) -> None:
    for session, changes in ODD.items():
        write(tmp_path / "data", session, *changes)
    scores = whole_life(
        preset(name, "training.sessions_per_batch=4"), tmp_path / "data", tmp_path / "run"
    )
    assert unexplained(scores).empty
    assert set(scores.session) == set(ODD) - {"without_behaviours"}


@pytest.mark.parametrize(
    "name", ["missing_everywhere", "missing_in_training", "silent", "constant"]
)
def test_an_odd_session_is_enough(name: str, tmp_path: Path) -> None:
    write(tmp_path / "data", name, *ODD[name])
    scores = whole_life(preset("duet"), tmp_path / "data", tmp_path / "run")
    assert len(scores) > 0
    assert unexplained(scores).empty


def test_a_session_without_behaviours_is_scored_on_its_activity(tmp_path: Path) -> None:
    write(tmp_path / "data", "spikes_only", *ODD["without_behaviours"])
    train(preset("duet"), tmp_path / "data", tmp_path / "run")
    scores = evaluate(tmp_path / "run", tmp_path / "data")
    assert set(scores.task) == {
        "co_smoothing",
        "forward",
        "intra_region",
        "inter_region",
    }
    with pytest.raises(UserError, match="POYO decodes behaviour from spikes, and here is no beh"):
        train(preset("poyo"), tmp_path / "data", tmp_path / "poyo")


def trained(folder: Path, *changes: Callable[[Arrays], None]) -> dict[str, torch.Tensor]:
    """Weights after a few steps on a session of the same name, whatever is odd in it."""
    write(folder / "data", "session", *changes)
    train(preset("duet"), folder / "data", folder / "run")
    return model_weights(folder / "run")


def without_infinity(arrays: Arrays) -> None:
    """What is infinite becomes missing."""
    for values in (arrays["behaviours"]["speed"], arrays["behaviours"]["latency"]):
        values[~np.isfinite(values)] = np.nan


def test_only_what_training_may_see_changes_the_weights(tmp_path: Path) -> None:
    usual = trained(tmp_path / "usual")
    same_weights: dict[str, tuple[Callable[[Arrays], None], ...]] = {
        "outside": (odd.spikes_outside_trials,),
        "test": (odd.nan_in_all_test_trials, odd.all_silent_in_test),
    }
    for name, changes in same_weights.items():
        assert same(trained(tmp_path / name, *changes), usual), name
    assert not same(trained(tmp_path / "training", odd.nan_samples), usual)


def test_infinite_values_of_a_behaviour_are_missing_values(tmp_path: Path) -> None:
    infinite = trained(tmp_path / "infinite", odd.infinite_samples)
    missing = trained(tmp_path / "missing", odd.infinite_samples, without_infinity)
    assert same(infinite, missing)


@pytest.mark.parametrize(
    ("split", "scored"), [("a", False), ("aa", False), ("ae", True), ("a" * 14 + "v" * 4, False)]
)
def test_a_session_of_few_trials_is_trained_on(split: str, scored: bool, tmp_path: Path) -> None:
    write(tmp_path / "data", "few", split=split)
    scores = whole_life(preset("duet"), tmp_path / "data", tmp_path / "run")
    assert (len(scores) > 0) == scored
    assert unexplained(scores).empty


def test_without_validation_windows_the_last_weights_are_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "data", "few", split="a" * 14 + "e" * 6)
    scores = whole_life(preset("duet"), tmp_path / "data", tmp_path / "run")
    assert "no validation windows: the last weights are kept" in caplog.text
    assert unexplained(scores).empty
    assert len(scores) > 0


@pytest.mark.parametrize("split", ["e", "v", "vvee"])
def test_a_session_without_training_trials_is_refused(split: str, tmp_path: Path) -> None:
    write(tmp_path / "data", "few", split=split)
    write(tmp_path / "data", "good")
    with pytest.raises(UserError, match="session few: a given split of . windows leaves none for"):
        train(preset("duet"), tmp_path / "data", tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", FIVE)
def test_an_exploding_loss_is_named_before_it_spoils_the_weights(
    name: str, tmp_path: Path
) -> None:
    write(tmp_path / "data", "good")
    config = preset(name, "training.learning_rate=1e30", "training.warmup=0.01")
    with pytest.raises(UserError, match=r"at step \d+: training has diverged; lower training\."):
        train(config, tmp_path / "data", tmp_path / "run")
    assert not (tmp_path / "run" / "model").exists()


@pytest.mark.parametrize(("name", "inputs"), [("poyo", "all"), ("duet", "activity")])
def test_a_decoder_learns_as_if_a_session_without_behaviours_were_not_there(
    name: str, inputs: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "data", "a")
    write(tmp_path / "data", "b", *ODD["without_behaviours"])
    config = preset(name, f"model.inputs={inputs}")
    both = model_weights(train(config, tmp_path / "data", tmp_path / "both"))
    assert "not trained on, as the model predicts behaviour and they have none: b" in caplog.text
    alone = model_weights(train(config, tmp_path / "data", tmp_path / "alone", ["a"]))
    assert same({key: both[key] for key in alone}, alone)


def test_a_model_that_predicts_nothing_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "data", "a")
    config = preset("duet", "model.inputs=activity", "model.behaviours=false")
    with pytest.raises(UserError, match="predicts neither activity nor a behaviour of a; give"):
        train(config, tmp_path / "data", tmp_path / "run")
    assert not (tmp_path / "run").exists()
