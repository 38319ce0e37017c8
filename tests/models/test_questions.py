"""Questions about units: the short ways give what hiding units one after the other gives."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import make_batch, make_info

from neuroduet.config import ModelConfig
from neuroduet.masking import PROMPTS, hide, to_masks
from neuroduet.models import build
from neuroduet.models.questions import answer_units, take_windows
from neuroduet.types import NEURAL, Batch, UnitQuestions

SMALL = {"width": 16, "layers": 2, "heads": 2, "feed_forward": 32, "input_rank": 4}
UNITS = 7

KINDS = {
    "duet": ModelConfig(**SMALL, output_rank=4),
    "separate": ModelConfig(**SMALL, tokens="separate", output_rank=None),
    "mtm": ModelConfig(**SMALL, behaviours=False, prompts=True),
    "silence": ModelConfig(**SMALL, behaviours=False, prompts=True, hidden_units="zero"),
    "ndt2": ModelConfig(name="ndt2", **SMALL, behaviours=False, prompts=True, patch=3),
    "published": ModelConfig(name="mtm_published", **SMALL, behaviours=False, prompts=True),
}


def model_of(kind: str, neural: str = "spikes") -> tuple[torch.nn.Module, Batch]:
    torch.manual_seed(0)
    info = make_info(units=UNITS, neural=neural)
    model = build(KINDS[kind], [info]).eval()
    for p in model.parameters():
        p.data.add_(0.1 * torch.randn_like(p))  # nothing may be zero by its start only
    batch = make_batch(info, windows=5)
    batch.activity[:3, :, 2] = 0.0
    batch.activity[1] = 0.0
    return model, batch


def brute_force(model, batch: Batch, visible, questions: UnitQuestions, prompt: int):
    answers = torch.zeros(batch.activity.shape)
    asked = torch.full((len(batch.windows),), prompt)
    for hidden, scored in zip(questions.hidden, questions.scored, strict=True):
        seen = {**visible, NEURAL: visible[NEURAL] & ~hidden}
        answers[:, :, scored] = model([batch], [seen], [asked])[0].activity[:, :, scored].detach()
    return answers


def questions(name: str) -> UnitQuestions:
    one = torch.eye(UNITS, dtype=torch.bool)
    regions = torch.tensor([0, 0, 0, 1, 1, 2, 2])
    if name == "units":
        return UnitQuestions(hidden=one, scored=one)
    if name == "regions":
        whole = torch.stack([regions == region for region in range(3)])
        return UnitQuestions(hidden=whole, scored=whole)
    if name == "everything":
        return UnitQuestions(hidden=one.any(0)[None], scored=one.any(0)[None])
    outside = regions[:, None] != regions[None]
    return UnitQuestions(hidden=outside | one, scored=one)


@torch.no_grad()
@pytest.mark.parametrize("name", ["units", "regions", "within", "everything"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_short_way_equals_brute_force(kind: str, name: str) -> None:
    model, batch = model_of(kind)
    visible = to_masks(batch, hide(batch, dict.fromkeys(batch.behaviours, True))).visible
    asked = questions(name)
    short = answer_units(model, batch, visible, asked, prompt=0)
    torch.testing.assert_close(
        short, brute_force(model, batch, visible, asked, 0), atol=1e-5, rtol=0
    )


@torch.no_grad()
@pytest.mark.parametrize("kind", ["duet", "mtm"])
def test_traces_and_ragged_windows_and_causal_prompts_take_the_short_way_too(kind: str) -> None:
    model, batch = model_of(kind, neural="traces")
    batch.valid[:2, 9:] = False
    batch.activity[:2, 9:] = 0.0
    visible = to_masks(batch, hide(batch, {})).visible
    for prompt in (-1, PROMPTS.index("causal")):
        short = answer_units(model, batch, visible, questions("units"), prompt)
        slow = brute_force(model, batch, visible, questions("units"), prompt)
        torch.testing.assert_close(short[batch.valid], slow[batch.valid], atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_does_not_depend_on_the_counts_of_the_unit_it_is_about(kind: str) -> None:
    model, batch = model_of(kind)
    other = replace(batch, activity=batch.activity.clone())
    other.activity[:, :, 4] += 3.0
    visible = to_masks(batch, hide(batch, dict.fromkeys(batch.behaviours, True))).visible
    found, changed = (
        answer_units(model, b, visible, questions("units"), 0) for b in (batch, other)
    )
    torch.testing.assert_close(found[..., 4], changed[..., 4], atol=2e-6, rtol=0)
    assert not torch.allclose(found[..., 3], changed[..., 3], atol=1e-4)


@torch.no_grad()
def test_a_region_of_one_unit_asks_what_co_smoothing_asks() -> None:
    model, batch = model_of("mtm")
    visible = to_masks(batch, hide(batch, {})).visible
    alone = torch.zeros(1, UNITS, dtype=torch.bool)
    alone[0, 3] = True
    region = answer_units(model, batch, visible, UnitQuestions(hidden=alone, scored=alone), 0)
    unit = answer_units(model, batch, visible, questions("units"), 0)
    torch.testing.assert_close(region[..., 3], unit[..., 3])


class Counting(torch.nn.Module):
    """Predicts the number of visible spikes in a window, and counts the windows it is asked."""

    silence = True

    def __init__(self) -> None:
        super().__init__()
        self.windows = 0

    def forward(self, batches, visible, prompts):
        from neuroduet.types import Prediction

        self.windows += len(batches[0].windows)
        shown = batches[0].activity.masked_fill(~visible[0][NEURAL], 0.0)
        total = shown.sum((1, 2), keepdim=True).expand(batches[0].activity.shape)
        return [Prediction(activity=total)]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.sampled_from(["units", "regions", "within"]))
def test_silent_windows_are_reused_exactly(seed: int, name: str) -> None:
    batch = make_batch(make_info(units=UNITS, behaviours=()), windows=6, bins=2, seed=seed)
    batch.activity[:] = (batch.activity > 1).float()
    model, asked = Counting(), questions(name)
    visible = {NEURAL: batch.valid[..., None]}
    short = answer_units(model, batch, visible, asked, 0)
    assert torch.equal(short, brute_force(Counting(), batch, visible, asked, 0))
    active = sum(int((batch.activity[:, :, s] > 0).any(2).any(1).sum()) for s in asked.scored)
    bases = len({tuple(row.tolist()) for row in asked.hidden & ~asked.scored})
    assert model.windows == active + 6 * bases


def test_windows_are_taken_by_place() -> None:
    batch = make_batch(make_info())
    few = take_windows(batch, slice(1, 3))
    assert torch.equal(few.windows, batch.windows[1:3])
    assert torch.equal(few.behaviours["wheel"], batch.behaviours["wheel"][1:3])
