from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from neuroduet.config import DataConfig, ModelConfig
from neuroduet.data.arrays import from_arrays
from neuroduet.data.recording import save
from neuroduet.data.session import Session, open_sessions
from neuroduet.models import build, set_up_session
from neuroduet.models.initialise import components

TRIALS, BINS, UNITS, RANK = 60, 40, 30, 2
TRAIN = 44
SPLIT = ["train"] * TRAIN + ["valid"] * 6 + ["test"] * 10


def world(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Slow latents ``(W, T, R)``, loadings ``(N, R)`` and mean log-rates ``(N,)``."""
    generator = np.random.default_rng(seed)
    noise = generator.normal(size=(TRIALS, BINS + 20, RANK))
    kernel = np.exp(-0.5 * (np.arange(-10, 11) / 4.0) ** 2)
    slow = np.stack([np.apply_along_axis(np.convolve, 0, w, kernel, "valid") for w in noise])
    loadings = 0.4 * generator.normal(size=(UNITS, RANK))
    return slow / slow.std(), loadings, generator.uniform(-1.0, 1.0, UNITS)


def record(folder: Path, activity: np.ndarray, kind: str = "counts", **behaviours) -> Session:
    recording = from_arrays(
        session_id="s",
        **{kind: activity},
        bin_size_s=0.02,
        behaviours={"speed": np.zeros((TRIALS, BINS)), **behaviours},
        split=SPLIT,
    )
    folder.mkdir(exist_ok=True)
    save(recording, folder / "s.h5")
    return open_sessions(folder, DataConfig())[0]


def poisson_counts(seed: int = 0) -> np.ndarray:
    latents, loadings, bias = world(seed)
    generator = np.random.default_rng([seed, 1])
    return generator.poisson(np.exp(bias + latents @ loadings.T))


def started(session: Session, **changes: object) -> dict[str, torch.Tensor]:
    sizes = dict(width=16, layers=1, heads=2, feed_forward=16, input_rank=4, output_rank=3)
    torch.manual_seed(0)
    model = build(ModelConfig(**(sizes | changes)), [session.info])
    set_up_session(model, session)
    return {name: x.detach().clone() for name, x in model.state_dict().items()}


def largest_angle(one: np.ndarray, other: np.ndarray) -> float:
    """Largest principal angle between two subspaces (degrees)."""
    q, r = np.linalg.qr(one)[0], np.linalg.qr(other)[0]
    cosines = np.linalg.svd(q.T @ r, compute_uv=False)
    return float(np.degrees(np.arccos(np.clip(cosines.min(), 0, 1))))


def test_planted_loadings_are_found_in_the_starting_read_out(tmp_path: Path) -> None:
    session = record(tmp_path, poisson_counts())
    # Of rank three: one column for the tuning to behaviour (here constant), then components.
    loadings = started(session)["outputs.s_s.loadings"].numpy()[:, 1:]
    _, planted, _ = world()
    assert largest_angle(loadings, planted) < 20
    chance = np.random.default_rng(5).normal(size=(UNITS, RANK))
    assert largest_angle(chance, planted) > 45


def test_two_components_stand_out_of_activity_of_rank_two(tmp_path: Path) -> None:
    found = components(record(tmp_path, poisson_counts()))
    variance = found.deviations**2
    assert variance[RANK - 1] > 2 * variance[RANK]
    assert (np.diff(found.deviations) <= 1e-12).all()
    np.testing.assert_allclose(found.vectors.T @ found.vectors, np.eye(UNITS), atol=1e-9)


def test_the_starting_log_rate_is_the_log_of_the_mean_count(tmp_path: Path) -> None:
    counts = poisson_counts()
    counts[:TRAIN, :, 3] = 0  # silent in training: half a spike in all its bins
    start = started(record(tmp_path, counts))
    mean = counts[:TRAIN].reshape(-1, UNITS).mean(0)
    mean[3] = 0.5 / (TRAIN * BINS)
    np.testing.assert_allclose(start["outputs.s_s.bias"], np.log(mean), rtol=1e-5)
    np.testing.assert_allclose(
        start["inputs.s_s.centre"],
        np.sqrt(counts[:TRAIN]).reshape(-1, UNITS).mean(0),
        rtol=1e-5,
        atol=1e-7,
    )
    np.testing.assert_allclose(start["inputs.s_s.scale"], np.sqrt(mean), rtol=1e-5)
    assert all(torch.isfinite(x).all() for x in start.values())


def test_traces_start_at_their_mean_and_standard_deviation(tmp_path: Path) -> None:
    latents, loadings, bias = world()
    traces = 5.0 + bias + latents @ loadings.T
    start = started(record(tmp_path, traces, "traces"))
    flat = traces[:TRAIN].reshape(-1, UNITS)
    np.testing.assert_allclose(start["outputs.s_s.centre"], flat.mean(0), rtol=1e-4)
    np.testing.assert_allclose(start["outputs.s_s.scale"], flat.std(0), rtol=1e-4)
    assert start["outputs.s_s.bias"].abs().max() == 0
    found = start["outputs.s_s.loadings"].numpy()[:, 1:]
    assert largest_angle(found * flat.std(0)[:, None], loadings) < 10


def test_no_validation_or_test_window_influences_the_start(tmp_path: Path) -> None:
    counts, generator = poisson_counts(), np.random.default_rng(3)
    speed, reaction = generator.normal(size=(TRIALS, BINS)), generator.normal(size=TRIALS)
    before = started(record(tmp_path / "a", counts, speed=speed, reaction=reaction))
    counts, speed, reaction = counts.copy(), speed.copy(), reaction.copy()
    counts[TRAIN:] = generator.poisson(9.0, size=counts[TRAIN:].shape)
    speed[TRAIN:] += 100.0
    reaction[TRAIN:] += 100.0
    after = started(record(tmp_path / "b", counts, speed=speed, reaction=reaction))
    assert all(torch.equal(x, after[name]) for name, x in before.items())


def test_behaviours_are_standardised_by_their_training_windows(tmp_path: Path) -> None:
    speed = np.random.default_rng(3).normal(4.0, 2.0, size=(TRIALS, BINS))
    start = started(record(tmp_path, poisson_counts(), speed=speed))
    prefix = "behaviour_scales.s_s.s_speed"
    assert start[f"{prefix}.centre"].item() == pytest.approx(speed[:TRAIN].mean(), rel=1e-4)
    assert start[f"{prefix}.scale"].item() == pytest.approx(speed[:TRAIN].std(), rel=1e-4)


def test_more_columns_than_components_keep_their_random_start(tmp_path: Path) -> None:
    session = record(tmp_path, poisson_counts()[..., :2])
    plain, data = (started(session, data_init=flag, output_rank=5) for flag in (False, True))
    name = "outputs.s_s.loadings"  # of rank five: two columns of tuning, two for two units
    assert torch.equal(plain[name][:, 4:], data[name][:, 4:])
    assert not torch.equal(plain[name][:, :4], data[name][:, :4])
    assert torch.equal(plain["outputs.s_s.bias"], data["outputs.s_s.bias"])


@pytest.mark.parametrize("rank", [None, 5])
def test_the_start_fits_stitchers_with_and_without_a_rank(
    tmp_path: Path, rank: int | None
) -> None:
    start = started(record(tmp_path, poisson_counts()), input_rank=rank, output_rank=rank)
    assert start["inputs.s_s.weight"].shape == (UNITS, rank or 16)
    assert start["outputs.s_s.loadings"].shape == (UNITS, rank or 16)


def test_tuning_to_behaviour_starts_the_read_out(tmp_path: Path) -> None:
    generator = np.random.default_rng(4)
    speed = generator.normal(size=(TRIALS, BINS))
    speed = np.stack([np.convolve(row, np.ones(9) / 3, "same") for row in speed])
    planted = 0.5 * generator.normal(size=UNITS)
    counts = generator.poisson(np.exp(-0.5 + speed[..., None] * planted))
    start = started(record(tmp_path, counts, speed=speed), output_rank=6)
    tuning = start["outputs.s_s.loadings"].numpy()[:, :3]  # one column per lag of the speed
    correlations = [abs(np.corrcoef(column, planted)[0, 1]) for column in tuning.T]
    assert max(correlations) > 0.95
