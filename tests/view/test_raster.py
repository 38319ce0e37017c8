from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from viewed import LENGTH_S, N_UNITS, Client, activity, events, image, spikes, write

from neuroduet.view import bins, raster, serve
from neuroduet.view.bins import count_bins
from neuroduet.view.raster import count_events
from neuroduet.view.wire import Later

ROW_OF_UNIT = np.array([3, 0, 1, 5, 4, 2])


def histogram(times: np.ndarray, rows: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Counts of every column and row, by numpy, with half-open columns."""
    inside = (times >= edges[0]) & (times < edges[-1])
    column = np.searchsorted(edges, times[inside], "right") - 1
    counts = np.zeros((len(edges) - 1, N_UNITS))
    np.add.at(counts, (column, rows[inside]), 1)
    return counts


@given(
    start=st.floats(-5, LENGTH_S + 5),
    length=st.floats(0.01, 60),
    columns=st.integers(1, 300),
    direct=st.booleans(),
)
def test_columns_count_what_numpy_counts(
    start: float, length: float, columns: int, direct: bool
) -> None:
    times, units = spikes()
    counts = count_events(times, units, ROW_OF_UNIT)
    edges = np.linspace(start, start + length, columns + 1)
    expected = histogram(times, ROW_OF_UNIT[units], edges)
    found = counts.image(edges) if direct else np.diff(counts._before(edges), axis=0)
    np.testing.assert_array_equal(found, expected)
    inside = counts.between(edges[0], edges[-1])
    assert inside.stop - inside.start == expected.sum()


def test_a_long_window_uses_totals_and_stays_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    times, units = spikes()
    monkeypatch.setattr(raster, "CHUNK_ROWS", 700)
    counts = count_events(times, units, ROW_OF_UNIT)
    edges = np.linspace(0, LENGTH_S, 101)
    exact = histogram(times, ROW_OF_UNIT[units], edges)
    monkeypatch.setattr(raster, "DIRECT", 3000)
    np.testing.assert_array_equal(counts.image(edges), exact)
    # With too many spikes beside the edges, an edge moves by less than a bin of the totals.
    monkeypatch.setattr(raster, "DIRECT", 10)
    moved = counts.image(edges)
    assert moved.sum() <= exact.sum()
    assert np.abs(moved.cumsum(axis=0) - exact.cumsum(axis=0)).max() <= 20


def test_no_spikes_are_no_trouble() -> None:
    counts = count_events(np.zeros(0), np.zeros(0, np.int64), ROW_OF_UNIT)
    assert counts.image(np.linspace(0, 1, 5)).sum() == 0


@given(start=st.floats(-1, 41), length=st.floats(0.05, 50), columns=st.integers(1, 60))
def test_columns_of_bins_sum_what_lies_in_them(start: float, length: float, columns: int) -> None:
    rng = np.random.default_rng(0)
    centres, values = (np.arange(401) + 0.5) * 0.1, rng.poisson(2.0, (401, N_UNITS))
    order = np.argsort(ROW_OF_UNIT)
    edges = np.linspace(start, start + length, columns + 1)
    found = count_bins(centres, values.__getitem__, order, 0.1, averaged=False).image(edges)
    if edges[1] - edges[0] >= 0.1:
        chosen = (centres >= edges[:-1, None]) & (centres < edges[1:, None])
        expected = chosen.astype(np.float64) @ values[:, order]
    else:
        middle = (edges[:-1] + edges[1:]) / 2
        row = np.argmin(np.abs(centres - middle[:, None]), axis=1)
        near = np.abs(centres[row] - middle) < 0.05 - 1e-9
        border = np.abs(np.abs(centres[row] - middle) - 0.05) <= 1e-9
        expected = np.where(near[:, None], values[row][:, order], 0)
        found, expected = found[~border], expected[~border]
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize("averaged", [False, True])
def test_a_long_window_of_bins_is_drawn_from_blocks(
    monkeypatch: pytest.MonkeyPatch, averaged: bool
) -> None:
    rng = np.random.default_rng(0)
    centres, values = (np.arange(401) + 0.5) * 0.1, rng.poisson(2.0, (401, N_UNITS))
    counts = count_bins(centres, values.__getitem__, np.arange(N_UNITS), 0.1, averaged)
    edges = np.linspace(-3.21, 44.4, 61)
    exact = counts.image(edges)
    monkeypatch.setattr(bins, "DIRECT", 0)
    found = counts.image(edges)
    np.testing.assert_allclose(counts.mean(), values.mean(axis=0), rtol=1e-6)
    low, high = counts.rows(edges)
    weight = (high - low)[:, None] if averaged else 1
    apart = ((found - exact) * weight).cumsum(axis=0)
    # An edge moves within its block, of which each bin counts as much as the others.
    assert 0.5 < np.abs(apart).max() < values[:, 0].max() * bins.LEAST_BLOCK
    np.testing.assert_allclose(apart[-1], 0, atol=1e-3)


def test_nobody_waits_long_for_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    going = threading.Event()

    def read(part: slice) -> np.ndarray:
        assert part == slice(0, 0) or going.wait(10)
        return np.ones((100, 2))[part]

    monkeypatch.setattr(bins, "PATIENCE_S", 0.01)
    monkeypatch.setattr(bins, "DIRECT", 0)
    counts = count_bins(np.arange(100.0), read, np.array([1, -1]), 1.0, averaged=True)
    with pytest.raises(Later):
        counts.image(np.linspace(0, 100, 11))
    going.set()
    counts.blocks.result()
    np.testing.assert_array_equal(counts.image(np.linspace(0, 100, 11)), [[1, 0]] * 10)


def test_few_spikes_are_sent_one_by_one_in_display_order(client: Client) -> None:
    times, units = spikes()
    found, rows, n_rows = events(client.get("raster", id="day1", start=10, end=12.5, columns=100))
    inside = (times >= 10) & (times < 12.5)
    listed = [unit["index"] for unit in client.get("session", id="day1")["activity"]["units"]]
    # By region, then by depth, unknown depths last.
    assert listed == [5, 1, 3, 2, 4, 0]
    np.testing.assert_allclose(found, times[inside] - 10, atol=1e-6)
    np.testing.assert_array_equal(np.array(listed)[rows], units[inside])
    assert n_rows == N_UNITS


def test_many_spikes_are_sent_as_an_image_of_exact_counts(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neuroduet.view.answers.MOST_EVENTS", 100)
    times, units = spikes()
    pixels, scale = image(client.get("raster", id="day1", start=0, end=40, columns=80))
    rows = np.argsort([5, 1, 3, 2, 4, 0])[units]
    expected = histogram(times, rows, np.linspace(0, 40, 81)).T
    assert scale == expected.max()
    np.testing.assert_array_equal(np.round(pixels), expected)


@pytest.mark.parametrize("kind", ["counts", "traces"])
def test_recorded_bins_become_an_image(tmp_path: Path, kind: str) -> None:
    groups = activity(kind)
    path = write(tmp_path / "bins.h5", **groups)
    with serve(path) as view:
        client = Client(view)
        about = client.get("session", id="bins")["activity"]
        order = [unit["index"] for unit in about["units"]]
        pixels, scale = image(client.get("raster", id="bins", start=0, end=40, columns=200))
    values = groups[kind].values[:, order].reshape(200, 10, N_UNITS)
    assert about["kind"] == kind
    if kind == "counts":
        np.testing.assert_allclose(pixels, values.sum(axis=1).T, atol=scale / 255)
    else:
        means = values.mean(axis=1).T
        inside = (pixels > 0) & (pixels < scale)
        for row in range(N_UNITS):
            seen = inside[row]
            assert np.corrcoef(pixels[row][seen], means[row][seen])[0, 1] > 0.999


def test_pictures_of_a_long_recording_come_faster_than_counting_all_spikes_anew() -> None:
    rng = np.random.default_rng(0)
    times, units = np.sort(rng.uniform(0, 600, 2_000_000)), rng.integers(0, N_UNITS, 2_000_000)
    counts = count_events(times, units, ROW_OF_UNIT)
    edges = np.linspace(0, 600, 1001)

    def plain() -> object:
        return np.histogram2d(units, times, bins=(N_UNITS, 1000), range=((0, 6), (0, 600)))

    assert fastest(plain) > 5 * fastest(lambda: counts.image(edges))


def fastest(run: Callable[[], object]) -> float:
    """Seconds of the fastest of three calls."""
    found = []
    for _ in range(3):
        start = time.perf_counter()
        run()
        found.append(time.perf_counter() - start)
    return min(found)
