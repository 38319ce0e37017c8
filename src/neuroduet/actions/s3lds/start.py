"""Where training starts: latents at principal components, classes at those of an AR-HMM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from neuroduet.actions.frames import Frames
from neuroduet.actions.hmm import ARHMM
from neuroduet.actions.hmm.options import ARHMMOptions
from neuroduet.actions.model import silent
from neuroduet.actions.s3lds.generative import SwitchingDynamics
from neuroduet.actions.s3lds.network import Network, SwitchingNetwork
from neuroduet.actions.s3lds.windows import Tape
from neuroduet.types import UNLABELLED

EXPLAINED = 0.95
"""Share of the variance that the latents explain, where their number is not given."""
MOST_LATENTS = 8
SMALL = 0.1
"""Scale of the networks' own part of the latents at the start, in standard deviations."""
LOG_VARIANCE = -3.0
"""Of q(z | x, y) at the start, where the latents' variance is 1."""
RIDGE = 1e-2
"""Frames' worth of belief that a class has no dynamics: keeps regressions of rare ones finite."""
LOGISTIC_STEPS = 50
"""Most iterations of the regression that starts the transitions."""
SHRINK = 1e-4
"""Penalty of its weights."""
LEAST_CHANCE = 0.05
"""Of not being right by guessing; keeps the skill defined where all labels are alike."""
LEAST_VARIANCE = 1e-4
"""Of the dynamics at the start, in units of the latents' variance."""


def components(
    frames: Sequence[Frames], latents: int | None
) -> tuple[Float[Tensor, "D M"], Float[Tensor, " M"]]:
    """Principal components of all frames of all recordings.

    Args:
        frames: The recordings; standardised, so their mean is 0.
        latents: Number of components; ``None``: by the share of the variance they explain.

    Returns:
        Directions, and the standard deviation of each.
    """
    n_frames = sum(len(one.features) for one in frames)
    gram = sum(one.features.T.astype(np.float64) @ one.features for one in frames) / n_frames
    values, vectors = np.linalg.eigh(gram)
    values, vectors = values[::-1].clip(0), vectors[:, ::-1]
    if latents is None:
        shares = values.cumsum() / max(values.sum(), np.finfo(float).tiny)
        latents = min(int((shares < EXPLAINED).sum()) + 1, MOST_LATENTS, len(values))
    extra = max(latents - len(values), 0)
    directions = np.pad(vectors[:, :latents], ((0, 0), (0, extra)))
    deviations = np.pad(np.sqrt(values[:latents]), (0, extra))
    return torch.from_numpy(directions).float(), torch.from_numpy(deviations).float()


def start_at_components(
    network: Network, directions: Float[Tensor, "D M"], deviations: Float[Tensor, " M"]
) -> None:
    """Set the latents to principal components of unit variance, up to small corrections."""
    inference = network.inference
    assert inference.components is not None
    with torch.no_grad():
        inference.components.weight.copy_((directions / deviations.clamp_min(1e-6)).T)
        inference.encoder.shrink(SMALL, LOG_VARIANCE)
        if isinstance(network.emission.mean, nn.Linear):
            network.emission.mean.weight.copy_(directions * deviations)
            network.emission.mean.bias.zero_()


def start_posterior(
    tape: Tape, frames: Sequence[Frames], classes: int, options: ARHMMOptions, seed: int
) -> None:
    """Set responsibilities to those of an autoregressive HMM that was fitted to the labels too.

    Args:
        tape: Receives them.
        frames: The recordings, in the order of the tape.
        classes: Number of classes.
        options: Of the HMM.
        seed: Of the HMM's k-means starts.
    """
    for (begin, end), shares in zip(tape.spans, _hmm(frames, classes, options, seed), strict=True):
        tape.posterior[begin:end] = torch.from_numpy(shares).float()


