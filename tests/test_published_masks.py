from __future__ import annotations

import pytest
import torch

from neuroduet.masking.published import PUBLISHED_SCHEMES, published_masks
from neuroduet.types import NEURAL, Batch

BEHAVIOURS = ("choice", "block", "wheel", "whisker")


def batch_of(windows: int, bins: int = 100) -> Batch:
    static, dynamic = (windows,), (windows, bins)
    shapes = {"choice": static, "block": static, "wheel": dynamic, "whisker": dynamic}
    return Batch(
        session="s",
        activity=torch.zeros(windows, bins, 2),
        valid=torch.ones(windows, bins, dtype=torch.bool),
        behaviours={
            name: torch.zeros((*shape, 1) if shape == dynamic else shape, dtype=torch.float32)
            if shape == dynamic
            else torch.zeros(shape, dtype=torch.long)
            for name, shape in shapes.items()
        },
        observed={name: torch.ones(shape, dtype=torch.bool) for name, shape in shapes.items()},
        windows=torch.arange(windows),
    )


def hidden_of(batch: Batch, ratio: float = 0.3, seed: int = 0) -> dict[str, torch.Tensor]:
    """Hidden tokens ``(B, T)`` of every modality."""
    scored = published_masks(batch, ratio, torch.Generator().manual_seed(seed)).scored
    return {name: mask[..., 0] if name == NEURAL else mask for name, mask in scored.items()}


def schemes_of(hidden: dict[str, torch.Tensor]) -> list[str]:
    """Which scheme each sample was given, read off its masks."""
    found = []
    for sample in zip(*(hidden[name] for name in (NEURAL, *BEHAVIOURS)), strict=True):
        spike, *behaviour = sample
        if spike.all() and not any(x.any() for x in behaviour):
            found.append("encoding")
        elif not spike.any() and all(x.all() for x in behaviour):
            found.append("decoding")
        elif not any(x.any() for x in behaviour):
            found.append("self_spike")
        elif not spike.any():
            found.append("self_behaviour")
        else:
            found.append("random_token")
    return found


def test_each_scheme_is_drawn_for_a_fifth_of_the_samples():
    n = 4000
    found = schemes_of(hidden_of(batch_of(n)))
    for scheme in PUBLISHED_SCHEMES:
        assert found.count(scheme) / n == pytest.approx(0.2, abs=3 * (0.2 * 0.8 / n) ** 0.5)


@pytest.mark.parametrize(("ratio", "fraction"), [(0.3, 0.32), (0.1, 0.24)])
def test_the_hidden_fraction_of_every_modality_is_the_published_one(ratio, fraction):
    # All samples of a batch share their random masks, so the mean is taken over many batches.
    batch, repeats = batch_of(100), 60
    totals = dict.fromkeys((NEURAL, *BEHAVIOURS), 0.0)
    for seed in range(repeats):
        for name, mask in hidden_of(batch, ratio, seed).items():
            totals[name] += mask.float().mean().item() / repeats
    assert totals == {name: pytest.approx(fraction, abs=0.02) for name in totals}


def test_all_samples_of_a_scheme_share_one_mask_as_published():
    hidden = hidden_of(batch_of(200))
    found = schemes_of(hidden)
    for scheme in PUBLISHED_SCHEMES:
        rows = [i for i, name in enumerate(found) if name == scheme]
        assert len(rows) > 1
        for mask in hidden.values():
            assert (mask[rows] == mask[rows[0]]).all()


def test_random_tokens_are_the_same_bins_in_every_modality_as_published():
    hidden = hidden_of(batch_of(50))
    row = schemes_of(hidden).index("random_token")
    assert 10 < hidden[NEURAL][row].sum() < 50
    for name in BEHAVIOURS:
        assert torch.equal(hidden[name][row], hidden[NEURAL][row])


def test_self_behaviour_hides_different_bins_of_each_behaviour():
    hidden = hidden_of(batch_of(50))
    row = schemes_of(hidden).index("self_behaviour")
    rows = {tuple(hidden[name][row].tolist()) for name in BEHAVIOURS}
    assert len(rows) == 4


def test_values_that_were_not_observed_are_neither_visible_nor_scored():
    batch = batch_of(40)
    batch.observed["choice"][:20] = False
    batch.valid[:, 90:] = False
    masks = published_masks(batch, 0.3, torch.Generator().manual_seed(0))
    for mask in (masks.visible, masks.scored):
        assert not mask["choice"][:20].any()
        assert not any(m[:, 90:].any() for m in mask.values())
    together = masks.visible["choice"] | masks.scored["choice"]
    assert together[20:, :90].all()
    assert not (masks.visible["choice"] & masks.scored["choice"]).any()


@pytest.mark.parametrize(
    ("inputs", "scheme"), [("activity", "decoding"), ("behaviours", "encoding")]
)
def test_a_model_of_one_modality_always_predicts_the_other(inputs, scheme):
    masks = published_masks(batch_of(20), 0.3, torch.Generator().manual_seed(0), inputs)
    hidden = {name: m[..., 0] if name == NEURAL else m for name, m in masks.scored.items()}
    assert schemes_of(hidden) == [scheme] * 20


def test_the_same_generator_state_draws_the_same_masks():
    first, second, third = (hidden_of(batch_of(30), seed=seed) for seed in (1, 1, 2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], third[name]) for name in first)
