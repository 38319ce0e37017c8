from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroduet.actions.density import SEEDS, label_density, thin_labels
from neuroduet.actions.experiment import Candidate, fingerprint
from neuroduet.actions.metrics import run_lengths
from neuroduet.errors import UserError


class Nearest:
    """The class whose labelled frames lie nearest on average; counts how often it was fitted."""

    fits = 0

    def fit(self, recordings, labels):
        Nearest.fits += 1
        x, y = np.concatenate(recordings), np.concatenate(labels)
        self.centres = np.stack([x[y == k].mean(0) for k in range(y.max() + 1)])
        return self

    def predict_proba(self, recordings):
        far = [((x[:, None] - self.centres) ** 2).sum(2) for x in recordings]
        return [np.exp(-d) / np.exp(-d).sum(1, keepdims=True) for d in far]


def candidate(model="nearest", setup="plain"):
    return Candidate(model=model, features="raw", make=lambda seed: Nearest(), setup=setup)


def world(n_recordings=3, bout=30, seed=0):
    rng = np.random.default_rng(seed)
    labels = [np.repeat(rng.permutation(np.arange(12) % 3), bout) for _ in range(n_recordings)]
    recordings = [y[:, None] + 0.8 * rng.normal(size=(len(y), 1)) for y in labels]
    return recordings, labels


def kept(labels, which):
    return sum(int((one == which).sum()) for one in labels)


@given(
    goal=st.integers(1, 130),
    chunk=st.integers(1, 60),
    seed=st.integers(0, 5),
    bouts=st.lists(st.tuples(st.integers(-1, 2), st.integers(1, 40)), min_size=2, max_size=12),
)
@settings(max_examples=60, deadline=None)
def test_every_class_keeps_as_many_true_labels_as_asked_or_all_it_has(goal, chunk, seed, bouts):
    labels = [np.repeat(*np.array(bouts[i::2]).T) for i in (0, 1)]
    if max(one.max() for one in labels) < 0:
        labels[0][0] = 0
    thinned = thin_labels(labels, goal, chunk, seed)
    for before, after in zip(labels, thinned, strict=True):
        assert np.array_equal(after[after >= 0], before[after >= 0])
    for which in range(3):
        assert kept(thinned, which) == min(goal, kept(labels, which))


def test_labels_come_in_chunks_of_the_length_asked_for():
    labels = [np.repeat([0, 1, 0, 1], 1000)]
    for which, lengths in run_lengths(thin_labels(labels, 200, chunk=50, seed=3)[0]).items():
        # Chunks may touch, never overlap.
        assert which == -1 or all(n % 50 == 0 for n in lengths)


def test_chunks_come_from_all_recordings_and_differ_with_the_seed():
    labels = [np.zeros(4000, int) for _ in range(4)]
    first, again, other = (thin_labels(labels, 2000, 50, seed) for seed in (1, 1, 2))
    assert all(250 <= kept([one], 0) <= 800 for one in first)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_every_place_of_a_bout_is_equally_likely_to_be_chosen():
    labels = [np.repeat([1, 0, 1], [5, 20, 5])]
    starts = [int(np.argmax(thin_labels(labels, 10, 10, seed)[0] == 0)) for seed in range(1100)]
    counts = np.bincount(starts, minlength=16)[5:]
    assert len(counts) == 11
    assert np.abs(counts - 100).max() < 45


def test_bouts_shorter_than_a_chunk_are_used_whole_once_no_longer_one_is_left():
    labels = [np.repeat([0, 1, 0, 1, 0], [10, 5, 60, 5, 7])]
    assert run_lengths(thin_labels(labels, 67, chunk=50)[0])[0] != [10, 60, 7]
    assert kept(thin_labels(labels, 67, chunk=50), 0) == 67


def test_a_class_with_too_few_frames_is_named(caplog):
    labels = [np.repeat([0, 1], [100, 30])]
    with caplog.at_level(logging.WARNING):
        thin_labels(labels, 60)
    assert [one.getMessage() for one in caplog.records] == [
        "class 1 has 30 of the 60 labelled frames asked for; all are kept"
    ]


