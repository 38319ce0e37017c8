"""Recordings as tables, datasets and pynapple objects, and back without loss."""

from __future__ import annotations

import builtins
import doctest
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroduet.conversions import (
    from_pandas,
    from_pynapple,
    from_xarray,
    read_predictions,
    to_pandas,
    to_pynapple,
    to_xarray,
    windows,
)
from neuroduet.conversions.parts import Parts, take_apart
from neuroduet.data.arrays import from_arrays
from neuroduet.data.recording import load, save
from neuroduet.errors import UserError

ROADS = {
    "pandas": lambda recording: from_pandas(to_pandas(recording)),
    "xarray": lambda recording: from_xarray(to_xarray(recording)),
    "pynapple": lambda recording: from_pynapple(to_pynapple(recording)),
}
MODULES = ("pandas_tables", "parts", "predictions", "pynapple_objects", "windows",
           "xarray_datasets")  # fmt: skip


def times(most: int) -> st.SearchStrategy[list[float]]:
    """Ascending times in microseconds, which pynapple keeps; some may be equal."""
    micro = st.integers(0, 20_000_000)
    return st.lists(micro, min_size=1, max_size=most).map(lambda t: [x / 1e6 for x in sorted(t)])


VALUES = st.one_of(st.just(float("nan")), st.floats(-1e6, 1e6, width=32))


@st.composite
def recordings(draw: st.DrawFn, kind: str) -> dict[str, Any]:
    """Arrays of recordings with irregular behaviours, gaps, missing values and silent units."""
    units = draw(st.integers(1, 4))
    table: dict[str, Any] = {"depth_um": draw(st.lists(VALUES, min_size=units, max_size=units))}
    if draw(st.booleans()):
        names = st.sampled_from(["CA1", "PO", ""])
        table["region"] = draw(st.lists(names, min_size=units, max_size=units))
    starts = np.cumsum(draw(st.lists(st.integers(2, 5), min_size=2, max_size=5))).astype(float)
    n = len(starts)
    behaviours: dict[str, Any] = {
        "choice": draw(st.lists(st.sampled_from([-1, 1]), min_size=n, max_size=n)),
        "latency": np.array(draw(st.lists(VALUES, min_size=n, max_size=n)), dtype=float),
    }
    clock = draw(times(8))
    behaviours["pupil"] = (clock, [draw(VALUES) for _ in clock])
    behaviours["paw"] = (clock, np.array([[draw(VALUES), 1.5] for _ in clock], dtype=np.float32))
    behaviours["state"] = (
        clock,
        np.array([draw(st.sampled_from(["go", "", "stop"])) for _ in clock]),
    )
    given: dict[str, Any] = {"behaviours": behaviours, "units": table}
    if draw(st.booleans()):
        given["subject_id"] = "mouse"
    if kind == "spikes":
        spikes = draw(times(30))
        given["spike_times"] = spikes
        given["spike_units"] = [draw(st.integers(0, units - 1)) for _ in spikes]
        given["trials"] = {"start": starts, "end": starts + 1.5, "cue": starts + 0.25}
        given["split"] = draw(
            st.lists(st.sampled_from(["train", "test", ""]), min_size=n, max_size=n)
        )
    else:
        seed = draw(st.integers(0, 99))
        values = np.random.default_rng(seed).poisson(1.0, (n, 3, units))
        given[kind] = values if kind == "counts" else values + 0.25
        given["bin_size_s"] = 0.25
        given["trials"] = {"start": starts}
        behaviours["speed"] = values[..., 0] * 0.5
    return given


def canonical(parts: Parts) -> Parts:
    """Spikes of the same time in the order of units, which no format but a table keeps."""
    if parts.kind == "spikes":
        t, u = parts.activity["timestamps"], parts.activity["unit_index"]
        order = np.lexsort((u, t))
        parts.activity.update(timestamps=t[order], unit_index=u[order])
    return parts


