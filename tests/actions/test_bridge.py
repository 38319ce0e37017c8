from __future__ import annotations

import importlib.util
import itertools
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from neuroduet import metrics
from neuroduet.actions.oracle import decode_actions
from neuroduet.baselines import fit_logistic, fit_poisson_glm
from neuroduet.config import Config, override
from neuroduet.data.actions import read_pose, with_actions
from neuroduet.data.recording import save
from neuroduet.data.schema import check
from neuroduet.data.session import Session, open_sessions
from neuroduet.errors import UserError
from neuroduet.simulate.acting import FPS, Acting, simulate_acting
from neuroduet.simulate.bouts import STAGES, bout_chain, stationary
from neuroduet.tasks.evaluate import score_predictors
from neuroduet.tasks.oracle import oracles
from neuroduet.types import UNLABELLED

T = 8000


@pytest.fixture(scope="module")
def world() -> Acting:
    return simulate_acting(n_frames=T, n_units=20)


@pytest.fixture(scope="module")
def counts(world: Acting) -> np.ndarray:
    spikes, units = world.recording.spikes, world.recording.units
    found = np.zeros((T, len(units.id)))
    np.add.at(found, ((spikes.timestamps * FPS).astype(int), spikes.unit_index), 1)
    return found


def _expected(world: Acting, name: str) -> np.ndarray:
    return np.exp(getattr(world.recording.truth, name).astype(np.float64)) / FPS


def _open(
    world: Acting, folder: Path, *changes: str, actions: np.ndarray | None = None
) -> Session:
    """The session with actions as a behaviour, the true ones if not given."""
    told = world.states if actions is None else actions
    recording = with_actions(
        world.recording, told, None, world.names, world.recording.pose.timestamps
    )
    save(recording, folder / "session.h5")
    usual = ["data.windows.length_s=4", "data.windows.bin_size_s=0.04"]
    config = override(Config(), [*usual, *changes])
    return open_sessions(folder, config.data)[0]


def _frames(session: Session, windows: np.ndarray) -> np.ndarray:
    first = np.round(session.windows.start_s[windows] * FPS).astype(int)
    return first[:, None] + np.arange(100)


def test_a_session_is_a_recording_with_spikes_pose_and_truth(world: Acting) -> None:
    recording = world.recording
    check(recording)
    assert recording.spikes.domain.start[0] == 0
    assert recording.spikes.domain.end[-1] == T / FPS
    assert read_pose(recording).shape == (T, 7, 3)
    assert np.isnan(recording.pose.xy).any()
    np.testing.assert_array_equal(recording.truth.actions, world.states)
    assert recording.motion.log_speed.std() == pytest.approx(1, abs=1e-3)
    other = simulate_acting(n_frames=T, n_units=20)
    np.testing.assert_array_equal(other.recording.spikes.timestamps, recording.spikes.timestamps)


def test_counts_are_poisson_with_the_true_rates(world: Acting, counts: np.ndarray) -> None:
    expected = _expected(world, "log_rates_hz")
    total = expected.sum(axis=0)
    assert np.abs((counts.sum(axis=0) - total) / np.sqrt(total)).max() < 4.5
    assert ((counts - expected) ** 2).sum() / total.sum() == pytest.approx(1, abs=0.03)
    by_action = np.exp(world.log_rates_by_action_hz[np.arange(T), world.states]) / FPS
    np.testing.assert_allclose(by_action, expected, rtol=5e-3)


def test_expected_rates_average_over_what_is_not_known(world: Acting) -> None:
    rates, given = (
        _expected(world, name) for name in ("log_rates_hz", "log_rates_hz_from_behaviour")
    )
    assert (rates / given).mean() == pytest.approx(1, abs=0.02)
    for k, log_rates in enumerate(world.log_rates_of_actions_hz):
        mine = given[world.states == k].mean(axis=0)
        np.testing.assert_allclose(mine, np.exp(log_rates) / FPS, rtol=5e-3)


def test_knowing_more_gives_more_bits(world: Acting, counts: np.ndarray) -> None:
    of_actions = np.exp(world.log_rates_of_actions_hz)[world.states] / FPS
    given, rates = (
        _expected(world, name) for name in ("log_rates_hz_from_behaviour", "log_rates_hz")
    )
    valid = np.ones((1, T), dtype=bool)
    bits = [
        metrics.bits_per_spike(p[None].astype(np.float32), counts[None].astype(np.float32), valid)
        for p in (of_actions, given, rates)
    ]
    assert 0.02 < bits[0] < bits[1] < bits[2] - 0.03


def test_without_speed_actions_are_all_that_is_offered(world: Acting) -> None:
    alone = simulate_acting(n_frames=T, n_units=20, speed=False)
    spikes = world.recording.spikes
    np.testing.assert_array_equal(alone.recording.spikes.timestamps, spikes.timestamps)
    assert not hasattr(alone.recording, "motion")
    np.testing.assert_allclose(
        alone.recording.truth.log_rates_hz_from_behaviour.astype(float),
        alone.log_rates_of_actions_hz[alone.states],
        atol=5e-3,
    )


