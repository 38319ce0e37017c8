"""Training of the networks: a plain loop over windows gathered from one array."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from neuroduet.actions.frames import Frames
from neuroduet.actions.model import Report
from neuroduet.actions.networks.losses import (
    labelled_loss,
    next_frame_loss,
    roughness,
)
from neuroduet.actions.networks.network import Network, add_teachers, build
from neuroduet.actions.networks.options import NetworkOptions
from neuroduet.actions.networks.prediction import (
    Networks,
    as_predictor,
    frame_logits,
    piece_of,
    widened,
)
from neuroduet.actions.networks.windows import (
    Centres,
    Corpus,
    Windows,
    centres,
    corpus,
    gather,
    hold_out,
    starts_around,
)
from neuroduet.actions.weights import class_weights
from neuroduet.errors import UserError
from neuroduet.types import UNLABELLED

FEWEST_STEPS = 300
MOST_STEPS = 3000
WARM_UP = 0.1
"""Fraction of the steps in which the learning rate rises."""
LOOKS = 20
"""Times in a fit that held-out windows are scored, or pseudo-labels made."""
LARGEST_GRADIENT = 1.0


def fit(
    frames: Sequence[Frames], n_classes: int, options: NetworkOptions, seed: int, report: Report
) -> Networks:
    """Fit the networks of an ensemble, from seeds ``seed``, ``seed + 1``, ...

    Args:
        frames: Training recordings.
        n_classes: Number of classes ``K``.
        options: Of the family.
        seed: Of all random numbers.
        report: Told the steps of all members and the current loss.

    Raises:
        UserError: No frame is labelled.
    """
    if not any((one.labels != UNLABELLED).any() for one in frames):
        raise UserError(
            "no frame of the training recordings is labelled but this model learns from labels; "
            "label some frames, or fit a model that needs none such as 'arhmm'"
        )
    data = corpus(
        [
            replace(one, features=widened(one.features, options.windows).astype(np.float32))
            for one in frames
        ]
    )
    total = n_steps(len(data), options) * options.members
    networks = []
    for member in range(options.members):
        done = member * (total // options.members)
        # The caller's own random numbers must not depend on the networks that are fitted.
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.manual_seed(seed + member)
            networks.append(
                _train(data, n_classes, options, seed + member, _Progress(report, done, total))
            )
    return as_predictor(networks, frames[0].features.shape[1], options)


def n_steps(n_frames: int, options: NetworkOptions) -> int:
    """Training steps for so many frames.

    >>> from neuroduet.actions.networks.options import TCNOptions
    >>> n_steps(100_000, TCNOptions(window=250, batch=16, epochs=30))
    750
    """
    if options.steps is not None:
        return options.steps
    steps = math.ceil(options.epochs * n_frames / (options.window * options.batch))
    return min(max(steps, FEWEST_STEPS), MOST_STEPS)


def rate_factor(step: int, total: int) -> float:
    """Fraction of the peak learning rate: up in a line, then down along half a cosine.

    >>> rate_factor(0, 100), rate_factor(9, 100)
    (0.1, 1.0)
    """
    warm = max(1, round(WARM_UP * total))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm + 1) / (total - warm + 1)))


@dataclass(frozen=True)
class _Progress:
    """Steps of one member as steps of the ensemble."""

    report: Report
    done: int
    total: int

    def __call__(self, step: int, loss: float) -> None:
        self.report(self.done + step, self.total, loss)


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What a network is trained on.

    Attributes:
        options: Of the family.
        strong: Weights of the classes in labelled frames.
        weak: Weights of the classes in weakly labelled frames: equal.
    """

    options: NetworkOptions
    strong: Float[Tensor, " K"]
    weak: Float[Tensor, " K"]

    def loss(self, network: Network, windows: Windows, weak_share: float) -> Float[Tensor, ""]:
        """Sum of all terms.

        Args:
            network: In training mode.
            windows: Without noise.
            weak_share: Fraction of the weight that weak labels have by now.
        """
        options, x = self.options, windows.features
        noisy = x + options.noise * torch.randn_like(x) if options.noise > 0 else x
        outputs = network(noisy)
        smoothed = windows.inside
        if not options.smooth_unlabelled:
            smoothed = smoothed & (windows.labels != UNLABELLED)
        total = torch.zeros(())
        for logits in outputs.stages:
            log_p = logits.log_softmax(-1)
            total = total + labelled_loss(
                log_p, windows.labels, self.strong, options.label_smoothing
            )
            if options.smoothing > 0:
                total = total + options.smoothing * roughness(log_p, smoothed)
        if network.weak is not None and weak_share > 0:
            log_p = network.weak(outputs.hidden).log_softmax(-1)
            loss = labelled_loss(log_p, windows.weak, self.weak)
            total = total + options.weak_weight * weak_share * loss
        if network.next_frame is not None:
            core = x[:, network.pad : x.shape[1] - network.pad]
            predicted = network.next_frame(outputs.hidden)
            loss = next_frame_loss(predicted, core, windows.inside)
            total = total + options.prediction_weight * loss
        return total


