"""A model of activity that is told which question is asked: what may depend on what."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import make_batch, make_info

from neuroduet.config import ModelConfig
from neuroduet.masking import CAUSAL, PROMPTS
from neuroduet.models import build
from neuroduet.models.translator import Translator
from neuroduet.nn.stitch import module_key
from neuroduet.types import NEURAL

# Two sessions with equally many units: none may take the other's weights.
INFOS = [make_info("a/1", 7), make_info("a.1", 7), make_info("c", 5, neural="traces")]
BINS = 12


def make(**changes: object) -> Translator:
    torch.manual_seed(0)
    sizes = dict(width=16, layers=2, heads=2, feed_forward=24, input_rank=6, output_rank=5)
    settings = sizes | {"input_kernel": 9} | changes
    model = build(ModelConfig(behaviours=False, prompts=True, **settings), INFOS).eval()
    with torch.no_grad():  # away from the zeros that some parameters start at
        for p in model.parameters():
            p.add_(0.05 * torch.randn_like(p))
    return model


def prompts(*names: str) -> torch.Tensor:
    return torch.tensor([PROMPTS.index(name) if name else -1 for name in names])


@torch.no_grad()
@settings(max_examples=25)
@given(
    last=st.integers(0, BINS - 2),
    asked=st.lists(st.sampled_from(["", *PROMPTS]), min_size=4, max_size=4),
    hidden=st.sampled_from(["nothing", "bins", "units", "entries"]),
    hidden_units=st.sampled_from(["infer", "zero"]),
)
def test_nothing_depends_on_later_bins_where_the_prompt_forbids_it(
    last: int, asked: list[str], hidden: str, hidden_units: str
) -> None:
    model, batch = make(hidden_units=hidden_units), make_batch(INFOS[0], windows=4)
    shape = {"nothing": (1, 1, 1), "bins": (4, BINS, 1), "units": (4, 1, 7)}
    chance = torch.rand(
        shape.get(hidden, (4, BINS, 7)), generator=torch.Generator().manual_seed(1)
    )
    seen = {NEURAL: (chance > (-1 if hidden == "nothing" else 0.3)).expand(4, -1, -1)}
    changed = batch.activity.clone()
    changed[:, last + 1 :] += 3.0
    answers = [
        model([b], [seen], [prompts(*asked)])[0].activity
        for b in (batch, replace(batch, activity=changed))
    ]
    blind = torch.tensor([name in CAUSAL for name in asked])
    before, after = (answer[:, : last + 1] for answer in answers)
    # Bit for bit: a leak may be as small as a rounding error.
    assert torch.equal(before[blind], after[blind])
    if hidden == "nothing":
        assert not (before == after).flatten(1).all(1)[~blind].any()


@torch.no_grad()
@pytest.mark.parametrize("kernel", [0, 9])
@pytest.mark.parametrize("name", ["", *PROMPTS])
def test_every_bin_depends_on_every_bin_that_the_prompt_allows(name: str, kernel: int) -> None:
    model, batch = make(input_kernel=kernel), make_batch(INFOS[0], windows=1)
    seen = {NEURAL: batch.valid[..., None]}
    for changed in range(BINS):
        other = batch.activity.clone()
        other[:, changed] += 3.0
        one, two = (
            model([replace(batch, activity=x)], [seen], [prompts(name)])[0].activity
            for x in (batch.activity, other)
        )
        depends = (one != two).any(-1)[0].tolist()
        assert depends == [name not in CAUSAL or place >= changed for place in range(BINS)]


@torch.no_grad()
@pytest.mark.parametrize("kernel", [0, 9])
def test_prompts_of_other_samples_and_sessions_change_nothing(kernel: int) -> None:
    model = make(input_kernel=kernel)
    asked = [("causal", "neuron", ""), ("neuron", "forward"), ("inter_region", "random", "causal")]
    batches = [
        make_batch(info, windows=len(names), bins=bins, seed=bins)
        for info, names, bins in zip(INFOS, asked, (12, 9, 12), strict=True)
    ]
    seen = [{NEURAL: batch.valid[..., None]} for batch in batches]
    together = model(batches, seen, [prompts(*names) for names in asked])
    for batch, visible, names, joint in zip(batches, seen, asked, together, strict=True):
        for sample, name in enumerate(names):
            row = slice(sample, sample + 1)
            few = replace(
                batch,
                activity=batch.activity[row],
                valid=batch.valid[row],
                behaviours={},
                observed={},
                windows=batch.windows[row],
            )
            (alone,) = model([few], [{NEURAL: visible[NEURAL][row]}], [prompts(name)])
            torch.testing.assert_close(alone.activity, joint.activity[row], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_every_prompt_asks_another_question() -> None:
    model, batch = make(), make_batch(INFOS[0])
    seen = {NEURAL: batch.valid[..., None]}
    found = [model([batch], [seen], [prompts(*[name] * 4)])[0].activity for name in ["", *PROMPTS]]
    for one in range(len(found)):
        assert not any(torch.allclose(found[one], other) for other in found[one + 1 :])
    assert torch.equal(found[0], model([batch], [seen])[0].activity)
    assert torch.equal(found[0], model([batch], [seen], [None])[0].activity)


@torch.no_grad()
def test_sessions_of_equally_many_units_keep_their_own_weights() -> None:
    model, batch = make(), make_batch(INFOS[0])
    other = replace(batch, session=INFOS[1].id)
    seen, asked = {NEURAL: batch.valid[..., None]}, prompts(*["neuron"] * 4)
    before = model([batch, other], [seen] * 2, [asked] * 2)
    assert not torch.allclose(before[0].activity, before[1].activity)
    for part in (model.inputs, model.outputs):
        for p in part[module_key(INFOS[1].id)].parameters():
            p.add_(1.0)
    after = model([batch, other], [seen] * 2, [asked] * 2)
    assert torch.equal(before[0].activity, after[0].activity)
    assert not torch.allclose(before[1].activity, after[1].activity)


@torch.no_grad()
@pytest.mark.parametrize("info", [INFOS[0], INFOS[2]], ids=["counts", "traces"])
@pytest.mark.parametrize("name", ["neuron", "causal"])
@pytest.mark.parametrize("hidden_units", ["infer", "zero"])
def test_units_carry_all_that_is_theirs_in_the_rows_of_their_stitchers(
    hidden_units: str, name: str, info
) -> None:
    model, batch = make(hidden_units=hidden_units), make_batch(info)
    units = len(info.units)
    ways = (model.input_stitch(info.id), model.output_stitch(info.id))
    for way in ways:
        way.centre.copy_(torch.rand(units))
        way.scale.copy_(0.5 + torch.rand(units))
    seen = torch.rand(4, BINS, units) < 0.7
    asked = prompts(*[name] * 4)
    plain = model([batch], [{NEURAL: seen}], [asked])[0].activity
    order = torch.randperm(units, generator=torch.Generator().manual_seed(3))
    for way in ways:
        for values in [*way.parameters(), *way.buffers()]:
            if values.ndim:
                values.copy_(values[order].clone())
    moved = replace(batch, activity=batch.activity[..., order])
    permuted = model([moved], [{NEURAL: seen[..., order]}], [asked])[0].activity
    assert not torch.equal(order, torch.arange(units))
    torch.testing.assert_close(permuted, plain[..., order], atol=1e-5, rtol=1e-5)
