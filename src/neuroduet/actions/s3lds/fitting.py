"""Training of the deep generative models."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from neuroduet.actions.frames import Frames
from neuroduet.actions.model import Report
from neuroduet.actions.s3lds.inference import Inferred
from neuroduet.actions.s3lds.network import Network, SwitchingNetwork, build
from neuroduet.actions.s3lds.options import LatentOptions, SwitchingOptions
from neuroduet.actions.s3lds.posterior import class_posterior
from neuroduet.actions.s3lds.start import (
    components,
    start_at_components,
    start_dynamics,
    start_posterior,
    trust_in_dynamics,
)
from neuroduet.actions.s3lds.windows import Tape, lay_out, sampler

PASSES = 100
"""Passes over the data, where the number of steps is not given."""
STEPS = (600, 3000)
"""Fewest and most steps, where their number is not given."""
CLIP = 5.0
"""Largest norm of the gradient."""
PIECE = 16_384
"""Frames inferred at once."""


def infer(network: Network, x: Float[Tensor, "T D"]) -> Inferred:
    """Infer all frames of a recording; it is cut in pieces, which changes nothing."""
    pad = network.inference.pad
    wide = functional.pad(x, (0, 0, pad, pad))
    parts = [
        network.inference(wide[None, begin : begin + PIECE + 2 * pad])
        for begin in range(0, len(x), PIECE)
    ]
    return Inferred(*(torch.cat(found, 1) for found in zip(*parts, strict=True)))


def n_steps(frames: int, options: LatentOptions) -> int:
    """Steps of training."""
    if options.steps is not None:
        return options.steps
    wanted = math.ceil(PASSES * frames / (options.batch * options.window))
    return min(max(wanted, STEPS[0]), STEPS[1])


def fit_network(
    frames: Sequence[Frames],
    classes: int,
    options: LatentOptions,
    seed: int,
    report: Report,
) -> Network:
    """Make a network and train it.

    Args:
        frames: Recordings.
        classes: Number of classes, extra ones included.
        options: Options.
        seed: Of initialisation, sampling and dropout.
        report: Told how far training is.

    Returns:
        The network, in evaluation mode.
    """
    directions, deviations = components(frames, options.latents)
    tape = lay_out(frames, classes, options.window, options.pad)
    # The caller's own random numbers must not depend on what is fitted.
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        network = build(options, len(directions), classes, len(deviations))
        if options.start == "components":
            start_at_components(network, directions, deviations)
        if isinstance(network, SwitchingNetwork) and network.options.posterior == "smoothed":
            start_posterior(tape, frames, classes, network.options.hmm, seed)
            network.trust.fill_(trust_in_dynamics(frames, classes, network.options.hmm, seed))
            start_dynamics(network, tape)
        _train(network, tape, options, report)
    return network.eval().requires_grad_(False)


def _train(network: Network, tape: Tape, options: LatentOptions, report: Report) -> None:
    steps = n_steps(int(tape.valid.sum()), options)
    draw = sampler(tape, options.centred)
    generator = torch.Generator().manual_seed(torch.initial_seed())
    optimiser = torch.optim.Adam(_groups(network, options), amsgrad=True, fused=True)
    rates = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step / steps))
    renewals = renewal_steps(options, steps)
    network.train()
    for step in range(steps):
        if step in renewals:
            _renew_posterior(network, tape)
        batch = tape.gather(draw.draw(options.batch, generator))
        total = torch.stack(list(network.terms(batch, annealed(options, step / steps)).values()))
        optimiser.zero_grad()
        total.sum().backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        optimiser.step()
        rates.step()
        report(step + 1, steps, float(total.detach().sum()))


def _groups(network: Network, options: LatentOptions) -> list[dict[str, Any]]:
    """Parameters and their learning rates."""
    rate = options.learning_rate
    prior = list(network.prior.parameters())
    return [
        {"params": list(network.inference.parameters()), "lr": rate},
        {"params": list(network.emission.parameters()), "lr": rate},
        {"params": prior, "lr": rate * options.prior_speed},
    ]


def _rate(done: float) -> float:
    """Share of the learning rate: a cosine from 1 to 0.1."""
    return 0.1 + 0.45 * (1 + math.cos(math.pi * done))


def annealed(options: LatentOptions, done: float) -> float:
    """Share of transitions and dynamics that counts when so much of training is done."""
    if not isinstance(options, SwitchingOptions):
        return 1.0
    begin, end = options.anneal
    if end <= begin:
        return float(done >= begin)
    return min(max((done - begin) / (end - begin), 0.0), 1.0)


def renewal_steps(options: LatentOptions, steps: int) -> set[int]:
    """Steps before which the smoothed posterior is computed anew: evenly, once all terms count."""
    if not isinstance(options, SwitchingOptions) or options.posterior != "smoothed":
        return set()
    first, n = options.renew_after, options.renewals
    return {int(steps * (first + (1 - first) * i / n)) for i in range(n)}


def _renew_posterior(network: Network, tape: Tape) -> None:
    assert isinstance(network, SwitchingNetwork)
    network.eval()
    with torch.no_grad():
        for begin, end in tape.spans:
            x = tape.x[begin:end]
            found = class_posterior(network, x, infer(network, x), tape.labels[begin:end])
            tape.posterior[begin:end] = found
    network.train()
