"""Prediction of whole recordings: every frame once, with its full context."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from neuroduet.actions.lags import window_moments
from neuroduet.actions.model import Arrays
from neuroduet.actions.networks.network import Network, build
from neuroduet.actions.networks.options import NetworkOptions, RecurrentOptions
from neuroduet.errors import UserError

PIECE = 1024
"""Frames of a piece; the hidden states of a few layers of it fit into the cache of a core."""

GROUP_FRAMES = 16384
"""Frames that are computed at a time, which bounds the memory."""


@dataclass(frozen=True, kw_only=True)
class Networks:
    """Fitted networks whose probabilities are averaged.

    Attributes:
        members: The networks, in evaluation mode.
        inputs: Features of a frame.
        windows: Of which statistics are added to them.
        piece: Frames computed at a time; matters to the result only where context is not all
            (recurrent networks).
    """

    members: tuple[Network, ...]
    inputs: int
    windows: tuple[int, ...]
    piece: int

    def predict_proba(
        self, features: Sequence[Float[np.ndarray, "_ D"]]
    ) -> list[Float[np.ndarray, "_ K"]]:
        """Probability of every class in every frame; see :class:`~neuroduet.actions.model.Fitted`.

        Raises:
            UserError: The features are not as many as in training.
        """
        for one in features:
            if one.shape[1] != self.inputs:
                raise UserError(
                    f"a recording has {one.shape[1]} features but the network was fitted on "
                    f"{self.inputs}; compute the same features as for training"
                )
        with torch.inference_mode():
            return [self._probabilities(one).numpy() for one in features]

    def arrays(self) -> Arrays:
        """Weights of every member, and the sizes of input and output."""
        n_classes = self.members[0].classes.out_features
        found = {"sizes": np.array([self.inputs, n_classes])}
        for index, network in enumerate(self.members):
            for name, values in network.state_dict().items():
                found[f"{index}.{name}"] = values.numpy().copy()
        return found

    def _probabilities(self, features: Float[np.ndarray, "T D"]) -> Float[Tensor, "T K"]:
        x = torch.from_numpy(np.ascontiguousarray(widened(features, self.windows), np.float32))
        each = [frame_logits(m, x, self.piece).softmax(-1) for m in self.members]
        return each[0] if len(each) == 1 else torch.stack(each).mean(0)


def widened(
    features: Float[np.ndarray, "T D"], windows: tuple[int, ...]
) -> Float[np.ndarray, "T P"]:
    """Features and their means and standard deviations in centred windows."""
    return np.concatenate([features, *(window_moments(features, w) for w in windows)], axis=1)


def frame_logits(
    network: Network, features: Float[Tensor, "T D"], piece: int = PIECE
) -> Float[Tensor, "T K"]:
    """Logits of all frames of a recording, computed in overlapping pieces.

    Args:
        network: In evaluation mode.
        features: Of one recording.
        piece: Frames of a piece, context not counted.
    """
    parts = [network.logits(group) for group in _groups(features, piece, network.pad)]
    return torch.cat([part.flatten(0, 1) for part in parts])[: len(features)]


def as_predictor(networks: Sequence[Network], inputs: int, options: NetworkOptions) -> Networks:
    """Trained networks, without what only taught them, as a fitted model."""
    for network in networks:
        network.weak = network.next_frame = None
        network.eval().requires_grad_(False)
    return Networks(
        members=tuple(networks),
        inputs=inputs,
        windows=options.windows,
        piece=piece_of(networks[0], options),
    )


def piece_of(network: Network, options: NetworkOptions) -> int:
    """Frames of a piece: recurrent networks meet the lengths they were trained on."""
    if isinstance(options, RecurrentOptions):
        return options.window
    return max(PIECE, 4 * network.pad)


def restore(arrays: Arrays, options: NetworkOptions) -> Networks:
    """The fitted networks whose :meth:`Networks.arrays` these are."""
    inputs, n_classes = (int(n) for n in arrays["sizes"])
    # Building draws weights that are overwritten; nobody's random numbers should notice.
    with torch.random.fork_rng(devices=[]):
        wide = inputs * (1 + 2 * len(options.windows))
        seen = torch.ones(n_classes, dtype=torch.bool)
        networks = [build(options, wide, seen) for _ in range(options.members)]
    for index, network in enumerate(networks):
        _load(network, arrays, f"{index}.")
    return as_predictor(networks, inputs, options)


def _load(network: nn.Module, arrays: Arrays, prefix: str) -> None:
    own = {name: a for name, a in arrays.items() if name.startswith(prefix)}
    network.load_state_dict(
        {name.removeprefix(prefix): torch.from_numpy(np.array(a)) for name, a in own.items()}
    )


def _groups(
    features: Float[Tensor, "T D"], piece: int, pad: int
) -> Iterator[Float[Tensor, "B P D"]]:
    """Pieces of equal length with their context, several at a time; the last may end in zeros."""
    n_pieces = max(1, -(-len(features) // piece))
    size = max(1, -(-len(features) // n_pieces))
    beyond = n_pieces * size - len(features)
    padded = functional.pad(features, (0, 0, pad, pad + beyond))
    pieces = padded.unfold(0, size + 2 * pad, size).transpose(1, 2)
    yield from pieces.split(max(1, GROUP_FRAMES // size))
