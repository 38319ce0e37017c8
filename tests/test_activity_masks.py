"""Schemes over time, units and regions: what they hide, score and leave alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import make_batch, make_info

from neuroduet.errors import UserError
from neuroduet.masking import (
    PROMPTS,
    REGION_SCHEMES,
    SCHEMES,
    Draw,
    draw,
    region_index,
    to_masks,
)
from neuroduet.masking.activity import usual_horizon
from neuroduet.masking.corruption import corrupt
from neuroduet.types import NEURAL

ACTIVITY = sorted(set(PROMPTS))
REGIONS = torch.tensor([0] * 80 + [1] * 60 + [2] * 60)


def source(seed: int = 0, regions: torch.Tensor | None = REGIONS, **changes) -> Draw:
    return Draw(generator=torch.Generator().manual_seed(seed), regions=regions, **changes)


def fractions(scheme: str, draws: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    """Hidden and scored fraction of every draw for 200 units, 100 bins and 16 windows."""
    batch = make_batch(make_info(units=200, bins=100, behaviours=()), windows=16, bins=100)
    hidden, scored = [], []
    generator = source()
    for _ in range(draws):
        drawn = SCHEMES[scheme](batch, generator)
        hidden.append(drawn.hidden[NEURAL].expand(16, 100, 200).float().mean())
        scored.append(drawn.scored[NEURAL].expand(16, 100, 200).float().mean())
    return torch.stack(hidden), torch.stack(scored)


# Numbers of the reference, section 14.2; regions are drawn per sample here.
@pytest.mark.parametrize(
    ("scheme", "hidden", "scored"),
    [
        ("temporal", 0.30, 0.30),
        ("neuron", 0.30, 0.30),
        ("random", 0.30, 0.30),
        ("patch_token", 0.30, 0.30),
        ("causal", 0.60, 0.60),
        ("inter_region", 1 / 3, 1 / 3),
        ("intra_region", 1 - 0.7 / 3, 0.10),
        ("co_smooth", 1 / 200, 1 / 200),
        ("forward", 0.105, 0.105),
    ],
)
def test_mean_fractions_are_those_of_the_reference(
    scheme: str, hidden: float, scored: float
) -> None:
    for found, expected in zip(fractions(scheme), (hidden, scored), strict=True):
        error = float(found.std()) / len(found) ** 0.5 + 1e-7
        assert abs(float(found.mean()) - expected) < 4 * error


@pytest.mark.parametrize("scheme", ACTIVITY)
def test_a_scheme_hides_all_it_scores_and_draws_per_sample(scheme: str) -> None:
    batch = make_batch(make_info(units=200, bins=100), windows=8, bins=100)
    drawn = SCHEMES[scheme](batch, source())
    hidden, scored = (d[NEURAL].expand(8, 100, 200) for d in (drawn.hidden, drawn.scored))
    assert not (scored & ~hidden).any()
    assert scored.flatten(1).any(1).all()
    assert any(not torch.equal(hidden[0], row) for row in hidden[1:])
    # Where every bin of some units is seen, the behaviours that are hidden are asked about.
    decodes = scheme in {"neuron", "co_smooth", "inter_region", "intra_region"}
    for name in batch.behaviours:
        expected = drawn.hidden[name] if decodes else torch.zeros_like(drawn.hidden[name])
        assert torch.equal(drawn.scored[name], expected)


@pytest.mark.parametrize("scheme", ACTIVITY)
def test_behaviours_are_shown_in_half_of_the_samples(scheme: str) -> None:
    batch = make_batch(make_info(), windows=400)
    hidden = SCHEMES[scheme](batch, source(regions=torch.tensor([0, 0, 0, 1, 1, 1, -1]))).hidden
    blind = torch.stack([m.view(400, -1).all(1) for name, m in hidden.items() if name != NEURAL])
    shown = torch.stack([~m.view(400, -1).any(1) for n, m in hidden.items() if n != NEURAL])
    assert (blind.all(0) | shown.all(0)).all()
    assert abs(blind.all(0).float().mean() - 0.5) < 0.1


def test_region_schemes_use_one_known_region_per_sample() -> None:
    regions = torch.tensor([0, 0, 1, 1, 1, -1, 2])
    batch = make_batch(make_info(), windows=60)
    inter = SCHEMES["inter_region"](batch, source(regions=regions)).hidden[NEURAL][:, 0]
    assert {tuple(row.tolist()) for row in inter} == {
        tuple((regions == region).tolist()) for region in range(3)
    }
    drawn = SCHEMES["intra_region"](batch, source(regions=regions))
    for hidden, scored in zip(drawn.hidden[NEURAL][:, 0], drawn.scored[NEURAL][:, 0], strict=True):
        inside = ~hidden | scored
        assert len(set(regions[inside].tolist()) - {-1}) <= 1
        assert not scored[regions == -1].any()


def test_forward_hides_the_last_valid_bins() -> None:
    batch = make_batch(make_info(bins=40), windows=50, bins=40)
    batch.valid[:, 30:] = False
    masks = draw(batch, {"forward": 1.0}, source())
    scored = masks.scored[NEURAL][..., 0]
    assert set(scored.sum(1).tolist()) == set(range(1, 9))
    assert scored[:, 29].all()
    assert not scored[:, 30:].any()
    assert not masks.visible[NEURAL][scored].any()


def test_forward_hides_one_bin_of_windows_of_a_few() -> None:
    batch = make_batch(make_info(bins=5), windows=50, bins=5)
    scored = SCHEMES["forward"](batch, source()).scored[NEURAL][..., 0]
    assert scored.tolist() == [[False] * 4 + [True]] * 50


@pytest.mark.parametrize(("bins", "horizon"), [(1, 1), (19, 1), (20, 2), (99, 9), (400, 10)])
def test_a_tenth_of_a_window_up_to_ten_bins_is_predicted_forward(bins: int, horizon: int) -> None:
    assert usual_horizon(bins) == horizon


def test_every_sample_carries_the_prompt_of_its_scheme() -> None:
    batch = make_batch(make_info(units=200), windows=64)
    schemes = {"neuron": 1.0, "intra_region": 1.0, "encoding": 1.0}
    masks = draw(batch, schemes, source())
    assert masks.prompt is not None
    assert set(masks.prompt.tolist()) == {
        PROMPTS.index("neuron"),
        PROMPTS.index("intra_region"),
        -1,
    }
    whole = ~masks.visible[NEURAL].flatten(1).any(1)
    assert torch.equal(whole, masks.prompt == -1)
    one = draw(batch, schemes, source(), per="batch")
    assert one.prompt is not None
    assert len(set(one.prompt.tolist())) == 1


def test_four_schemes_are_drawn_equally_often() -> None:
    batch = make_batch(make_info(units=200, bins=2, behaviours=()), windows=4000, bins=2)
    schemes = dict.fromkeys(PROMPTS[:4], 1.0)
    prompt = draw(batch, schemes, source()).prompt
    shares = torch.bincount(prompt, minlength=4) / 4000
    assert ((shares - 0.25).abs() < 3 * (0.25 * 0.75 / 4000) ** 0.5).all()


def test_a_session_without_regions_skips_region_schemes_or_says_why_it_cannot() -> None:
    batch = make_batch(make_info(), windows=64)
    masks = draw(batch, {"neuron": 1.0, "inter_region": 9.0}, source(regions=None))
    assert masks.prompt is not None
    assert (masks.prompt == PROMPTS.index("neuron")).all()
    with pytest.raises(UserError, match="without named regions"):
        draw(batch, dict.fromkeys(REGION_SCHEMES, 1.0), source(regions=None))
    with pytest.raises(UserError, match="no named regions"):
        SCHEMES["inter_region"](batch, source(regions=None))


def test_unknown_regions_have_no_index() -> None:
    assert region_index(None) is None
    assert region_index(["root", "", "unknown"]) is None
    assert region_index(["CA1", "root", "AB", "CA1"]).tolist() == [1, -1, 0, 1]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 5), st.floats(0, 0.5), st.floats(0, 0.4))
def test_corruption_changes_only_what_is_scored_and_never_its_input(
    seed: int, keep: float, random: float
) -> None:
    batch = make_batch(make_info(), windows=16, seed=seed)
    masks = draw(batch, {"neuron": 1.0}, source(seed, regions=None))
    before = batch.activity.clone()
    shown, seen = corrupt(batch, masks, keep, random, torch.Generator().manual_seed(seed))
    scored = masks.scored[NEURAL].expand(batch.activity.shape)
    assert torch.equal(batch.activity, before)
    assert torch.equal(shown.activity[~scored], before[~scored])
    assert (seen.visible[NEURAL].expand(before.shape) | scored | ~masks.visible[NEURAL]).all()
    assert torch.equal(seen.scored[NEURAL], masks.scored[NEURAL])


def test_corruption_keeps_and_replaces_the_fractions_asked_for() -> None:
    info = make_info(units=60, bins=80, neural="traces", behaviours=())
    batch = make_batch(info, windows=16, bins=80)
    masks = draw(batch, {"neuron": 1.0}, source(regions=None))
    shown, seen = corrupt(batch, masks, 0.1, 0.1, torch.Generator().manual_seed(3))
    scored = masks.scored[NEURAL].expand(batch.activity.shape)
    readable = seen.visible[NEURAL].expand(batch.activity.shape)[scored]
    wrong = (shown.activity != batch.activity)[scored]
    assert readable.float().mean() == pytest.approx(0.2, abs=0.01)
    assert wrong.float().mean() == pytest.approx(0.1, abs=0.01)
    assert not (wrong & ~readable).any()


def test_what_is_read_in_place_of_a_value_was_recorded() -> None:
    batch = make_batch(make_info(neural="traces", behaviours=()), windows=16)
    valid = torch.arange(batch.valid.shape[1]) < torch.arange(1, 17)[:, None]
    batch = replace(batch, valid=valid, activity=(batch.activity + 100) * valid[..., None])
    masks = draw(batch, {"neuron": 1.0}, source(regions=None))
    shown, _ = corrupt(batch, masks, 0.0, 0.9, torch.Generator().manual_seed(3))
    assert torch.equal(shown.activity == 0, ~valid[..., None].expand(shown.activity.shape))
    assert not torch.equal(shown.activity, batch.activity)


def test_windows_without_a_recorded_bin_are_left_as_they_are() -> None:
    batch = make_batch(make_info(behaviours=()))
    batch.valid[:] = False
    masks = draw(batch, {"neuron": 1.0}, source(regions=None))
    shown, seen = corrupt(batch, masks, 0.1, 0.1, torch.Generator())
    assert torch.equal(shown.activity, batch.activity)
    assert not seen.visible[NEURAL].any()


def test_to_masks_never_scores_what_is_visible() -> None:
    batch = make_batch(make_info(), missing=0.3)
    hidden = SCHEMES["neuron"](batch, source(regions=None)).hidden
    masks = to_masks(batch, hidden, {name: torch.ones_like(m) for name, m in hidden.items()})
    for name, scored in masks.scored.items():
        assert not (scored & masks.visible[name]).any()
