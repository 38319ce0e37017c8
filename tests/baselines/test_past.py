from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_units import autoregressive, batch_of, forward_masks, info_of, split

from neuroduet import metrics
from neuroduet.baselines import past
from neuroduet.baselines.past import fit_past_regression
from neuroduet.baselines.psth import fit_mean_rate
from neuroduet.baselines.units_past import ahead, before, cut_points, padded, trailing_mean
from neuroduet.masking.activity import usual_horizon
from neuroduet.types import NEURAL

UNITS, BINS, MEMORY = 10, 30, 0.9


@pytest.fixture(scope="module", autouse=True)
def _few_hyper_parameters():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(past, "RANKS", (1, 2))
        patch.setattr(past, "MEMORIES", ((1.0, 8.0),))
        patch.setattr(past, "PENALTIES", (10.0, 300.0))
        yield


def world(neural: str, noise: float = 0.3, ragged: bool = True):
    """One slow latent that all units follow."""
    generator = torch.Generator().manual_seed(1)
    latent = autoregressive((110, BINS, 1), MEMORY, seed=0)
    loadings = 0.5 + torch.rand(UNITS, generator=generator)
    shared = latent * loadings
    if neural == "traces":
        activity = 3 + shared + noise * torch.randn(shared.shape, generator=generator)
    else:
        activity = torch.poisson((0.8 * shared - 0.5).exp(), generator=generator)
    lengths = torch.randint(20, BINS + 1, (110,), generator=generator) if ragged else None
    return split(batch_of(activity, lengths)), info_of(UNITS, BINS, neural), latent[80:], loadings


@pytest.fixture(scope="module")
def counts():
    (train, valid, test), info, _, _ = world("counts")
    return fit_past_regression(train, valid, info), train, valid, test, info


def late_bits(log_rates, batch, masks) -> float:
    scored = masks.scored[NEURAL][..., 0].numpy()
    return metrics.bits_per_spike(log_rates.exp().numpy(), batch.activity.numpy(), scored)


def test_averages_of_the_past_by_hand():
    seen = torch.tensor([[True, True, False, False], [False, False, False, False]])
    assert ahead(seen).tolist() == [[-1, 0, 1, 2], [1, 2, 3, 4]]
    values = torch.tensor([[[2.0], [4.0], [99.0], [99.0]]]).expand(2, 4, 1)
    half = 1 / np.log(2)  # weights halve from bin to bin
    assert trailing_mean(values, seen, half).flatten().tolist() == pytest.approx([10 / 3, 0.0])
    valid = torch.tensor([[True, True, True], [True, True, False]])
    assert before(valid, 2).tolist() == [[True, True, False], [False, False, False]]
    assert padded(torch.tensor([[1.0], [2.0]]), 4).flatten().tolist() == [1, 2, 2, 2]


@pytest.mark.parametrize("bins", [1, 2, 3, 16, 100])
def test_points_to_learn_at_lie_inside_a_window(bins: int):
    cuts = cut_points(bins)
    assert min(cuts) >= 1
    assert max(cuts) == max(1, bins - usual_horizon(bins))


def test_an_autoregressive_process_is_predicted_as_well_as_can_be():
    (train, valid, test), info, latent, loadings = world("traces", noise=0.1, ragged=False)
    model = fit_past_regression(train, valid, info)
    masks = forward_masks(test, 3)
    found = model.predict(test, masks, "forward").activity
    steps = MEMORY ** torch.arange(1, 4)
    best = 3 + latent[:, BINS - 4, None] * steps[None, :, None] * loadings
    true = test.activity[:, -3:]
    errors = ((found[:, -3:] - true) ** 2).mean(), ((best - true) ** 2).mean()
    assert errors[0] < 1.15 * errors[1]
    assert errors[0] < 0.5 * true.var()
    # Each bin ahead the expected deviation shrinks by the memory of the process.
    change = (found - 3)[:, -3:]
    for step in (0, 1):
        slope = (change[:, step + 1] * change[:, step]).sum() / (change[:, step] ** 2).sum()
        assert float(slope) == pytest.approx(MEMORY, abs=0.05)


