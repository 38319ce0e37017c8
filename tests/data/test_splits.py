from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroduet.config import SplitConfig
from neuroduet.data.splits import (
    assign_splits,
    blocked_split,
    check_leakage,
    given_split,
    random_split,
)
from neuroduet.data.windows import Windows
from neuroduet.errors import UserError


def make(starts, n_bins=10, trial=None):
    n = len(starts)
    return Windows(
        start_s=np.asarray(starts, float),
        bins=np.full(n, n_bins),
        trial=np.arange(n) if trial is None else np.asarray(trial),
        split=np.full(n, "", "<U7"),
    )


def sizes(split):
    return tuple(int((split == name).sum()) for name in ("train", "valid", "test"))


def test_a_split_without_test_windows_is_told(caplog):
    short = assign_splits(
        make(np.arange(30) * 2.0, trial=np.full(30, -1)),
        SplitConfig(),
        session="s",
        bin_size_s=0.2,
    )
    assert sizes(short.split)[2] == 0
    assert "session s: a blocked split of 30 windows leaves none for testing" in caplog.text
    caplog.clear()
    nobody = SplitConfig(kind="blocked", train=0.8, valid=0.2)
    assign_splits(make(np.arange(30) * 2.0), nobody, session="s", bin_size_s=0.2)
    given = np.array(["train"] * 30)
    assign_splits(
        make(np.arange(30) * 2.0), SplitConfig(), session="s", bin_size_s=0.2, given=given
    )
    assert not caplog.records


def test_437_trials_divide_into_305_44_and_88():
    assert sizes(random_split(np.arange(437), "s", SplitConfig())) == (305, 44, 88)


@pytest.mark.parametrize(("n", "expected"), [(10, (7, 1, 2)), (1, (1, 0, 0)), (2, (1, 0, 1))])
def test_small_sessions_keep_a_training_window(n, expected):
    assert sizes(random_split(np.arange(n), "s", SplitConfig())) == expected


@given(st.permutations(list(range(40))), st.integers(0, 5))
def test_random_split_does_not_depend_on_the_order_of_trials(order, seed):
    config = SplitConfig(seed=seed)
    keys = np.array(order)
    expected = random_split(np.arange(40), "s", config)
    np.testing.assert_array_equal(random_split(keys, "s", config), expected[keys])


def test_random_split_depends_on_seed_and_session():
    keys = np.arange(200)
    one = random_split(keys, "s", SplitConfig())
    assert (one != random_split(keys, "s", SplitConfig(seed=1))).any()
    assert (one != random_split(keys, "t", SplitConfig())).any()


def test_random_split_stays_the_same_in_every_release():
    """A change of this list would let earlier test trials into later training sets."""
    expected = [
        "train",
        "train",
        "train",
        "valid",
        "test",
        "train",
        "train",
        "test",
        "train",
        "train",
    ]
    assert random_split(np.arange(10), "session", SplitConfig()).tolist() == expected


@given(st.integers(30, 300), st.floats(0, 3), st.integers(1, 5))
def test_blocked_splits_keep_their_distance(n, gap, blocks):
    config = SplitConfig(kind="blocked", gap_s=gap, blocks=blocks)
    start = np.arange(n) * 1.0
    split = blocked_split(start, start + 1.0, config)
    for one, other in (("train", "valid"), ("train", "test"), ("valid", "test")):
        a, b = start[split == one], start[split == other]
        if len(a) and len(b):
            distance = abs(a[:, None] - b).min() - 1.0
            assert distance >= gap - 1e-9


def test_blocks_without_gap_use_every_window_in_the_given_fractions():
    start = np.arange(100) * 1.0
    split = blocked_split(start, start + 1, SplitConfig(kind="blocked", gap_s=0, blocks=5))
    assert sizes(split) == (70, 10, 20)
    assert (split[:14] == "train").all()
    assert (split[14:16] == "valid").all()
    assert (split[16:20] == "test").all()


