"""Labelled frames as independent examples, and which of them to hold out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int

from neuroduet.actions.frames import Frames
from neuroduet.actions.lags import Surroundings
from neuroduet.types import UNLABELLED

HELD_OUT_EVERY = 5
"""One in so many recordings, or this share of each, is held out."""


@dataclass(frozen=True, kw_only=True)
class Examples:
    """What trees grow from; in the order of recordings and frames.

    Attributes:
        x: Columns of labelled frames.
        y: Their classes, 0 to K-1.
        weight: How much each frame counts, 1 on average.
        recording: Where each comes from.
    """

    x: Float32[np.ndarray, "N P"]
    y: Int[np.ndarray, " N"]
    weight: Float64[np.ndarray, " N"]
    recording: Int[np.ndarray, " N"]

    def only(self, chosen: Bool[np.ndarray, " N"]) -> Examples:
        """Some of them."""
        return Examples(
            x=self.x[chosen],
            y=self.y[chosen],
            weight=self.weight[chosen],
            recording=self.recording[chosen],
        )


def gather(
    frames: Sequence[Frames], surroundings: Surroundings, most: int, balance: float, seed: int
) -> tuple[Examples, Int[np.ndarray, " P"]]:
    """Labelled frames of all recordings with their surroundings.

    Args:
        frames: Recordings.
        surroundings: What describes a frame.
        most: Most frames to take; if there are more, so many drawn at random.
        balance: 0 counts every frame alike, 1 every class alike.
        seed: Of the draw.

    Returns:
        The examples, their classes counted through, and which classes those are.
    """
    chosen = [one.labels != UNLABELLED for one in frames]
    edges = np.cumsum([len(one) for one in chosen])[:-1]
    drawn = np.split(_at_most(np.concatenate(chosen), most, seed), edges)
    x = [_columns(one, surroundings, kept) for one, kept in zip(frames, drawn, strict=True)]
    labels = [one.labels[kept] for one, kept in zip(frames, drawn, strict=True)]
    present, y = np.unique(np.concatenate(labels), return_inverse=True)
    share = np.bincount(y) ** -float(balance)
    weight = share[y] / share[y].mean()
    recording = np.repeat(np.arange(len(frames)), [len(one) for one in labels])
    return Examples(x=np.concatenate(x), y=y, weight=weight, recording=recording), present


def held_out(examples: Examples) -> Bool[np.ndarray, " N"] | None:
    """Which examples to judge by: whole recordings, or the last part of each; never single frames.

    Frames resemble their neighbours, so that frames drawn at random would be known already.

    Args:
        examples: All there are.

    Returns:
        A mask of roughly every fifth; ``None`` if what is left would lack a class.
    """
    recordings, rank = np.unique(examples.recording, return_inverse=True)
    if len(recordings) >= HELD_OUT_EVERY:
        mask = rank % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
    else:
        counts = np.bincount(rank)
        place = np.arange(len(rank)) - (np.cumsum(counts) - counts)[rank]
        mask = place >= counts[rank] * (1 - 1 / HELD_OUT_EVERY)
    lacks = np.bincount(examples.y[~mask], minlength=examples.y.max() + 1) == 0
    return None if lacks.any() or not mask.any() else mask


def _at_most(chosen: Bool[np.ndarray, " T"], most: int, seed: int) -> Bool[np.ndarray, " T"]:
    places = np.flatnonzero(chosen)
    if len(places) <= most:
        return chosen
    kept = np.zeros_like(chosen)
    kept[np.random.default_rng(seed).choice(places, most, replace=False)] = True
    return kept


def _columns(
    one: Frames, surroundings: Surroundings, kept: Bool[np.ndarray, " T"]
) -> Float32[np.ndarray, "N P"]:
    return np.concatenate([x[kept[at]] for at, x in surroundings.blocks(one.features)])
