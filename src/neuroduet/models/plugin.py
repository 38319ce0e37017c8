"""What a model of another package is: one class with this face.

The package names it among its entry points (:mod:`neuroduet.plugins`), and ``model.name`` then
chooses it for training, finetuning, prediction and evaluation like any of ours.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from jaxtyping import Float
from torch import Tensor, nn

from neuroduet.config import ModelConfig
from neuroduet.data.session import Session
from neuroduet.models.modalities import union_of_behaviours
from neuroduet.types import Batch, Behaviour, Prediction, Scales, SessionInfo


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