def assert_same(one: Any, other: Any, within_s: float) -> None:
    """All parts are alike: values bit for bit, times within a tolerance."""
    a, b = canonical(take_apart(one)), canonical(take_apart(other))
    assert (a.session, a.subject, a.kind, a.bin_size_s) == (
        b.session, b.subject, b.kind, b.bin_size_s)  # fmt: skip
    assert sorted(map(str, a.behaviours)) == sorted(map(str, b.behaviours))
    for held, found in ((a.activity, b.activity), (a.units, b.units), (a.trials, b.trials)):
        assert set(held) == set(found)
        for name, values in held.items():
            same_values(values, found[name], within_s if name in TIMES else 0)
    assert set(a.series) == set(b.series)
    for name, series in a.series.items():
        same_values(series.times_s, b.series[name].times_s, within_s)
        same_values(series.values, b.series[name].values, 0)


TIMES = {"timestamps", "start", "end"}


def same_values(one: np.ndarray, other: np.ndarray, within: float) -> None:
    assert one.shape == other.shape
    assert one.dtype.kind == other.dtype.kind
    if one.dtype.kind == "f" and within:
        np.testing.assert_allclose(other, one, rtol=0, atol=within)
    else:
        np.testing.assert_array_equal(one, other)
        assert one.dtype.kind == "U" or one.dtype == other.dtype


@pytest.mark.parametrize("kind", ["spikes", "counts", "traces"])
@pytest.mark.parametrize("road", ["pandas", "xarray"])
def test_tables_and_datasets_give_back_the_same_recording(road: str, kind: str) -> None:
    @settings(max_examples=12)
    @given(recordings(kind))
    def check(arrays: dict[str, Any]) -> None:
        recording = from_arrays(session_id="s1", **arrays)
        found = ROADS[road](recording)
        assert_same(recording, found, within_s=0)
        held, back = take_apart(recording).recorded_s, take_apart(found).recorded_s
        np.testing.assert_array_equal(held, back)

    check()


@pytest.mark.parametrize("kind", ["spikes", "counts", "traces"])
def test_pynapple_gives_back_the_same_recording_to_the_nanosecond(kind: str) -> None:
    @settings(max_examples=12)
    @given(recordings(kind))
    def check(arrays: dict[str, Any]) -> None:
        recording = from_arrays(session_id="s1", **arrays)
        assert_same(recording, from_pynapple(to_pynapple(recording)), within_s=1e-9)

    check()


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from neuroduet.simulate import simulate

    folder = tmp_path_factory.mktemp("simulated")
    simulate(folder, 1, 0, "tiny")
    return next(folder.glob("*.h5"))


@pytest.mark.parametrize("road", ROADS)
def test_a_recording_read_from_a_file_comes_back_and_can_be_saved(
    road: str, simulated: Path, tmp_path: Path
) -> None:
    with load(simulated) as recording:
        found = ROADS[road](recording)
        assert_same(recording, found, within_s=1e-9 if road == "pynapple" else 0)
    save(found, tmp_path / "again.h5")
    assert_same(found, load(tmp_path / "again.h5", lazy=False), within_s=0)


def test_a_model_sees_the_same_windows_of_a_recording_that_went_there_and_back(
    simulated: Path, tmp_path: Path
) -> None:
    save(ROADS["pandas"](load(simulated, lazy=False)), tmp_path / "again.h5")
    one, other = windows(simulated), windows(tmp_path / "again.h5")
    assert one.equals(other)


def hand_made(**more: Any) -> Any:
    return from_arrays(
        session_id="s1",
        spike_times=[0.1, 0.2, 0.2, 0.9],
        spike_units=[1, 0, 1, 0],
        trials={"start": [0.0, 0.5], "end": [0.4, 1.0]},
        units={"id": ["a", "b", "c"], "region": ["CA1", "", "PO"]},
        behaviours={"pupil": ([0.0, 0.3, 1.0], [1.0, np.nan, 3.0]), "choice": [1, 0]},
        **more,
    )


def test_tables_hold_what_their_names_say() -> None:
    tables = to_pandas(hand_made(split=["train", "test"]))
    assert tables["spikes"].to_dict("list") == {
        "time_s": [0.1, 0.2, 0.2, 0.9],
        "unit": ["b", "a", "b", "a"],
    }
    assert list(tables["units"]["region"]) == ["CA1", "", "PO"]
    assert list(tables["trials"]["split"]) == ["train", "test"]
    assert list(tables["behaviours/pupil"].index) == [0.0, 0.3, 1.0]
    assert list(tables["behaviours"]["name"]) == ["pupil", "choice"]
    assert tables["session"].loc[0, "session"] == "s1"