def trust_in_dynamics(
    frames: Sequence[Frames], classes: int, options: ARHMMOptions, seed: int
) -> float:
    """How well dynamics and half of the labels foretell the other half.

    Args:
        frames: The recordings.
        classes: Number of classes.
        options: Of the autoregressive HMM that foretells.
        seed: Of its k-means starts.

    Returns:
        0 to 1: the squared skill, where guessing the commonest class has none; 1 without labels,
        because nothing speaks against the dynamics.
    """
    labels = np.concatenate([one.labels for one in frames])
    kept = first_halves([one.labels for one in frames], classes)
    hidden = labels != np.concatenate(kept)
    if not hidden.any():
        return 1.0
    half = [replace(one, labels=own) for one, own in zip(frames, kept, strict=True)]
    found = np.concatenate([p.argmax(1) for p in _hmm(half, classes, options, seed)])
    right = float((found[hidden] == labels[hidden]).mean())
    chance = float(np.bincount(labels[hidden]).max() / hidden.sum())
    return max(right - chance, 0.0) ** 2 / max(1.0 - chance, LEAST_CHANCE) ** 2


def _hmm(
    frames: Sequence[Frames], classes: int, options: ARHMMOptions, seed: int
) -> list[Float[np.ndarray, "_ K"]]:
    model = ARHMM.fit(frames, classes, options, seed, silent)
    return model.predict_proba([one.features for one in frames])


def first_halves(
    labels: Sequence[Int[np.ndarray, " _"]], classes: int
) -> list[Int[np.ndarray, " _"]]:
    """Labels of which every class keeps only the earlier half, rounded up."""
    joined = np.concatenate(labels)
    for k in range(classes):
        own = np.flatnonzero(joined == k)
        joined[own[(len(own) + 1) // 2 :]] = UNLABELLED
    return np.split(joined, np.cumsum([len(one) for one in labels])[:-1])


def start_dynamics(network: SwitchingNetwork, tape: Tape) -> None:
    """Fit linear dynamics of every class to the latents, given the responsibilities."""
    dynamics = network.prior
    if not dynamics.linear or network.inference.components is None:
        return
    with torch.no_grad():
        z = network.inference.components(tape.x).double()
        pairs = (tape.valid[1:] & tape.valid[:-1]).double()
        weights = tape.posterior[1:].double() * pairs[:, None]
        for k in range(network.classes):
            _regress(dynamics, k, z, weights[:, k])
    _foretell(dynamics, z[:-1].float(), tape.posterior[:-1], weights.float())


def _regress(
    dynamics: SwitchingDynamics, k: int, z: Float[Tensor, "F M"], weights: Float[Tensor, " P"]
) -> None:
    """Weighted least squares of one class's dynamics, pulled a little towards standing still."""
    before = torch.cat([z[:-1], torch.ones(len(z) - 1, 1, dtype=z.dtype)], 1)
    change = z[1:] - z[:-1]
    weighted = before * weights[:, None]
    gram = weighted.T @ before + RIDGE * torch.eye(before.shape[1], dtype=z.dtype)
    found = torch.linalg.solve(gram, weighted.T @ change)
    error = (change - before @ found).square()
    variance = (weights @ error) / weights.sum().clamp_min(1.0)
    latents = z.shape[1]
    still = torch.eye(latents, dtype=z.dtype)
    rows = slice(k * latents, (k + 1) * latents)
    assert isinstance(dynamics.step, nn.Linear)
    dynamics.step.weight[rows] = (found[:-1].T + still).to(dynamics.step.weight)
    dynamics.step.bias[rows] = found[-1].to(dynamics.step.bias)
    own = variance.clamp_min(LEAST_VARIANCE).log().to(dynamics.log_variances.weight)
    dynamics.log_variances.weight[:, k] = own - dynamics.log_variances.bias


def _foretell(
    dynamics: SwitchingDynamics,
    before: Float[Tensor, "P M"],
    classes: Float[Tensor, "P J"],
    weights: Float[Tensor, "P K"],
) -> None:
    """Logistic regression of each frame's class on latents and class of the frame before."""
    transition, memory = dynamics.transition, dynamics.memory
    if not isinstance(transition, nn.Linear):
        return
    learned = [*transition.parameters(), *([] if memory is None else [memory])]
    optimiser = torch.optim.LBFGS(learned, max_iter=LOGISTIC_STEPS)
    total = weights.sum().clamp_min(1.0)

    def cost() -> Float[Tensor, ""]:
        optimiser.zero_grad()
        logits = transition(before) if memory is None else transition(before) + classes @ memory
        surprise = -(weights * logits.log_softmax(-1)).sum() / total
        penalty = torch.stack([one.square().sum() for one in learned]).sum()
        loss = surprise + SHRINK * penalty
        loss.backward()
        return loss

    optimiser.step(cost)
