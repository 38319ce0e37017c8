"""What training remembers between steps, and how it survives a killed process."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from neuroduet.errors import UserError
from neuroduet.training.files import read_tensors, write_tensors

MEAN = "mean"
"""Key of the weights with the best mean over all validation scores."""


class WeightAverage:
    """Exponential moving average of a model's parameters.

    A step concerns the core and the stitchers of a few sessions. What has no gradient rests, and
    its average catches up when it next moves, or when all averages are asked for: with many
    sessions, the cost of a step would otherwise grow with their number.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.parameters = dict(model.named_parameters())
        self.decay = decay
        self.shadow = {name: p.detach().clone() for name, p in self.parameters.items()}
        self.counted = dict.fromkeys(self.parameters, 0)

    def catch_up(self, step: int) -> None:
        """Count the steps before this one in the averages of weights that are about to move."""
        for name in self._moving():
            self._rest(name, step)

    def update(self, step: int) -> None:
        """Move the averages toward weights that moved; young averages forget faster."""
        moving = self._moving()
        if not moving:
            return
        torch._foreach_lerp_(
            [self.shadow[name] for name in moving],
            [self.parameters[name].detach() for name in moving],
            1.0 - self._kept(step, step + 1),
        )
        self.counted |= dict.fromkeys(moving, step + 1)

    def settle(self, step: int) -> None:
        """Count the steps before this one in all averages."""
        for name in self.parameters:
            self._rest(name, step)

    def _moving(self) -> list[str]:
        return [name for name, p in self.parameters.items() if p.grad is not None]

    def _rest(self, name: str, step: int) -> None:
        if self.counted[name] < step:
            kept = self._kept(self.counted[name], step)
            self.shadow[name].lerp_(self.parameters[name].detach(), 1.0 - kept)
            self.counted[name] = step

    def _kept(self, first: int, last: int) -> float:
        """Share of an average that is left after some steps."""
        young = [(1 + step) / (10 + step) for step in range(first, last) if self._is_young(step)]
        return math.prod(young) * self.decay ** (last - first - len(young))

    def _is_young(self, step: int) -> bool:
        return (1 + step) / (10 + step) < self.decay

    def to(self, device: torch.device) -> None:
        """Keep the average where the model now computes."""
        self.shadow = {name: x.to(device) for name, x in self.shadow.items()}

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the context the model computes with the averaged weights."""
        raw = {name: p.data for name, p in self.parameters.items()}
        for name, p in self.parameters.items():
            p.data = self.shadow[name]
        try:
            yield
        finally:
            for name, p in self.parameters.items():
                p.data = raw[name]


@dataclass
class Progress:
    """Counters of a training run.

    Attributes:
        step: Optimiser steps done.
        elapsed_s: Training time used, over all resumed parts.
        best: Best validation score of every target, and of their mean.
        best_step: The step of each best score.
        stale: Validations since the mean last improved.
    """

    step: int = 0
    elapsed_s: float = 0.0
    best: dict[str, float] = field(default_factory=dict)
    best_step: dict[str, int] = field(default_factory=dict)
    stale: int = 0

    def record(self, scores: dict[str, float]) -> list[str]:
        """Take note of validation scores; returns the keys that improved."""
        if not scores:
            return []
        values = scores | {MEAN: sum(scores.values()) / len(scores)}
        improved = [k for k, v in values.items() if v > self.best.get(k, -math.inf)]
        for key in improved:
            self.best[key], self.best_step[key] = values[key], self.step
        self.stale = 0 if MEAN in improved else self.stale + 1
        return improved


def save_checkpoint(
    path: Path, model: nn.Module, average: WeightAverage, optimizer: Optimizer, progress: Progress
) -> None:
    """Write everything that training needs to go on as if nothing had happened."""
    tensors = {f"model/{name}": p for name, p in model.state_dict().items()}
    tensors |= {f"average/{name}": x for name, x in average.shadow.items()}
    tensors["averaged_steps"] = torch.tensor(list(average.counted.values()))
    for name, p in model.named_parameters():
        for key, value in optimizer.state.get(p, {}).items():
            tensors[f"optimizer/{key}/{name}"] = value
    write_tensors(path, tensors, vars(progress))


def load_checkpoint(
    path: Path, model: nn.Module, average: WeightAverage, optimizer: Optimizer
) -> Progress:
    """Put a checkpoint's weights, average and momenta in place.

    Args:
        path: File of :func:`save_checkpoint`.
        model: A model of the same architecture.
        average: Its weight average.
        optimizer: Its optimiser.

    Returns:
        The counters.

    Raises:
        UserError: The file is missing or damaged, or of a model with other units or behaviours.
    """
    tensors, notes = read_tensors(path)
    try:
        model.load_state_dict(_under(tensors, "model/"))
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise UserError(
            f"{path} does not fit these recordings ({reason}); resume with the data the run was "
            "started with"
        ) from None
    with torch.no_grad():
        for name, value in _under(tensors, "average/").items():
            average.shadow[name].copy_(value)
    average.counted = dict(zip(average.counted, tensors["averaged_steps"].tolist(), strict=True))
    for name, p in model.named_parameters():
        keys = [k for k in tensors if k.startswith("optimizer/") and k.endswith(f"/{name}")]
        if keys:
            optimizer.state[p] = {
                k.removeprefix("optimizer/").split("/", 1)[0]: tensors[k] for k in keys
            }
    return Progress(**notes)


def decay_groups(
    parameters: Sequence[tuple[str, nn.Parameter]], weight_decay: float
) -> list[dict[str, object]]:
    """Two optimiser groups: matrices decay, vectors (biases, norms, tokens) do not."""
    matrices = [p for _, p in parameters if p.ndim > 1]
    vectors = [p for _, p in parameters if p.ndim <= 1]
    return [
        {"params": matrices, "weight_decay": weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