def test_datasets_select_by_region_and_split() -> None:
    counts = np.arange(24).reshape(2, 4, 3)
    dataset = to_xarray(
        from_arrays(
            session_id="s1",
            counts=counts,
            bin_size_s=0.1,
            units={"region": ["CA1", "PO", "CA1"]},
            split=["train", "test"],
            behaviours={"speed": np.zeros((2, 4, 2))},
        )
    )
    chosen = dataset.counts.sel(unit=dataset.region == "CA1")
    np.testing.assert_array_equal(chosen.values, counts.reshape(8, 3)[:, [0, 2]])
    assert list(dataset.trial_split.values if "trial_split" in dataset else dataset.split.values) \
        == ["train", "test"]  # fmt: skip
    assert dataset.speed.dims == ("time", "speed_channel")
    assert dataset.attrs["bin_size_s"] == 0.1
    assert dataset.time.attrs["units"] == "s"


def test_pynapple_counts_spikes_of_trials_and_knows_regions() -> None:
    found = to_pynapple(hand_made())
    assert [len(found["spikes"][unit]) for unit in found["spikes"].index] == [2, 2, 0]
    assert list(found["spikes"]["region"]) == ["CA1", "", "PO"]
    first = found["trials"][0]
    np.testing.assert_array_equal(found["spikes"].restrict(first)[1].t, [0.1, 0.2])
    assert list(found["trials"]["choice"]) == [1, 0]
    np.testing.assert_array_equal(found["pupil"].t, [0.0, 0.3, 1.0])


def test_a_recording_is_made_from_pynapple_objects_of_ones_own() -> None:
    import pynapple as nap

    spikes = nap.TsGroup(
        {3: nap.Ts([0.5, 1.5]), 7: nap.Ts([1.0, 1.75])},
        time_support=nap.IntervalSet(0, 2),
        metadata={"region": ["CA1", "PO"]},
    )
    speed = nap.Tsd(t=[0.1, 0.2, 1.9], d=[1.0, 2.0, 3.0])
    recording = from_pynapple({"spikes": spikes, "speed": speed}, session_id="mine")
    np.testing.assert_array_equal(recording.spikes.timestamps, [0.5, 1.0, 1.5, 1.75])
    np.testing.assert_array_equal(recording.spikes.unit_index, [0, 1, 0, 1])
    assert list(recording.units.id) == ["unit003", "unit007"]
    assert list(recording.units.region) == ["CA1", "PO"]
    assert list(recording.behaviours.kind) == ["continuous"]
    np.testing.assert_array_equal(recording.domain.end, [2.0])


def test_bins_are_whole_where_nobody_said_what_was_recorded() -> None:
    import pynapple as nap

    counts = np.ones((10, 2), dtype=int)
    whole = from_arrays(session_id="s1", counts=counts, bin_size_s=0.02)
    centres = whole.counts.timestamps
    tables, dataset = to_pandas(whole), to_xarray(whole)
    del tables["recorded"]
    bare = {
        "pandas": from_pandas(tables),
        "xarray": from_xarray(dataset.drop_vars(["recorded_start", "recorded_end"])),
        "pynapple": from_pynapple({"counts": nap.TsdFrame(t=centres, d=counts)}, "s1"),
    }
    for found in bare.values():
        np.testing.assert_allclose(found.domain.start, [0.0], atol=1e-9)
        np.testing.assert_allclose(found.domain.end, [0.2], atol=1e-9)
    inner = nap.TsdFrame(t=centres, d=counts).restrict(nap.IntervalSet(0.045, 0.155))
    np.testing.assert_allclose(from_pynapple({"counts": inner}, "s1").domain.start, [0.045])


def test_a_name_that_two_tables_share_is_kept_apart_in_a_dataset() -> None:
    recording = from_arrays(
        session_id="s1",
        spike_times=[0.1, 0.9],
        spike_units=[0, 1],
        units={"quality": [1.0, 2.0]},
        trials={"start": [0.0], "end": [1.0], "quality": [3.0], "pupil": [4.0]},
        behaviours={"pupil": ([0.1, 0.2], [5.0, 6.0])},
    )
    assert_same(recording, ROADS["xarray"](recording), within_s=0)


