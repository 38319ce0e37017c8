from __future__ import annotations

import pytest
import torch

from neuroduet.config import MaskingConfig
from neuroduet.errors import UserError
from neuroduet.masking import PROMPTS
from neuroduet.masking.published_mtm import published_mtm_masks
from neuroduet.presets import MTM_SCHEMES, mtm_faithful
from neuroduet.types import NEURAL, Batch, Masks

WINDOWS, BINS = 16, 100
REGIONS = torch.tensor([0] * 80 + [1] * 60 + [2] * 60)
PUBLISHED = mtm_faithful().masking


def batch_of(windows: int = WINDOWS, bins: int = BINS, units: int = 200) -> Batch:
    return Batch(
        session="s",
        activity=torch.ones(windows, bins, units),
        valid=torch.ones(windows, bins, dtype=torch.bool),
        behaviours={},
        observed={},
        windows=torch.arange(windows),
    )


def only(scheme: str, **settings: float) -> MaskingConfig:
    return MaskingConfig(kind="published", schemes={scheme: 1.0}, **settings)


def drawn(
    masking: MaskingConfig,
    seed: int = 0,
    batch: Batch | None = None,
    regions: torch.Tensor | None = REGIONS,
) -> Masks:
    generator = torch.Generator().manual_seed(seed)
    return published_mtm_masks(batch or batch_of(), masking, generator, regions)


def spread(mask: torch.Tensor) -> torch.Tensor:
    return mask.expand(WINDOWS, BINS, 200)


def close(values: list[float], expected: float) -> bool:
    """Whether the mean of independent draws is within three standard errors of its expectation."""
    found = torch.tensor(values, dtype=torch.float64)
    error = found.std() / len(found) ** 0.5
    return bool(error > 0) and bool((found.mean() - expected).abs() < 3 * error)


# Mean fractions: reference, section 14.2 ---------------------------------------------------------


@pytest.mark.parametrize(
    ("scheme", "scored", "hidden"),
    [
        ("neuron", 0.3, 0.3),
        ("causal", 0.6, 0.6),
        ("temporal", 0.3, 0.3),
        ("random", 0.3, 0.3),
        ("inter_region", 1 / 3, 1 / 3),
        # 0.3 E[n_r / N], and E[1 - 0.7 n_r / N].
        ("intra_region", 0.1, 1 - 0.7 / 3),
    ],
)
def test_the_mean_fractions_are_the_published_ones(scheme, scored, hidden):
    masks = [drawn(only(scheme), seed) for seed in range(60)]
    assert close([spread(m.scored[NEURAL]).float().mean().item() for m in masks], scored)
    assert close([1 - spread(m.visible[NEURAL]).float().mean().item() for m in masks], hidden)


def test_each_scheme_is_drawn_for_a_quarter_of_the_batches():
    n, small = 2000, batch_of(2, 2, 4)
    regions = torch.tensor([0, 0, 1, 1])
    prompts = [drawn(PUBLISHED, seed, small, regions).prompt[0].item() for seed in range(n)]
    for scheme in MTM_SCHEMES:
        share = prompts.count(PROMPTS.index(scheme)) / n
        assert share == pytest.approx(0.25, abs=3 * (0.25 * 0.75 / n) ** 0.5)


def test_every_region_is_drawn_equally_often_however_small():
    n, small = 2000, batch_of(1, 1, 9)
    regions = torch.tensor([0, 1, 1, 1, 1, 1, 1, 2, -1])
    masks = (drawn(only("inter_region"), seed, small, regions) for seed in range(n))
    found = [tuple(m.scored[NEURAL].flatten().nonzero().flatten().tolist()) for m in masks]
    assert set(found) == {(0,), (1, 2, 3, 4, 5, 6), (7,)}
    for units in set(found):
        assert found.count(units) / n == pytest.approx(1 / 3, abs=3 * (2 / 9 / n) ** 0.5)


# What a batch shares, and what it does not -------------------------------------------------------


