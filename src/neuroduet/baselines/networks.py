"""Small neural networks that decode behaviour: a multi-layer perceptron and an LSTM.

One network reads all behaviours given per bin, another all those given per trial: what they share
regularises them. Each behaviour keeps the setting and the step at which its own validation loss
was lowest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from itertools import islice, product

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from neuroduet.baselines.decoders import DecodingBaseline, observed_values
from neuroduet.baselines.logistic import ABSENT
from neuroduet.baselines.network_modules import BinPerceptron, Lstm, TrialPerceptron
from neuroduet.baselines.signals import Signal, fit_signal
from neuroduet.baselines.trials import TrialFeatures, fit_trial_features
from neuroduet.types import Batch, Behaviour, Masks, Per, SessionInfo

SMOOTHING_BINS = 1.0
PARTS = (1, 2, 5)
"""Numbers of equal parts of a window whose mean activity the perceptron sees of a trial."""
DROPOUTS = (0.1, 0.5)
"""Of units and of hidden units: few strong units ask for little, many noisy ones for much."""
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 0.01
BATCH = 16
CHECK_EVERY = 8
"""Steps between looks at the validation windows."""
PATIENCE = 20
MAX_CHECKS = 100
TYPICAL_CHECK = 20
"""Where to stop for a behaviour that no validation window shows."""
SEED = 0

Inputs = Signal | TrialFeatures
"""What networks see of the activity."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A behaviour as a network learns it.

    Attributes:
        behaviour: The behaviour.
        columns: Its columns among the outputs of the network.
        centre: What an output of 0 means: the training mean ``(C,)`` (continuous), or 0 and, for
            classes without a training label, the logit -30 ``(K,)`` (categorical).
        scale: Training standard deviation, or ones.
        weights: Weight of each class, such that all count alike; ones if continuous.
    """

    behaviour: Behaviour
    columns: slice
    centre: Float[Tensor, " F"]
    scale: Float[Tensor, " F"]
    weights: Float[Tensor, " F"]

    def values(self, outputs: Float[Tensor, "... Q"]) -> Float[Tensor, "... F"]:
        """Expected values in the user's units, or logits."""
        return outputs[..., self.columns] * self.scale + self.centre

    def loss(
        self, outputs: Float[Tensor, "B ... Q"], true: Tensor, seen: Bool[Tensor, "B ..."]
    ) -> Float[Tensor, ""]:
        """Mean loss of the values that were seen; 0 if none was.

        Args:
            outputs: Of the network.
            true: Values or class indices.
            seen: Which of them count.

        Returns:
            Squared error in standard deviations, or cross-entropy (nats) with classes alike.
        """
        found = self.values(outputs)
        if self.behaviour.kind == "categorical":
            errors = functional.cross_entropy(
                found.flatten(0, -2), true.long().flatten(), weight=self.weights, reduction="none"
            ).unflatten(0, seen.shape)
        else:
            errors = (((found - true) / self.scale) ** 2).mean(dim=-1)
        return (errors * seen).sum() / seen.sum().clamp_min(1)


@dataclass(frozen=True, kw_only=True)
class NetworkReadOut:
    """A fitted network and the one behaviour that is read from it.

    Attributes:
        inputs: What the network sees of the activity.
        network: The network.
        target: The behaviour.
    """

    inputs: Inputs
    network: nn.Module
    target: Target

    def values(self, batch: Batch, masks: Masks | None = None) -> Float[Tensor, "B ... F"]:
        """Expected values in the user's units, or logits."""
        return self.target.values(self.network(self.inputs.of(batch, masks), batch.valid))


def fit_mlp(train: Batch, valid: Batch, info: SessionInfo) -> DecodingBaseline:
    """Multi-layer perceptrons of all behaviours.

    Behaviours per bin are read from the bins around a bin, behaviours per trial from the mean
    activity in equal parts of a window. Dropout, the number of parts and the step to stop at are
    chosen by the loss of validation windows.

    Args:
        train: Training windows.
        valid: Validation windows.
        info: The session.

    Returns:
        The predictor, named ``mlp``; behaviours never observed in training windows are left out.
    """
    parts = sorted({min(parts, train.valid.shape[1]) for parts in PARTS})
    trials = [fit_trial_features(train, number) for number in parts]
    read_outs = {
        **_fit(train, valid, _targets(train, info, "bin"), [_signal(train, info)], BinPerceptron),
        **_fit(train, valid, _targets(train, info, "trial"), trials, TrialPerceptron),
    }
    return DecodingBaseline(name="mlp", session=info.id, read_outs=read_outs)


def fit_lstm(train: Batch, valid: Batch, info: SessionInfo) -> DecodingBaseline:
    """Bidirectional LSTMs of all behaviours.

    Dropout and the step to stop at are chosen by the loss of validation windows.

    Args:
        train: Training windows.
        valid: Validation windows.
        info: The session.

    Returns:
        The predictor, named ``lstm``; behaviours never observed in training windows are left out.
    """
    inputs = [_signal(train, info)]
    read_outs = {
        **_fit(train, valid, _targets(train, info, "bin"), inputs, partial(Lstm, pooled=False)),
        **_fit(train, valid, _targets(train, info, "trial"), inputs, partial(Lstm, pooled=True)),
    }
    return DecodingBaseline(name="lstm", session=info.id, read_outs=read_outs)


