from __future__ import annotations

import pickle
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch_brain.data import (
    ArrayDict,
    Data,
    Interval,
    IrregularTimeSeries,
    SessionDescription,
)

from neuroduet.config import (
    BehaviourConfig,
    Config,
    DataConfig,
    SplitConfig,
    WindowConfig,
    override,
)
from neuroduet.data.arrays import from_arrays
from neuroduet.data.parts import difference
from neuroduet.data.recording import save
from neuroduet.data.session import open_sessions
from neuroduet.errors import UserError
from neuroduet.simulate import simulate_session
from neuroduet.types import SessionInfo

TRIALS, BINS, UNITS = 30, 10, 4


def spiking(folder, name="s1", seed=0, **changes):
    """A session of events with every sort of behaviour, some of it missing."""
    generator = np.random.default_rng(seed)
    n = 3000
    starts = np.arange(TRIALS) * 2.0
    choice = np.array(["left", "right", ""])[generator.choice(3, TRIALS, p=[0.5, 0.4, 0.1])]
    speed = generator.normal(3.0, 2.0, size=(TRIALS, BINS))
    speed[4] = np.nan
    given = {
        "session_id": name,
        "spike_times": generator.uniform(0, 61, n),
        "spike_units": generator.choice(UNITS, n, p=[0.7, 0.2, 0.09, 0.01]),
        "units": {"region": ["A", "A", "B", "B"]},
        "bin_size_s": 0.1,
        "trials": {"start": starts, "end": starts + 1, "number": np.arange(TRIALS)},
        "behaviours": {
            "speed": speed,
            "position": generator.normal(size=(TRIALS, BINS, 2)),
            "state": generator.integers(-1, 3, (TRIALS, BINS)),
            "choice": choice,
            "reaction": generator.normal(size=TRIALS),
        },
        **changes,
    }
    recording = from_arrays(**given)
    save(recording, folder / f"{name}.h5")
    return recording


CONFIG = DataConfig(windows=WindowConfig(bin_size_s=0.1))


def test_a_batch_equals_loops_over_the_recording(tmp_path):
    recording = spiking(tmp_path)
    (session,) = open_sessions(tmp_path, CONFIG)
    indices = np.array([7, 4, 21])
    batch = session.batch(indices)
    assert batch.activity.shape == (3, BINS, UNITS)
    assert batch.windows.tolist() == [7, 4, 21]
    classes = session.info.behaviours[3].classes
    assert classes == ("left", "right")
    for row, trial in enumerate(indices):
        for t in range(BINS):
            low = recording.trials.start[trial] + t * 0.1
            inside = (recording.spikes.timestamps >= low) & (
                recording.spikes.timestamps < low + 0.1
            )
            counts = np.bincount(recording.spikes.unit_index[inside], minlength=UNITS)
            assert batch.activity[row, t].tolist() == counts.tolist()
            sample = trial * BINS + t
            speed, state = recording.speed.values[sample], recording.state.values[sample]
            assert bool(batch.observed["speed"][row, t]) == np.isfinite(speed)
            assert batch.behaviours["speed"][row, t, 0] == pytest.approx(np.nan_to_num(speed))
            assert bool(batch.observed["state"][row, t]) == (state >= 0)
            assert batch.behaviours["state"][row, t] == max(state, 0)
            np.testing.assert_allclose(
                batch.behaviours["position"][row, t], recording.position.values[sample], rtol=1e-5
            )
        choice = str(recording.trials.choice[trial])
        assert bool(batch.observed["choice"][row]) == (choice != "")
        if choice:
            assert classes[int(batch.behaviours["choice"][row])] == choice
        assert batch.behaviours["reaction"].shape == (3, 1)


def test_types_of_a_batch_are_those_of_models(tmp_path):
    spiking(tmp_path)
    (session,) = open_sessions(tmp_path, CONFIG)
    batch = session.batch(np.arange(2))
    assert batch.activity.dtype == batch.behaviours["speed"].dtype == torch.float32
    assert batch.behaviours["choice"].dtype == batch.behaviours["state"].dtype == torch.int64
    assert batch.valid.dtype == batch.observed["choice"].dtype == torch.bool


