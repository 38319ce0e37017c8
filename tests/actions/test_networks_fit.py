"""Fitting and predicting with the networks."""

import numpy as np
import pytest
import torch

from neuroduet.actions.frames import Frames
from neuroduet.actions.model import Family, silent
from neuroduet.actions.networks import GRU, LSTM, MLP, MS_TCN, TCN
from neuroduet.actions.networks.network import build
from neuroduet.actions.networks.options import MSTCNOptions, TCNOptions
from neuroduet.actions.networks.prediction import Networks, frame_logits
from neuroduet.actions.networks.training import n_steps, rate_factor
from neuroduet.errors import UserError

FAMILIES: dict[str, Family] = {
    "mlp": MLP,
    "lstm": LSTM,
    "gru": GRU,
    "tcn": TCN,
    "ms_tcn": MS_TCN,
}
SMALL: dict[str, dict] = {
    "mlp": {"hidden": 8, "steps": 60, "window": 32},
    "lstm": {"hidden": 8, "steps": 20, "window": 16, "batch": 8, "context": 4, "layers": 1},
    "gru": {"hidden": 8, "steps": 20, "window": 16, "batch": 8, "context": 4, "layers": 1},
    "tcn": {"hidden": 8, "steps": 60, "window": 32, "layers": 1, "batch": 8},
    "ms_tcn": {"hidden": 8, "steps": 60, "window": 32, "layers": 2, "stages": 2},
}