def test_all_samples_of_a_batch_share_the_scheme():
    for seed in range(20):
        assert len(drawn(PUBLISHED, seed).prompt.unique()) == 1


@pytest.mark.parametrize("seed", range(5))
def test_inter_region_hides_one_region_for_the_whole_batch(seed):
    masks = drawn(only("inter_region"), seed)
    hidden = spread(masks.scored[NEURAL])
    assert (hidden == hidden[0, 0]).all()
    assert REGIONS[hidden[0, 0]].unique().numel() == 1
    assert hidden[0, 0].sum() == (REGIONS[hidden[0, 0]][0] == REGIONS).sum()
    assert torch.equal(spread(masks.visible[NEURAL]), ~hidden)


@pytest.mark.parametrize("seed", range(5))
def test_intra_region_shows_one_region_only_and_asks_about_other_units_in_every_trial(seed):
    masks = drawn(only("intra_region"), seed)
    scored, shown = spread(masks.scored[NEURAL]), spread(masks.visible[NEURAL])
    assert not (scored & shown).any()
    inside = REGIONS[shown[0, 0]][0] == REGIONS
    assert ((scored | shown) == inside).all()
    assert not (scored[0] == scored[1]).all()


def test_neuron_hides_whole_units_and_other_ones_in_every_trial():
    scored = spread(drawn(only("neuron")).scored[NEURAL])
    assert (scored == scored[:, :1]).all()
    assert len({tuple(row.tolist()) for row in scored[:, 0]}) == WINDOWS


def test_causal_hides_whole_bins_and_other_ones_in_every_trial():
    scored = spread(drawn(only("causal")).scored[NEURAL])
    assert (scored == scored[..., :1]).all()
    assert len({tuple(row.tolist()) for row in scored[..., 0]}) == WINDOWS


def test_nothing_is_hidden_without_being_scored_outside_intra_region_whatever_is_configured():
    settings = {"hide_visible": 0.5, "keep": 0.5, "random": 0.5, "per": "sample"}
    for scheme in ("neuron", "causal", "inter_region"):
        masks = drawn(only(scheme, **settings))
        assert torch.equal(spread(masks.visible[NEURAL]), ~spread(masks.scored[NEURAL]))
        assert len(masks.prompt.unique()) == 1


def test_the_ratio_of_units_is_configured_and_that_of_causal_is_not():
    neuron = [drawn(only("neuron", unit_ratio=0.1), seed) for seed in range(40)]
    assert close([m.scored[NEURAL].float().mean().item() for m in neuron], 0.1)
    causal = [drawn(only("causal", ratio=0.1, unit_ratio=0.1), seed) for seed in range(40)]
    assert close([m.scored[NEURAL].float().mean().item() for m in causal], 0.6)


# Sessions and windows ----------------------------------------------------------------------------


def test_a_session_without_regions_is_asked_about_units_and_bins_only():
    prompts = {drawn(PUBLISHED, seed, regions=None).prompt[0].item() for seed in range(40)}
    assert prompts == {PROMPTS.index("neuron"), PROMPTS.index("causal")}
    with pytest.raises(UserError, match="without named regions"):
        drawn(only("inter_region"), regions=None)


def test_padding_is_neither_visible_nor_scored():
    batch = batch_of()
    batch.valid[:, 90:] = False
    for scheme in MTM_SCHEMES:
        masks = drawn(only(scheme), batch=batch)
        assert not spread(masks.visible[NEURAL])[:, 90:].any()
        assert not spread(masks.scored[NEURAL])[:, 90:].any()


def test_the_same_generator_state_draws_the_same_masks_and_changes_nothing_else():
    batch, regions = batch_of(), REGIONS.clone()
    first, second, third = (drawn(only("intra_region"), seed, batch) for seed in (1, 1, 2))
    assert torch.equal(first.scored[NEURAL], second.scored[NEURAL])
    assert not torch.equal(first.scored[NEURAL], third.scored[NEURAL])
    assert (batch.activity == 1).all()
    assert torch.equal(regions, REGIONS)
