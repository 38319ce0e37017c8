"""Training windows: whole, real in context, never across recordings."""

from __future__ import annotations

import numpy as np
import torch

from neuroduet.actions.frames import Frames
from neuroduet.actions.s3lds.windows import lay_out, sampler
from neuroduet.types import UNLABELLED


def recording(number: int, frames: int, labels: dict[int, int] | None = None) -> Frames:
    """One whose features tell recording and frame."""
    features = np.stack([np.full(frames, number + 1.0), np.arange(frames)], 1).astype(np.float32)
    known = np.full(frames, UNLABELLED)
    for frame, label in (labels or {}).items():
        known[frame] = label
    return Frames(features=features, labels=known)


def test_no_window_and_no_context_reaches_another_recording():
    tape = lay_out([recording(0, 30), recording(1, 3), recording(2, 12)], 2, window=8, pad=4)
    draw = sampler(tape, 0.0)
    spans = torch.stack([draw.begins, draw.ends], 1).tolist()
    starts = torch.cat([torch.arange(begin, end + 1) for begin, end in spans])
    batch = tape.gather(starts)
    for x in batch.x:
        seen = set(x[:, 0].unique().tolist()) - {0.0}
        assert len(seen) == 1


def test_frames_that_follow_each_other_are_of_one_recording_also_without_context():
    tape = lay_out([recording(0, 30), recording(1, 12)], 2, window=8, pad=0)
    follow = tape.valid[1:] & tape.valid[:-1]
    assert follow.sum() == 29 + 11
    assert bool((tape.x[1:, 0] == tape.x[:-1, 0])[follow].all())


def test_every_frame_lies_in_some_window():
    recordings = [recording(0, 30), recording(1, 3), recording(2, 8)]
    tape = lay_out(recordings, 2, window=8, pad=4)
    draw = sampler(tape, 0.5)
    starts = draw.draw(2000, torch.Generator().manual_seed(0))
    batch = tape.gather(starts)
    core = batch.x[:, 4:12][batch.valid]
    assert len(core.unique(dim=0)) == 41


def test_context_is_the_recording_itself_and_zero_beyond_its_ends():
    tape = lay_out([recording(0, 30)], 2, window=8, pad=4)
    begin = tape.spans[0][0]
    first, middle = tape.gather(torch.tensor([begin, begin + 10])).x
    assert first[:4].abs().sum() == 0
    assert middle[:, 1].tolist() == list(range(6, 22))


def test_a_window_longer_than_its_recording_is_valid_only_inside_it():
    tape = lay_out([recording(0, 3, {1: 1})], 2, window=8, pad=4)
    batch = tape.gather(sampler(tape, 1.0).draw(5, torch.Generator().manual_seed(0)))
    assert batch.valid.sum(1).tolist() == [3] * 5
    assert batch.labels[0].tolist() == [-1, 1, -1, -1, -1, -1, -1, -1]


def test_centred_windows_hold_labels_of_all_classes_equally_often():
    common = dict.fromkeys(range(100, 190), 0)
    tape = lay_out([recording(0, 1000, common | {700: 1})], 2, window=5, pad=0)
    starts = sampler(tape, 1.0).draw(400, torch.Generator().manual_seed(0))
    batch = tape.gather(starts)
    rare = (batch.labels == 1).any(1).float().mean()
    assert 0.4 < float(rare) < 0.6
    assert bool((batch.labels != UNLABELLED).any(1).all())


def test_weak_labels_count_only_where_there_are_no_others():
    one = recording(0, 4, {0: 1})
    weak = Frames(features=one.features, labels=one.labels, weak=np.array([0, 0, 1, -1]))
    tape = lay_out([weak], 2, window=4, pad=0)
    batch = tape.gather(torch.tensor([0]))
    assert batch.weak[0].tolist() == [-1, 0, 1, -1]
