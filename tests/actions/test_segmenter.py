"""One face for all segmentation models."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from neuroduet import actions
from neuroduet.actions import Segmenter
from neuroduet.actions.evaluation import evaluate_actions
from neuroduet.actions.families import FAMILIES
from neuroduet.actions.metrics import score_states
from neuroduet.actions.run import Inputs, Recipe, train_segmenter
from neuroduet.actions.saved import FILES
from neuroduet.errors import UserError
from neuroduet.simulate.nascar import nascar
from neuroduet.types import UNLABELLED

QUICK: dict[str, dict[str, int]] = {
    "random_forest": {"trees": 10},
    "boosting": {"rounds": 5},
    "mlp": {"steps": 20},
    "lstm": {"steps": 10},
    "gru": {"steps": 10},
    "tcn": {"steps": 20},
    "ms_tcn": {"steps": 10},
    "hmm": {"restarts": 1},
    "arhmm": {"restarts": 1},
    "slds": {"steps": 10},
    "gmdgm": {"steps": 10},
    "s3lds": {"steps": 10},
}


def world(n: int = 3, frames: int = 400) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Three classes of different mean, in bouts of 40 frames, in four noisy features."""
    rng = np.random.default_rng(0)
    labels = [np.repeat(rng.permutation(np.arange(frames // 40) % 3), 40) for _ in range(n)]
    centres = np.array([[0, 0, 1, 0], [2, 0, 0, 0], [0, 3, 0, -1.0]])
    return [centres[y] + 0.3 * rng.normal(size=(len(y), 4)) for y in labels], labels


def fitted(model: str, **options: int) -> tuple[Segmenter, list[np.ndarray]]:
    features, labels = world()
    segmenter = Segmenter(model, features="position", **{**QUICK[model], **options})
    hidden = [np.where(np.arange(len(y)) % 200 < 120, y, UNLABELLED) for y in labels]
    return segmenter.fit(features, hidden), features


@pytest.mark.parametrize("model", FAMILIES)
def test_every_model_predicts_every_frame_and_comes_back_from_files(
    model: str, tmp_path: Path
) -> None:
    segmenter, features = fitted(model)
    probabilities = segmenter.predict_proba(features)
    for one, x in zip(probabilities, features, strict=True):
        assert one.shape == (len(x), 3)
        assert np.isfinite(one).all()
        assert np.allclose(one.sum(1), 1.0, atol=1e-5)
    again = Segmenter.from_pretrained(segmenter.save_pretrained(tmp_path / "model"))
    for one, same in zip(probabilities, again.predict_proba(features), strict=True):
        assert np.array_equal(one, same)
    names = [str(k) if FAMILIES[model].uses_labels else f"state {k}" for k in range(3)]
    assert list(again.class_names) == list(segmenter.class_names) == names
    one_frame = segmenter.predict([features[0][:1]])[0]
    assert one_frame.shape == (1,)


@pytest.mark.parametrize("model", ["random_forest", "boosting", "mlp", "tcn", "hmm"])
def test_classes_that_differ_in_their_mean_are_found(model: str) -> None:
    features, labels = world(4)
    segmenter = Segmenter(model, features="position", **({} if model != "tcn" else {"steps": 150}))
    segmenter.fit(features[:3], labels[:3])
    assert segmenter.score(features[3:], labels[3:]) > 0.93


@pytest.mark.parametrize("model", FAMILIES)
def test_a_model_is_the_same_for_the_same_seed(model: str) -> None:
    (first, features), (second, _) = fitted(model), fitted(model)
    assert np.array_equal(first.predict_proba(features)[0], second.predict_proba(features)[0])


@pytest.mark.parametrize("model", ["hmm", "arhmm", "slds"])
def test_states_are_found_without_labels(model: str) -> None:
    features, _ = world()
    segmenter = Segmenter(model, features="position", n_states=3, **QUICK[model])
    states = segmenter.fit(features).predict(features)
    assert segmenter.class_names == ("state 0", "state 1", "state 2")
    assert {s.shape for s in states} == {(400,)}


def test_states_without_names_are_not_scored_as_if_they_were_classes() -> None:
    features, labels = world()
    segmenter = Segmenter("hmm", features="position", n_states=3, restarts=1).fit(features)
    with pytest.raises(UserError, match="are no classes; .*score_states"):
        segmenter.score(features, labels)
    found = score_states(labels, segmenter.predict(features)).set_index(["metric", "class"])
    assert found["value"]["one_to_one", "all"] > 0.9


@pytest.mark.parametrize("given", [None, ("rest", "groom", "rear")])
def test_states_that_no_label_taught_bear_no_name_of_a_class(
    given: tuple[str, ...] | None,
) -> None:
    features, labels = world()
    segmenter = Segmenter("slds", features="position", classes=given, **QUICK["slds"])
    assert segmenter.fit(features, labels).class_names == ("state 0", "state 1", "state 2")
    two = Segmenter("slds", features="position", n_states=2, **QUICK["slds"])
    assert two.fit(features, labels).class_names == ("state 0", "state 1")


def test_recordings_may_be_given_one_at_a_time() -> None:
    segmenter, features = fitted("random_forest")
    labels = world()[1]
    assert segmenter.score(iter(features), iter(labels)) == segmenter.score(features, labels)


@pytest.mark.parametrize("shape", [(5, 2), (5, 3), (2, 4, 3)])
def test_pose_with_missing_points_never_crashes(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    pose = [rng.normal(size=(300, *shape)).cumsum(0) for _ in range(2)]
    for one in pose:
        one[rng.random(one.shape[:-1]) < 0.4] = np.nan
        one[:, ..., 0, :] = np.nan  # a keypoint that is never seen
    labels = [np.repeat([0, 1, 2], 100) for _ in pose]
    segmenter = Segmenter("random_forest", trees=5).fit(pose, labels)
    blind = np.full((7, *shape), np.nan)
    for one in segmenter.predict_proba([*pose, blind]):
        assert np.isfinite(one).all()


def test_names_of_classes_are_kept_and_count() -> None:
    features, labels = world()
    segmenter = Segmenter("random_forest", classes=("rest", "groom", "rear"), trees=5)
    assert segmenter.fit(features, labels).class_names == ("rest", "groom", "rear")
    with pytest.raises(UserError, match="labels go up to 2, but only 2 classes are named"):
        Segmenter("random_forest", classes=("rest", "groom")).fit(features, labels)


X = np.zeros((10, 3))
Y = np.zeros(10, int)


@pytest.mark.parametrize(
    ("recordings", "labels", "words"),
    [
        (X, [Y], r"one array of shape \(10, 3\), expected a list .* give \[array\]"),
        (np.stack([X, X]), [Y, Y], r"list\(array\) for several"),
        ([], None, "no recording"),
        ([X[0]], [Y], r"shape \(3,\)"),
        ([np.array([["a", "b"]])], [Y], "expected numbers"),
        ([X, np.zeros((10, 4))], [Y, Y], "differ in the shape of a frame"),
        ([X], [Y, Y], "given for 2 of 1 recordings"),
        ([X], [Y[:5]], r"10 frames, but labels of shape \(5,\)"),
        ([X], [Y - 2], "not integers from -1 on"),
        ([X], [Y + 0.5], "not integers from -1 on"),
        ([X], [np.full(10, np.nan)], "not integers from -1 on"),
        ([X], [Y - 1], "learns from labels"),
        ([X], [np.full(10, "")], "learns from labels"),
        ([X, X], [np.full(10, "rest"), Y[:4]], r"labels of shape \(4,\)"),
        ([X], [np.array(["rest", 3.0] * 5, dtype=object)], "unknown class '3.0'"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_in_one_sentence(
    recordings: object, labels: object, words: str
) -> None:
    with pytest.raises(UserError, match=words) as raised:
        Segmenter("tcn").fit(recordings, labels)  # type: ignore[arg-type]
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": "tnc"}, "did you mean 'tcn'"),
        ({"hiden": 3}, "did you mean 'hidden'"),
        ({"dropout": "much"}, "option 'dropout' of model 'tcn'"),
        ({"pool": 0}, "pool is 0"),
        ({"features": "positions"}, "option 'kind' of features"),
    ],
)
def test_options_that_do_not_exist_are_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        Segmenter(**options)  # type: ignore[arg-type]


def test_labels_may_be_names() -> None:
    features, labels = world()
    names = np.array(["rest", "groom", "rear", ""])
    numbers = [np.where(np.arange(len(y)) % 200 < 120, y, UNLABELLED) for y in labels]
    words = [names[y] for y in numbers]
    plain = Segmenter("random_forest", classes=names[:3].tolist(), trees=5)
    expected = plain.fit(features, numbers).predict(features)
    for given in (words, [y.astype(object) for y in words]):
        same = Segmenter("random_forest", classes=names[:3].tolist(), trees=5)
        found = same.fit(features, given).predict(features)
        assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
        assert same.score(features, given) == plain.score(features, numbers)
    alone = Segmenter("random_forest", trees=5).fit(features, words)
    assert alone.classes_.tolist() == ["groom", "rear", "rest"]
    answers = alone.classes_[alone.predict(features)[0]]
    assert (answers == names[labels[0]]).mean() > 0.9
    with pytest.raises(UserError, match="unknown class 'rest'; .*known: groom, rear"):
        Segmenter("random_forest", classes=("groom", "rear")).fit(features, words)


def test_weak_labels_may_be_names_too() -> None:
    features, labels = world()
    names = np.array(["a", "b", "c"])
    none = [np.full(len(y), "") for y in labels]
    segmenter = Segmenter("hmm", restarts=1).fit(features, none, weak=[names[y] for y in labels])
    assert segmenter.classes_.tolist() == ["a", "b", "c"]
    plain = Segmenter("hmm", restarts=1).fit(features, weak=labels)
    np.testing.assert_array_equal(segmenter.predict(features), plain.predict(features))


def test_networks_compute_with_one_thread_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    features, labels = world(1)
    seen: dict[str, list[int]] = {}
    for name in ("tcn", "random_forest"):
        family, told = FAMILIES[name], seen.setdefault(name, [])

        def fit(*given: object, own: object = family.fit, told: list[int] = told) -> object:
            told.append(torch.get_num_threads())
            return own(*given)  # type: ignore[operator]

        monkeypatch.setitem(FAMILIES, name, replace(family, fit=fit))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        for given in ({}, {"threads": 2}, {"threads": None}):
            Segmenter("tcn", steps=1, **given).fit(features, labels)
            Segmenter("random_forest", trees=1, **given).fit(features, labels)
            assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert seen == {"tcn": [1, 2, 3], "random_forest": [3, 3, 3]}
    with pytest.raises(UserError, match="threads is 0"):
        Segmenter(threads=0)


def test_the_room_lists_its_segmenter() -> None:
    assert "Segmenter" in dir(actions)


def test_a_model_that_is_not_fitted_or_fitted_to_other_features_says_so() -> None:
    for error in (UserError, NotFittedError):
        with pytest.raises(error, match="not fitted"):
            Segmenter("tcn").predict([X])
    assert not hasattr(Segmenter("tcn"), "classes_")
    segmenter, _ = fitted("random_forest")
    with pytest.raises(UserError, match=r"fitted to \(4,\)"):
        segmenter.predict([X])
    with pytest.raises(UserError, match="has no latents"):
        segmenter.latents([np.zeros((5, 4))])
    with pytest.raises(UserError, match="set n_states"):
        Segmenter("arhmm").fit([X])


def test_states_that_came_back_from_files_do_not_name_the_classes_of_a_new_fit(
    tmp_path: Path,
) -> None:
    features, labels = world()
    segmenter = Segmenter("hmm", features="position", n_states=3, restarts=1).fit(features)
    again = Segmenter.from_pretrained(segmenter.save_pretrained(tmp_path / "model"))
    assert again.class_names == again.fit(features).class_names == segmenter.class_names
    assert again.fit(features, labels).class_names == ("0", "1", "2")


def test_a_folder_that_holds_files_is_not_written_over(tmp_path: Path) -> None:
    segmenter, _ = fitted("random_forest")
    folder = segmenter.save_pretrained(tmp_path / "deep" / "model", licence="mit")
    assert "license: mit" in (folder / "README.md").read_text("utf-8")
    kept = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(kept) == set(FILES)
    other, _ = fitted("hmm")
    with pytest.raises(UserError, match="already holds files; choose a new or empty folder"):
        other.save_pretrained(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == kept
    with pytest.raises(NotFittedError):
        Segmenter("hmm").save_pretrained(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_segmenter_is_not_trained_for_a_folder_that_holds_files(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="already holds files"):
        train_segmenter(
            inputs=Inputs(data=tmp_path / "nowhere"),
            recipe=Recipe(),
            out=tmp_path / "out",
            unlabelled=False,
        )


def test_a_damaged_folder_is_named(tmp_path: Path) -> None:
    segmenter, _ = fitted("random_forest")
    folder = segmenter.save_pretrained(tmp_path / "model")
    weights = folder / "segmenter.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="no readable segmenter"):
        Segmenter.from_pretrained(folder)
    weights.write_bytes(whole)
    said = json.loads((folder / "segmenter.json").read_text())
    (folder / "segmenter.json").write_text(json.dumps(said | {"schema": 99}))
    with pytest.raises(UserError, match="layout version 99"):
        Segmenter.from_pretrained(folder)
    with pytest.raises(UserError, match="there is no folder"):
        Segmenter.from_pretrained(tmp_path / "nowhere")


def test_scikit_learn_copies_and_changes_a_segmenter() -> None:
    given = {"classes": ["a", "b", "c"], "threads": 2, "verbose": True}
    segmenter = Segmenter("hmm", n_states=3, seed=4, sticky=7.0, **given)
    assert given.items() <= segmenter.get_params().items()
    twin = clone(segmenter)
    assert twin.get_params() == segmenter.get_params()
    assert twin.options.sticky == 7.0
    assert twin.set_params(sticky=9.0).options.sticky == 9.0
    assert segmenter.options.sticky == 7.0


def test_a_segmenter_remembers_what_it_was_fitted_to(tmp_path: Path) -> None:
    world = nascar(n_frames=300)
    segmenter = Segmenter("hmm", n_states=2).fit([world.features], names=["monday"])
    again = Segmenter.from_pretrained(segmenter.save_pretrained(tmp_path / "model"))
    assert again.describe()["recordings"] == ["monday"]


def test_files_are_scored_by_plain_paths(tmp_path: Path) -> None:
    features, labels = world(2)
    for index, (x, y) in enumerate(zip(features, labels, strict=True)):
        np.savez(tmp_path / f"day{index}.npz", features=x, labels=y, names=np.array(list("abc")))
    segmenter = Segmenter("random_forest", classes=list("abc"), trees=5).fit(features, labels)
    model = segmenter.save_pretrained(tmp_path / "model")
    inputs = Inputs(data=tmp_path)
    expected = evaluate_actions(models=[model], inputs=inputs, out=None).scores
    found = evaluate_actions(models=str(model), inputs=str(tmp_path), out=str(tmp_path / "s.csv"))
    pd.testing.assert_frame_equal(found.scores, expected)
    assert len(pd.read_csv(tmp_path / "s.csv")) == len(expected)
    again = evaluate_actions(models=[str(model), model], inputs=tmp_path).scores
    assert again["value"].tolist() == pytest.approx(expected["value"].tolist(), nan_ok=True)
