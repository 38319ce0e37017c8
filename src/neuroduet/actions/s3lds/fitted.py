"""Fitted deep generative models: they predict, infer latents, reconstruct and generate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from neuroduet.actions.frames import Frames
from neuroduet.actions.model import Arrays, Report
from neuroduet.actions.s3lds.fitting import Make, fit_network, infer
from neuroduet.actions.s3lds.inference import Inferred
from neuroduet.actions.s3lds.network import MixtureNetwork, Network, SwitchingNetwork
from neuroduet.actions.s3lds.options import (
    GMDGMOptions,
    LatentOptions,
    SLDSOptions,
    SwitchingOptions,
)
from neuroduet.actions.s3lds.posterior import decoded
from neuroduet.errors import UserError
from neuroduet.types import UNLABELLED

START_VARIANCE = 1e-4
"""Of the first latent of a generated recording, as published."""


class Generated(NamedTuple):
    """A recording that a model made up.

    Attributes:
        features: Standardised observations; ``(T, D)``.
        classes: ``(T,)``.
        latents: ``(T, M)``.
    """

    features: Float[np.ndarray, "T D"]
    classes: Int[np.ndarray, " T"]
    latents: Float[np.ndarray, "T M"]


@dataclass(frozen=True, kw_only=True)
class FittedLatentModel:
    """A trained network as a segmenter uses it.

    Attributes:
        network: In evaluation mode.
        n_classes: Classes that have a name; extra ones follow them.
    """

    network: Network
    n_classes: int

    def predict_proba(
        self, features: Sequence[Float[np.ndarray, "_ D"]]
    ) -> list[Float[np.ndarray, "_ K"]]:
        """Probability of every named class in every frame; rows sum to 1.

        The probability of extra classes is left out, and the rest scaled up.
        """
        named = [p[:, : self.n_classes] for p in self.state_proba(features)]
        return [p / p.sum(1, keepdims=True).clip(np.finfo(p.dtype).tiny) for p in named]

    def state_proba(
        self, features: Sequence[Float[np.ndarray, "_ D"]]
    ) -> list[Float[np.ndarray, "_ E"]]:
        """Probability of every class, extra ones included; rows sum to 1."""
        return [self._proba(x, seen).numpy() for x, seen in self._inferred(features)]

    def latents(
        self, features: Sequence[Float[np.ndarray, "_ D"]]
    ) -> list[Float[np.ndarray, "_ M"]]:
        """Mean of the latents of every frame under its most probable class."""
        return [self._latents(x, seen).numpy() for x, seen in self._inferred(features)]

    def reconstruct(
        self, features: Sequence[Float[np.ndarray, "_ D"]]
    ) -> list[Float[np.ndarray, "_ D"]]:
        """The observations that the latents stand for, standardised as the features are."""
        with torch.no_grad():
            return [
                self.network.emission.mean(self._latents(x, seen)).numpy()
                for x, seen in self._inferred(features)
            ]

    def generate(self, n_frames: int, seed: int) -> Generated:
        """Make up a recording by drawing from the generative model.

        Args:
            n_frames: Its length.
            seed: Of the draw.

        Raises:
            UserError: It would have no frame.
        """
        if n_frames < 1:
            raise UserError(f"a recording of {n_frames} frames cannot be drawn; ask for 1 or more")
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            if isinstance(self.network, MixtureNetwork):
                classes, latents = _draw_mixture(self.network, n_frames, generator)
            else:
                classes, latents = _draw_path(self.network, n_frames, generator)
            mean = self.network.emission.mean(latents)
            noise = torch.randn(mean.shape, generator=generator) * self.network.emission.noise
        return Generated((mean + noise).numpy(), classes.numpy(), latents.numpy())

    def arrays(self) -> Arrays:
        """All parameters, and how many features, latents and named classes there are."""
        parameters = {
            f"network.{name}": value.numpy() for name, value in self.network.state_dict().items()
        }
        sizes = [self.network.features, self.network.latents, self.n_classes]
        return {**parameters, "sizes": np.array(sizes)}

    def _inferred(
        self, features: Sequence[Float[np.ndarray, "_ D"]]
    ) -> Iterator[tuple[Tensor, Inferred]]:
        for one in features:
            x = torch.from_numpy(np.ascontiguousarray(one, np.float32))
            with torch.no_grad():
                yield x, infer(self.network, x)

    def _proba(self, x: Float[Tensor, "T D"], seen: Inferred) -> Float[Tensor, "T E"]:
        network = self.network
        if isinstance(network, SwitchingNetwork) and network.options.decoding == "dynamics":
            with torch.no_grad():
                return decoded(network, x, seen)
        return seen.logits[0].double().softmax(-1)

    def _latents(self, x: Float[Tensor, "T D"], seen: Inferred) -> Float[Tensor, "T M"]:
        best = self._proba(x, seen)[:, : self.n_classes].argmax(1)
        return seen.mean[0, torch.arange(len(best)), best]


def _draw_mixture(
    network: MixtureNetwork, n_frames: int, generator: torch.Generator
) -> tuple[Int[Tensor, " T"], Float[Tensor, "T M"]]:
    classes = torch.randint(network.classes, (n_frames,), generator=generator)
    mean = network.prior.mean_table()[classes]
    deviation = (0.5 * network.prior.log_variances.table()[classes]).exp()
    return classes, mean + deviation * torch.randn(mean.shape, generator=generator)


def _draw_path(
    network: SwitchingNetwork, n_frames: int, generator: torch.Generator
) -> tuple[Int[Tensor, " T"], Float[Tensor, "T M"]]:
    dynamics = network.prior
    deviations = (0.5 * dynamics.log_variances.table()).exp()
    noise = torch.randn(n_frames, deviations.shape[1], generator=generator)
    classes, latents = torch.zeros(n_frames, dtype=torch.long), torch.zeros_like(noise)
    classes[0] = torch.randint(network.classes, (), generator=generator)
    latents[0] = START_VARIANCE**0.5 * noise[0]
    for t in range(1, n_frames):
        chances = dynamics.transition(latents[t - 1]).softmax(-1)
        classes[t] = torch.multinomial(chances, 1, generator=generator)[0]
        mean = dynamics.next_latents(latents[t - 1])[classes[t]]
        latents[t] = mean + deviations[classes[t]] * noise[t]
    return classes, latents


def fit_s3lds(
    frames: Sequence[Frames],
    n_classes: int,
    options: SwitchingOptions,
    seed: int,
    report: Report,
) -> FittedLatentModel:
    """Fit switching dynamics to recordings of which some frames may have labels."""
    return _fit(
        partial(SwitchingNetwork, options=options), frames, n_classes, options, seed, report
    )


def fit_slds(
    frames: Sequence[Frames], n_states: int, options: SLDSOptions, seed: int, report: Report
) -> FittedLatentModel:
    """Fit switching dynamics to recordings, labels left aside."""
    bare = [
        Frames(features=one.features, labels=np.full(len(one.features), UNLABELLED))
        for one in frames
    ]
    return _fit(partial(SwitchingNetwork, options=options), bare, n_states, options, seed, report)


def fit_gmdgm(
    frames: Sequence[Frames], n_classes: int, options: GMDGMOptions, seed: int, report: Report
) -> FittedLatentModel:
    """Fit a mixture to recordings of which some frames may have labels."""
    return _fit(partial(MixtureNetwork, options=options), frames, n_classes, options, seed, report)


def _fit(
    make: Make,
    frames: Sequence[Frames],
    n_classes: int,
    options: LatentOptions,
    seed: int,
    report: Report,
) -> FittedLatentModel:
    classes = n_classes + options.extra_classes
    network = fit_network(make, frames, classes, options, seed, report)
    return FittedLatentModel(network=network, n_classes=n_classes)


def restore_s3lds(arrays: Arrays, options: SwitchingOptions) -> FittedLatentModel:
    """The fitted model that the arrays came from."""
    return _restore(partial(SwitchingNetwork, options=options), arrays, options)


def restore_gmdgm(arrays: Arrays, options: GMDGMOptions) -> FittedLatentModel:
    """The fitted model that the arrays came from."""
    return _restore(partial(MixtureNetwork, options=options), arrays, options)


def _restore(
    make: Make, arrays: Mapping[str, np.ndarray], options: LatentOptions
) -> FittedLatentModel:
    state = {
        name.removeprefix("network."): torch.from_numpy(np.array(array))
        for name, array in arrays.items()
        if name.startswith("network.")
    }
    features, latents, n_classes = (int(size) for size in arrays["sizes"])
    with torch.random.fork_rng(devices=[]):
        network = make(features, n_classes + options.extra_classes, latents)
    network.load_state_dict(state)
    return FittedLatentModel(network=network.eval().requires_grad_(False), n_classes=n_classes)
