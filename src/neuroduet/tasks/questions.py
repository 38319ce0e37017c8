"""Questions about units, asked in blocks: quick where the predictor can, resumable, with progress.

Leaving out every unit in turn takes as many forward passes as there are units. A predictor that
knows a shorter way than hiding units one after the other offers it as ``predict_units``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from neuroduet.errors import UserError
from neuroduet.tasks.activity import one_question
from neuroduet.terminal import Asked
from neuroduet.training.files import read_tensors, write_tensors
from neuroduet.types import Batch, Masks, Predictor, UnitQuestions

BLOCK = 16
SAVE_EVERY_S = 20.0


@dataclass
class Whole:
    """Progress of something with parts, of which one has questions or parts of its own.

    Attributes:
        progress: Told of the whole.
        done: Parts that are done.
        count: Parts that there are.
        furthest: Share of the part at hand that was told of.
    """

    progress: Asked
    done: int = 0
    count: int = 1
    furthest: float = 0.0

    def next(self, about: str, done: int, count: int) -> None:
        """Take note of the part that comes next, and tell of it."""
        self.done, self.count, self.furthest = done, count, 0.0
        self.progress(about, done, count)

    def asked(self, about: str, done: int, count: int) -> None:
        """Tell how far the part at hand is; never less far than before, as in a second batch."""
        if done < self.furthest * count:
            return
        self.furthest = done / count
        self.progress(about, self.done * count + done, self.count * count)


@runtime_checkable
class AnswersUnits(Protocol):
    """A predictor with a short way to answer questions about units."""

    def predict_units(
        self, batch: Batch, masks: Masks, questions: UnitQuestions, task: str
    ) -> Float[Tensor, "B T N"] | None:
        """Log expected counts (or traces) of every unit that a question asks about.

        Args:
            batch: Windows with all activity.
            masks: What may be seen before any unit is hidden.
            questions: Which units each question hides and asks about.
            task: Name of the task.

        Returns:
            Columns of units that no question asks about may hold anything; ``None`` if the
            predictor does not answer this task.
        """
        ...


@dataclass
class Notebook:
    """Answers given so far, kept on disk so that a stopped evaluation can go on.

    Attributes:
        path: File to keep them in; ``None`` keeps nothing.
        fingerprint: Of everything that the answers depend on; a file with another one is not used.
        progress: Told how far it is.
    """

    path: Path | None = None
    fingerprint: str = ""
    progress: Asked | None = None
    _answers: dict[str, Tensor] = field(default_factory=dict)
    _saved: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        if self.path is None or not self.path.is_file():
            return
        try:
            answers, notes = read_tensors(self.path)
        except UserError:
            return
        if notes.get("fingerprint") == self.fingerprint:
            self._answers = answers

    def recall(self, key: str) -> Tensor | None:
        """An earlier answer, if there is one."""
        return self._answers.get(key)

    def note(self, key: str, answer: Tensor) -> None:
        """Remember an answer; written to disk now and then."""
        if self.path is None:
            return
        self._answers[key] = answer.contiguous()
        if time.monotonic() - self._saved > SAVE_EVERY_S:
            write_tensors(self.path, self._answers, {"fingerprint": self.fingerprint})
            self._saved = time.monotonic()


def answer(
    predictor: Predictor,
    batch: Batch,
    masks: Masks,
    questions: UnitQuestions,
    task: str,
    show: Callable[[Batch, Masks], Batch],
    notebook: Notebook,
    place: str,
) -> Float[Tensor, "B T N"] | None:
    """Ask a predictor all questions about one batch.

    Args:
        predictor: Who is asked.
        batch: Windows with true values.
        masks: What may be seen before any unit is hidden.
        questions: The questions.
        task: Name of the task.
        show: Makes of a batch and masks what a predictor without a short way is shown.
        notebook: Earlier answers, and where new ones are kept.
        place: Name of predictor, session, task and batch, under which answers are kept.

    Returns:
        Log expected counts or traces; zero where nothing is asked; ``None`` without an answer.
    """
    count = len(questions.hidden)
    found = torch.zeros(batch.activity.shape)
    for start in range(0, count, BLOCK):
        block = UnitQuestions(
            hidden=questions.hidden[start : start + BLOCK],
            scored=questions.scored[start : start + BLOCK],
        )
        asked = block.scored.any(0)
        key = f"{place}/{start}"
        answers = notebook.recall(key)
        if answers is None:
            answers = _ask(predictor, batch, masks, block, task, show)
            if answers is None:
                return None
            answers = answers[:, :, asked].detach().cpu().float()
            notebook.note(key, answers)
        found[:, :, asked] = answers
        if notebook.progress is not None:
            notebook.progress(f"{batch.session}: {task}", min(start + BLOCK, count), count)
    return found


def _ask(
    predictor: Predictor,
    batch: Batch,
    masks: Masks,
    block: UnitQuestions,
    task: str,
    show: Callable[[Batch, Masks], Batch],
) -> Tensor | None:
    if isinstance(predictor, AnswersUnits):
        return predictor.predict_units(batch, masks, block, task)
    found = torch.zeros(batch.activity.shape)
    for index in range(len(block.hidden)):
        asked = one_question(masks, block, index)
        prediction = predictor.predict(show(batch, asked), asked, task).activity
        if prediction is None:
            return None
        chosen = block.scored[index]
        found[:, :, chosen] = prediction[:, :, chosen].detach().cpu().float()
    return found