def test_windows_one_by_one_equal_the_batch(tmp_path):
    spiking(tmp_path)
    (session,) = open_sessions(tmp_path, CONFIG)
    together = session.batch(np.arange(TRIALS))
    for window in range(TRIALS):
        alone = session.batch(np.array([window]))
        torch.testing.assert_close(alone.activity[0], together.activity[window])
        for name, values in alone.behaviours.items():
            torch.testing.assert_close(values[0], together.behaviours[name][window])


def test_ragged_windows_are_padded_at_their_end(tmp_path):
    counts = [np.full((bins, 2), bins) for bins in (3, 5, 2, 4)]
    speed = [np.full(bins, float(bins)) for bins in (3, 5, 2, 4)]
    recording = from_arrays(
        session_id="s", counts=counts, bin_size_s=0.1, behaviours={"speed": speed},
        split=["train", "train", "valid", "test"],
    )  # fmt: skip
    save(recording, tmp_path / "s.h5")
    (session,) = open_sessions(tmp_path, DataConfig())
    assert session.info.max_bins == 5
    batch = session.batch(np.array([0, 2, 3]))
    assert batch.valid.sum(dim=1).tolist() == [3, 2, 4]
    np.testing.assert_array_equal(batch.valid[1], [True, True, False, False])
    assert batch.activity[:, :, 0].tolist() == [[3, 3, 3, 0], [2, 2, 0, 0], [4, 4, 4, 4]]
    assert batch.observed["speed"].equal(batch.valid)
    assert (batch.behaviours["speed"][~batch.valid] == 0).all()
    assert [session.indices(name).tolist() for name in ("train", "valid", "test")] == [
        [0, 1], [2], [3]]  # fmt: skip


def test_padding_of_events_is_zero_even_where_spikes_follow(tmp_path):
    recording = from_arrays(
        session_id="s", spike_times=np.arange(0, 10, 0.05), spike_units=np.zeros(200, int),
        trials={"start": [0.0, 5.0], "end": [1.0, 8.0]},
    )  # fmt: skip
    save(recording, tmp_path / "s.h5")
    (session,) = open_sessions(tmp_path, CONFIG)
    batch = session.batch(np.arange(2))
    assert batch.activity.sum(dim=(1, 2)).tolist() == [20, 60]
    assert batch.activity[0, 10:].sum() == 0


def test_bins_that_were_not_recorded_are_not_valid(tmp_path):
    recording = from_arrays(session_id="s", counts=np.ones((6, 10, 2), int), bin_size_s=0.1)
    save(recording, tmp_path / "s.h5")
    windows = WindowConfig(event="start", pre_s=0.2, post_s=0.5)
    (session,) = open_sessions(tmp_path, DataConfig(windows=windows))
    batch = session.batch(np.array([0]))
    np.testing.assert_array_equal(batch.valid[0], [False, False, *[True] * 5])
    np.testing.assert_array_equal(batch.activity[0, :, 0], [0, 0, 1, 1, 1, 1, 1])


def with_a_gap(kind, trials, unit=np.int64):
    """Three spikes a bin of 0.1 s, recorded from 0 to 2 s and from 4 to 6 s."""
    domain = Interval(start=np.array([0.0, 4.0]), end=np.array([2.0, 6.0]))
    centres = np.arange(60) * 0.1 + 0.05
    centres = centres[(centres < 2) | (centres > 4)]
    series = {"timestamps": centres, "values": np.full((40, 1), 3)}
    if kind == "spikes":
        series = {"timestamps": centres.repeat(3), "unit_index": np.zeros(120, unit)}
    return Data(
        domain=domain,
        session=SessionDescription(id="s"),
        units=ArrayDict(id=np.array(["a"])),
        **{kind: IrregularTimeSeries(domain=domain, **series)},
        **({} if kind == "spikes" else {"bin_size_s": 0.1}),
        trials=Interval(start=np.array(trials)[:, 0], end=np.array(trials)[:, 1]),
    )