def test_the_larger_split_gives_way_to_gaps():
    start = np.arange(100) * 1.0
    split = blocked_split(start, start + 1, SplitConfig(kind="blocked", gap_s=1, blocks=1))
    assert sizes(split) == (69, 10, 19)
    assert split[69] == split[80] == "dropped"


def test_given_splits_are_taken_and_windows_without_trial_dropped():
    column = np.array(["train", "test", ""])
    split = given_split(np.array([1, 0, -1, 2]), column, "s")
    assert list(split) == ["test", "train", "dropped", "dropped"]


def test_given_split_without_column_is_refused():
    with pytest.raises(UserError, match="no column trials.split"):
        assign_splits(make([0.0]), SplitConfig(kind="given"), session="s", bin_size_s=0.1)


def test_auto_prefers_given_then_random_for_trials_then_blocked():
    column = np.array(["test"] + ["train"] * 99)
    starts = np.arange(100) * 2.0

    def run(windows, column=None):
        return assign_splits(
            windows, SplitConfig(), session="s", bin_size_s=0.1, given=column
        ).split

    assert sizes(run(make(starts), column)) == (99, 0, 1)
    np.testing.assert_array_equal(
        run(make(starts)), random_split(np.arange(100), "s", SplitConfig())
    )
    assert run(make(starts, trial=np.full(100, -1)))[:10].tolist() == ["train"] * 10


def test_overlap_across_splits_is_refused_with_the_remedy():
    windows = make([0.0, 0.5])
    leaky = replace(windows, split=np.array(["train", "test"]))
    with pytest.raises(UserError, match="1 windows overlap.*blocked"):
        check_leakage(leaky, 0.1, "s")


def test_overlap_within_a_split_or_with_dropped_windows_is_fine():
    windows = make([0.0, 0.5, 0.7])
    check_leakage(replace(windows, split=np.array(["train", "train", "dropped"])), 0.1)


def test_touching_windows_do_not_overlap():
    windows = make(np.arange(50) * (10 * 0.1))
    split = np.where(np.arange(50) % 2 == 0, "train", "test")
    check_leakage(replace(windows, split=split), 0.1)


@given(st.lists(st.tuples(st.integers(0, 60), st.sampled_from(["train", "valid", "test"])),
                min_size=1, max_size=12))  # fmt: skip
def test_leakage_check_equals_all_pairs(entries):
    starts = [start for start, _ in entries]
    windows = replace(make(starts, n_bins=5), split=np.array([name for _, name in entries]))
    leaks = any(abs(a - b) < 5 and x != y for a, x in entries for b, y in entries)
    if leaks:
        with pytest.raises(UserError):
            check_leakage(windows, 1.0)
    else:
        check_leakage(windows, 1.0)


def test_overlapping_continuous_windows_need_blocks():
    starts = np.arange(0, 100, 0.5)
    windows = make(starts, trial=np.full(len(starts), -1))
    with pytest.raises(UserError, match="blocked"):
        assign_splits(windows, SplitConfig(kind="random"), session="s", bin_size_s=0.1)
    divided = assign_splits(windows, SplitConfig(kind="blocked"), session="s", bin_size_s=0.1)
    assert min(sizes(divided.split)) > 0


def test_splits_without_training_windows_are_refused():
    column = np.array(["test", "test"])
    with pytest.raises(UserError, match=r"none for training; mark some of trials\.split"):
        assign_splits(make([0.0, 2.0]), SplitConfig(), session="s", bin_size_s=0.1, given=column)


def test_fractions_above_one_are_refused():
    with pytest.raises(UserError, match="more than 1"):
        assign_splits(make([0.0]), SplitConfig(train=0.8, valid=0.3), session="s", bin_size_s=0.1)


@given(st.integers(1, 200), st.floats(0.05, 0.9), st.floats(0, 0.09))
def test_every_window_is_in_one_split(n, train, valid):
    split = random_split(np.arange(n), "s", SplitConfig(train=train, valid=valid))
    assert sum(sizes(split)) == n
    assert sizes(split)[0] == max(1, int(train * n + 1e-6))