def test_actions_become_a_plain_behaviour() -> None:
    from torch_brain.data import ArrayDict, IrregularTimeSeries

    recording = from_arrays(session_id="s1", spike_times=[0.1, 0.9], spike_units=[0, 1])
    at = np.array([0.1, 0.2, 0.3])
    recording.actions = IrregularTimeSeries(timestamps=at, classes=np.array([0, 1, 1]))
    recording.action_classes = ArrayDict(name=np.array(["rest", "groom"]))
    found = take_apart(ROADS["pandas"](recording))
    np.testing.assert_array_equal(found.series["actions"].values, [0, 1, 1])


def test_predictions_are_read_with_their_truth(tmp_path: Path) -> None:
    import neuroduet

    frozen = Path(__file__).parent / "frozen" / "v1"
    run, data = frozen / "ensemble", frozen / "recording.h5"
    (path,) = neuroduet.predict(run, data, tmp_path / "run" / "predictions")
    dataset = read_predictions(tmp_path / "run")[path.stem]
    with np.load(path) as arrays:
        np.testing.assert_array_equal(dataset.predicted_log_rates, arrays["encoding/log_rates"])
        np.testing.assert_array_equal(dataset.true_counts, arrays["true/counts"])
        np.testing.assert_array_equal(dataset.predicted_speed, arrays["decoding/speed"][..., 0])
        np.testing.assert_array_equal(dataset.predicted_side, arrays["decoding/side"])
        classes = arrays["classes/side"]
    made = windows(data)
    np.testing.assert_array_equal(dataset.true_side, made.side)
    np.testing.assert_array_equal(dataset.split, made.split)
    np.testing.assert_allclose(dataset.true_speed, made.speed)
    np.testing.assert_array_equal(dataset.side_class, classes)
    neuroduet.predict(run, data, tmp_path / "whole", continuous=True)
    whole = read_predictions(tmp_path / "whole")[path.stem]
    assert whole.predicted_log_rates.dims == ("time", "unit")


def test_predictions_in_memory_are_those_that_are_written(tmp_path: Path) -> None:
    import neuroduet

    frozen = Path(__file__).parent / "frozen" / "v1"
    run, data = frozen / "ensemble", frozen / "recording.h5"
    for continuous in (False, True):
        folder = tmp_path / str(continuous)
        neuroduet.predict(run, data, folder, continuous=continuous)
        ((name, written),) = read_predictions(folder).items()
        recording = neuroduet.load(data, lazy=False)
        model = neuroduet.load_run(run)
        for asked in ((run, data), (model, recording)):
            ((session, found),) = neuroduet.predict(*asked, continuous=continuous).items()
            assert session == name
            assert found.identical(written)
    with pytest.raises(UserError, match="has not seen session 'nobody'"):
        neuroduet.predict(run, data, sessions="nobody")


def test_windows_are_nan_after_their_end_and_where_nothing_was_seen(tmp_path: Path) -> None:
    recording = from_arrays(
        session_id="s1",
        counts=[
            np.ones((4, 2), dtype=int),
            np.ones((2, 2), dtype=int),
            np.ones((4, 2), dtype=int),
        ],
        bin_size_s=0.1,
        behaviours={"speed": [np.array([1.0, np.nan, np.nan, 4.0]), np.ones(2), np.ones(4)]},
        split=["train", "valid", "test"],
    )
    save(recording, tmp_path / "s1.h5")
    found = windows(tmp_path / "s1.h5")
    assert found.counts.dims == ("window", "time", "unit")
    np.testing.assert_array_equal(found.counts.isnull().sum(("time", "unit")), [0, 4, 0])
    assert list(found.split.values) == ["train", "valid", "test"]
    np.testing.assert_allclose(found.time, [0.05, 0.15, 0.25, 0.35])