@pytest.mark.parametrize("kind", ["spikes", "counts"])
def test_a_gap_of_the_recording_is_not_silence(tmp_path, kind):
    trials = [[0.5, 1.0], [1.5, 2.5], [2.5, 3.5], [3.5, 4.5], [5.0, 6.0]]
    save(with_a_gap(kind, trials), tmp_path / "s.h5")
    (session,) = open_sessions(tmp_path, CONFIG)
    assert session.windows.trial.tolist() == [0, 1, 3, 4]
    batch = session.batch(np.array([1, 2, 3]))
    assert batch.valid.sum(1).tolist() == [5, 5, 10]
    assert batch.valid[0, :5].all()
    assert batch.valid[1, 5:].all()
    assert batch.activity[..., 0].equal(3.0 * batch.valid)
    everything = session.stretches(np.array([0.0]), np.array([60]))
    assert everything.valid.sum() == 40


def test_units_may_be_counted_by_the_largest_unsigned_numbers(tmp_path):
    trials = [[0.0, 1.0], [1.0, 2.0], [4.0, 5.0]]
    save(with_a_gap("spikes", trials, np.uint64), tmp_path / "s.h5")
    (session,) = open_sessions(tmp_path, CONFIG)
    assert session.batch(np.arange(3)).activity.unique().tolist() == [3]


def test_statistics_come_from_training_windows_alone(tmp_path):
    recording = spiking(tmp_path)
    (session,) = open_sessions(tmp_path, CONFIG)
    batch = session.batch(session.indices("train"))
    found = session.statistics
    np.testing.assert_allclose(found.mean_activity, batch.activity.mean(dim=(0, 1)), rtol=1e-5)
    np.testing.assert_allclose(
        found.scale_activity, batch.activity.numpy().std(axis=(0, 1)), rtol=1e-5
    )
    trained = np.isin(np.repeat(np.arange(TRIALS), BINS), session.indices("train"))
    speed = recording.speed.values[trained]
    np.testing.assert_allclose(found.behaviour_mean["speed"], [np.nanmean(speed)], rtol=1e-5)
    np.testing.assert_allclose(found.behaviour_scale["speed"], [np.nanstd(speed)], rtol=1e-5)
    assert found.behaviour_scale["position"].shape == (2,)
    state = recording.state.values[trained]
    assert found.class_counts["state"].tolist() == [(state == k).sum() for k in range(3)]
    choice = recording.trials.choice[session.indices("train")]
    assert found.class_counts["choice"].tolist() == [
        (choice == "left").sum(), (choice == "right").sum()]  # fmt: skip
    assert session.statistics is found


def test_statistics_do_not_depend_on_the_size_of_chunks(tmp_path, monkeypatch):
    spiking(tmp_path)
    (whole,) = open_sessions(tmp_path, CONFIG)
    expected = whole.statistics
    monkeypatch.setattr("neuroduet.data.statistics.CHUNK_VALUES", 100)
    (pieces,) = open_sessions(tmp_path, CONFIG)
    np.testing.assert_allclose(pieces.statistics.mean_activity, expected.mean_activity)
    np.testing.assert_allclose(pieces.statistics.scale_activity, expected.scale_activity)
    np.testing.assert_allclose(
        pieces.statistics.behaviour_scale["speed"], expected.behaviour_scale["speed"]
    )


def test_constant_values_have_scale_one(tmp_path):
    spiking(tmp_path, behaviours={"flat": np.full((TRIALS, BINS), 0.1)})
    (session,) = open_sessions(tmp_path, CONFIG)
    assert session.statistics.behaviour_scale["flat"].tolist() == [1.0]


