"""Backbones and losses: sizes, reach and values that were measured or derived by hand."""

import numpy as np
import pytest
import torch
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

from neuroduet.actions.networks.backbones import (
    Backbone,
    DilatedStage,
    DilatedTCN,
    NormedConv,
    Recurrent,
    TemporalMLP,
    parameters,
)
from neuroduet.actions.networks.losses import (
    labelled_loss,
    next_frame_loss,
    roughness,
)
from neuroduet.actions.networks.network import NEVER, add_teachers, build
from neuroduet.actions.networks.options import (
    GRUOptions,
    LSTMOptions,
    MLPOptions,
    MSTCNOptions,
    NetworkOptions,
    TCNOptions,
    published_ms_tcn,
    published_tcn,
)
from neuroduet.actions.weights import class_weights


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def seen(n_classes: int) -> torch.Tensor:
    return torch.ones(n_classes, dtype=torch.bool)


@pytest.mark.parametrize(
    ("options", "inputs", "classes", "expected"),
    [
        (TCNOptions(), 16, 6, 33_254),
        (TCNOptions(), 32, 6, 37_318),
        (TCNOptions(), 36, 9, 39_753),
        (TCNOptions(), 72, 9, 51_273),
        (TCNOptions(), 26, 4, 36_388),
        (TCNOptions(), 52, 4, 44_708),
        (TCNOptions(layers=3), 16, 6, 51_814),
        (published_tcn(), 16, 6, 33_254),
        (MLPOptions(), 16, 6, 6_950),
        (LSTMOptions(), 16, 6, 40_166),
        (LSTMOptions(bidirectional=False), 16, 6, 16_102),
        (GRUOptions(), 16, 6, 30_694),
    ],
)
def test_networks_have_as_many_parameters_as_published(
    options: NetworkOptions, inputs: int, classes: int, expected: int
) -> None:
    assert parameters(build(options, inputs, seen(classes))) == expected


def test_read_outs_that_only_teach_have_as_many_parameters_as_published() -> None:
    network = build(TCNOptions(), 16, seen(6))
    add_teachers(network, TCNOptions(), 16, weak=True)
    assert parameters(network) == 33_452
    add_teachers(network, TCNOptions(prediction_weight=1), 16, weak=False)
    assert parameters(network) == 66_732


def test_published_ms_tcn_has_the_parameters_of_its_formula() -> None:
    def stage(inputs: int) -> int:
        layer = (64 * 64 * 3 + 64) + (64 * 64 + 64)
        return (inputs * 64 + 64) + 10 * layer + (64 * 9 + 9)

    network = build(published_ms_tcn(), 36, seen(9))
    assert parameters(network) == stage(36) + 3 * stage(9)
    assert network.pad == 4 * 1023


@pytest.mark.parametrize(
    ("options", "pad"),
    [
        (TCNOptions(), 24),
        (TCNOptions(layers=1), 8),
        (TCNOptions(layers=3), 56),
        (TCNOptions(layers=4, lags=1), 30),
        (MLPOptions(), 4),
        (LSTMOptions(context=4), 4),
        (MSTCNOptions(stages=2, layers=3), 14),
    ],
)
def test_context_is_as_published(options: NetworkOptions, pad: int) -> None:
    assert build(options, 5, seen(3)).pad == pad


BACKBONES = {
    "mlp": lambda: TemporalMLP(3, 6, 2, 2, 0.5),
    "lstm": lambda: Recurrent("lstm", 3, 6, 2, 0.5, True, 5),
    "gru": lambda: Recurrent("gru", 3, 6, 1, 0.5, False, 5),
    "tcn": lambda: DilatedTCN(3, 6, 5, 2, 2, 0.5),
    "descending": lambda: DilatedTCN(3, 6, 5, 3, 1, 0.5, descending=True),
    "stage": lambda: DilatedStage(3, 32, 3, 0.5),
}


@pytest.mark.parametrize("make", BACKBONES.values(), ids=BACKBONES)
def test_every_parameter_gets_a_gradient_and_frames_keep_their_number(make) -> None:
    backbone: Backbone = make()
    out = backbone(torch.randn(2, 40, 3))
    assert out.shape == (2, 40, backbone.width)
    out.square().sum().backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in backbone.parameters())


@pytest.mark.parametrize("name", ["mlp", "tcn", "descending", "stage"])
def test_one_frame_reaches_exactly_as_far_as_the_context(name: str) -> None:
    backbone = BACKBONES[name]().eval()
    x = torch.randn(1, 101, 3)
    changed = x.clone()
    changed[0, 50] += 1
    with torch.no_grad():
        moved = (backbone(x) - backbone(changed)).abs().amax((0, 2)) > 0
    frames = torch.nonzero(moved)[:, 0] - 50
    assert (int(frames.min()), int(frames.max())) == (-backbone.pad, backbone.pad)


