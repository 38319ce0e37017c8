"""Fitted deep generative models: they tell classes and latents of every frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from neuroduet.actions.frames import Frames
from neuroduet.actions.model import Arrays, Report
from neuroduet.actions.s3lds.fitting import fit_network, infer
from neuroduet.actions.s3lds.inference import Inferred
from neuroduet.actions.s3lds.network import Network, SwitchingNetwork, build
from neuroduet.actions.s3lds.options import LatentOptions, SLDSOptions
from neuroduet.actions.s3lds.posterior import decoded
from neuroduet.types import UNLABELLED


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
        every = (self._proba(x, seen).numpy() for x, seen in self._inferred(features))
        named = [p[:, : self.n_classes] for p in every]
        return [p / p.sum(1, keepdims=True).clip(np.finfo(p.dtype).tiny) for p in named]

    def latents(
        self, features: Sequence[Float[np.ndarray, "_ D"]]
    ) -> list[Float[np.ndarray, "_ M"]]:
        """Mean of the latents of every frame under its most probable class."""
        return [self._latents(x, seen).numpy() for x, seen in self._inferred(features)]

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


def fit(
    frames: Sequence[Frames], n_classes: int, options: LatentOptions, seed: int, report: Report
) -> FittedLatentModel:
    """Fit the model that the options are of to recordings, some frames of which may have labels.

    Args:
        frames: Recordings.
        n_classes: Number of named classes K.
        options: Of one of the models.
        seed: Of initialisation, sampling and dropout.
        report: Told how far training is.
    """
    classes = n_classes + options.extra_classes
    network = fit_network(frames, classes, options, seed, report)
    return FittedLatentModel(network=network, n_classes=n_classes)


def fit_slds(
    frames: Sequence[Frames], n_states: int, options: SLDSOptions, seed: int, report: Report
) -> FittedLatentModel:
    """Fit switching dynamics to recordings, labels left aside."""
    bare = [
        Frames(features=one.features, labels=np.full(len(one.features), UNLABELLED))
        for one in frames
    ]
    return fit(bare, n_states, options, seed, report)


def restore(arrays: Arrays, options: LatentOptions) -> FittedLatentModel:
    """The fitted model that the arrays came from."""
    state = {
        name.removeprefix("network."): torch.from_numpy(np.array(array))
        for name, array in arrays.items()
        if name.startswith("network.")
    }
    features, latents, n_classes = (int(size) for size in arrays["sizes"])
    with torch.random.fork_rng(devices=[]):
        network = build(options, features, n_classes + options.extra_classes, latents)
    network.load_state_dict(state)
    return FittedLatentModel(network=network.eval().requires_grad_(False), n_classes=n_classes)
