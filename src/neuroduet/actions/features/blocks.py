"""Columns of features, kept apart by animal until the animals are made exchangeable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True, kw_only=True)
class Features:
    """Features of one recording.

    Attributes:
        values: ``(T, D)`` float32; NaN where nothing is known.
        names: One per column.
    """

    values: Float[np.ndarray, "T D"]
    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Block:
    """Some columns, for every animal or for every pair of animals.

    Attributes:
        names: One per column.
        values: ``(T, A, F)``; NaN where missing.
    """

    names: tuple[str, ...]
    values: Float[np.ndarray, "T A F"]


def numbered(name: str, size: int) -> tuple[str, ...]:
    """Names of like columns: ``x0``, ``x1``, ..."""
    return tuple(f"{name}{i}" for i in range(size))


def join_blocks(blocks: Sequence[Block], symmetric: bool) -> Features:
    """All columns beside each other.

    Args:
        blocks: Columns by animal or pair.
        symmetric: Keep the smallest and the largest value over animals (or pairs) instead of one
            column for each, so that it does not matter which animal is which.
    """
    parts = [_extremes(block) if symmetric else _listed(block) for block in blocks]
    values = np.concatenate([values for _, values in parts], axis=1)
    return Features(
        values=np.where(np.isfinite(values), values, np.nan).astype(np.float32),
        names=tuple(name for names, _ in parts for name in names),
    )


def _extremes(block: Block) -> tuple[tuple[str, ...], Float[np.ndarray, "T F"]]:
    """Smallest and largest value over animals, of those that are known."""
    if block.values.shape[1] == 1:
        return _listed(block)
    smallest, largest = np.fmin.reduce(block.values, 1), np.fmax.reduce(block.values, 1)
    names = [f"{how}.{name}" for how in ("least", "most") for name in block.names]
    return tuple(names), np.concatenate([smallest, largest], axis=1)


def _listed(block: Block) -> tuple[tuple[str, ...], Float[np.ndarray, "T F"]]:
    """One column for every animal."""
    frames, animals, columns = block.values.shape
    values = block.values.reshape(frames, animals * columns)
    if animals == 1:
        return block.names, values
    return tuple(f"{name}.{i}" for i in range(animals) for name in block.names), values
