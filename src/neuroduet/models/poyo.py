"""POYO (arXiv 2310.16046) as a decoder of the same windows: the model is that of ``torch_brain``.

1. *events*: every spike is a token, the vector of its unit at the centre of its bin; every unit
   that may be seen has a token at the start and one at the end of its window.
2. *latents*: a grid of learned tokens, the same for all windows, reads the events through
   cross-attention and is processed by self-attention; time enters by rotation only.
3. *queries*: the vector of the session at the centre of every bin reads the latents; one linear
   map turns the result into the channels of all behaviours.

What differs from the published use, on purpose: time is known up to bins, as every other model
here knows it; vectors of units and sessions are parameters of their session instead of rows of
two tables, so that finetuning starts new ones and a session outside a batch stays as it is;
a behaviour given once per trial is the mean over the window's bins; units are dropped one by one
instead of to a random number. Attention is never dropped out (:mod:`neuroduet.nn.attention`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from neuroduet.config import ModelConfig
from neuroduet.data.statistics import Statistics
from neuroduet.errors import UserError, unknown
from neuroduet.models.modalities import Visible, union_of_behaviours
from neuroduet.nn.dropout import Dropout
from neuroduet.nn.heads import Standardiser
from neuroduet.nn.stitch import module_key
from neuroduet.types import NEURAL, Batch, Behaviour, Prediction, Scales, SessionInfo

SPIKE, START, END = range(3)
"""Kinds of tokens, in the order of POYO's own table."""

HEAD_WIDTH = 64
"""Width of an attention head, as published, whatever the width of the model."""

CROSS_HEADS = 2
"""Heads of the attention to events and to latents."""

LATENT_STEP_S = 0.125
"""Distance of the latents' time points (s)."""

LATENTS_PER_STEP = 8
"""Latents at each time point."""

EMBEDDING_SCALE = 0.02
"""Standard deviation of fresh vectors, as published."""


