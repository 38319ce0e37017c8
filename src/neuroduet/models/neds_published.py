"""NEDS as published (arXiv 2504.08201), quirks included, to compare the corrected model with.

1. *stitch*: every modality becomes one token per bin through the session's own stitchers; a value
   given once per trial is spread over all bins. 100 bins and four behaviours make 500 tokens.
2. *mask*: hidden tokens are replaced by one shared vector; then the modality's own tables of
   modality, position and session are added.
3. *trunk*: pre-norm transformer over all tokens, without an attention mask.
4. *read out*: every modality through the session's own head.

What differs from the published code, on purpose: units are never padded; every head is a
registered parameter (there, the heads of unimodal models were neither trained nor saved); a head
that a unimodal model does not use is not built; a session's row is an integer, so a session with
one window in a batch is treated like any other; dropout on attention weights is merged into the
dropout outside the kernel (:mod:`neuroduet.nn.published`); min-max ranges come from the training
windows; bins beyond a shorter window are hidden tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from neuroduet.config import ModelConfig
from neuroduet.errors import UserError, unknown
from neuroduet.models.modalities import Visible, pad_bins, union_of_behaviours
from neuroduet.nn.dropout import Dropout
from neuroduet.nn.published import (
    InputStitch,
    PublishedTrunk,
    StaticHead,
    StaticInputStitch,
    Tables,
)
from neuroduet.nn.ranges import BehaviourRanges, Range
from neuroduet.nn.stitch import module_key
from neuroduet.types import NEURAL, Batch, Behaviour, Prediction, Scales, SessionInfo

PUBLISHED_ORDER = ("choice", "block", "wheel", "whisker")
"""Behaviours of the publication, in its order of modalities; others follow them."""

PUBLISHED_SESSIONS = 84
"""Rows of the published session table."""

TOKEN_DROPOUT = 0.2
"""Dropout on tokens before the tables are added."""


class NedsPublished(nn.Module):
    """One transformer with a token per modality and bin (NEDS, figure 1).

    Args:
        config: Architecture; ``width``, ``layers``, ``heads``, ``feed_forward``, ``dropout`` (0.4
            as published) and ``inputs`` are used.
        sessions: Sessions it gets stitchers for; a session's row in the tables is its index here.
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
        self.behaviours = in_published_order(behaviours or union_of_behaviours(sessions))
        self.bins = max((info.max_bins for info in sessions), default=100)
        self.session_infos: dict[str, SessionInfo] = {}
        names = [NEURAL, *(b.name for b in self.behaviours)]
        self.streams = {"all": names, "activity": names[:1], "behaviours": names[1:]}[
            config.inputs
        ]
        if not self.streams:
            raise UserError("an encoding-only model needs a behaviour; the sessions have none")
        rows = max(PUBLISHED_SESSIONS, len(sessions))
        self.tables = nn.ModuleList(
            Tables(len(names), self.bins, rows, config.width) for _ in self.streams
        )
        self.mask_token = nn.Parameter(torch.zeros(config.width))
        self.token_dropout = Dropout(TOKEN_DROPOUT)
        self.trunk = PublishedTrunk(
            config.width,
            config.layers,
            config.heads,
            config.feed_forward,
            config.dropout,
            torch.arange(self.bins, dtype=torch.float32).repeat(len(self.streams)),
        )
        self.inputs = nn.ModuleDict()
        self.outputs = nn.ModuleDict()
        self.ranges = nn.ModuleDict()
        for info in sessions:
            self.add_session(info)

    def add_session(self, info: SessionInfo) -> None:
        """Add fresh stitchers and heads for a session.

        Args:
            info: Description of the session; its behaviours must be among the model's.

        Raises:
            UserError: Its windows are longer than the model's, or a behaviour is unknown.
        """
        if info.max_bins > self.bins:
            raise UserError(
                f"session '{info.id}' has windows of {info.max_bins} bins, but the model was "
                f"built for {self.bins}; shorten the windows or train anew"
            )
        known = [b.name for b in self.behaviours]
        for behaviour in info.behaviours:
            if behaviour.name not in known:
                raise unknown("behaviour", behaviour.name, known)
        key = module_key(info.id)
        self.session_infos[info.id] = info
        self.inputs[key] = self._input_stitchers(info)
        self.outputs[key] = self._heads(info)
        self.ranges[key] = nn.ModuleDict(
            {module_key(b.name): Range(b.size) for b in info.behaviours if b.kind == "continuous"}
        )
        for table in self.tables:
            assert isinstance(table, Tables)
            table.grow(len(self.session_infos))

    def forward(
        self,
        batches: Sequence[Batch],
        visible: Sequence[Visible],
        prompts: Sequence[Tensor | None] | None = None,
    ) -> list[Prediction]:
        """Predict every modality of every batch.

        Args:
            batches: Micro-batches, each of one session; they pass the trunk together.
            visible: For each batch, what may be seen of each modality; a behaviour given once per
                trial takes ``(B,)``, or ``(B, T)`` to hide only some of its tokens.
            prompts: Not used.

        Returns:
            One prediction per batch.
        """
        tokens = [self._tokens(b, seen) for b, seen in zip(batches, visible, strict=True)]
        x_BLD = self.trunk(torch.cat(tokens) if len(tokens) > 1 else tokens[0])
        sizes = [len(batch.windows) for batch in batches]
        return [
            self._read(x_bLD, batch)
            for x_bLD, batch in zip(x_BLD.split(sizes), batches, strict=True)
        ]

    def set_statistics(self, session: str, statistics: BehaviourRanges) -> None:
        """Set the ranges by which a session's continuous behaviours are scaled to [0, 1].

        Args:
            session: Session id.
            statistics: Ranges over its training windows.
        """
        for name, low in statistics.low.items():
            scaler = self._range(session, name)
            scaler.behaviour_low.copy_(low)
            scaler.behaviour_high.copy_(statistics.high[name])

    def scales(self, session: str) -> Scales:
        """What errors are divided by in the loss: the behaviours' ranges; 1 for activity."""
        info = self.session_infos[session]
        return Scales(
            is_poisson=info.is_poisson,
            activity=torch.ones(len(info.units), device=self.mask_token.device),
            behaviours={
                b.name: self._range(session, b.name).span
                for b in info.behaviours
                if b.kind == "continuous"
            },
        )

    def stitchers(self) -> list[nn.Parameter]:
        """Parameters that belong to single sessions; all others are the shared core."""
        return [*self.inputs.parameters(), *self.outputs.parameters()]

    def unit_embeddings(self, session: str) -> Float[Tensor, "N E"]:
        """What the model knows of each unit: its row of the read-out, or else of the stitcher."""
        heads = self._own(self.outputs, session)
        if NEURAL in heads:
            head = heads[NEURAL]
            assert isinstance(head, nn.Linear)
            return torch.cat([head.weight, head.bias[:, None]], dim=1).detach()
        stitch = self._own(self.inputs, session)[NEURAL]
        assert isinstance(stitch, InputStitch)
        return stitch.expand.weight.T.detach()

    # 1. stitch --------------------------------------------------------------------------------

    def _input_stitchers(self, info: SessionInfo) -> nn.ModuleDict:
        width, stitchers = self.config.width, nn.ModuleDict()
        if NEURAL in self.streams:
            stitchers[NEURAL] = InputStitch(len(info.units), width)
        for behaviour in info.behaviours:
            # A class enters as its index, one number, as published.
            channels = 1 if behaviour.kind == "categorical" else behaviour.size
            if behaviour.name in self.streams:
                stitchers[module_key(behaviour.name)] = (
                    InputStitch(channels, width)
                    if behaviour.per == "bin"
                    else StaticInputStitch(channels, self.bins, width)
                )
        return stitchers

    def _stitch_activity(self, batch: Batch, visible: Visible) -> tuple[Tensor, Tensor]:
        """Tokens of the activity and which of them may be seen, ``(B, T, D)`` and ``(B, T)``."""
        seen, activity = visible[NEURAL], batch.activity
        if seen.shape[-1] > 1:
            activity = activity.masked_fill(~seen, 0.0)
        tokens = self._own(self.inputs, batch.session)[NEURAL](pad_bins(activity, self.bins))
        whole_bin = seen.any(-1).expand(batch.valid.shape) & batch.valid
        return tokens, pad_bins(whole_bin, self.bins)

    def _stitch_behaviour(
        self, behaviour: Behaviour, batch: Batch, visible: Visible
    ) -> tuple[Tensor, Tensor]:
        """As for the activity; a behaviour that the session lacks is hidden."""
        name, n = behaviour.name, len(batch.windows)
        stitchers = self._own(self.inputs, batch.session)
        if name not in batch.behaviours or module_key(name) not in stitchers:
            empty = self.mask_token.expand(n, self.bins, -1)
            return empty, torch.zeros(n, self.bins, dtype=torch.bool, device=empty.device)
        values, seen, observed = batch.behaviours[name], visible[name], batch.observed[name]
        if behaviour.kind == "categorical":
            values = values[..., None].to(batch.activity.dtype)
        else:
            values = self._range(batch.session, name).to_unit(values)
        stitch = stitchers[module_key(name)]
        if behaviour.per == "bin":
            return stitch(pad_bins(values, self.bins)), pad_bins(seen & observed, self.bins)
        seen = seen if seen.ndim > 1 else seen[:, None].expand(batch.valid.shape)
        return stitch(values), pad_bins(seen & observed[:, None] & batch.valid, self.bins)

    # 2. mask ----------------------------------------------------------------------------------

    def _tokens(self, batch: Batch, visible: Visible) -> Float[Tensor, "B L D"]:
        if batch.activity.shape[1] > self.bins:
            raise UserError(
                f"a window of session '{batch.session}' has {batch.activity.shape[1]} bins, but "
                f"the model was built for {self.bins}; shorten the windows or train anew"
            )
        known = {b.name: b for b in self.behaviours}
        stitched = [
            self._stitch_activity(batch, visible)
            if name == NEURAL
            else self._stitch_behaviour(known[name], batch, visible)
            for name in self.streams
        ]
        tokens = self.token_dropout(torch.cat([x for x, _ in stitched], dim=1))
        seen = torch.cat([mask for _, mask in stitched], dim=1)[..., None]
        masked = torch.where(seen, tokens, self.mask_token.to(tokens.dtype))
        return masked + self._table(batch.session)

    def _table(self, session: str) -> Float[Tensor, "L D"]:
        names = [NEURAL, *(b.name for b in self.behaviours)]
        row = list(self.session_infos).index(session)
        return torch.cat(
            [
                table(names.index(name), row)
                for name, table in zip(self.streams, self.tables, strict=True)
            ]
        )

    # 4. read out ------------------------------------------------------------------------------

    def _heads(self, info: SessionInfo) -> nn.ModuleDict:
        width, inputs, heads = self.config.width, self.config.inputs, nn.ModuleDict()
        if inputs != "activity":
            joined = width * len(self.streams) if inputs == "behaviours" else width
            heads[NEURAL] = nn.Linear(joined, len(info.units))
        if inputs != "behaviours":
            for behaviour in info.behaviours:
                heads[module_key(behaviour.name)] = (
                    nn.Linear(width, behaviour.size)
                    if behaviour.per == "bin"
                    else StaticHead(width, behaviour.size, self.bins)
                )
        return heads

    def _read(self, x_BLD: Float[Tensor, "B L D"], batch: Batch) -> Prediction:
        bins, heads = batch.activity.shape[1], self._own(self.outputs, batch.session)
        streams = dict(zip(self.streams, x_BLD.split(self.bins, dim=1), strict=True))
        activity = None
        if self.config.inputs == "all":
            activity = heads[NEURAL](streams[NEURAL][:, :bins]).float()
        elif self.config.inputs == "behaviours":
            activity = heads[NEURAL](torch.cat(list(streams.values()), dim=-1)[:, :bins]).float()
        predicted: dict[str, Tensor] = {}
        if self.config.inputs != "behaviours":
            for behaviour in self.session_infos[batch.session].behaviours:
                name = behaviour.name
                values = heads[module_key(name)](streams.get(name, streams[NEURAL])).float()
                if behaviour.per == "bin":
                    values = values[:, :bins]
                if behaviour.kind == "continuous":
                    values = self._range(batch.session, name).to_user(values)
                predicted[name] = values
        return Prediction(activity=activity, behaviours=predicted)

    def _range(self, session: str, behaviour: str) -> Range:
        scaler = self._own(self.ranges, session)[module_key(behaviour)]
        assert isinstance(scaler, Range)
        return scaler

    def _own(self, modules: nn.ModuleDict, session: str) -> nn.ModuleDict:
        """A session's share of the stitchers, heads or ranges."""
        if session not in self.session_infos:
            raise unknown("session", session, self.session_infos)
        own = modules[module_key(session)]
        assert isinstance(own, nn.ModuleDict)
        return own


def in_published_order(behaviours: Sequence[Behaviour]) -> tuple[Behaviour, ...]:
    """Behaviours of the publication first and in its order, then the others as they came."""
    rank = {name: index for index, name in enumerate(PUBLISHED_ORDER)}
    return tuple(sorted(behaviours, key=lambda b: rank.get(b.name, len(rank))))
