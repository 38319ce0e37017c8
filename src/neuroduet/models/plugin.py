"""What a model of another package is: one class with this face.

The package names it among its entry points (:mod:`neuroduet.plugins`), and ``model.name`` then
chooses it for training, finetuning, prediction and evaluation like any of ours.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from neuroduet.config import ModelConfig
from neuroduet.data.session import Session
from neuroduet.errors import UserError
from neuroduet.masking import hide, to_masks
from neuroduet.models.modalities import union_of_behaviours
from neuroduet.types import NEURAL, Batch, Behaviour, Prediction, Scales, SessionInfo


class PluginModel(nn.Module, ABC):
    """A model that another package adds.

    Its constructor takes what this one takes. Every parameter of a single session is in a module
    under the key :func:`neuroduet.nn.stitch.module_key` of that session.

    Args:
        config: Architecture; a plugin reads of it what it has a use for.
        sessions: Sessions it gets stitchers for.
        behaviours: Behaviours it knows; default: all that the sessions have.

    Attributes:
        config: As given.
        behaviours: As given, or those of the sessions.
        session_infos: The sessions, by id.
    """

    def __init__(
        self,
        config: ModelConfig,
        sessions: Sequence[SessionInfo],
        behaviours: Sequence[Behaviour] | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.behaviours = tuple(behaviours or union_of_behaviours(sessions))
        self.session_infos: dict[str, SessionInfo] = {info.id: info for info in sessions}

    @abstractmethod
    def forward(
        self,
        batches: Sequence[Batch],
        visible: Sequence[Mapping[str, Tensor]],
        prompts: Sequence[Tensor | None] | None = None,
    ) -> list[Prediction]:
        """Predict every modality of every batch.

        Args:
            batches: Micro-batches, each of one session.
            visible: For each batch, what may be seen of each modality.
            prompts: For each batch, which question is asked
                (:attr:`neuroduet.types.Masks.prompt`).

        Returns:
            One prediction per batch.
        """

    @abstractmethod
    def stitchers(self) -> list[nn.Parameter]:
        """Parameters that belong to single sessions; all others are shared by finetuning."""

    @abstractmethod
    def scales(self, session: str) -> Scales:
        """Training statistics of a session, for the loss."""

    @abstractmethod
    def unit_embeddings(self, session: str) -> Float[Tensor, "N E"]:
        """What the model knows of each unit."""

    def set_up_session(self, session: Session) -> None:
        """Take what is needed from the training windows of a session; nothing by default."""


def check_answers(model: PluginModel, session: Session) -> None:
    """Ask a model about one window, so that training does not begin with answers of no use.

    Args:
        model: A model with stitchers for the session.
        session: The session.

    Raises:
        UserError: Its prediction or its scales are not what their descriptions say.
    """
    indices = session.indices("train")[:1]
    if len(indices) == 0:
        return
    batch = session.batch(indices)
    was_training = model.training
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        answers = model.eval()([batch], [to_masks(batch, hide(batch, {})).visible], [None])
    model.train(was_training)
    answer = answers[0] if isinstance(answers, Sequence) and len(answers) == 1 else answers
    wrong = _fault_of(answer, batch, session) or _fault_of_scales(
        model.scales(session.info.id), answer, session
    )
    if wrong:
        raise UserError(
            f"the model '{model.config.name}' does not fit session '{session.info.id}': {wrong}; "
            "correct the class that adds it (neuroduet.models.plugin.PluginModel)"
        )


def _fault_of(answer: object, batch: Batch, session: Session) -> str:
    """What is wrong with a prediction; empty if nothing is."""
    if not isinstance(answer, Prediction):
        return f"forward returned {type(answer).__name__}, expected one Prediction per batch"
    wanted = {name: tuple(values.shape) for name, values in batch.behaviours.items()}
    for behaviour in session.info.behaviours:
        if behaviour.kind == "categorical":
            wanted[behaviour.name] = (*wanted[behaviour.name], behaviour.size)
    found: dict[str, Tensor] = dict(answer.behaviours)
    if answer.activity is not None:
        found[NEURAL], wanted[NEURAL] = answer.activity, tuple(batch.activity.shape)
    if not found.keys() & wanted.keys():
        return "it predicts neither the activity nor any behaviour of it"
    for name, values in found.items():
        if name in wanted and tuple(values.shape) != wanted[name]:
            return f"it predicts '{name}' as {tuple(values.shape)}, expected {wanted[name]}"
    return ""


def _fault_of_scales(scales: object, answer: Prediction, session: Session) -> str:
    """What is wrong with the scales, given what is predicted."""
    if not isinstance(scales, Scales):
        return f"scales returned {type(scales).__name__}, expected Scales"
    units = len(session.info.units)
    if answer.activity is not None and tuple(scales.activity.shape) != (units,):
        return (
            f"its scales of the activity are {tuple(scales.activity.shape)}, expected {(units,)}"
        )
    for behaviour in session.info.behaviours:
        if behaviour.name not in answer.behaviours or behaviour.kind == "categorical":
            continue
        held = scales.behaviours.get(behaviour.name)
        if held is None or tuple(held.shape) != (behaviour.size,):
            said = "missing" if held is None else f"{tuple(held.shape)}"
            return (
                f"its scales of '{behaviour.name}' are {said}, expected the standard deviation of "
                f"{behaviour.size} channels, as in session.statistics.behaviour_scale"
            )
    return ""
