from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest
import torch
from sklearn.metrics import balanced_accuracy_score
from torch import Tensor

from neuroduet.baselines import fit_mean_behaviour, fit_ridge, networks
from neuroduet.baselines.decoders import DecodingBaseline
from neuroduet.baselines.network_modules import Lstm
from neuroduet.baselines.networks import Target, fit_lstm, fit_mlp
from neuroduet.baselines.selection import r2_of
from neuroduet.types import NEURAL, Batch, Behaviour, Predictor, SessionInfo

FITS = {"mlp": fit_mlp, "lstm": fit_lstm}
SIZES = {"wheel": 1, "paws": 2, "choice": 2, "block": 3, "state": 2, "delay": 1}


@pytest.fixture(autouse=True, scope="module")
def _few_steps() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks, "MAX_CHECKS", 8)
        patch.setattr(networks, "PATIENCE", 3)
        patch.setattr(networks, "PARTS", (1, 2))
        yield


@pytest.fixture
def _more_steps(monkeypatch) -> None:
    monkeypatch.setattr(networks, "MAX_CHECKS", 25)


@pytest.fixture(scope="module")
def splits(session) -> list[Batch]:
    return [session.batch(session.indices(name)) for name in ("train", "valid", "test")]


@pytest.fixture(scope="module")
def decoders(session, splits) -> list[DecodingBaseline]:
    return [fit(splits[0], splits[1], session.info) for fit in FITS.values()]


@dataclass(frozen=True, kw_only=True)
class Planted:
    """A session whose one behaviour is a function of the two latents that six units follow."""

    info: SessionInfo
    train: Batch
    valid: Batch
    test: Batch


def planted(relation: Callable[[Tensor], Tensor], bins: int) -> Planted:
    generator = torch.Generator().manual_seed(5)
    time = torch.arange(bins)
    kernel = torch.exp(-0.5 * ((time[:, None] - time[None, :]) / 2.5) ** 2)
    noise = torch.randn(100, bins, 2, generator=generator)
    latents = (kernel / kernel.norm(dim=1, keepdim=True)) @ noise
    activity = latents.repeat(1, 1, 3)
    activity = activity + 0.2 * torch.randn(activity.shape, generator=generator)
    values, valid = relation(latents), torch.ones(100, bins, dtype=torch.bool)
    target = Behaviour(name="target", source="a.b", kind="continuous", per="bin", size=1)

    def batch(rows: slice) -> Batch:
        return Batch(
            session="s0",
            activity=activity[rows],
            valid=valid[rows],
            behaviours={"target": values[rows]},
            observed={"target": valid[rows]},
            windows=torch.arange(100)[rows],
        )

    return Planted(
        info=SessionInfo(
            id="s0",
            subject="mouse",
            neural="traces",
            units=tuple(f"u{n}" for n in range(6)),
            regions=None,
            behaviours=(target,),
            bin_size_s=0.02,
            max_bins=bins,
        ),
        train=batch(slice(0, 70)),
        valid=batch(slice(70, 85)),
        test=batch(slice(85, 100)),
    )


def leaky_sum(latents: Tensor) -> Tensor:
    total, sums = torch.zeros_like(latents[:, 0, :1]), []
    for bin_ in latents[..., :1].unbind(dim=1):
        total = 0.97 * total + bin_
        sums.append(total)
    return torch.stack(sums, dim=1)


def answers_of(decoder: Predictor, batch: Batch, hiding) -> dict[str, Tensor]:
    return decoder.predict(batch, hiding(batch, set(batch.behaviours)), "decoding").behaviours


def r2(decoder: Predictor, batch: Batch, hiding, name: str = "target") -> float:
    seen, found = batch.observed[name], answers_of(decoder, batch, hiding)[name]
    true = batch.behaviours[name][seen]
    return float(r2_of(true, found[seen][None], torch.ones(len(true), dtype=torch.bool)))


@pytest.mark.usefixtures("_more_steps")
def test_networks_decode_a_product_that_ridge_cannot(hiding):
    made = planted(lambda z: 3 + 10 * z[..., :1] * z[..., 1:], bins=24)
    assert r2(fit_ridge(made.train, made.valid, made.info), made.test, hiding) < 0.1
    for fit in FITS.values():
        assert r2(fit(made.train, made.valid, made.info), made.test, hiding) > 0.7