def test_quiet_units_are_left_out_judged_by_training_windows(tmp_path):
    spiking(tmp_path)
    (full,) = open_sessions(tmp_path, CONFIG)
    (fewer,) = open_sessions(tmp_path, DataConfig(windows=CONFIG.windows, min_rate_hz=2.0))
    rates = full.statistics.mean_activity / 0.1
    kept = np.flatnonzero(rates >= 2.0)
    assert 0 < len(kept) < UNITS
    assert fewer.info.units == tuple(f"unit{unit:03d}" for unit in kept)
    assert fewer.info.regions == tuple("AABB"[unit] for unit in kept)
    torch.testing.assert_close(
        fewer.batch(np.arange(5)).activity, full.batch(np.arange(5)).activity[:, :, kept]
    )
    np.testing.assert_allclose(fewer.statistics.mean_activity, rates[kept] * 0.1)
    with pytest.raises(UserError, match="no unit of session s1 reaches"):
        open_sessions(tmp_path, DataConfig(windows=CONFIG.windows, min_rate_hz=1e4))


def test_traces_have_no_rate_to_filter_by(tmp_path):
    recording = from_arrays(session_id="s", traces=np.ones((20, 5, 2)), bin_size_s=0.1)
    save(recording, tmp_path / "s.h5")
    (session,) = open_sessions(tmp_path, DataConfig())
    assert not session.info.is_poisson
    with pytest.raises(UserError, match="traces, which have no rate"):
        open_sessions(tmp_path, DataConfig(min_rate_hz=1.0))


def test_classes_are_the_union_over_sessions(tmp_path):
    spiking(tmp_path, "b", behaviours={"block": np.tile([0.2, 0.5], 15)})
    spiking(tmp_path, "a", behaviours={"block": np.tile([0.5, 0.8], 15).astype(np.float32)})
    spiking(tmp_path, "c", behaviours={"block": np.tile([0.2, 0.8], 15).astype(np.float16)})
    classes = [{"name": "block", "kind": "categorical"}]
    config = DataConfig(windows=CONFIG.windows, behaviours=classes)
    one, two, three = open_sessions(tmp_path, config)
    assert (one.info.id, two.info.id) == ("a", "b")
    assert one.info.behaviours == two.info.behaviours
    assert three.batch(np.arange(2)).behaviours["block"].tolist() == [0, 2]
    assert one.info.behaviours[0].classes == pytest.approx((0.2, 0.5, 0.8))
    assert one.batch(np.arange(2)).behaviours["block"].tolist() == [1, 2]
    assert two.batch(np.arange(2)).behaviours["block"].tolist() == [0, 1]


def test_a_behaviour_that_a_session_lacks_is_absent(tmp_path):
    spiking(tmp_path, "a", behaviours={"speed": np.ones((TRIALS, BINS))})
    spiking(tmp_path, "b", behaviours={"reaction": np.linspace(0, 1, TRIALS)})
    spiking(tmp_path, "c", behaviours={"speed": np.full((TRIALS, BINS), np.nan)})
    names = [[b.name for b in s.info.behaviours] for s in open_sessions(tmp_path, CONFIG)]
    assert names == [["speed"], ["reaction"], []]


def test_known_behaviours_fix_the_classes(tmp_path):
    spiking(tmp_path, "a", behaviours={"block": np.tile([0, 1, 2], 10), "x": np.ones(TRIALS)})
    spiking(tmp_path, "b", behaviours={"block": np.tile([2, 1], 15)})
    (first,) = open_sessions(tmp_path, CONFIG, ["a"])
    known = tuple(b for b in first.info.behaviours if b.name == "block")
    (second,) = open_sessions(tmp_path, CONFIG, ["b"], known)
    assert second.info.behaviours == known
    assert second.batch(np.arange(2)).behaviours["block"].tolist() == [2, 1]
    (less,) = open_sessions(tmp_path, CONFIG, ["b"])
    with pytest.raises(UserError, match="class 0 in session a, which the model has never seen"):
        open_sessions(tmp_path, CONFIG, ["a"], less.info.behaviours)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.ones((TRIALS, BINS)), np.ones((TRIALS, BINS, 2))),
        (np.ones((TRIALS, BINS)), np.ones((TRIALS, BINS), int)),
        (np.tile(["a", "b"], 15), np.tile([0, 1], 15)),
    ],
)
def test_sessions_that_contradict_each_other_are_refused(tmp_path, one, other):
    spiking(tmp_path, "a", behaviours={"x": one})
    spiking(tmp_path, "b", behaviours={"x": other})
    with pytest.raises(UserError, match="'x' is .* in session a, but .* in session b"):
        open_sessions(tmp_path, CONFIG)


