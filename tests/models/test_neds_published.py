from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from published_world import BLOCK, CHOICE, PUBLISHED, SMALL, WHEEL, batch_of, info, size

from neuroduet.errors import UserError
from neuroduet.losses_published import published_loss, published_losses
from neuroduet.masking import hide, to_masks
from neuroduet.masking.published import published_masks
from neuroduet.models.neds_published import NedsPublished
from neuroduet.nn.published import PublishedAttention, PublishedTrunk, rotary_phases
from neuroduet.nn.ranges import BehaviourRanges, behaviour_ranges
from neuroduet.types import NEURAL, Batch, Behaviour, Prediction, SessionInfo


def count(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def core(model: NedsPublished) -> int:
    return count(model) - sum(parameter.numel() for parameter in model.stitchers())


def everything(batch: Batch) -> dict[str, torch.Tensor]:
    return to_masks(batch, hide(batch, {})).visible


def all_tensors(prediction: Prediction) -> list[torch.Tensor]:
    activity = [] if prediction.activity is None else [prediction.activity]
    return [*activity, *prediction.behaviours.values()]


def equal(first: Prediction, second: Prediction) -> bool:
    pairs = zip(all_tensors(first), all_tensors(second), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def on_meta(config, sessions: list[SessionInfo]) -> NedsPublished:
    """A model without memory, for counting."""
    with torch.device("meta"):
        return NedsPublished(config, sessions)


# Parameter counts: reference, section 13.2 -------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "core_count", "total"),
    [(5, 2_878_208, 3_295_643), (16, 8_676_352, 9_093_787), (22, 11_838_976, 12_256_411)],
)
def test_the_published_depths_have_the_published_counts(layers, core_count, total):
    model = on_meta(size(256, 512, layers), [info()])
    assert count(model.trunk.blocks) == 527_104 * layers
    assert count(model.tables) == 241_920
    assert count(model.trunk.norm) == 512
    assert model.mask_token.numel() == 256
    assert core(model) == core_count
    assert count(model) == total


def test_seventy_four_sessions_have_the_published_count():
    model = on_meta(size(256, 512, 22), [info(session=f"s{i}") for i in range(74)])
    assert count(model) == 42_729_166


@pytest.mark.parametrize(
    ("width", "feed_forward", "layers", "total"),
    [
        (128, 256, 5, 1_083_419),
        (128, 512, 5, 1_412_379),
        (256, 1024, 5, 4_608_923),
        (512, 256, 5, 7_716_251),
        (512, 512, 6, 10_606_235),
        (512, 1024, 6, 13_755_035),
    ],
)
def test_the_searched_sizes_have_the_published_counts(width, feed_forward, layers, total):
    assert count(on_meta(size(width, feed_forward, layers), [info()])) == total


@pytest.mark.parametrize(
    ("units", "stitch_in", "head"), [(300, 334_456, 77_100), (668, 1_236_056, 171_676)]
)
def test_a_spike_stitcher_has_the_published_count(units, stitch_in, head):
    model = on_meta(size(256, 512, 5), [info(units)])
    assert count(model.inputs["s_s1"][NEURAL]) == stitch_in
    assert count(model.outputs["s_s1"][NEURAL]) == head


def test_behaviour_stitchers_have_the_published_counts():
    model = on_meta(size(256, 512, 5), [info()])
    both = {
        name: count(model.inputs["s_s1"][f"s_{name}"]) + count(model.outputs["s_s1"][f"s_{name}"])
        for name in ("choice", "block", "wheel", "whisker")
    }
    assert both == {"choice": 1_782, "block": 2_039, "wheel": 1_029, "whisker": 1_029}


def test_the_decoding_model_registers_its_heads_which_the_published_code_does_not():
    model = on_meta(size(256, 512, 5, inputs="activity"), [info()])
    assert core(model) == 2_684_672
    # The published code registers the spike stitchers, the unused output included, and no head.
    assert core(model) + 334_456 + 77_100 == 3_096_228
    # Heads: choice 100 + 2 * 257, block 100 + 3 * 257, wheel and whisker 257 each.
    assert count(model) == core(model) + 334_456 + 614 + 871 + 257 + 257 == 3_021_127


def test_the_encoding_model_registers_its_head_which_the_published_code_does_not():
    model = on_meta(size(256, 512, 5, inputs="behaviours"), [info()])
    assert core(model) == 2_829_824
    # The published code registers all behaviour stitchers, unused outputs included, and no head.
    assert core(model) + 5_879 == 2_835_703
    # Inputs: static 400 + 768, dynamic 4 + 768, two of each. Head: (4 * 256 + 1) * 300.
    assert count(model) == core(model) + 2 * 1_168 + 2 * 772 + 307_500 == 3_141_204


@pytest.mark.parametrize(
    ("inputs", "published_code_lost"), [("behaviours", 7_740), ("activity", 462)]
)
def test_every_head_of_a_unimodal_model_is_trained_and_saved(inputs, published_code_lost):
    sessions = [info(30, "s1"), info(30, "s2")]
    model = NedsPublished(SMALL.model_copy(update={"inputs": inputs}), sessions)
    heads = {name for name, _ in model.named_parameters() if name.startswith("outputs.")}
    weights = [p for n, p in model.named_parameters() if n in heads and "weights" not in n]
    assert sum(p.numel() for p in weights) == published_code_lost
    assert heads <= set(model.state_dict())
    loss = torch.zeros(())
    for session in sessions:
        batch = batch_of(session, 2)
        masks = published_masks(batch, 0.3, torch.Generator().manual_seed(0), inputs)
        loss = loss + published_loss(model([batch], [masks.visible])[0], batch, masks)
    loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in weights)


