from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from neuroduet.view.segments import bouts, clock, visible_bouts

codes = st.lists(st.integers(-1, 2), min_size=1, max_size=80).map(np.array)


@given(classes=codes, window=st.tuples(st.integers(0, 80), st.integers(0, 80)))
def test_bouts_tile_the_labelled_frames_they_touch(
    classes: np.ndarray, window: tuple[int, int]
) -> None:
    first, last = min(window), min(max(window), len(classes))
    found = bouts(clock(np.arange(len(classes)) / 10), classes, first, last)
    painted = np.full(len(classes), -1)
    for begin, stop, code in found:
        assert (painted[begin:stop] == -1).all()
        assert begin == 0 or classes[begin - 1] != code
        assert stop == len(classes) or classes[stop] != code
        painted[begin:stop] = code
    np.testing.assert_array_equal(painted[first:last], classes[first:last])


def test_a_pause_ends_a_bout() -> None:
    times = clock(np.array([0.0, 1.0, 2.0, 9.0, 10.0]))
    np.testing.assert_array_equal(times.end_s, [1, 2, 3, 10, 11])
    assert bouts(times, np.zeros(5, np.int64), 0, 5) == [(0, 3, 0), (3, 5, 0)]
    assert times.frames(3.0, 9.0) == (3, 3)
    assert times.frames(2.5, 9.5) == (2, 4)


def test_very_many_bouts_are_listed_by_column() -> None:
    classes = np.arange(20_000) % 2
    found, thinned = visible_bouts(
        clock(np.arange(20_000) / 100), classes, np.linspace(0, 200, 101)
    )
    assert thinned
    assert 1 <= len(found) <= 100
    assert found[0][0] == 0
    assert found[-1][1] == 20_000
    few, thinned = visible_bouts(clock(np.arange(20_000) / 100), classes, np.linspace(0, 1, 101))
    assert (len(few), thinned) == (100, False)


def test_no_frames_have_no_bouts() -> None:
    none = np.zeros(0, np.int64)
    assert visible_bouts(clock(np.zeros(0)), none, np.linspace(0, 1, 5)) == ([], False)
