from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from worlds import make_batch, make_info

from neuroduet.masking import Draw
from neuroduet.masking.activity import patch_token
from neuroduet.nn.attention import past
from neuroduet.nn.patches import (
    PatchEmbedding,
    from_patches,
    patch_count,
    to_patches,
    token_times,
)
from neuroduet.types import NEURAL

UNITS, SIZES = st.integers(1, 20), st.integers(1, 9)


@given(units=UNITS, patch=SIZES)
def test_patches_equal_a_plain_loop(units: int, patch: int) -> None:
    x = torch.randn(2, 3, units)
    found = to_patches(x, patch)
    assert found.shape == (2, 3, patch_count(units, patch), patch)
    expected = torch.zeros_like(found)
    for window in range(2):
        for time in range(3):
            for unit in range(units):
                expected[window, time, unit // patch, unit % patch] = x[window, time, unit]
    assert torch.equal(found, expected)
    assert torch.equal(from_patches(found, units), x)


@given(units=UNITS, patch=SIZES)
def test_patching_a_mask_fills_up_with_false(units: int, patch: int) -> None:
    found = to_patches(torch.ones(1, 2, units, dtype=torch.bool), patch)
    assert found.dtype == torch.bool
    assert int(found.sum()) == 2 * units


def drawing() -> Draw:
    return Draw(generator=torch.Generator().manual_seed(0), ratio=0.3, patch=4)


def test_whole_tokens_are_hidden_independently() -> None:
    batch = make_batch(make_info(units=11), windows=200, bins=10)
    hidden = patch_token(batch, drawing()).hidden[NEURAL]
    assert hidden.shape == batch.activity.shape
    tokens = torch.stack([part[..., 0] for part in hidden.split(4, dim=-1)], dim=-1)
    for index, part in enumerate(hidden.split(4, dim=-1)):
        assert torch.equal(part, tokens[..., index : index + 1].expand_as(part))
    error = (0.3 * 0.7 / tokens.numel()) ** 0.5
    assert float(tokens.float().mean()) == pytest.approx(0.3, abs=3 * error)
    correlations = torch.corrcoef(tokens.flatten(0, 1).float().T) - torch.eye(3)
    assert correlations.abs().max() < 0.1
    again = patch_token(batch, drawing()).hidden[NEURAL]
    assert torch.equal(hidden, again)


@pytest.mark.parametrize(("bins", "patches", "prefix"), [(3, 2, 2), (4, 1, 1), (1, 3, 0)])
def test_a_token_sees_its_own_and_earlier_bins_and_the_prefix_sees_itself(
    bins: int, patches: int, prefix: int
) -> None:
    tokens = [("prefix", 0)] * prefix
    tokens += [("bin", time) for time in range(bins) for _ in range(patches)]
    allowed = past(token_times(bins, patches, prefix))
    assert allowed.shape == (len(tokens), len(tokens))
    for row, (kind, time) in enumerate(tokens):
        for column, (other, earlier) in enumerate(tokens):
            expected = other == "prefix" or (kind == "bin" and earlier <= time)
            assert bool(allowed[row, column]) == expected


def test_the_published_mask_is_as_far_from_this_one_as_was_measured() -> None:
    # MtM, defect 2: tiled as if tokens were ordered by patch, they are ordered by time.
    bins, patches = 100, 6
    right = past(token_times(bins, patches, 0))
    place = torch.arange(bins * patches) % bins
    published = place[:, None] >= place
    assert float((right == published).float().mean()) == pytest.approx(0.579, abs=6e-4)
    assert float(published[~right].float().mean()) == pytest.approx(0.425, abs=6e-4)
    assert float((~published)[right].float().mean()) == pytest.approx(0.416, abs=6e-4)


def embedding(units: int = 7) -> PatchEmbedding:
    torch.manual_seed(0)
    return PatchEmbedding(4, patch_count(units, 4), 5, 16)


def test_a_hidden_token_is_not_a_silent_one() -> None:
    layer, silence = embedding(), torch.zeros(1, 5, 7)
    seen = torch.ones(1, 5, 7, dtype=torch.bool)
    seen[:, 2, 4:] = False
    hidden = layer(silence, seen)
    silent = layer(silence, torch.ones_like(seen))
    differs = (hidden != silent).any(-1)[0]
    assert differs.nonzero().tolist() == [[2, 1]]
    expected = layer.hidden + layer.places()[1] + layer.time_norm(layer.time[2])
    torch.testing.assert_close(hidden[0, 2, 1], expected)


def test_a_token_hidden_in_part_reads_zeros_there() -> None:
    layer = embedding()
    counts = torch.poisson(torch.full((1, 5, 7), 2.0), generator=torch.Generator().manual_seed(0))
    seen = torch.ones(1, 5, 7, dtype=torch.bool)
    seen[..., [1, 6]] = False
    zeroed = counts.clone()
    zeroed[..., [1, 6]] = 0.0
    assert torch.equal(layer(counts, seen), layer(zeroed, torch.ones_like(seen)))


def test_a_mask_of_whole_bins_equals_the_same_mask_spelt_out() -> None:
    layer, counts = embedding(), torch.ones(2, 5, 7)
    seen = torch.rand(2, 5, 1, generator=torch.Generator().manual_seed(1)) < 0.5
    assert torch.equal(layer(counts, seen), layer(counts, seen.expand(2, 5, 7).contiguous()))


def test_growing_keeps_the_places_that_are_known() -> None:
    layer = embedding()
    before = layer.space.detach().clone()
    layer.grow(2)
    assert layer.space.shape == (2, 16)
    layer.grow(5)
    assert layer.space.shape == (5, 16)
    assert torch.equal(layer.space[:2], before)
    assert layer.space[2:].std() > 0.5
