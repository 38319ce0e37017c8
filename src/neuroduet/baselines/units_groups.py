"""Which units are asked about, and which may be seen: questions that share a set of units."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from neuroduet.masking import region_index
from neuroduet.types import NEURAL, Batch, Masks, SessionInfo, UnitQuestions


@dataclass(frozen=True, kw_only=True)
class Group:
    """Units that are asked about alike.

    Attributes:
        shown: Units that each of the asked may be predicted from, less itself, ``(N,)``.
        asked: Units that are predicted, ``(N,)``.
    """

    shown: Bool[Tensor, " N"]
    asked: Bool[Tensor, " N"]


Rule = Callable[[Tensor, Group], Tensor]
"""From a signal ``(M, N)`` to what is said of the asked units, ``(M, A)``."""


def task_groups(info: SessionInfo) -> dict[str, list[Group]]:
    """What each task asks, in groups that share a set of visible units.

    Args:
        info: The session.

    Returns:
        By task; tasks over regions only where regions are known, and units whose region is not
        known are not asked about in them.
    """
    everyone = torch.ones(len(info.units), dtype=torch.bool)
    tasks = {"co_smoothing": [Group(shown=everyone, asked=everyone)]}
    regions = region_index(info.regions)
    if regions is not None:
        inside = [regions == region for region in range(int(regions.max()) + 1)]
        tasks["intra_region"] = [Group(shown=units, asked=units) for units in inside]
        tasks["inter_region"] = [Group(shown=~units, asked=units) for units in inside]
    return tasks


def shown_units(batch: Batch, masks: Masks) -> Bool[Tensor, "B N"]:
    """Units none of whose bins is hidden.

    Args:
        batch: Windows.
        masks: What is visible.

    Returns:
        ``(B, N)``.
    """
    visible = masks.visible.get(NEURAL)
    if visible is None:
        return torch.zeros(len(batch.valid), batch.activity.shape[2], dtype=torch.bool)
    return (visible.expand(batch.activity.shape) | ~batch.valid[:, :, None]).all(dim=1)


def joined(questions: UnitQuestions, shown: Bool[Tensor, " N"]) -> list[Group]:
    """Questions in groups that share a set of visible units.

    A question about one unit joins those that would see the same units if that one were visible.

    Args:
        questions: The questions.
        shown: Units that may be seen before any question hides some, ``(N,)``.

    Returns:
        The groups.
    """
    single = questions.scored.sum(dim=1, keepdim=True) == 1
    visible = (~questions.hidden | (questions.scored & single)) & shown
    sets, members = visible.unique(dim=0, return_inverse=True)
    asked = [questions.scored[members == index].any(dim=0) for index in range(len(sets))]
    return [Group(shown=units, asked=of) for units, of in zip(sets, asked, strict=True)]


def by_group(
    rule: Rule,
    signal: Float[Tensor, "M N"],
    groups: Sequence[Group],
    null: Float[Tensor, " N"],
) -> Float[Tensor, "M N"]:
    """Answer groups of questions about the same bins.

    Args:
        rule: Answers one group.
        signal: What is known of each bin, ``(M, N)``.
        groups: What is asked.
        null: Said of units that are not asked about, ``(N,)``.

    Returns:
        ``(M, N)``.
    """
    found = null.repeat(len(signal), 1)
    for group in groups:
        found[:, group.asked] = rule(signal, group)
    return found


def by_window(
    rule: Rule, signal: Float[Tensor, "B T N"], shown: Bool[Tensor, "B N"]
) -> Float[Tensor, "B T N"]:
    """Predict every unit from the units that its window shows.

    Args:
        rule: Answers one group.
        signal: What is known of each bin, ``(B, T, N)``.
        shown: Visible units of each window, ``(B, N)``.

    Returns:
        ``(B, T, N)``; a visible unit is predicted from the others.
    """
    found = torch.empty_like(signal)
    everyone = torch.ones_like(shown[0])
    sets, members = shown.unique(dim=0, return_inverse=True)
    for index, units in enumerate(sets):
        rows = signal[members == index]
        answer = rule(rows.flatten(0, 1), Group(shown=units, asked=everyone))
        found[members == index] = answer.unflatten(0, rows.shape[:2])
    return found
