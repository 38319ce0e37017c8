from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from worlds import BEHAVIOURS, make_batch, make_info

from neuroduet.config import Config, DataConfig, ModelConfig, override
from neuroduet.data.arrays import from_arrays
from neuroduet.data.recording import save
from neuroduet.data.session import Session, open_sessions
from neuroduet.errors import UserError
from neuroduet.losses import modality_losses
from neuroduet.masking import PROMPTS, Draw, draw, hide, to_masks
from neuroduet.models import build, set_up_session
from neuroduet.models.ndt2 import Ndt2, transferred_tables
from neuroduet.nn.stitch import module_key
from neuroduet.presets import PRESETS, ndt2
from neuroduet.types import NEURAL, Batch, SessionInfo

PATCH = 4
INFOS = [make_info("a/1", 10, ()), make_info("b.2", 4, ()), make_info("c", 10, ())]


def small(**changes: object) -> ModelConfig:
    sizes = dict(width=16, layers=2, heads=2, feed_forward=24, patch=PATCH)
    kind = dict(name="ndt2", behaviours=False, prompts=True)
    return ModelConfig(**(sizes | kind | changes))


def make(infos: list[SessionInfo] = INFOS, **changes: object) -> Ndt2:
    torch.manual_seed(0)
    model = build(small(**changes), infos).eval()
    with torch.no_grad():  # away from the zeros that some parameters start at
        for p in model.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return model


def everything(batch: Batch) -> dict[str, torch.Tensor]:
    return to_masks(batch, hide(batch, {})).visible


def asked(*names: str) -> torch.Tensor:
    return torch.tensor([PROMPTS.index(name) for name in names])


def rates(
    model: Ndt2,
    batch: Batch,
    visible: dict[str, torch.Tensor] | None = None,
    prompt: torch.Tensor | None = None,
) -> torch.Tensor:
    return model([batch], [visible or everything(batch)], [prompt])[0].activity


