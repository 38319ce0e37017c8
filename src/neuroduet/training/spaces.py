"""What a search draws from: a distribution for each setting, for every preset, or from a file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from neuroduet.errors import UserError, unknown

DIGITS = 4
"""Significant digits of a drawn number: it can be read, and typed again."""


@dataclass(frozen=True, kw_only=True)
class LogUniform:
    """Numbers whose logarithm is spread evenly.

    Attributes:
        low: Smallest number, above 0.
        high: Largest number.
    """

    low: float
    high: float

    def draw(self, generator: np.random.Generator) -> float:
        """A number between ``low`` and ``high``."""
        value = math.exp(generator.uniform(math.log(self.low), math.log(self.high)))
        return _rounded(value, self.low, self.high)


@dataclass(frozen=True, kw_only=True)
class Uniform:
    """Numbers spread evenly.

    Attributes:
        low: Smallest number.
        high: Largest number.
    """

    low: float
    high: float

    def draw(self, generator: np.random.Generator) -> float:
        """A number between ``low`` and ``high``."""
        return _rounded(generator.uniform(self.low, self.high), self.low, self.high)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One of some values, all equally often.

    Attributes:
        values: Numbers, words, or anything else that a setting may be.
    """

    values: tuple[Any, ...]

    def draw(self, generator: np.random.Generator) -> Any:
        """One of the values."""
        return self.values[int(generator.integers(len(self.values)))]


Distribution = LogUniform | Uniform | Choice
Space = Mapping[str, Distribution]
"""Distribution of each ``section.key`` of the configuration."""

NEDS_SPACE: Space = {
    "training.learning_rate": LogUniform(low=1e-4, high=1e-3),
    "training.weight_decay": LogUniform(low=1e-3, high=1e-1),
    "masking.ratio": Uniform(low=0.1, high=0.4),
    "model.width": Choice(values=(128, 256, 512)),
    "model.feed_forward": Choice(values=(256, 512, 1024)),
    "model.layers": Choice(values=(5, 6)),
}
"""The space of NEDS (arXiv 2504.08201, its published search from scratch)."""

SMALL_SPACE: Space = {
    "training.learning_rate": LogUniform(low=1e-3, high=1e-2),
    "training.weight_decay": LogUniform(low=1e-2, high=0.5),
    "masking.ratio": Uniform(low=0.1, high=0.5),
    "masking.unit_ratio": Uniform(low=0.1, high=0.5),
    "model.width": Choice(values=(64, 128, 256)),
    "model.layers": Choice(values=(2, 3, 4)),
    "model.dropout": Uniform(low=0.1, high=0.5),
    "model.unit_dropout": Uniform(low=0.1, high=0.5),
}
"""Around the defaults of `duet`, for a CPU."""

NDT2_SPACE: Space = {
    "training.learning_rate": LogUniform(low=3e-4, high=3e-3),
    "training.weight_decay": LogUniform(low=1e-2, high=0.5),
    "model.width": Choice(values=(64, 128, 256)),
    "model.layers": Choice(values=(2, 3, 4)),
    "model.dropout": Uniform(low=0.1, high=0.5),
    "model.patch": Choice(values=(32, 64, 128)),
}

POYO_SPACE: Space = {
    "training.learning_rate": LogUniform(low=3e-4, high=3e-3),
    "training.weight_decay": LogUniform(low=1e-2, high=0.5),
    "masking.hide_visible": Uniform(low=0.0, high=0.4),
    "model.width": Choice(values=(32, 64, 128)),
    "model.layers": Choice(values=(1, 2, 4)),
    "model.dropout": Uniform(low=0.1, high=0.5),
    "model.unit_dropout": Uniform(low=0.2, high=0.6),
}

SPACES: dict[str, Space] = {
    "duet": SMALL_SPACE,
    "mtm": SMALL_SPACE,
    "ndt1_temporal": SMALL_SPACE,
    "ndt1_neuron": SMALL_SPACE,
    "ndt1_causal": SMALL_SPACE,
    "ndt1_intra_region": SMALL_SPACE,
    "ndt1_inter_region": SMALL_SPACE,
    "neds": NEDS_SPACE,
    "neds_faithful": NEDS_SPACE,
    "mtm_faithful": NEDS_SPACE,
    "ndt2": NDT2_SPACE,
    "poyo": POYO_SPACE,
}
"""What is searched for each preset, unless told otherwise."""

