"""NDT2 as in MtM (arXiv 2407.14668, section 3.2 of its code): a transformer on space-time patches.

Units are anonymous channels: each bin is cut into patches of P neighbouring units, every patch is
a token, and all weights that read and write activity are shared by all sessions.

1. *patch*: activity -> tokens, plus learned vectors of patch and bin;
2. *trunk*: session token, prompt token and patches through pre-norm transformer blocks;
3. *read out*: every token -> the P log-rates of its patch.

What differs from the published code: a session has a vector and a bias per unit of its own, which
starts at the log of the unit's mean training rate (a model whose log-rates start at 0 spends long
on learning how quiet units are); vectors of patch and bin start small; the last patch ends with
zeros, not with other units again; a token that is hidden as a whole is a learned vector, not
silence; rotary positions are added to the learned ones; dropout lies outside the attention kernel;
under a causal prompt no token, and no prefix token either, attends to the future.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from neuroduet.config import ModelConfig
from neuroduet.errors import UserError, unknown
from neuroduet.masking import PROMPTS
from neuroduet.models.modalities import (
    Prompt,
    Visible,
    causal_windows,
    prompt_rows,
    union_of_behaviours,
)
from neuroduet.nn.attention import past
from neuroduet.nn.blocks import Trunk
from neuroduet.nn.dropout import Dropout
from neuroduet.nn.patches import (
    PatchEmbedding,
    attention_mask,
    from_patches,
    patch_count,
    token_times,
)
from neuroduet.nn.stitch import module_key
from neuroduet.types import NEURAL, Batch, Behaviour, Prediction, Scales, SessionInfo


class Ndt2(nn.Module):
    """One transformer with a token per bin and patch of units; it knows activity only.

    Args:
        config: Architecture; ``width``, ``layers``, ``heads``, ``feed_forward``, ``dropout``,
            ``patch`` and ``prompts`` are used.
        sessions: Sessions it gets unit biases for.
        behaviours: Behaviours of the recordings it is used with; none of them is read or
            predicted. Default: all that the sessions have.

    Raises:
        UserError: The configuration asks for behaviours as modalities.
    """

    def __init__(
        self,
        config: ModelConfig,
        sessions: Sequence[SessionInfo],
        behaviours: Sequence[Behaviour] | None = None,
    ) -> None:
        super().__init__()
        if config.behaviours or config.inputs != "all":
            raise UserError(
                "the model ndt2 knows activity only; set model.behaviours=false and "
                "model.inputs=all"
            )
        self.config = config
        self.behaviours = tuple(behaviours or union_of_behaviours(sessions))
        self.session_infos: dict[str, SessionInfo] = {}
        self.embedding = PatchEmbedding(
            config.patch,
            max((patch_count(len(info.units), config.patch) for info in sessions), default=1),
            max((info.max_bins for info in sessions), default=100),
            config.width,
        )
        self.prompts = (
            nn.Parameter(torch.randn(len(PROMPTS) + 1, config.width) * 0.02)
            if config.prompts
            else None
        )
        self.token_dropout = Dropout(config.dropout)
        self.trunk = Trunk(
            config.width, config.layers, config.heads, config.feed_forward, config.dropout
        )
        self.decoder = nn.Linear(config.width, config.patch)
        with torch.no_grad():
            self.decoder.weight.mul_(0.1)
            self.decoder.bias.zero_()
        self.outputs = nn.ModuleDict()
        self.session_vectors = nn.ParameterDict()
        for info in sessions:
            self.add_session(info)

    def add_session(self, info: SessionInfo) -> None:
        """Add fresh unit biases and a session vector, and places for patches not yet known.

        Args:
            info: Description of the session.

        Raises:
            UserError: Its windows are longer than the model's.
        """
        self._check_bins(info.id, info.max_bins)
        key = module_key(info.id)
        self.session_infos[info.id] = info
        self.outputs[key] = UnitOffsets(len(info.units), info.is_poisson)
        self.session_vectors[key] = nn.Parameter(torch.zeros(self.config.width))
        self.embedding.grow(patch_count(len(info.units), self.config.patch))

    def forward(
        self,
        batches: Sequence[Batch],
        visible: Sequence[Visible],
        prompts: Sequence[Tensor | None] | None = None,
    ) -> list[Prediction]:
        """Predict the activity of every batch.

        Args:
            batches: Micro-batches, each of one session; as sessions differ in their number of
                tokens, each passes the trunk by itself.
            visible: For each batch, what may be seen of the activity; the rest is not read.
            prompts: For each batch, which question is asked in every sample
                (:attr:`neuroduet.types.Masks.prompt`); only models with prompts heed it.

        Returns:
            One prediction per batch, without behaviours.
        """
        asked = prompts or [None] * len(batches)
        return [
            self._read(self._encode(batch, seen, prompt), batch)
            for batch, seen, prompt in zip(batches, visible, asked, strict=True)
        ]

    def latents(
        self, batch: Batch, visible: Visible, prompt: Prompt = None
    ) -> Float[Tensor, "B T D"]:
        """Mean over the patches of a bin of what the trunk makes of them."""
        return self._encode(batch, visible, prompt).mean(2)

    def scales(self, session: str) -> Scales:
        """Training statistics of a session, for the loss."""
        offsets = self.offsets(session)
        return Scales(is_poisson=offsets.is_poisson, activity=offsets.scale, behaviours={})

    def stitchers(self) -> list[nn.Parameter]:
        """Parameters that belong to single sessions; all others are the shared core."""
        return [*self.outputs.parameters(), *self.session_vectors.parameters()]

    def unit_embeddings(self, session: str) -> Float[Tensor, "N E"]:
        """What the model knows of each unit: read-out of its channel, its patch, its bias."""
        bias = self.offsets(session).bias
        unit = torch.arange(len(bias), device=bias.device)
        channel = self.decoder.weight[unit % self.config.patch]
        place = self.embedding.places()[unit // self.config.patch]
        return torch.cat([channel, place, bias[:, None]], dim=1).detach()

    def offsets(self, session: str) -> UnitOffsets:
        """A session's own part of the read-out."""
        if session not in self.session_infos:
            raise unknown("session", session, self.session_infos)
        offsets = self.outputs[module_key(session)]
        assert isinstance(offsets, UnitOffsets)
        return offsets

    # 1. patch ---------------------------------------------------------------------------------

    def _tokens(self, batch: Batch, visible: Visible) -> Float[Tensor, "B T J D"]:
        self._check_bins(batch.session, batch.activity.shape[1])
        values = self.offsets(batch.session).standardise(batch.activity)
        return self.embedding(values, visible[NEURAL] & batch.valid[..., None])

    def _prefix(self, batch: Batch, prompt: Prompt) -> Float[Tensor, "B X D"]:
        """Session token and, in models with prompts, prompt token of every sample."""
        session = self.session_vectors[module_key(batch.session)]
        session = session.expand(len(batch.windows), -1)
        if self.prompts is None:
            return session[:, None]
        return torch.stack([session, self.prompts[prompt_rows(batch, prompt)]], dim=1)

    def _check_bins(self, session: str, bins: int) -> None:
        known = len(self.embedding.time)
        if bins > known:
            raise UserError(
                f"session '{session}' has windows of {bins} bins, but the model was built for "
                f"{known}; shorten the windows or train anew"
            )

    # 2. trunk ---------------------------------------------------------------------------------

    def _encode(self, batch: Batch, visible: Visible, prompt: Prompt) -> Float[Tensor, "B T J D"]:
        """Patches after the trunk."""
        tokens, prefix = self._tokens(batch, visible), self._prefix(batch, prompt)
        bins, count = tokens.shape[1:3]
        x_BLD = self.token_dropout(torch.cat([prefix, tokens.flatten(1, 2)], dim=1))
        times = token_times(bins, count, prefix.shape[1]).to(x_BLD.device)
        known = None
        if not bool(batch.valid.all()):
            always = torch.ones(prefix.shape[:2], dtype=torch.bool, device=x_BLD.device)
            known = torch.cat([always, batch.valid.repeat_interleave(count, dim=1)], dim=1)
        causal = causal_windows(batch, None if self.prompts is None else prompt)
        mixed = self._mix(x_BLD, times, known, causal)
        return mixed[:, prefix.shape[1] :].unflatten(1, (bins, count))

    def _mix(
        self,
        x_BLD: Float[Tensor, "B L D"],
        times: Int[Tensor, " L"],
        known: Bool[Tensor, "B L"] | None,
        causal: Bool[Tensor, " B"],
    ) -> Float[Tensor, "B L D"]:
        """Tokens after the trunk; samples that may look ahead keep the kernel without a mask."""
        positions = times.clamp(min=0).float()
        rows, parts = [], []
        for own, looks_ahead in ((~causal, True), (causal, False)):
            row = own.nonzero()[:, 0]
            if len(row) > 0:
                mask = None if looks_ahead else past(times)
                allowed = attention_mask(len(row), mask, None if known is None else known[row])
                parts.append(self.trunk(x_BLD[row], positions, allowed))
                rows.append(row)
        return torch.cat(parts)[torch.cat(rows).argsort()]

    # 3. read out ------------------------------------------------------------------------------

    def _read(self, x_BTJD: Float[Tensor, "B T J D"], batch: Batch) -> Prediction:
        values = from_patches(self.decoder(x_BTJD), batch.activity.shape[-1])
        return Prediction(activity=self.offsets(batch.session)(values.float()))


