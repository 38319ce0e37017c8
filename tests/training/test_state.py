from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from neuroduet.errors import UserError
from neuroduet.training.state import (
    MEAN,
    Progress,
    WeightAverage,
    decay_groups,
    load_checkpoint,
    save_checkpoint,
)


def make(seed: int = 0) -> tuple[nn.Module, WeightAverage, torch.optim.Optimizer]:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    groups = decay_groups(list(model.named_parameters()), 0.1)
    return model, WeightAverage(model, 0.9), torch.optim.AdamW(groups, lr=0.01, fused=True)


def take_steps(model, average, optimizer, first: int, last: int) -> None:
    for step in range(first, last):
        inputs = torch.randn(8, 3, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        model(inputs).square().mean().backward()
        average.catch_up(step)
        optimizer.step()
        average.update(step)


def test_the_average_follows_its_recursion() -> None:
    model = nn.Linear(1, 1, bias=False)
    values = [2.0, -1.0, 0.5, 3.0, 7.0]
    with torch.no_grad():
        model.weight.fill_(1.0)
    model.weight.grad = torch.ones(1, 1)
    average, expected = WeightAverage(model, 0.25), 1.0
    for step, value in enumerate(values):
        with torch.no_grad():
            model.weight.fill_(value)
        average.update(step)
        # Young averages forget faster: 1/10, 2/11, 3/12, then the limit of 0.25.
        decay = [0.1, 2 / 11, 0.25, 0.25, 0.25][step]
        expected = decay * expected + (1 - decay) * value
        assert average.shadow["weight"].item() == pytest.approx(expected)


@pytest.mark.parametrize("decay", [0.25, 0.9])
def test_the_average_of_weights_that_rest_catches_up(decay: float) -> None:
    model = nn.Linear(1, 1, bias=False)
    average, expected = WeightAverage(model, decay), model.weight.item()
    value = expected
    for step in range(40):
        model.weight.grad = torch.ones(1, 1) if step in (0, 7, 8, 30) else None
        average.catch_up(step)
        if model.weight.grad is not None:
            value = float(step)
            with torch.no_grad():
                model.weight.fill_(value)
        average.update(step)
        kept = min(decay, (1 + step) / (10 + step))
        expected = kept * expected + (1 - kept) * value
    average.settle(40)
    assert average.shadow["weight"].item() == pytest.approx(expected, rel=1e-6)


def test_without_decay_the_average_is_the_weights() -> None:
    model, _, optimizer = make()
    average = WeightAverage(model, 0.0)
    take_steps(model, average, optimizer, 0, 3)
    assert all(torch.equal(p, average.shadow[k]) for k, p in model.named_parameters())


def test_the_average_is_applied_and_the_weights_come_back_bit_for_bit() -> None:
    model, average, optimizer = make()
    take_steps(model, average, optimizer, 0, 5)
    before = {k: p.detach().clone() for k, p in model.named_parameters()}
    with average.applied():
        for name, p in model.named_parameters():
            assert torch.equal(p, average.shadow[name])
            assert not torch.equal(p, before[name])
    assert all(torch.equal(p, before[k]) for k, p in model.named_parameters())
    with pytest.raises(ZeroDivisionError), average.applied():
        raise ZeroDivisionError
    assert all(torch.equal(p, before[k]) for k, p in model.named_parameters())


def test_the_average_moves_to_the_models_device() -> None:
    _, average, _ = make()
    average.to(torch.device("meta"))
    assert {x.device.type for x in average.shadow.values()} == {"meta"}


def test_progress_keeps_the_best_of_every_target_and_of_their_mean() -> None:
    progress = Progress(step=10)
    assert set(progress.record({"a": 1.0, "b": 0.0})) == {"a", "b", MEAN}
    progress.step = 20
    assert progress.record({"a": 0.4, "b": 0.5}) == ["b"]  # the mean falls from 0.5 to 0.45
    assert progress.stale == 1
    progress.step = 30
    assert progress.record({"a": 0.4, "b": 0.5}) == []  # equal is no improvement
    assert progress.stale == 2
    progress.step = 40
    assert progress.record({"a": 0.9, "b": 0.4}) == [MEAN]
    assert progress.stale == 0
    assert progress.best == {"a": 1.0, "b": 0.5, MEAN: pytest.approx(0.65)}
    assert progress.best_step == {"a": 10, "b": 20, MEAN: 40}


def test_no_scores_are_no_progress_and_no_standstill() -> None:
    progress = Progress()
    assert progress.record({}) == []
    assert progress == Progress()


def test_a_checkpoint_restores_everything_exactly(tmp_path: Path) -> None:
    model, average, optimizer = make()
    take_steps(model, average, optimizer, 0, 4)
    progress = Progress(step=4, elapsed_s=1.25, best={"a": 0.1}, best_step={"a": 2}, stale=3)
    save_checkpoint(tmp_path / "c", model, average, optimizer, progress)
    fresh = make(seed=9)
    assert load_checkpoint(tmp_path / "c", *fresh) == progress
    for _ in range(2):  # as loaded, and after training on
        pairs = zip(model.state_dict().values(), fresh[0].state_dict().values(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)
        assert all(torch.equal(x, fresh[1].shadow[k]) for k, x in average.shadow.items())
        for p, q in zip(model.parameters(), fresh[0].parameters(), strict=True):
            old, new = optimizer.state[p], fresh[2].state[q]
            assert old.keys() == new.keys() == {"step", "exp_avg", "exp_avg_sq"}
            assert all(torch.equal(old[key], new[key]) for key in old)
        take_steps(model, average, optimizer, 4, 8)
        take_steps(*fresh, 4, 8)


def test_a_checkpoint_before_the_first_step_has_no_momenta(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", *make(), Progress())
    fresh = make(seed=9)
    assert load_checkpoint(tmp_path / "c", *fresh) == Progress()
    assert not fresh[2].state


def test_a_checkpoint_of_another_model_is_the_users_error(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", *make(), Progress())
    other = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    optimizer = torch.optim.AdamW(other.parameters())
    with pytest.raises(UserError, match="does not fit these recordings"):
        load_checkpoint(tmp_path / "c", other, WeightAverage(other, 0.9), optimizer)


def test_only_matrices_decay_and_no_parameter_is_forgotten() -> None:
    model, _, optimizer = make()
    matrices, vectors = optimizer.param_groups
    assert matrices["weight_decay"] == 0.1
    assert vectors["weight_decay"] == 0.0
    assert all(p.ndim == 2 for p in matrices["params"])
    assert all(p.ndim == 1 for p in vectors["params"])
    grouped = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert grouped == {id(p) for p in model.parameters()}