def _train(
    everything: Corpus, n_classes: int, options: NetworkOptions, seed: int, progress: _Progress
) -> Network:
    """One network, as its running mean or at its best look at held-out windows."""
    given, held = hold_out(everything, options.window, options.holdout, seed)
    data = given
    around = centres(data, n_classes, balance=options.balance, share=options.centred)
    network = _new(data, around, options)
    objective = Objective(
        options=options,
        strong=torch.from_numpy(
            class_weights(around.counts.numpy(), options.class_weight_power)
        ).float(),
        weak=torch.ones(n_classes),
    )
    optimiser = torch.optim.AdamW(
        network.parameters(), options.learning_rate, weight_decay=options.weight_decay, fused=True
    )
    generator = torch.Generator().manual_seed(seed)
    mean, best = deepcopy(network).eval(), _Best()
    total = n_steps(len(data), options)
    for step in range(total):
        optimiser.param_groups[0]["lr"] = options.learning_rate * rate_factor(step, total)
        windows = _draw(data, around, options, network.pad, generator)
        loss = objective.loss(network, windows, _weak_share(step / total, options))
        _descend(network, optimiser, loss)
        _follow(mean, network, min(options.average, step / (step + 10)))
        if (step + 1) % max(1, total // LOOKS) == 0:
            progress(step + 1, float(loss.detach()))
            if options.pseudo_labels and (step + 1) / total >= options.pseudo_start:
                data = replace(data, weak=_pseudo_labels(given, mean, options))
            if len(held):
                loss_held = _held_loss(mean, everything, held, objective)
                if best.seen(mean, loss_held, options.patience):
                    break
    return best.network or mean


@dataclass
class _Best:
    """The network with the lowest loss of held-out windows so far."""

    network: Network | None = None
    loss: float = math.inf
    waited: int = 0

    def seen(self, network: Network, loss: float, patience: int) -> bool:
        """Note a look; whether it is time to stop."""
        self.waited += 1
        if loss < self.loss:
            self.network, self.loss, self.waited = deepcopy(network), loss, 0
        return self.waited >= patience


def _new(data: Corpus, around: Centres, options: NetworkOptions) -> Network:
    inputs = data.features.shape[1]
    network = build(options, inputs, around.counts > 0)
    has_weak = options.pseudo_labels or bool((data.weak != UNLABELLED).any())
    add_teachers(network, options, inputs, weak=has_weak and options.weak_weight > 0)
    return network.train()


def _draw(
    data: Corpus, around: Centres, options: NetworkOptions, pad: int, generator: torch.Generator
) -> Windows:
    rows = around.draw(options.batch, len(data), generator)
    starts = starts_around(data, rows, options.window, generator)
    return gather(data, starts, options.window, pad)


def _descend(network: Network, optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT)
    optimiser.step()


def _follow(mean: Network, network: Network, decay: float) -> None:
    """Move the running mean of the weights."""
    update = get_ema_multi_avg_fn(decay)
    update(list(mean.parameters()), list(network.parameters()), None)


def _weak_share(progress: float, options: NetworkOptions) -> float:
    """Fraction of the weight of weak labels: all of it, or growing with pseudo-labels."""
    if not options.pseudo_labels:
        return 1.0
    span = max(options.pseudo_end - options.pseudo_start, 1e-9)
    return min(max((progress - options.pseudo_start) / span, 0.0), 1.0)


def _held_loss(
    network: Network, data: Corpus, held: Int[Tensor, " held"], objective: Objective
) -> float:
    """Loss of the held-out windows, whose labels ``data`` still has."""
    options = objective.options
    windows = gather(data, held, options.window, network.pad)
    with torch.no_grad():
        log_p = network.logits(windows.features).log_softmax(-1)
    return float(labelled_loss(log_p, windows.labels, objective.strong))


def _pseudo_labels(
    data: Corpus, network: Network, options: NetworkOptions
) -> Int[Tensor, " rows"]:
    """Weak labels of a heuristic, and what the network is sure of where nobody said anything."""
    weak = data.weak.clone()
    piece = piece_of(network, options)
    for first, last in zip(data.first, data.last, strict=True):
        with torch.no_grad():
            logits = frame_logits(network, data.features[first:last], piece)
        sure, classes = logits.softmax(-1).max(-1)
        found = torch.where(sure >= options.pseudo_threshold, classes, UNLABELLED)
        free = (data.labels[first:last] == UNLABELLED) & (weak[first:last] == UNLABELLED)
        weak[first:last] = torch.where(free, found, weak[first:last])
    return weak
