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
from neuroduet.models.micro_batches import over, repeat
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
from neuroduet.nn.tokens import BehaviourEmbedding, sinusoids
from neuroduet.nn.unit_embedding import UnitEmbedding
from neuroduet.types import (
    NEURAL,
    Batch,
    Behaviour,
    Prediction,
    Scales,
    SessionInfo,
    UnitQuestions,
)

EMBEDDING_GAIN = 5.0
"""Latents start shrunk to a fraction of unit variance; positions do not, and would drown them."""


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
        encoded = self._encode(batches, visible, prompts or [None] * len(batches))
        return [self._read(one, batch) for one, batch in zip(encoded, batches, strict=True)]

    def latents(
        self, batch: Batch, visible: Visible, prompt: Prompt = None
    ) -> Float[Tensor, "B T R"]:
        """What the output stitcher of a batch's session turns into log-rates."""
        return self._latents(self._encode([batch], [visible], [prompt])[0])

    @property
    def silence(self) -> bool:
        """Whether a hidden unit reads as a silent one."""
        return self.config.hidden_units == "zero"

    def answer_units(
        self, batch: Batch, visible: Visible, questions: UnitQuestions, prompt: int = -1
    ) -> Float[Tensor, "B T N"]:
        """Predict units that are hidden in turns, without doing again what all turns share.

        The input stitcher is linear, so hiding a unit subtracts its own rank-one share from the
        projection of all units; the output stitcher is evaluated for the units asked about only.
        What comes between runs on all questions as one batch. The answers are those of
        :meth:`forward` on one question after the other.

        Args:
            batch: Windows with all activity.
            visible: What may be seen before any unit is hidden.
            questions: Which units each question hides and asks about.
            prompt: Index into :data:`neuroduet.masking.PROMPTS`, -1 for none.

        Returns:
            Log expected counts or traces of the units asked about; 0 elsewhere.
        """
        count, n = len(questions.hidden), len(batch.windows)
        repeated = repeat(batch, count)
        seen = {name: over(mask, count) for name, mask in visible.items()}
        prompts = (
            None if prompt < 0 else torch.full((count * n,), prompt, device=batch.valid.device)
        )
        causal = self._causal(repeated, prompts)
        stitch, weight = self.input_stitch(batch.session), self.input_weight(batch.session)
        low_rank = stitch.without(batch.activity, questions.hidden, weight)
        whole_bin = (seen[NEURAL] & repeated.valid[..., None]).any(-1, keepdim=True)
        whole_bin = whole_bin & ~questions.hidden.all(1).repeat_interleave(n)[:, None, None]
        low_rank = low_rank.flatten(0, 1).masked_fill(~whole_bin, 0.0)
        low_rank = self._smoothed(low_rank, causal)
        activity = self._embed_low_rank(low_rank, whole_bin)
        tokens = self._tokens(activity, repeated, seen, prompts, batch.activity.shape[1])
        mixed = self._mix(tokens, repeated.valid, causal)
        latents = self._latents(_Encoded(mixed, low_rank)).unflatten(0, (count, n))
        output, loadings = self.output_stitch(batch.session), self.loadings(batch.session)
        answers = batch.activity.new_zeros(batch.activity.shape)
        for latent, asked in zip(latents, questions.scored, strict=True):
            answers[:, :, asked] = output(latent, loadings, asked).float()
        return answers

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

    # 1. stitch --------------------------------------------------------------------------------

    def _smoothed(
        self, low_rank: Float[Tensor, "B T R"], causal: Bool[Tensor, " B"] | None
    ) -> Float[Tensor, "B T R"]:
        return low_rank if self.smooth is None else self.smooth(low_rank, causal)

    def _embed_low_rank(
        self, low_rank: Float[Tensor, "B T R"], seen: Bool[Tensor, "B T 1"]
    ) -> Float[Tensor, "B T D"]:
        embedded = self.from_rank(low_rank)
        return torch.where(seen, embedded, self.hidden_activity.to(embedded.dtype))

    def _embed_behaviour(
        self, behaviour: Behaviour, batch: Batch, visible: Visible
    ) -> Float[Tensor, "B ... D"]:
        """Embed a behaviour; one that this session lacks is hidden."""
        shape = batch.valid.shape if behaviour.per == "bin" else batch.windows.shape
        embedding = self.embeddings[module_key(behaviour.name)]
        if behaviour.name not in batch.behaviours or self.config.inputs == "activity":
            unseen = torch.zeros(shape, dtype=torch.bool, device=batch.valid.device)
            channels = () if behaviour.kind == "categorical" else (behaviour.size,)
            dtype = torch.long if behaviour.kind == "categorical" else torch.float32
            empty = torch.zeros((*shape, *channels), dtype=dtype, device=unseen.device)
            return embedding(empty, unseen)
        values, seen = batch.behaviours[behaviour.name], visible[behaviour.name]
        seen = seen & batch.observed[behaviour.name]
        if behaviour.kind == "continuous":
            values = self.standardiser(batch.session, behaviour).standardise(values)
        return embedding(values, seen)

    # 2. tokens, 3. trunk -------------------------------------------------------------------------

    def _encode(
        self, batches: Sequence[Batch], visible: Sequence[Visible], prompts: Sequence[Prompt]
    ) -> list[_Encoded]:
        """Tokens after the trunk, per batch; all batches pass it together."""
        bins = max(batch.activity.shape[1] for batch in batches)
        causal, low_rank, tokens = [], [], []
        for batch, modalities, prompt in zip(batches, visible, prompts, strict=True):
            seen = modalities[NEURAL] & batch.valid[..., None]
            if self.config.inputs == "behaviours":
                seen = torch.zeros_like(seen)
            causal.append(self._causal(batch, prompt))
            stitch, weight = self.input_stitch(batch.session), self.input_weight(batch.session)
            low_rank.append(self._smoothed(stitch(batch.activity, seen, weight), causal[-1]))
            activity = self._embed_low_rank(low_rank[-1], seen.any(-1, keepdim=True))
            tokens.append(self._tokens(activity, batch, modalities, prompt, bins))
        valid = torch.cat([pad_bins(batch.valid, bins) for batch in batches])
        flags = [flag for flag in causal if flag is not None]
        mixed = self._mix(torch.cat(tokens), valid, torch.cat(flags) if flags else None)
        parts = mixed.split([len(batch.windows) for batch in batches])
        return [_Encoded(x, low) for x, low in zip(parts, low_rank, strict=True)]

    def _mix(
        self,
        x_BLD: Float[Tensor, "B L D"],
        valid: Bool[Tensor, "B T"],
        causal: Bool[Tensor, " B"] | None,
    ) -> Float[Tensor, "B L D"]:
        """Tokens after the trunk."""
        bins = torch.arange(valid.shape[1], device=valid.device)
        extra = torch.full((self._extra,), -1, device=valid.device)
        times = torch.cat([bins.repeat(self._streams), extra])
        known = torch.cat(
            [valid.repeat(1, self._streams), valid.new_ones(len(valid), self._extra)], dim=1
        )
        allowed = who_attends(times, known, causal)
        return self.trunk(self.token_dropout(x_BLD), times.clamp(min=0).float(), allowed)

    def _tokens(
        self,
        activity: Float[Tensor, "B T D"],
        batch: Batch,
        visible: Visible,
        prompt: Prompt,
        bins: int,
    ) -> Float[Tensor, "B L D"]:
        per_trial = [self._embed_behaviour(b, batch, visible) for b in self.per_trial]
        kinds = dict(zip((NEURAL, *(b.name for b in self.modalities)), self.kinds, strict=True))
        dynamic = [activity + kinds[NEURAL]]
        dynamic += [self._embed_behaviour(b, batch, visible) + kinds[b.name] for b in self.per_bin]
        static = [x + kinds[b.name] for x, b in zip(per_trial, self.per_trial, strict=True)]
        position = sinusoids(batch.activity.shape[1], self.config.width).to(batch.activity.device)
        if self.config.tokens == "fused":
            fused = torch.stack(dynamic).sum(0)
            for vector in per_trial:
                fused = fused + vector[:, None]
            dynamic = [fused]
        tokens = [pad_bins(x + position, bins) for x in dynamic] + [x[:, None] for x in static]
        session = self.session_vectors[module_key(batch.session)]
        if self.prompts is None:
            return torch.cat(tokens, dim=1) + session
        asked = self.prompts[prompt_rows(batch, prompt)]
        return torch.cat([*tokens, torch.stack([session.expand_as(asked), asked], dim=1)], dim=1)

    def _causal(self, batch: Batch, prompt: Prompt) -> Bool[Tensor, " B"] | None:
        """Windows whose prompt allows no look ahead; ``None`` in models without prompts."""
        return None if self.prompts is None else causal_windows(batch, prompt)

    @property
    def _streams(self) -> int:
        return 1 if self.config.tokens == "fused" else 1 + len(self.per_bin)

    @property
    def _extra(self) -> int:
        """Tokens behind the bins: one per trial variable, and session and prompt."""
        return len(self.per_trial) + (0 if self.prompts is None else 2)

    # 4. read out ------------------------------------------------------------------------------

    def _latents(self, encoded: _Encoded) -> Float[Tensor, "B T R"]:
        """Latents of the activity: what the trunk says, beside the smoothed input itself."""
        bins = encoded.low_rank.shape[1]
        return self.to_rank(encoded.tokens[:, :bins]) + encoded.low_rank @ self.skip

    def _read(self, encoded: _Encoded, batch: Batch) -> Prediction:
        x_BLD, bins = encoded.tokens, batch.activity.shape[1]
        padded = (x_BLD.shape[1] - self._extra) // self._streams
        streams = x_BLD[:, : padded * self._streams].unflatten(1, (self._streams, padded))
        streams = streams[:, :, :bins]
        activity = None
        if self.config.inputs != "activity":
            stitch, loadings = self.output_stitch(batch.session), self.loadings(batch.session)
            activity = stitch(self._latents(encoded), loadings).float()
        predicted = {}
        if self.config.inputs != "behaviours":
            for index, behaviour in enumerate(self.per_bin):
                stream = streams[:, 0 if self.config.tokens == "fused" else 1 + index]
                predicted[behaviour.name] = self.heads[module_key(behaviour.name)](stream)
            for index, behaviour in enumerate(self.per_trial):
                own = x_BLD[:, padded * self._streams + index]
                head = self.heads[module_key(behaviour.name)]
                predicted[behaviour.name] = head(own, streams[:, 0], batch.valid)
        known = {b.name: b for b in self.session_infos[batch.session].behaviours}
        return Prediction(
            activity=activity,
            behaviours={
                name: self._in_user_units(values.float(), known[name], batch.session)
                for name, values in predicted.items()
                if name in known
            },
        )

    def _in_user_units(self, values: Tensor, behaviour: Behaviour, session: str) -> Tensor:
        if behaviour.kind == "categorical":
            return values
        return self.standardiser(session, behaviour).restore(values)


@dataclass(frozen=True)
class _Encoded:
    """Tokens after the trunk, and the smoothed low-rank activity they were made from."""

    tokens: Float[Tensor, "B L D"]
    low_rank: Float[Tensor, "B T R"]
