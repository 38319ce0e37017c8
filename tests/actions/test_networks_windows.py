"""Training windows: real context, zeros only beyond the ends, rare classes seen."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroduet.actions.frames import Frames
from neuroduet.actions.networks.windows import centres, corpus, gather, hold_out, starts_around


def counted(lengths: list[int], labels: int = 0) -> list[Frames]:
    """Recordings whose feature is 1000 * recording + frame + 1."""
    return [
        Frames(
            features=(1000 * r + np.arange(n)[:, None] + 1).astype(np.float32),
            labels=np.full(n, labels),
        )
        for r, n in enumerate(lengths)
    ]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=4),
    st.integers(1, 12),
    st.integers(0, 6),
    st.integers(0, 99),
)
def test_windows_hold_their_row_its_neighbours_and_nobody_elses(lengths, size, pad, seed) -> None:
    data, generator = corpus(counted(lengths)), torch.Generator().manual_seed(seed)
    rows = 1 + torch.arange(len(data))
    starts = starts_around(data, rows, size, generator)
    windows = gather(data, starts, size, pad)
    for row, start, features, inside in zip(
        rows, starts, windows.features[..., 0], windows.inside, strict=True
    ):
        own = int(data.features[row, 0]) // 1000
        first = int(data.features[start, 0]) % 1000 - 1
        frames = first + np.arange(-pad, size + pad)
        real = (frames >= 0) & (frames < lengths[own])
        assert features.tolist() == np.where(real, 1000 * own + frames + 1, 0).tolist()
        assert inside.tolist() == real[pad : pad + size].tolist()
        assert start <= row < start + size
        assert real[pad : pad + size].sum() == min(size, lengths[own])


def test_reference_windows_start_with_as_many_zeros_as_context() -> None:
    windows = gather(corpus(counted([1234])), torch.tensor([1, 501, 735]), 500, 24)
    assert windows.features.shape == (3, 548, 1)
    assert not bool(windows.features[0, :24].any())
    assert bool((windows.features[1] > 0).all())
    assert int((windows.features[2] == 0).sum()) == 24


def test_frames_beyond_the_end_are_unlabelled() -> None:
    windows = gather(corpus(counted([3, 5], labels=2)), torch.tensor([1]), 5, 1)
    assert windows.labels.tolist() == [[2, 2, 2, -1, -1]]


def test_weak_labels_count_only_where_nobody_labelled() -> None:
    one = Frames(
        features=np.zeros((3, 1), np.float32),
        labels=np.array([0, -1, -1]),
        weak=np.array([1, 1, -1]),
    )
    assert corpus([one]).weak.tolist() == [-1, -1, 1, -1]


def drawn(balance: float, share: float) -> torch.Tensor:
    labels = np.full(1000, -1)
    labels[:90], labels[500:510] = 0, 2
    data = corpus([Frames(features=np.zeros((1000, 1), np.float32), labels=labels)])
    around = centres(data, 3, balance=balance, share=share)
    return data.labels[around.draw(4000, len(data), torch.Generator().manual_seed(0))]


def test_balance_decides_how_often_rare_classes_are_drawn() -> None:
    assert abs(float((drawn(0.0, 1.0) == 2).float().mean()) - 0.1) < 0.02
    assert abs(float((drawn(0.5, 1.0) == 2).float().mean()) - 0.25) < 0.03
    assert abs(float((drawn(1.0, 1.0) == 2).float().mean()) - 0.5) < 0.03
    assert not bool((drawn(1.0, 1.0) == 1).any())


def test_the_other_windows_lie_anywhere() -> None:
    assert abs(float((drawn(1.0, 0.25) == -1).float().mean()) - 0.75 * 0.9) < 0.03


def test_held_out_windows_lose_their_labels_and_nothing_else() -> None:
    data = corpus(counted([300, 205]))
    left, held = hold_out(data, 10, 0.2, seed=3)
    lost = torch.nonzero(left.labels != data.labels)[:, 0]
    assert len(held) == 10
    assert set(gather(data, held, 10, 0).labels.flatten().tolist()) <= {0, -1}
    starts = held.tolist()
    assert all(any(s <= row < s + 10 for s in starts) for row in lost.tolist())
    assert len(lost) in range(91, 101)
    assert torch.equal(left.features, data.features)


def test_nothing_is_held_out_where_little_is_labelled() -> None:
    frames = counted([500])
    frames[0].labels[30:] = -1
    data = corpus(frames)
    left, held = hold_out(data, 10, 0.5, seed=0)
    assert len(held) == 0
    assert left is data