FINETUNED = ("training.learning_rate", "training.weight_decay", "masking.ratio")
"""Settings that NEDS searches in finetuning, where the architecture is given."""

DISTRIBUTIONS: dict[str, type[LogUniform] | type[Uniform] | type[Choice]] = {
    "log_uniform": LogUniform,
    "uniform": Uniform,
    "choice": Choice,
}


def default_space(preset: str, finetuning: bool) -> Space:
    """What is searched for a preset.

    Args:
        preset: A key of :data:`SPACES`.
        finetuning: Whether a trained model is adapted: its architecture then stays.

    Raises:
        UserError: The preset has no space.
    """
    if preset not in SPACES:
        raise unknown("preset with a space to search (or give --space)", preset, SPACES)
    space = SPACES[preset]
    return {key: space[key] for key in FINETUNED if key in space} if finetuning else space


def draw_settings(space: Space, seed: int, number: int) -> dict[str, Any]:
    """The settings of one trial, a function of seed and number alone.

    Args:
        space: What is drawn from; its order does not matter.
        seed: Seed of the search.
        number: Number of the trial.

    Returns:
        Value by setting, in the order of the space.

    Example:
        >>> draw_settings({"model.layers": Choice(values=(5, 6))}, seed=0, number=1)
        {'model.layers': 6}
    """
    generator = np.random.default_rng([seed, number])
    drawn = {key: space[key].draw(generator) for key in sorted(space)}
    return {key: drawn[key] for key in space}


def read_space(path: Path) -> Space:
    """Read a space from a YAML file.

    Args:
        path: A mapping such as ``training.learning_rate: {log_uniform: [1.0e-4, 1.0e-3]}``.

    Returns:
        The space. Whether its settings exist is found out when they are put in place.

    Raises:
        UserError: The file is missing or holds something else.
    """
    if not path.is_file():
        raise UserError(f"no space at {path}; give the path of a YAML file")
    try:
        values = yaml.safe_load(path.read_bytes())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict) or not values:
        raise UserError(
            f"{path} holds no settings; write e.g. training.learning_rate: "
            "{log_uniform: [1.0e-4, 1.0e-3]}"
        )
    return {str(key): _distribution(str(key), value, path) for key, value in values.items()}


def describe_space(space: Space) -> dict[str, Any]:
    """A space as the mapping that :func:`read_space` reads."""
    names = {kind: name for name, kind in DISTRIBUTIONS.items()}
    return {
        key: {
            names[type(one)]: list(one.values if isinstance(one, Choice) else asdict(one).values())
        }
        for key, one in space.items()
    }


def _distribution(key: str, value: Any, path: Path) -> Distribution:
    if not isinstance(value, dict) or len(value) != 1:
        raise UserError(
            f"{path}: '{key}' is {value!r}, expected one of log_uniform: [low, high], "
            "uniform: [low, high], choice: [value, ...] in braces"
        )
    ((name, given),) = value.items()
    if name not in DISTRIBUTIONS:
        raise unknown(f"distribution of '{key}' in {path}", str(name), DISTRIBUTIONS)
    if not isinstance(given, list) or not given:
        raise UserError(f"{path}: {name} of '{key}' is {given!r}, expected a list in brackets")
    if name == "choice":
        return Choice(values=tuple(given))
    low, high = _bounds(f"{path}: {name} of '{key}'", given)
    if name == "uniform":
        return Uniform(low=low, high=high)
    if low <= 0:
        raise UserError(f"{path}: log_uniform of '{key}' starts at {low:g}, expected more than 0")
    return LogUniform(low=low, high=high)


def _bounds(what: str, given: list[Any]) -> tuple[float, float]:
    try:
        # YAML takes 1e-4, without a dot, for a word.
        numbers = [float(one) for one in given if not isinstance(one, bool)]
    except (TypeError, ValueError):
        numbers = []
    if len(given) != 2 or len(numbers) != 2 or not all(map(math.isfinite, numbers)):
        raise UserError(f"{what} is {given!r}, expected two numbers, [low, high]")
    low, high = numbers
    if low >= high:
        raise UserError(f"{what} is {given!r}, expected the smaller number first")
    return low, high


def _rounded(value: float, low: float, high: float) -> float:
    return min(max(float(f"{value:.{DIGITS}g}"), low), high)
