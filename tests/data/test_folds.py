from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from neuroduet.config import Config, SplitConfig, override
from neuroduet.data.splits import assign_splits, blocked_split, check_leakage, random_split
from neuroduet.data.windows import Windows
from neuroduet.errors import UserError

BIN_S = 0.1


def make(starts, n_bins=10, trial=None) -> Windows:
    n = len(starts)
    return Windows(
        start_s=np.asarray(starts, float),
        bins=np.full(n, n_bins),
        trial=np.arange(n) if trial is None else np.asarray(trial),
        split=np.full(n, "", "<U7"),
    )


def all_folds(windows: Windows, folds: int, **settings) -> list[np.ndarray]:
    """The split of every fold."""
    return [
        assign_splits(
            windows,
            SplitConfig(folds=folds, fold=fold, **settings),
            session="s",
            bin_size_s=BIN_S,
        ).split
        for fold in range(folds)
    ]


def times_tested(splits: list[np.ndarray]) -> np.ndarray:
    """In how many folds each window is a test window."""
    return np.sum([split == "test" for split in splits], axis=0)


@given(st.integers(12, 300), st.integers(2, 10), st.floats(0, 0.3), st.integers(0, 9))
def test_every_trial_is_a_test_trial_exactly_once(n, folds, valid, seed) -> None:
    splits = all_folds(make(np.arange(n) * 2.0), folds, kind="random", valid=valid, seed=seed)
    assert (times_tested(splits) == 1).all()
    for split in splits:
        assert set(split) <= {"train", "valid", "test"}
        assert (split == "test").sum() in (n // folds, -(-n // folds))
        assert (split == "valid").sum() == int(valid * n + 1e-6)


@given(
    st.integers(60, 400),
    st.integers(2, 8),
    st.floats(0, 0.3),
    st.floats(0, 3),
    st.sampled_from([0.25, 0.5, 1.0]),
)
def test_runs_of_windows_are_tested_once_and_keep_their_distance(
    n, folds, valid, gap_s, stride_s
) -> None:
    start_s = np.arange(n) * stride_s
    end_s = start_s + 1.0
    count = np.zeros(n, int)
    for fold in range(folds):
        config = SplitConfig(kind="blocked", folds=folds, fold=fold, valid=valid, gap_s=gap_s)
        split = blocked_split(start_s, end_s, config)
        test = np.flatnonzero(split == "test")
        count[test] += 1
        assert (np.diff(test) == 1).all()
        for one, other in (("train", "valid"), ("train", "test"), ("valid", "test")):
            a, b = split == one, split == other
            if a.any() and b.any():
                between = np.maximum(
                    start_s[a][:, None] - end_s[b], start_s[b] - end_s[a][:, None]
                )
                assert between.min() >= gap_s - 1e-9
        windows = Windows(start_s=start_s, bins=np.full(n, 10), trial=np.full(n, -1), split=split)
        check_leakage(windows, BIN_S)
    assert (count == 1).all()


def test_validation_is_the_middle_of_the_other_runs() -> None:
    start_s = np.arange(100) * 1.0
    config = SplitConfig(kind="blocked", folds=5, fold=1, valid=0.16, gap_s=0)
    split = blocked_split(start_s, start_s + 1, config)
    letters = "".join(name[0] for name in split)
    other = "t" * 8 + "v" * 4 + "t" * 8
    assert letters[:20] == letters[40:60] == letters[60:80] == letters[80:] == other
    assert (split[20:40] == "test").all()
    assert (split == "valid").sum() == 16


def test_windows_near_a_test_run_are_dropped_and_none_of_it() -> None:
    start_s = np.arange(100) * 1.0
    config = SplitConfig(kind="blocked", folds=5, fold=1, valid=0.0, gap_s=2.5)
    split = blocked_split(start_s, start_s + 1, config)
    assert split[16:45].tolist() == (
        ["train"] + ["dropped"] * 3 + ["test"] * 20 + ["dropped"] * 3 + ["train"] * 2
    )


def test_folds_are_rotations_of_one_order() -> None:
    """The test trials of a fold are not those of another, whatever the others are used for."""
    keys = np.arange(50)
    splits = [random_split(keys, "s", SplitConfig(folds=5, fold=k)) for k in range(5)]
    # The trials after the test trials of a fold are the next fold's.
    for one, following in zip(splits, splits[1:] + splits[:1], strict=True):
        assert set(keys[one == "valid"]) <= set(keys[following == "test"])


def test_the_last_of_five_folds_has_the_test_trials_of_the_plain_split() -> None:
    keys = np.arange(200)
    last = random_split(keys, "s", SplitConfig(folds=5, fold=4))
    plain = random_split(keys, "s", SplitConfig())
    np.testing.assert_array_equal(last == "test", plain == "test")


def test_folds_stay_the_same_in_every_release() -> None:
    """A change of these would let test trials of one fold into the training of a resumed one."""
    found = [
        np.flatnonzero(
            random_split(np.arange(10), "session", SplitConfig(folds=5, fold=k)) == "test"
        )
        for k in range(5)
    ]
    assert [one.tolist() for one in found] == [[5, 6], [8, 9], [1, 2], [0, 3], [4, 7]]


@given(st.permutations(list(range(30))), st.integers(0, 2))
def test_folds_do_not_depend_on_the_order_of_trials(order, fold) -> None:
    config = SplitConfig(folds=3, fold=fold)
    keys = np.array(order)
    expected = random_split(np.arange(30), "s", config)
    np.testing.assert_array_equal(random_split(keys, "s", config), expected[keys])


def test_train_and_blocks_mean_nothing_to_folds() -> None:
    start_s = np.arange(60) * 1.0
    for kind in ("random", "blocked"):
        windows = make(start_s, trial=np.arange(60))
        one = all_folds(windows, 4, kind=kind, gap_s=1.0)
        other = all_folds(windows, 4, kind=kind, gap_s=1.0, train=0.3, blocks=2)
        np.testing.assert_array_equal(one, other)


def test_continuous_windows_get_runs_and_trials_get_ranks() -> None:
    start_s = np.arange(100) * 1.0
    continuous = all_folds(make(start_s, trial=np.full(100, -1)), 5)
    assert (np.diff(np.flatnonzero(continuous[2] == "test")) == 1).all()
    trials = all_folds(make(start_s), 5)
    np.testing.assert_array_equal(
        trials[2], random_split(np.arange(100), "s", SplitConfig(folds=5, fold=2))
    )


def test_given_splits_have_no_folds_and_the_remedy_is_said() -> None:
    column = np.array(["train", "test", "train", "test"])
    for kind in ("auto", "given"):
        with pytest.raises(UserError, match="takes its splits from trials.split.*random or block"):
            assign_splits(
                make(np.arange(4) * 2.0),
                SplitConfig(kind=kind, folds=2),
                session="s",
                bin_size_s=BIN_S,
                given=column,
            )
    again = assign_splits(
        make(np.arange(4) * 2.0),
        SplitConfig(kind="random", folds=2),
        session="s",
        bin_size_s=BIN_S,
        given=column,
    )
    assert (again.split == "test").sum() == 2


def test_more_folds_than_windows_are_refused() -> None:
    with pytest.raises(UserError, match="session s has 3 windows, too few for .* 4; use fewer"):
        all_folds(make(np.arange(3) * 2.0), 4)


def test_as_many_folds_as_windows_leave_one_out() -> None:
    splits = all_folds(make(np.arange(3) * 2.0), 3, kind="random", valid=0.0)
    assert times_tested(splits).tolist() == [1, 1, 1]


def test_folds_that_leave_nothing_to_learn_from_are_refused() -> None:
    with pytest.raises(UserError, match="valid 0.5 and .* one fold in 2 leave no window for tra"):
        all_folds(make(np.arange(30) * 2.0), 2, valid=0.5)
    with pytest.raises(UserError, match="leaves none for training"):
        all_folds(make(np.arange(6), trial=np.full(6, -1)), 3, gap_s=60.0)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["data.split.folds=5", "data.split.fold=5"], "fold 5 does not exist, because folds is 5"),
        (["data.split.fold=1"], "fold 1 does not exist, because folds is not set"),
        (["data.split.folds=1"], "data.split.folds"),
        (["data.split.fold=-1"], "data.split.fold"),
    ],
)
def test_folds_that_do_not_exist_are_refused(settings: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        override(Config(), settings)


@given(st.integers(2, 40), st.integers(2, 8), st.floats(0, 0.45))
def test_small_sessions_are_divided_or_refused_but_never_wrongly(n, folds, valid) -> None:
    assume(valid + 1 / folds <= 0.99)
    for kind in ("random", "blocked"):
        try:
            splits = all_folds(make(np.arange(n) * 2.0), folds, kind=kind, valid=valid, gap_s=1.0)
        except UserError:
            continue
        assert (times_tested(splits) == 1).all()
        assert all((split == "train").any() for split in splits)
