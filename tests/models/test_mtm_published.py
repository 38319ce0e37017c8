from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from published_world import WHEEL, batch_of, info, size
from torch import nn

from neuroduet.errors import UserError
from neuroduet.losses_published import published_mtm_losses
from neuroduet.masking import PROMPTS
from neuroduet.models import MODELS, mtm_published
from neuroduet.models.mtm_published import MtmPublished
from neuroduet.nn.attention import who_attends
from neuroduet.presets import mtm_faithful
from neuroduet.training.schedule import rate_at
from neuroduet.types import NEURAL, Batch, Masks, Prediction, Scales, SessionInfo

PUBLISHED = mtm_faithful().model
SMALL = size(32, 48, 2, name="mtm_published", behaviours=False, prompts=True)
UNPROMPTED = SMALL.model_copy(update={"prompts": False})
DEAD_DECODER = 512 * 668 + 668
"""Parameters of the published 512 -> 668 decoder, which is never used."""


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def on_meta(config, sessions: list[SessionInfo]) -> MtmPublished:
    """A model without memory, for counting."""
    with torch.device("meta"):
        return MtmPublished(config, sessions)


def session_of(units: int = 6, name: str = "s1", bins: int = 20) -> SessionInfo:
    return info(units, name, (), bins)


def model_of(*sessions: SessionInfo, config=SMALL) -> MtmPublished:
    torch.manual_seed(0)
    return MtmPublished(config, sessions or [session_of()]).eval()


def asks(name: str, windows: int) -> torch.Tensor:
    return torch.full((windows,), PROMPTS.index(name))


def all_of(batch: Batch) -> dict[str, torch.Tensor]:
    return {NEURAL: batch.valid[..., None]}


@torch.no_grad()
def said(model, batch, visible=None, prompt=None) -> torch.Tensor:
    return model([batch], [visible or all_of(batch)], [prompt])[0].activity


def other_counts(batch: Batch, where: torch.Tensor) -> Batch:
    return dataclasses.replace(batch, activity=batch.activity + 5.0 * where)


# Parameter counts: reference, section 14.1 -------------------------------------------------------


def published_count(model: MtmPublished) -> int:
    """Its parameters, with what we leave out: the dead decoder and rows of absent sessions."""
    return count(model) + DEAD_DECODER + (40 - len(model.session_infos)) * 512


@pytest.mark.parametrize(
    ("units", "prompts", "total"),
    [(668, True, 13_299_260), (676, True, 13_308_708), (676, False, 13_306_660)],
)
def test_one_session_has_the_published_count(units, prompts, total):
    config = PUBLISHED.model_copy(update={"prompts": prompts})
    assert published_count(on_meta(config, [info(units, behaviours=())])) == total


def test_thirty_four_sessions_have_the_published_count():
    sessions = [info(660 + i, f"s{i}", ()) for i in range(34)]
    model = on_meta(PUBLISHED, sessions)
    assert published_count(model) == 39_696_577
    core = count(model) - sum(p.numel() for p in model.stitchers())
    # The published core without the dead decoder holds the 40 rows of sessions as well.
    assert core + 40 * 512 == 12_167_000


@pytest.mark.parametrize("units", [1, 300, 668])
def test_a_session_adds_the_published_count_and_its_row(units):
    model = on_meta(PUBLISHED, [info(10, "first", ())])
    before = count(model)
    model.add_session(info(units, "second", ()))
    assert count(model) - before == 1181 * units + 668 + 512


def test_every_part_has_the_published_count():
    model = on_meta(PUBLISHED, [info(668, behaviours=())])
    parts = (model.inputs, model.embed, model.project, model.outputs, model.norm)
    assert [count(part) for part in parts] == [446_892, 893_784, 684_544, 342_684, 1_024]
    assert [model.position.numel(), model.prompts.numel()] == [51_200, 2_048]
    assert [count(block) for block in model.blocks] == [2_102_784] * 5


# Architecture ------------------------------------------------------------------------------------


