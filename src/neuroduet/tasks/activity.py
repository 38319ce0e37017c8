"""Activity predicted from activity: the four questions of MtM.

Behaviours are hidden in all of them, so that a model of activity alone and a model of both answer
the same question.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from neuroduet.errors import UserError
from neuroduet.masking import hide, region_index, to_masks
from neuroduet.masking.activity import last_bins, usual_horizon
from neuroduet.tasks.task import USUAL, ActivityOptions, Variant, whole_masks
from neuroduet.types import NEURAL, Batch, Masks, SessionInfo, UnitQuestions

FOLD_SEED = 0


class CoSmoothing:
    """Each unit from all the others, one at a time (exact) or in folds of units."""

    name: str = "co_smoothing"
    oracle: str | None = "rates"

    def variants(self, info: SessionInfo, options: ActivityOptions = USUAL) -> tuple[Variant, ...]:
        """One variant, with a question per unit or fold."""
        asked = asked_units(info, options)
        if not asked.any():
            return ()
        hidden = _folds(asked, options.folds)
        return _variant(info, UnitQuestions(hidden=hidden, scored=hidden))

    def masks(self, batch: Batch, variant: Variant) -> Masks:
        """Masks before any unit is hidden; every unit that a question asks about is scored."""
        return question_masks(batch, variant)


class InterRegion:
    """Each region from all the others."""

    name: str = "inter_region"
    oracle: str | None = "rates"

    def variants(self, info: SessionInfo, options: ActivityOptions = USUAL) -> tuple[Variant, ...]:
        """One variant with a question per region; none for a session with fewer than two."""
        regions = region_index(info.regions)
        if regions is None or int(regions.max()) < 1:
            return ()
        hidden = torch.stack([regions == region for region in range(int(regions.max()) + 1)])
        scored = hidden & asked_units(info, options)
        kept = scored.any(1)
        if not kept.any():
            return ()
        return _variant(info, UnitQuestions(hidden=hidden[kept], scored=scored[kept]))

    def masks(self, batch: Batch, variant: Variant) -> Masks:
        """Masks before any region is hidden."""
        return question_masks(batch, variant)


class IntraRegion:
    """Each unit from the other units of its region, one at a time or in folds within regions.

    A unit that is alone in its region is not asked about.
    """

    name: str = "intra_region"
    oracle: str | None = "rates"

    def variants(self, info: SessionInfo, options: ActivityOptions = USUAL) -> tuple[Variant, ...]:
        """One variant with a question per unit or fold; none for a session without regions."""
        regions = region_index(info.regions)
        if regions is None:
            return ()
        asked, hidden, scored = asked_units(info, options), [], []
        for region in range(int(regions.max()) + 1):
            inside = regions == region
            if int(inside.sum()) < 2 or not bool((inside & asked).any()):
                continue
            # More folds than units of the region ask about one at a time.
            for fold in _folds(inside & asked, options.folds):
                hidden.append(~inside | fold)
                scored.append(fold)
        if not scored:
            return ()
        questions = UnitQuestions(hidden=torch.stack(hidden), scored=torch.stack(scored))
        return _variant(info, questions)

    def masks(self, batch: Batch, variant: Variant) -> Masks:
        """Masks before any unit is hidden."""
        return question_masks(batch, variant)


class Forward:
    """The last bins of all units from the bins before them."""

    name: str = "forward"
    oracle: str | None = "rates"

    def variants(self, info: SessionInfo, options: ActivityOptions = USUAL) -> tuple[Variant, ...]:
        """One variant.

        Raises:
            UserError: The horizon leaves no bin to predict from.
        """
        horizon = options.horizon or usual_horizon(info.max_bins)
        if horizon >= info.max_bins:
            raise UserError(
                f"the horizon of {horizon} bins leaves nothing of windows of "
                f"{info.max_bins} bins to predict from; choose a shorter one"
            )
        hidden = frozenset(b.name for b in info.behaviours)
        return (Variant(hidden=hidden, targets={NEURAL: _target(info)}, horizon=horizon),)

    def masks(self, batch: Batch, variant: Variant) -> Masks:
        """Hide the last bins of every window."""
        assert variant.horizon is not None
        late = last_bins(batch, torch.full((len(batch.windows), 1), variant.horizon))
        hidden = hide(batch, dict.fromkeys(variant.hidden, True)) | {NEURAL: late}
        masks = to_masks(batch, hidden)
        return Masks(visible=masks.visible, scored={NEURAL: masks.scored[NEURAL]})


def asked_units(info: SessionInfo, options: ActivityOptions) -> Tensor:
    """Which units of a session are asked about, ``(N,)``; none if none is wanted."""
    if options.units is None:
        return torch.ones(len(info.units), dtype=torch.bool)
    return torch.tensor([unit in options.units for unit in info.units])


def question_masks(batch: Batch, variant: Variant) -> Masks:
    """All activity visible and the variant's modalities hidden; the asked units are scored."""
    assert variant.questions is not None
    masks = whole_masks(batch, variant)
    asked = variant.questions.scored.any(0)
    return Masks(
        visible=masks.visible, scored={NEURAL: batch.valid[:, :, None] & asked[None, None]}
    )


def one_question(masks: Masks, questions: UnitQuestions, index: int) -> Masks:
    """The masks of one question of a variant.

    Args:
        masks: See :func:`question_masks`.
        questions: The questions.
        index: Which of them.

    Returns:
        Masks with that question's units hidden and scored.
    """
    return Masks(
        visible=masks.visible | {NEURAL: masks.visible[NEURAL] & ~questions.hidden[index]},
        scored={NEURAL: masks.scored[NEURAL] & questions.scored[index]},
    )


def _variant(info: SessionInfo, questions: UnitQuestions) -> tuple[Variant, ...]:
    hidden = frozenset(behaviour.name for behaviour in info.behaviours)
    return (Variant(hidden=hidden, targets={NEURAL: _target(info)}, questions=questions),)


def _target(info: SessionInfo) -> str:
    return "spikes" if info.is_poisson else "traces"


def _folds(asked: Tensor, folds: int | None) -> Tensor:
    """Groups of the asked units, ``(Q, N)``: one unit each, or units dealt out at random."""
    units = np.flatnonzero(asked.numpy())
    groups: Sequence[np.ndarray] = np.split(units, len(units))
    if folds is not None and folds < len(units):
        order = np.random.default_rng(FOLD_SEED).permutation(units)
        groups = [order[fold::folds] for fold in range(folds)]
    hidden = torch.zeros(len(groups), len(asked), dtype=torch.bool)
    for row, group in zip(hidden, groups, strict=True):
        row[torch.from_numpy(group)] = True
    return hidden
