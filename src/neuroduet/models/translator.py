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

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from neuroduet.config import ModelConfig
from neuroduet.nn.blocks import Trunk
from neuroduet.nn.dropout import Dropout
from neuroduet.nn.stitch import InputStitch, OutputStitch, SmoothingConv, module_key
from neuroduet.nn.tokens import BehaviourEmbedding, sinusoids
from neuroduet.types import NEURAL, Batch, Behaviour, Prediction, Scales, SessionInfo

Visible = Mapping[str, Tensor]


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
        self.per_bin = [b for b in self.behaviours if b.per == "bin"]
        self.per_trial = [b for b in self.behaviours if b.per == "trial"]
        self.session_infos: dict[str, SessionInfo] = {}
        width, rank = config.width, config.input_rank or config.width
        self.smooth = SmoothingConv(rank, config.input_kernel) if config.input_kernel else None
        self.from_rank = nn.Linear(rank, width) if config.input_rank else nn.Identity()
        self.hidden_activity = nn.Parameter(torch.randn(width) * 0.02)
        self.embeddings = nn.ModuleDict(
            {
                module_key(b.name): BehaviourEmbedding(b, width, config.behaviour_kernel)
                for b in self.behaviours
            }
        )
        self.kinds = nn.Parameter(torch.randn(1 + len(self.behaviours), width) * 0.02)
        self.token_dropout = Dropout(config.dropout)
        self.trunk = Trunk(width, config.layers, config.heads, config.feed_forward, config.dropout)
        self.to_rank = (
            nn.Linear(width, config.output_rank, bias=False)
            if config.output_rank
            else nn.Identity()
        )
        self.heads = nn.ModuleDict(
            {
                module_key(b.name): (
                    nn.Linear(width, b.size)
                    if b.per == "bin"
                    else PooledHead(width, b.size, config.readout_dropout)
                )
                for b in self.behaviours
            }
        )
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
        units = len(info.units)
        self.session_infos[info.id] = info
        self.inputs[key] = InputStitch(
            units, config.input_rank or config.width, info.is_poisson, config.unit_dropout
        )
        self.outputs[key] = OutputStitch(
            units, config.output_rank or config.width, info.is_poisson
        )
        self.session_vectors[key] = nn.Parameter(torch.zeros(config.width))
        self.behaviour_scales[key] = nn.ModuleDict(
            {module_key(b.name): Standardiser(b.size) for b in info.behaviours}
        )

    def forward(self, batches: Sequence[Batch], visible: Sequence[Visible]) -> list[Prediction]:
        """Predict every modality of every batch.

        Args:
            batches: Micro-batches, each of one session; they pass the trunk together.
            visible: For each batch, what may be seen of each modality.

        Returns:
            One prediction per batch.
        """
        x_BLD, bins = self._encode(batches, visible)
        sizes = [len(batch.windows) for batch in batches]
        return [
            self._read(x_bLD, batch, bins)
            for x_bLD, batch in zip(x_BLD.split(sizes), batches, strict=True)
        ]

    def latents(self, batch: Batch, visible: Visible) -> Float[Tensor, "B T R"]:
        """What the output stitcher of a batch's session turns into log-rates."""
        x_BLD, bins = self._encode([batch], [visible])
        return self.to_rank(x_BLD[:, :bins])

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
        own = (self.inputs, self.outputs, self.session_vectors)
        return [parameter for module in own for parameter in module.parameters()]

    def unit_embeddings(self, session: str) -> Float[Tensor, "N E"]:
        """What the model knows of each unit: its read-out direction in the trunk, and its bias."""
        stitch = self.output_stitch(session)
        loadings: Tensor = stitch.loadings
        if isinstance(self.to_rank, nn.Linear):
            loadings = loadings @ self.to_rank.weight
        return torch.cat([loadings, stitch.bias[:, None]], dim=1).detach()

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

    def standardiser(self, session: str, behaviour: Behaviour) -> Standardiser:
        """Units of a session's continuous behaviour."""
        scalers = self.behaviour_scales[module_key(session)]
        assert isinstance(scalers, nn.ModuleDict)
        scaler = scalers[module_key(behaviour.name)]
        assert isinstance(scaler, Standardiser)
        return scaler

    # 1. stitch --------------------------------------------------------------------------------

    def _embed_activity(self, batch: Batch, visible: Visible) -> Float[Tensor, "B T D"]:
        seen = visible[NEURAL]
        if self.config.inputs == "behaviours":
            seen = torch.zeros_like(seen)
        low_rank = self.input_stitch(batch.session)(batch.activity, seen)
        if self.smooth is not None:
            low_rank = self.smooth(low_rank)
        whole_bin = seen.any(-1, keepdim=True) & batch.valid[..., None]
        embedded = self.from_rank(low_rank)
        return torch.where(whole_bin, embedded, self.hidden_activity.to(embedded.dtype))

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
        self, batches: Sequence[Batch], visible: Sequence[Visible]
    ) -> tuple[Float[Tensor, "B L D"], int]:
        """Tokens after the trunk, and the number of bins each stream of them has."""
        bins = max(batch.activity.shape[1] for batch in batches)
        tokens = [
            self._tokens(batch, seen, bins) for batch, seen in zip(batches, visible, strict=True)
        ]
        valid = torch.cat([_pad(batch.valid, bins) for batch in batches])
        x_BLD = self.token_dropout(torch.cat(tokens))
        return self.trunk(x_BLD, self._positions(bins), self._allowed(valid)), bins

    def _tokens(self, batch: Batch, visible: Visible, bins: int) -> Float[Tensor, "B L D"]:
        per_bin = [self._embed_activity(batch, visible)]
        per_bin += [self._embed_behaviour(b, batch, visible) for b in self.per_bin]
        per_trial = [self._embed_behaviour(b, batch, visible) for b in self.per_trial]
        dynamic = [x + kind for x, kind in zip(per_bin, self._kinds(self.per_bin), strict=True)]
        static = [
            x + kind
            for x, kind in zip(per_trial, self._kinds(self.per_trial, first=False), strict=True)
        ]
        position = sinusoids(batch.activity.shape[1], self.config.width).to(batch.activity.device)
        if self.config.tokens == "fused":
            fused = torch.stack(dynamic).sum(0)
            for vector in per_trial:
                fused = fused + vector[:, None]
            dynamic = [fused]
        tokens = [_pad(x + position, bins) for x in dynamic] + [x[:, None] for x in static]
        return torch.cat(tokens, dim=1) + self.session_vectors[module_key(batch.session)]

    def _kinds(self, behaviours: Sequence[Behaviour], first: bool = True) -> list[Tensor]:
        """Modality vectors of some behaviours, the activity's first."""
        own = [self.kinds[1 + self.behaviours.index(b)] for b in behaviours]
        return [self.kinds[0], *own] if first else own

    @property
    def _streams(self) -> int:
        return 1 if self.config.tokens == "fused" else 1 + len(self.per_bin)

    def _positions(self, bins: int) -> Float[Tensor, " L"]:
        time = torch.arange(bins, dtype=torch.float32).repeat(self._streams)
        return torch.cat([time, torch.zeros(len(self.per_trial))])

    def _allowed(self, valid: Bool[Tensor, "B T"]) -> Bool[Tensor, "B 1 L"] | None:
        """Padding bins are never attended to; ``None`` (all) keeps the fastest kernel."""
        if bool(valid.all()):
            return None
        static = torch.ones(len(valid), len(self.per_trial), dtype=torch.bool, device=valid.device)
        return torch.cat([valid.repeat(1, self._streams), static], dim=1)[:, None]

    # 4. read out ------------------------------------------------------------------------------

    def _read(self, x_BLD: Float[Tensor, "B L D"], batch: Batch, padded: int) -> Prediction:
        bins = batch.activity.shape[1]
        streams = x_BLD[:, : padded * self._streams].unflatten(1, (self._streams, padded))
        streams = streams[:, :, :bins]
        stitch = self.output_stitch(batch.session)
        activity = None
        if self.config.inputs != "activity":
            activity = stitch(self.to_rank(streams[:, 0])).float()
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


