from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import BEHAVIOURS, make_batch, make_info

from neuroduet.errors import UserError
from neuroduet.masking import SCHEMES, Draw, draw, hide, to_masks
from neuroduet.types import NEURAL

ALL = {
    "encoding": 1.0,
    "decoding": 1.0,
    "self_spike": 1.0,
    "self_behaviour": 1.0,
    "random_token": 1.0,
}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_encoding_hides_all_activity_and_no_behaviour() -> None:
    batch = make_batch(make_info())
    hidden = SCHEMES["encoding"](batch, Draw(generator=generator())).hidden
    assert hidden.pop(NEURAL).all()
    assert not any(mask.any() for mask in hidden.values())


def test_decoding_hides_all_behaviour_and_no_activity() -> None:
    batch = make_batch(make_info())
    hidden = SCHEMES["decoding"](batch, Draw(generator=generator())).hidden
    assert not hidden.pop(NEURAL).any()
    assert all(mask.all() for mask in hidden.values())


def test_single_behaviour_encoding_shows_exactly_one_behaviour() -> None:
    batch = make_batch(make_info(), windows=200)
    hidden = SCHEMES["encoding_from"](batch, Draw(generator=generator())).hidden
    assert hidden.pop(NEURAL).all()
    shown = torch.stack([~m.view(200, -1).any(1) for m in hidden.values()])
    assert (shown.sum(0) == 1).all()
    assert shown.any(1).all()


def test_single_behaviour_encoding_shows_an_only_behaviour_always() -> None:
    for behaviours in (BEHAVIOURS[:1], ()):
        batch = make_batch(make_info(behaviours=behaviours), windows=50)
        hidden = SCHEMES["encoding_from"](batch, Draw(generator=generator())).hidden
        assert hidden.pop(NEURAL).all()
        assert not any(mask.any() for mask in hidden.values())


def test_scheme_frequencies_are_equal_within_three_standard_errors() -> None:
    n = 5000
    batch = make_batch(make_info(units=1), windows=n, bins=4)
    masks = draw(batch, ALL, Draw(ratio=0.3, generator=generator()))
    encoded = (~masks.visible[NEURAL]).view(n, -1).all(1) & masks.visible["choice"]
    # `encoding`, plus the chance that `self_spike` or `random_token` hides all four bins.
    expected = 0.2 + 0.2 * 0.3**4 + 0.2 * 0.3**4 * 0.7
    error = (expected * (1 - expected) / n) ** 0.5
    assert abs(encoded.float().mean().item() - expected) < 3 * error


@pytest.mark.parametrize(("ratio", "expected"), [(0.3, 0.32), (0.1, 0.24)])
def test_masked_fraction_per_modality_is_one_plus_twice_the_ratio_over_five(
    ratio: float, expected: float
) -> None:
    batch = make_batch(make_info(units=1), windows=6000, bins=12)
    masks = draw(batch, ALL, Draw(ratio=ratio, generator=generator()))
    for name in (NEURAL, "wheel", "choice"):
        assert masks.scored[name].float().mean().item() == pytest.approx(expected, abs=0.02)


def test_two_samples_of_one_scheme_get_different_masks() -> None:
    batch = make_batch(make_info(), windows=8, bins=50)
    masks = draw(batch, {"self_spike": 1.0}, Draw(ratio=0.3, generator=generator()))
    rows = masks.scored[NEURAL].view(8, -1)
    assert len({tuple(row.tolist()) for row in rows}) == 8


def test_modalities_are_masked_independently_in_random_token() -> None:
    batch = make_batch(make_info(), windows=8, bins=50)
    masks = draw(batch, {"random_token": 1.0}, Draw(ratio=0.3, generator=generator()))
    assert not torch.equal(masks.scored[NEURAL][..., 0], masks.scored["wheel"])
    assert not torch.equal(masks.scored["paw"], masks.scored["wheel"])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), missing=st.floats(0, 0.9), extra=st.sampled_from([0.0, 0.2]))
def test_scored_is_hidden_and_observed_and_never_visible(
    seed: int, missing: float, extra: float
) -> None:
    batch = make_batch(make_info(), seed=seed, missing=missing)
    masks = draw(batch, ALL, Draw(ratio=0.3, generator=generator(seed)), hide_visible=extra)
    for name, scored in masks.scored.items():
        assert not (scored & masks.visible[name]).any()
        if name != NEURAL:
            assert not (scored & ~batch.observed[name]).any()


def test_visible_bins_are_hidden_besides_as_often_as_asked_and_never_scored() -> None:
    batch = make_batch(make_info(), windows=500)
    plain, more = (
        draw(batch, {"encoding": 1.0}, Draw(generator=generator()), hide_visible=share)
        for share in (0.0, 0.3)
    )
    assert plain.visible["wheel"].all()
    assert more.visible["wheel"].float().mean().item() == pytest.approx(0.7, abs=0.03)
    # What is said once per trial has no bins.
    assert more.visible["choice"].all()
    assert all(torch.equal(more.scored[name], plain.scored[name]) for name in plain.scored)


def test_a_scheme_that_a_single_sample_draws_is_its_own() -> None:
    batch = make_batch(make_info(), windows=1)
    masks = draw(batch, {"encoding": 1.0}, Draw(generator=generator()))
    assert masks.scored[NEURAL].all()


def test_the_same_seed_draws_the_same_masks() -> None:
    batch = make_batch(make_info())
    first, second = (draw(batch, ALL, Draw(ratio=0.3, generator=generator(3))) for _ in range(2))
    assert all(torch.equal(first.visible[k], second.visible[k]) for k in first.visible)


def test_drawing_masks_leaves_the_batch_as_it_was() -> None:
    batch = make_batch(make_info())
    before = batch.activity.clone()
    draw(batch, ALL, Draw(ratio=0.3, generator=generator()))
    assert torch.equal(batch.activity, before)


def test_padding_bins_are_neither_visible_nor_scored() -> None:
    batch = make_batch(make_info())
    batch.valid[:, -3:] = False
    masks = to_masks(batch, hide(batch, {NEURAL: True}))
    assert not masks.scored[NEURAL][:, -3:].any()
    assert masks.scored[NEURAL][:, :-3].all()


def test_an_unknown_scheme_names_the_nearest_one() -> None:
    with pytest.raises(UserError, match="did you mean 'encoding'"):
        draw(make_batch(make_info()), {"encodin": 1.0}, Draw(ratio=0.3, generator=generator()))
    with pytest.raises(UserError, match="did you mean 'encoding'"):
        draw(make_batch(make_info()), ALL | {"encodin": 0.0}, Draw(generator=generator()))


def test_schemes_of_no_weight_are_no_schemes() -> None:
    with pytest.raises(UserError, match=r"none of the masking schemes \(none\) can be drawn"):
        draw(make_batch(make_info()), {"encoding": 0.0}, Draw(generator=generator()))