# Architecture ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inputs", "tokens"), [("all", 500), ("behaviours", 400), ("activity", 100)]
)
def test_the_model_has_the_published_number_of_tokens(inputs, tokens):
    model = NedsPublished(SMALL.model_copy(update={"inputs": inputs}), [info(5)])
    seen = []
    model.trunk.register_forward_hook(lambda _, arguments, __: seen.append(arguments[0].shape))
    batch = batch_of(info(5), 3)
    model([batch], [everything(batch)])
    assert seen == [(3, tokens, 32)]


def test_modalities_come_in_the_published_order_and_others_after_them():
    licks = Behaviour(name="licks", source="licks.rate", kind="continuous", per="bin", size=2)
    behaviours = (licks, *reversed(PUBLISHED))
    model = NedsPublished(SMALL, [info(5, behaviours=behaviours)])
    assert model.streams == [NEURAL, "choice", "block", "wheel", "whisker", "licks"]


@pytest.mark.parametrize(
    ("layers", "projection", "value"),
    [(5, 0.448056, 0.633647), (16, 0.335, 0.473762), (22, 0.309364, 0.437506)],
)
def test_projections_start_scaled_by_fixup(layers, projection, value):
    trunk = PublishedTrunk(32, layers, 8, 32, 0.4, torch.zeros(1))
    # torch's own start is uniform within +-1/sqrt(fan in); hundreds of draws come close to it.
    bound = 1 / math.sqrt(32)
    for block in trunk.blocks:
        query_key, values = block.attention.qkv.weight[:64], block.attention.qkv.weight[64:]
        assert query_key.abs().max().item() == pytest.approx(bound, rel=0.02)
        assert values.abs().max().item() == pytest.approx(bound * value, rel=0.02)
        for linear in (block.attention.out_proj, block.up_proj, block.down_proj):
            assert linear.weight.abs().max().item() == pytest.approx(bound * projection, rel=0.02)


def test_rotary_frequencies_are_those_of_a_head_of_32():
    phases = rotary_phases(torch.tensor([1.0]), 32, 8)
    assert phases.shape == (1, 2 * 8 * 16, 2)
    angles = torch.atan2(phases[0, :16, 1], phases[0, :16, 0])
    assert angles[:3].tolist() == pytest.approx([1, 0.562341, 0.316228], abs=1e-6)
    assert torch.equal(phases[0, :16], phases[0, 16:32])