class PooledHead(nn.Module):
    """Read-out of one value per window: its own token beside a learned average over time."""

    def __init__(self, width: int, size: int, dropout: float) -> None:
        super().__init__()
        self.query = nn.Linear(width, 1)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(2 * width, size)

    def forward(
        self,
        own: Float[Tensor, "B D"],
        stream: Float[Tensor, "B T D"],
        valid: Bool[Tensor, "B T"],
    ) -> Float[Tensor, "B K"]:
        """Logits or values of each window."""
        scores = self.query(stream)[..., 0].masked_fill(~valid, -torch.inf)
        pooled = (functional.softmax(scores, dim=1)[..., None] * stream).sum(1)
        return self.linear(self.dropout(torch.cat([own, pooled], dim=-1)))


class Standardiser(nn.Module):
    """Mean and standard deviation of a continuous behaviour on a session's training windows."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.centre: Tensor
        self.scale: Tensor
        self.register_buffer("centre", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))

    def standardise(self, values: Float[Tensor, "*B C"]) -> Float[Tensor, "*B C"]:
        """User's units to z-scores."""
        return (values - self.centre) / self.scale

    def restore(self, values: Float[Tensor, "*B C"]) -> Float[Tensor, "*B C"]:
        """Z-scores to the user's units."""
        return values * self.scale + self.centre


def union_of_behaviours(sessions: Sequence[SessionInfo]) -> tuple[Behaviour, ...]:
    """All behaviours of some sessions, by name, in the order they are first met."""
    found: dict[str, Behaviour] = {}
    for info in sessions:
        for behaviour in info.behaviours:
            found.setdefault(behaviour.name, behaviour)
    return tuple(found.values())


def _pad(x: Tensor, bins: int) -> Tensor:
    """Zeros (false) appended to the time axis (1) up to ``bins``."""
    missing = bins - x.shape[1]
    if missing == 0:
        return x
    filler = torch.zeros(x.shape[0], missing, *x.shape[2:], dtype=x.dtype, device=x.device)
    return torch.cat([x, filler], dim=1)
