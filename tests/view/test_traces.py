from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from viewed import LENGTH_S, Client, wheel

from neuroduet.view.traces import envelope, signal, trial_envelope, usual_range


@given(start=st.floats(-2, 42), length=st.floats(0.02, 60), columns=st.integers(1, 100))
def test_an_envelope_holds_every_value_and_no_other(
    start: float, length: float, columns: int
) -> None:
    times, speed = wheel()
    edges = np.linspace(start, start + length, columns + 1)
    low, high = envelope(signal(times, speed), edges)
    fine = ((times >= edges[0]) & (times < edges[-1])).sum() < 256 * columns
    for column in range(columns):
        inside = (times >= edges[column]) & (times < edges[column + 1])
        values = speed[inside].astype(np.float32)
        values = values[np.isfinite(values)]
        if len(values):
            assert low[column, 0] <= values.min()
            assert high[column, 0] >= values.max()
            if fine:
                assert (low[column, 0], high[column, 0]) == (values.min(), values.max())
        elif inside.any():
            assert np.isnan(low[column, 0])


def test_a_coarse_envelope_reaches_at_most_a_block_further() -> None:
    times = np.arange(100_000) / 1000
    values = np.stack([times, -times], axis=1)
    edges = np.linspace(0, 100, 11)
    low, high = envelope(signal(times, values), edges)
    np.testing.assert_allclose(low[:, 0], edges[:-1], atol=0.065)
    np.testing.assert_allclose(high[:, 0], edges[1:], atol=0.065)
    np.testing.assert_array_equal(high[:, 1], -low[:, 0])


def test_between_samples_lies_a_line_and_across_a_pause_nothing() -> None:
    given_ = signal(np.array([0.0, 0.1, 0.2, 5.0, 5.1]), np.array([0.0, 1.0, 2.0, 3.0, 4.0]))
    low, high = envelope(given_, np.array([0.02, 0.04, 0.06]))
    np.testing.assert_allclose(low[:, 0], [0.3, 0.5], rtol=1e-6)
    np.testing.assert_array_equal(low, high)
    assert np.isnan(envelope(given_, np.array([1.0, 2.0, 3.0]))[0]).all()
    assert np.isnan(envelope(given_, np.array([6.0, 7.0]))[0]).all()


def test_nothing_but_missing_values_is_nothing() -> None:
    empty = signal(np.arange(1000.0), np.full((1000, 2), np.nan))
    assert np.isnan(envelope(empty, np.linspace(0, 1000, 3))[1]).all()
    assert usual_range(np.full(5, np.nan)) == (0.0, 1.0)
    assert np.isnan(envelope(signal(np.zeros(0), np.zeros((0, 1))), np.arange(3.0))[0]).all()


def test_values_of_trials_hold_from_start_to_end() -> None:
    start, end = np.array([1.0, 3.0, 3.6]), np.array([2.0, 3.5, 4.0])
    values = np.array([[1.0], [2.0], [np.nan]])
    low, high = trial_envelope(start, end, values, np.arange(0, 5.5, 0.5))
    expected = [np.nan, np.nan, 1, 1, np.nan, np.nan, 2, np.nan, np.nan, np.nan]
    np.testing.assert_array_equal(low[:, 0], expected)
    np.testing.assert_array_equal(high, low)


def test_traces_come_as_json_with_null_where_nothing_is_known(client: Client) -> None:
    found = client.get("trace", id="day1", name="wheel", start=0, end=LENGTH_S, columns=400)
    times, speed = wheel()
    edges = np.linspace(0, LENGTH_S, 401)
    (true,) = found["true"]
    assert found["columns"] == len(true["low"]) == len(true["high"]) == 400
    assert found["predicted"] is None
    for column in (0, 50, 55, 399):
        inside = (times >= edges[column]) & (times < edges[column + 1])
        part = speed[inside]
        if np.isnan(part).all():
            assert true["low"][column] is None
        else:
            assert true["low"][column] == pytest.approx(np.nanmin(part), rel=1e-4)
    assert "wheeel" in client.refused(
        "trace", id="day1", name="wheeel", start=0, end=1, columns=10
    )


def test_choices_are_segments_of_trials(client: Client) -> None:
    found = client.get("trace", id="day1", name="choice", start=3.5, end=12.5, columns=100)
    assert found["predicted"] is None
    assert found["segments"] == [
        {"start": 4.0, "end": 7.0, "class": "1"},
        {"start": 8.0, "end": 11.0, "class": "1"},
        {"start": 12.0, "end": 15.0, "class": "-1"},
    ]