class UnitOffsets(nn.Module):
    """What belongs to a session's units: biases, and the scales of its traces."""

    def __init__(self, units: int, is_poisson: bool) -> None:
        super().__init__()
        self.is_poisson = is_poisson
        self.bias = nn.Parameter(torch.zeros(units))
        self.centre: Tensor
        self.scale: Tensor
        self.register_buffer("centre", torch.zeros(units))
        self.register_buffer("scale", torch.ones(units))

    def standardise(self, activity: Float[Tensor, "B T N"]) -> Float[Tensor, "B T N"]:
        """Counts as they are (as published), traces as z-scores."""
        return activity if self.is_poisson else (activity - self.centre) / self.scale

    def forward(self, values: Float[Tensor, "B T N"]) -> Float[Tensor, "B T N"]:
        """Log of the expected count per bin, or the expected trace in its own units."""
        values = values + self.bias
        return values if self.is_poisson else values * self.scale + self.centre


def transferred_tables(source: Ndt2, target: Ndt2) -> dict[str, Tensor]:
    """The pretrained tables of patch and bin in the sizes of another model, by parameter name.

    Args:
        source: The pretrained model.
        target: Model of other sessions; patches that only it has keep their fresh places.

    Returns:
        Values of the target's parameters ``embedding.space`` and ``embedding.time``.

    Raises:
        UserError: The target's windows are longer than the source's.
    """
    old, new = source.embedding, target.embedding
    if len(new.time) > len(old.time):
        raise UserError(
            f"the sessions have windows of {len(new.time)} bins, but the pretrained model was "
            f"built for {len(old.time)}; shorten data.windows"
        )
    return {
        "embedding.space": torch.cat([old.space[: len(new.space)], new.space[len(old.space) :]]),
        "embedding.time": old.time[: len(new.time)],
    }
