from __future__ import annotations

import pytest
import torch

from neuroduet.losses_published import published_loss, published_losses
from neuroduet.types import NEURAL, Batch, Masks, Prediction, Scales


def flags(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.bool)


def batch_with(windows: int, bins: int, units: int = 1, **behaviours: torch.Tensor) -> Batch:
    return Batch(
        session="s",
        activity=torch.zeros(windows, bins, units),
        valid=torch.ones(windows, bins, dtype=torch.bool),
        behaviours=behaviours,
        observed={
            name: torch.ones(
                values.shape[:2] if values.is_floating_point() else values.shape, dtype=torch.bool
            )
            for name, values in behaviours.items()
        },
        windows=torch.arange(windows),
    )


def neural(counts: list[float], log_rates: list[float]) -> tuple[Batch, Prediction]:
    batch = batch_with(1, len(counts))
    batch.activity[0, :, 0] = torch.tensor(counts)
    return batch, Prediction(activity=torch.tensor(log_rates, dtype=torch.float32)[None, :, None])


def choice(scored: torch.Tensor) -> tuple[Prediction, Batch, Masks]:
    """Logits [[2, 0], [0, 1]] for two windows of 100 bins, both of class 0."""
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    batch = batch_with(2, 100, choice=torch.tensor([0, 0]))
    masks = Masks(visible={}, scored={"choice": scored})
    return Prediction(activity=None, behaviours={"choice": logits}), batch, masks


def test_the_spike_loss_has_the_published_value():
    batch, prediction = neural([1, 0, 0, 3], [0, 0.6931472, -1, 0.5])
    masks = Masks(visible={}, scored={NEURAL: flags(1, 1, 0, 1)[None, :, None]})
    assert published_loss(prediction, batch, masks).item() == pytest.approx(1.049574, abs=1e-6)


def test_a_spike_mask_per_unit_gives_the_same_as_one_per_bin():
    batch, prediction = neural([1, 0, 0, 3], [0, 0.6931472, -1, 0.5])
    turned = batch_with(1, 1, 4)
    turned.activity[0, 0] = batch.activity[0, :, 0]
    scored = Masks(visible={}, scored={NEURAL: flags(1, 1, 0, 1)[None, None, :]})
    predicted = Prediction(activity=prediction.activity.transpose(1, 2))
    assert published_loss(predicted, turned, scored).item() == pytest.approx(1.049574, abs=1e-6)


def test_traces_are_scored_by_their_squared_error():
    batch, prediction = neural([1, 0], [3, 0])
    masks = Masks(visible={}, scored={NEURAL: flags(1, 1)[None, :, None]})
    scales = Scales(is_poisson=False, activity=torch.tensor([2.0]), behaviours={})
    assert published_loss(prediction, batch, masks, scales).item() == pytest.approx(0.5)


@pytest.mark.parametrize("span", [1.0, 4.0])
def test_the_continuous_loss_has_the_published_value_whatever_the_users_units(span):
    batch = batch_with(1, 3, wheel=span * torch.tensor([[[0.1], [0.5], [0.5]]]))
    predicted = {"wheel": span * torch.tensor([[[0.2], [0.5], [0.9]]])}
    masks = Masks(visible={}, scored={"wheel": flags(1, 0, 1)[None]})
    scales = Scales(
        is_poisson=True, activity=torch.ones(1), behaviours={"wheel": torch.tensor([span])}
    )
    loss = published_loss(Prediction(activity=None, behaviours=predicted), batch, masks, scales)
    assert loss.item() == pytest.approx(0.085, abs=1e-6)


def test_the_static_loss_is_a_hundredth_of_the_mean_cross_entropy_as_published():
    loss = published_loss(*choice(flags(1, 1))).item()
    assert loss == pytest.approx(0.720095 / 100, abs=1e-8)
    assert loss == pytest.approx(0.00720095, abs=1e-8)


def test_hiding_every_token_of_a_static_value_is_the_same_as_hiding_it():
    tokens = torch.ones(2, 100, dtype=torch.bool)
    by_token, by_trial = published_loss(*choice(tokens)), published_loss(*choice(flags(1, 1)))
    assert by_token.item() == by_trial.item()


def test_windows_that_saw_the_label_contribute_to_the_static_loss_as_published():
    tokens = torch.zeros(2, 100, dtype=torch.bool)
    tokens[0, :30] = True
    # Both cross-entropies, 0.126928 and 1.313262, over 30 hidden tokens.
    expected = (0.126928 + 1.313262) / 30
    assert published_loss(*choice(tokens)).item() == pytest.approx(expected, abs=1e-6)


def test_a_label_that_was_not_observed_does_not_contribute():
    prediction, batch, masks = choice(flags(1, 0))
    batch.observed["choice"][1] = False
    expected = 0.126928 / 100
    assert published_loss(prediction, batch, masks).item() == pytest.approx(expected, abs=1e-7)


def test_a_modality_without_hidden_values_gives_exactly_zero_and_no_gradient():
    prediction, batch, masks = choice(flags(0, 0))
    logits = prediction.behaviours["choice"].requires_grad_()
    loss = published_loss(prediction, batch, masks)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros(2, 2))


def test_the_total_is_the_plain_sum_over_modalities():
    prediction, batch, masks = choice(flags(1, 1))
    batch = batch_with(2, 100, choice=torch.tensor([0, 0]), wheel=torch.full((2, 100, 1), 0.5))
    everywhere = torch.ones(2, 100, dtype=torch.bool)
    scored = masks.scored | {NEURAL: everywhere[..., None], "wheel": everywhere}
    behaviours = prediction.behaviours | {"wheel": torch.zeros(2, 100, 1)}
    full = Prediction(activity=torch.zeros(2, 100, 1), behaviours=behaviours)
    loss = published_loss(full, batch, Masks(visible={}, scored=scored))
    # exp(0) - 0 * 0 = 1 nat per bin, 0.5 squared, and the static loss above.
    assert loss.item() == pytest.approx(1 + 0.25 + 0.00720095, abs=1e-6)


def test_the_micro_batches_of_a_step_count_as_one_batch():
    first, one = neural([1, 0, 0], [0, 0.6931472, -1])
    second, two = neural([3], [0.5])
    masks = [
        Masks(visible={}, scored={NEURAL: flags(1, 1, 0)[None, :, None]}),
        Masks(visible={}, scored={NEURAL: flags(1)[None, :, None]}),
    ]
    losses = published_losses([one, two], [first, second], masks)
    assert losses[NEURAL].item() == pytest.approx(1.049574, abs=1e-6)


def test_activity_has_a_loss_only_where_it_is_both_predicted_and_scored():
    prediction, batch, masks = choice(flags(1, 1))
    everywhere = {NEURAL: torch.ones(2, 100, 1, dtype=torch.bool)}
    asked = Masks(visible={}, scored=masks.scored | everywhere)
    answered = Prediction(activity=torch.zeros(2, 100, 1), behaviours=prediction.behaviours)
    for given, scored in ((prediction, asked), (answered, masks)):
        assert set(published_losses([given], [batch], [scored])) == {"choice"}
