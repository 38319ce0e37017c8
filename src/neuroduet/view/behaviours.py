"""Behaviours of one recording, ready to be drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from torch_brain.data import Data

from neuroduet.config import BehaviourConfig
from neuroduet.data.columns import column, mapped
from neuroduet.data.pose import STATEMENTS
from neuroduet.data.schema import describe_behaviours, source_column
from neuroduet.data.sources import class_values, encode
from neuroduet.view.segments import Clock, clock
from neuroduet.view.traces import Signal, signal, usual_range


@dataclass(frozen=True, kw_only=True, eq=False)
class Behaviour:
    """One behaviour.

    Attributes:
        config: Name, source, kind and grain.
        channels: Names of the channels, if it is continuous.
        classes: Names of the classes, if it is categorical.
        low: Lower end of a scale.
        high: Upper end of a scale.
        times: When samples, of classes, or trials are; none for continuous samples.
        samples: Continuous values per sample.
        values: Continuous values per trial, ``(J, C)``.
        codes: Class of every sample or trial.
    """

    config: BehaviourConfig
    channels: tuple[str, ...]
    classes: tuple[str, ...]
    low: float
    high: float
    times: Clock
    samples: Signal | None = None
    values: Float[np.ndarray, "J C"] | None = None
    codes: Int[np.ndarray, " J"] | None = None


def open_behaviours(recording: Data, trials: Clock, pages: np.memmap) -> dict[str, Behaviour]:
    """Open what a checked recording says of behaviour, by name.

    Args:
        recording: The recording.
        trials: When its trials are.
        pages: Its mapped file.
    """
    found = {}
    for config in describe_behaviours(recording):
        place = source_column(recording, config.source)
        # Actions have a line of their own, where they can be corrected.
        if place is None or config.source.partition(".")[0] in STATEMENTS:
            continue
        group, field = place
        raw, at_s = mapped(column(group, field), pages), None
        if config.per == "bin":
            at_s = mapped(column(group, "timestamps"), pages)
        if config.kind == "continuous":
            found[config.name] = _continuous(config, raw, trials, at_s)
        else:
            found[config.name] = _categorical(config, raw, trials if at_s is None else clock(at_s))
    return found


def _continuous(
    config: BehaviourConfig, raw: np.ndarray, trials: Clock, at_s: np.ndarray | None
) -> Behaviour:
    n_channels = int(np.prod(raw.shape[1:], dtype=np.int64))
    low, high = usual_range(raw)
    values = raw.reshape(len(raw), n_channels)
    return Behaviour(
        config=config,
        # As tables of scores call them.
        channels=tuple(f"[{number}]" for number in range(n_channels)),
        classes=(),
        low=low,
        high=high,
        times=trials if at_s is None else clock(np.zeros(0)),
        samples=None if at_s is None else signal(at_s, values),
        values=values.astype(np.float64) if at_s is None else None,
    )


def _categorical(config: BehaviourConfig, raw: np.ndarray, times: Clock) -> Behaviour:
    raw = np.asarray(raw)
    values = class_values(raw, config.per)
    codes = encode(raw, values) if values else np.full(len(raw), -1)
    if config.per == "bin" and raw.dtype.kind in "iu":
        codes = np.where(raw < 0, -1, codes)
    return Behaviour(
        config=config,
        channels=(),
        classes=tuple(str(value) for value in values),
        low=0.0,
        high=float(max(len(values) - 1, 1)),
        times=times,
        codes=codes.astype(np.int64),
    )
