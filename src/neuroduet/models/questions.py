"""Questions about units put to any model: the short way where it has one, else one by one."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from neuroduet.models.micro_batches import over, repeat
from neuroduet.models.modalities import Visible
from neuroduet.models.translator import Translator
from neuroduet.types import NEURAL, Batch, UnitQuestions


def answer_units(
    model: nn.Module,
    batch: Batch,
    visible: Visible,
    questions: UnitQuestions,
    prompt: int = -1,
    at_once: int | None = None,
) -> Float[Tensor, "B T N"] | None:
    """Predict units that are hidden in turns.

    Args:
        model: Any model of :data:`neuroduet.models.MODELS`.
        batch: Windows with all activity.
        visible: What may be seen before any unit is hidden.
        questions: Which units each question hides and asks about.
        prompt: Index into :data:`neuroduet.masking.PROMPTS`, -1 for none.
        at_once: Most windows, over all questions, that a translator works on together; ``None``
            for all of them. Other models are asked one question after the other in any case, so
            that what the questions share is computed once.

    Returns:
        Log expected counts or traces of the units asked about, 0 elsewhere; ``None`` if the model
        does not predict activity.
    """
    if isinstance(model, Translator) and not model.silence:
        return _in_pieces(model, batch, visible, questions, prompt, at_once)
    answers = batch.activity.new_zeros(batch.activity.shape)
    base = _Base(model, batch, visible, prompt)
    for hidden, scored in zip(questions.hidden, questions.scored, strict=True):
        # A bin of which nothing may be seen is another thing than a silent one.
        silent = getattr(model, "silence", False) and not bool(hidden.all())
        known = base.answer(hidden & ~scored) if silent else None
        asked = torch.ones(len(batch.windows), dtype=torch.bool)
        if known is not None:
            # Where the units asked about are silent, hiding them changes nothing.
            asked = (batch.activity[:, :, scored] != 0).any(2).any(1)
            answers[:, :, scored] = known[:, :, scored]
        if asked.any():
            activity = base.ask(hidden, asked)
            if activity is None:
                return None
            answers[asked] = torch.where(scored, activity, answers[asked])
    return answers


def _in_pieces(
    model: Translator,
    batch: Batch,
    visible: Visible,
    questions: UnitQuestions,
    prompt: int,
    at_once: int | None,
) -> Float[Tensor, "B T N"]:
    count = len(questions.hidden)
    size = count if at_once is None else max(1, at_once // len(batch.windows))
    answers = batch.activity.new_zeros(batch.activity.shape)
    for first in range(0, count, size):
        part = UnitQuestions(
            hidden=questions.hidden[first : first + size],
            scored=questions.scored[first : first + size],
        )
        asked = part.scored.any(0)
        answers[:, :, asked] = _together(model, batch, visible, part, prompt)[:, :, asked]
    return answers


def _together(
    model: Translator, batch: Batch, visible: Visible, questions: UnitQuestions, prompt: int
) -> Float[Tensor, "B T N"]:
    """Answer all questions as one batch, without doing again what they share.

    The input stitcher is linear, so hiding a unit subtracts its own rank-one share from the
    projection of all units; the output stitcher is evaluated for the units asked about only.
    """
    count, n = len(questions.hidden), len(batch.windows)
    repeated = repeat(batch, count)
    seen = {name: over(mask, count) for name, mask in visible.items()}
    prompts = None if prompt < 0 else torch.full((count * n,), prompt, device=batch.valid.device)
    whole_bin = (seen[NEURAL] & repeated.valid[..., None]).any(-1, keepdim=True)
    whole_bin = whole_bin & ~questions.hidden.all(1).repeat_interleave(n)[:, None, None]
    weight = model.input_weight(batch.session)
    low_rank = model.input_stitch(batch.session).without(batch.activity, questions.hidden, weight)
    low_rank = low_rank.flatten(0, 1).masked_fill(~whole_bin, 0.0)
    stitched = model.stitched(low_rank, whole_bin, repeated, seen, prompts)
    latents = model.latents_of(stitched).unflatten(0, (count, n))
    output, loadings = model.output_stitch(batch.session), model.loadings(batch.session)
    answers = batch.activity.new_zeros(batch.activity.shape)
    for latent, asked in zip(latents, questions.scored, strict=True):
        answers[:, :, asked] = output(latent, loadings, asked).float()
    return answers


class _Base:
    """A model asked about one batch with sets of units hidden, some answers remembered."""

    def __init__(self, model: nn.Module, batch: Batch, visible: Visible, prompt: int) -> None:
        self.model, self.batch, self.visible, self.prompt = model, batch, visible, prompt
        self.answers: dict[bytes, Tensor | None] = {}

    def ask(self, hidden: Bool[Tensor, " N"], rows: Bool[Tensor, " B"]) -> Tensor | None:
        """Predictions for some windows with units hidden."""
        few = take_windows(self.batch, rows)
        seen = {name: mask[rows] for name, mask in self.visible.items()}
        seen[NEURAL] = seen[NEURAL] & ~hidden
        prompts = None if self.prompt < 0 else torch.full((len(few.windows),), self.prompt)
        activity = self.model([few], [seen], [prompts])[0].activity
        return None if activity is None else activity.float()

    def answer(self, hidden: Bool[Tensor, " N"]) -> Tensor | None:
        """Predictions for all windows, computed once per set of hidden units."""
        key = hidden.numpy().tobytes()
        if key not in self.answers:
            self.answers[key] = self.ask(hidden, torch.ones(len(self.batch.windows)).bool())
        return self.answers[key]


def take_windows(batch: Batch, rows: slice | Bool[Tensor, " B"]) -> Batch:
    """Some windows of a batch.

    Args:
        batch: Windows.
        rows: Which of them.
    """
    return replace(
        batch,
        activity=batch.activity[rows],
        valid=batch.valid[rows],
        behaviours={name: values[rows] for name, values in batch.behaviours.items()},
        observed={name: seen[rows] for name, seen in batch.observed.items()},
        windows=batch.windows[rows],
    )