def steps_up_and_down(
    seed: int, n_frames: int = 400, labelled: float = 1.0, n_classes: int = 2
) -> Frames:
    """Class 1 while the first feature is rising, which no frame tells by itself."""
    rng = np.random.default_rng(seed)
    phase = np.cumsum(rng.choice([-1, 1], n_frames // 20)[:, None] * np.ones(20))
    labels = (np.diff(phase, prepend=phase[0] - 1) > 0).astype(int)
    features = np.stack([np.sin(phase / 3), np.cos(phase / 3)], 1)
    features = features + 0.05 * rng.standard_normal(features.shape)
    labels[rng.random(n_frames) > labelled] = -1
    return Frames(features=features.astype(np.float32), labels=labels)


def fitted(name: str, frames: list[Frames] | None = None, seed: int = 0, **changes):
    options = FAMILIES[name].options(**{**SMALL[name], **changes})
    data = frames or [steps_up_and_down(1)]
    return FAMILIES[name].fit(data, 3, options, seed, silent), options


@pytest.mark.parametrize("name", ["mlp", "tcn", "ms_tcn"])
def test_networks_learn_what_only_neighbouring_frames_tell(name: str) -> None:
    model, _ = fitted(name, learning_rate=0.02, noise=0.0)
    test = steps_up_and_down(2)
    right = model.predict_proba([test.features])[0].argmax(1) == test.labels
    assert right.mean() > 0.85


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_recurrent_networks_learn_it_too(name: str) -> None:
    model, _ = fitted(name, learning_rate=0.03, noise=0.0, steps=60, dropout=0.0)
    test = steps_up_and_down(2)
    right = model.predict_proba([test.features])[0].argmax(1) == test.labels
    assert right.mean() > 0.85


@pytest.mark.parametrize("name", FAMILIES)
def test_restored_networks_predict_the_same(name: str) -> None:
    model, options = fitted(name, members=2, steps=3)
    features = [steps_up_and_down(3, n).features for n in (20, 100)]
    arrays = model.arrays()
    again = FAMILIES[name].restore(arrays, options)
    for one, other in zip(
        model.predict_proba(features), again.predict_proba(features), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    assert set(again.arrays()) == set(arrays)
    assert all(a.dtype in (np.float32, np.int64) for a in arrays.values())


@pytest.mark.parametrize("name", FAMILIES)
def test_every_recording_gets_probabilities_however_short(name: str) -> None:
    model, _ = fitted(name, steps=3)
    lengths = (0, 1, 2, 33, 300)
    found = model.predict_proba([steps_up_and_down(1, 400).features[:n] for n in lengths])
    assert [p.shape for p in found] == [(n, 3) for n in lengths]
    for p in found:
        assert np.isfinite(p).all()
        np.testing.assert_allclose(p.sum(1), 1, atol=1e-5)
    assert max(p[:, 2].max(initial=0) for p in found) < 1e-6  # nobody labelled class 2


def test_recordings_shorter_than_a_window_teach_too() -> None:
    frames = [steps_up_and_down(seed, 20) for seed in range(10)]
    model, _ = fitted("tcn", frames, window=200)
    assert np.isfinite(model.predict_proba([frames[0].features])[0]).all()


@pytest.mark.parametrize("options", [TCNOptions(), MSTCNOptions(hidden=4, layers=3)])
def test_pieces_are_exactly_the_whole(options) -> None:
    network = build(options, 5, torch.ones(4, dtype=torch.bool)).eval()
    x = torch.randn(1234, 5)
    with torch.no_grad():
        pieces, whole = frame_logits(network, x, 500), frame_logits(network, x, 10_000)
        changed = x.clone()
        changed[600] += 1
        moved = (frame_logits(network, changed, 500) - pieces).abs().amax(1)
    assert pieces.shape == (1234, 4)
    torch.testing.assert_close(pieces, whole, atol=1e-5, rtol=0)
    far = (torch.arange(1234) - 600).abs() > network.pad
    assert float(moved[far].max()) < 1e-5
    assert float(moved[600]) > 1e-5


def test_recordings_do_not_notice_each_other() -> None:
    model, _ = fitted("lstm", steps=3)
    a, b = (steps_up_and_down(seed, 300).features for seed in (4, 5))
    np.testing.assert_array_equal(model.predict_proba([a, b])[1], model.predict_proba([b])[0])


def test_equal_seeds_give_equal_networks_and_leave_torchs_generator_alone() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one, two, other = (fitted("tcn", steps=5, seed=seed)[0].arrays() for seed in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(np.array_equal(one[name], two[name]) for name in one)
    assert any(not np.array_equal(one[name], other[name]) for name in one)


def test_members_are_fits_of_consecutive_seeds_averaged() -> None:
    both, _ = fitted("tcn", steps=5, members=2, seed=3)
    alone = [fitted("tcn", steps=5, seed=seed)[0] for seed in (3, 4)]
    x = [steps_up_and_down(9).features]
    expected = np.mean([m.predict_proba(x)[0] for m in alone], 0)
    np.testing.assert_allclose(both.predict_proba(x)[0], expected, atol=1e-6)


@pytest.mark.parametrize(
    "changes",
    [
        {"dropout": 0.5},
        {"average": 0.0},
        {"class_weight_power": 0.0},
        {"balance": 1.0},
        {"centred": 0.0},
        {"smoothing": 1.0},
        {"smoothing": 1.0, "smooth_unlabelled": True},
        {"label_smoothing": 0.2},
        {"noise": 0.5},
        {"weight_decay": 10.0},
        {"learning_rate": 0.05},
        {"prediction_weight": 1.0},
        {"pseudo_labels": True, "pseudo_threshold": 0.5, "pseudo_start": 0.1, "weak_weight": 2.0},
        {"pseudo_labels": True, "pseudo_threshold": 0.5, "pseudo_start": 0.1, "pseudo_end": 1.0},
    ],
)
def test_every_option_changes_what_is_learnt(changes: dict) -> None:
    frames = [steps_up_and_down(1, labelled=0.3), steps_up_and_down(2, labelled=0.1)]
    frames[0].labels[:300] = np.where(frames[0].labels[:300] == 1, -1, frames[0].labels[:300])
    x = [frames[0].features]
    usual, _ = fitted("tcn", frames, steps=20, class_weight_power=0.5)
    changed, _ = fitted("tcn", frames, **{"steps": 20, **changes})
    assert not np.allclose(usual.predict_proba(x)[0], changed.predict_proba(x)[0], atol=1e-5)
    assert np.isfinite(changed.predict_proba(x)[0]).all()


def test_weak_labels_teach_the_backbone() -> None:
    plain = steps_up_and_down(1, labelled=0.2)
    weak = Frames(features=plain.features, labels=plain.labels, weak=steps_up_and_down(1).labels)
    x = [plain.features]
    one, other = (fitted("tcn", [f], steps=10)[0].predict_proba(x)[0] for f in (plain, weak))
    none = fitted("tcn", [weak], steps=10, weak_weight=0.0)[0].predict_proba(x)[0]
    assert not np.allclose(one, other, atol=1e-5)
    np.testing.assert_array_equal(one, none)


def test_what_only_teaches_is_not_kept() -> None:
    model, _ = fitted("tcn", steps=2, prediction_weight=1.0, pseudo_labels=True)
    assert isinstance(model, Networks)
    assert not any("weak" in name or "next" in name for name in model.arrays())


def test_training_stops_when_held_out_windows_gain_no_more() -> None:
    frames = [steps_up_and_down(seed, 1000) for seed in range(2)]
    looks: list[int] = []
    options = TCN.options(
        **SMALL["tcn"] | {"steps": 400, "holdout": 0.2, "patience": 2, "learning_rate": 0.1}
    )
    TCN.fit(frames, 3, options, 0, lambda done, total, loss: looks.append(done))
    assert looks[-1] < 400


def test_progress_is_told_up_to_the_end() -> None:
    told: list[tuple[int, int]] = []
    options = TCN.options(**SMALL["tcn"] | {"steps": 40, "members": 2})
    TCN.fit([steps_up_and_down(1)], 3, options, 0, lambda d, n, loss: told.append((d, n)))
    assert told == sorted(told)
    assert told[-1] == (80, 80)


def test_recordings_without_labels_are_refused_with_a_remedy() -> None:
    frames = steps_up_and_down(1, labelled=0.0)
    with pytest.raises(UserError, match="label some frames"):
        fitted("tcn", [frames])


def test_other_features_than_in_training_are_refused() -> None:
    model, _ = fitted("tcn", steps=1)
    with pytest.raises(UserError, match="fitted on 2"):
        model.predict_proba([np.zeros((5, 3), np.float32)])


def test_steps_follow_the_number_of_frames_within_bounds() -> None:
    options = TCNOptions(window=100, batch=10, epochs=10)
    assert [n_steps(n, options) for n in (10, 50_000, 10**8)] == [300, 500, 3000]
    assert n_steps(10, TCNOptions(steps=7)) == 7


def test_the_learning_rate_rises_and_falls() -> None:
    factors = [rate_factor(step, 50) for step in range(50)]
    assert max(factors) == 1
    assert factors[:5] == sorted(factors[:5])
    assert factors[5:] == sorted(factors[5:], reverse=True)
    assert 0 < factors[-1] < 0.01
