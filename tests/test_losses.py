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
from neuroduet.types import NEURAL, Masks, Prediction, Scales


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
    units = torch.tensor([[True, False, True], [False, True, False]])[:, None]
    whole = mean_of_samples(nll, units, share)
    entries = mean_of_samples(nll, units.expand(2, 5, 3), share)
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


def test_a_sample_asked_about_less_than_a_twentieth_of_its_window_weighs_less() -> None:
    errors, scored = torch.full((1, 50, 4), 3.0), torch.zeros(1, 50, 4, dtype=torch.bool)
    scored[0, :10, 0] = True  # ten of two hundred entries: a twentieth
    assert mean_of_samples(errors, scored, torch.ones(4)).item() == pytest.approx(3.0)
    scored[0, 2:10] = False
    assert mean_of_samples(errors, scored, torch.ones(4)).item() == pytest.approx(3.0 * 2 / 10)


def test_an_entry_counts_for_the_share_of_its_unit() -> None:
    errors, share = torch.tensor([[[6.0, 1.0]]]).expand(1, 3, 2), torch.tensor([2.0, 0.5])
    scored = torch.zeros(1, 3, 2, dtype=torch.bool)
    scored[0, :2, 0], scored[0, 0, 1] = True, True
    assert mean_of_samples(errors, scored, share).item() == pytest.approx(13.0 / 4.5)


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


def test_only_what_is_both_predicted_and_scored_has_a_loss() -> None:
    info = make_info()
    batch = make_batch(info)
    everything = to_masks(batch, hide(batch, {NEURAL: True}))
    some = Masks(visible={}, scored={name: everything.scored[name] for name in (NEURAL, "wheel")})
    values = {name: torch.zeros_like(batch.behaviours[name]) for name in ("wheel", "paw")}
    scales = Scales(
        is_poisson=True,
        activity=torch.ones(7),
        behaviours={name: torch.ones(value.shape[-1]) for name, value in values.items()},
    )
    found = []
    for activity, masks in ((None, everything), (None, some), (batch.activity, some)):
        prediction = Prediction(activity=activity, behaviours=values)
        losses = modality_losses(prediction, batch, masks, BEHAVIOURS, scales, LossConfig())
        found.append(set(losses))
    assert found == [{"wheel", "paw"}, {"wheel"}, {NEURAL, "wheel"}]


@pytest.mark.parametrize(
    ("unit", "balance", "expected"),
    [
        ("entry", 0.0, (1 + 2 + 4) / 3),
        ("spike", 0.0, (1 + 2 + 4) / (0.2 + 0.8 + 0.02)),
        # Weighed by one over 0.2, 0.8 and, of the unit that is nearly silent, a tenth of 0.34.
        ("entry", 1.0, (1 / 0.2 + 2 / 0.8 + 4 / 0.034) / (1 / 0.2 + 1 / 0.8 + 1 / 0.034)),
        ("spike", 1.0, (1 / 0.2 + 2 / 0.8 + 4 / 0.034) / (1 + 1 + 0.02 / 0.034)),
    ],
)
def test_units_weigh_by_the_inverse_of_their_rate_as_far_as_asked(
    unit: str, balance: float, expected: float
) -> None:
    info = make_info(units=3, behaviours=())
    batch = make_batch(info)
    batch.activity.zero_()
    prediction = Prediction(
        activity=torch.tensor([1.0, 2.0, 4.0]).log().expand(batch.activity.shape)
    )
    scales = Scales(is_poisson=True, activity=torch.tensor([0.2, 0.8, 0.02]), behaviours={})
    config = LossConfig(activity=1.0, activity_unit=unit, unit_balance=balance)
    masks = to_masks(batch, hide(batch, {NEURAL: True}))
    loss = modality_losses(prediction, batch, masks, (), scales, config)[NEURAL]
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_behaviours_and_traces_are_scored_in_training_deviations_and_weighed() -> None:
    info = make_info(neural="traces")
    batch = make_batch(info)
    masks = to_masks(batch, hide(batch, {NEURAL: True} | dict.fromkeys(batch.behaviours, True)))
    prediction = Prediction(
        activity=batch.activity + 3.0,
        behaviours={
            "paw": batch.behaviours["paw"] + torch.tensor([1.0, 4.0]),
            "choice": torch.tensor([[0.0, 1.0]]).expand(4, 2),
        },
    )
    batch.behaviours["choice"].fill_(1)
    scales = Scales(
        is_poisson=False,
        activity=torch.full((7,), 2.0),
        behaviours={"paw": torch.tensor([1.0, 2.0])},
    )
    config = LossConfig(activity=3.0, continuous=5.0, categorical=7.0, label_smoothing=0.2)
    losses = modality_losses(prediction, batch, masks, BEHAVIOURS, scales, config)
    assert losses[NEURAL].item() == pytest.approx(3 * 1.5**2, rel=1e-5)
    assert losses["paw"].item() == pytest.approx(5 * (1 + 2**2) / 2, rel=1e-5)
    # Nine tenths of the label are the second class, whose probability is 1 / (1 + 1 / e).
    right, wrong = math.log(1 + math.exp(-1)), math.log(1 + math.e)
    assert losses["choice"].item() == pytest.approx(7 * (0.9 * right + 0.1 * wrong), rel=1e-5)
    assert set(losses) == {NEURAL, "paw", "choice"}
