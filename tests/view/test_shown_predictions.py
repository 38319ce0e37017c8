from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from torch_brain.data import Interval
from viewed import (
    CLASSES,
    LENGTH_S,
    N_FRAMES,
    N_UNITS,
    RATE_HZ,
    Client,
    activity,
    everything,
    film,
    image,
    labels,
    spikes,
    write,
)

from neuroduet.data.actions import write_actions
from neuroduet.errors import UserError
from neuroduet.view import serve
from neuroduet.view.predictions import open_predictions

BIN_S = 0.1
SHOWN = np.arange(N_UNITS)
IDS = tuple(f"u{n}" for n in range(N_UNITS))


def windows() -> dict[str, np.ndarray]:
    """Predictions of three windows of 2 s; the test window overlaps the one before by 1 s."""
    rates_hz = np.arange(1.0, 4.0)[:, None, None] * (1 + np.arange(N_UNITS))
    log_rates = np.log(np.broadcast_to(rates_hz, (3, 20, N_UNITS)) * BIN_S)
    valid = np.ones((3, 20), dtype=bool)
    valid[2, 10:] = False
    return {
        "start_s": np.array([0.0, 4.0, 5.0]),
        "split": np.array(["train", "valid", "test"]),
        "trial": np.arange(3),
        "valid": valid,
        "units": np.array(IDS[::-1]),
        "bin_size_s": np.asarray(BIN_S),
        "encoding/log_rates": log_rates[..., ::-1].astype(np.float32),
        "decoding/wheel": np.arange(60.0).reshape(3, 20, 1).astype(np.float32),
        "decoding/choice": np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]]),
        "classes/choice": np.array([-1, 1]),
    }


def run_folder(folder: Path, arrays: dict[str, np.ndarray] | None) -> Path:
    """A run folder with as much as the viewer looks for."""
    (folder / "predictions").mkdir(parents=True)
    (folder / "config.yaml").write_text("preset: duet\n")
    if arrays is not None:
        np.savez(folder / "predictions" / "day1.npz", **arrays)
    return folder


def test_windows_are_laid_in_time_and_the_test_window_goes_before(tmp_path: Path) -> None:
    np.savez(tmp_path / "day1.npz", **windows())
    found = open_predictions(tmp_path / "day1.npz", IDS, SHOWN)
    assert found.rates is not None
    expected = np.concatenate([np.arange(0, 2, BIN_S), np.arange(4, 6, BIN_S)]) + BIN_S / 2
    np.testing.assert_allclose(found.rates.timestamps, expected)
    window = np.concatenate([np.full(20, 1.0), np.full(10, 2.0), np.full(10, 3.0)])
    np.testing.assert_allclose(
        found.rates.read(slice(None))[:, found.rates.order],
        window[:, None] * (1 + np.arange(N_UNITS)),
        rtol=1e-5,
    )
    wheel = found.behaviours["wheel"].samples
    assert wheel is not None
    np.testing.assert_array_equal(wheel.values[:, 0], [*range(30), *range(40, 50)])


def test_rates_are_expected_spikes_per_column(tmp_path: Path) -> None:
    path = everything(tmp_path / "day1.h5")
    run = run_folder(tmp_path / "run", windows())
    with serve(run, data=path) as view:
        client = Client(view)
        about = client.get("session", id="day1")
        pixels, scale = image(client.get("rates", id="day1", start=0, end=8, columns=16))
        trace = client.get("trace", id="day1", name="wheel", start=0, end=8, columns=8)
        choice = client.get("trace", id="day1", name="choice", start=0, end=8, columns=8)
        unit = client.get("unit", id="day1", index=2)
    order = np.array([one["index"] for one in about["activity"]["units"]])
    window = np.array([1, 1, 1, 1, 0, 0, 0, 0, 2, 2, 3, 3, 0, 0, 0, 0])
    expected = 0.5 * window[None] * (1 + order)[:, None]
    np.testing.assert_allclose(pixels, expected, atol=scale / 255)
    assert about["activity"]["predicted"]
    assert [one["predicted"] for one in about["behaviours"]] == [True, True]
    (predicted,) = trace["predicted"]
    assert (predicted["low"][:3], predicted["high"][:3]) == ([0, 10, None], [9, 19, None])
    assert [one["class"] for one in choice["predicted"]] == ["-1", "1", "1"]
    assert [one["start"] for one in choice["predicted"]] == [0, 4, 5]
    # Trials 0 and 1 have predictions at their middle.
    assert (unit["psth"]["n_trials"], unit["psth"]["split"]) == (2, "train")
    assert unit["psth"]["predicted"][5] == pytest.approx(4.5, rel=1e-4)