def test_projections_start_scaled_by_fixup():
    # torch's own start is uniform within +-1/sqrt(fan in); thousands of draws come close to it.
    config = size(64, 128, 5, name="mtm_published", behaviours=False)
    bound = 1 / 8
    for block in model_of(config=config).blocks:
        assert block.qkv.weight[:128].abs().max().item() == pytest.approx(bound, rel=0.01)
        values = block.qkv.weight[128:].abs().max().item()
        assert values == pytest.approx(bound * 0.633647, rel=0.01)
        for linear in (block.out_proj, block.up_proj):
            assert linear.weight.abs().max().item() == pytest.approx(bound * 0.448056, rel=0.01)
        down = block.down_proj.weight.abs().max().item()
        assert down == pytest.approx(0.448056 / math.sqrt(128), rel=0.01)


def test_tables_start_at_unit_variance():
    model = model_of(session_of(bins=100))
    for table in (model.position, model.prompts, *model.session_vectors.values()):
        assert table.std().item() == pytest.approx(1, abs=0.35)
    assert model.position.std().item() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(("config", "tokens"), [(SMALL, 102), (UNPROMPTED, 101)])
def test_the_trunk_sees_session_prompt_and_bins(config, tokens):
    model = model_of(session_of(bins=100), config=config)
    seen = []
    model.blocks[0].register_forward_hook(lambda _, given, __: seen.append(given[0].shape))
    said(model, batch_of(session_of(bins=100), 3))
    assert seen == [(3, tokens, 32)]


