"""Imposter sessions: windows in which another session's behaviour takes the place of the own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from neuroduet.tasks.collect import stacked
from neuroduet.tasks.task import SessionData, batches_of
from neuroduet.types import Batch, Behaviour


@dataclass(frozen=True, kw_only=True, eq=False)
class Deeds:
    """The behaviour of one session in all windows of a split.

    Attributes:
        behaviours: What the behaviours are.
        values: By name, ``(W, T, C)``, ``(W, C)``, ``(W, T)`` or ``(W,)``.
        observed: By name, ``(W, T)`` or ``(W,)``.
    """

    behaviours: tuple[Behaviour, ...]
    values: dict[str, Tensor]
    observed: dict[str, Tensor]


def deeds_of(behaviours: tuple[Behaviour, ...], batches: Sequence[Batch]) -> Deeds:
    """Put the behaviour of a session's windows together.

    Args:
        behaviours: Behaviours of the session.
        batches: Its windows, at least one.

    Returns:
        Windows one after the other, the shorter ones with unobserved bins at their end.
    """
    names = [behaviour.name for behaviour in behaviours]
    return Deeds(
        behaviours=behaviours,
        values={n: torch.from_numpy(stacked([b.behaviours[n] for b in batches])) for n in names},
        observed={n: torch.from_numpy(stacked([b.observed[n] for b in batches])) for n in names},
    )


def imposters(
    batches: Sequence[Batch], behaviours: tuple[Behaviour, ...], other: Deeds
) -> list[Batch]:
    """Windows in which another session's behaviour takes the place of the own.

    Args:
        batches: Windows of one session.
        behaviours: Behaviours of that session.
        other: Behaviour of another session. What it does not have is not observed.

    Returns:
        As many windows as both have, in order; none if no behaviour is common to them.
    """
    theirs = {_nature(b): b.name for b in other.behaviours}
    common = {b.name for b in behaviours if _nature(b) in theirs}
    if not common:
        return []
    left = len(next(iter(other.observed.values())))
    made, start = [], 0
    for batch in batches:
        rows = min(len(batch.windows), left - start)
        if rows > 0:
            made.append(_with_behaviour(batch, rows, start, common, other))
        start += rows
    return made


def _nature(behaviour: Behaviour) -> Behaviour:
    """What must be equal for values to mean the same, wherever a recording keeps them."""
    return replace(behaviour, source="")


def _with_behaviour(batch: Batch, rows: int, start: int, common: set[str], other: Deeds) -> Batch:
    values, observed = {}, {}
    for name, own in batch.behaviours.items():
        seen = batch.observed[name][:rows]
        values[name], observed[name] = torch.zeros_like(own[:rows]), torch.zeros_like(seen)
        if name in common:
            length = seen.shape[1] if seen.ndim > 1 else None
            values[name] = _fit(other.values[name][start : start + rows], length)
            observed[name] = _fit(other.observed[name][start : start + rows], length)
            if length is not None:
                observed[name] = observed[name] & batch.valid[:rows]
    return Batch(
        session=batch.session,
        activity=batch.activity[:rows],
        valid=batch.valid[:rows],
        behaviours=values,
        observed=observed,
        windows=batch.windows[:rows],
    )


def _fit(values: Tensor, bins: int | None) -> Tensor:
    """Cut or pad the bins of ``(W, T, ...)`` with zeros (false); ``None`` leaves all as it is."""
    if bins is None or values.shape[1] == bins:
        return values
    whole = values.new_zeros((len(values), bins, *values.shape[2:]))
    kept = min(bins, values.shape[1])
    whole[:, :kept] = values[:, :kept]
    return whole


def deeds_by_session(
    sessions: Sequence[SessionData], split: str, batch_size: int
) -> dict[str, Deeds]:
    """The behaviour of every session that has any, to be put in another's place.

    Args:
        sessions: Sessions.
        split: The split whose windows are read.
        batch_size: Windows read at a time.

    Returns:
        By session id.
    """
    found = {}
    for session in sessions:
        windows = session.indices(split)
        if len(windows) and session.info.behaviours:
            batches = list(batches_of(session, windows, batch_size))
            found[session.info.id] = deeds_of(session.info.behaviours, batches)
    return found
