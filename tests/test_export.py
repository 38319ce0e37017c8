"""Predictions in the formats of others: read back by their own programs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from training.tiny_runs import tiny, write_recording

from neuroduet.data.actions import write_actions
from neuroduet.data.recording import save
from neuroduet.data.writers.prediction_files import PREDICTION_WRITERS, pynapple_objects
from neuroduet.data.writers.predictions import PredictedSeries, bouts_of, on_one_clock
from neuroduet.errors import UserError
from neuroduet.export import action_predictions, export, run_predictions
from neuroduet.simulate import simulate_session
from neuroduet.tasks.run import write_predictions
from neuroduet.training.fit import train

NAMES = ("still", "walk")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recording(tmp_path_factory.mktemp("data"), "mouse", choice=2)


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out, threads = tmp_path_factory.mktemp("runs") / "run", torch.get_num_threads()
    train(config=tiny(), data=data, out=out)
    torch.set_num_threads(threads)
    return out


@pytest.fixture
def acting(tmp_path: Path) -> Path:
    """A recording whose actions alternate every ten frames."""
    path = tmp_path / "acting.h5"
    save(simulate_session(seed=0, index=0, size="tiny"), path)
    classes = np.arange(40) // 10 % 2
    probabilities = np.where(classes[:, None] == np.arange(2), 0.9, 0.1)
    write_actions(path, classes, probabilities, NAMES, np.arange(40) / 20)
    return path


def test_a_run_becomes_the_numbers_that_predict_writes(
    run: Path, data: Path, tmp_path: Path
) -> None:
    (found,) = run_predictions(run, data)
    series = {one.name: one for one in found.series}
    with np.load(write_predictions(run, data, tmp_path)[0], allow_pickle=False) as said:
        rates = np.exp(said["encoding/log_rates"]) / said["bin_size_s"]
        width = float(said["bin_size_s"])
        centres = said["start_s"][:, None] + (np.arange(rates.shape[1]) + 0.5) * width
        np.testing.assert_allclose(series["rates"].values, rates.reshape(-1, 6), rtol=1e-5)
        np.testing.assert_allclose(series["rates"].times_s, centres.ravel())
        speed = said["decoding/speed"].reshape(-1, 1)
        np.testing.assert_allclose(series["speed"].values, speed, rtol=1e-5)
        np.testing.assert_allclose(series["choice"].values, said["decoding/choice"], rtol=1e-5)
    np.testing.assert_allclose(series["choice"].values.sum(axis=1), 1, rtol=1e-5)
    assert series["choice"].columns == ("0", "1")
    assert series["rates"].columns == tuple(f"unit{n:03d}" for n in range(6))


def test_nwb_files_are_read_back_by_pynwb(run: Path, data: Path, tmp_path: Path) -> None:
    pynwb = pytest.importorskip("pynwb", reason="NWB files are written by pynwb")
    (path,) = export(run, data, "nwb", tmp_path)
    (found,) = run_predictions(run, data)
    with pynwb.NWBHDF5IO(str(path), "r") as io:
        module = io.read().processing["neuroduet"]
        for one in found.series:
            series = module[one.name]
            np.testing.assert_allclose(series.data[:], one.values, rtol=1e-6)
            np.testing.assert_array_equal(series.timestamps[:], one.times_s)
        assert module["rates"].unit == "Hz"
        windows = module["prediction_windows"].to_dataframe()
        assert windows["split"].value_counts().to_dict() == {"train": 12, "valid": 4, "test": 4}
    assert pynwb.validate(path=str(path)) == []


def test_pynapple_opens_its_files(run: Path, data: Path, tmp_path: Path) -> None:
    pynapple = pytest.importorskip("pynapple", reason="its files are read by pynapple")
    files = export(run, data, "pynapple", tmp_path)
    (found,) = run_predictions(run, data)
    objects = pynapple_objects(found)
    for one in found.series:
        frame = pynapple.load_file(str(tmp_path / "mouse" / f"{one.name}.npz"))
        np.testing.assert_array_equal(frame.t, one.times_s)
        np.testing.assert_array_equal(frame.d, one.values)
        assert list(frame.columns) == list(one.columns) == list(objects[one.name].columns)
    windows = pynapple.load_file(str(tmp_path / "mouse" / "windows_test.npz"))
    assert len(windows) == 4
    assert len(objects["rates"].restrict(windows)) == 4 * 8
    for file in files:
        with np.load(file, allow_pickle=False) as arrays:
            assert all(arrays[name].dtype != object for name in arrays)


def test_tables_have_a_row_per_time_and_a_column_per_class(
    run: Path, data: Path, tmp_path: Path
) -> None:
    export(run, data, "alf", tmp_path)
    folder = tmp_path / "mouse" / "alf" / "neuroduet"
    states = pd.read_parquet(folder / "_neuroduet_choice.states.pqt")
    times = np.load(folder / "_neuroduet_choice.times.npy", allow_pickle=False)
    assert list(states.columns) == ["0", "1"]
    assert len(states) == len(times) == 20
    rates = pd.read_parquet(folder / "_neuroduet_rates.predictions.pqt")
    assert rates.shape == (160, 6)


def test_actions_of_a_recording_become_bouts(acting: Path, tmp_path: Path) -> None:
    pynwb = pytest.importorskip("pynwb", reason="NWB files are written by pynwb")
    (path,) = export(acting, None, "nwb", tmp_path / "out")
    with pynwb.NWBHDF5IO(str(path), "r") as io:
        bouts = io.read().processing["neuroduet"]["actions_bouts"].to_dataframe()
    assert bouts["label"].tolist() == ["still", "walk"] * 2
    np.testing.assert_allclose(bouts["start_time"], [0.0, 0.5, 1.0, 1.5])
    np.testing.assert_allclose(bouts["stop_time"], [0.5, 1.0, 1.5, 2.0])


def test_actions_in_files_and_in_recordings_say_the_same(acting: Path, tmp_path: Path) -> None:
    (inside,) = action_predictions(acting)
    answers = tmp_path / "answers"
    answers.mkdir()
    np.savez(
        answers / "acting.actions.npz",
        classes=inside.series[0].values.argmax(1),
        probabilities=inside.series[0].values,
        names=np.array(NAMES),
        timestamps=inside.series[0].times_s,
    )
    (beside,) = action_predictions(answers)
    np.testing.assert_array_equal(beside.series[0].values, inside.series[0].values)
    assert beside.session == "acting"
    export(answers, None, "alf", tmp_path / "out")
    table = pd.read_parquet(next((tmp_path / "out").rglob("*states.pqt")))
    np.testing.assert_allclose(table["walk"], np.where(np.arange(40) // 10 % 2, 0.9, 0.1), 1e-6)


@pytest.mark.parametrize("to", PREDICTION_WRITERS)
def test_writing_twice_gives_the_same_files(acting: Path, tmp_path: Path, to: str) -> None:
    pytest.importorskip("pynwb", reason="NWB files are written by pynwb")
    first = export(acting, None, to, tmp_path / "a")
    second = export(acting, None, to, tmp_path / "b")
    relative = [[path.relative_to(tmp_path / part) for path in files]
                for part, files in (("a", first), ("b", second))]  # fmt: skip
    assert relative[0] == relative[1]
    assert not list(tmp_path.rglob("*.part"))


def test_wrong_requests_are_one_sentence(run: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown format 'nbw'; did you mean 'nwb'"):
        export(run, data, "nbw", tmp_path)
    with pytest.raises(UserError, match="--data DIR"):
        export(run, None, "nwb", tmp_path)
    with pytest.raises(UserError, match="neither a run .* nor actions"):
        export(data, None, "nwb", tmp_path / "out")
    with pytest.raises(UserError, match="nothing at"):
        export(tmp_path / "none", None, "nwb", tmp_path / "out")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file, expected a folder"):
        export(run, data, "nwb", tmp_path / "file")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"timestamps": np.empty(0)}, "segment recordings with timestamps"),
        ({"names": np.array(["a"])}, "expected one per row and column"),
        ({"probabilities": np.ones(4)}, "expected one per row and column"),
        ({"probabilities": None}, "cannot be read"),
    ],
)
def test_damaged_actions_are_refused(
    tmp_path: Path, damage: dict[str, np.ndarray | None], message: str
) -> None:
    arrays = {
        "probabilities": np.ones((4, 2)), "names": np.array(NAMES), "timestamps": np.arange(4.0),
    }  # fmt: skip
    kept = {name: values for name, values in (arrays | damage).items() if values is not None}
    np.savez(tmp_path / "a.actions.npz", **kept)
    with pytest.raises(UserError, match=message):
        export(tmp_path, None, "alf", tmp_path / "out")


def test_overlapping_windows_are_averaged() -> None:
    times = np.array([[0.0, 1.0, 2.0], [1.0, 2.0, 3.0]])
    values = np.array([[[0.0], [2.0], [4.0]], [[4.0], [0.0], [6.0]]])
    valid = np.array([[True, True, True], [True, False, True]])
    clock, rows = on_one_clock(times, values, valid)
    assert clock.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert rows[:, 0].tolist() == [0.0, 3.0, 4.0, 6.0]


@given(st.lists(st.integers(0, 2), min_size=2, max_size=40))
def test_bouts_cover_every_frame_once(classes: list[int]) -> None:
    series = PredictedSeries(
        name="actions",
        kind="classes",
        times_s=np.arange(len(classes)) * 0.1,
        values=np.eye(3)[classes],
        columns=("a", "b", "c"),
        unit="probability",
    )
    bouts = bouts_of(series)
    assert all(one.name != two.name for one, two in zip(bouts, bouts[1:], strict=False))
    assert sum(one.end_s - one.start_s for one in bouts) == pytest.approx(len(classes) * 0.1)
    assert [one.start_s for one in bouts[1:]] == pytest.approx([one.end_s for one in bouts[:-1]])