def test_attention_is_the_half_rotation_with_renamed_rows():
    torch.manual_seed(0)
    width, heads, half, length = 32, 4, 4, 7
    attention = PublishedAttention(width, heads, 0.0, 1.0)
    x, positions = torch.randn(2, length, width), torch.arange(length, dtype=torch.float32)
    got = attention(x, rotary_phases(positions, 2 * half, heads))
    # Entry i of the published head is our entry 2i, entry i + d/2 our entry 2i + 1.
    rows = torch.arange(width).view(heads, half, 2).transpose(1, 2).flatten()
    query, key, value = attention.qkv(x).chunk(3, dim=-1)
    query, key = (
        y[..., rows].view(2, length, heads, 2 * half).transpose(1, 2) for y in (query, key)
    )
    frequencies = 10000 ** (-torch.arange(half) / half)
    angles = (positions[:, None] * frequencies).repeat(1, 2)

    def rotated(y):
        turned = torch.cat([-y[..., half:], y[..., :half]], dim=-1)
        return y * angles.cos() + turned * angles.sin()

    weights = (rotated(query) @ rotated(key).mT / math.sqrt(2 * half)).softmax(-1)
    mixed = weights @ value.view(2, length, heads, 2 * half).transpose(1, 2)
    expected = attention.out_proj(mixed.transpose(1, 2).flatten(2))
    assert torch.allclose(got, expected, atol=1e-5)


def test_attention_in_16_bit_is_close_to_32_bit():
    torch.manual_seed(0)
    attention, x = PublishedAttention(32, 4, 0.0, 1.0), torch.randn(2, 7, 32)
    phases = rotary_phases(torch.arange(7, dtype=torch.float32), 8, 4)
    with torch.autocast("cpu", torch.bfloat16):
        half = attention(x, phases)
    half.sum().backward()
    assert half.dtype == torch.bfloat16
    assert torch.allclose(half.float(), attention(x, phases), atol=0.03)
    assert attention.qkv.weight.grad.isfinite().all()


def test_the_mask_token_starts_at_zero_and_the_tables_at_unit_variance():
    model = NedsPublished(size(256, 64, 1), [info(5)])
    assert model.mask_token.abs().sum() == 0
    for table in model.tables:
        assert table.session.shape == (84, 256)
        assert table.session.std().item() == pytest.approx(1, abs=0.05)


def test_static_weights_start_uniform_between_zero_and_one():
    weights = NedsPublished(SMALL, [info(5)]).outputs["s_s1"]["s_choice"].weights
    assert weights.shape == (100,)
    assert 0 <= weights.min() < 0.2 < 0.8 < weights.max() < 1


def test_attention_uses_the_fused_kernel_without_dropout_inside(monkeypatch):
    calls = []
    original = torch.nn.functional.scaled_dot_product_attention

    def spy(*arguments, **settings):
        calls.append((len(arguments), settings))
        return original(*arguments, **settings)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", spy)
    batch = batch_of(info(5), 2)
    NedsPublished(SMALL, [info(5)]).train()([batch], [everything(batch)])
    assert calls == [(3, {}), (3, {})]


# What may be seen --------------------------------------------------------------------------------


def changed(batch: Batch, name: str, where: torch.Tensor) -> Batch:
    """The batch with other values of one modality where ``where`` holds."""
    if name == NEURAL:
        activity = torch.where(where, batch.activity + 7, batch.activity)
        return dataclasses.replace(batch, activity=activity)
    values = batch.behaviours[name]
    if values.is_floating_point():
        new = torch.where(where[..., None], values * 3 + 5, values)
    else:
        new = torch.where(where, (values + 1) % 2, values)
    return dataclasses.replace(batch, behaviours=batch.behaviours | {name: new})