class Poyo(nn.Module):
    """Spikes as tokens, decoded through a small set of latents (POYO, figure 2).

    Args:
        config: Architecture; ``width``, ``layers``, ``heads`` (of self-attention), ``dropout``
            (in feed-forward layers), ``readout_dropout`` (after every layer) and
            ``unit_dropout`` are used.
        sessions: Sessions it gets vectors for.
        behaviours: Behaviours it knows; default: all that the sessions have.

    Raises:
        UserError: There is no behaviour to decode, or ``config`` leaves behaviours or activity
            out.
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
        if not self.behaviours or not config.behaviours or config.inputs == "behaviours":
            raise UserError(
                "POYO decodes behaviour from spikes, and here is no behaviour to decode, or no "
                "activity to read; give recordings with behaviours, model.behaviours=true and "
                "model.inputs=all"
            )
        self.session_infos: dict[str, SessionInfo] = {}
        longest_s = max((info.max_bins * info.bin_size_s for info in sessions), default=1.0)
        # Bins of 0.02 s do not add up to round numbers.
        self.latent_steps = max(1, math.ceil(longest_s / LATENT_STEP_S - 1e-6))
        # The import pulls in ray: only who uses the model pays for it.
        from torch_brain.models import POYO

        self.core = POYO(
            sequence_length=self.latent_steps * LATENT_STEP_S,
            latent_step=LATENT_STEP_S,
            num_latents_per_step=LATENTS_PER_STEP,
            dim_out=sum(behaviour.size for behaviour in self.behaviours),
            dim=config.width,
            depth=config.layers,
            dim_head=HEAD_WIDTH,
            cross_heads=CROSS_HEADS,
            self_heads=config.heads,
            ffn_dropout=config.dropout,
            lin_dropout=config.readout_dropout,
            atn_dropout=0.0,
            emb_init_scale=EMBEDDING_SCALE,
        )
        self.core.unit_emb = Given()
        self.core.session_emb = Given()
        self.unit_dropout = Dropout(config.unit_dropout)
        self.units = nn.ParameterDict()
        self.session_vectors = nn.ParameterDict()
        self.behaviour_scales = nn.ModuleDict()
        for info in sessions:
            self.add_session(info)

    def add_session(self, info: SessionInfo) -> None:
        """Add fresh vectors for a session and its units.

        Args:
            info: Description of the session; its behaviours must be among the model's.

        Raises:
            UserError: Its activity is not made of events, or a behaviour is unknown.
        """
        if not info.is_poisson:
            raise UserError(
                f"session '{info.id}' has traces, but POYO reads events only; give spikes or "
                "counts, or choose another model"
            )
        known = [b.name for b in self.behaviours]
        for behaviour in info.behaviours:
            if behaviour.name not in known:
                raise unknown("behaviour", behaviour.name, known)
        key, width = module_key(info.id), self.config.width
        self.session_infos[info.id] = info
        self.units[key] = nn.Parameter(EMBEDDING_SCALE * torch.randn(len(info.units), width))
        self.session_vectors[key] = nn.Parameter(EMBEDDING_SCALE * torch.randn(width))
        self.behaviour_scales[key] = nn.ModuleDict(
            {
                module_key(b.name): Standardiser(b.size)
                for b in info.behaviours
                if b.kind == "continuous"
            }
        )

    def forward(
        self,
        batches: Sequence[Batch],
        visible: Sequence[Visible],
        prompts: Sequence[Tensor | None] | None = None,
    ) -> list[Prediction]:
        """Decode every behaviour of every batch.

        Args:
            batches: Micro-batches, each of one session.
            visible: For each batch, what may be seen; behaviours are never read.
            prompts: Not used.

        Returns:
            One prediction per batch, without activity.
        """
        return [
            self._read(self._channels(batch, seen[NEURAL]), batch)
            for batch, seen in zip(batches, visible, strict=True)
        ]

    def set_statistics(self, session: str, statistics: Statistics) -> None:
        """Set mean and standard deviation of a session's continuous behaviours.

        Args:
            session: Session id.
            statistics: Statistics of its training windows.
        """
        for name, mean in statistics.behaviour_mean.items():
            scaler = self._standardiser(session, name)
            scaler.centre.copy_(torch.as_tensor(mean))
            scaler.scale.copy_(torch.as_tensor(statistics.behaviour_scale[name]))

    def scales(self, session: str) -> Scales:
        """Standard deviations of the behaviours, for the loss; 1 for activity."""
        info = self.session_infos[session]
        return Scales(
            is_poisson=True,
            activity=torch.ones(len(info.units), device=self.units[module_key(session)].device),
            behaviours={
                b.name: self._standardiser(session, b.name).scale
                for b in info.behaviours
                if b.kind == "continuous"
            },
        )

    def stitchers(self) -> list[nn.Parameter]:
        """Parameters that belong to single sessions; all others are the shared core."""
        return [*self.units.values(), *self.session_vectors.values()]

    def unit_embeddings(self, session: str) -> Float[Tensor, "N D"]:
        """The vector of each unit."""
        return self.units[module_key(session)].detach()

    # 1. events, 2. latents, 3. queries -----------------------------------------------------------

    def _channels(self, batch: Batch, visible: Bool[Tensor, "B _ _"]) -> Float[Tensor, "B T K"]:
        """All behaviours' channels in every bin."""
        if batch.session not in self.session_infos:
            raise unknown("session", batch.session, self.session_infos)
        key, (n, bins, n_units) = module_key(batch.session), batch.activity.shape
        bin_size_s = self.session_infos[batch.session].bin_size_s
        kept = self.unit_dropout(torch.ones(n, 1, n_units, device=batch.valid.device)) > 0
        seen = visible & batch.valid[..., None] & kept
        place = torch.arange(bins, device=batch.valid.device)
        # Up to the last one: bins that were not recorded may lie among them.
        length = (batch.valid * (place + 1)).amax(1)
        tokens = events(batch.activity, seen, length, bin_size_s)
        centres = (place + 0.5) * bin_size_s
        index, times = self._latents(batch.valid.device)
        channels: Tensor = self.core(
            input_unit_index=tokens.vectors(self.units[key]),
            input_timestamps=tokens.times,
            input_token_type=tokens.kinds,
            input_mask=tokens.read,
            latent_index=index.expand(n, -1),
            latent_timestamps=times.expand(n, -1),
            session_index=self.session_vectors[key].expand(n, -1),
            output_timestamps=centres.expand(n, -1),
        )
        return channels.float()

    def _latents(self, device: torch.device) -> tuple[Int[Tensor, " L"], Float[Tensor, " L"]]:
        """Which latents there are, and when; steps outermost.

        The grid does not depend on the batch: what shares a batch must not change a prediction.
        """
        times = (torch.arange(self.latent_steps, device=device) + 0.5) * LATENT_STEP_S
        index = torch.arange(LATENTS_PER_STEP, device=device)
        return index.repeat(len(times)), times.repeat_interleave(LATENTS_PER_STEP)

    def _read(self, channels: Float[Tensor, "B T K"], batch: Batch) -> Prediction:
        sizes = [behaviour.size for behaviour in self.behaviours]
        own = dict(
            zip([b.name for b in self.behaviours], channels.split(sizes, dim=-1), strict=True)
        )
        weights = batch.valid[..., None] / batch.valid.sum(1)[:, None, None].clamp(min=1)
        predicted = {}
        for behaviour in self.session_infos[batch.session].behaviours:
            values = own[behaviour.name]
            if behaviour.per == "trial":
                values = (values * weights).sum(1)
            if behaviour.kind == "continuous":
                values = self._standardiser(batch.session, behaviour.name).restore(values)
            predicted[behaviour.name] = values
        return Prediction(activity=None, behaviours=predicted)

    def _standardiser(self, session: str, behaviour: str) -> Standardiser:
        scalers = self.behaviour_scales[module_key(session)]
        assert isinstance(scalers, nn.ModuleDict)
        scaler = scalers[module_key(behaviour)]
        assert isinstance(scaler, Standardiser)
        return scaler