def test_counts_are_predicted_far_better_than_by_their_mean(counts):
    model, train, valid, test, info = counts
    null = fit_mean_rate(train, info).activity
    for batch in (valid, test):
        masks = forward_masks(batch, 3)
        found = model.predict(batch, masks, "forward").activity
        assert torch.isfinite(found).all()
        flat = null.expand(found.shape)
        assert late_bits(found, batch, masks) > late_bits(flat, batch, masks) + 0.1


def test_hidden_bins_do_not_influence_a_prediction(counts):
    model, _, _, test, _ = counts
    for horizon in (1, 3, 8):
        masks = forward_masks(test, horizon)
        before_ = model.predict(test, masks, "forward").activity
        other = replace(test, activity=test.activity.masked_fill(masks.scored[NEURAL], torch.nan))
        assert torch.equal(model.predict(other, masks, "forward").activity, before_)
        seen = replace(test, activity=torch.where(masks.visible[NEURAL], 3 - test.activity, 0.0))
        assert not torch.equal(model.predict(seen, masks, "forward").activity, before_)


def test_padding_changes_no_prediction(counts):
    model, _, _, test, _ = counts
    length = int(test.valid[0].sum())
    assert length < BINS
    cut = replace(
        test,
        activity=test.activity[:1, :length],
        valid=test.valid[:1, :length],
        windows=test.windows[:1],
    )
    whole = model.predict(test, forward_masks(test, 3), "forward").activity[:1, :length]
    alone = model.predict(cut, forward_masks(cut, 3), "forward").activity
    torch.testing.assert_close(whole, alone, atol=1e-5, rtol=1e-5)


def test_noise_is_never_worse_than_its_mean_on_validation_windows():
    generator = torch.Generator().manual_seed(3)
    noise = torch.poisson(torch.full((110, 20, 5), 0.4), generator=generator)
    info = info_of(5, 20)
    train, valid, test = split(batch_of(noise))
    model = fit_past_regression(train, valid, info)
    null = fit_mean_rate(train, info).activity.expand(valid.activity.shape)
    masks = forward_masks(valid, usual_horizon(20))
    found = model.predict(valid, masks, "forward").activity
    assert late_bits(found, valid, masks) >= late_bits(null, valid, masks) - 1e-6
    masks = forward_masks(test, usual_horizon(20))
    found = model.predict(test, masks, "forward").activity
    assert (
        late_bits(found, test, masks) > late_bits(null[:1].expand(found.shape), test, masks) - 0.05
    )


def test_a_course_that_all_windows_share_is_learnt():
    generator = torch.Generator().manual_seed(4)
    ramp = torch.linspace(-2, 1, BINS).exp()[None, :, None].expand(110, -1, 4)
    train, valid, test = split(batch_of(torch.poisson(ramp, generator=generator)))
    model = fit_past_regression(train, valid, info_of(4, BINS))
    masks = forward_masks(test, 3)
    found = model.predict(test, masks, "forward").activity[:, -3:].exp()
    assert (found - ramp[80:, -3:]).abs().mean() < 0.2 * ramp[:, -3:].mean()


@pytest.mark.parametrize(("units", "bins"), [(1, 12), (4, 1), (2, 2)])
def test_the_smallest_sessions_can_be_fitted(units: int, bins: int):
    generator = torch.Generator().manual_seed(5)
    activity = torch.poisson(torch.full((110, bins, units), 0.5), generator=generator)
    train, valid, test = split(batch_of(activity))
    model = fit_past_regression(train, valid, info_of(units, bins))
    found = model.predict(test, forward_masks(test, 1), "forward").activity
    assert torch.isfinite(found).all()


def test_only_forward_of_its_own_session_is_answered(counts):
    model, _, _, test, _ = counts
    masks = forward_masks(test, 3)
    assert model.name == "reduced_rank_past"
    assert model.predict(test, masks, "co_smoothing").activity is None
    assert model.predict(replace(test, session="s1"), masks, "forward").activity is None
