"""A network: a backbone, the read-out of classes, and read-outs that only teach.

Shape letters as in :mod:`neuroduet.actions.networks.backbones`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from neuroduet.actions.networks.backbones import (
    Backbone,
    DilatedStage,
    DilatedTCN,
    Recurrent,
    TemporalMLP,
    linear_decoder,
)
from neuroduet.actions.networks.options import (
    GRUOptions,
    LSTMOptions,
    MLPOptions,
    MSTCNOptions,
    NetworkOptions,
    RecurrentOptions,
    TCNOptions,
)

NEVER = -30.0
"""Logit of a class without a training label."""


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """What a network says about the frames of a window that are not context.

    Attributes:
        stages: Logits of every stage, the last being the answer; ``(B, T, K)`` each.
        hidden: Hidden states of the backbone.
    """

    stages: tuple[Float[Tensor, "B T K"], ...]
    hidden: Float[Tensor, "B T H"]


class Refinement(nn.Module):
    """Probabilities of a stage to better logits."""

    def __init__(self, stage: Backbone, n_classes: int) -> None:
        super().__init__()
        self.stage = stage
        self.classes = nn.Linear(stage.width, n_classes)

    def forward(self, logits: Float[Tensor, "B T K"]) -> Float[Tensor, "B _ K"]:
        """Refined logits of all frames but the context of the stage."""
        return self.classes(self.stage.core(logits.softmax(-1)))


class Network(nn.Module):
    """Features to class logits of every frame.

    Attributes:
        backbone: Features to hidden states.
        classes: Hidden states to logits.
        refinements: Later stages, empty but for MS-TCN.
        weak: Read-out of weak labels; learns beside ``classes``, so that errors of the heuristic
            reach the backbone only. ``None``: not wanted.
        next_frame: Hidden states to the features of the next frame, or ``None``.
        offset: Added to logits; :data:`NEVER` for classes without a training label.
        pad: Frames of context on each side.
    """

    def __init__(
        self, backbone: Backbone, refinements: list[Refinement], seen: Bool[Tensor, " K"]
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.classes = nn.Linear(backbone.width, len(seen))
        self.refinements = nn.ModuleList(refinements)
        self.weak: nn.Linear | None = None
        self.next_frame: nn.Module | None = None
        self.offset: Tensor
        self.register_buffer("offset", torch.where(seen, 0.0, NEVER))
        self.pad = backbone.pad + sum(r.stage.pad for r in refinements)

    def forward(self, x: Float[Tensor, "B T D"]) -> Outputs:
        """Everything about all frames but ``pad`` on each side."""
        hidden = self.backbone.core(x)
        stages = [self.classes(hidden) + self.offset]
        for refinement in self.refinements:
            stages.append(refinement(stages[-1]) + self.offset)
        frames = stages[-1].shape[1]
        return Outputs(
            stages=tuple(_centre(logits, frames) for logits in stages),
            hidden=_centre(hidden, frames),
        )

    def logits(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B _ K"]:
        """The answer only."""
        return self(x).stages[-1]


def build(options: NetworkOptions, inputs: int, seen: Bool[Tensor, " K"]) -> Network:
    """A network as it predicts, freshly initialised from torch's generator.

    Args:
        options: Of its family.
        inputs: Features of a frame.
        seen: Which classes have training labels.
    """
    backbone = BACKBONES[type(options)](options, inputs)
    return Network(backbone, _refinements(options, len(seen)), seen)


def add_teachers(network: Network, options: NetworkOptions, inputs: int, *, weak: bool) -> None:
    """Give a network the read-outs that only teach."""
    width = network.backbone.width
    if weak:
        network.weak = nn.Linear(width, network.classes.out_features)
    if options.prediction_weight > 0:
        network.next_frame = _decoder(options, width, inputs)


def _decoder(options: NetworkOptions, width: int, outputs: int) -> nn.Module:
    if isinstance(options, TCNOptions):
        sizes = (options.layers, options.lags, options.dropout)
        return DilatedTCN(width, options.hidden, outputs, *sizes, descending=True)
    return linear_decoder(width, options.hidden, outputs, options.layers)


def _refinements(options: NetworkOptions, n_classes: int) -> list[Refinement]:
    if not isinstance(options, MSTCNOptions):
        return []
    sizes = (options.hidden, options.layers, options.dropout)
    stages = (DilatedStage(n_classes, *sizes) for _ in range(options.stages - 1))
    return [Refinement(stage, n_classes) for stage in stages]


def _mlp(options: MLPOptions, inputs: int) -> Backbone:
    return TemporalMLP(inputs, options.hidden, options.layers, options.lags, options.dropout)


def _tcn(options: TCNOptions, inputs: int) -> Backbone:
    sizes = (options.layers, options.lags, options.dropout)
    return DilatedTCN(inputs, options.hidden, options.hidden, *sizes)


def _ms_tcn(options: MSTCNOptions, inputs: int) -> Backbone:
    return DilatedStage(inputs, options.hidden, options.layers, options.dropout)


def _recurrent(kind: Any, options: RecurrentOptions, inputs: int) -> Backbone:
    sizes = (options.hidden, options.layers, options.dropout)
    return Recurrent(kind, inputs, *sizes, options.bidirectional, options.context)


BACKBONES: Mapping[type[NetworkOptions], Callable[[Any, int], Backbone]] = {
    MLPOptions: _mlp,
    LSTMOptions: partial(_recurrent, "lstm"),
    GRUOptions: partial(_recurrent, "gru"),
    TCNOptions: _tcn,
    MSTCNOptions: _ms_tcn,
}
"""Options of a family -> what builds its backbone from them and the number of features."""


def _centre(x: Float[Tensor, "B T C"], frames: int) -> Float[Tensor, "B _ C"]:
    extra = (x.shape[1] - frames) // 2
    return x[:, extra : extra + frames]
