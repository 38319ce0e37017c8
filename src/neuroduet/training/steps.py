"""What every optimiser step sees: windows, masks, and the share of this process in them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from neuroduet.config import Config
from neuroduet.data.batch import Step as Plan
from neuroduet.data.batch import plan_epoch
from neuroduet.data.session import Session
from neuroduet.errors import UserError
from neuroduet.masking import Draw, draw, hide, region_index, to_masks
from neuroduet.masking.corruption import corrupt
from neuroduet.masking.published import published_masks
from neuroduet.masking.published_mtm import published_mtm_masks
from neuroduet.models import Model
from neuroduet.models.micro_batches import silence
from neuroduet.models.questions import take_windows
from neuroduet.training.ranks import ALONE, Ranks, ranks_of
from neuroduet.types import NEURAL, Batch, Masks

log = logging.getLogger(__name__)

RANK_STRIDE = 1 << 40
"""Distance between the seeds of ranks and of the parts of a step: more than any step has."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """Windows of one session in one step.

    Attributes:
        batch: True values.
        masks: What may be seen, and what is scored.
        shown: What the model reads: the same values unless masks corrupt some.
        weights: By modality, what the mean loss of these windows counts in the loss of the step.
    """

    batch: Batch
    masks: Masks
    shown: Batch
    weights: dict[str, float]


Step = tuple[int, list[Part]]


class Steps(IterableDataset[Step]):
    """Micro-batches and masks of every optimiser step, a pure function of (seed, step).

    Several processes divide the windows of each step among them, whatever sessions these are of:
    all make the same number of steps, and together the step that a single one would make.

    Args:
        sessions: Sessions to train on.
        config: Everything about the run.
        first: First step.
        last: Step after the last.
        ranks: The place of this process among several.
    """

    def __init__(
        self,
        sessions: Sequence[Session],
        config: Config,
        first: int,
        last: int,
        ranks: Ranks = ALONE,
    ) -> None:
        self.sessions, self.config, self.first, self.last = sessions, config, first, last
        self.ranks = ranks
        self.per_epoch = len(self._plan(0))
        self.regions = [region_index(session.info.regions) for session in sessions]

    def _plan(self, epoch: int) -> list[Plan]:
        training = self.config.training
        return plan_epoch(
            self.sessions,
            "train",
            training.batch_size,
            training.sessions_per_batch,
            training.seed,
            epoch,
        )

    def __iter__(self) -> Iterator[Step]:
        # Loading processes take turns; the loader asks them in the same order.
        worker = get_worker_info()
        start, stride = (0, 1) if worker is None else (worker.id, worker.num_workers)
        epoch, plan = -1, []
        for step in range(self.first + start, self.last, stride):
            if step // self.per_epoch != epoch:
                epoch = step // self.per_epoch
                plan = self._plan(epoch)
            yield step, self._parts(step, plan[step % self.per_epoch])

    def _parts(self, step: int, plan: Plan) -> list[Part]:
        sizes = [len(windows) for _, windows in plan]
        parts = []
        for place, rows in own_rows(sizes, self.ranks).items():
            session, windows = plan[place]
            whole = self._draw(step, place, session, windows)
            parts.append(_share(whole, rows, sizes[place] / sum(sizes)))
        if parts:
            return parts
        # Fewer windows than processes: one without any repeats one for nothing, as all must step.
        whole = self._draw(step, 0, *plan[0])
        return [_share(whole, slice(0, 1), 0.0)]

    def _draw(self, step: int, place: int, session: int, windows: np.ndarray) -> Part:
        """A whole micro-batch; each has random numbers of its own."""
        seed = self.config.training.seed
        generator = torch.Generator().manual_seed(step_seed(seed, step, 0) + place * RANK_STRIDE)
        recorded = self.sessions[session]
        moving = np.random.default_rng([seed, step, place])
        batch = recorded.batch(windows, recorded.moves(windows, moving))
        return draw_part(batch, self.config, generator, self.regions[session])


@torch.no_grad()
def with_targets(model: Model, sessions: Sequence[Session]) -> list[Session]:
    """The sessions of which a model predicts anything: a decoder needs a behaviour.

    Args:
        model: The model; it is asked about a window of silence of every session.
        sessions: Sessions to train on.

    Returns:
        Those with something to learn from.

    Raises:
        UserError: There is none.
    """
    found, left_out, was_training = [], [], model.training
    model.eval()
    for session in sessions:
        window = silence(session.info, 1)
        answer = model([window], [to_masks(window, hide(window, {})).visible], [None])[0]
        if answer.activity is not None or answer.behaviours:
            found.append(session)
        else:
            left_out.append(session.info.id)
    model.train(was_training)
    if not found:
        raise UserError(
            f"the model predicts neither activity nor a behaviour of {', '.join(left_out)}; give "
            "recordings with behaviours and model.behaviours=true, or set model.inputs=all"
        )
    if left_out and ranks_of().writes:
        log.warning(
            "not trained on, as the model predicts behaviour and they have none: %s",
            ", ".join(left_out),
        )
    return found


def own_rows(sizes: Sequence[int], ranks: Ranks) -> dict[int, slice]:
    """The windows of a step that a process computes: an equal share of them, in order.

    Args:
        sizes: Windows of each micro-batch.
        ranks: The place of the process.

    Returns:
        Rows by micro-batch, without those of which the process has none.

    Example:
        >>> own_rows([3, 5], Ranks(rank=0, world=2))
        {0: slice(0, 3, None), 1: slice(0, 1, None)}
    """
    total = sum(sizes)
    low, high = (total * rank // ranks.world for rank in (ranks.rank, ranks.rank + 1))
    found, start = {}, 0
    for place, size in enumerate(sizes):
        first, last = max(low - start, 0), min(high - start, size)
        if first < last:
            found[place] = slice(first, last)
        start += size
    return found


def draw_part(
    batch: Batch, config: Config, generator: torch.Generator, regions: Tensor | None
) -> Part:
    """A training batch with its masks, of the kind the configuration asks for."""
    masks, shown = _draw_masks(batch, config, generator, regions)
    return Part(batch=batch, masks=masks, shown=shown, weights=dict.fromkeys(masks.scored, 1.0))


def _draw_masks(
    batch: Batch, config: Config, generator: torch.Generator, regions: Tensor | None
) -> tuple[Masks, Batch]:
    masking = config.masking
    if masking.kind == "published":
        if config.model.name == "mtm_published":
            return published_mtm_masks(batch, masking, generator, regions), batch
        return published_masks(batch, masking.ratio, generator, config.model.inputs), batch
    source = Draw(
        generator=generator,
        ratio=masking.ratio,
        unit_ratio=masking.unit_ratio,
        regions=regions,
        patch=config.model.patch,
    )
    masks = draw(batch, masking.schemes, source, masking.hide_visible, masking.per)
    shown, masks = corrupt(batch, masks, masking.keep, masking.random, generator)
    return masks, shown


def _share(whole: Part, rows: slice, share: float) -> Part:
    """Some windows of a micro-batch that is a share of its step.

    Losses are means over what is scored, so that some windows count as much as the part of it that
    is scored in them: the losses of all processes then add up to that of a single one.
    """
    weights = {
        name: share * _fraction(_asked(name, scored), rows)
        for name, scored in whole.masks.scored.items()
    }
    if rows == slice(0, len(whole.batch.windows)):
        return replace(whole, weights=weights)
    batch, shown = take_windows(whole.batch, rows), take_windows(whole.shown, rows)
    return Part(batch=batch, masks=_masks_of(whole.masks, rows), shown=shown, weights=weights)


def _asked(name: str, scored: Tensor) -> Tensor:
    """What the loss of a modality is a mean over: windows for activity, else scored values."""
    return scored.flatten(1).any(1) if name == NEURAL else scored.reshape(len(scored), -1).sum(1)


def _fraction(asked: Tensor, rows: slice) -> float:
    whole = int(asked.sum())
    return int(asked[rows].sum()) / whole if whole else 1.0


def _masks_of(masks: Masks, rows: slice) -> Masks:
    return Masks(
        visible={name: x[rows] for name, x in masks.visible.items()},
        scored={name: x[rows] for name, x in masks.scored.items()},
        prompt=None if masks.prompt is None else masks.prompt[rows],
    )


def step_seed(seed: int, step: int, purpose: int) -> int:
    """A seed for one step's masks (0) or dropout (1): resuming needs no generator states."""
    return (seed * 1_000_003 + step) * 2 + purpose