def setting_of(error):
    """The setting that an error tells, applied to a configuration."""
    setting = re.search(r"--set '(.*?)'", str(error))[1]
    return override(Config(data=CONFIG), [setting]).data


LEVELS = np.tile([0.25, 0.5, 1.0], TRIALS // 3)


@pytest.mark.parametrize("known_as", ["categorical", "continuous"])
def test_another_kind_than_the_models_is_read_as_the_sentence_says(tmp_path, known_as):
    speed = np.ones((TRIALS, BINS))
    spiking(tmp_path, behaviours={"contrast": LEVELS, "speed": speed})
    settings = {
        kind: DataConfig(
            windows=CONFIG.windows, behaviours=["speed", {"name": "contrast", "kind": kind}]
        )
        for kind in ("categorical", "continuous")
    }
    known = open_sessions(tmp_path, settings.pop(known_as))[0].info.behaviours
    (other,) = settings.values()
    with pytest.raises(UserError, match=f"the model knows it as {known_as} per trial") as caught:
        open_sessions(tmp_path, other, behaviours=known)
    (session,) = open_sessions(tmp_path, setting_of(caught.value), behaviours=known)
    assert session.info.behaviours == known


def test_sessions_of_two_kinds_are_read_as_numbers_as_the_sentence_says(tmp_path):
    speed = np.ones((TRIALS, BINS))
    spiking(tmp_path, "a", behaviours={"contrast": LEVELS, "speed": speed})
    spiking(tmp_path, "b", behaviours={"contrast": np.round(LEVELS), "speed": speed})
    with pytest.raises(UserError, match="in session a, but categorical .* session b") as caught:
        open_sessions(tmp_path, CONFIG)
    found = open_sessions(tmp_path, setting_of(caught.value))
    kinds = [{b.name: b.kind for b in session.info.behaviours} for session in found]
    assert kinds == [{"contrast": "continuous", "speed": "continuous"}] * 2


def test_text_is_never_offered_to_be_read_as_numbers(tmp_path):
    spiking(tmp_path, "a", behaviours={"contrast": LEVELS})
    spiking(tmp_path, "b", behaviours={"contrast": LEVELS.astype(str)})
    with pytest.raises(UserError, match="in session b; give them different names"):
        open_sessions(tmp_path, CONFIG)
    known = open_sessions(tmp_path, CONFIG, ["a"])[0].info.behaviours
    with pytest.raises(UserError, match="size 1; rename it there, or leave it out"):
        open_sessions(tmp_path, CONFIG, ["b"], known)


def configured(**changes):
    entry = {"name": "v", "source": "speed.values", "kind": "continuous", "per": "bin"}
    return DataConfig(
        windows=CONFIG.windows, behaviours=(BehaviourConfig(**{**entry, **changes}),)
    )


def test_the_configuration_chooses_behaviours(tmp_path):
    spiking(tmp_path)
    (session,) = open_sessions(tmp_path, configured())
    assert [(b.name, b.source) for b in session.info.behaviours] == [("v", "speed.values")]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": "sped.values"}, "no session has sped.values"),
        ({"per": "trial"}, "write per=bin"),
        ({"source": "choice.values", "kind": "continuous"}, "no session has"),
        ({"source": "trials.choice", "per": "trial"}, "expected 1-D or 2-D numbers"),
    ],
)
def test_wrong_configured_behaviours_are_refused(tmp_path, changes, message):
    spiking(tmp_path)
    with pytest.raises(UserError, match=message):
        open_sessions(tmp_path, configured(**changes))


