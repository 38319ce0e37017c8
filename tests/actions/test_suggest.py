from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from neuroduet.actions.suggest import COLUMNS, suggest_bouts, uncertainty
from neuroduet.errors import UserError
from neuroduet.types import UNLABELLED

SURE, OTHER, UNSURE = [0.98, 0.01, 0.01], [0.01, 0.98, 0.01], [0.34, 0.33, 0.33]
NAMES = ["still", "walk", "groom"]


def sure(frames: int = 300) -> np.ndarray:
    return np.tile(SURE, (frames, 1))


def test_uncertainty_splits_into_what_models_share_and_where_they_differ():
    stack = np.array([[SURE, UNSURE, [1, 0, 0]], [SURE, UNSURE, [0, 1, 0]]])
    total, disagreement = uncertainty(stack)
    np.testing.assert_allclose(disagreement, [0, 0, np.log(2) / np.log(3)], atol=1e-9)
    np.testing.assert_allclose(total[1:], [1, np.log(2) / np.log(3)], atol=1e-3)
    assert total[0] < 0.15


@given(st.integers(0, 10_000), st.integers(1, 4))
def test_disagreement_is_between_0_and_the_entropy(seed, models):
    stack = np.random.default_rng(seed).dirichlet(np.full(4, 0.3), (models, 20))
    total, disagreement = uncertainty(stack)
    assert (disagreement >= 0).all()
    assert (disagreement <= total + 1e-12).all()
    assert (total <= 1 + 1e-12).all()
    if models == 1:
        np.testing.assert_allclose(disagreement, 0, atol=1e-12)


def test_the_planted_uncertain_stretch_is_found_and_named():
    recordings = [sure(), sure()]
    recordings[1][100:140] = UNSURE
    first = suggest_bouts([recordings], n=3, names=NAMES).iloc[0]
    assert first["recording"] == 1
    assert abs(first["start"] - 100) <= 1
    assert abs(first["end"] - 140) <= 1
    assert first["class"] == "still"
    assert first["reason"] == "unsure: still or walk"


def test_models_that_disagree_come_before_models_that_are_both_unsure():
    one, two = sure(), sure()
    one[50:80] = two[50:80] = [0.5, 0.5, 0.0]
    two[200:230] = OTHER
    table = suggest_bouts([[one], [two]], n=2, names=NAMES)
    assert abs(table["start"][0] - 200) <= 1
    assert table["reason"].tolist() == ["models disagree: still or walk", "unsure: still or walk"]
    assert table["disagreement"][0] > 0.5
    assert table["disagreement"][1] < 0.05


def test_nothing_in_doubt_is_said():
    certain = [np.tile([1.0, 0.0], (60, 1))]
    table = suggest_bouts([certain], n=1)
    assert table["reason"].tolist() == ["little in doubt, probably 0"]


@given(
    st.integers(0, 10_000),
    st.integers(0, 12),
    st.integers(1, 8),
    st.integers(0, 20),
    st.floats(0, 0.9),
)
def test_suggestions_are_disjoint_unlabelled_and_of_the_asked_length(
    seed, n, min_frames, more, diversity
):
    generator = np.random.default_rng(seed)
    lengths = generator.integers(1, 80, 3)
    members = [
        [generator.dirichlet(np.full(3, 0.4), frames) for frames in lengths] for _ in range(2)
    ]
    labels = [
        np.repeat(generator.integers(-1, 2, frames // 10 + 1), 10)[:frames] for frames in lengths
    ]
    bounds = {"min_frames": min_frames, "max_frames": min_frames + more}
    table = suggest_bouts(members, labels, n, diversity=diversity, **bounds)
    assert list(table.columns) == COLUMNS
    assert len(table) <= n
    seen = [np.zeros(frames, int) for frames in lengths]
    for row in table.itertuples():
        assert min_frames <= row.end - row.start <= min_frames + more
        assert (labels[row.recording][row.start : row.end] == UNLABELLED).all()
        seen[row.recording][row.start : row.end] += 1
    assert all((one <= 1).all() for one in seen)
    again = suggest_bouts(members, labels, n, diversity=diversity, **bounds)
    assert table.equals(again)


def test_diversity_spreads_suggestions_over_recordings():
    generator = np.random.default_rng(0)
    members = [[generator.dirichlet(np.full(3, a), 500) for a in (2.0, 1.6, 1.6)]]
    same, spread = (
        suggest_bouts(members, n=6, diversity=d)["recording"].nunique() for d in (0.0, 0.5)
    )
    assert same < 3
    assert spread == 3


def test_diversity_spreads_suggestions_over_classes():
    recording = sure(1000)
    for k in range(6):
        recording[100 * k : 100 * k + 20] = UNSURE
    recording[700:720] = [0.25, 0.45, 0.3]
    plain, spread = (
        suggest_bouts([[recording]], n=3, names=NAMES, diversity=d)["class"].tolist()
        for d in (0.0, 0.5)
    )
    assert plain == ["still"] * 3
    assert "walk" in spread


def test_nothing_left_to_label_gives_an_empty_table():
    table = suggest_bouts([[sure(50)]], [np.zeros(50, int)])
    assert table.empty
    assert list(table.columns) == COLUMNS
    assert suggest_bouts([[sure(5)]], min_frames=10).empty


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: suggest_bouts([]), "no model"),
        (lambda: suggest_bouts([[sure(9)], [sure(8)]]), "shapes"),
        (lambda: suggest_bouts([[sure(9)]], [np.zeros(8, int)]), "frames by recording"),
        (lambda: suggest_bouts([[sure(9)]], min_frames=9, max_frames=3), "min_frames"),
        (lambda: suggest_bouts([[sure(9)]], diversity=1.0), "diversity"),
        (lambda: suggest_bouts([[sure(9)]], names=["a"]), "names"),
    ],
)
def test_what_does_not_fit_together_is_said(call, message):
    with pytest.raises(UserError, match=message):
        call()
