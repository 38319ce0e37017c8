from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from worlds import BEHAVIOURS, make_batch, make_info

from neuroduet.config import Config, ModelConfig, override
from neuroduet.data.statistics import Statistics
from neuroduet.errors import UserError
from neuroduet.losses import modality_losses
from neuroduet.masking import hide, to_masks
from neuroduet.metrics import r2
from neuroduet.models import build
from neuroduet.models.poyo import END, SPIKE, START, Poyo, events
from neuroduet.nn.stitch import module_key
from neuroduet.presets import PRESETS
from neuroduet.simulate import simulate
from neuroduet.tasks.run import evaluate
from neuroduet.training.finetune import copy_core, finetune
from neuroduet.training.fit import train
from neuroduet.training.runs import load_run, save_model
from neuroduet.training.state import MEAN
from neuroduet.types import NEURAL, Batch, Behaviour, Masks, Prediction

INFOS = [make_info("a/1", 7), make_info("b.2", 4, BEHAVIOURS[:4])]
SMALL = ModelConfig(name="poyo", width=16, layers=1, heads=2, unit_dropout=0.3)


def make(*infos: object) -> Poyo:
    """A model in evaluation mode whose vectors are far enough from zero to matter."""
    torch.manual_seed(0)
    model = build(SMALL, list(infos) or INFOS).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.2 * torch.randn_like(p))
    return model