def test_behaviours_named_alone_are_those_that_the_recording_offers(tmp_path):
    spiking(tmp_path)
    wanted = DataConfig(windows=CONFIG.windows, behaviours=["choice", {"name": "speed"}])
    (session,) = open_sessions(tmp_path, wanted)
    (everything,) = open_sessions(tmp_path, CONFIG)
    offered = {b.name: b for b in everything.info.behaviours}
    assert session.info.behaviours == (offered["choice"], offered["speed"])
    other = [{"name": "v", "source": "speed.values"}]
    (session,) = open_sessions(tmp_path, DataConfig(windows=CONFIG.windows, behaviours=other))
    assert session.info.behaviours == (replace(offered["speed"], name="v"),)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (["choice", "whel"], "no session has behaviour 'whel'; `neuroduet inspect` lists"),
        (
            [{"name": "n", "source": "trials.number"}],
            "is to be read from trials.number, .* say kind",
        ),
        (["speed", "speed"], "named twice"),
    ],
)
def test_behaviours_that_nobody_offers_are_refused(tmp_path, wanted, message):
    spiking(tmp_path)
    with pytest.raises(UserError, match=message):
        open_sessions(tmp_path, DataConfig(windows=CONFIG.windows, behaviours=wanted))


def test_sessions_open_with_a_whole_configuration_or_with_none(tmp_path):
    spiking(tmp_path)
    (by_data,) = open_sessions(tmp_path, CONFIG)
    (by_config,) = open_sessions(tmp_path, Config(data=CONFIG), "s1")
    assert by_config.config == by_data.config == CONFIG
    (usual,) = open_sessions(tmp_path)
    assert usual.config == DataConfig()


INFO = SessionInfo(
    id="s",
    subject="a",
    neural="spikes",
    units=("u0", "u1", "u2", "u3"),
    regions=("CA1", "CA1", "CA3", "PO"),
    behaviours=(),
    bin_size_s=0.02,
    max_bins=50,
)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"subject": "unknown"},
        {"regions": None},
        {"regions": ("HPF", "HPF", "HPF", "TH")},
        {"regions": ("CA1so", "CA1sp", "CA3", "PO")},
        {"bin_size_s": 0.05, "max_bins": 7},
    ],
)
def test_a_recording_is_that_of_the_run_however_its_regions_are_named(changes):
    assert difference(replace(INFO, **changes), INFO) == ""
    assert difference(INFO, replace(INFO, **changes)) == ""


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"units": ("u0", "u1", "u2")}, "has 3 units, which are not the 4 units"),
        ({"units": ("u0", "u1", "u2", "v3")}, "has 4 units, which are not the 4 units"),
        ({"subject": "b"}, "is of subject 'b', but the run was trained on 'a'"),
        ({"regions": ("CA1", "PO", "CA3", "CA1")},
         r"in other regions \(2 in CA1, 1 in PO, 1 in CA3, not 2 in CA1, 1 in CA3, 1 in PO\)"),
    ],
)  # fmt: skip
def test_a_recording_of_other_units_is_told_from_that_of_the_run(changes, sentence):
    assert re.search(sentence, difference(replace(INFO, **changes), INFO))


def test_animals_of_another_seed_are_told_from_those_of_the_same_name():
    def info(seed):
        found = simulate_session(seed=seed, index=0, size="tiny")
        units, regions = found.units.id.tolist(), found.units.region.tolist()
        return replace(INFO, units=tuple(units), regions=tuple(regions))

    infos = [info(seed) for seed in range(12)]
    pairs = [(a, b) for a in infos for b in infos if a is not b]
    assert any(a.units == b.units for a, b in pairs)
    assert all(difference(a, b) for a, b in pairs)


def test_unknown_sessions_name_the_nearest(tmp_path):
    spiking(tmp_path, "mouse1")
    with pytest.raises(UserError, match="did you mean 'mouse1'"):
        open_sessions(tmp_path, CONFIG, ["mouse2"])


