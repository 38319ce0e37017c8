"""Centre, heading, length, egocentric coordinates, distances and angles; order of the animals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroduet.actions.features.geometry import (
    align_egocentric,
    compute_angles,
    compute_body_length,
    compute_distances,
    compute_heading,
    find_bodies,
    mean_of_seen,
    rotate_into,
)
from neuroduet.actions.features.tracking import track_animals

NAN = np.nan
STICK = np.array([[2.0, 0.0], [0.0, 0.0], [-2.0, 0.0]])


def turned(points: np.ndarray, angle: float) -> np.ndarray:
    cos, sin = np.cos(angle), np.sin(angle)
    return points @ np.array([[cos, sin], [-sin, cos]])


def walks(frames: int, animals: int, seed: int) -> np.ndarray:
    """Sticks that walk at random, far from each other at all times."""
    rng = np.random.default_rng(seed)
    path = rng.normal(size=(frames, animals, 2)).cumsum(0)
    path[..., 0] += 1000.0 * np.arange(animals)
    return path[:, :, None] + STICK


@pytest.mark.parametrize("kept", [(0, 1, 2), (0, 1), (1, 2), (0, 2)])
def test_any_two_keypoints_of_a_straight_body_give_its_heading(kept: tuple[int, ...]) -> None:
    points = turned(STICK, 0.7) + 5.0
    points[[i for i in range(3) if i not in kept]] = NAN
    assert np.allclose(compute_heading(points), [np.cos(0.7), np.sin(0.7)])


def test_one_keypoint_or_coinciding_keypoints_have_no_heading() -> None:
    assert np.isnan(compute_heading(np.array([[1.0, 2.0], [NAN, NAN]]))).all()
    assert np.isnan(compute_heading(np.ones((3, 2)))).all()


def test_the_mean_takes_what_is_seen() -> None:
    assert mean_of_seen(np.array([[1.0, 2.0], [NAN, NAN], [3.0, 4.0]])).tolist() == [2, 3]
    assert np.isnan(mean_of_seen(np.full((3, 2), NAN))).all()


def test_body_length_is_front_to_back_and_falls_back_on_the_longest_part_seen() -> None:
    points = np.broadcast_to(STICK, (3, 1, 3, 2)).copy()
    assert compute_body_length(points) == 4.0
    points[:, :, 0] = NAN
    assert compute_body_length(points) == 2.0
    points[:, :, 1] = NAN
    assert compute_body_length(points) == 1.0


def test_ahead_is_along_the_heading_and_left_is_to_its_left() -> None:
    north = np.array([0.0, 1.0])
    assert rotate_into(np.array([-3.0, 2.0]), north).tolist() == [2.0, 3.0]


@given(st.floats(-3.0, 3.0), st.floats(-50, 50), st.floats(0.1, 20.0))
def test_egocentric_coordinates_do_not_know_place_direction_or_scale(
    angle: float, shift: float, scale: float
) -> None:
    body = np.array([[2.0, 0.3], [0.1, -0.4], [-2.0, 0.5], [0.0, 1.0]])[None, None]
    moved = turned(body, angle) * scale + shift
    views = []
    for points in (body, moved):
        bodies = find_bodies(points, (0, 1, 2))
        views.append(align_egocentric(bodies.points, bodies.centre, bodies.heading))
    assert np.allclose(views[0], views[1], atol=1e-9)


def test_distances_and_angles_of_a_right_angle() -> None:
    points = np.array([[0.0, 0.0], [3.0, 0.0], [3.0, 4.0]])
    assert compute_distances(points).tolist() == [3.0, 4.0]
    assert compute_angles(points) == pytest.approx([np.pi / 2])


@pytest.mark.parametrize("animals", [2, 3])
def test_tracking_undoes_exchanges_in_any_frames(animals: int) -> None:
    truth = walks(60, animals, seed=1)
    rng = np.random.default_rng(2)
    mixed = np.stack([frame[rng.permutation(animals)] for frame in truth])
    tracked = track_animals(mixed)
    order = tracked[0, :, 1, 0].argsort()
    assert np.array_equal(tracked[:, order], truth)


def test_tracking_finds_an_animal_again_when_only_one_is_seen() -> None:
    truth = walks(40, 2, seed=3)
    truth[10:20, 0] = NAN
    mixed = truth.copy()
    mixed[15:] = mixed[15:, ::-1]
    assert np.array_equal(track_animals(mixed), truth, equal_nan=True)


def test_tracking_survives_animals_and_recordings_never_seen() -> None:
    assert np.isnan(track_animals(np.full((5, 2, 3, 2), NAN))).all()
    truth = walks(5, 2, seed=4)
    truth[:, 1] = NAN
    tracked = track_animals(truth)
    assert np.isfinite(tracked).all((2, 3)).sum(1).tolist() == [1] * 5
    assert track_animals(np.zeros((0, 2, 3, 2))).shape == (0, 2, 3, 2)


def test_exchanged_animals_take_the_same_paths_where_positions_say_nothing() -> None:
    """Animals on a coarse grid that meet and vanish all the time: ties in most frames."""
    rng = np.random.default_rng(5)
    points = rng.integers(0, 3, (400, 2, 3, 2)).astype(float)
    points[rng.random((400, 2)) < 0.6] = NAN
    tracked, exchanged = track_animals(points), track_animals(points[:, ::-1])
    assert np.array_equal(tracked, exchanged[:, ::-1], equal_nan=True)