@dataclass(frozen=True, kw_only=True)
class _Examples:
    """Windows as a network learns from them; ``true`` and ``seen`` have an entry per target."""

    inputs: Tensor
    valid: Tensor
    true: tuple[Tensor, ...]
    seen: tuple[Tensor, ...]

    def losses(
        self, network: nn.Module, targets: tuple[Target, ...], rows: Tensor
    ) -> Float[Tensor, " targets"]:
        outputs = network(self.inputs[rows], self.valid[rows])
        labels = zip(targets, self.true, self.seen, strict=True)
        return torch.stack([t.loss(outputs, true[rows], seen[rows]) for t, true, seen in labels])


def _fit(
    train: Batch,
    valid: Batch,
    targets: tuple[Target, ...],
    inputs: Sequence[Inputs],
    make: Callable[..., nn.Module],
) -> dict[str, NetworkReadOut]:
    """The read-out of each behaviour whose validation loss was the lowest of all settings."""
    best: dict[str, tuple[float, NetworkReadOut]] = {}
    for seen, dropout in product(inputs if targets else (), DROPOUTS):
        examples, held_out = (_examples(batch, seen, targets) for batch in (train, valid))
        # The caller's own random numbers must not depend on the baselines it fits.
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.manual_seed(SEED)
            width = targets[-1].columns.stop
            network = make(features=examples.inputs.shape[-1], outputs=width, dropout=dropout)
            found = _train(network, targets, examples, held_out)
        for target, (loss, fitted) in zip(targets, found, strict=True):
            name = target.behaviour.name
            if name not in best or loss < best[name][0]:
                best[name] = (loss, NetworkReadOut(inputs=seen, network=fitted, target=target))
    return {name: read_out for name, (_, read_out) in best.items()}


def _train(
    network: nn.Module, targets: tuple[Target, ...], train: _Examples, valid: _Examples
) -> list[tuple[float, nn.Module]]:
    """For each target the lowest validation loss, and the network as it was then."""
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY
    )
    everything, rows = torch.arange(len(valid.inputs)), _shuffled(len(train.inputs))
    best = [(float("inf"), network)] * len(targets)
    improved = 0
    for check in range(MAX_CHECKS):
        network.train()
        for chosen in islice(rows, CHECK_EVERY):
            optimiser.zero_grad()
            train.losses(network, targets, chosen).sum().backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
        network.eval()
        with torch.no_grad():
            losses = valid.losses(network, targets, everything).tolist()
        for index, seen in enumerate(valid.seen):
            loss = losses[index] if bool(seen.any()) else float(abs(check - TYPICAL_CHECK))
            if loss < best[index][0]:
                best[index] = (loss, deepcopy(network))
                improved = check
        if check - improved >= PATIENCE:
            break
    return [(loss, kept.requires_grad_(False)) for loss, kept in best]


def _shuffled(windows: int) -> Iterator[Tensor]:
    """Batches of windows without end, every window once before any comes again."""
    while True:
        yield from torch.randperm(windows).split(BATCH)


def _signal(train: Batch, info: SessionInfo) -> Signal:
    return fit_signal(train, "sqrt_unit" if info.is_poisson else "unit", SMOOTHING_BINS)


def _examples(batch: Batch, inputs: Inputs, targets: tuple[Target, ...]) -> _Examples:
    names = [target.behaviour.name for target in targets]
    seen = (batch.observed[name] for name in names)
    return _Examples(
        inputs=inputs.of(batch),
        valid=batch.valid,
        true=tuple(batch.behaviours[name] for name in names),
        seen=tuple(s & batch.valid if s.ndim == 2 else s for s in seen),
    )


def _targets(train: Batch, info: SessionInfo, per: Per) -> tuple[Target, ...]:
    """The behaviours that training windows show, side by side in the outputs of one network."""
    targets: list[Target] = []
    for b in info.behaviours:
        if b.per == per and bool(train.observed[b.name].any()):
            first = targets[-1].columns.stop if targets else 0
            targets.append(_target(train, b, slice(first, first + b.size)))
    return tuple(targets)


def _target(train: Batch, behaviour: Behaviour, columns: slice) -> Target:
    values = observed_values(train, behaviour)
    scale = weights = torch.ones(behaviour.size)
    if behaviour.kind == "continuous":
        centre, deviation = values.float().mean(dim=0), values.float().std(dim=0, correction=0)
        scale = torch.where(deviation > 0, deviation, 1.0)
    else:
        counts = torch.bincount(values.long(), minlength=behaviour.size)
        present = counts > 0
        weights = torch.where(present, len(values) / (present.sum() * counts.clamp_min(1)), 0.0)
        centre = torch.where(present, 0.0, ABSENT)
    return Target(
        behaviour=behaviour, columns=columns, centre=centre, scale=scale, weights=weights
    )