def layer_of(block: mtm_published.Block, width: int, heads: int) -> nn.TransformerEncoderLayer:
    """torch's own pre-norm layer with the weights of a block."""
    hidden = block.up_proj.out_features
    layer = nn.TransformerEncoderLayer(
        width, heads, hidden, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
    pairs = [
        (layer.self_attn.in_proj_weight, block.qkv.weight),
        (layer.self_attn.in_proj_bias, block.qkv.bias),
        (layer.self_attn.out_proj.weight, block.out_proj.weight),
        (layer.self_attn.out_proj.bias, block.out_proj.bias),
        (layer.linear1.weight, block.up_proj.weight),
        (layer.linear1.bias, block.up_proj.bias),
        (layer.linear2.weight, block.down_proj.weight),
        (layer.linear2.bias, block.down_proj.bias),
        (layer.norm1.weight, block.attention_norm.weight),
        (layer.norm2.weight, block.feed_forward_norm.weight),
    ]
    for target, source in pairs:
        target.data.copy_(source.data)
    return layer.train()  # evaluation takes another path, which refuses some masks


@pytest.mark.parametrize("question", ["neuron", "causal", "inter_region", "intra_region"])
def test_the_model_is_what_torch_s_own_layers_make_of_the_description(question):
    model, batch = model_of(session_of(bins=8)), batch_of(session_of(bins=8), 3)
    seen = torch.rand(3, 8, 6, generator=torch.Generator().manual_seed(1)) < 0.7
    channels = model.inputs["s_s1"](batch.activity * seen)
    embedded = model.embed(channels)
    x = model.project(embedded / (1 + embedded.abs())) + model.position
    row = ["neuron", "causal", "inter_region", "intra_region"].index(question)
    prefix = torch.stack([model.session_vectors["s_s1"], model.prompts[row]]).expand(3, 2, 32)
    x = torch.cat([prefix, x], dim=1)
    forbidden = torch.zeros(10, 10, dtype=torch.bool)
    if question == "causal":
        forbidden[2:, 2:] = torch.ones(8, 8, dtype=torch.bool).triu(1)
        forbidden[:2, 2:] = True
    for block in model.blocks:
        x = layer_of(block, 32, 8)(x, src_mask=forbidden)
    expected = model.outputs["s_s1"](model.norm(x)[:, 2:])
    got = said(model, batch, {NEURAL: seen}, asks(question, 3))
    assert torch.allclose(got, expected, atol=1e-5)


def test_attention_uses_the_fused_kernel_without_dropout_inside(monkeypatch):
    calls = []
    original = nn.functional.scaled_dot_product_attention

    def spy(*given, **settings):
        calls.append(settings)
        return original(*given, **settings)

    monkeypatch.setattr(nn.functional, "scaled_dot_product_attention", spy)
    said(model_of().train(), batch_of(session_of(), 2))
    assert calls == [{"attn_mask": None}] * 2


def test_dropout_is_that_of_the_publication():
    model = model_of()
    assert model.token_dropout.p == 0.2
    assert [block.dropout.p for block in model.blocks] == [0.4, 0.4]
    batch = batch_of(session_of(), 2)
    assert torch.equal(said(model, batch), said(model, batch))
    model.train()
    assert not torch.equal(said(model, batch), said(model, batch))


def test_latents_are_what_the_decoder_of_the_session_reads():
    model, batch = model_of(), batch_of(session_of(), 3)
    prompt = asks("intra_region", 3)
    with torch.no_grad():
        latents = model.latents(batch, all_of(batch), prompt)
        assert latents.shape == (3, 20, 32)
        assert torch.equal(model.outputs["s_s1"](latents), said(model, batch, prompt=prompt))


# Prompts and causality ---------------------------------------------------------------------------


@pytest.mark.parametrize("question", ["causal", "forward"])
@pytest.mark.parametrize("last", [0, 9, 18])
def test_a_causal_prediction_does_not_depend_on_later_bins(question, last):
    model, batch = model_of(), batch_of(session_of(), 3)
    later = other_counts(batch, torch.arange(20)[:, None] > last)
    prompt = asks(question, 3)
    before, after = said(model, batch, prompt=prompt), said(model, later, prompt=prompt)
    assert torch.equal(before[:, : last + 1], after[:, : last + 1])
    assert (before[:, last + 1 :] != after[:, last + 1 :]).all()
    other = said(model, later, prompt=asks("neuron", 3))
    assert not torch.equal(said(model, batch, prompt=asks("neuron", 3))[:, 0], other[:, 0])


def test_with_the_published_prefix_the_future_leaks_into_the_past(monkeypatch):
    def published(times, known, causal):
        allowed = who_attends(times, known, causal).clone()
        allowed[:, times < 0] = True
        return allowed

    monkeypatch.setattr(mtm_published, "who_attends", published)
    model, batch = model_of(), batch_of(session_of(), 3)
    later = other_counts(batch, torch.arange(20)[:, None] > 9)
    prompt = asks("causal", 3)
    before, after = said(model, batch, prompt=prompt), said(model, later, prompt=prompt)
    assert not torch.equal(before[:, :10], after[:, :10])


def test_every_sample_follows_its_own_prompt():
    model, batch = model_of(), batch_of(session_of(), 3)
    names = ("neuron", "causal", "inter_region")
    mixed = said(model, batch, prompt=torch.tensor([PROMPTS.index(name) for name in names]))
    for row, name in enumerate(names):
        alone = said(model, batch, prompt=asks(name, 3))
        assert torch.allclose(mixed[row], alone[row], atol=1e-6)
        assert not torch.allclose(mixed[row - 1], alone[row - 1], atol=1e-3)


@pytest.mark.parametrize(("question", "lent"), [("co_smooth", "neuron"), ("forward", "causal")])
def test_a_question_without_a_prompt_of_its_own_borrows_the_published_one(question, lent):
    model, batch = model_of(), batch_of(session_of(), 2)
    assert torch.equal(
        said(model, batch, prompt=asks(question, 2)), said(model, batch, prompt=asks(lent, 2))
    )


def test_who_asks_nothing_asks_like_neuron():
    model, batch = model_of(), batch_of(session_of(), 2)
    neuron = said(model, batch, prompt=asks("neuron", 2))
    assert torch.equal(said(model, batch), neuron)
    assert torch.equal(said(model, batch, prompt=torch.tensor([-1, -1])), neuron)


def test_a_question_without_any_prompt_is_refused_by_a_model_with_prompts():
    batch = batch_of(session_of(), 2)
    with pytest.raises(UserError, match="unknown published prompt 'temporal'"):
        said(model_of(), batch, prompt=asks("temporal", 2))


def test_without_prompts_only_the_causal_scheme_is_causal_as_published():
    model, batch = model_of(config=UNPROMPTED), batch_of(session_of(), 2)
    open_eyed = said(model, batch)
    for question in ("temporal", "forward", "co_smooth", "intra_region"):
        assert torch.equal(said(model, batch, prompt=asks(question, 2)), open_eyed)
    assert not torch.allclose(said(model, batch, prompt=asks("causal", 2)), open_eyed, atol=1e-3)


# What may be seen --------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 20, 1), (3, 1, 6), (3, 20, 6)])
def test_a_hidden_count_never_influences_the_output(shape):
    model, batch = model_of(), batch_of(session_of(), 3)
    seen = torch.rand(shape, generator=torch.Generator().manual_seed(1)) < 0.5
    visible = {NEURAL: seen}
    before = said(model, batch, visible)
    assert torch.equal(before, said(model, other_counts(batch, ~seen), visible))
    assert not torch.equal(before, said(model, other_counts(batch, seen), visible))


def test_a_hidden_count_reads_as_silence():
    model, batch = model_of(), batch_of(session_of(), 3)
    seen = torch.tensor([True, False, True, True, False, False]).expand(3, 1, 6)
    silent = dataclasses.replace(batch, activity=batch.activity * seen)
    assert torch.equal(said(model, batch, {NEURAL: seen}), said(model, silent))


def test_behaviours_are_remembered_but_neither_read_nor_predicted():
    session = info(6, behaviours=(WHEEL,), bins=20)
    model, batch = model_of(session), batch_of(session, 2)
    assert model.behaviours == (WHEEL,)
    assert model([batch], [all_of(batch)])[0].behaviours == {}
    with pytest.raises(UserError, match="knows activity only"):
        MtmPublished(SMALL.model_copy(update={"behaviours": True, "prompts": False}), [session])


# Units and sessions ------------------------------------------------------------------------------


def test_permuting_units_with_their_stitcher_rows_permutes_the_output():
    model, batch = model_of(), batch_of(session_of(), 3)
    seen = torch.tensor([True, False, True, True, False, True]).expand(3, 1, 6)
    before = said(model, batch, {NEURAL: seen})
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    with torch.no_grad():
        stitcher, decoder = model.inputs["s_s1"], model.outputs["s_s1"]
        stitcher.weight.copy_(stitcher.weight[:, order])
        decoder.weight.copy_(decoder.weight[order])
        decoder.bias.copy_(decoder.bias[order])
    moved = dataclasses.replace(batch, activity=batch.activity[..., order])
    after = said(model, moved, {NEURAL: seen[..., order]})
    assert torch.allclose(after, before[..., order], atol=1e-5)
    assert not torch.allclose(after, before, atol=1e-2)


def test_two_sessions_of_as_many_units_keep_their_own_weights():
    first, second = session_of(name="a"), session_of(name="b")
    model = model_of(first, second)
    shared = dataclasses.replace(batch_of(first, 2), session="a")
    before = said(model, shared), said(model, dataclasses.replace(shared, session="b"))
    assert not torch.allclose(*before, atol=1e-3)
    own = [p for n, p in model.named_parameters() if "s_b" in n.split(".")]
    assert len(own) == 5
    with torch.no_grad():
        for parameter in own:
            parameter.add_(1)
    after = said(model, shared), said(model, dataclasses.replace(shared, session="b"))
    assert torch.equal(before[0], after[0])
    assert not torch.equal(before[1], after[1])


def test_a_step_of_several_sessions_equals_the_sessions_one_by_one():
    sessions = [session_of(6, "a"), session_of(9, "b"), session_of(3, "c", bins=12)]
    model = model_of(*sessions)
    batches = [batch_of(s, n, seed=n) for s, n in zip(sessions, (3, 2, 1), strict=True)]
    prompts = [asks("neuron", 3), asks("causal", 2), None]
    with torch.no_grad():
        together = model(batches, [all_of(batch) for batch in batches], prompts)
    for prediction, batch, prompt in zip(together, batches, prompts, strict=True):
        assert torch.allclose(prediction.activity, said(model, batch, prompt=prompt), atol=1e-5)


@pytest.mark.parametrize("question", ["neuron", "causal"])
def test_bins_beyond_a_shorter_window_do_not_matter(question):
    model = model_of()
    long = batch_of(session_of(), 2)
    valid = torch.arange(20).expand(2, 20) < 12
    ragged = dataclasses.replace(long, valid=valid, activity=long.activity * valid[..., None])
    short = dataclasses.replace(long, valid=valid[:, :12], activity=long.activity[:, :12])
    prompt = asks(question, 2)
    expected = said(model, short, prompt=prompt)
    assert torch.allclose(said(model, ragged, prompt=prompt)[:, :12], expected, atol=1e-5)


def test_windows_longer_than_the_model_are_refused():
    model = model_of()
    with pytest.raises(UserError, match="has windows of 21 bins, but the model was built for 20"):
        model.add_session(session_of(name="long", bins=21))
    with pytest.raises(UserError, match="has windows of 21 bins"):
        said(model, batch_of(session_of(), 1, bins=21))


def test_an_unknown_session_is_refused():
    with pytest.raises(UserError, match="unknown session 's2'; did you mean 's1'"):
        said(model_of(), batch_of(session_of(name="s2"), 1))


@pytest.mark.parametrize("name", ["sub.1/ses_2", "keys", "a b", "ü", "_"])
def test_any_session_id_can_own_stitchers(name):
    session = session_of(3, name)
    assert said(model_of(session), batch_of(session, 1)).shape == (1, 20, 3)


def test_stitchers_are_all_that_a_second_session_adds():
    model = model_of(session_of(name="a"))
    before = {id(p) for p in model.parameters()}
    model.add_session(session_of(9, "b"))
    added = {id(p) for p in model.parameters()} - before
    own = {id(p) for p in model.stitchers()}
    assert added < own
    assert len(own) == 2 * len(added) == 10


def test_unit_embeddings_are_read_out_weights_and_bias():
    model = model_of()
    embeddings = model.unit_embeddings("s1")
    assert embeddings.shape == (6, 33)
    assert torch.equal(embeddings[:, 32], model.outputs["s_s1"].bias)


# Loss and training -------------------------------------------------------------------------------


def one_bin(count: float, log_rate: float) -> tuple[Prediction, Batch, Masks]:
    batch = dataclasses.replace(
        batch_of(session_of(2, bins=3), 1), activity=torch.full((1, 3, 2), count)
    )
    scored = torch.zeros(1, 3, 2, dtype=torch.bool)
    scored[0, 1, 1] = True
    masks = Masks(visible={NEURAL: ~scored}, scored={NEURAL: scored})
    return Prediction(activity=torch.full((1, 3, 2), log_rate)), batch, masks


def loss_of(prediction: Prediction, batch: Batch, scored: torch.Tensor, **given) -> torch.Tensor:
    masks = Masks(visible={}, scored={NEURAL: scored})
    losses = published_mtm_losses([prediction], [batch], [masks], **given)
    assert list(losses) == [NEURAL]
    return losses[NEURAL]


def test_the_loss_of_one_entry_has_the_published_value():
    prediction, batch, masks = one_bin(2.0, math.log(2))
    loss = published_mtm_losses([prediction], [batch], [masks])[NEURAL]
    assert loss.item() == pytest.approx(0.6137056, abs=1e-6)


def test_the_loss_is_a_sum_and_not_a_mean():
    prediction, batch, _ = one_bin(2.0, math.log(2))
    for scored, entries in [
        (torch.tensor([True, True, False])[None, :, None], 4),
        (torch.tensor([True, False])[None, None, :], 3),
        (torch.ones(1, 3, 2, dtype=torch.bool), 6),
        (torch.zeros(1, 3, 1, dtype=torch.bool), 0),
    ]:
        assert loss_of(prediction, batch, scored).item() == pytest.approx(entries * 0.6137056)
    both = published_mtm_losses(
        [prediction] * 2, [batch] * 2, [Masks(visible={}, scored={NEURAL: scored | True})] * 2
    )
    assert both[NEURAL].item() == pytest.approx(12 * 0.6137056)


def test_the_loss_does_not_see_what_is_not_scored():
    prediction, batch, masks = one_bin(2.0, 0.3)
    scored = masks.scored[NEURAL]
    wild = Prediction(activity=torch.where(scored, prediction.activity, 3.0).requires_grad_())
    loss = loss_of(wild, batch, scored)
    assert torch.equal(loss, loss_of(prediction, batch, scored))
    loss.backward()
    assert torch.equal(wild.activity.grad != 0, scored)


def test_traces_are_scored_by_the_sum_of_their_squared_errors():
    prediction, batch, _ = one_bin(1.0, 3.0)
    scales = Scales(is_poisson=False, activity=torch.ones(2), behaviours={})
    scored = torch.ones(1, 3, 1, dtype=torch.bool)
    assert loss_of(prediction, batch, scored, scales=[scales]).item() == 24.0
    model = model_of(dataclasses.replace(session_of(2), neural="traces"))
    assert not model.scales("s1").is_poisson
    assert torch.equal(model.scales("s1").activity, torch.ones(2))


def test_every_parameter_gets_a_gradient():
    sessions = [session_of(6, "a"), session_of(9, "b")]
    model = model_of(*sessions).train()
    batches = [batch_of(session, 4) for session in sessions]
    prompts = [torch.arange(4), torch.arange(4)]
    visible = [all_of(batch) for batch in batches]
    masks = [Masks(visible=seen, scored=seen) for seen in visible]
    loss = published_mtm_losses(model(batches, visible, prompts), batches, masks)[NEURAL]
    loss.backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


def test_training_finds_what_the_units_share():
    """Six units follow one gain, up or down; a hidden unit is then known from the others."""
    torch.manual_seed(0)
    session = session_of(bins=10)
    gain = torch.where(torch.rand(48, 10, 1) < 0.5, 1.2, -1.2)
    signs = torch.tensor([1.0, 1.0, 1.0, -1.0, -1.0, -1.0])
    log_rates = 0.3 + gain * signs
    batch = dataclasses.replace(batch_of(session, 48), activity=torch.poisson(log_rates.exp()))
    model = model_of(session, config=SMALL.model_copy(update={"dropout": 0.1})).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for step in range(50):
        rows = torch.arange(32)
        part = dataclasses.replace(
            batch, activity=batch.activity[rows], valid=batch.valid[rows], windows=rows
        )
        hidden = (torch.arange(6) == step % 6).expand(32, 1, 6)
        masks = Masks(visible={NEURAL: ~hidden}, scored={NEURAL: hidden})
        prediction = model([part], [masks.visible], [asks("neuron", 32)])
        loss = published_mtm_losses(prediction, [part], [masks])[NEURAL]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    held_out = [
        said(model.eval(), batch, {NEURAL: torch.arange(6).expand(48, 1, 6) != unit})[32:, :, unit]
        for unit in range(6)
    ]
    predicted, true = torch.stack(held_out, -1), log_rates[32:]
    assert torch.corrcoef(torch.stack([predicted.flatten(), true.flatten()]))[0, 1] > 0.95


# Preset ------------------------------------------------------------------------------------------


def test_the_preset_has_the_published_schedule():
    config = mtm_faithful()
    assert config.model.name in MODELS
    total = 1000
    rates = [1e-4 * rate_at(step, total, 0.0, config.training) for step in range(total)]
    assert config.training.learning_rate == 1e-4
    assert rates[0] == pytest.approx(1e-5)
    assert max(rates) == pytest.approx(1e-4)
    assert rates.index(max(rates)) == 149
    assert rates[-1] == pytest.approx(1e-9)