@pytest.mark.parametrize("name", [NEURAL, "choice", "block", "wheel", "whisker"])
@pytest.mark.parametrize("share", [0.5, 1.0])
def test_a_hidden_value_never_influences_the_output(name, share):
    model = NedsPublished(SMALL, [info(5)]).eval()
    batch = batch_of(info(5), 4)
    visible = everything(batch)
    hidden = torch.rand(visible[name].shape, generator=torch.Generator().manual_seed(1)) < share
    visible = visible | {name: visible[name] & ~hidden}
    with torch.no_grad():
        before = model([batch], [visible])[0]
        after = model([changed(batch, name, hidden)], [visible])[0]
        seen = model([changed(batch, name, torch.ones_like(hidden))], [visible])[0]
    assert equal(before, after)
    assert equal(before, seen) == (share == 1.0)


def test_a_static_value_with_all_its_tokens_hidden_never_influences_the_output():
    model = NedsPublished(SMALL, [info(5)]).eval()
    batch = batch_of(info(5), 3)
    tokens = torch.ones(3, 100, dtype=torch.bool)
    tokens[1] = False
    tokens[2, 1:] = False
    visible = everything(batch) | {"choice": tokens}
    other = changed(batch, "choice", torch.ones(3, dtype=torch.bool))
    with torch.no_grad():
        before, after = model([batch], [visible])[0], model([other], [visible])[0]
    same = [torch.equal(before.activity[i], after.activity[i]) for i in range(3)]
    assert same == [False, True, False]


def test_hidden_units_never_influence_the_output():
    model = NedsPublished(SMALL, [info(5)]).eval()
    batch = batch_of(info(5), 2)
    units = torch.tensor([True, False, True, True, False]).expand(2, 1, 5)
    visible = everything(batch) | {NEURAL: units}
    with torch.no_grad():
        before = model([batch], [visible])[0]
        after = model([changed(batch, NEURAL, ~units)], [visible])[0]
        seen = model([changed(batch, NEURAL, units)], [visible])[0]
    assert equal(before, after)
    assert not equal(before, seen)


def test_a_value_that_was_not_observed_is_hidden_whatever_the_mask_says():
    model = NedsPublished(SMALL, [info(5)]).eval()
    batch = batch_of(info(5), 2)
    missing = dataclasses.replace(
        batch, observed=batch.observed | {"choice": torch.tensor([True, False])}
    )
    hidden = everything(batch) | {"choice": torch.tensor([True, False])}
    with torch.no_grad():
        assert equal(model([missing], [everything(batch)])[0], model([batch], [hidden])[0])


def test_encoding_does_not_depend_on_the_spikes_under_the_encoding_scheme():
    model = NedsPublished(SMALL, [info(5)]).eval()
    batch = batch_of(info(5), 2)
    visible = to_masks(batch, hide(batch, {NEURAL: True})).visible
    silent = dataclasses.replace(batch, activity=torch.zeros_like(batch.activity))
    with torch.no_grad():
        assert equal(model([batch], [visible])[0], model([silent], [visible])[0])


# Sessions ----------------------------------------------------------------------------------------


def test_a_batch_of_several_sessions_equals_the_sessions_one_by_one():
    sessions = [info(5, "a"), info(9, "b", behaviours=(CHOICE, WHEEL)), info(3, "c", bins=60)]
    model = NedsPublished(SMALL, sessions).eval()
    batches = [batch_of(s, n, seed=n) for s, n in zip(sessions, (3, 2, 1), strict=True)]
    visible = [everything(batch) for batch in batches]
    with torch.no_grad():
        together = model(batches, visible)
        alone = [model([b], [v])[0] for b, v in zip(batches, visible, strict=True)]
    for first, second in zip(together, alone, strict=True):
        for a, b in zip(all_tensors(first), all_tensors(second), strict=True):
            assert torch.allclose(a, b, atol=1e-5)


def test_a_session_with_one_window_in_the_batch_gets_its_session_vector_and_its_own_logits():
    sessions = [info(5, "a"), info(5, "b")]
    model = NedsPublished(SMALL, sessions).eval()
    batches = [batch_of(sessions[0], 3), batch_of(sessions[1], 1)]
    visible = [everything(batch) for batch in batches]
    with torch.no_grad():
        before = model(batches, visible)
        bias = model.outputs["s_b"]["s_choice"].linear.bias
        assert (before[1].behaviours["choice"] - bias).abs().max() > 1e-3
        for table in model.tables:
            table.session[1] += 1
        after = model(batches, visible)
    assert equal(before[0], after[0])
    assert not equal(before[1], after[1])