@pytest.mark.parametrize(("goal", "chunk"), [(0, 50), (10, 0)])
def test_goals_and_chunks_start_at_one_frame(goal, chunk):
    with pytest.raises(UserError, match="at least 1"):
        thin_labels([np.zeros(5, int)], goal, chunk)


def run(file=None, candidates=None, goals=(5, 60), seeds=(1, 1001), data=None, **told):
    train, labels = world() if data is None else data
    test, truth = world(seed=9)
    return label_density(
        candidates or [candidate()],
        train,
        labels,
        test,
        truth,
        goals=goals,
        seeds=seeds,
        chunk=10,
        file=file,
        **told,
    )


def test_the_table_has_every_fit_and_counts_its_labels():
    table = run()
    fits = table[["goal", "seed", "labelled", "fewest"]].drop_duplicates()
    assert fits.values.tolist() == [
        [5, 1, 15, 5],
        [5, 1001, 15, 5],
        [60, 1, 180, 60],
        [60, 1001, 180, 60],
    ]
    macro = table[table["metric"] == "macro_f1"].groupby("goal")["value"].mean()
    assert macro[60] > 0.6
    assert SEEDS == (1, 1001, 2001, 3001, 4001)


def test_labels_may_be_names():
    names = np.array(["a", "b", "c"])
    train, labels = world()
    test, truth = world(seed=9)
    words = [[names[y] for y in ys] for ys in (labels, truth)]
    found = label_density([candidate()], train, words[0], test, words[1], goals=[9], seeds=[1])
    plain = label_density(
        [candidate()], train, labels, test, truth, goals=[9], seeds=[1], names=list("abc")
    )
    pd.testing.assert_frame_equal(found.drop(columns="fit_s"), plain.drop(columns="fit_s"))


def test_a_stopped_experiment_goes_on_without_repeating_fits(tmp_path):
    file = tmp_path / "density.csv"
    run(file, goals=(5,))
    Nearest.fits = 0
    told = []
    continued = run(file, report=lambda done, total, value: told.append((done, total)))
    assert Nearest.fits == 2
    assert told == [(0, 4), (3, 4), (4, 4)]
    Nearest.fits = 0
    again, fresh = run(file), run()
    assert Nearest.fits == 4
    columns = ["goal", "seed", "metric", "class"]
    for one in (continued, again):
        both = one.merge(fresh, on=columns, suffixes=("", "_fresh"))
        assert len(both) == len(fresh)
        pd.testing.assert_series_equal(both["value"], both["value_fresh"], check_names=False)


def test_results_of_other_data_or_options_are_not_taken_up(tmp_path):
    file = tmp_path / "density.csv"
    run(file)
    with pytest.raises(UserError, match="other data or options"):
        run(file, candidates=[candidate(setup="other")])
    with pytest.raises(UserError, match="other data or options"):
        run(file, data=world(seed=5))
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="no table of this experiment"):
        run(tmp_path / "other.csv")


def test_another_model_is_added_to_a_table(tmp_path):
    file = tmp_path / "density.csv"
    run(file)
    table = run(file, candidates=[candidate(), candidate("second")])
    assert set(table["model"]) == {"nearest", "second"}


def test_recordings_and_labels_must_fit():
    train, labels = world()
    with pytest.raises(UserError, match="labels are given for 2 of 3 recordings"):
        label_density([candidate()], train, labels[:2], train, labels, goals=[5])
    unlabelled = [np.full(len(one), -1) for one in labels]
    with pytest.raises(UserError, match="no frame has labels; give some"):
        label_density([candidate()], train, unlabelled, train, labels, goals=[5])
    with pytest.raises(UserError, match="no frame has labels to score by"):
        label_density([candidate()], train, labels, train, unlabelled, goals=[5])


def test_a_fingerprint_tells_arrays_and_words_apart():
    x = np.arange(6.0)
    marks = {
        fingerprint([x]),
        fingerprint([x.reshape(2, 3)]),
        fingerprint([x + 1e-9]),
        fingerprint([x.astype(np.float32)]),
        fingerprint([x], "word"),
        fingerprint([x[:3], x[3:]]),
    }
    assert len(marks) == 6
    assert fingerprint([x.copy()]) == fingerprint([x])
