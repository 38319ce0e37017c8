"""The translator: one masked transformer over neural activity and behaviours.

Any modality may be hidden and is then predicted from the others, so one set of weights encodes
(behaviour to activity), decodes (activity to behaviour) and fills gaps (NEDS, arXiv 2504.08201).
What follows is the way of a batch through the model:

1. *stitch*: each session's own units -> shared low-rank space -> width D; behaviours -> width D;
2. *tokens*: one token per time bin with all modalities added (``fused``), or one per modality and
   bin (``separate``); one token per behaviour that is given once per trial;
3. *trunk*: pre-norm transformer blocks with rotary positions;
4. *read out*: log-rates through each session's output stitcher, behaviours through shared heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from neuroduet.config import ModelConfig
from neuroduet.masking import PROMPTS
from neuroduet.models.alignment import feature_count
from neuroduet.models.modalities import (
    Prompt,
    Visible,
    causal_windows,
    pad_bins,
    prompt_rows,
    union_of_behaviours,
)
from neuroduet.nn.attention import who_attends
from neuroduet.nn.blocks import Trunk
from neuroduet.nn.dropout import Dropout
from neuroduet.nn.heads import PooledHead, Standardiser
from neuroduet.nn.stitch import InputStitch, OutputStitch, SmoothingConv, module_key
from neuroduet.nn.tokens import BehaviourEmbedding, Layout, sinusoids
from neuroduet.nn.unit_embedding import UnitEmbedding
from neuroduet.types import NEURAL, Batch, Behaviour, Prediction, Scales, SessionInfo

EMBEDDING_GAIN = 5.0
"""Latents start shrunk to a fraction of unit variance; positions do not, and would drown them."""


@dataclass(frozen=True, kw_only=True)
class Stitched:
    """Windows whose activity is in the space that all sessions share.

    Attributes:
        low_rank: Smoothed latents of the visible activity.
        seen: Bins of which some activity may be seen.
        batch: The windows.
        visible: What may be seen of each modality.
        prompt: Which question is asked in every window.
        causal: Windows whose prompt allows no look ahead; ``None`` in models without prompts.
    """

    low_rank: Float[Tensor, "B T R"]
    seen: Bool[Tensor, "B T 1"]
    batch: Batch
    visible: Visible
    prompt: Prompt
    causal: Bool[Tensor, " B"] | None


class Translator(nn.Module):
    """One multimodal masked transformer for any number of sessions and behaviours.

    Args:
        config: Architecture.
        sessions: Sessions it gets stitchers for.
        behaviours: Behaviours it knows; default: all that the sessions have.
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
        self.modalities = self.behaviours if config.behaviours else ()
        self.per_bin = [b for b in self.modalities if b.per == "bin"]
        self.per_trial = [b for b in self.modalities if b.per == "trial"]
        self.session_infos: dict[str, SessionInfo] = {}
        width, rank = config.width, config.input_rank or config.width
        self.smooth = SmoothingConv(rank, config.input_kernel) if config.input_kernel else None
        self.from_rank = nn.Linear(rank, width) if config.input_rank else nn.Identity()
        if isinstance(self.from_rank, nn.Linear):
            nn.init.normal_(self.from_rank.weight, std=EMBEDDING_GAIN * rank**-0.5)
        self.hidden_activity = nn.Parameter(torch.randn(width) * 0.02)
        self.embeddings = nn.ModuleDict(
            {
                module_key(b.name): BehaviourEmbedding(b, width, config.behaviour_kernel)
                for b in self.modalities
            }
        )
        self.kinds = nn.Parameter(torch.randn(1 + len(self.modalities), width) * 0.02)
        self.prompts = (
            nn.Parameter(torch.randn(len(PROMPTS) + 1, width) * 0.02) if config.prompts else None
        )
        # Behind the bins: one token per trial variable, and those of session and prompt.
        self.layout = Layout(
            streams=1 if config.tokens == "fused" else 1 + len(self.per_bin),
            extra=len(self.per_trial) + (2 if config.prompts else 0),
        )
        self.token_dropout = Dropout(config.dropout)
        self.trunk = Trunk(width, config.layers, config.heads, config.feed_forward, config.dropout)
        self.to_rank = (
            nn.Linear(width, config.output_rank, bias=False)
            if config.output_rank
            else nn.Identity()
        )
        self.skip = nn.Parameter(torch.zeros(rank, config.output_rank or width))
        self.heads = nn.ModuleDict(
            {
                module_key(b.name): (
                    nn.Linear(width, b.size)
                    if b.per == "bin"
                    else PooledHead(width, b.size, config.readout_dropout)
                )
                for b in self.modalities
            }
        )
        self.units: UnitEmbedding | None = None
        if config.unit_embedding is not None:
            own = min(feature_count(self.modalities), config.unit_embedding // 4)
            ranks = rank, config.output_rank or width
            self.units = UnitEmbedding(config.unit_embedding, ranks, own)
        self.inputs = nn.ModuleDict()
        self.outputs = nn.ModuleDict()
        self.session_vectors = nn.ParameterDict()
        self.behaviour_scales = nn.ModuleDict()
        for info in sessions:
            self.add_session(info)

    def add_session(self, info: SessionInfo) -> None:
        """Add fresh stitchers for a session.

        Args:
            info: Description of the session; its behaviours must be among the model's.
        """
        key, config = module_key(info.id), self.config
        units, poisson, width = len(info.units), info.is_poisson, config.width
        self.session_infos[info.id] = info
        ranks: tuple[int | None, int | None] = (None, None)
        if self.units is None:
            ranks = config.input_rank or width, config.output_rank or width
        else:
            self.units.add(key, units)
        self.inputs[key] = InputStitch(
            units, ranks[0], poisson, config.unit_dropout, silence=self.silence
        )
        self.outputs[key] = OutputStitch(units, ranks[1], poisson)
        self.session_vectors[key] = nn.Parameter(torch.zeros(config.width))
        self.behaviour_scales[key] = nn.ModuleDict(
            {module_key(b.name): Standardiser(b.size) for b in info.behaviours}
        )

    def forward(
        self,
        batches: Sequence[Batch],
        visible: Sequence[Visible],
        prompts: Sequence[Prompt] | None = None,
    ) -> list[Prediction]:
        """Predict every modality of every batch.

        Args:
            batches: Micro-batches, each of one session; they pass the trunk together.
            visible: For each batch, what may be seen of each modality.
            prompts: For each batch, which question is asked in every sample
                (:attr:`neuroduet.types.Masks.prompt`); only models with prompts heed it.

        Returns:
            One prediction per batch.
        """
        asked = prompts or [None] * len(batches)
        stitched = [self._stitch(*one) for one in zip(batches, visible, asked, strict=True)]
        mixed = self._mix(stitched)
        return [self._read(x_BLD, one) for x_BLD, one in zip(mixed, stitched, strict=True)]

    def latents(
        self, batch: Batch, visible: Visible, prompt: Prompt = None
    ) -> Float[Tensor, "B T R"]:
        """What the output stitcher of a batch's session turns into log-rates."""
        return self.latents_of(self._stitch(batch, visible, prompt))

    def latents_of(self, stitched: Stitched) -> Float[Tensor, "B T R"]:
        """The same of activity that is stitched already."""
        return self._latents(self._mix([stitched])[0], stitched)

    # 1. stitch --------------------------------------------------------------------------------

    def _stitch(self, batch: Batch, visible: Visible, prompt: Prompt) -> Stitched:
        seen = visible[NEURAL] & batch.valid[..., None]
        if self.config.inputs == "behaviours":
            seen = torch.zeros_like(seen)
        stitch, weight = self.input_stitch(batch.session), self.input_weight(batch.session)
        low_rank = stitch(batch.activity, seen, weight)
        return self.stitched(low_rank, seen.any(-1, keepdim=True), batch, visible, prompt)

    def stitched(
        self,
        low_rank: Float[Tensor, "B T R"],
        seen: Bool[Tensor, "B T 1"],
        batch: Batch,
        visible: Visible,
        prompt: Prompt,
    ) -> Stitched:
        """Smooth what the input stitcher of a session says.

        Args:
            low_rank: Its latents, zero where nothing is seen.
            seen: Bins of which some activity may be seen.
            batch: The windows.
            visible: What may be seen of each modality.
            prompt: Which question is asked in every window.
        """
        causal = None if self.prompts is None else causal_windows(batch, prompt)
        if self.smooth is not None:
            low_rank = self.smooth(low_rank, causal)
        return Stitched(
            low_rank=low_rank,
            seen=seen,
            batch=batch,
            visible=visible,
            prompt=prompt,
            causal=causal,
        )

    def _embed_activity(self, one: Stitched) -> Float[Tensor, "B T D"]:
        embedded = self.from_rank(one.low_rank)
        return torch.where(one.seen, embedded, self.hidden_activity.to(embedded.dtype))

    def _embed_behaviour(self, behaviour: Behaviour, one: Stitched) -> Float[Tensor, "B ... D"]:
        """Embed a behaviour; one that this session lacks is hidden."""
        name, batch = behaviour.name, one.batch
        embedding = self.embeddings[module_key(name)]
        assert isinstance(embedding, BehaviourEmbedding)
        if name not in batch.behaviours or self.config.inputs == "activity":
            return embedding.nothing(*batch.valid.shape)
        values, seen = batch.behaviours[name], one.visible[name] & batch.observed[name]
        if behaviour.kind == "continuous":
            values = self.standardiser(batch.session, behaviour).standardise(values)
        return embedding(values, seen)

    # 2. tokens --------------------------------------------------------------------------------

    def _tokens(self, one: Stitched, bins: int) -> Float[Tensor, "B L D"]:
        """Tokens of some windows, padded to a number of bins."""
        activity = self._embed_activity(one)
        per_trial = [self._embed_behaviour(b, one) for b in self.per_trial]
        kinds = dict(zip((NEURAL, *(b.name for b in self.modalities)), self.kinds, strict=True))
        dynamic = [activity + kinds[NEURAL]]
        dynamic += [self._embed_behaviour(b, one) + kinds[b.name] for b in self.per_bin]
        static = [x + kinds[b.name] for x, b in zip(per_trial, self.per_trial, strict=True)]
        position = sinusoids(activity.shape[1], self.config.width).to(activity.device)
        if self.config.tokens == "fused":
            fused = torch.stack(dynamic).sum(0)
            for vector in per_trial:
                fused = fused + vector[:, None]
            dynamic = [fused]
        tokens = [pad_bins(x + position, bins) for x in dynamic] + [x[:, None] for x in static]
        session = self.session_vectors[module_key(one.batch.session)]
        if self.prompts is None:
            return torch.cat(tokens, dim=1) + session
        asked = self.prompts[prompt_rows(one.batch, one.prompt)]
        return torch.cat([*tokens, torch.stack([session.expand_as(asked), asked], dim=1)], dim=1)

    # 3. trunk ---------------------------------------------------------------------------------

    def _mix(self, stitched: Sequence[Stitched]) -> Sequence[Float[Tensor, "B L D"]]:
        """Tokens after the trunk, per batch; all batches pass it together."""
        bins = max(one.low_rank.shape[1] for one in stitched)
        tokens = torch.cat([self._tokens(one, bins) for one in stitched])
        valid = torch.cat([pad_bins(one.batch.valid, bins) for one in stitched])
        flags = [one.causal for one in stitched if one.causal is not None]
        times = self.layout.times(bins).to(valid.device)
        allowed = who_attends(times, self.layout.known(valid), torch.cat(flags) if flags else None)
        mixed = self.trunk(self.token_dropout(tokens), times.clamp(min=0).float(), allowed)
        return mixed.split([len(one.batch.windows) for one in stitched])

    # 4. read out ------------------------------------------------------------------------------

    def _latents(self, x_BLD: Float[Tensor, "B L D"], one: Stitched) -> Float[Tensor, "B T R"]:
        """Latents of the activity: what the trunk says, beside the smoothed input itself."""
        return self.to_rank(x_BLD[:, : one.low_rank.shape[1]]) + one.low_rank @ self.skip

    def _read(self, x_BLD: Float[Tensor, "B L D"], one: Stitched) -> Prediction:
        session, activity = one.batch.session, None
        if self.config.inputs != "activity":
            stitch, loadings = self.output_stitch(session), self.loadings(session)
            activity = stitch(self._latents(x_BLD, one), loadings).float()
        predicted = {}
        if self.config.inputs != "behaviours":
            streams, behind = self.layout.split(x_BLD, one.low_rank.shape[1])
            for index, behaviour in enumerate(self.per_bin):
                stream = streams[:, 0 if self.config.tokens == "fused" else 1 + index]
                predicted[behaviour.name] = self.heads[module_key(behaviour.name)](stream)
            for index, behaviour in enumerate(self.per_trial):
                head = self.heads[module_key(behaviour.name)]
                predicted[behaviour.name] = head(behind[:, index], streams[:, 0], one.batch.valid)
        known = {b.name: b for b in self.session_infos[session].behaviours}
        return Prediction(
            activity=activity,
            behaviours={
                name: self._in_user_units(values.float(), known[name], session)
                for name, values in predicted.items()
                if name in known
            },
        )

    def _in_user_units(self, values: Tensor, behaviour: Behaviour, session: str) -> Tensor:
        if behaviour.kind == "categorical":
            return values
        return self.standardiser(session, behaviour).restore(values)

    # what belongs to a session ----------------------------------------------------------------

    @property
    def silence(self) -> bool:
        """Whether a hidden unit reads as a silent one."""
        return self.config.hidden_units == "zero"

    def scales(self, session: str) -> Scales:
        """Training statistics of a session, for the loss."""
        info = self.session_infos[session]
        return Scales(
            is_poisson=info.is_poisson,
            activity=self.output_stitch(session).scale,
            behaviours={
                b.name: self.standardiser(session, b).scale
                for b in info.behaviours
                if b.kind == "continuous"
            },
        )

    def stitchers(self) -> list[nn.Parameter]:
        """Parameters that belong to single sessions; all others are the shared core."""
        own: list[nn.Module] = [self.inputs, self.outputs, self.session_vectors]
        if self.units is not None:
            own.append(self.units.vectors)
        return [parameter for module in own for parameter in module.parameters()]

    def unit_embeddings(self, session: str) -> Float[Tensor, "N E"]:
        """What the model knows of each unit: its read-out direction in the trunk, and its bias."""
        loadings, bias = self.loadings(session), self.output_stitch(session).bias
        if isinstance(self.to_rank, nn.Linear):
            loadings = loadings @ self.to_rank.weight
        return torch.cat([loadings, bias[:, None]], dim=1).detach()

    def input_stitch(self, session: str) -> InputStitch:
        """A session's way in."""
        stitch = self.inputs[module_key(session)]
        assert isinstance(stitch, InputStitch)
        return stitch

    def output_stitch(self, session: str) -> OutputStitch:
        """A session's way out."""
        stitch = self.outputs[module_key(session)]
        assert isinstance(stitch, OutputStitch)
        return stitch

    def input_weight(self, session: str) -> Float[Tensor, "N R"]:
        """What a session's way in multiplies the activity with."""
        if self.units is not None:
            return self.units.weight(module_key(session))
        weight = self.input_stitch(session).weight
        assert weight is not None
        return weight

    def loadings(self, session: str) -> Float[Tensor, "N R"]:
        """What a session's way out multiplies the latents with."""
        stitch = self.output_stitch(session)
        if self.units is not None:
            return self.units.loadings(module_key(session), stitch.sensitivity)
        assert stitch.loadings is not None
        return stitch.loadings

    def standardiser(self, session: str, behaviour: Behaviour) -> Standardiser:
        """Units of a session's continuous behaviour."""
        scalers = self.behaviour_scales[module_key(session)]
        assert isinstance(scalers, nn.ModuleDict)
        scaler = scalers[module_key(behaviour.name)]
        assert isinstance(scaler, Standardiser)
        return scaler