def test_a_prediction_names_the_behaviours_of_its_own_session():
    sessions = [info(5, "a"), info(4, "b", behaviours=(BLOCK,))]
    model = NedsPublished(SMALL, sessions)
    batches = [batch_of(s, 2) for s in sessions]
    first, second = model(batches, [everything(b) for b in batches])
    assert set(first.behaviours) == {"choice", "block", "wheel", "whisker"}
    assert {name: tuple(x.shape) for name, x in second.behaviours.items()} == {"block": (2, 3)}
    assert first.activity.shape == (2, 100, 5)
    assert second.activity.shape == (2, 100, 4)


@pytest.mark.parametrize("name", ["sub.1/ses_2", "keys", "a b", "ü", "_", "2024-01-01_001"])
def test_any_session_id_can_own_stitchers(name):
    session = info(3, name)
    model = NedsPublished(SMALL, [session])
    batch = batch_of(session, 1)
    assert model([batch], [everything(batch)])[0].activity.shape == (1, 100, 3)


def test_the_session_table_grows_beyond_84_sessions():
    config, bins = size(16, 16, 1), 4
    model = NedsPublished(config, [info(2, f"s{i}", bins=bins) for i in range(84)])
    old = model.tables[0].session.clone()
    last = info(2, "s84", bins=bins)
    model.add_session(last)
    assert model.tables[0].session.shape == (85, 16)
    assert torch.equal(model.tables[0].session[:84], old)
    batch = batch_of(last, 2)
    assert model([batch], [everything(batch)])[0].activity.shape == (2, bins, 2)


def test_a_session_with_longer_windows_or_unknown_behaviours_is_refused():
    model = NedsPublished(SMALL, [info(3, behaviours=(WHEEL,))])
    with pytest.raises(UserError, match="101 bins, but the model was built for 100"):
        model.add_session(info(3, "long", behaviours=(WHEEL,), bins=101))
    with pytest.raises(UserError, match="unknown behaviour 'choice'"):
        model.add_session(info(3, "more", behaviours=(CHOICE,)))


def test_an_unknown_session_is_refused():
    model = NedsPublished(SMALL, [info(3, "mouse-1")])
    batch = batch_of(info(3, "mouse-2"), 1)
    with pytest.raises(UserError, match="did you mean 'mouse-1'"):
        model([batch], [everything(batch)])


def test_a_window_longer_than_the_model_is_refused():
    model = NedsPublished(SMALL, [info(3, bins=20)])
    batch = batch_of(info(3, bins=20), 1, bins=21)
    with pytest.raises(UserError, match="has 21 bins"):
        model([batch], [everything(batch)])


def test_an_encoding_model_without_behaviours_is_refused():
    with pytest.raises(UserError, match="needs a behaviour"):
        NedsPublished(SMALL.model_copy(update={"inputs": "behaviours"}), [info(3, behaviours=())])


# Other behaviours and ranges ---------------------------------------------------------------------


def test_behaviours_of_every_kind_are_read_and_predicted():
    behaviours = (
        Behaviour(name="pose", source="p.x", kind="continuous", per="bin", size=4),
        Behaviour(name="state", source="a.x", kind="categorical", per="bin", size=3),
        Behaviour(name="target", source="t.x", kind="continuous", per="trial", size=2),
    )
    session = info(5, behaviours=behaviours, bins=20)
    model, batch = NedsPublished(SMALL, [session]), batch_of(session, 3)
    predicted = model([batch], [everything(batch)])[0].behaviours
    shapes = {name: tuple(values.shape) for name, values in predicted.items()}
    assert shapes == {"pose": (3, 20, 4), "state": (3, 20, 3), "target": (3, 2)}


