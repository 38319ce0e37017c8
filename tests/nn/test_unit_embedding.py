"""Stitchers made from one vector per unit do all that stitchers with rows of their own do."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from worlds import make_batch, make_info

from neuroduet.config import Config, ModelConfig, override
from neuroduet.data.arrays import from_arrays
from neuroduet.data.recording import save
from neuroduet.data.session import open_sessions
from neuroduet.losses import modality_losses
from neuroduet.masking import Draw, draw, hide, to_masks
from neuroduet.models import build, set_up_session
from neuroduet.models.questions import answer_units
from neuroduet.models.transfer import adapt_stitchers
from neuroduet.models.translator import Translator
from neuroduet.nn.stitch import InputStitch
from neuroduet.nn.unit_embedding import UnitEmbedding
from neuroduet.training.files import read_tensors
from neuroduet.training.finetune import copy_core, finetune
from neuroduet.training.fit import train
from neuroduet.training.runs import Ensemble, load_run
from neuroduet.types import NEURAL, UnitQuestions

SIZES = {"width": 16, "layers": 1, "heads": 2, "feed_forward": 16}
UNITS = 7


def model_of(neural: str = "spikes", **changes: object) -> Translator:
    torch.manual_seed(0)
    sizes = SIZES | {"input_rank": 6, "output_rank": 5, "unit_embedding": 4} | changes
    model = build(ModelConfig(**sizes), [make_info(units=UNITS, neural=neural)]).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn_like(p))
        for stitch in model.outputs.values():
            stitch.scale.copy_(0.5 + torch.rand(UNITS))
    return model


def with_own_rows(model: Translator, neural: str = "spikes") -> Translator:
    """The same model, its products of vectors and matrices written out as rows of its own."""
    plain = model_of(neural, unit_embedding=None)
    (session,) = model.session_infos
    state = {k: x for k, x in model.state_dict().items() if not k.startswith("units.")}
    stitch = model.output_stitch(session)
    vectors, units = model.units.vectors["s_lab_2f_mouse_2e_1"], model.units
    noise = stitch.scale.sqrt() if neural == "spikes" else torch.ones(UNITS)
    state["inputs.s_lab_2f_mouse_2e_1.weight"] = vectors @ units.to_input
    state["outputs.s_lab_2f_mouse_2e_1.loadings"] = vectors @ units.to_output / noise[:, None]
    plain.load_state_dict(state)
    return plain.eval()


@torch.no_grad()
@pytest.mark.parametrize("neural", ["spikes", "traces"])
def test_the_products_stand_for_rows(neural: str) -> None:
    model, batch = model_of(neural), make_batch(make_info(units=UNITS, neural=neural))
    plain = with_own_rows(model, neural)
    source = Draw(generator=torch.Generator().manual_seed(0), ratio=0.3, unit_ratio=0.3)
    visible = draw(batch, {"neuron": 1.0}, source).visible
    one, other = (m([batch], [visible])[0] for m in (model, plain))
    torch.testing.assert_close(one.activity, other.activity)
    torch.testing.assert_close(one.behaviours["wheel"], other.behaviours["wheel"])
    (session,) = model.session_infos
    torch.testing.assert_close(model.unit_embeddings(session), plain.unit_embeddings(session))


@torch.no_grad()
@pytest.mark.parametrize("neural", ["spikes", "traces"])
def test_leaving_units_out_the_short_way_equals_hiding_them_one_by_one(neural: str) -> None:
    model, batch = model_of(neural), make_batch(make_info(units=UNITS, neural=neural))
    visible = to_masks(batch, hide(batch, dict.fromkeys(batch.behaviours, True))).visible
    each = torch.eye(UNITS, dtype=torch.bool)
    short = answer_units(model, batch, visible, UnitQuestions(hidden=each, scored=each))
    for unit in range(UNITS):
        seen = {**visible, NEURAL: visible[NEURAL] & ~each[unit]}
        slow = model([batch], [seen])[0].activity[:, :, unit]
        torch.testing.assert_close(short[:, :, unit], slow, atol=1e-5, rtol=0)


@torch.no_grad()
def test_permuting_units_and_their_vectors_permutes_predictions() -> None:
    info = make_info(units=UNITS)
    model, batch = model_of(), make_batch(info)
    everything = to_masks(batch, hide(batch, {})).visible
    before, order = model([batch], [everything])[0], torch.randperm(UNITS)
    key = "s_lab_2f_mouse_2e_1"
    for rows in (
        model.units.vectors[key],
        model.outputs[key].bias,
        model.outputs[key].scale,
        model.inputs[key].centre,
    ):
        rows.copy_(rows[order].clone())
    batch.activity[:] = batch.activity[:, :, order].clone()
    after = model([batch], [everything])[0]
    torch.testing.assert_close(after.activity, before.activity[:, :, order])
    torch.testing.assert_close(after.behaviours["wheel"], before.behaviours["wheel"])


@pytest.mark.parametrize("behaviours", [True, False])
def test_every_parameter_gets_a_gradient(behaviours: bool) -> None:
    info = make_info(units=UNITS)
    torch.manual_seed(0)
    config = Config(model=ModelConfig(**SIZES, unit_embedding=8, behaviours=behaviours))
    model, batch = build(config.model, [info]), make_batch(info)
    source = Draw(generator=torch.Generator().manual_seed(0), ratio=0.3, unit_ratio=0.3)
    for _ in range(3):  # the way past the trunk starts at zero, and hides what lies behind it
        masks = draw(batch, {"neuron": 1.0, "random_token": 1.0}, source)
        predicted = model([batch], [masks.visible])[0]
        scales = model.scales(info.id)
        losses = modality_losses(predicted, batch, masks, model.behaviours, scales, config.loss)
        torch.stack(list(losses.values())).sum().backward()
        with torch.no_grad():
            for p in model.parameters():
                p.sub_(0.01 * p.grad)
    for name in ("to_input", "to_output", "vectors.s_lab_2f_mouse_2e_1"):
        gradient = dict(model.units.named_parameters())[name].grad
        assert (gradient != 0).all(dim=-1).any(), name
        assert (gradient != 0).any(dim=-1).all(), name


def test_a_session_has_its_vectors_and_biases_and_the_core_the_matrices() -> None:
    info = make_info(units=UNITS)
    config = ModelConfig(**SIZES, unit_embedding=4)
    one, both = build(config, [info]), build(config, [info, make_info("b", 9)])
    own, core = (
        {n for n, p in one.named_parameters() if (p in set(one.stitchers())) == mine}
        for mine in (True, False)
    )
    assert {"units.to_input", "units.to_output"} <= core
    key = "s_lab_2f_mouse_2e_1"
    parts = (f"units.vectors.{key}", f"inputs.{key}.log_noise", f"outputs.{key}.bias")
    assert own == {*parts, f"session_vectors.{key}"}
    added = sum(p.numel() for p in both.parameters()) - sum(p.numel() for p in one.parameters())
    assert added == 9 * (4 + 1) + 1 + SIZES["width"]


def test_rows_of_the_rank_that_vectors_allow_are_met_exactly() -> None:
    torch.manual_seed(0)
    embedding = UnitEmbedding(6, (9, 8), own=1)
    embedding.add("s", 12)
    with torch.no_grad():
        embedding.to_input.normal_()
        embedding.to_output.normal_()
    wanted, sensitivity = torch.randn(12, 6), 0.2 + torch.rand(12)
    weight = wanted @ embedding.to_input.detach()
    loadings = wanted @ embedding.to_output.detach() / sensitivity[:, None]
    embedding.fit("s", weight, loadings, sensitivity)
    torch.testing.assert_close(embedding.vectors["s"].detach(), wanted, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(embedding.weight("s").detach(), weight, atol=1e-4, rtol=1e-4)


def test_what_no_row_determines_keeps_its_start() -> None:
    embedding = UnitEmbedding(8, (3, 3), own=1)  # three entries lead nowhere yet
    embedding.add("s", 5)
    before = embedding.vectors["s"].detach().clone()
    embedding.fit("s", torch.randn(5, 3), torch.randn(5, 3), torch.ones(5))
    after = embedding.vectors["s"].detach()
    torch.testing.assert_close(after[:, 4:], before[:, 4:])
    assert not torch.isclose(after[:, :4], before[:, :4]).any()


def recordings(folder: Path, *names: str) -> Path:
    """Trials of eight bins; half of the units follow ``speed``."""
    folder.mkdir(exist_ok=True)
    for place, name in enumerate(names):
        generator = np.random.default_rng([3, place])
        speed = generator.normal(size=(40, 8)).cumsum(1)
        gains = 0.5 * generator.normal(size=10) * (np.arange(10) < 5)
        recording = from_arrays(
            session_id=name,
            counts=generator.poisson(np.exp(0.3 + (speed / 3)[..., None] * gains)),
            bin_size_s=0.05,
            behaviours={"speed": speed},
            split=["train"] * 28 + ["valid"] * 6 + ["test"] * 6,
        )
        save(recording, folder / f"{name}.h5")
    return folder


def tiny(*settings: str) -> Config:
    sizes = [f"model.{name}={value}" for name, value in SIZES.items()]
    ranks = ["model.input_rank=8", "model.output_rank=8", "model.unit_embedding=8"]
    budget = ["training.max_steps=3", "training.device=cpu", "training.learning_rate=0.01"]
    return override(Config(), [*sizes, *ranks, *budget, *settings])


def test_the_start_holds_what_rows_of_their_own_start_with(tmp_path: Path) -> None:
    sessions = open_sessions(recordings(tmp_path / "data", "a"), tiny().data)
    starts = {}
    for size in ("12", "null"):
        torch.manual_seed(0)
        model = build(tiny(f"model.unit_embedding={size}").model, [sessions[0].info])
        set_up_session(model, sessions[0])
        starts[size] = model.input_weight("a").detach(), model.loadings("a").detach()
    (weight, loadings), (full_weight, full_loadings) = starts.values()
    # Three directions that decode and three of tuning, one per lag of the speed.
    torch.testing.assert_close(weight[:, :3], full_weight[:, :3], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(loadings[:, :3], full_loadings[:, :3], atol=1e-5, rtol=1e-4)
    # What varies most is shared by both ways: its directions are met, lengths are between both.
    for found, wanted in ((weight, full_weight), (loadings, full_loadings)):
        cosines = torch.cosine_similarity(found[:, 3:].T, wanted[:, 3:].T)
        torch.testing.assert_close(cosines, torch.ones(5), atol=1e-4, rtol=0)


def test_finetuning_keeps_the_matrices_and_fits_new_vectors(tmp_path: Path) -> None:
    data = recordings(tmp_path / "data", "a", "b", "new")
    run = train(tiny(), data, tmp_path / "run", ["a", "b"])
    source = load_run(run).model
    (session,) = open_sessions(data, tiny().data, ["new"], source.behaviours)
    target = build(tiny().model, [session.info], source.behaviours)
    copy_core(source, target)
    set_up_session(target, session)
    adapt_stitchers(source, target, [session])
    assert torch.equal(target.units.to_input, source.units.to_input)
    assert torch.equal(target.units.to_output, source.units.to_output)
    assert not torch.equal(source.units.to_input, build(tiny().model, []).units.to_input)
    out = finetune(run, data, tmp_path / "new", ["new"], ["training.finetune=probe"])
    found = load_run(out).model
    assert torch.equal(found.units.to_output, source.units.to_output)
    assert not torch.equal(found.units.vectors["s_new"], target.units.vectors["s_new"])


def test_a_run_is_saved_and_loaded_whole(tmp_path: Path) -> None:
    data = recordings(tmp_path / "data", "a")
    run = train(tiny(), data, tmp_path / "run")
    kept = load_run(run).model.state_dict()
    last, _ = read_tensors(run / "checkpoints" / "last.safetensors")
    assert {"units.to_input", "units.to_output", "units.vectors.s_a"} <= kept.keys()
    own = [name for name in kept if name.startswith(("inputs.", "outputs."))]
    assert not any(name.endswith((".weight", ".loadings")) for name in own)
    for name in ("to_input", "to_output", "vectors.s_a"):
        assert f"optimizer/exp_avg/units.{name}" in last


def test_members_of_an_ensemble_are_averaged(tmp_path: Path) -> None:
    data = recordings(tmp_path / "data", "a")
    members = []
    for seed in (0, 1):
        out = tmp_path / "run" / "members" / f"{seed:02d}"
        members.append(load_run(train(tiny(f"training.seed={seed}"), data, out)))
    ensemble = Ensemble("duet", members)
    (session,) = open_sessions(data, tiny().data)
    batch = session.batch(session.indices("test"))
    masks = to_masks(batch, hide(batch, {NEURAL: True}))
    each = [member.predict(batch, masks, "encoding").activity for member in members]
    found = ensemble.predict(batch, masks, "encoding").activity
    torch.testing.assert_close(found, (each[0] + each[1]) / 2)
    assert ensemble.embeddings()["a"].shape == (10, 2 * (SIZES["width"] + 1))


def test_runs_of_before_the_setting_existed_still_load(tmp_path: Path) -> None:
    data = recordings(tmp_path / "data", "a")
    run = train(tiny("model.unit_embedding=null"), data, tmp_path / "run")
    expected = load_run(run).model.state_dict()
    path = run / "model" / "config.json"
    description = json.loads(path.read_text())
    assert description["config"]["model"].pop("unit_embedding") is None
    path.write_text(json.dumps(description))
    found = load_run(run).model
    assert found.units is None
    assert all(torch.equal(x, expected[name]) for name, x in found.state_dict().items())


@torch.no_grad()
def test_half_precision_leaves_a_covariance_of_latents() -> None:
    torch.manual_seed(0)
    units, size, rank = 100, 24, 72
    embedding = UnitEmbedding(size, (rank, rank), 1)
    embedding.to_input.normal_()
    embedding.add("s_a", units)
    embedding.vectors["s_a"].normal_()
    stitch = InputStitch(units, None, True, 0.0, False)
    with torch.autocast("cpu", torch.bfloat16):
        weight = embedding.weight("s_a")
        projected = torch.eye(rank)[None]
        covariance = stitch._posterior(projected, weight, None)[0]
    assert float(torch.linalg.eigvalsh(covariance.double()).min()) > 0
