from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from viewed import N_FRAMES, RATE_HZ, Client, film, write

from neuroduet.view import serve
from neuroduet.view.poses import encode_pose, open_pose, skeleton
from neuroduet.view.segments import clock


def decoded(content: bytes) -> tuple[np.ndarray, float, float]:
    """Points (frames x points x 3), time of the first frame and distance of the others."""
    version, frames, points, _ = (int(x) for x in np.frombuffer(content[:16], "<u4"))
    first_s, step_s = np.frombuffer(content[16:32], "<f8")
    assert version == 1
    values = np.frombuffer(content[32:], "<f4").reshape(frames, points, 3)
    return values, float(first_s), float(step_s)


@pytest.mark.parametrize("animals", [1, 2])
def test_frames_of_a_window_come_as_they_are_stored(tmp_path: Path, animals: int) -> None:
    groups = film(animals=animals)
    with serve(write(tmp_path / "day1.h5", **groups)) as view:
        found, first_s, step_s = decoded(Client(view).get("pose", id="day1", start=3.99, end=5))
    xy = groups["pose"].xy.reshape(N_FRAMES, -1, 2)
    # Frame 99 is still shown at 3.99 s.
    assert (first_s, step_s) == pytest.approx((99 / RATE_HZ, 1 / RATE_HZ))
    assert len(found) == 26
    np.testing.assert_allclose(found[..., :2], xy[99:125], rtol=1e-6)
    np.testing.assert_array_equal(found[..., 2], np.isfinite(xy[99:125]).all(-1))


def test_a_pause_of_the_camera_is_missing_and_a_long_window_is_thinned() -> None:
    times = np.concatenate([np.arange(5000), np.arange(5500, 10_000)]) / 100
    xy = np.stack([np.stack([times, times], axis=-1)] * 2, axis=1)
    pose = open_pose(clock(times), xy, None, ())
    found, _, step_s = decoded(encode_pose(pose, 0.0, 100.0))
    assert len(found) <= 2000
    at = np.arange(len(found)) * step_s
    in_pause = (at > 50.01) & (at < 54.98)
    assert np.isnan(found[in_pause]).all()
    assert np.isfinite(found[~in_pause]).mean() > 0.99
    assert np.nanmax(np.abs(found[..., 0] - at[:, None])) < 0.0076


def test_the_skeleton_joins_neighbours() -> None:
    rng = np.random.default_rng(0)
    order = rng.permutation(6)
    xy = rng.normal(size=(200, 2, 1, 2)) + np.stack([order * 3.0, np.zeros(6)], axis=-1)
    place = np.argsort(order)
    expected = sorted(sorted((int(place[n]), int(place[n + 1]))) for n in range(5))
    assert skeleton(xy) == expected


def test_a_pose_that_was_never_found_has_no_lines() -> None:
    pose = open_pose(clock(np.arange(10.0)), np.full((10, 3, 2), np.nan), None, ())
    assert pose.edges == []
    assert (pose.low, pose.high) == ([0.0, 0.0], [1.0, 1.0])
    found, _, _ = decoded(encode_pose(pose, 0.0, 10.0))
    assert np.isnan(found[..., :2]).all()


def test_likelihoods_are_sent_with_the_points() -> None:
    likelihood = np.linspace(0, 1, 30).reshape(10, 3)
    pose = open_pose(clock(np.arange(10.0)), np.zeros((10, 3, 2)), likelihood, ("a", "b", "c"))
    found, _, _ = decoded(encode_pose(pose, 0.0, 10.0))
    np.testing.assert_allclose(found[..., 2], likelihood, rtol=1e-6)