def test_unknown_splits_are_refused(tmp_path):
    spiking(tmp_path)
    (session,) = open_sessions(tmp_path, CONFIG)
    with pytest.raises(UserError, match="unknown split 'validation'"):
        session.indices("validation")


def test_two_files_of_one_session_are_refused(tmp_path):
    recording = spiking(tmp_path)
    save(recording, tmp_path / "copy.h5")
    with pytest.raises(UserError, match="both session 's1'"):
        open_sessions(tmp_path, CONFIG)


def test_trial_columns_follow_the_windows(tmp_path):
    starts = np.arange(TRIALS) * 2.0
    go = starts + 0.2
    go[3] = np.nan
    spiking(tmp_path, trials={"start": starts, "end": starts + 1, "go": go})
    windows = WindowConfig(bin_size_s=0.1, event="go", post_s=0.5)
    (session,) = open_sessions(tmp_path, DataConfig(windows=windows))
    assert len(session.windows) == TRIALS - 1
    np.testing.assert_allclose(session.trials["start"], np.delete(starts, 3))
    np.testing.assert_array_equal(session.windows.trial, np.delete(np.arange(TRIALS), 3))


def test_continuous_windows_see_trial_values_only_inside_trials(tmp_path):
    spiking(tmp_path)
    windows = WindowConfig(bin_size_s=0.1, align="continuous", length_s=0.5)
    (session,) = open_sessions(tmp_path, DataConfig(windows=windows))
    outside = session.windows.trial < 0
    assert 0 < outside.sum() < len(outside)
    assert np.isnan(session.trials["number"][outside]).all()
    batch = session.batch(np.flatnonzero(outside))
    assert not batch.observed["reaction"].any()
    assert session.batch(np.flatnonzero(~outside)).observed["reaction"].all()


def test_trial_values_without_any_trial_window_are_left_out(tmp_path):
    spiking(tmp_path)
    windows = WindowConfig(bin_size_s=0.1, align="continuous", length_s=1.5)
    (session,) = open_sessions(tmp_path, DataConfig(windows=windows))
    assert [b.name for b in session.info.behaviours] == ["speed", "position", "state"]


def test_right_edges_shift_behaviour_by_half_a_bin(tmp_path):
    times = np.arange(0, 61, 0.01)
    spiking(tmp_path, behaviours={"clock": (times, times)})
    values = {}
    for at in ("centre", "right"):
        windows = WindowConfig(bin_size_s=0.1, behaviour_grid=at)
        (session,) = open_sessions(tmp_path, DataConfig(windows=windows))
        values[at] = session.batch(np.array([3])).behaviours["clock"][0, :, 0].numpy()
    np.testing.assert_allclose(values["centre"], 6.05 + np.arange(10) * 0.1, rtol=1e-5)
    np.testing.assert_allclose(values["right"], 6.1 + np.arange(10) * 0.1, rtol=1e-5)


def test_slow_series_are_interpolated_and_holes_are_not(tmp_path):
    times = np.arange(0, 61, 0.5)
    values = times.copy()
    values[8:12] = np.nan
    spiking(tmp_path, behaviours={"slow": (times, values)})
    (session,) = open_sessions(tmp_path, CONFIG)
    batch = session.batch(np.array([0, 2]))
    assert batch.observed["slow"][0].all()
    np.testing.assert_allclose(
        batch.behaviours["slow"][0, :, 0], np.arange(0.05, 1, 0.1), rtol=1e-5
    )
    assert not batch.observed["slow"][1].any()


def test_the_largest_gap_is_configured(tmp_path):
    times = np.delete(np.arange(0, 61, 0.02), np.arange(10, 25))
    spiking(tmp_path, behaviours={"x": (times, times)})
    seen = []
    for gap in (0.1, 0.5):
        windows = WindowConfig(bin_size_s=0.1, max_gap_s=gap)
        (session,) = open_sessions(tmp_path, DataConfig(windows=windows))
        seen.append(int(session.batch(np.array([0])).observed["x"].sum()))
    assert seen == [7, 10]


