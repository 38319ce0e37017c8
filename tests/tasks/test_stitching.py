"""Whole recordings: every bin once, no seams, and nothing new where windows agree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroduet.config import from_mapping
from neuroduet.data.arrays import from_arrays
from neuroduet.data.recording import save
from neuroduet.data.session import Session, open_sessions
from neuroduet.errors import UserError
from neuroduet.models import MODELS, build
from neuroduet.tasks import TASKS
from neuroduet.tasks.behaviour import Decoding
from neuroduet.tasks.export import recording_predictions, write_predictions
from neuroduet.tasks.stitch import Cover, bin_splits, bin_validity, cover, fade, stitch
from neuroduet.training.runs import save_model
from neuroduet.training.state import MEAN
from neuroduet.types import NEURAL, Batch, Masks, Prediction

BIN = 0.1
DECODING = TASKS["decoding"]


def write(folder: Path, until: float = 30.03, **changes) -> Path:
    """Spike events, a position, a state and, per trial, a choice."""
    generator = np.random.default_rng(0)
    times = np.arange(0, until, 0.02)
    recording = from_arrays(
        **{
            "session_id": "rat",
            "spike_times": np.sort(generator.uniform(0, until, 600)),
            "spike_units": generator.integers(0, 5, 600),
            "trials": {"start": [1.0, 11.0, 21.0], "end": [9.0, 19.0, 29.0]},
            "behaviours": {
                "position": (times, np.c_[np.sin(times), np.cos(times)]),
                "state": (times, (times // 3 % 2).astype(int)),
                "choice": np.array([0, 1, 0]),
            },
            **changes,
        }
    )
    folder.mkdir(exist_ok=True)
    save(recording, folder / "rat.h5")
    return folder


SETTINGS = {
    "data": {
        "windows": {"align": "continuous", "length_s": 2.0, "bin_size_s": BIN},
        "split": {"kind": "blocked", "blocks": 1, "gap_s": 0.5, "train": 0.5, "valid": 0.2},
    },
    "model": {"width": 16, "layers": 1, "heads": 2, "feed_forward": 16},
}


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return open_sessions(write(tmp_path / "data"), from_mapping(SETTINGS).data)[0]


class PerBin:
    """Reads every bin by itself: what it says of a bin does not depend on the window."""

    name = "per bin"

    def predict(self, batch: Batch, masks: Masks, task: str) -> Prediction:
        total = batch.activity.sum(2)
        position = torch.stack([total, -total], dim=2)
        return Prediction(activity=None, behaviours={"position": position, "state": position})


class Ramp:
    """Says how far a bin is from the start of its window, whatever it reads: all seams."""

    name = "ramp"

    def predict(self, batch: Batch, masks: Masks, task: str) -> Prediction:
        place = torch.arange(batch.valid.shape[1]).float().expand(batch.valid.shape)
        return Prediction(activity=None, behaviours={"position": place[..., None].repeat(1, 1, 2)})


class Tagged:
    """Says which window it sees: the predictions of a window are the same in all its bins."""

    name = "tagged"

    def __init__(self) -> None:
        self.seen = 0

    def predict(self, batch: Batch, masks: Masks, task: str) -> Prediction:
        tags = self.seen + torch.arange(len(batch.valid)).float()
        self.seen += len(batch.valid)
        shape = (*batch.valid.shape, 2)
        return Prediction(
            activity=None, behaviours={"position": tags[:, None, None].expand(shape).clone()}
        )


def lay(session: Session, overlap: float) -> Cover:
    return cover(session.recorded_s, BIN, session.info.max_bins, overlap)


def predicted(predictor, session: Session, overlap: float, name: str = "position") -> np.ndarray:
    (variant,) = Decoding().variants(session.info)
    found = stitch(predictor, session, Decoding(), variant, lay(session, overlap))
    return found[name].predicted[0]


INTERVALS = st.lists(st.tuples(st.floats(0.05, 20), st.floats(0.01, 5)), min_size=1, max_size=5)


@settings(max_examples=25)
@given(INTERVALS, st.integers(1, 30), st.floats(0, 0.95))
def test_windows_cover_every_bin_and_stay_inside_their_interval(pieces, window, overlap) -> None:
    length_s, gap_s = np.array(pieces).T
    end_s = np.cumsum(length_s + gap_s)
    recorded_s = np.c_[end_s - length_s, end_s]
    laid = cover(recorded_s, BIN, window, overlap)
    counts = np.floor((recorded_s[:, 1] - recorded_s[:, 0]) / BIN + 1e-6).astype(int)
    np.testing.assert_array_equal(np.bincount(laid.interval, minlength=len(counts)), counts)
    hits = np.zeros(len(laid.interval), int)
    for first, bins in zip(laid.first, laid.bins, strict=True):
        inside = slice(first, first + bins)
        hits[inside] += 1
        assert len(set(laid.interval[inside])) == 1
        assert bins == min(window, counts[laid.interval[first]])
    assert (hits > 0).all()
    assert (np.diff(laid.bin_start_s) > 0).all()
    assert (laid.bin_start_s + BIN <= recorded_s[laid.interval, 1] + 1e-6).all()


@pytest.mark.parametrize("overlap", [-0.1, 1.0, float("nan")])
def test_an_overlap_outside_its_range_is_refused(overlap: float) -> None:
    with pytest.raises(UserError, match=r"overlap is .*from 0 to below 1"):
        cover(np.array([[0.0, 5.0]]), BIN, 10, overlap)


@pytest.mark.parametrize("bins", [1, 2, 7, 20])
def test_fading_is_symmetric_and_never_zero(bins: int) -> None:
    weights = fade(bins)
    assert (weights > 0).all()
    np.testing.assert_allclose(weights, weights[::-1])


def test_two_windows_that_overlap_by_half_fade_linearly() -> None:
    weights = fade(20)
    share = weights[10:] / (weights[10:] + weights[:10])
    np.testing.assert_allclose(np.diff(share), -0.1)


@pytest.mark.parametrize("overlap", [0.0, 0.3, 0.5, 0.9])
def test_where_windows_agree_stitching_is_a_single_pass(session: Session, overlap: float) -> None:
    whole = session.stretches(np.array([0.0]), np.array([len(lay(session, 0.0).interval)]))
    (variant,) = Decoding().variants(session.info)
    masks = DECODING.masks(whole, variant)
    once = PerBin().predict(whole, masks, "decoding").behaviours
    found = predicted(PerBin(), session, overlap)
    np.testing.assert_allclose(found, once["position"][0], rtol=1e-6)
    state = torch.as_tensor(predicted(PerBin(), session, overlap, "state")).softmax(-1)
    np.testing.assert_allclose(state, once["state"][0].softmax(-1), atol=1e-6)


def test_the_truth_of_a_whole_recording_is_that_of_a_single_pass(session: Session) -> None:
    laid = lay(session, 0.5)
    whole = session.stretches(np.array([0.0]), np.array([len(laid.interval)]))
    (variant,) = Decoding().variants(session.info)
    found = stitch(PerBin(), session, Decoding(), variant, laid)
    for name in ("position", "state"):
        np.testing.assert_allclose(found[name].true, whole.behaviours[name], atol=1e-6)
        np.testing.assert_array_equal(found[name].scored, whole.observed[name])


def test_tiles_have_seams_and_overlapping_windows_have_none(session: Session) -> None:
    tiles, faded = (predicted(Ramp(), session, overlap)[:, 0] for overlap in (0.0, 0.5))
    assert np.abs(np.diff(tiles)).max() > 15
    inside = slice(0, 280)
    assert np.abs(np.diff(faded[inside])).max() < 1.01, "the slope of the ramp itself"


def test_a_prediction_passes_linearly_from_one_window_to_the_next(session: Session) -> None:
    steps = np.diff(predicted(Tagged(), session, 0.5)[:280, 0])
    np.testing.assert_allclose(steps[10:-10], 0.1, atol=1e-5)


def test_chunks_do_not_change_what_is_stitched(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = predicted(PerBin(), session, 0.7)
    monkeypatch.setattr("neuroduet.tasks.stitch.CHUNK", 3)
    np.testing.assert_allclose(predicted(PerBin(), session, 0.7), once, rtol=1e-6)


def test_bins_know_the_split_of_their_window(session: Session) -> None:
    laid = lay(session, 0.5)
    splits = bin_splits(session, laid)
    table, centre = session.windows, laid.bin_start_s + BIN / 2
    for start_s, end_s, name in zip(table.start_s, table.end_s(BIN), table.split, strict=True):
        assert set(splits[(centre > start_s) & (centre < end_s)]) == {name}
    assert (splits[centre > table.end_s(BIN).max()] == "").all()
    assert {"train", "valid", "test"} <= set(splits)


def test_bins_that_were_not_recorded_are_not_valid(tmp_path: Path) -> None:
    counts = [np.ones((20, 2), int), np.ones((7, 2), int)]
    recording = from_arrays(session_id="rat", counts=counts, bin_size_s=BIN)
    save(recording, tmp_path / "rat.h5")
    config = from_mapping({"data": {"windows": {"align": "continuous", "length_s": 0.5}}})
    (session,) = open_sessions(tmp_path, config.data)
    laid = cover(session.recorded_s, BIN, 5)
    valid = bin_validity(session, laid)
    assert valid.all()
    assert len(valid) == 27


def untrained(session: Session, values: dict, folder: Path) -> Path:
    config = from_mapping(values)
    torch.manual_seed(0)
    model = build(config.model, [session.info]).eval()
    weights = {name: p.detach().clone() for name, p in model.named_parameters()}
    save_model(folder, config, model, [(MEAN, weights)])
    (folder / "config.yaml").write_text(config.to_yaml())
    return folder


def test_a_whole_recording_is_written_with_every_bin_once(
    session: Session, tmp_path: Path
) -> None:
    run = untrained(session, SETTINGS, tmp_path / "run")
    (path,) = write_predictions(run, tmp_path / "data", tmp_path / "out", continuous=True)
    with np.load(path, allow_pickle=False) as archive:
        found = dict(archive)
    n_bins = 300
    np.testing.assert_allclose(found["time_s"], 0.05 + BIN * np.arange(n_bins), atol=1e-9)
    sizes = {"position": 2, "state": 2}
    for name, size in sizes.items():
        assert found[f"decoding/{name}"].shape == (n_bins, size)
        assert len(found[f"true/{name}"]) == len(found[f"observed/{name}"]) == n_bins
    assert found["encoding/log_rates"].shape == found["true/counts"].shape == (n_bins, 5)
    assert found["true/counts"].sum() >= 595, "all spikes but those in the last part of a bin"
    np.testing.assert_allclose(found["decoding/state"].sum(1), 1, atol=1e-5)
    assert found["valid"].all()
    assert "decoding/choice" not in found
    assert not {"start_s", "trial"} & set(found)
    assert all(np.isfinite(x).all() for x in found.values() if x.dtype.kind == "f")


@pytest.mark.parametrize("name", MODELS)
def test_every_model_predicts_whole_recordings(
    session: Session, name: str, tmp_path: Path
) -> None:
    spikes_alone = name in ("mtm_published", "ndt2")
    changed = SETTINGS | {
        "model": SETTINGS["model"] | {"name": name, "behaviours": not spikes_alone}
    }
    model = build(from_mapping(changed).model, [session.info])

    class Asked:
        name = "asked"

        def predict(self, batch: Batch, masks: Masks, task: str) -> Prediction:
            return model.eval()([batch], [masks.visible])[0]

    laid = lay(session, 0.5)
    for task in ("encoding", "decoding"):
        (variant,) = TASKS[task].variants(session.info)
        for answer in stitch(Asked(), session, TASKS[task], variant, laid).values():
            assert answer.predicted.shape[:2] == (1, len(laid.interval))
            assert np.isfinite(answer.predicted).all()


def test_an_interval_shorter_than_a_window_is_predicted_too(tmp_path: Path) -> None:
    counts = [np.ones((20, 2), int), np.ones((7, 2), int), np.ones((31, 2), int)]
    speed = [np.arange(len(x), dtype=float) for x in counts]
    recording = from_arrays(
        session_id="rat", counts=counts, bin_size_s=BIN, behaviours={"speed": speed}
    )
    save(recording, tmp_path / "rat.h5")
    changed = SETTINGS | {"data": {"windows": {"align": "continuous", "length_s": 1.0}}}
    config = from_mapping(changed)
    (session,) = open_sessions(tmp_path, config.data)
    found = recording_predictions(Speedy(), session)
    assert found["decoding/speed"].shape == (58, 1)
    np.testing.assert_array_equal(np.bincount(found["interval"]), [20, 7, 31])
    np.testing.assert_array_equal(found["decoding/speed"][:, 0], 2)


class Speedy:
    """Predicts the number of spikes as the speed."""

    name = "speedy"

    def predict(self, batch: Batch, masks: Masks, task: str) -> Prediction:
        if NEURAL in masks.scored:
            return Prediction(activity=None)
        return Prediction(activity=None, behaviours={"speed": batch.activity.sum(2, keepdim=True)})
