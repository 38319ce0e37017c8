"""Rows of trials with sparse spikes: round trips, and damage that becomes one sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from torch_brain.data import Data

from neuroduet.config import DataConfig
from neuroduet.data.arrays import from_arrays
from neuroduet.data.readers.reader import ReadOptions
from neuroduet.data.readers.row_spikes import dense
from neuroduet.data.readers.rows import RowsReader
from neuroduet.data.recording import save
from neuroduet.data.schema import describe_behaviours
from neuroduet.data.session import open_sessions
from neuroduet.data.writers.rows import write_rows
from neuroduet.errors import UserError
from neuroduet.simulate import simulate_session

READER = RowsReader()
BINS, UNITS = 10, 6
Columns = dict[str, list[Any]]


def recording(name: str = "s1", seed: int = 0) -> Data:
    draw = np.random.default_rng(seed)
    return from_arrays(
        session_id=name,
        subject_id="mouse",
        counts=draw.poisson(2.0, size=(12, BINS, UNITS)),
        bin_size_s=0.02,
        behaviours={
            "wheel": draw.normal(size=(12, BINS)),
            "choice": np.tile([-1, 1], 6),
            "block": np.repeat([0.2, 0.5, 0.8], 4),
        },
        units={
            "id": [f"{name}-u{n}" for n in range(UNITS)],
            "region": ["VISp5", "CA1"] * 3,
            "depth_um": np.arange(UNITS) * 20.0,
            "label": [1.0, 0.0] * 3,
        },
        split=["train"] * 8 + ["valid"] * 2 + ["test"] * 2,
    )


def read(path: Path, **chosen: object) -> Data:
    return READER.read(path, ReadOptions(**chosen))


@pytest.mark.parametrize("format", ["parquet", "arrow"])
def test_counts_units_and_splits_come_back_exactly(tmp_path: Path, format: str) -> None:
    given_ = recording()
    found = read(write_rows(given_, tmp_path / "rows", format=format))
    np.testing.assert_array_equal(found.counts.values, given_.counts.values)
    np.testing.assert_array_equal(found.trials.split, given_.trials.split)
    np.testing.assert_array_equal(found.trials.choice, given_.trials.choice)
    np.testing.assert_array_equal(found.trials.block, given_.trials.block)
    assert found.units.id.tolist() == given_.units.id.tolist()
    assert found.units.region_allen.tolist() == given_.units.region.tolist()
    assert found.units.region.tolist() == ["VISp", "CA1"] * 3
    np.testing.assert_array_equal(found.units.depth_um, given_.units.depth_um)
    assert (found.session.id, found.subject.id) == ("s1", "mouse")


def test_blocks_are_classes_though_published_as_fractions(tmp_path: Path) -> None:
    found = read(write_rows(recording(), tmp_path / "rows"))
    kinds = {one.name: one.kind for one in describe_behaviours(found)}
    assert kinds == {"wheel": "continuous", "choice": "categorical", "block": "categorical"}


def test_behaviour_stays_at_the_right_edges_and_repeats_exactly(tmp_path: Path) -> None:
    once = read(write_rows(recording(), tmp_path / "one"))
    assert once.wheel.timestamps[0] == pytest.approx(once.trials.start[0] + 0.02)
    twice = read(write_rows(once, tmp_path / "two"))
    np.testing.assert_array_equal(once.wheel.values, twice.wheel.values)
    np.testing.assert_array_equal(once.wheel.timestamps, twice.wheel.timestamps)
    np.testing.assert_array_equal(once.counts.values, twice.counts.values)


def test_events_are_counted_as_training_counts_them(tmp_path: Path) -> None:
    simulated = simulate_session(seed=1, index=0, size="tiny")
    save(simulated, tmp_path / "sim.h5")
    config = DataConfig()
    config = config.model_copy(
        update={"windows": config.windows.model_copy(update={"bin_size_s": 0.02})}
    )
    session = open_sessions(tmp_path / "sim.h5", config)[0]
    batch = session.batch(np.arange(len(session.windows.start_s)))
    found = read(write_rows(simulated, tmp_path / "rows"))
    trained = batch.activity.numpy().reshape(-1, len(simulated.units.id))
    np.testing.assert_array_equal(found.counts.values, trained)


def test_units_can_be_dropped_by_label(tmp_path: Path) -> None:
    found = read(write_rows(recording(), tmp_path / "rows"), min_unit_label=1.0)
    np.testing.assert_array_equal(found.counts.values, recording().counts.values[:, ::2])
    assert len(found.units.id) == 3


def test_a_folder_of_data_sets_holds_several_sessions(tmp_path: Path) -> None:
    for name in ("b", "a"):
        write_rows(recording(name), tmp_path / f"{name}_aligned")
    assert READER.recognises(tmp_path)
    assert [one.name for one in READER.sessions(tmp_path)] == ["a_aligned", "b_aligned"]


def test_a_data_set_of_several_sessions_is_read_one_by_one(tmp_path: Path) -> None:
    parts = [tmp_path / name for name in "xy"]
    for part in parts:
        write_rows(recording(part.name, seed=ord(part.name)), part)
    both = tmp_path / "both"
    (both / "data").mkdir(parents=True)
    for split in ("train", "val", "test"):
        name = f"data/{split}-00000-of-00001.parquet"
        table = pa.concat_tables([parquet.read_table(part / name) for part in parts])
        parquet.write_table(table, both / name)
    found = READER.sessions(both)
    assert [one.name for one in found] == ["x", "y"]
    for one in found:
        alone = read(tmp_path / one.name)
        np.testing.assert_array_equal(read(one).counts.values, alone.counts.values)
        assert READER.inspect(one, ReadOptions()).session == one.name
    with pytest.raises(UserError, match="sessions x and y, expected one"):
        read(both)


def test_looking_says_what_there_is(tmp_path: Path) -> None:
    found = READER.inspect(write_rows(recording(), tmp_path / "rows"), ReadOptions())
    assert found.items["spikes"] == "6 units in 10 bins of 0.02 s"
    assert found.items["trials"] == "8 train, 2 valid, 2 test"
    assert found.items["behaviour"] == "wheel, choice, block"
    assert not found.missing


NONE = "1 (Allen); 4 of 6 units in none (root)"


@pytest.mark.parametrize(("names", "said"), [(["CA1", "", "root"], NONE), (["void"], None)])
def test_units_without_a_known_region_count_as_none(
    names: list[str], said: str | None, tmp_path: Path
) -> None:
    change = everywhere("cluster_regions", lambda regions: (names * len(regions))[: len(regions)])
    found = READER.inspect(damaged(tmp_path / "rows", change), ReadOptions())
    assert found.items.get("regions") == said
    assert ("regions" in found.missing) == (said is None)


def damaged(folder: Path, change: Callable[[Columns], object]) -> Path:
    """Rows whose training split was changed."""
    write_rows(recording(), folder)
    path = folder / "data" / "train-00000-of-00001.parquet"
    columns = parquet.read_table(path).to_pydict()
    change(columns)
    parquet.write_table(pa.table(columns), path)
    return folder


def put(name: str, row: int, value: Callable[[Any], Any]) -> Callable[[Columns], object]:
    def change(columns: Columns) -> None:
        columns[name][row] = value(columns[name][row])

    return change


def everywhere(name: str, value: Callable[[Any], Any]) -> Callable[[Columns], object]:
    def change(columns: Columns) -> None:
        columns[name] = [value(one) for one in columns[name]]

    return change


def repeat(columns: Columns) -> None:
    for values in columns.values():
        values[3] = values[0]


S = "spikes_sparse_"
DAMAGES: dict[str, tuple[Callable[[Columns], object], str]] = {
    "no data": (lambda c: c.pop(f"{S}data"), f"lacks the columns {S}data"),
    "no width": (lambda c: c.pop("binsize"), "lacks the columns binsize"),
    "data too short": (put(f"{S}data", 2, lambda v: v[:-1]), f"row 2: {S}data has"),
    "indptr too short": (put(f"{S}indptr", 2, lambda v: v[:-1]), "expected 11 from 0"),
    "indptr unsorted": (put(f"{S}indptr", 2, lambda v: [0, *v[1:-1][::-1], v[-1]]), "ascending"),
    "units astray": (put(f"{S}indices", 1, lambda v: [n + 99 for n in v]), "bins are swapped"),
    "negative unit": (put(f"{S}indices", 1, lambda v: [-1, *v[1:]]), "bins are swapped"),
    "negative counts": (everywhere(f"{S}data", lambda v: [-n for n in v]), "expected counts"),
    "fractions": (everywhere(f"{S}data", lambda v: [n / 2 + 0.1 for n in v]), "expected counts"),
    "missing counts": (everywhere(f"{S}data", lambda v: [np.nan for _ in v]), "expected counts"),
    "words": (everywhere(f"{S}data", lambda v: [str(n) for n in v]), "columns differ in type"),
    "a row without spikes": (put(f"{S}data", 4, lambda _: None), "is empty in 1 rows"),
    "units differ": (put(f"{S}shape", 1, lambda v: [v[0], v[1] + 1]), "same units in every row"),
    "transposed": (everywhere(f"{S}shape", lambda v: v[::-1]), "units"),
    "milliseconds": (everywhere("binsize", lambda v: v * 1e3), "expected (one width|seconds)"),
    "two widths": (put("binsize", 0, lambda v: 0.05), "expected one width in seconds"),
    "two sessions": (put("eid", 0, lambda v: "other"), "sessions other and s1"),
    "too few regions": (everywhere("cluster_regions", lambda v: v[:-1]), "cluster_regions has 5"),
    "unit twice": (everywhere("cluster_uuids", lambda v: [v[0]] * len(v)), "one id per unit"),
    "short behaviour": (put("wheel", 5, lambda v: v[:-1]), "wheel has 9 values in row 5"),
    "choice of 7": (put("choice", 0, lambda _: 7), "expected -1, 0, 1"),
    "trial twice": (repeat, "expected each trial once"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_named_with_its_place_and_remedy(tmp_path: Path, name: str) -> None:
    change, message = DAMAGES[name]
    folder = damaged(tmp_path / "rows", change)
    with pytest.raises(UserError, match=message) as caught:
        read(folder)
    assert "rows" in str(caught.value)
    assert "; " in str(caught.value)


def test_a_trial_in_two_splits_is_refused(tmp_path: Path) -> None:
    folder = write_rows(recording(), tmp_path / "rows")
    names = [folder / "data" / f"{split}-00000-of-00001.parquet" for split in ("train", "test")]
    train = parquet.read_table(names[0])
    parquet.write_table(train.slice(0, 2), names[1])
    with pytest.raises(UserError, match=r"row 0 \(train\) and row 10 \(test\)"):
        read(folder)


@pytest.mark.parametrize(("format", "kept"), [("parquet", 200), ("parquet", 0), ("arrow", 500)])
def test_a_truncated_file_is_refused(tmp_path: Path, format: str, kept: int) -> None:
    folder = write_rows(recording(), tmp_path / "rows", format=format)
    path = next(folder.rglob("*train*"))
    path = path if path.is_file() else next(path.iterdir())
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"is damaged or incomplete .*download it again"):
        read(folder)


def test_a_folder_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no rows"):
        READER.sessions(tmp_path)
    assert not READER.recognises(tmp_path)


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**31))
def test_a_sparse_matrix_becomes_what_it_was(bins: int, units: int, seed: int) -> None:
    counts = np.random.default_rng(seed).poisson(0.7, size=(bins, units))
    one = csr_array(counts)
    found = dense(one.data, one.indices, one.indptr, np.array(one.shape), "x")
    np.testing.assert_array_equal(found, counts)


def counted(starts: list[float], highest: int) -> Data:
    """Counts in bins of 0.1 s from 0 to 4 s, one after the other, and trials of half a second."""
    return from_arrays(
        session_id="s",
        counts=np.arange(80).reshape(40, 2) % (highest + 1),
        bin_size_s=0.1,
        trials={"start": np.array(starts), "end": np.array(starts) + 0.5},
    )


def test_rows_of_counts_hold_the_bins_of_their_trials(tmp_path: Path) -> None:
    several = counted([0.3, 1.0, 2.4], 400)
    write_rows(several, tmp_path)
    table = parquet.read_table(tmp_path / "data" / "train-00000-of-00001.parquet").to_pylist()
    for first, row in zip((3, 10, 24), table, strict=True):
        parts = (row[f"spikes_sparse_{name}"] for name in ("data", "indices", "indptr"))
        found = csr_array(tuple(parts), row["spikes_sparse_shape"]).toarray()
        np.testing.assert_array_equal(found, several.counts.values[first : first + 5])
    many = counted([0.3], 400)
    many.counts.values = many.counts.values.astype(np.int64) * 100
    write_rows(many, tmp_path / "many")
    (row,) = parquet.read_table(tmp_path / "many" / "data").to_pylist()
    assert max(row["spikes_sparse_data"]) == many.counts.values[3:8].max() > 255


def test_rows_of_trials_that_were_not_recorded_whole_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="1 trials have bins in which no counts were"):
        write_rows(counted([0.3, 3.8], 3), tmp_path)