def test_sessions_survive_pickling_without_their_data(tmp_path):
    spiking(tmp_path)
    (session,) = open_sessions(tmp_path, DataConfig(windows=CONFIG.windows, min_rate_hz=2.0))
    stored = pickle.dumps(session)
    assert len(stored) < (tmp_path / "s1.h5").stat().st_size / 10
    again = pickle.loads(stored)
    assert again.info == session.info
    torch.testing.assert_close(again.batch(np.arange(3)).activity,
                               session.batch(np.arange(3)).activity)  # fmt: skip


def test_events_stay_on_disk(tmp_path):
    spiking(tmp_path)
    (session,) = open_sessions(tmp_path, CONFIG)
    with session._reading() as opened:
        assert isinstance(opened.neural.timestamps.base, np.memmap)


def test_leakage_is_refused_when_opening(tmp_path):
    spiking(tmp_path)
    windows = WindowConfig(bin_size_s=0.1, align="continuous", length_s=2.0, stride_s=0.5)
    with pytest.raises(UserError, match="blocked"):
        open_sessions(tmp_path, DataConfig(windows=windows, split=SplitConfig(kind="random")))


def test_broken_recordings_are_refused_when_opening(tmp_path):
    recording = spiking(tmp_path)
    recording.spikes.unit_index[0] = 99
    recording.save(tmp_path / "s1.h5")
    with pytest.raises(UserError, match="from 0 to 99"):
        open_sessions(tmp_path, CONFIG)


@pytest.mark.parametrize(("bin_size_s", "span"), [(0.05, 1), (0.1, 2)])
def test_truth_is_expected_counts_per_bin(tmp_path, bin_size_s, span):
    recording = spiking(tmp_path)
    centres = recording.trials.start[:, None] + (np.arange(20) + 0.5) * 0.05
    log_rates = np.random.default_rng(1).normal(1, 1, (TRIALS, 20, UNITS)).astype(np.float16)
    flat = log_rates.reshape(-1, UNITS)
    recording.truth = IrregularTimeSeries(
        timestamps=centres.ravel(), log_rates_hz=flat, log_rates_hz_from_behaviour=flat * 0
    )
    save(recording, tmp_path / "s1.h5")
    windows = WindowConfig(bin_size_s=bin_size_s)
    (session,) = open_sessions(tmp_path, DataConfig(windows=windows))
    truth = session.truth(np.array([5, 2]))
    rates = np.exp(log_rates[[5, 2]].astype(np.float32)).reshape(2, 20 // span, span, UNITS)
    np.testing.assert_allclose(truth["rates"], rates.mean(axis=2) * bin_size_s, rtol=1e-5)
    np.testing.assert_allclose(truth["rates_from_behaviour"], bin_size_s)


def test_recorded_data_have_no_truth(tmp_path):
    spiking(tmp_path)
    (session,) = open_sessions(tmp_path, CONFIG)
    assert session.truth(np.array([0])) == {}


def test_a_session_of_one_trial_trains_on_it(tmp_path):
    recording = from_arrays(session_id="s", counts=np.ones((1, 10, 2), int), bin_size_s=0.1)
    save(recording, tmp_path / "s.h5")
    (session,) = open_sessions(tmp_path / "s.h5", DataConfig())
    assert session.indices("train").tolist() == [0]
    assert session.batch(np.array([0])).activity.shape == (1, 10, 2)


def test_a_session_without_spikes_can_be_read(tmp_path):
    recording = from_arrays(
        session_id="s", spike_times=[], spike_units=[], units={"region": ["A", "B"]},
        trials={"start": [0.0, 2.0], "end": [1.0, 3.0]},
    )  # fmt: skip
    save(recording, tmp_path / "s.h5")
    (session,) = open_sessions(tmp_path, CONFIG)
    assert session.batch(np.arange(2)).activity.shape == (2, 10, 2)
    assert session.statistics.scale_activity.tolist() == [1.0, 1.0]