@pytest.mark.parametrize(
    ("package", "act"),
    [
        ("xarray", lambda r: to_xarray(r)),
        ("pynapple", lambda r: to_pynapple(r)),
        ("xarray", lambda r: read_predictions("nowhere")),
    ],
)
def test_a_missing_package_is_named_with_its_extra(
    package: str, act: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def absent(name: str, *args: Any, **more: Any) -> Any:
        if name.partition(".")[0] == package:
            raise ImportError(name)
        return real(name, *args, **more)

    recording = hand_made()
    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(UserError, match=rf"pip install 'neuroduet\[{package}\]'"):
        act(recording)


def without(tables: dict[str, pd.DataFrame], name: str) -> dict[str, pd.DataFrame]:
    return {key: table for key, table in tables.items() if key != name}


def test_what_is_missing_is_said_in_one_line(tmp_path: Path) -> None:
    import pynapple as nap

    tables = to_pandas(hand_made())
    strange = tables["spikes"].assign(unit=["z", "a", "b", "a"])
    objects = to_pynapple(hand_made())
    called_trial = from_arrays(
        session_id="s", spike_times=[0.5], spike_units=[0], behaviours={"trial": ([0.0], [1.0])}
    )

    def changed(name: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[], Any]:
        return lambda: from_pandas(tables | {name: change(tables[name])})

    def overlap(recorded: pd.DataFrame) -> pd.DataFrame:
        return pd.concat([recorded, recorded + 0.1])

    overlapping = hand_made()
    overlapping.trials.end = np.array([0.6, 1.0])
    wrong = [
        (lambda: from_pandas(without(tables, "units")), "no table 'units'"),
        (lambda: from_pandas(without(tables, "spikes")), "found none of spikes"),
        (lambda: from_pandas(tables | {"units": tables["units"][["region"]]}), "column 'id'"),
        (lambda: from_pandas(tables | {"spikes": strange}), "holds the unit 'z'"),
        (lambda: from_pandas(without(tables, "behaviours/pupil")), "'pupil' is listed"),
        (changed("session", lambda t: t.iloc[:0]), "table 'session' has no row"),
        (changed("recorded", lambda t: t.iloc[:0]), "table 'recorded' has no row"),
        (changed("recorded", overlap), "must not be overlapping"),
        (changed("recorded", lambda t: t.assign(start_s=99.0)), "ends before it starts"),
        (changed("recorded", lambda t: t.assign(end_s=np.nan)), "holds 1 times that are missing"),
        (changed("spikes", lambda t: t.assign(time_s=np.nan)), "'time_s' of table 'spikes' holds"),
        (changed("trials", lambda t: t.assign(start=np.nan)), "'start' of trials holds 2 times"),
        (changed("units", lambda t: t.assign(id=["a", "a", "b"])), "holds the id 'a' twice"),
        (changed("spikes", lambda t: t.assign(time_s=[*"wxyz"])), "expected seconds as numbers"),
        (changed("session", lambda t: t.assign(bin_size_s="x")), "bin_size_s is 'x'"),
        (changed("trials", lambda t: t.drop(columns="end")), "trials lack the column 'end'"),
        (changed("behaviours", lambda t: t[["name"]]), "lacks the column 'source'"),
        (changed("behaviours", lambda t: t.assign(kind="odd")), "unknown kind of behaviour 'odd'"),
        (changed("behaviours/pupil", lambda t: t.iloc[:0]), "behaviour 'pupil' has no sample"),
        (changed("behaviours/pupil", lambda t: t[[]]), "has no column"),
        (
            lambda: from_pandas(tables | {"behaviours/a/b": tables["behaviours/pupil"]}),
            "cannot be called 'a/b'",
        ),
        (lambda: from_pynapple(objects | {"licks": nap.Ts([0.1, 0.2])}), "'licks' is a Ts"),
        (lambda: from_xarray(to_xarray(hand_made()).drop_vars("spike_unit")), "add spike_unit"),
        (lambda: to_xarray(called_trial), "'trial' has a name that datasets use"),
        (lambda: from_pynapple(without(objects, "session")), "give session_id"),
        (lambda: to_pynapple(overlapping), "trial 1 starts before trial 0 ends"),
        (lambda: from_xarray(to_xarray(hand_made()).drop_attrs()), "no attribute 'session'"),
        (lambda: read_predictions(tmp_path), "found no predictions"),
    ]
    for act, said in wrong:
        with pytest.raises(UserError, match=said) as caught:
            act()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_docstrings_say_what_happens(name: str) -> None:
    module = importlib.import_module(f"neuroduet.conversions.{name}")
    assert doctest.testmod(module).failed == 0


def test_text_that_pandas_lost_in_a_file_is_missing_text(tmp_path: Path) -> None:
    recording = hand_made(split=["train", ""])
    tables = {}
    for name, table in to_pandas(recording).items():
        indexed = name.startswith("behaviours/")
        table.to_csv(tmp_path / "table.csv", index=indexed)
        tables[name] = pd.read_csv(tmp_path / "table.csv", index_col=0 if indexed else None)
    assert tables["units"]["region"].isna().any()  # pandas reads an empty cell as nan
    assert_same(recording, from_pandas(tables), within_s=0)


def test_types_of_pandas_become_those_of_numpy() -> None:
    tables = to_pandas(hand_made())
    nullable = {name: table.convert_dtypes() for name, table in tables.items()}
    assert_same(hand_made(), from_pandas(tables | {"trials": nullable["trials"]}), within_s=0)
    region = tables["units"].assign(region=pd.array(["CA1", pd.NA, "PO"], dtype="string"))
    assert list(from_pandas(tables | {"units": region}).units.region) == ["CA1", "", "PO"]
    named = tables["units"].astype({"region": "category"})
    assert list(from_pandas(tables | {"units": named}).units.region) == ["CA1", "", "PO"]
    nobody = tables["session"].assign(subject=None, bin_size_s=None)
    assert take_apart(from_pandas(tables | {"session": nobody})).subject == "unknown"
    counts = from_arrays(session_id="s", counts=np.ones((2, 3, 2), dtype=int), bin_size_s=0.1)
    binned = to_pandas(counts)
    found = from_pandas(binned | {"counts": binned["counts"].convert_dtypes()})
    np.testing.assert_array_equal(found.counts.values, counts.counts.values)


def test_durations_are_seconds_and_dates_are_refused() -> None:
    tables = to_pandas(hand_made())
    pupil = tables["behaviours/pupil"]
    lasting = pupil.set_axis(pd.to_timedelta([0, 300, 1000], unit="ms"), axis=0)
    found = take_apart(from_pandas(tables | {"behaviours/pupil": lasting}))
    np.testing.assert_allclose(found.series["pupil"].times_s, [0, 0.3, 1.0])
    dated = pupil.set_axis(pd.to_datetime([0, 300, 1000], unit="ms"), axis=0)
    with pytest.raises(UserError, match="expected seconds as numbers"):
        from_pandas(tables | {"behaviours/pupil": dated})


def test_units_that_are_selected_from_a_dataset_keep_their_own_spikes() -> None:
    dataset = to_xarray(hand_made())
    found = from_xarray(dataset.isel(unit=[2, 0]))
    assert list(found.units.id) == ["c", "a"]
    np.testing.assert_array_equal(found.spikes.timestamps, [0.2, 0.9])
    np.testing.assert_array_equal(found.spikes.unit_index, [1, 1])
    with pytest.raises(UserError, match="found no unit"):
        from_xarray(dataset.isel(unit=[]))


def test_the_order_of_dimensions_does_not_matter() -> None:
    counts = np.arange(24).reshape(2, 4, 3)
    paw = np.random.default_rng(0).normal(size=(2, 4, 2))
    recording = from_arrays(
        session_id="s1", counts=counts, bin_size_s=0.1, behaviours={"paw": paw}
    )
    turned = to_xarray(recording).transpose("unit", "paw_channel", ...)
    assert turned.paw.dims[0] == "paw_channel"
    assert_same(recording, from_xarray(turned), within_s=0)


def test_a_dataset_survives_a_file(tmp_path: Path) -> None:
    import xarray

    dataset = to_xarray(hand_made())
    dataset.to_netcdf(tmp_path / "s1.nc", engine="scipy")
    held = take_apart(hand_made())
    found = take_apart(from_xarray(xarray.load_dataset(tmp_path / "s1.nc")))
    assert (found.session, found.behaviours) == (held.session, held.behaviours)
    np.testing.assert_array_equal(found.activity["unit_index"], held.activity["unit_index"])
    np.testing.assert_array_equal(found.units["region"], held.units["region"])
    np.testing.assert_array_equal(found.trials["choice"], held.trials["choice"])
    np.testing.assert_array_equal(found.series["pupil"].values, held.series["pupil"].values)