def test_published_window_gives_published_shapes() -> None:
    network = build(TCNOptions(), 16, seen(6)).eval()
    x = torch.randn(2, 548, 16)
    assert network.backbone(x).shape == (2, 548, 32)
    assert network(x).stages[-1].shape == (2, 500, 6)


def test_stages_of_ms_tcn_answer_for_the_same_frames() -> None:
    network = build(MSTCNOptions(stages=3, layers=2, hidden=4), 2, seen(3)).eval()
    x = torch.randn(1, 30, 2)
    outputs = network(x)
    assert [logits.shape for logits in outputs.stages] == [(1, 12, 3)] * 3
    alone = network.classes(network.backbone.core(x))[:, 6:-6]
    assert torch.allclose(outputs.stages[0], alone)


def test_normed_convolution_is_torchs_weight_normed_one() -> None:
    ours = NormedConv(3, 4, 5, 2)
    with torch.no_grad():
        ours.gain.mul_(1.7)
    theirs = torch.nn.Conv1d(3, 4, 5, dilation=2)
    with torch.no_grad():
        theirs.weight.copy_(ours.direction)
        theirs.bias.copy_(ours.bias)
    theirs = weight_norm(theirs)
    with torch.no_grad():
        theirs.parametrizations.weight.original0.copy_(ours.gain[:, None, None])
    x = torch.randn(2, 3, 20)
    assert torch.allclose(ours(x), theirs(x), atol=1e-6)


def test_convolutions_start_as_ordinary_ones_do() -> None:
    weight = NormedConv(16, 2000, 9, 1).weight().detach()
    assert float(weight.std()) == pytest.approx(0.0481, rel=0.02)


def test_classes_without_labels_are_never_predicted() -> None:
    network = build(TCNOptions(), 4, torch.tensor([True, False, True])).eval()
    assert network.offset.tolist() == [0, NEVER, 0]
    with torch.no_grad():
        probabilities = network.logits(torch.randn(1, 60, 4)).softmax(-1)
    assert float(probabilities[..., 1].max()) < 1e-10


def test_class_weights_are_the_published_ones() -> None:
    weights = class_weights(np.array([0, 300, 300, 350, 300, 706]), 1.0)
    assert weights.tolist() == pytest.approx([0, 2.3533, 2.3533, 2.0171, 2.3533, 1], abs=1e-4)
    both = class_weights(np.array([0, 600, 600, 450, 600, 1297]), 1.0)
    assert both.tolist() == pytest.approx([0, 2.1617, 2.1617, 2.8822, 2.1617, 1], abs=1e-4)
    assert class_weights(np.array([4, 0, 1]), 0.5).tolist() == [1, 0, 2]


def test_labelled_loss_is_torchs_weighted_cross_entropy() -> None:
    logits, labels = torch.randn(2, 7, 3), torch.randint(-1, 3, (2, 7))
    weights = torch.tensor([1.0, 2.5, 0.5])
    expected = functional.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), weight=weights, ignore_index=-1
    )
    found = labelled_loss(logits.log_softmax(-1), labels, weights)
    assert float(found) == pytest.approx(float(expected), rel=1e-5)


def test_label_smoothing_spreads_over_present_classes() -> None:
    log_p = torch.tensor([[[0.5, 0.3, 0.2]]]).log()
    weights = torch.tensor([1.0, 1.0, 0.0])
    found = labelled_loss(log_p, torch.tensor([[0]]), weights, 0.1)
    expected = -(0.9 + 0.05) * log_p[0, 0, 0] - 0.05 * log_p[0, 0, 1]
    assert float(found) == pytest.approx(float(expected))


def test_unlabelled_windows_cost_nothing_and_stay_finite() -> None:
    logits = torch.randn(2, 5, 3, requires_grad=True)
    loss = labelled_loss(logits.log_softmax(-1), torch.full((2, 5), -1), torch.ones(3))
    loss.backward()
    assert float(loss.detach()) == 0
    assert not bool(logits.grad.any())


def test_roughness_is_truncated_and_counts_pairs_that_count() -> None:
    log_p = torch.tensor([[[0.0, 0.0], [1.0, 0.0], [1.0, -9.0], [5.0, 5.0]]])
    counted = torch.tensor([[True, True, True, False]])
    assert float(roughness(log_p, counted)) == pytest.approx((1 + 16) / 4)
    assert float(roughness(log_p, torch.zeros_like(counted))) == 0


def test_next_frame_loss_compares_each_frame_with_what_the_one_before_said() -> None:
    features = torch.tensor([[[1.0], [4.0], [2.0]]])
    predicted = torch.tensor([[[4.0], [5.0], [99.0]]])
    inside = torch.ones(1, 3, dtype=torch.bool)
    assert float(next_frame_loss(predicted, features, inside)) == pytest.approx(9 / 2)
    inside[0, 2] = False
    assert float(next_frame_loss(predicted, features, inside)) == 0
