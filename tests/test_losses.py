from __future__ import annotations

import math

import pytest
import torch
from worlds import BEHAVIOURS, make_batch, make_info

from neuroduet.config import LossConfig
from neuroduet.losses import (
    cross_entropy,
    masked_mean,
    mean_of_samples,
    modality_losses,
    poisson_nll,
    squared_error,
)
from neuroduet.masking import hide, to_masks
from neuroduet.types import NEURAL, Prediction, Scales


def column(values: list[float]) -> torch.Tensor:
    return torch.tensor(values).view(1, -1, 1)


ONE = torch.ones(1)


def test_poisson_loss_equals_the_worked_example() -> None:
    log_rates = column([0.0, math.log(2), -1.0, 0.5])
    scored = torch.tensor([True, True, False, True]).view(1, 4, 1)
    loss = mean_of_samples(poisson_nll(log_rates, column([1.0, 0, 0, 3])), scored, ONE)
    assert loss.item() == pytest.approx(1.049574, abs=1e-6)


def test_poisson_loss_equals_the_example_of_mtm() -> None:
    loss = poisson_nll(column([math.log(2)]), column([2.0]))
    assert loss.item() == pytest.approx(0.6137056, abs=1e-6)


def test_poisson_loss_is_the_same_for_bin_masks_and_entry_masks() -> None:
    torch.manual_seed(0)
    nll = poisson_nll(torch.randn(2, 5, 3), torch.poisson(torch.ones(2, 5, 3)))
    bins, share = torch.rand(2, 5, 1) < 0.5, torch.tensor([1.0, 2.0, 0.5])
    whole = mean_of_samples(nll, bins, share)
    entries = mean_of_samples(nll, bins.expand(2, 5, 3), share)
    assert whole.item() == pytest.approx(entries.item(), rel=1e-6)


def test_samples_weigh_alike_however_many_units_they_are_asked_about() -> None:
    errors = torch.ones(2, 4, 10)
    errors[1] = 3.0
    scored = torch.zeros(2, 4, 10, dtype=torch.bool)
    scored[0], scored[1, :, :2] = True, True
    assert mean_of_samples(errors, scored, torch.ones(10)).item() == pytest.approx(2.0)
    scored[1] = False
    assert mean_of_samples(errors, scored, torch.ones(10)).item() == pytest.approx(1.0)
    scored[0] = False
    assert mean_of_samples(errors, scored, torch.ones(10)).item() == 0.0


def test_what_is_not_scored_does_not_matter() -> None:
    scored = torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(0)) < 0.5
    errors = torch.rand(3, 4, 5)
    other = torch.where(scored, errors, torch.inf)
    share = torch.ones(5)
    first, second = mean_of_samples(errors, scored, share), mean_of_samples(other, scored, share)
    assert first.item() == second.item()


def test_squared_error_equals_the_worked_example() -> None:
    predicted, true = torch.tensor([[0.2], [0.5], [0.9]]), torch.tensor([[0.1], [0.5], [0.5]])
    scored = torch.tensor([True, False, True])
    assert squared_error(predicted, true, scored, torch.ones(1)).item() == pytest.approx(0.085)


def test_cross_entropy_equals_the_worked_example_and_counts_each_sample_once() -> None:
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    labels = torch.tensor([0, 0])
    both = cross_entropy(logits, labels, torch.tensor([True, True]))
    assert both.item() == pytest.approx(0.720095, abs=1e-6)
    first = cross_entropy(logits, labels, torch.tensor([True, False]))
    assert first.item() == pytest.approx(0.126928, abs=1e-6)


def test_nothing_scored_gives_exactly_zero_and_a_finite_gradient() -> None:
    values = torch.full((3,), float("inf"), requires_grad=True)
    loss = masked_mean(values, torch.zeros(3, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0.0
    assert torch.equal(values.grad, torch.zeros(3))


def test_weights_scale_each_modality_and_unscored_modalities_give_zero() -> None:
    info = make_info()
    batch = make_batch(info)
    masks = to_masks(batch, hide(batch, {NEURAL: True}))
    prediction = Prediction(
        activity=torch.zeros_like(batch.activity),
        behaviours={
            b.name: torch.zeros(*batch.observed[b.name].shape, b.size) for b in BEHAVIOURS
        },
    )
    scales = Scales(
        is_poisson=True,
        activity=torch.full((7,), 0.5),
        behaviours={"wheel": torch.ones(1), "paw": torch.ones(2), "latency": torch.ones(1)},
    )
    losses = modality_losses(
        prediction, batch, masks, BEHAVIOURS, scales, LossConfig(activity=3.0)
    )
    # exp(0) - 0 = 1 nat per entry, half a spike per bin, weight 3.
    assert losses[NEURAL].item() == pytest.approx(6.0)
    assert all(losses[b.name].item() == 0.0 for b in BEHAVIOURS)
    plain = LossConfig(activity=1.0, activity_unit="entry")
    again = modality_losses(prediction, batch, masks, BEHAVIOURS, scales, plain)
    assert again[NEURAL].item() == pytest.approx(1.0)
