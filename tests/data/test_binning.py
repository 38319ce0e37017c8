from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroduet.data.binning import (
    bin_events,
    bin_grid,
    finite_samples,
    interpolate,
    nearest,
    overlaps,
    sample_series,
    select_bins,
)


def brute_force_counts(times, units, starts, n_bins, bin_size, n_units):
    """Integer arithmetic in units of a tenth of a bin, so that edges are exact."""
    counts = np.zeros((len(starts), n_bins, n_units), np.float32)
    ticks = np.round(np.asarray(times) / bin_size * 10).astype(int)
    for w, start in enumerate(np.round(np.asarray(starts) / bin_size * 10).astype(int)):
        for tick, unit in zip(ticks, units, strict=True):
            if 0 <= tick - start < 10 * n_bins:
                counts[w, (tick - start) // 10, unit] += 1
    return counts


def test_known_spikes_land_in_known_bins():
    times = np.array([0.00, 0.05, 0.10, 0.19, 0.20])
    counts = bin_events(times, np.array([0, 1, 0, 1, 0]), np.array([0.0]), 2, 0.1, 2)
    np.testing.assert_array_equal(counts, [[[1, 1], [1, 1]]])
    assert counts.dtype == np.float32


@pytest.mark.parametrize("bin_size", [0.1, 0.02, 0.06 / 3, 1 / 3])
def test_spike_on_an_edge_belongs_to_the_bin_that_starts_there(bin_size):
    times = np.arange(30) * bin_size
    counts = bin_events(times, np.zeros(30, int), np.array([0.0, 7 * bin_size]), 10, bin_size, 1)
    np.testing.assert_array_equal(counts, np.ones((2, 10, 1)))


def test_spike_on_the_start_is_inside_and_on_the_end_outside():
    times = np.array([0.3, 0.6])
    counts = bin_events(times, np.zeros(2, int), np.array([0.3]), 3, 0.1, 1)
    np.testing.assert_array_equal(counts[0, :, 0], [1, 0, 0])


ticks = st.lists(st.integers(0, 600), max_size=60).map(sorted)


@given(ticks, st.lists(st.integers(-100, 700), min_size=1, max_size=6), st.integers(1, 12),
       st.sampled_from([0.02, 0.1, 0.25, 1 / 3]), st.integers(0, 2**31))  # fmt: skip
def test_binning_equals_a_loop_over_spikes(times, starts, n_bins, bin_size, seed):
    units = np.random.default_rng(seed).integers(0, 3, len(times))
    times_s = np.array(times, float) * bin_size / 10
    starts_s = np.array(starts, float) * bin_size / 10
    counts = bin_events(times_s, units, starts_s, n_bins, bin_size, 3)
    expected = brute_force_counts(times_s, units, starts_s, n_bins, bin_size, 3)
    np.testing.assert_array_equal(counts, expected)


@given(st.lists(st.floats(0, 9.99), max_size=80).map(sorted), st.sampled_from([0.02, 0.1, 0.4]))
def test_bins_tile_every_spike(times, bin_size):
    n_bins = 5
    starts = np.arange(0, 10, n_bins * bin_size)
    counts = bin_events(np.array(times, float), np.zeros(len(times), int), starts, n_bins,
                        bin_size, 1)  # fmt: skip
    assert counts.sum() == len(times)


def test_order_of_windows_does_not_matter():
    generator = np.random.default_rng(0)
    times, units = np.sort(generator.uniform(0, 10, 500)), generator.integers(0, 4, 500)
    starts = generator.uniform(0, 9, 20)
    order = generator.permutation(20)
    counts = bin_events(times, units, starts, 10, 0.1, 4)
    np.testing.assert_array_equal(
        bin_events(times, units, starts[order], 10, 0.1, 4), counts[order]
    )


def test_no_spikes_make_empty_bins():
    assert bin_events(np.zeros(0), np.zeros(0, int), np.array([0.0]), 4, 0.1, 2).sum() == 0


def test_right_edges_of_the_published_window_run_from_minus_048_to_15():
    grid = bin_grid(np.array([-0.5]), 100, 0.02, at="right")
    assert grid.shape == (1, 100)
    np.testing.assert_allclose(grid[0, [0, -1]], [-0.48, 1.50])


def test_centres_lie_half_a_bin_after_the_start():
    np.testing.assert_allclose(bin_grid(np.array([2.0]), 3, 0.1), [[2.05, 2.15, 2.25]])


def test_recorded_bins_are_found_and_absent_ones_marked():
    centres = np.array([0.05, 0.15, 0.25, 1.05])
    rows = select_bins(centres, np.array([0.0, 0.1, -0.1]), 3, 0.1)
    np.testing.assert_array_equal(rows, [[0, 1, 2], [1, 2, -1], [-1, 0, 1]])


@given(st.floats(-2, 12), st.sampled_from([0.02, 0.1, 1 / 3]))
def test_no_recorded_bin_serves_twice_and_inner_windows_are_whole(start, bin_size):
    centres = (np.arange(40) + 0.5) * bin_size
    rows = select_bins(centres, np.array([start]), 20, bin_size)[0]
    found = rows[rows >= 0]
    assert (np.diff(found) == 1).all()
    if 0 <= start <= 19 * bin_size:
        assert len(found) == 20


spans = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 8)), max_size=6).map(
    lambda pairs: np.array([[start, start + length] for start, length in pairs], float)
)