def test_ranges_are_those_of_the_observed_values():
    batch = batch_of(info(3, behaviours=(WHEEL, CHOICE), bins=3), 2)
    values = torch.tensor([[[1.0], [2.0], [99.0]], [[-4.0], [0.5], [0.0]]])
    observed = torch.tensor([[True, True, False], [True, True, True]])
    batch = dataclasses.replace(
        batch,
        behaviours=batch.behaviours | {"wheel": values},
        observed=batch.observed | {"wheel": observed},
    )
    ranges = behaviour_ranges([batch])
    assert ranges.low == {"wheel": torch.tensor([-4.0])}
    assert ranges.high == {"wheel": torch.tensor([2.0])}


def test_continuous_behaviours_are_scaled_inside_and_predicted_in_the_users_units():
    session = info(5, behaviours=(WHEEL,), bins=10)
    model = NedsPublished(SMALL, [session]).eval()
    batch = batch_of(session, 2)
    scaled = dataclasses.replace(batch, behaviours={"wheel": batch.behaviours["wheel"] * 8 - 3})
    with torch.no_grad():
        plain = model([batch], [everything(batch)])[0]
        model.set_statistics(
            "s1",
            BehaviourRanges(
                low={"wheel": torch.tensor([-3.0])}, high={"wheel": torch.tensor([5.0])}
            ),
        )
        ranged = model([scaled], [everything(scaled)])[0]
    assert torch.allclose(ranged.activity, plain.activity, atol=1e-4)
    expected = plain.behaviours["wheel"] * 8 - 3
    assert torch.allclose(ranged.behaviours["wheel"], expected, atol=1e-4)
    assert model.scales("s1").behaviours["wheel"].item() == 8


def test_a_behaviour_that_never_changes_keeps_its_units():
    model = NedsPublished(SMALL, [info(5, behaviours=(WHEEL,))])
    same = {"wheel": torch.tensor([2.0])}
    model.set_statistics("s1", BehaviourRanges(low=same, high=same))
    assert model.scales("s1").behaviours["wheel"].item() == 1


# Training ----------------------------------------------------------------------------------------


def test_every_parameter_gets_a_gradient_and_survives_saving():
    session = info(6, bins=20)
    model, batch = NedsPublished(SMALL, [session]), batch_of(session, 12)
    masks = published_masks(batch, 0.3, torch.Generator().manual_seed(0))
    published_loss(model([batch], [masks.visible])[0], batch, masks).backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None or p.grad.abs().sum() == 0]
    assert silent == []
    twin = NedsPublished(SMALL, [session])
    twin.load_state_dict(model.state_dict())
    with torch.no_grad():
        first = model.eval()([batch], [masks.visible])[0]
        second = twin.eval()([batch], [masks.visible])[0]
    assert equal(first, second)


def test_one_batch_can_be_overfitted():
    torch.manual_seed(0)
    session = info(6, behaviours=(CHOICE, WHEEL), bins=10)
    model = NedsPublished(size(32, 64, 2, dropout=0.0), [session])
    model.token_dropout.p = 0.0
    batch = batch_of(session, 4)
    masks = to_masks(batch, hide(batch, {"choice": True, "wheel": True}))
    optimiser = torch.optim.AdamW(model.parameters(), 3e-3)
    losses = []
    for _ in range(150):
        optimiser.zero_grad()
        parts = published_losses(model([batch], [masks.visible]), [batch], [masks])
        sum(parts.values()).backward()
        optimiser.step()
        losses.append({name: loss.item() for name, loss in parts.items()})
    assert losses[-1]["wheel"] < 0.1 * losses[0]["wheel"]
    assert losses[-1]["choice"] < 0.1 * losses[0]["choice"]


def test_unit_embeddings_have_one_row_per_unit():
    for inputs, columns in (("all", 33), ("behaviours", 4 * 32 + 1), ("activity", 14)):
        model = NedsPublished(SMALL.model_copy(update={"inputs": inputs}), [info(7)])
        assert model.unit_embeddings("s1").shape == (7, columns)