@pytest.mark.usefixtures("_more_steps")
def test_an_lstm_integrates_over_more_bins_than_lags_reach(hiding):
    made = planted(leaky_sum, bins=50)
    found = {
        name: r2(fit(made.train, made.valid, made.info), made.test, hiding)
        for name, fit in {**FITS, "ridge": fit_ridge}.items()
    }
    assert found["lstm"] > 0.85
    assert found["lstm"] > max(found["ridge"], found["mlp"]) + 0.15


def test_networks_learn_what_counts_tell_of_every_kind_of_behaviour(
    session, splits, decoders, hiding
):
    train, _, test = splits
    mean = fit_mean_behaviour(train, session.info)
    for decoder in decoders:
        for name in ("wheel", "delay"):
            assert r2(decoder, test, hiding, name) > r2(mean, test, hiding, name) + 0.2
        for name, margin in (("choice", 0.2), ("state", 0.05)):
            seen = test.observed[name]
            found = answers_of(decoder, test, hiding)[name][seen].argmax(dim=-1)
            assert balanced_accuracy_score(test.behaviours[name][seen], found) > 0.5 + margin


def test_networks_answer_every_behaviour_of_their_session_and_nothing_else(
    splits, decoders, hiding
):
    test = splits[2]
    everything = hiding(test, {NEURAL, *SIZES})
    for name, decoder in zip(FITS, decoders, strict=True):
        assert isinstance(decoder, Predictor)
        assert decoder.name == name
        found = answers_of(decoder, test, hiding)
        shapes = {key: tuple(values.shape) for key, values in found.items()}
        assert shapes == {key: (*test.observed[key].shape, n) for key, n in SIZES.items()}
        assert all(torch.isfinite(values).all() for values in found.values())
        assert not any(values.requires_grad for values in found.values())
        one = decoder.predict(test, hiding(test, {"wheel"}), "decoding")
        assert set(one.behaviours) == {"wheel"}
        assert one.activity is None
        assert decoder.predict(test, everything, "encoding").behaviours == {}
        elsewhere = replace(test, session="s1")
        assert decoder.predict(elsewhere, everything, "decoding").behaviours == {}


@pytest.mark.parametrize("name", FITS)
def test_the_same_windows_give_the_same_network_and_leave_random_numbers_alone(
    session, splits, decoders, hiding, name
):
    torch.manual_seed(123)
    before = torch.random.get_rng_state()
    with torch.no_grad():
        again = FITS[name](splits[0], splits[1], session.info)
    assert torch.equal(torch.random.get_rng_state(), before)
    (first,) = (decoder for decoder in decoders if decoder.name == name)
    found, expected = (answers_of(d, splits[2], hiding) for d in (again, first))
    assert all(torch.equal(found[key], expected[key]) for key in SIZES)


@pytest.mark.parametrize("name", FITS)
def test_a_session_may_have_classes_only(session, splits, hiding, name):
    kept = tuple(b for b in session.info.behaviours if b.name in ("choice", "block"))
    info = replace(session.info, behaviours=kept)
    decoder = FITS[name](splits[0], splits[1], info)
    assert set(answers_of(decoder, splits[2], hiding)) == {"choice", "block"}
    without = replace(info, behaviours=())
    assert FITS[name](splits[0], splits[1], without).read_outs == {}


@pytest.mark.parametrize("name", FITS)
def test_values_that_were_not_observed_do_not_count(session, splits, hiding, name):
    """Wheel missing in places, delay in all training windows, choice in all validation windows."""

    def gaps(batch: Batch, wheel: float) -> Batch:
        observed = {key: mask.clone() for key, mask in batch.observed.items()}
        values = {key: value.clone() for key, value in batch.behaviours.items()}
        observed["wheel"][::3, 4:9] = False
        values["wheel"][~observed["wheel"]] = wheel
        observed["delay"][:] = False
        return replace(batch, behaviours=values, observed=observed)

    train, valid = gaps(splits[0], 0.0), gaps(splits[1], 0.0)
    valid.observed["choice"][:] = False
    decoder = FITS[name](train, valid, session.info)
    found = answers_of(decoder, splits[2], hiding)
    assert set(found) == set(SIZES) - {"delay"}
    assert all(torch.isfinite(values).all() for values in found.values())
    hits = found["choice"].argmax(dim=-1) == splits[2].behaviours["choice"]
    assert hits.float().mean() > 0.7
    odd_train, odd_valid = gaps(splits[0], 900.0), gaps(splits[1], -900.0)
    odd_valid.observed["choice"][:] = False
    other = answers_of(FITS[name](odd_train, odd_valid, session.info), splits[2], hiding)
    assert all(torch.equal(found[key], other[key]) for key in found)