def test_continuous_predictions_are_shown_too(tmp_path: Path) -> None:
    n_bins = int(LENGTH_S / BIN_S)
    arrays = {
        "time_s": (np.arange(n_bins) + 0.5) * BIN_S,
        "interval": np.zeros(n_bins, np.int64),
        "split": np.repeat(["train", "", "test"], [100, 50, n_bins - 150]),
        "valid": np.arange(n_bins) != 7,
        "units": np.array(IDS),
        "bin_size_s": np.asarray(BIN_S),
        "encoding/log_rates": np.full((n_bins, N_UNITS), np.log(0.4), np.float32),
        "decoding/state": np.eye(2)[np.arange(n_bins) // 100 % 2],
        "classes/state": np.array(["a", "b"]),
    }
    np.savez(tmp_path / "day1.npz", **arrays)
    found = open_predictions(tmp_path / "day1.npz", IDS, SHOWN)
    assert found.rates is not None
    assert len(found.rates.timestamps) == n_bins - 1
    np.testing.assert_allclose(found.rates.image(np.array([1.0, 2.0])), 4.0, rtol=1e-5)
    starts, ends, split = found.windows
    np.testing.assert_allclose(starts, [0, 10, 15])
    np.testing.assert_allclose(ends, [10, 15, LENGTH_S])
    assert split == ("train", "", "test")
    assert found.behaviours["state"].classes == ("a", "b")


def test_a_run_asks_for_its_recordings_and_says_how_to_predict(tmp_path: Path) -> None:
    path = everything(tmp_path / "day1.h5")
    with pytest.raises(UserError, match="--data"):
        serve(run_folder(tmp_path / "first", windows()))
    empty = run_folder(tmp_path / "second", None)
    with serve(empty, data=path) as view:
        assert view.hint == (
            f"neuroduet predict {empty} --data {path} --out {empty / 'predictions'}"
        )
        assert not Client(view).get("session", id="day1")["activity"]["predicted"]


def test_units_of_the_run_alone_decide_which_rows_have_rates(tmp_path: Path) -> None:
    arrays = windows()
    arrays["units"], arrays["encoding/log_rates"] = (
        arrays["units"][:3],
        arrays["encoding/log_rates"][..., :3],
    )
    np.savez_compressed(tmp_path / "day1.npz", **arrays)
    found = open_predictions(tmp_path / "day1.npz", IDS, SHOWN)
    assert found.rates is not None
    image = found.rates.image(np.array([0.0, 1.0]))[0]
    np.testing.assert_allclose(image, [0, 0, 0, 4, 5, 6], rtol=1e-5)


def test_rates_that_do_not_fit_the_units_are_said_in_a_sentence(tmp_path: Path) -> None:
    np.savez(tmp_path / "day1.npz", **windows() | {"units": np.array(IDS[1:])})
    with pytest.raises(UserError, match="units"):
        open_predictions(tmp_path / "day1.npz", IDS, SHOWN)


def test_predictions_in_which_no_bin_is_valid_are_shown_as_none(tmp_path: Path) -> None:
    arrays = windows() | {"valid": np.zeros((3, 20), dtype=bool)}
    path = everything(tmp_path / "day1.h5")
    with serve(run_folder(tmp_path / "run", arrays), data=path) as view:
        client = Client(view)
        window = {"id": "day1", "start": 0, "end": 8, "columns": 16}
        assert not image(client.get("rates", **window))[0].any()
        assert client.get("trace", name="wheel", **window)["predicted"][0]["low"] == [None] * 16
        psth = client.get("unit", id="day1", index=2)["psth"]
    assert (psth["predicted"], psth["n_trials"], psth["split"]) == (None, 10, None)


def test_an_average_over_trials_is_one_of_test_trials_if_those_were_predicted(
    tmp_path: Path,
) -> None:
    path = everything(tmp_path / "day1.h5")
    starts = np.arange(10) * 4.0
    arrays = windows() | {
        "start_s": starts,
        "split": np.full(10, "test"),
        "valid": np.ones((10, 30), dtype=bool),
        "encoding/log_rates": np.log(BIN_S * np.arange(1.0, 11))[:, None, None]
        * np.ones((1, 30, N_UNITS)),
    }
    arrays = {name: arrays[name] for name in arrays if not name.startswith("decoding/")}
    with serve(run_folder(tmp_path / "run", arrays), data=path) as view:
        psth = Client(view).get("unit", id="day1", index=2)["psth"]
    # Trials 8 and 9 are the test trials of the recording; trial n has a rate of n + 1.
    assert (psth["n_trials"], psth["split"]) == (2, "test")
    assert psth["predicted"][5] == pytest.approx(9.5, rel=1e-4)


def test_a_run_that_predicted_some_sessions_begins_with_them(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for name in ("day0", "day1", "day2"):
        everything(data / f"{name}.h5")
    with serve(run_folder(tmp_path / "run", windows()), data=data) as view:
        client = Client(view)
        assert client.get("sessions")["first"] == "day1"
        other = client.get("session", id="day2")
        split = [one["split"] for one in client.get("trials", id="day2", start=0, end=9)["trials"]]
    assert (other["activity"]["predicted"], other["of_run"]) == (False, True)
    assert split == ["train"] * 3


def test_trials_get_the_split_of_the_first_window_around_their_middle(tmp_path: Path) -> None:
    groups = activity("spikes")
    groups["trials"] = Interval(np.array([0.0, 4.0, 5.2, 20.0]), np.array([2.0, 6.0, 5.6, 21.0]))
    path = write(tmp_path / "day1.h5", **groups)
    with serve(run_folder(tmp_path / "run", windows()), data=path) as view:
        found = Client(view).get("trials", id="day1", start=0, end=40)["trials"]
    # The middle of the second and of the third lies in both windows that overlap.
    assert [one["split"] for one in found] == ["train", "valid", "valid", None]


def test_a_file_without_predictions_is_said_in_a_sentence(tmp_path: Path) -> None:
    np.savez(tmp_path / "day1.npz", bin_size_s=0.1, valid=np.ones((1, 2)))
    with pytest.raises(UserError, match="neuroduet predict"):
        open_predictions(tmp_path / "day1.npz", IDS, SHOWN)


def answer() -> tuple[np.ndarray, np.ndarray]:
    """What a model says: one class all the time, with 0.7 for it."""
    probabilities = np.full((N_FRAMES, 3), 0.15)
    probabilities[:, 1] = 0.7
    return np.ones(N_FRAMES, np.int64), probabilities


@pytest.mark.parametrize("stored", ["recording", "file", "without times"])
def test_predicted_actions_stand_beside_the_labels(tmp_path: Path, stored: str) -> None:
    path = write(tmp_path / "day1.h5", **film())
    classes, probabilities = answer()
    names, times = ("dig", *CLASSES[1:]), np.arange(N_FRAMES) / RATE_HZ
    source, data = path, None
    if stored == "recording":
        write_actions(path, classes, probabilities, names, times)
    else:
        out = tmp_path / "answers"
        out.mkdir()
        times = np.empty(0) if stored == "without times" else times
        np.savez(
            out / "day1.actions.npz",
            classes=classes,
            probabilities=probabilities,
            names=np.array(names),
            timestamps=times,
        )
        source, data = out, path
    with serve(source, data=data) as view:
        client = Client(view)
        about = client.get("session", id="day1")["actions"]
        found = client.get("actions", id="day1", start=0, end=LENGTH_S, columns=40)
        zoomed = client.get("actions", id="day1", start=1, end=1.05, columns=40)
        bout = client.get("bout", id="day1", frame=3, track="predicted")
    assert about["classes"] == [*CLASSES, "dig"]
    assert [one["class"] for one in found["predicted"]] == ["groom"]
    shown = found["probabilities"]["classes"]
    assert shown[0] == [None] * 40
    assert shown[1] == pytest.approx([0.7] * 40)
    assert shown[3] == pytest.approx([0.15] * 40)
    assert zoomed["probabilities"]["classes"][1] == pytest.approx([0.7] * 40)
    assert bout["mean_probability"] == pytest.approx(0.7)
    assert (bout["start_frame"], bout["end_frame"]) == (0, N_FRAMES)
    assert (
        sum(one["end_frame"] - one["start_frame"] for one in found["true"])
        == (labels() >= 0).sum()
    )


def test_a_bout_knows_its_neighbours(client: Client) -> None:
    codes = labels()
    first = int(np.flatnonzero(codes >= 0)[0])
    found = client.get("bout", id="day1", frame=first, track="true")
    assert (found["class"], found["start_frame"], found["previous"]) == (
        CLASSES[codes[first]],
        first,
        None,
    )
    assert found["next"] in CLASSES
    unlabelled = int(np.flatnonzero(codes == -1)[0])
    assert "no bout" in client.refused("bout", id="day1", frame=unlabelled, track="true")


def test_a_unit_is_described_by_its_spikes(client: Client) -> None:
    times, units = spikes()
    own = times[units == 4]
    found = client.get("unit", id="day1", index=4)
    assert (found["id"], found["region"], found["depth_um"]) == ("u4", "VIS", 30.0)
    assert found["rate_hz"] == pytest.approx(len(own) / LENGTH_S, rel=1e-4)
    edges = found["isi_ms"]["edges"]
    assert found["isi_ms"]["counts"] == np.histogram(1e3 * np.diff(own), edges)[0].tolist()
    over = found["rate_over_time"]
    assert np.mean(over["hz"]) == pytest.approx(len(own) / LENGTH_S, rel=1e-3)
    psth = found["psth"]
    assert (psth["n_trials"], psth["predicted"]) == (10, None)
    inside = sum(((own >= 4 * n) & (own < 4 * n + 3)).sum() for n in range(10))
    assert np.mean(psth["true"]) == pytest.approx(inside / 30, rel=0.02)


@pytest.mark.parametrize("kind", ["counts", "traces"])
def test_a_unit_of_recorded_bins_is_described(tmp_path: Path, kind: str) -> None:
    groups = activity(kind)
    with serve(write(tmp_path / "day1.h5", **groups)) as view:
        found = Client(view).get("unit", id="day1", index=1)
    values = groups[kind].values[:, 1]
    hz = np.array(found["rate_over_time"]["hz"], dtype=np.float64)
    expected = values.mean() / (0.02 if kind == "counts" else 1)
    assert np.nanmean(hz) == pytest.approx(expected, rel=0.05, abs=0.02)
    assert found["psth"] is None