@given(intervals=spans.map(lambda x: x.reshape(-1, 2)), asked=spans.filter(len))
def test_spans_overlap_an_interval_if_they_share_a_moment(intervals, asked):
    found = overlaps(intervals, asked[:, 0], asked[:, 1])
    for (first, last), one in zip(asked, found, strict=True):
        assert one == any(start <= last and end >= first for start, end in intervals)


def test_interpolation_is_linear_between_samples():
    values, observed = interpolate(np.array([0.0, 0.1]), np.array([1.0, 2.0]),
                                   np.array([[0.0, 0.025, 0.1]]), 0.1)  # fmt: skip
    np.testing.assert_allclose(values, [[1.0, 1.25, 2.0]], rtol=1e-6)
    assert observed.all()


def test_gaps_are_not_bridged():
    times = np.array([0.0, 0.1, 1.0, 1.1])
    values, observed = interpolate(times, np.arange(4.0), np.array([0.05, 0.15, 0.5, 1.0]), 0.1)
    np.testing.assert_array_equal(observed, [True, False, False, True])
    np.testing.assert_allclose(values, [0.5, 0, 0, 2])


def test_ends_of_a_series_hold_for_the_largest_gap():
    grid = np.array([-0.11, -0.09, 0.19, 0.21])
    values, observed = interpolate(np.array([0.0, 0.1]), np.array([3.0, 4.0]), grid, 0.1)
    np.testing.assert_array_equal(observed, [False, True, True, False])
    np.testing.assert_allclose(values, [0, 3, 4, 0])


def test_missing_samples_are_left_out_and_short_holes_filled():
    times = np.arange(6) * 0.04
    values = np.array([0, 1, np.nan, 3, np.nan, np.nan])
    found, observed = sample_series(times, values, np.array([0.08, 0.13, 0.2]), 0.05)
    np.testing.assert_array_equal(observed, [True, True, False])
    np.testing.assert_allclose(found, [2, 3, 0], atol=1e-6)


def test_a_sample_with_one_missing_channel_is_missing():
    values = np.array([[1.0, np.nan], [2.0, 3.0]])
    times, kept = finite_samples(np.array([0.0, 1.0]), values)
    np.testing.assert_array_equal(times, [1.0])
    np.testing.assert_array_equal(kept, [[2.0, 3.0]])


def test_classes_come_from_the_nearest_sample_and_unlabelled_ones_are_missing():
    times = np.array([0.0, 0.1, 0.2])
    grid = np.array([0.04, 0.06, 0.19, 0.45])
    found, observed = sample_series(times, np.array([2, -1, 1]), grid, 0.1)
    np.testing.assert_array_equal(found, [2, 0, 1, 0])
    np.testing.assert_array_equal(observed, [True, False, True, False])


def test_an_empty_series_is_missing_everywhere():
    grid = np.zeros((2, 3))
    for values in (np.zeros((0, 2)), np.zeros(0, int)):
        found, observed = sample_series(np.zeros(0), values, grid, 0.1)
        assert found.shape[:2] == (2, 3)
        assert not observed.any()


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=40, unique=True).map(sorted),
       st.lists(st.integers(0, 1000), min_size=1, max_size=20), st.floats(0.02, 0.5))  # fmt: skip
def test_interpolation_equals_numpy_where_observed(times, grid, gap):
    times_s, grid_s = np.array(times) / 100, np.array(grid) / 100
    signal = np.sin(times_s)
    values, observed = interpolate(times_s, signal, grid_s, gap)
    expected = np.interp(grid_s, times_s, signal)
    np.testing.assert_allclose(values[observed], expected[observed], atol=1e-6)
    assert (values[~observed] == 0).all()
    assert observed[np.isin(grid, times)].all()
    distance = abs(times_s[:, None] - grid_s).min(axis=0)
    assert (distance[observed] <= gap * 1.001).all()


@given(st.lists(st.floats(0, 10), min_size=1, max_size=30).map(sorted),
       st.lists(st.floats(-1, 11), min_size=1, max_size=30))  # fmt: skip
def test_nearest_equals_the_smallest_distance(times, grid):
    times_s, grid_s = np.array(times), np.array(grid)
    found = abs(times_s[nearest(times_s, grid_s)] - grid_s)
    np.testing.assert_array_equal(found, abs(times_s[:, None] - grid_s).min(axis=0))