class Given(nn.Module):
    """In place of POYO's tables of words: it is handed vectors where it expects their rows.

    Those tables save their words beside the weights, and all sessions share one matrix; weights
    here are tensors only, and those of a session are its own.
    """

    def is_lazy(self) -> bool:
        """Never: no words are missing."""
        return False

    def forward(self, vectors: Float[Tensor, "*B D"]) -> Float[Tensor, "*B D"]:
        """The vectors themselves."""
        return vectors


@dataclass(frozen=True, kw_only=True)
class Events:
    """Tokens of some windows of one session, padded at their end.

    Attributes:
        units: Index of each token's unit; 0 for padding.
        times: Seconds since the start of the window; 0 for padding.
        kinds: :data:`SPIKE`, :data:`START` or :data:`END`.
        filled: False for padding.
    """

    units: Int[Tensor, "B L"]
    times: Float[Tensor, "B L"]
    kinds: Int[Tensor, "B L"]
    filled: Bool[Tensor, "B L"]

    @property
    def read(self) -> Bool[Tensor, "B L"]:
        """What attention reads: an empty window reads its first padding, a vector of zeros."""
        empty = ~self.filled.any(1, keepdim=True)
        return torch.cat([self.filled[:, :1] | empty, self.filled[:, 1:]], dim=1)

    def vectors(self, table: Float[Tensor, "N D"]) -> Float[Tensor, "B L D"]:
        """The vector of each token's unit; zeros for padding."""
        return functional.embedding(self.units, table) * self.filled[..., None]


def events(
    counts: Float[Tensor, "B T N"],
    seen: Bool[Tensor, "B T N"],
    bins: Int[Tensor, " B"],
    bin_size_s: float,
) -> Events:
    """Counts as events.

    Args:
        counts: Spike counts.
        seen: Which of them may be read.
        bins: Number of bins of each window, without padding.
        bin_size_s: Width of a bin (s).

    Returns:
        For every unit that may be seen at all a start and an end token, then one token per spike
        at the centre of its bin, in order of time.
    """
    window, unit = seen.any(1).nonzero(as_tuple=True)
    fired = counts.masked_fill(~seen, 0.0).nonzero(as_tuple=True)
    repeats = counts[fired].round().long()
    spike_window, spike_bin, spike_unit = (x.repeat_interleave(repeats) for x in fired)
    windows = torch.cat([window, window, spike_window])
    start = torch.zeros(len(window), device=counts.device)
    times = torch.cat([start, bins[window] * bin_size_s, (spike_bin + 0.5) * bin_size_s])
    kinds = torch.full_like(windows, SPIKE)
    kinds[: len(window)] = START
    kinds[len(window) : 2 * len(window)] = END
    place, length = _places(windows, len(counts))
    shape = (len(counts), length)
    return Events(
        units=windows.new_zeros(shape).index_put(
            (windows, place), torch.cat([unit, unit, spike_unit])
        ),
        times=times.new_zeros(shape).index_put((windows, place), times),
        kinds=kinds.new_zeros(shape).index_put((windows, place), kinds),
        filled=seen.new_zeros(shape).index_put((windows, place), seen.new_ones(len(windows))),
    )


def _places(windows: Int[Tensor, " tokens"], n: int) -> tuple[Int[Tensor, " tokens"], int]:
    """Position of each token in its window, in the given order; and the longest window, >= 1."""
    order = torch.argsort(windows, stable=True)
    lengths = torch.bincount(windows, minlength=n)
    first = lengths.cumsum(0) - lengths
    place = torch.empty_like(windows)
    place[order] = torch.arange(len(windows), device=windows.device) - first[windows[order]]
    return place, max(1, int(lengths.max()))