def published_size(units: int, width: int = 512, layers: int = 5, patch: int = 128) -> int:
    """Parameters of the published NDT2 without a prompt (MtM, section 14.1)."""
    hidden, bins, sessions = 2 * width, 100, 40
    attention = 4 * (width * width + width)
    feed_forward = width * hidden + hidden + hidden * width + width
    layer = attention + feed_forward + 2 * 2 * width
    embedding = patch * 2 * patch + 2 * patch + 2 * patch * width + width
    places = (-(-units // patch) + bins) * width + 2 * 2 * width
    decoder = width * patch + patch
    return layers * layer + 2 * width + embedding + places + decoder + sessions * width


@pytest.mark.parametrize("units", [676, 1024])
def test_the_parameters_are_the_published_ones_and_these(units: int) -> None:
    assert published_size(768) == 10_822_016
    assert published_size(1024) == 10_823_040
    config = override(ndt2(), published_settings()).model
    info = make_info("s", units, (), bins=100)
    for prompts in (False, True):
        model = build(config.model_copy(update={"prompts": prompts}), [info])
        own = sum(p.numel() for p in model.stitchers())
        core = sum(p.numel() for p in model.parameters()) - own
        # Rotary positions have no parameters. Ours alone: the vector of hidden tokens; a prompt
        # for every scheme and none (published: 4 rows); a session's vector and biases belong to
        # the session (published: a table of 40 rows, no biases).
        ours = 512 + (512 * (len(PROMPTS) + 1) if prompts else 0)
        assert core == published_size(units) - 40 * 512 + ours
        assert own == 512 + units
        assert sum(p.numel() for p in model.decoder.parameters()) == 65_664


def published_settings() -> list[str]:
    """What the preset's docstring says to add for the published size."""
    text = " ".join((ndt2.__doc__ or "").split())
    found = re.search(r"``--set ([^`]+)``", text)
    assert found
    return found[1].split()


@pytest.mark.parametrize("info", INFOS, ids=lambda info: str(len(info.units)))
def test_predictions_have_the_shape_of_the_activity_and_no_behaviours(info: SessionInfo) -> None:
    model, batch = make(), make_batch(info)
    out = model([batch], [everything(batch)])[0]
    assert out.activity.shape == batch.activity.shape
    assert out.behaviours == {}
    assert model.latents(batch, everything(batch)).shape == (4, 12, 16)


def test_behaviours_of_the_sessions_are_known_but_not_predicted() -> None:
    info = make_info("s", 6, BEHAVIOURS)
    model, batch = make([info]), make_batch(info)
    assert model.behaviours == BEHAVIOURS
    assert model([batch], [everything(batch)])[0].behaviours == {}


def test_without_patches_it_is_the_formula_of_the_paper() -> None:
    """One token per bin, no blocks: embedding, norm and decoder spelt out."""
    model, batch = make([INFOS[1]], prompts=False), make_batch(INFOS[1])
    model.trunk.blocks = torch.nn.ModuleList()
    e, weights = model.embedding, dict(model.embedding.named_parameters())
    inner = batch.activity @ weights["expand.weight"].T + weights["expand.bias"]
    token = inner / (1 + inner.abs()) @ weights["project.weight"].T + weights["project.bias"]
    token = token + e.space_norm(e.space[0]) + e.time_norm(e.time)
    expected = model.decoder(model.trunk.norm(token)) + model.offsets("b.2").bias
    torch.testing.assert_close(rates(model, batch), expected)


@pytest.mark.parametrize("name", ["causal", "forward"])
def test_causal_predictions_ignore_the_future_bit_for_bit(name: str) -> None:
    model, batch = make(), make_batch(INFOS[0])
    future = torch.arange(12)[:, None] >= 7
    other = replace(batch, activity=torch.where(future, batch.activity + 3, batch.activity))
    prompt = asked(*[name] * 4)
    plain, changed = rates(model, batch, prompt=prompt), rates(model, other, prompt=prompt)
    assert torch.equal(plain[:, :7], changed[:, :7])
    assert not torch.equal(plain[:, 7], changed[:, 7])
    ahead = asked(*["neuron"] * 4)
    assert not torch.equal(
        rates(model, batch, prompt=ahead)[:, :7], rates(model, other, prompt=ahead)[:, :7]
    )
    hidden = everything(batch) | {NEURAL: (~future).expand(4, 12, 1)}
    assert torch.equal(rates(model, batch, hidden, prompt)[:, :7], plain[:, :7])


def test_causal_predictions_use_all_of_the_past() -> None:
    model, batch = make(), make_batch(INFOS[0], windows=1)
    batch.activity.requires_grad_()
    rates(model, batch, prompt=asked("causal"))[0, 6].sum().backward()
    used = batch.activity.grad[0].abs() > 0
    assert used[:7].all()
    assert not used[7:].any()


def test_samples_with_different_prompts_do_not_mix() -> None:
    model, batch = make(), make_batch(INFOS[0], windows=5)
    batch.valid[2, 9:] = False
    prompt = asked("causal", "neuron", "forward", "inter_region", "causal")
    prompt[3] = -1
    together = rates(model, batch, prompt=prompt)
    for row in range(5):
        one = replace(
            batch,
            activity=batch.activity[row : row + 1],
            valid=batch.valid[row : row + 1],
            windows=batch.windows[row : row + 1],
        )
        alone = rates(model, one, prompt=prompt[row : row + 1])
        valid = batch.valid[row]
        torch.testing.assert_close(alone[0, valid], together[row, valid], atol=1e-5, rtol=1e-5)


def test_every_prompt_asks_something_else() -> None:
    model, batch = make(), make_batch(INFOS[0], windows=1)
    answers = [rates(model, batch, prompt=asked(name)) for name in PROMPTS]
    answers.append(rates(model, batch, prompt=torch.tensor([-1])))
    assert torch.equal(answers[-1], rates(model, batch))
    for index, one in enumerate(answers):
        assert not any(torch.equal(one, other) for other in answers[:index])


@pytest.mark.parametrize("scheme", ["temporal", "neuron", "causal", "random", "intra_region"])
def test_hidden_values_do_not_change_a_single_bit_of_the_output(scheme: str) -> None:
    model, batch = make(), make_batch(INFOS[0])
    regions = torch.arange(10) % 3
    source = Draw(generator=torch.Generator().manual_seed(1), regions=regions)
    masks = draw(batch, {scheme: 1.0}, source)
    seen = masks.visible[NEURAL]
    assert not seen.all()
    other = replace(batch, activity=torch.where(seen, batch.activity, batch.activity + 3))
    plain = rates(model, batch, masks.visible, masks.prompt)
    assert torch.equal(plain, rates(model, other, masks.visible, masks.prompt))
    shown = rates(model, other, everything(batch), masks.prompt)
    assert not torch.equal(plain, shown)


def test_a_mask_of_whole_units_may_leave_out_the_bins() -> None:
    model, batch = make(), make_batch(INFOS[0])
    units = torch.rand(4, 1, 10, generator=torch.Generator().manual_seed(0)) < 0.5
    spelt_out = units.expand(4, 12, 10)
    assert torch.equal(
        rates(model, batch, {NEURAL: units}), rates(model, batch, {NEURAL: spelt_out})
    )


def test_padding_bins_do_not_influence_valid_ones() -> None:
    model, batch = make(), make_batch(INFOS[0], windows=2)
    batch.valid[1, 8:] = False
    batch.activity[1, 8:] = 0
    short = replace(
        batch,
        activity=batch.activity[1:, :8],
        valid=batch.valid[1:, :8],
        windows=batch.windows[1:],
    )
    for name in ("neuron", "causal"):
        padded = rates(model, batch, prompt=asked(name, name))[1, :8]
        alone = rates(model, short, prompt=asked(name))[0]
        torch.testing.assert_close(padded, alone, atol=1e-5, rtol=1e-5)


def test_permuting_whole_patches_with_their_places_permutes_the_rates() -> None:
    info = make_info("s", 12, ())
    model, batch = make([info]), make_batch(info)
    plain = rates(model, batch)
    order = torch.tensor([2, 0, 1])
    units = (order[:, None] * PATCH + torch.arange(PATCH)).flatten()
    moved = replace(batch, activity=batch.activity[..., units])
    with torch.no_grad():
        model.offsets("s").bias.copy_(model.offsets("s").bias[units].clone())
        assert not torch.allclose(rates(model, moved), plain[..., units], atol=1e-3)
        model.embedding.space.copy_(model.embedding.space[order].clone())
    torch.testing.assert_close(rates(model, moved), plain[..., units], atol=1e-5, rtol=1e-5)


def test_sessions_of_equal_size_keep_their_own_biases_and_vectors() -> None:
    model, batch = make(), make_batch(INFOS[0])
    twin = replace(batch, session="c")
    before, other = rates(model, batch), rates(model, twin)
    with torch.no_grad():
        model.offsets("c").bias.add_(torch.arange(10.0))
        assert torch.equal(rates(model, batch), before)
        torch.testing.assert_close(rates(model, twin), other + torch.arange(10.0))
        model.session_vectors[module_key("c")].add_(torch.randn(16))
        assert torch.equal(rates(model, batch), before)
        assert not torch.allclose(rates(model, twin), other + torch.arange(10.0))


def test_a_mixed_batch_equals_its_sessions_one_by_one() -> None:
    model = make()
    batches = [
        make_batch(i, windows=n, bins=b, seed=n)
        for i, n, b in zip(INFOS, (3, 1, 2), (12, 9, 12), strict=True)
    ]
    seen = [everything(b) for b in batches]
    prompts = [asked(*["causal"] * 3), None, asked("neuron", "forward")]
    together = model(batches, seen, prompts)
    for batch, visible, prompt, joint in zip(batches, seen, prompts, together, strict=True):
        assert torch.equal(rates(model, batch, visible, prompt), joint.activity)


def test_one_gradient_step_lowers_the_loss_and_reaches_every_parameter() -> None:
    torch.manual_seed(0)
    model = build(small(dropout=0.0), INFOS[:1])
    batch = make_batch(INFOS[0], windows=16)
    source = Draw(generator=torch.Generator().manual_seed(0), regions=torch.arange(10) % 2)
    masks = draw(batch, {"random": 1.0, "causal": 1.0}, source)

    def loss() -> torch.Tensor:
        out = model([batch], [masks.visible], [masks.prompt])[0]
        scales = model.scales("a/1")
        (found,) = modality_losses(out, batch, masks, (), scales, Config().loss).values()
        return found

    before = loss()
    before.backward()
    assert not {name for name, p in model.named_parameters() if p.grad is None}
    torch.optim.SGD(model.parameters(), lr=0.01).step()
    assert loss() < before


def test_latents_are_the_mean_over_patches_of_what_is_read_out() -> None:
    info = make_info("s", 12, ())
    model, batch = make([info]), make_batch(info)
    mean = (rates(model, batch) - model.offsets("s").bias).unflatten(-1, (3, PATCH)).mean(2)
    read = model.decoder(model.latents(batch, everything(batch)))
    torch.testing.assert_close(read, mean, atol=1e-5, rtol=1e-5)


def test_units_of_the_same_channel_differ_in_patch_and_bias() -> None:
    model = make()
    found = model.unit_embeddings("a/1")
    assert found.shape == (10, 16 + 16 + 1)
    assert torch.equal(found[1, :16], found[5, :16])
    assert not torch.equal(found[1, 16:32], found[5, 16:32])
    assert torch.equal(found[:, -1], model.offsets("a/1").bias)


def record(folder: Path, **activity: np.ndarray) -> Session:
    split = ["train"] * 30 + ["valid"] * 5 + ["test"] * 5
    recording = from_arrays(
        session_id="s",
        **activity,
        bin_size_s=0.02,
        behaviours={"speed": np.zeros((40, 20))},
        split=split,
    )
    save(recording, folder / "s.h5")
    return open_sessions(folder, DataConfig())[0]


def test_log_rates_start_near_the_mean_training_rate(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    rate = np.array([0.05, 0.3, 1.0, 2.0, 0.0])
    counts = generator.poisson(rate, (40, 20, 5))
    counts[30:, :, 4] = 9  # silent where it is trained
    session = record(tmp_path, counts=counts)
    torch.manual_seed(0)
    model = build(small(), [session.info])
    set_up_session(model, session)
    mean = np.maximum(counts[:30].mean((0, 1)), 0.5 / (30 * 20))
    np.testing.assert_allclose(model.offsets("s").bias.detach(), np.log(mean), atol=1e-5)
    np.testing.assert_allclose(model.scales("s").activity, mean, rtol=1e-5)
    batch = session.batch(session.indices("train"))
    start = rates(model.eval(), batch).detach().mean((0, 1))
    np.testing.assert_allclose(start, np.log(mean), atol=0.5)


def test_traces_are_read_and_predicted_in_their_own_units(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    traces = 5.0 + np.array([1.0, 10.0, 100.0]) * generator.normal(size=(40, 20, 3))
    session = record(tmp_path, traces=traces)
    model = make([session.info])
    set_up_session(model, session)
    deviation = traces[:30].std((0, 1))
    np.testing.assert_allclose(model.scales("s").activity, deviation, rtol=1e-4)
    batch = session.batch(session.indices("train"))
    plain = rates(model, batch)
    offsets = model.offsets("s")
    unit = replace(batch, activity=offsets.standardise(batch.activity))
    assert unit.activity.std() == pytest.approx(1.0, abs=0.05)
    scale, centre = offsets.scale.clone(), offsets.centre.clone()
    offsets.scale.fill_(1.0)
    offsets.centre.fill_(0.0)
    torch.testing.assert_close(rates(model, unit) * scale + centre, plain, rtol=1e-4, atol=1e-3)


def test_a_new_session_with_more_patches_keeps_the_places_that_are_known() -> None:
    source = make()
    larger, shorter = make_info("new", 18, (), bins=9), make_info("few", 3, (), bins=12)
    for info, patches in ((larger, 5), (shorter, 1)):
        torch.manual_seed(1)
        target = build(small(), [info])
        fresh = target.embedding.space.detach().clone()
        tables = transferred_tables(source, target)
        known = source.embedding.space[:patches]
        assert torch.equal(tables["embedding.space"][: len(known)], known)
        assert torch.equal(tables["embedding.space"][len(known) :], fresh[len(known) :])
        assert torch.equal(tables["embedding.time"], source.embedding.time[: info.max_bins])
        own = {id(p) for p in target.stitchers()}
        given = dict(source.named_parameters()) | tables
        for name, parameter in target.named_parameters():
            assert id(parameter) in own or given[name].shape == parameter.shape


def test_a_session_may_join_a_model_that_exists() -> None:
    model = make()
    before = rates(model, make_batch(INFOS[0]))
    info = make_info("new", 30, ())
    model.add_session(info)
    assert rates(model, make_batch(info)).shape == (4, 12, 30)
    assert torch.equal(rates(model, make_batch(INFOS[0])), before)
    assert any(p is model.session_vectors[module_key("new")] for p in model.stitchers())


def test_what_does_not_fit_is_said_with_a_remedy() -> None:
    model = make()
    longer = make_info("new", 4, (), bins=13)
    for act in (
        lambda: model.add_session(longer),
        lambda: rates(model, make_batch(INFOS[0], bins=13)),
        lambda: transferred_tables(model, build(small(), [longer])),
    ):
        with pytest.raises(UserError, match=r"13 bins.* built for 12; shorten"):
            act()
    with pytest.raises(UserError, match="unknown session 'b'; .*b.2"):
        model.offsets("b")
    for change in ({"behaviours": True, "prompts": False}, {"inputs": "behaviours"}):
        with pytest.raises(UserError, match=r"activity only; set model\.behaviours=false"):
            build(small(**change), INFOS)


def test_the_preset_builds_this_model() -> None:
    config = PRESETS["ndt2"]()
    assert isinstance(build(config.model, INFOS), Ndt2)
    assert set(config.masking.schemes) == set(PROMPTS[:4])