def test_hidden_activity_does_not_matter_and_visible_activity_does(splits, decoders, hiding):
    test = splits[2]
    masks = hiding(test, set(SIZES))
    half = torch.arange(test.activity.shape[2])[None, None, :] < 4
    masks = replace(masks, visible={**masks.visible, NEURAL: half.expand(len(test.valid), 1, -1)})
    hidden = replace(test, activity=torch.where(half, test.activity, test.activity + 5))
    shown = replace(test, activity=torch.where(half, test.activity + 5, test.activity))
    for decoder in decoders:
        before, after, other = (
            decoder.predict(batch, masks, "decoding").behaviours for batch in (test, hidden, shown)
        )
        for key in SIZES:
            assert torch.equal(before[key], after[key])
            assert not torch.allclose(before[key], other[key])


def test_networks_do_not_depend_on_padding_or_on_other_windows(splits, decoders, hiding):
    test = splits[2]
    shortest = int(test.valid.sum(dim=1).argmin())
    length = int(test.valid[shortest].sum())
    assert length < test.valid.shape[1]
    alone = Batch(
        session=test.session,
        activity=test.activity[[shortest], :length],
        valid=test.valid[[shortest], :length],
        behaviours={
            key: value[[shortest], :length] if test.observed[key].ndim == 2 else value[[shortest]]
            for key, value in test.behaviours.items()
        },
        observed={
            key: value[[shortest], :length] if value.ndim == 2 else value[[shortest]]
            for key, value in test.observed.items()
        },
        windows=test.windows[[shortest]],
    )
    padded = replace(test, activity=torch.where(test.valid[..., None], test.activity, 50.0))
    for decoder in decoders:
        whole, single = answers_of(decoder, padded, hiding), answers_of(decoder, alone, hiding)
        for key, value in single.items():
            expected = whole[key][[shortest]]
            expected = expected[:, :length] if test.observed[key].ndim == 2 else expected
            torch.testing.assert_close(value, expected, atol=1e-4, rtol=1e-4)


def test_a_pooled_lstm_sees_every_bin_of_a_trial():
    torch.manual_seed(0)
    network = Lstm(features=3, outputs=1, dropout=0.5, pooled=True).eval()
    inputs, valid = torch.randn(2, 40, 3, requires_grad=True), torch.ones(2, 40, dtype=torch.bool)
    network(inputs, valid).sum().backward()
    assert inputs.grad is not None
    slopes = inputs.grad.abs().sum(dim=(0, 2))
    assert slopes.min() > 0.1 * slopes.max()


def test_the_loss_counts_all_classes_alike_and_continuous_values_in_deviations():
    info = Behaviour(name="a", source="a.a", kind="categorical", per="trial", size=3)
    labels = torch.tensor([0, 0, 0, 2])
    batch = Batch(
        session="s0",
        activity=torch.zeros(4, 1, 1),
        valid=torch.ones(4, 1, dtype=torch.bool),
        behaviours={"a": labels},
        observed={"a": torch.ones(4, dtype=torch.bool)},
        windows=torch.arange(4),
    )
    target = networks._target(batch, info, slice(0, 3))
    torch.testing.assert_close(target.weights, torch.tensor([4 / 6, 0.0, 4 / 2]))
    flat = target.loss(torch.zeros(4, 3), labels, torch.ones(4, dtype=torch.bool))
    assert float(flat) == pytest.approx(0.6931, abs=1e-4)  # two classes in training labels
    unseen = torch.tensor([True, True, True, False])
    certain = torch.tensor([[20.0, 0.0, 0.0]]).expand(4, 3)
    assert float(target.loss(certain, labels, unseen)) == pytest.approx(0.0, abs=1e-6)
    assert set(target.values(torch.randn(50, 3)).argmax(dim=1).tolist()) == {0, 2}
    centre, scale = torch.tensor([5.0]), torch.tensor([2.0])
    wheel = Target(
        behaviour=Behaviour(name="w", source="a.w", kind="continuous", per="bin", size=1),
        columns=slice(1, 2),
        centre=centre,
        scale=scale,
        weights=torch.ones(1),
    )
    outputs, true = torch.tensor([[[9.0, 1.0], [9.0, 0.0]]]), torch.tensor([[[9.0], [1.0]]])
    torch.testing.assert_close(wheel.values(outputs), torch.tensor([[[7.0], [5.0]]]))
    seen = torch.ones(1, 2, dtype=torch.bool)
    assert float(wheel.loss(outputs, true, seen)) == pytest.approx((1 + 4) / 2)
