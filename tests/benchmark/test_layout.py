"""Windows and true values, against torch_brain's own slicing; damaged recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch_brain.data import ArrayDict, Data, Interval, IrregularTimeSeries, RegularTimeSeries
from torch_brain.samplers import SequentialFixedWindowSampler
from torch_brain.utils.binning import bin_spikes

from neuroduet.benchmark.checks import check_layout
from neuroduet.benchmark.layout import (
    behaviour_windows,
    every_window,
    find_benchmark,
    inside,
    split_domain,
    trial_intervals,
)
from neuroduet.benchmark.staging import stage_benchmark
from neuroduet.benchmark.suites import BEHAVIOUR_TASKS
from neuroduet.benchmark.truth import (
    activity_truth,
    behaviour_truth,
    pack_names,
    unit_regions,
    unpack_names,
)
from neuroduet.data.brainwide import HELD_OUT
from neuroduet.data.schema import check
from neuroduet.errors import UserError

FILE = Path("one.h5")
STEPS = [name for name, task in BEHAVIOUR_TASKS.items() if not task.classes]


@given(
    start=st.floats(0, 4000),
    lengths=st.lists(st.floats(0.2, 4), min_size=1, max_size=4),
)
def test_windows_are_bit_by_bit_those_of_the_sequential_sampler(start, lengths):
    edges = start + np.cumsum([0.0, *(x for length in lengths for x in (length, 0.5))])
    intervals = Interval(edges[0:-1:2].copy(), edges[1::2].copy())
    if (intervals.end - intervals.start < 1.0).all():
        assert len(every_window(intervals)) == 0
        return
    sampler = SequentialFixedWindowSampler(
        sampling_intervals={"s": intervals}, window_length=1.0, step=0.02, drop_short=True
    )
    assert every_window(intervals).tolist() == [index.start for index in sampler]


def test_true_counts_are_those_of_slicing_the_recording(recording):
    intervals = trial_intervals(recording, "ts2", "test")
    truth = activity_truth(recording, "forecasting")
    hidden = activity_truth(recording, "co_smoothing")
    units = getattr(recording.units, f"{HELD_OUT}test")
    assert truth["window_timestamps"].tolist() == every_window(intervals).tolist()
    for place in range(0, len(truth["targets"]), 97):
        start = float(truth["window_timestamps"][place])
        sample = recording.slice(start, start + 1.0)
        assert sample.absolute_start == start
        counts = bin_spikes(sample.spikes, num_units=len(units), bin_size=0.02)
        np.testing.assert_array_equal(truth["targets"][place].numpy(), counts[-5:])
        np.testing.assert_array_equal(hidden["targets"][place].numpy(), counts[:, units])


@pytest.mark.parametrize("name", STEPS)
def test_true_behaviour_is_that_of_slicing_the_recording(recording, name):
    task = BEHAVIOUR_TASKS[name]
    truth, windows = behaviour_truth(recording, name), behaviour_windows(recording, name, "test")
    assert len(windows.trial) >= 15
    group, _, column = task.source.partition(".")
    for place, (start, trial) in enumerate(zip(windows.start_s, windows.trial, strict=True)):
        sample = recording.slice(start, start + 1.0)
        own = getattr(sample.task_aligned_intervals, task.window)
        assert trial in own.trial_index
        series = getattr(sample, group)
        values = getattr(series, column)
        if task.counts:
            values = values / 50
        if task.normalised:
            stored = getattr(getattr(recording.ts1_normalize, group), column)
            values = (values - stored.mean) / stored.std
        np.testing.assert_allclose(truth["values"][place, :, 0], values, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(truth["timestamps"][place], series.timestamps, atol=1e-5)
        if task.confident:
            np.testing.assert_array_equal(truth["mask"][place], getattr(series, task.confident))


def test_normalised_behaviour_has_unit_variance_over_confident_training_samples(recording):
    from neuroduet.benchmark.layout import behaviour_values, confident_samples

    windows = behaviour_windows(recording, "left_paw_speed", "train")
    rows = windows.sample[:, None] + np.arange(50)
    values = behaviour_values(recording, "left_paw_speed")[rows]
    seen = confident_samples(recording, "left_paw_speed")[rows]
    assert values[seen].mean() == pytest.approx(0, abs=1e-6)
    assert values[seen].std() == pytest.approx(1, abs=1e-6)


def test_splits_are_forty_twenty_forty_in_order_and_twenty_seconds_apart(recording):
    train, valid, test = (split_domain(recording, "ts1", s) for s in ("train", "valid", "test"))
    assert train.end[0] + 20 <= valid.start[0]
    assert valid.end[0] + 20 <= test.start[0]
    found = [len(behaviour_windows(recording, "choice", s).trial) for s in ("train", "valid")]
    assert found[0] == 24
    assert found[1] > 5
    check_layout(recording, "ts2", FILE)  # its alternating chunks keep the same distance


def test_a_window_that_crosses_the_edge_of_a_split_belongs_to_none():
    domain = Interval(np.array([0.0, 10.0]), np.array([5.0, 20.0]))
    start = np.array([-0.5, 0.0, 4.0, 4.5, 7.0, 10.0, 19.5])
    expected = [False, True, True, False, False, True, False]
    assert inside(start, start + 1, domain).tolist() == expected


@given(st.lists(st.text("abcdef0123456789-/", min_size=1, max_size=80), max_size=5))
def test_names_survive_packing(names):
    assert unpack_names(pack_names(names)) == names


def test_packed_names_are_read_by_the_benchmark():
    reader = pytest.importorskip("ibl_bwb_eval.entity_ids", reason="pip install ibl-bwb-eval")
    names = ["s/unit", "s/longer-unit"]
    assert reader.decode_entity_ids(pack_names(names)).tolist() == names
    assert reader.encode_entity_ids(np.array(names)).tolist() == pack_names(names).tolist()


def test_units_of_poor_quality_or_without_region_are_not_asked_about(recording):
    every, _ = unit_regions(recording)
    units = recording.units
    units.qc_neural = np.array(["WARNING", "FAIL", *units.qc_neural[2:]])
    units.label = np.where(np.arange(20) == 2, 0.5, 1.0)
    units.firing_rate = np.where(np.arange(20) == 3, 1.0, units.firing_rate)
    units.region_cosmos = np.array([*units.region_cosmos[:4], "void", *units.region_cosmos[5:]])
    units.qc_neural_alignment = np.array(["PASS"] * 5 + ["FAIL"] + ["PASS"] * 14)
    asked, _ = unit_regions(recording)
    assert len(asked) == len([name for name in every if name not in _ids(recording, range(6))])
    assert set(unit_regions(recording, "pretrain")[0]) == {*asked, *_ids(recording, [0])} & set(
        every
    )


def _ids(recording, rows):
    return [f"{recording.session.id}/{recording.units.id[row]}" for row in rows]


def test_both_parts_of_the_data_are_found_from_any_folder_above_them(published):
    inner = published / "ibl_brain_wide_bench_2026"
    for folder in (published, inner):
        assert len(find_benchmark(folder, "eval")) == len(find_benchmark(folder, "pretrain")) == 2
    assert len(find_benchmark(inner / "eval", "eval")) == 2
    assert find_benchmark(inner / "eval", "pretrain") == []
    assert len(find_benchmark(find_benchmark(inner, "eval")[0], "eval")) == 1


def _without(group, *names):
    kept = {key: getattr(group, key) for key in group.keys() if key not in names}  # noqa: SIM118
    return ArrayDict(**kept)


def _regular(recording, key, rate=50.0, **changes):
    group = getattr(recording, key)
    columns = {k: getattr(group, k) for k in group.keys()} | changes  # noqa: SIM118
    setattr(recording, key, RegularTimeSeries(sampling_rate=rate, domain_start=0.513, **columns))


def _table(recording, name, **changes):
    table = getattr(recording.task_aligned_intervals, name)
    columns = {k: getattr(table, k) for k in table.keys()} | changes  # noqa: SIM118
    setattr(
        recording.task_aligned_intervals,
        name,
        Interval(**{k: v for k, v in columns.items() if v is not None}),
    )


def no_intervals(r):
    del r.task_aligned_intervals


def no_split(r):
    del r.ts1_train_domain


def reversed_split(r):
    r.ts1_valid_domain = None
    r.ts1_val_domain = Interval(np.array([200.0]), np.array([190.0]))


def close_splits(r):
    r.ts1_val_domain = Interval(
        float(r.ts1_train_domain.end[0]) + 3, float(r.ts1_val_domain.end[0])
    )


def wrong_rate(r):
    _regular(r, "wheel", rate=60.0)


def irregular(r):
    r.wheel = IrregularTimeSeries(
        timestamps=np.arange(50) / 50, wheel_speed=np.ones(50), domain="auto"
    )


def not_finite(r):
    values = r.whisker.whisker_motion_energy.copy()
    values[7] = np.nan
    _regular(r, "whisker", whisker_motion_energy=values)


def negative_licks(r):
    _regular(r, "licks", licking_rate=r.licks.licking_rate - 1)


def text_wheel(r):
    _regular(r, "wheel", wheel_speed=np.full(len(r.wheel), "fast"))


def no_confidence(r):
    r.paws = RegularTimeSeries(
        sampling_rate=50.0,
        domain_start=0.513,
        left_paw_speed=r.paws.left_paw_speed,
        right_paw_speed=r.paws.right_paw_speed,
    )


def no_moments(r):
    del r.ts1_normalize


def flat_moments(r):
    r.ts1_normalize.whisker = Data(
        whisker_motion_energy=Data(mean=np.float64(0), std=np.float64(0))
    )


def wrong_class(r):
    _table(r, "choice", choice=np.full(60, 2))


def wrong_coding(r):
    _table(r, "reward", reward=np.where(np.arange(60) % 2, 1, -1))


def duplicate_trials(r):
    _table(r, "choice", trial_index=np.zeros(60, int))


def no_trials(r):
    _table(r, "choice", trial_index=None)


def long_windows(r):
    table = r.task_aligned_intervals.movement_window
    _table(r, "movement_window", end=table.start + 2.0)


def no_behaviour(r):
    for key in ("wheel", "whisker", "paws", "licks"):
        delattr(r, key)
    for name in ("choice", "reward", "stimulus_contrast"):
        delattr(r.task_aligned_intervals, name)


def double_units(r):
    r.units.id = np.array([r.units.id[0], *r.units.id[:-1]])


def lost_unit(r):
    r.spikes.unit_index = r.spikes.unit_index + 1


DAMAGES = [
    (no_intervals, "task_aligned_intervals"),
    (no_split, "ts1_train_domain"),
    (reversed_split, "split ends before"),
    (close_splits, "3.0 s apart"),
    (wrong_rate, "wheel is 60 Hz"),
    (irregular, "wheel is an irregular series"),
    (not_finite, "whisker.whisker_motion_energy holds values that are not finite"),
    (negative_licks, "licks.licking_rate holds negative"),
    (text_wheel, "wheel.wheel_speed is 1-D of type"),
    (no_confidence, "paws.is_left_paw_confident"),
    (no_moments, "ts1_normalize.whisker.whisker_motion_energy"),
    (flat_moments, "ts1_normalize.whisker.whisker_motion_energy"),
    (wrong_class, "choice.choice holds values other than 0 to 1"),
    (wrong_coding, "reward.reward holds values other than 0 to 1"),
    (duplicate_trials, "choice.trial_index holds duplicates"),
    (no_trials, "choice.trial_index"),
    (long_windows, "60 windows of task_aligned_intervals.movement_window"),
    (no_behaviour, "none of the behaviours"),
    (double_units, "duplicate ids"),
    (lost_unit, "unit_index"),
]


@pytest.mark.parametrize(("damage", "words"), DAMAGES, ids=[d.__name__ for d, _ in DAMAGES])
def test_a_damaged_recording_is_refused_in_one_sentence_that_names_file_and_field(
    recording, damage, words
):
    damage(recording)
    with pytest.raises(UserError) as error:
        check_layout(recording, "ts1", FILE)
    text = str(error.value)
    assert text.startswith("one.h5 cannot be used for ts1")
    assert words in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("suite", "column", "values", "words"),
    [
        ("ts2", f"{HELD_OUT}test", None, f"units.{HELD_OUT}test"),
        ("ts2", f"{HELD_OUT}val", np.arange(20), "not of type bool"),
        ("ts3", "region_cosmos", None, "units.region_cosmos"),
        ("ts3", "region_cosmos", np.full(20, "VISp"), "'VISp', expected Cosmos"),
    ],
)
def test_damaged_units_are_refused(recording, suite, column, values, words):
    recording.units = _without(recording.units, column)
    if values is not None:
        setattr(recording.units, column, values)
    with pytest.raises(UserError, match=words):
        check_layout(recording, suite, FILE)


@pytest.mark.parametrize("cut", ["truncated", "empty", "text"])
def test_a_damaged_file_stops_staging_and_leaves_nothing_half_written(published, tmp_path, cut):
    whole = find_benchmark(published, "eval")[0].read_bytes()
    content = {"truncated": whole[: len(whole) // 2], "empty": b"", "text": b"spikes"}[cut]
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    (source / "broken.h5").write_bytes(content)
    with pytest.raises(UserError, match="broken.h5"):
        stage_benchmark(source, "ts1", out)
    assert not out.exists()


def test_an_undamaged_recording_fits_all_suites_and_ours(recording):
    for suite in ("ts1", "ts2", "ts3"):
        check_layout(recording, suite, FILE)
    check(recording)
