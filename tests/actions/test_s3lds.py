"""S3LDS, SLDS and GM-DGM as a whole: sizes, batches, fits, files, planted truth."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from neuroduet.actions.frames import Frames
from neuroduet.actions.hmm.options import ARHMMOptions
from neuroduet.actions.model import silent
from neuroduet.actions.s3lds import GMDGM, S3LDS, SLDS
from neuroduet.actions.s3lds.fitting import annealed, infer, n_steps, renewal_steps
from neuroduet.actions.s3lds.network import MixtureNetwork, SwitchingNetwork
from neuroduet.actions.s3lds.options import (
    GMDGMOptions,
    LatentOptions,
    SwitchingOptions,
    published,
)
from neuroduet.actions.s3lds.posterior import class_posterior, decoded
from neuroduet.actions.s3lds.start import components, first_halves, trust_in_dynamics
from neuroduet.actions.s3lds.windows import Windows
from neuroduet.simulate.nascar import nascar
from neuroduet.types import UNLABELLED

FEATURES, CLASSES, LATENTS = 10, 4, 2
TINY = {"hidden": 4, "layers": 1, "lags": 1, "window": 16, "batch": 2, "steps": 4}
QUICK = ARHMMOptions(restarts=1, iterations=20)
BRIEF = {**TINY, "hmm": {"restarts": 1, "iterations": 2}}


def a_batch(options: LatentOptions, labels: str, seed: int = 0) -> Windows:
    """Random windows whose frames have all, some or no labels."""
    generator = torch.Generator().manual_seed(seed)
    frames = 12
    known = torch.randint(CLASSES, (2, frames), generator=generator)
    if labels == "none":
        known[:] = UNLABELLED
    if labels == "some":
        known[:, ::2] = UNLABELLED
    x = torch.randn(2, frames + 2 * options.pad, FEATURES, generator=generator)
    posterior = torch.randn(2, frames, CLASSES, generator=generator).softmax(-1)
    return Windows(
        x=x,
        labels=known,
        weak=torch.full_like(known, UNLABELLED),
        valid=torch.ones(2, frames, dtype=torch.bool),
        posterior=posterior,
    )


def a_network(options: SwitchingOptions, seed: int = 0) -> SwitchingNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return SwitchingNetwork(FEATURES, CLASSES, LATENTS, options)


def terms_of(network, batch: Windows, weight: float = 1.0, seed: int = 0) -> dict[str, float]:
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        return {name: float(term) for name, term in network.terms(batch, weight).items()}


def chunked(states: np.ndarray, per_class: int) -> np.ndarray:
    """The first ``per_class`` frames of one bout of each class keep their label."""
    labels = np.full(len(states), UNLABELLED)
    for k in range(states.max() + 1):
        own = np.flatnonzero(states == k)
        middle = own[len(own) // 2 :][:per_class]
        labels[middle] = k
    return labels


@pytest.fixture(scope="module")
def drive():
    world = nascar(n_frames=3000, seed=3)
    features = (world.features - world.features.mean(0)) / world.features.std(0)
    return replace(world, features=features.astype(np.float32))


@pytest.fixture(scope="module")
def few_labels(drive):
    return [Frames(features=drive.features[:2000], labels=chunked(drive.states[:2000], 50))]


def test_the_published_network_has_as_many_parameters_as_the_reference():
    network = a_network(published())
    assert sum(p.numel() for p in network.parameters()) == 47_038


def test_per_class_and_shared_encoders_see_every_class():
    for encoder in ("per_class", "shared"):
        options = SwitchingOptions(encoder=encoder)
        seen = a_network(options).eval().inference(a_batch(options, "none").x)
        assert seen.mean.shape == (2, 12, CLASSES, LATENTS)
        assert float(seen.mean.std(2).min().detach()) > 0


@pytest.mark.parametrize("posterior", ["smoothed", "network"])
@pytest.mark.parametrize("overshoot", [False, True])
def test_batches_with_all_labels_and_with_none_are_finite_and_leave_terms_empty(
    posterior, overshoot
):
    options = SwitchingOptions(posterior=posterior, overshoot=overshoot, balance=1.0)
    network = a_network(options)
    everything = terms_of(network, a_batch(options, "all"))
    nothing = terms_of(network, a_batch(options, "none"))
    assert np.isfinite([*everything.values(), *nothing.values()]).all()
    assert everything["classes"] == 0.0
    assert everything.get("distillation", 0.0) == 0.0
    assert nothing["classification"] == 0.0
    assert nothing["labels"] == 0.0
    assert min(everything["classification"], everything["labels"], nothing["classes"]) > 0


def test_gmdgm_is_finite_with_all_labels_and_with_none():
    network = MixtureNetwork(FEATURES, CLASSES, LATENTS, GMDGMOptions())
    for labels in ("all", "none"):
        assert np.isfinite(
            list(terms_of(network, a_batch(network.options, labels)).values())
        ).all()


def test_two_halves_of_a_sequence_differ_from_the_whole_only_at_the_seam():
    options = SwitchingOptions(inference="mlp", dropout=0.0, start="random")
    network = a_network(options).eval()
    with torch.no_grad():
        network.inference.encoder.out.bias[LATENTS:] = -60.0
        network.inference.encoder.out.weight[LATENTS:] = 0.0
    batch = a_batch(options, "some")
    one = Windows(**{name: value[:1] for name, value in vars(batch).items()})
    parts = [
        Windows(**{name: value[:, own] for name, value in vars(one).items()})
        for own in (slice(0, 6), slice(6, 12), slice(5, 7))
    ]
    whole, left, right, seam = (terms_of(network, part) for part in (one, *parts))
    assert 11 * whole["latents"] == pytest.approx(
        5 * left["latents"] + 5 * right["latents"] + seam["latents"], rel=1e-3
    )
    assert 12 * whole["reconstruction"] == pytest.approx(
        6 * left["reconstruction"] + 6 * right["reconstruction"], rel=1e-3
    )


def test_frames_beyond_a_recording_change_no_term():
    options = SwitchingOptions(inference="mlp", dropout=0.0)
    network = a_network(options).eval()
    batch = a_batch(options, "some")
    batch.valid[:, 8:] = False
    batch.labels[:, 8:] = UNLABELLED
    before = terms_of(network, batch)
    batch.x[:, 8:] = 5.0
    assert terms_of(network, batch) == before


@pytest.mark.parametrize(
    "options",
    [
        SwitchingOptions(),
        published(),
        SwitchingOptions(transition_hidden=3, dynamics_hidden=3, decoder_hidden=3),
    ],
)
def test_every_parameter_gets_a_gradient(options):
    network = a_network(options)
    torch.stack(list(network.terms(a_batch(options, "some"), 1.0).values())).sum().backward()
    silent_ones = [n for n, p in network.named_parameters() if p.grad is None]
    assert silent_ones == []


def test_the_published_classifier_learns_from_no_latent():
    network = a_network(published())
    network.terms(a_batch(network.options, "some"), 1.0)["latents"].backward()
    assert all(p.grad is None for p in network.inference.classifier.parameters())


def test_cutting_a_recording_in_pieces_changes_nothing(monkeypatch):
    options = SwitchingOptions()
    network = a_network(options).eval()
    x = torch.randn(1234, FEATURES)
    with torch.no_grad():
        whole = infer(network, x)
        monkeypatch.setattr("neuroduet.actions.s3lds.fitting.PIECE", 100)
        pieces = infer(network, x)
    for a, b in zip(whole, pieces, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_the_smoothed_posterior_agrees_with_the_labels():
    network = a_network(SwitchingOptions()).eval()
    x = torch.randn(40, FEATURES)
    labels = torch.full((40,), UNLABELLED)
    labels[5:9] = 3
    with torch.no_grad():
        found = class_posterior(network, x, infer(network, x), labels)
    assert found[5:9].argmax(1).tolist() == [3] * 4
    torch.testing.assert_close(found.sum(1), torch.ones(40, dtype=found.dtype))


@pytest.mark.parametrize("decode", [True, False])
def test_every_path_of_classes_weighs_what_its_terms_say(decode: bool) -> None:
    options = SwitchingOptions(dynamics_trust=2.0, classifier_trust=0.7)
    network, generator = a_network(options).eval(), torch.Generator().manual_seed(1)
    x = torch.randn(4, FEATURES, generator=generator)
    trust, classifier = (0.25, 0.7) if decode else (1.0, 0.0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
        network.trust.fill_(0.25)
        seen = infer(network, x)
        unknown = torch.full((4,), UNLABELLED)
        found = decoded(network, x, seen) if decode else class_posterior(network, x, seen, unknown)
        frames = classifier * seen.logits[0].log_softmax(-1)
        frames -= trust * network.emission.negative_log_likelihood(x[None], seen.mean)[0]
        own = torch.distributions.Normal(
            seen.mean[0, 1:, None], (seen.log_variance[0] / 2).exp()[1:, None]
        )
        ahead = torch.distributions.Normal(
            network.prior.next_latents(seen.mean[0, :-1]),
            (network.prior.log_variances.table() / 2).exp(),
        )
        steps = network.prior.log_transitions(seen.mean[0, :-1])
        steps = steps - 2.0 * trust * torch.distributions.kl_divergence(own, ahead).sum(-1)
    paths = list(product(range(CLASSES), repeat=4))
    totals = [
        sum(frames[t, k] for t, k in enumerate(path))
        + sum(steps[t, path[t], path[t + 1]] for t in range(3))
        for path in paths
    ]
    weights = torch.stack(totals).double().softmax(0)
    expected = torch.zeros(4, CLASSES, dtype=torch.float64)
    for path, weight in zip(paths, weights, strict=True):
        expected[torch.arange(4), torch.tensor(path)] += weight
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)
    assert expected.max(1).values.min() < 0.99


def test_half_of_the_labels_of_each_class_stay():
    labels = [np.array([0, 0, -1, 1]), np.array([0, 1, 1, -1])]
    halves = first_halves(labels, 2)
    assert [one.tolist() for one in halves] == [[0, 0, -1, 1], [-1, 1, -1, -1]]
    assert labels[1].tolist() == [0, 1, 1, -1]


def test_dynamics_are_trusted_where_labels_agree_with_them_only(drive, few_labels):
    agreeing = trust_in_dynamics(few_labels, CLASSES, QUICK, 0)
    shuffled = np.random.default_rng(0).permutation(drive.states[:2000])
    unrelated = [replace(few_labels[0], labels=shuffled)]
    nothing = [replace(few_labels[0], labels=np.full(2000, UNLABELLED))]
    assert agreeing > 0.2
    assert trust_in_dynamics(unrelated, CLASSES, QUICK, 0) < 0.02
    assert trust_in_dynamics(nothing, CLASSES, QUICK, 0) == 1.0


def test_principal_components_explain_the_share_that_is_asked_for(drive):
    frames = [Frames(features=drive.features, labels=drive.states)]
    directions, deviations = components(frames, None)
    variances = np.linalg.eigvalsh(drive.features.T @ drive.features / len(drive.features))[::-1]
    needed = int((variances.cumsum() / variances.sum() < 0.95).sum()) + 1
    assert directions.shape == (FEATURES, needed)
    np.testing.assert_allclose(deviations.square(), variances[:needed], rtol=1e-4)
    assert components(frames, 12)[0].shape == (FEATURES, 12)


def test_schedules_follow_the_share_of_steps_done():
    options = SwitchingOptions(anneal=(0.2, 0.6), renewals=2, renew_after=0.5)
    assert [annealed(options, done) for done in (0.0, 0.2, 0.4, 0.6, 1.0)] == pytest.approx(
        [0, 0, 0.5, 1, 1]
    )
    assert renewal_steps(options, 100) == {50, 75}
    assert n_steps(10_000_000, SwitchingOptions()) == 3000
    assert n_steps(10, SwitchingOptions()) == 600
    assert n_steps(10, SwitchingOptions(steps=7)) == 7


@pytest.mark.parametrize("family", [S3LDS, SLDS, GMDGM])
@pytest.mark.parametrize("inference", ["tcn", "mlp"])
def test_a_fit_is_deterministic_and_survives_being_saved(family, inference, few_labels):
    options = family.options(inference=inference, **(TINY if family is GMDGM else BRIEF))
    state = torch.get_rng_state()
    one, other = (family.fit(few_labels, CLASSES, options, 1, silent) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    short = [few_labels[0].features[:n] for n in (1, 2, 30)]
    again = family.restore(one.arrays(), options)
    for a, b, c in zip(*(m.predict_proba(short) for m in (one, other, again)), strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)
        np.testing.assert_allclose(a.sum(1), 1.0)
    assert [len(p) for p in one.latents(short)] == [1, 2, 30]


def test_slds_ignores_labels(few_labels):
    options = SLDS.options(**BRIEF)
    bare = [replace(one, labels=np.full_like(one.labels, UNLABELLED)) for one in few_labels]
    with_labels, without = (
        SLDS.fit(frames, CLASSES, options, 0, silent) for frames in (few_labels, bare)
    )
    x = [few_labels[0].features[:50]]
    np.testing.assert_array_equal(with_labels.predict_proba(x)[0], without.predict_proba(x)[0])


def test_extra_classes_are_states_but_no_named_class(few_labels):
    options = S3LDS.options(extra_classes=2, **BRIEF)
    fitted = S3LDS.fit(few_labels, CLASSES, options, 0, silent)
    x = [few_labels[0].features[:50]]
    found = fitted.predict_proba(x)[0]
    assert found.shape == (50, CLASSES)
    np.testing.assert_allclose(found.sum(1), 1.0)


def test_few_labels_and_dynamics_recover_states_and_latents(drive, few_labels):
    options = S3LDS.options(steps=80, latents=2, hmm=QUICK)
    fitted = S3LDS.fit(few_labels, CLASSES, options, 0, silent)
    held_out, truth = drive.features[2000:], drive.latents[2000:]
    found = fitted.predict_proba([held_out])[0].argmax(1)
    assert (found == drive.states[2000:]).mean() >= 0.9
    latents = fitted.latents([held_out])[0]
    design = np.c_[latents, np.ones(len(latents))]
    left = truth - design @ np.linalg.lstsq(design, truth, rcond=None)[0]
    assert (1 - left.var(0) / truth.var(0)).min() >= 0.9