def seen(batch: Batch, hidden: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
    """What decoding may see: no behaviour, and all activity but the hidden one."""
    masks = hide(batch, dict.fromkeys(batch.behaviours, True))
    return to_masks(batch, masks if hidden is None else masks | {NEURAL: hidden}).visible


def same(one: Prediction, other: Prediction) -> bool:
    return one.behaviours.keys() == other.behaviours.keys() and all(
        torch.equal(x, other.behaviours[name]) for name, x in one.behaviours.items()
    )


@given(seed=st.integers(0, 10_000), windows=st.integers(1, 4), units=st.integers(1, 5))
def test_events_are_exactly_the_spikes_that_may_be_seen(
    seed: int, windows: int, units: int
) -> None:
    g = torch.Generator().manual_seed(seed)
    counts = torch.poisson(torch.full((windows, 6, units), 0.8), generator=g)
    may = torch.rand(windows, 6, units, generator=g) < 0.7
    bins = torch.randint(1, 7, (windows,), generator=g)
    found = events(counts, may, bins, 0.05)
    for w in range(windows):
        filled, kinds = found.filled[w], found.kinds[w]
        again = torch.zeros(6, units)
        for unit, time in zip(
            found.units[w][filled & (kinds == SPIKE)],
            found.times[w][filled & (kinds == SPIKE)],
            strict=True,
        ):
            bin_index = round(float(time) / 0.05 - 0.5)
            assert float(time) == pytest.approx((bin_index + 0.5) * 0.05)
            again[bin_index, unit] += 1
        assert torch.equal(again, counts[w] * may[w])
        present = may[w].any(0).nonzero()[:, 0]
        assert torch.equal(found.units[w][filled & (kinds == START)], present)
        assert torch.equal(found.units[w][filled & (kinds == END)], present)
        assert not found.times[w][kinds == START].any()
        ends = found.times[w][kinds == END]
        torch.testing.assert_close(ends, torch.full_like(ends, 0.05 * int(bins[w])))
    table = torch.randn(units, 3, generator=g)
    vectors = found.vectors(table)
    assert torch.equal(vectors[found.filled], table[found.units[found.filled]])
    assert not vectors[~found.filled].any()
    assert found.read.any(1).all()


def test_a_bin_that_was_not_recorded_is_like_one_that_is_hidden() -> None:
    model, batch = make(), make_batch(INFOS[0])
    hidden = torch.zeros(4, 12, 1, dtype=torch.bool)
    hidden[:, 4:7] = True
    gap = replace(batch, valid=batch.valid & ~hidden[..., 0])
    one, other = model([batch], [seen(batch, hidden)])[0], model([gap], [seen(gap)])[0]
    for name in ("wheel", "paw", "state"):
        assert torch.equal(one.behaviours[name], other.behaviours[name])


def test_outputs_are_those_of_the_package_on_the_same_spikes() -> None:
    # The package's own tables of words, tokeniser and collation, window by window.
    from torch_brain.batching import collate
    from torch_brain.models import POYO

    info = make_info("a/1", 7, bins=25)
    model, batch = make(info), make_batch(info, bins=25)
    stock = POYO(
        sequence_length=0.5,
        latent_step=0.125,
        num_latents_per_step=8,
        dim_out=9,
        dim=16,
        depth=1,
        dim_head=64,
        cross_heads=model.core.enc_atn.heads,
        self_heads=2,
    ).eval()
    stock.unit_emb.initialize_vocab(list(info.units))
    stock.session_emb.initialize_vocab(["a/1"])
    weights = dict(stock.named_parameters())
    with torch.no_grad():
        for name, p in model.core.named_parameters():
            weights[name].copy_(p)
        weights["unit_emb.weight"][1:] = model.units[module_key("a/1")]
        weights["session_emb.weight"][1] = model.session_vectors[module_key("a/1")]
    # The fastest of the package's rotations (0.1 ms) turns a last digit of time into 4e-3 rad.
    centres = (torch.arange(25) + 0.5) * 0.02
    tokens = []
    for counts in batch.activity.int().numpy():
        bins, units = (x.repeat(counts[counts > 0]) for x in counts.nonzero())
        recording = SimpleNamespace(
            units=SimpleNamespace(id=np.array(info.units)),
            spikes=SimpleNamespace(unit_index=units, timestamps=centres.numpy()[bins]),
            session=SimpleNamespace(id="a/1"),
        )
        tokens.append(stock.tokenize(recording))
    inputs = collate(tokens)
    inputs["input_timestamps"] = inputs["input_timestamps"].float()
    inputs["latent_timestamps"] = inputs["latent_timestamps"].float()
    times = centres.expand(4, -1)
    expected = stock(**inputs, output_timestamps=times).split([1, 2, 3, 2, 1], dim=-1)
    found = model([batch], [seen(batch)])[0].behaviours
    for behaviour, values in zip(BEHAVIOURS, expected, strict=True):
        whole = values if behaviour.per == "bin" else values.mean(1)
        torch.testing.assert_close(found[behaviour.name], whole, atol=1e-5, rtol=1e-5)


def test_channels_are_read_as_each_behaviour_asks() -> None:
    info = INFOS[0]
    model, batch = make(info), make_batch(info)
    batch.valid[0, 8:] = False
    channels = torch.randn(4, 12, 9)
    model.core.register_forward_hook(lambda *_: channels)
    numbers = {"wheel": 1, "paw": 2, "latency": 1}
    model.set_statistics(
        "a/1",
        Statistics(
            mean_activity=np.ones(7),
            scale_activity=np.ones(7),
            behaviour_mean={name: 10.0 + np.arange(n) for name, n in numbers.items()},
            behaviour_scale={name: 2.0 + np.arange(n) for name, n in numbers.items()},
            class_counts={},
        ),
    )
    out = model([batch], [seen(batch)])[0]
    assert out.activity is None
    torch.testing.assert_close(out.behaviours["wheel"], 10 + 2 * channels[..., :1])
    torch.testing.assert_close(out.behaviours["paw"][..., 1], 11 + 3 * channels[..., 2])
    assert torch.equal(out.behaviours["state"], channels[..., 3:6])
    choice, latency = out.behaviours["choice"], out.behaviours["latency"]
    torch.testing.assert_close(choice[0], channels[0, :8, 6:8].mean(0))
    torch.testing.assert_close(choice[1:], channels[1:, :, 6:8].mean(1))
    torch.testing.assert_close(latency[0], 10 + 2 * channels[0, :8, 8:].mean(0))
    assert model.scales("a/1").behaviours["paw"].tolist() == [2.0, 3.0]


def test_hidden_units_do_not_change_a_single_bit() -> None:
    model, batch = make(), make_batch(INFOS[0])
    units = torch.zeros(4, 1, 7, dtype=torch.bool)
    units[..., [1, 4]] = True
    other = replace(batch, activity=batch.activity + 5 * units)
    visible = seen(batch, units)
    plain = model([batch], [visible])[0]
    assert same(plain, model([other], [visible])[0])
    # Not even their number of tokens is told: vectors of hidden units are not read.
    with torch.no_grad():
        model.units[module_key("a/1")][[1, 4]] += 1.0
    assert same(plain, model([batch], [visible])[0])
    assert not same(plain, model([batch], [seen(batch)])[0])


def test_behaviours_are_never_read() -> None:
    model, batch = make(), make_batch(INFOS[0])
    other = replace(
        batch, behaviours={name: torch.zeros_like(x) for name, x in batch.behaviours.items()}
    )
    assert same(model([batch], [seen(batch)])[0], model([other], [seen(other)])[0])


def test_padded_bins_and_the_rest_of_the_batch_do_not_matter() -> None:
    model, batch = make(), make_batch(INFOS[0])
    batch.valid[1, 8:] = False
    batch.activity[1, 8:] = 0.0
    together = model([batch], [seen(batch)])[0].behaviours
    batch.activity[1, 8:] = 3.0
    careless = seen(batch) | {NEURAL: torch.ones(4, 12, 1, dtype=torch.bool)}
    assert same(Prediction(activity=None, behaviours=together), model([batch], [careless])[0])
    rest = {b.name: b.per == "bin" for b in BEHAVIOURS}
    short = replace(
        batch,
        activity=batch.activity[1:2, :8],
        valid=batch.valid[1:2, :8],
        behaviours={k: x[1:2, :8] if rest[k] else x[1:2] for k, x in batch.behaviours.items()},
        observed={k: x[1:2, :8] if rest[k] else x[1:2] for k, x in batch.observed.items()},
        windows=batch.windows[1:2],
    )
    for name, alone in model([short], [seen(short)])[0].behaviours.items():
        whole = together[name][1, :8] if rest[name] else together[name][1]
        torch.testing.assert_close(alone[0], whole, atol=1e-5, rtol=1e-5)


def test_a_window_of_which_nothing_is_seen_still_has_an_answer() -> None:
    model, batch = make(), make_batch(INFOS[0])
    hidden = torch.zeros(4, 12, 1, dtype=torch.bool)
    hidden[2] = True
    some, none = seen(batch, hidden), seen(batch, torch.ones_like(hidden))
    read = []
    model.core.register_forward_pre_hook(
        lambda _, __, inputs: read.append(inputs["input_mask"]), with_kwargs=True
    )
    out, blank = model([batch, batch], [some, none])
    # Some attention kernels answer a question to nobody with nan.
    assert all(mask.any(1).all() for mask in read)
    assert len(read) == 2
    for name, values in out.behaviours.items():
        assert values.isfinite().all()
        torch.testing.assert_close(values[2], blank.behaviours[name][2])
        assert not torch.equal(values[0], blank.behaviours[name][0])


def test_two_sessions_share_the_core_and_nothing_else() -> None:
    model = make()
    batches = [make_batch(info) for info in INFOS]
    together = model(batches, [seen(b) for b in batches])
    assert set(together[1].behaviours) == {"wheel", "paw", "state", "choice"}
    for batch, prediction in zip(batches, together, strict=True):
        assert same(model([batch], [seen(batch)])[0], prediction)
    sum(x.square().sum() for x in together[1].behaviours.values()).backward()
    untouched = {name for name, p in model.named_parameters() if p.grad is None}
    own = module_key("a/1")
    assert untouched == {f"units.{own}", f"session_vectors.{own}"}


def test_units_are_dropped_in_training_only() -> None:
    model, batch = make(), make_batch(INFOS[0])
    assert same(model([batch], [seen(batch)])[0], model([batch], [seen(batch)])[0])
    for part in (model.core, model):
        part.train()
        model.core.eval()
        assert same(model([batch], [seen(batch)])[0], model([batch], [seen(batch)])[0]) == (
            part is model.core
        )


def test_weights_are_tensors_and_a_loaded_run_predicts_the_same(tmp_path: Path) -> None:
    model = make()
    model.set_statistics("b.2", statistics(4, wheel=(3.0, 2.0)))
    assert all(isinstance(x, torch.Tensor) for x in model.state_dict().values())
    best = {MEAN: {name: p.detach().clone() for name, p in model.named_parameters()}}
    save_model(tmp_path, Config(model=SMALL), model, best.items())
    loaded = load_run(tmp_path)
    for info in INFOS:
        batch = make_batch(info)
        masks = to_masks(batch, hide(batch, dict.fromkeys(batch.behaviours, True)))
        again = loaded.predict(batch, masks, "decoding")
        with torch.no_grad():
            assert same(again, model([batch], [masks.visible])[0])
        assert np.array_equal(loaded.embeddings()[info.id], model.unit_embeddings(info.id))


def test_finetuning_takes_the_core_along_and_starts_new_vectors() -> None:
    source = make()
    torch.manual_seed(1)
    target = build(SMALL, [make_info("new", 5, bins=30)], source.behaviours)
    before = target.units[module_key("new")].clone()
    copy_core(source, target)
    given = source.core.state_dict()
    assert all(torch.equal(x, given[name]) for name, x in target.core.state_dict().items())
    assert torch.equal(before, target.units[module_key("new")])
    assert {tuple(p.shape) for p in target.stitchers()} == {(5, 16), (16,)}


def planted(windows: int, seed: int) -> Batch:
    """Windows whose speed is what unit 0 fires more than unit 3, smoothed over time."""
    batch = make_batch(PLANTED, windows=windows, bins=20, seed=seed)
    g = torch.Generator().manual_seed(seed)
    level = torch.rand(windows, 1, generator=g) + torch.linspace(0, 1, 20)
    batch.activity[..., 0] = torch.poisson(1.5 * level, generator=g)
    batch.activity[..., 3] = torch.poisson(1.5 * (2 - level), generator=g)
    difference = batch.activity[..., 0] - batch.activity[..., 3]
    speed = torch.nn.functional.avg_pool1d(difference[:, None], 9, 1, 4)[:, 0]
    batch.behaviours["speed"] = 4.0 + 3.0 * speed[..., None]
    return batch


SPEED = Behaviour(name="speed", source="x.speed", kind="continuous", per="bin", size=1)
PLANTED = make_info("planted", 6, (SPEED,), bins=20)


def statistics(units: int, **behaviours: tuple[float, float]) -> Statistics:
    return Statistics(
        mean_activity=np.ones(units),
        scale_activity=np.ones(units),
        behaviour_mean={name: np.array([mean]) for name, (mean, _) in behaviours.items()},
        behaviour_scale={name: np.array([scale]) for name, (_, scale) in behaviours.items()},
        class_counts={},
    )


def test_a_behaviour_that_follows_two_units_is_found() -> None:
    torch.manual_seed(0)
    config = ModelConfig(
        name="poyo", width=32, layers=1, heads=2, dropout=0, readout_dropout=0, unit_dropout=0
    )
    model = build(config, [PLANTED])
    known, fresh = planted(512, 1), planted(64, 2)
    speed = known.behaviours["speed"]
    moments = float(speed.mean()), float(speed.std())
    model.set_statistics("planted", statistics(6, speed=moments))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(100):
        chosen = torch.randint(512, (16,), generator=generator)
        batch = take(known, chosen)
        masks = to_masks(batch, hide(batch, {"speed": True}))
        losses = losses_of(model, batch, masks)
        optimizer.zero_grad()
        losses["speed"].backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        found = model([fresh], [seen(fresh)])[0].behaviours["speed"]
    score = float(r2(fresh.behaviours["speed"].numpy().ravel(), found.numpy().ravel()))
    assert score > 0.6


def take(batch: Batch, chosen: torch.Tensor) -> Batch:
    return replace(
        batch,
        activity=batch.activity[chosen],
        valid=batch.valid[chosen],
        behaviours={name: x[chosen] for name, x in batch.behaviours.items()},
        observed={name: x[chosen] for name, x in batch.observed.items()},
        windows=batch.windows[chosen],
    )


def losses_of(model: Poyo, batch: Batch, masks: Masks) -> dict[str, torch.Tensor]:
    prediction = model([batch], [masks.visible])[0]
    scales = model.scales(batch.session)
    return modality_losses(prediction, batch, masks, model.behaviours, scales, Config().loss)


def test_what_it_cannot_read_or_decode_is_a_user_error() -> None:
    with pytest.raises(UserError, match="events only"):
        build(SMALL, [make_info("t", neural="traces")])
    with pytest.raises(UserError, match="no behaviour to decode"):
        build(SMALL, [make_info("t", behaviours=())])
    with pytest.raises(UserError, match="no behaviour to decode"):
        build(SMALL.model_copy(update={"inputs": "behaviours"}), INFOS)
    with pytest.raises(UserError, match="unknown behaviour 'latency'"):
        build(SMALL, INFOS[:1], BEHAVIOURS[:4])
    model, stranger = make(), make_batch(make_info("c", 7))
    with pytest.raises(UserError, match="unknown session"):
        model([stranger], [seen(stranger)])


def test_only_who_uses_the_model_pays_for_its_package() -> None:
    heavy = ("ray", "torch_brain.models")
    code = f"import sys, neuroduet.models; assert not [m for m in {heavy} if m in sys.modules]"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_run_is_trained_scored_and_finetuned_like_any_other(tmp_path: Path) -> None:
    simulate(tmp_path / "data", 2, 0, "tiny")
    first, second = sorted(path.stem for path in (tmp_path / "data").iterdir())
    settings = ["model.width=16", "model.layers=1", "training.max_steps=2", "training.device=cpu"]
    config = override(PRESETS["poyo"](), settings)
    run = train(config, tmp_path / "data", tmp_path / "run", [first])
    table = evaluate(run, tmp_path / "data", [first], ["encoding", "decoding"])
    assert {"wheel", "whisker", "choice", "block"} == set(table["target"])
    assert set(table["task"]) == {"decoding"}
    assert np.isfinite(table["value"]).all()
    tuned = finetune(run, tmp_path / "data", tmp_path / "tuned", [second])
    assert [info.id for info in load_run(tuned).sessions] == [second]
