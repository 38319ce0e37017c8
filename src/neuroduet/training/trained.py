"""Trained models as something that predicts: one model, or an ensemble of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Literal, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from neuroduet.config import Config
from neuroduet.errors import UserError, unknown
from neuroduet.masking import PROMPTS
from neuroduet.models import Model
from neuroduet.models.questions import answer_units, take_windows
from neuroduet.sharing import Rights, Shareable, write_folder
from neuroduet.training.state import MEAN
from neuroduet.types import NEURAL, Batch, Behaviour, Masks, Prediction, SessionInfo, UnitQuestions

CACHED_WIDTH = 4096
"""Windows times model width that pass the trunk together when units are left out in turns."""

FROM_BEHAVIOUR = frozenset({"encoding", "encoding_from"})
"""Tasks that a model without behaviours has nothing to say about."""

TASK_PROMPTS = {
    "co_smoothing": ("neuron", "co_smooth"),
    "forward": ("forward", "causal"),
    "intra_region": ("intra_region",),
    "inter_region": ("inter_region",),
}
"""Schemes that train for a task, the better one first."""

Weights = dict[str, Tensor]
Shared = TypeVar("Shared", bound="Finished")


@runtime_checkable
class HasLatents(Protocol):
    """A model that can show what its read-out of activity starts from."""

    def latents(
        self, batch: Batch, visible: Mapping[str, Tensor], prompt: Tensor | None
    ) -> Tensor:
        """Latents of every bin, ``(B, T, F)``."""
        ...


class Finished(Shareable):
    """A finished run, as others may have it too.

    Attributes:
        origin: Run folder it was read from, whose scores and costs go with it; ``None`` for a
            model that was made in memory.
    """

    origin: Path | None = None

    def __repr__(self) -> str:
        assert isinstance(self, TrainedModel | Ensemble)
        ids = [info.id for info in self.sessions]
        more = f" and {len(ids) - 3} more" if len(ids) > 3 else ""
        place = "" if self.origin is None else f", from {self.origin}"
        name = f"{type(self).__name__} {self.config.preset}"
        return f"<{name}: {', '.join(ids[:3])}{more}{place}>"

    def write_shared(self, folder: Path, rights: Rights, source: str) -> None:
        """Write model, tables and a card; see :class:`~neuroduet.sharing.Shareable`."""
        from neuroduet.training import hub

        assert isinstance(self, TrainedModel | Ensemble)
        hub.write_run(self, folder, rights, source)

    def save_pretrained(
        self,
        folder: Path | str,
        *,
        licence: str | None = None,
        data_licence: str | None = None,
        datasets: Sequence[str] = (),
    ) -> Path:
        """Write a folder to share; see :func:`neuroduet.training.hub.save_pretrained`."""
        rights = Rights(licence=licence, data_licence=data_licence, datasets=datasets)
        write_folder(self, Path(folder), rights)
        return Path(folder)

    @classmethod
    def from_pretrained(
        cls: type[Shared],
        source: Path | str,
        *,
        revision: str | None = None,
        token: str | None = None,
    ) -> Shared:
        """Open a folder or a repository; see :func:`neuroduet.training.hub.from_pretrained`.

        Raises:
            UserError: There is none, or it holds a single model where an ensemble is asked for, or
                the other way round.
        """
        from neuroduet.training import hub

        found = hub.from_pretrained(source, revision=revision, token=token)
        if not isinstance(found, cls):
            raise UserError(
                f"{source} holds {type(found).__name__}, not {cls.__name__}; open it with "
                "neuroduet.from_pretrained"
            )
        return found


class TrainedModel(Finished):
    """A trained model with the weights that were best for each target (a ``Predictor``)."""

    def __init__(self, name: str, config: Config, model: Model, best: dict[str, Weights]) -> None:
        self.name, self.config, self.model, self.best = name, config, model.eval(), best
        self._half = False
        self._loaded = ""
        self._use(MEAN)

    @property
    def sessions(self) -> list[SessionInfo]:
        """Sessions the model has stitchers for."""
        return list(self.model.session_infos.values())

    @property
    def behaviours(self) -> tuple[Behaviour, ...]:
        """Behaviours the model knows."""
        return self.model.behaviours

    @torch.inference_mode()
    def predict(self, batch: Batch, masks: Masks, task: str) -> Prediction:
        """Predict the scored modalities, each with the weights that are best for it."""
        self._check(batch)
        if task in FROM_BEHAVIOUR and not self.config.model.behaviours:
            return Prediction(activity=None)
        activity: Tensor | None = None
        behaviours: dict[str, Tensor] = {}
        prompts = self._prompts(batch, masks, task)
        for key in dict.fromkeys(self._key_of(name, task) for name in masks.scored):
            self._use(key)
            with self._precision():
                answer = self.model([batch], [masks.visible], [prompts])[0]
            if self._key_of(NEURAL, task) == key and NEURAL in masks.scored:
                activity = answer.activity
            behaviours |= {
                name: values
                for name, values in answer.behaviours.items()
                if name in masks.scored and self._key_of(name, task) == key
            }
        return Prediction(activity=activity, behaviours=behaviours)

    @torch.inference_mode()
    def predict_units(
        self, batch: Batch, masks: Masks, questions: UnitQuestions, task: str
    ) -> Tensor | None:
        """Predict units that are hidden in turns (:mod:`neuroduet.tasks.questions`).

        Args:
            batch: Windows with all activity.
            masks: What may be seen before any unit is hidden.
            questions: Which units each question hides and asks about.
            task: Name of the task.

        Returns:
            ``(B, T, N)`` log expected counts or traces of the units asked about.
        """
        self._check(batch)
        self._use(self._key_of(NEURAL, task))
        found = batch.activity.new_zeros(batch.activity.shape)
        # A few windows at a time stay in the processor's cache: a tenth faster than all at once.
        at_once = max(1, CACHED_WIDTH // self.config.model.width)
        # One context for all passes, so that weights are rounded to half precision once.
        with self._precision():
            for start in range(0, len(batch.windows), at_once):
                rows = slice(start, start + at_once)
                few = take_windows(batch, rows)
                visible = {name: mask[rows] for name, mask in masks.visible.items()}
                prompt = self._prompt(task)
                answers = answer_units(self.model, few, visible, questions, prompt, at_once)
                if answers is None:
                    return None
                found[rows] = answers
        return found

    @torch.inference_mode()
    def features(self, batch: Batch, masks: Masks) -> Tensor:
        """What the model makes of the visible activity, to decode behaviour from, ``(B, T, F)``.

        Args:
            batch: Windows.
            masks: What may be seen.

        Returns:
            The latents that the read-out of activity starts from.
        """
        self._check(batch)
        self._use(self._key_of(NEURAL, "co_smoothing"))
        prompts = self._prompts(batch, masks, "co_smoothing")
        with self._precision():
            if isinstance(self.model, HasLatents):
                return self.model.latents(batch, masks.visible, prompts).float()
            activity = self.model([batch], [masks.visible], [prompts])[0].activity
        if activity is None:
            raise UserError(
                f"'{self.name}' decodes behaviour itself and has no features; evaluate decoding"
            )
        return activity.float()

    def set_precision(self, precision: Literal["32", "bf16"]) -> None:
        """Compute in single or half precision."""
        self._half = precision == "bf16"

    def _check(self, batch: Batch) -> None:
        if batch.session not in self.model.session_infos:
            raise unknown("session", batch.session, self.model.session_infos)

    def _precision(self) -> AbstractContextManager[object]:
        if self._half:
            return torch.autocast("cpu", torch.bfloat16)
        return nullcontext()

    def _prompt(self, task: str) -> int:
        """The prompt under which a task was trained, -1 if none was."""
        trained = [name for name, weight in self.config.masking.schemes.items() if weight > 0]
        for name in TASK_PROMPTS.get(task, ()):
            if name in trained:
                return PROMPTS.index(name)
        return -1

    def _prompts(self, batch: Batch, masks: Masks, task: str) -> Tensor | None:
        if masks.prompt is not None:
            return masks.prompt
        prompt = self._prompt(task)
        return None if prompt < 0 else torch.full((len(batch.windows),), prompt)

    def embeddings(self) -> dict[str, np.ndarray]:
        """Embedding of every unit of every session, ``(N, E)``."""
        self._use(self._key_of(NEURAL, "encoding"))
        return {
            info.id: self.model.unit_embeddings(info.id).cpu().numpy() for info in self.sessions
        }

    def _key_of(self, target: str, task: str) -> str:
        """Key of the best weights: those of the task for activity, else those of the target."""
        for key in (task, target) if target == NEURAL else (target,):
            if key in self.best:
                return key
        return MEAN

    def _use(self, key: str) -> None:
        if key != self._loaded:
            self.model.load_state_dict(self.best[key], strict=False)
            self._loaded = key


class Ensemble(Finished):
    """Several models of the same sessions, averaged (a ``Predictor``).

    Log-rates and log-probabilities are averaged as such (a geometric mean), continuous behaviours
    in their own units.
    """

    def __init__(self, name: str, members: Sequence[TrainedModel]) -> None:
        self.name, self.members = name, list(members)
        self.sessions, self.behaviours = members[0].sessions, members[0].behaviours
        one = members[0].config
        training = one.training.model_copy(update={"members": len(self.members)})
        self.config = one.model_copy(update={"training": training})

    def predict(self, batch: Batch, masks: Masks, task: str) -> Prediction:
        """Average of the members' predictions."""
        answers = [member.predict(batch, masks, task) for member in self.members]
        activity = [a.activity for a in answers if a.activity is not None]
        categorical = {b.name for b in self.behaviours if b.kind == "categorical"}
        behaviours = {}
        for name in answers[0].behaviours:
            values = torch.stack([a.behaviours[name] for a in answers])
            if name in categorical:
                values = values.log_softmax(-1)
            behaviours[name] = values.mean(0)
        return Prediction(
            activity=torch.stack(activity).mean(0) if activity else None, behaviours=behaviours
        )

    def predict_units(
        self, batch: Batch, masks: Masks, questions: UnitQuestions, task: str
    ) -> Tensor | None:
        """Average of the members' answers, see :meth:`TrainedModel.predict_units`."""
        answers = [member.predict_units(batch, masks, questions, task) for member in self.members]
        known = [answer for answer in answers if answer is not None]
        return torch.stack(known).mean(0) if known else None

    def set_precision(self, precision: Literal["32", "bf16"]) -> None:
        """Compute in single or half precision."""
        for member in self.members:
            member.set_precision(precision)

    def features(self, batch: Batch, masks: Masks) -> Tensor:
        """The members' features side by side, ``(B, T, F)``."""
        return torch.cat([member.features(batch, masks) for member in self.members], dim=-1)

    def embeddings(self) -> dict[str, np.ndarray]:
        """The members' embeddings side by side."""
        parts = [member.embeddings() for member in self.members]
        return {key: np.concatenate([p[key] for p in parts], axis=1) for key in parts[0]}