def test_trials_are_whole_and_apart(tmp_path: Path) -> None:
    world = simulate_acting(n_frames=1100, n_units=5, trials=True)
    trials = world.recording.trials
    assert len(trials) == 9
    np.testing.assert_allclose(trials.end - trials.start, 4.0)
    np.testing.assert_allclose(trials.start[1:] - trials.end[:-1], 1.0)
    session = _open(world, tmp_path)
    assert len(session.windows) == 9
    batch = session.batch(np.arange(9))
    np.testing.assert_array_equal(
        _labels(session, batch), world.states[_frames(session, np.arange(9))]
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_units": 0}, "at least 1"),
        ({"n_frames": 40}, "hold no bout of"),
        ({"n_frames": 90, "trials": True}, "no trial"),
    ],
)
def test_impossible_sessions_are_refused(changes: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        simulate_acting(**changes)


def _labels(session: Session, batch) -> np.ndarray:
    """Actions of a batch, as numbers of the world."""
    (behaviour,) = (b for b in session.info.behaviours if b.name == "actions")
    assert (behaviour.kind, behaviour.per) == ("categorical", "bin")
    number = np.array(
        [["rest", "walk", "groom", "investigate"].index(c) for c in behaviour.classes]
    )
    return number[batch.behaviours["actions"].numpy()]


def test_actions_of_a_bin_are_those_of_its_frame(world: Acting, tmp_path: Path) -> None:
    told = world.states.copy()
    told[1000:1400] = UNLABELLED
    session = _open(world, tmp_path, actions=told)
    windows = np.arange(len(session.windows))
    batch = session.batch(windows)
    expected = told[_frames(session, windows)]
    observed = batch.observed["actions"].numpy()
    np.testing.assert_array_equal(observed, expected != UNLABELLED)
    np.testing.assert_array_equal(_labels(session, batch)[observed], expected[observed])


def test_shorter_bins_repeat_the_action_of_the_frame(world: Acting, tmp_path: Path) -> None:
    session = _open(world, tmp_path, "data.windows.bin_size_s=0.02")
    windows = np.arange(20)
    labels = _labels(session, session.batch(windows))
    expected = np.repeat(world.states[_frames(session, windows)], 2, axis=1)
    np.testing.assert_array_equal(labels, expected)


def test_linear_models_decode_and_encode_actions_below_the_oracles(
    world: Acting, tmp_path: Path
) -> None:
    session = _open(world, tmp_path)
    train, valid = (session.batch(session.indices(split)) for split in ("train", "valid"))
    with torch.no_grad():
        models = [fit(train, valid, session.info) for fit in (fit_logistic, fit_poisson_glm)]
    found = score_predictors([*models, *oracles([session])], [session], ["encoding", "decoding"])
    value = {(s.model, s.target, s.metric): s.value for s in found.scores}
    test = session.indices("test")
    frames = _frames(session, test)
    counts = session.batch(test).activity.flatten(0, 1).double().numpy()
    expected = np.exp(world.log_rates_by_action_hz[frames.ravel()]) / FPS
    posterior = decode_actions(counts, expected, world.transition, [100] * len(test))
    best = metrics.balanced_accuracy(world.states[frames.ravel()], posterior.argmax(axis=1))
    assert 0.6 < value["logistic", "actions", "balanced_accuracy"] < best
    assert value["poisson_glm", "spikes", "bits_per_spike"] > 0.01
    assert (
        value["poisson_glm", "spikes", "bits_per_spike"]
        < value["oracle_rates", "spikes", "bits_per_spike"]
    )


def test_the_oracle_decodes_as_enumeration_of_all_paths_does() -> None:
    generator = np.random.default_rng(0)
    chain, n_bins = bout_chain(2, 5.0, generator), 4
    counts = generator.poisson(1.0, (n_bins, 3)).astype(float)
    expected = generator.uniform(0.3, 2.0, (n_bins, 2, 3))
    total = np.zeros((n_bins, 2))
    for path in itertools.product(range(2 * STAGES), repeat=n_bins):
        chance = stationary(chain)[path[0]]
        for t, stage in enumerate(path):
            rate = expected[t, stage // STAGES]
            chance *= np.exp(-rate.sum()) * (rate ** counts[t]).prod()
            chance *= chain[path[t - 1], stage] if t else 1
        for t, stage in enumerate(path):
            total[t, stage // STAGES] += chance
    found = decode_actions(counts, expected, chain)
    np.testing.assert_allclose(found, total / total.sum(axis=1, keepdims=True), rtol=1e-8)


def test_who_knows_more_of_the_rates_decodes_better(world: Acting, counts: np.ndarray) -> None:
    known = (world.log_rates_of_actions_hz[None], world.log_rates_by_action_hz)
    right = [
        metrics.balanced_accuracy(
            world.states,
            decode_actions(counts, np.exp(k) / FPS, world.transition).argmax(axis=1),
        )
        for k in known
    ]
    assert 0.75 < right[0] < right[1] < 0.99


def test_windows_are_decoded_apart(world: Acting, counts: np.ndarray) -> None:
    expected = np.exp(world.log_rates_of_actions_hz)[None] / FPS
    together = decode_actions(counts[:300], expected, world.transition, [100, 200])
    alone = decode_actions(counts[100:300], expected, world.transition)
    np.testing.assert_allclose(together[100:], alone, atol=1e-9)


@pytest.mark.slow
def test_the_example_prints_models_oracle_and_null(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = project / "examples" / "action_bridge.py"
    spec = importlib.util.spec_from_file_location("action_bridge", path)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    monkeypatch.setattr(sys, "argv", ["action_bridge", "--small"])
    example.main()
    lines = capsys.readouterr().out.splitlines()
    table = {row[:18].strip(): row[18:].split() for row in lines[2:]}
    assert list(table) == [
        "duet, true", "linear, true", "duet, segmented", "linear, segmented", "oracle", "null",
    ]  # fmt: skip
    assert float(table["null"][0]) == 0.25
    assert 0.5 < float(table["linear, true"][0]) < float(table["oracle"][1])
    assert float(table["oracle"][0]) > 0
    assert len(table["duet, segmented"]) == 3
