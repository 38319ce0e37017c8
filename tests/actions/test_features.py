"""Features of whole recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from neuroduet.actions.features import (
    FeatureOptions,
    Standardiser,
    compute_features,
    fit_standardiser,
)
from neuroduet.actions.features.options import Kind, Standardise
from neuroduet.errors import UserError

NAN = np.nan
POSE_KINDS: tuple[Kind, ...] = (
    "auto",
    "position",
    "position_velocity",
    "acceleration",
    "egocentric",
    "kinematics",
)


def rats(frames: int = 60, animals: int = 2, seed: int = 0) -> np.ndarray:
    """Animals of four keypoints that wander and turn, apart from each other."""
    rng = np.random.default_rng(seed)
    angle = rng.normal(size=(frames, animals)).cumsum(0) * 0.2
    heading = np.stack([np.cos(angle), np.sin(angle)], -1)[:, :, None]
    centre = rng.normal(size=(frames, animals, 1, 2)).cumsum(0)
    centre[..., 0] += 300.0 * np.arange(animals)[:, None]
    along = np.array([40.0, 0.0, -40.0, -70.0])[:, None]
    return centre + along * heading + rng.normal(size=(frames, animals, 4, 2))


def test_position_velocity_of_the_reference() -> None:
    features = compute_features(np.array([[1.0], [4.0], [2.0]]), FeatureOptions())
    assert features.values.tolist() == [[1, 0], [4, 3], [2, -2]]
    assert features.names == ("x0", "velocity.x0")
    assert features.values.dtype == np.float32


@pytest.mark.parametrize(("kind", "copies"), [("position", 1), ("acceleration", 3)])
def test_signals_come_with_as_many_differences_as_the_kind_says(kind: Kind, copies: int) -> None:
    signals = np.random.default_rng(0).normal(size=(20, 3))
    values = compute_features(signals, FeatureOptions(kind=kind)).values
    assert values.shape == (20, 3 * copies)
    assert np.allclose(values[:, :3], signals)


@pytest.mark.parametrize("animals", [1, 2, 3])
@pytest.mark.parametrize("kind", POSE_KINDS)
@pytest.mark.parametrize("case", ["some", "keypoint", "animal", "all", "infinite", "one frame"])
def test_missing_pose_never_crashes_and_is_nan_and_nothing_else(
    kind: Kind, case: str, animals: int
) -> None:
    pose = rats(animals=animals)
    damage = {
        "some": np.random.default_rng(1).random(pose.shape[:3]) < 0.4,
        "keypoint": np.broadcast_to(np.arange(4) == 0, pose.shape[:3]),
        "animal": np.broadcast_to((np.arange(animals) == 0)[:, None], pose.shape[:3]),
        "all": np.ones(pose.shape[:3], bool),
        "infinite": np.random.default_rng(2).random(pose.shape[:3]) < 0.1,
        "one frame": np.zeros(pose.shape[:3], bool),
    }[case]
    pose[damage] = np.inf if case == "infinite" else NAN
    pose = pose[:1] if case == "one frame" else pose
    whole = compute_features(rats(animals=animals), FeatureOptions(kind=kind, wavelets=(8,)))
    features = compute_features(pose, FeatureOptions(kind=kind, wavelets=(8,)))
    assert not np.isinf(features.values).any()
    assert features.names == whole.names
    assert features.values.shape == (len(pose), len(features.names))


def test_names_are_unique_and_the_layout_is_the_same_for_one_animal_either_way() -> None:
    pose = rats(animals=1)
    four, three = (compute_features(p, FeatureOptions()) for p in (pose, pose[:, 0]))
    assert len(set(four.names)) == len(four.names)
    assert np.array_equal(four.values, three.values)


@pytest.mark.parametrize("kind", POSE_KINDS)
def test_exchanging_animals_in_any_frames_changes_nothing(kind: Kind) -> None:
    pose = rats()
    swapped = np.random.default_rng(5).random(len(pose)) < 0.5
    mixed = pose.copy()
    mixed[swapped] = mixed[swapped][:, ::-1]
    options = FeatureOptions(kind=kind, wavelets=(8,))
    here, there = (compute_features(p, options).values for p in (pose, mixed))
    assert np.array_equal(here, there, equal_nan=True)


def test_animals_keep_their_columns_when_asked() -> None:
    pose, options = rats(), FeatureOptions(kind="position", symmetric=False, validity=False)
    features = compute_features(pose, options)
    assert np.allclose(features.values, pose.reshape(len(pose), -1))
    assert features.names[0] == "keypoint0.x.0"


def test_kinematics_do_not_know_place_direction_or_scale() -> None:
    pose = rats()
    turn = np.array([[np.cos(1.0), np.sin(1.0)], [-np.sin(1.0), np.cos(1.0)]])
    moved = 3.0 * pose @ turn + 100.0
    here, there = (compute_features(p, FeatureOptions()).values for p in (pose, moved))
    assert np.allclose(here, there, atol=1e-4)


def test_social_features_of_two_animals_standing_nose_to_nose() -> None:
    along = np.array([0.5, 0.0, -0.5])[:, None] * np.array([1.0, 0.0])
    pose = np.stack([along, np.array([2.0, 0.0]) - along])[None].repeat(3, 0)
    features = compute_features(pose, FeatureOptions())
    at = dict(zip(features.names, features.values[-1], strict=True))
    assert at["distance_between"] == pytest.approx(2.0)
    assert at["nearest"] == at["least.nearest_reach"] == pytest.approx(1.0)
    assert at["parallel"] == pytest.approx(-1.0)
    assert at["least.facing"] == at["most.facing"] == pytest.approx(1.0)
    assert at["least.other.ahead"] == pytest.approx(2.0)
    assert at["most.speed.1"] == at["parting.5"] == 0.0


def test_an_animal_that_approaches_is_seen_to() -> None:
    along = np.array([0.5, 0.0, -0.5])[:, None] * np.array([1.0, 0.0])
    steps = 0.01 * np.arange(20)[:, None, None] * np.array([1.0, 0.0])
    pose = np.stack([along + steps, np.array([2.0, 0.0]) - along + 0 * steps], 1)
    features = compute_features(pose, FeatureOptions())
    at = dict(zip(features.names, features.values[-1], strict=True))
    assert at["most.approach"] == pytest.approx(np.log(2.0), rel=1e-4)
    assert at["least.approach"] == pytest.approx(0.0, abs=1e-6)
    assert at["parting.1"] == pytest.approx(-np.log(2.0), rel=1e-4)


def test_missingness_is_told_for_pose_and_on_request_for_signals() -> None:
    pose = rats(animals=1)[:, 0]
    pose[3:5, 2] = NAN
    features = compute_features(pose, FeatureOptions())
    column = features.values[:, features.names.index("missing2")]
    assert np.flatnonzero(column).tolist() == [3, 4]
    assert np.isfinite(features.values).all()
    signals = compute_features(pose[..., 0], FeatureOptions(validity=True))
    assert np.flatnonzero(signals.values[:, -2]).tolist() == [3, 4]


def test_gaps_beyond_the_limit_stay_missing() -> None:
    signals = np.arange(30.0)[:, None].copy()
    signals[10:20] = NAN
    short = compute_features(signals, FeatureOptions(kind="position", fill_limit=9))
    long = compute_features(signals, FeatureOptions(kind="position", fill_limit=10))
    assert np.flatnonzero(np.isnan(short.values[:, 0])).tolist() == list(range(10, 20))
    assert np.allclose(long.values[:, 0], np.arange(30))


def test_unlikely_keypoints_are_missing() -> None:
    pose = np.concatenate([rats(), np.full((60, 2, 4, 1), 0.5)], -1)
    kept = compute_features(pose, FeatureOptions(min_likelihood=0.4))
    assert np.isfinite(kept.values).mean() > 0.99
    lost = compute_features(pose, FeatureOptions(min_likelihood=0.6, validity=False))
    assert np.isnan(lost.values[1:]).all()


def test_every_recording_by_itself_when_published_standardisation_is_asked() -> None:
    signals = 5.0 + 3.0 * np.random.default_rng(0).normal(size=(200, 2))
    values = compute_features(signals, FeatureOptions(standardise="recording")).values
    assert np.allclose(values.mean(0), 0, atol=1e-6)
    assert np.allclose(values.std(0), 1, atol=1e-6)


def test_standardising_uses_training_frames_of_all_recordings_and_keeps_constants_at_zero() -> (
    None
):
    one, two = np.array([[1.0, 7.0], [3.0, 7.0]]), np.array([[8.0, 7.0]])
    fitted = Standardiser.fit([one, two])
    assert fitted.mean.tolist() == [4.0, 7.0]
    assert fitted.scale == pytest.approx([np.std([1, 3, 8]), 1.0])
    assert fitted.apply(two)[:, 1].tolist() == [0.0]


def test_standardising_ignores_missing_values_and_makes_them_zero() -> None:
    values = np.array([[1.0, NAN], [NAN, NAN], [3.0, NAN]])
    standard = Standardiser.fit([values]).apply(values)
    assert standard.tolist() == [[-1, 0], [0, 0], [1, 0]]
    assert Standardiser.identity(2).apply(values).tolist() == [[1, 0], [0, 0], [3, 0]]


def test_a_column_that_training_never_saw_says_nothing_later() -> None:
    fitted = Standardiser.fit([np.array([[1.0, NAN], [3.0, NAN]])])
    assert fitted.apply(np.array([[3.0, 640.0]])).tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize(("how", "mean"), [("training", 2.0), ("recording", 0.0), ("none", 0.0)])
def test_only_training_statistics_are_learnt(how: Standardise, mean: float) -> None:
    assert fit_standardiser([np.array([[1.0], [3.0]])], how).mean.tolist() == [mean]


@pytest.mark.parametrize(
    ("recording", "options", "hint"),
    [
        (np.zeros((5, 3)), {"kind": "egocentric"}, "need pose"),
        (np.zeros((5, 3, 4)), {}, "expected"),
        (np.zeros(5), {}, "expected"),
        (np.zeros((5, 3, 2)), {"keypoints": (0, 3)}, "keypoint 3"),
        (np.zeros((5, 3, 2)), {"keypoints": (0, 1), "axis": (0, 2)}, "keypoint 2"),
    ],
)
def test_what_does_not_fit_is_explained(recording: np.ndarray, options: dict, hint: str) -> None:
    with pytest.raises(UserError, match=hint):
        compute_features(recording, FeatureOptions(**options))


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(ValidationError):
        FeatureOptions.model_validate({"smoothing": 3})


def test_two_rats_with_a_third_of_their_keypoints_missing(shared_data: Path) -> None:
    with np.load(shared_data / "rat_social" / "rat_social_01-24.npz") as videos:
        pose = videos["dlc_5"][:3000, 1:].reshape(-1, 2, 5, 3)
    features = compute_features(pose, FeatureOptions(keypoints=(0, 1, 2, 3), axis=(0, 1, 2)))
    at = dict(zip(features.names, features.values.T, strict=True))
    assert np.isnan(pose[..., 0]).mean() > 0.3
    # Mean length of a rat is the unit, so that rats are seldom more than a few of them apart.
    assert 0.3 < np.nanmedian(at["distance_between"]) < 3.0
    assert np.nanpercentile(at["most.speed.15"], 99) < np.log1p(50.0)
