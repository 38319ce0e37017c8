"""MtM as published (NDT1-stitch, arXiv 2407.14668), quirks included, to compare with.

1. *stitch*: the counts of a bin, hidden ones as 0, pass the session's own stitcher to 668
   channels, an embedding of 1336, softsign and a projection to the width; plus a learned position.
2. *tokens*: a session vector and the prompt of the question stand before the bins: 102 tokens.
3. *trunk*: pre-norm transformer with Fixup-scaled projections; the causal prompt allows attention
   to the past only.
4. *read out*: log-rates through the session's own decoder.

Kept although it is odd: a hidden count cannot be told from silence; a bin hidden as a whole is a
token like any other; nothing stands between stitcher and embedding, two matrices that could be
one; questions without a prompt of their own borrow one.

What differs from the published code, on purpose: stitcher, decoder and session vector belong to a
session by its id, not by its number of units or its place in a list of 40; in causal samples
session and prompt attend to themselves only, where the published ones carried the future back to
the past; the decoder that was never used is not built; nobody attends to bins beyond a shorter
window; dropout on attention weights, which would leave torch's fused CPU kernel (attention then
takes twice as long), is merged into the dropout of the same probability on the attention output.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from neuroduet.config import ModelConfig
from neuroduet.errors import UserError, unknown
from neuroduet.masking import CAUSAL, PROMPTS
from neuroduet.models.modalities import Prompt, Visible, union_of_behaviours
from neuroduet.nn.attention import who_attends
from neuroduet.nn.dropout import Dropout
from neuroduet.nn.patches import token_times
from neuroduet.nn.published import fixup_scale
from neuroduet.nn.stitch import module_key
from neuroduet.types import NEURAL, Batch, Behaviour, Prediction, Scales, SessionInfo

CHANNELS = 668
"""Width behind the stitchers: the number of units of the session the method was developed on."""

PUBLISHED_PROMPTS = 4
PROMPT_ROWS = {name: row for row, name in enumerate(PROMPTS[:PUBLISHED_PROMPTS])}
PROMPT_ROWS |= {"co_smooth": PROMPT_ROWS["neuron"], "forward": PROMPT_ROWS["causal"]}
"""Row of the prompt table for every question."""

NO_QUESTION = "neuron"
"""Whose prompt a sample gets that asks nothing (as in published decoding of choice)."""

TOKEN_DROPOUT = 0.2


class MtmPublished(nn.Module):
    """One transformer over bins of activity, with stitchers per session (MtM, section 3.1).

    Args:
        config: Architecture; ``width``, ``layers``, ``heads``, ``feed_forward``, ``dropout`` (0.4
            as published) and ``prompts`` are used. Without prompts there is no prompt token, and
            only the scheme ``causal`` is causal, not the question ``forward``, as published.
        sessions: Sessions it gets stitchers for.
        behaviours: Behaviours to read beside it, for decoding from its features; it knows none
            itself. Default: all that the sessions have.

    Raises:
        UserError: ``config.behaviours`` is true.
    """

    def __init__(
        self,
        config: ModelConfig,
        sessions: Sequence[SessionInfo],
        behaviours: Sequence[Behaviour] | None = None,
    ) -> None:
        super().__init__()
        if config.behaviours:
            raise UserError("mtm_published knows activity only; set model.behaviours=false")
        self.config = config
        self.behaviours = tuple(behaviours or union_of_behaviours(sessions))
        self.bins = max((info.max_bins for info in sessions), default=100)
        self.session_infos: dict[str, SessionInfo] = {}
        width = config.width
        self.embed = nn.Linear(CHANNELS, 2 * CHANNELS)
        self.project = nn.Linear(2 * CHANNELS, width)
        self.position = nn.Parameter(torch.randn(self.bins, width))
        prompts = nn.Parameter(torch.randn(PUBLISHED_PROMPTS, width))
        self.prompts = prompts if config.prompts else None
        self.token_dropout = Dropout(TOKEN_DROPOUT)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(width)
        self.inputs = nn.ModuleDict()
        self.outputs = nn.ModuleDict()
        self.session_vectors = nn.ParameterDict()
        for info in sessions:
            self.add_session(info)

    def add_session(self, info: SessionInfo) -> None:
        """Add a fresh stitcher, decoder and session vector.

        Args:
            info: Description of the session.

        Raises:
            UserError: Its windows are longer than the model's.
        """
        self._check_length(info.id, info.max_bins)
        key, units = module_key(info.id), len(info.units)
        self.session_infos[info.id] = info
        self.inputs[key] = nn.Linear(units, CHANNELS)
        self.outputs[key] = nn.Linear(self.config.width, units)
        self.session_vectors[key] = nn.Parameter(torch.randn(self.config.width))

    def forward(
        self,
        batches: Sequence[Batch],
        visible: Sequence[Visible],
        prompts: Sequence[Prompt] | None = None,
    ) -> list[Prediction]:
        """Predict the activity of every batch.

        Args:
            batches: Micro-batches, each of one session; they pass the trunk together.
            visible: For each batch, what may be seen of the activity; all else is ignored.
            prompts: For each batch, which question is asked in every sample
                (:attr:`neuroduet.types.Masks.prompt`). Where none is, a model with prompts takes
                that of ``neuron``.

        Returns:
            One prediction per batch, without behaviours.

        Raises:
            UserError: A session is unknown, a window is longer than the model's, or a model with
                prompts has none for the question.
        """
        x_BTD = self._encode(batches, visible, prompts or [None] * len(batches))
        sizes = [len(batch.windows) for batch in batches]
        predictions = []
        for x_bTD, batch in zip(x_BTD.split(sizes), batches, strict=True):
            decoder = self._linear(self.outputs, batch.session)
            log_rates = decoder(x_bTD[:, : batch.activity.shape[1]])
            predictions.append(Prediction(activity=log_rates.float()))
        return predictions

    def latents(
        self, batch: Batch, visible: Visible, prompt: Prompt = None
    ) -> Float[Tensor, "B T D"]:
        """What the decoder of a batch's session turns into log-rates."""
        return self._encode([batch], [visible], [prompt])

    silence = True
    """A hidden unit reads as a silent one, so silent windows need no second pass."""

    def scales(self, session: str) -> Scales:
        """What errors are divided by in the loss: 1."""
        info = self.session_infos[session]
        return Scales(
            is_poisson=info.is_poisson,
            activity=torch.ones(len(info.units), device=self.position.device),
            behaviours={},
        )

    def stitchers(self) -> list[nn.Parameter]:
        """Parameters that belong to single sessions; all others are the shared core."""
        own = (self.inputs, self.outputs, self.session_vectors)
        return [parameter for module in own for parameter in module.parameters()]

    def unit_embeddings(self, session: str) -> Float[Tensor, "N E"]:
        """What the model knows of each unit: its row of the decoder, and its bias."""
        decoder = self._linear(self.outputs, session)
        return torch.cat([decoder.weight, decoder.bias[:, None]], dim=1).detach()

    # 1. stitch --------------------------------------------------------------------------------

    def _stitch(self, batch: Batch, visible: Visible) -> Float[Tensor, "B T D"]:
        bins = batch.activity.shape[1]
        self._check_length(batch.session, bins)
        shown = batch.activity.masked_fill(~visible[NEURAL], 0.0)
        channels = self._linear(self.inputs, batch.session)(shown)
        return self.project(functional.softsign(self.embed(channels))) + self.position[:bins]

    # 2. tokens --------------------------------------------------------------------------------

    def _tokens(
        self, batch: Batch, visible: Visible, prompt: Prompt, bins: int
    ) -> Float[Tensor, "B L D"]:
        missing = bins - batch.activity.shape[1]
        x_BTD = functional.pad(self._stitch(batch, visible), (0, 0, 0, missing))
        session = self.session_vectors[module_key(batch.session)]
        prefix = [session.expand(len(x_BTD), 1, -1)]
        if self.prompts is not None:
            rows = torch.tensor([self._row(name) for name in _questions(batch, prompt)])
            prefix.append(self.prompts[rows.to(x_BTD.device)][:, None])
        return torch.cat([*prefix, x_BTD], dim=1)

    def _row(self, question: str) -> int:
        if question not in PROMPT_ROWS:
            raise unknown("published prompt", question, PROMPT_ROWS)
        return PROMPT_ROWS[question]

    # 3. trunk ---------------------------------------------------------------------------------

    def _encode(
        self, batches: Sequence[Batch], visible: Sequence[Visible], prompts: Sequence[Prompt]
    ) -> Float[Tensor, "_ T D"]:
        """Bins after the trunk."""
        bins = max(batch.activity.shape[1] for batch in batches)
        parts = list(zip(batches, visible, prompts, strict=True))
        tokens = [self._tokens(batch, seen, prompt, bins) for batch, seen, prompt in parts]
        valid = torch.cat([functional.pad(b.valid, (0, bins - b.valid.shape[1])) for b in batches])
        past_only = {"causal"} if self.prompts is None else CAUSAL
        asked = [name for batch, _, prompt in parts for name in _questions(batch, prompt)]
        causal = torch.tensor([name in past_only for name in asked], device=valid.device)
        prefix = 1 if self.prompts is None else 2
        times = token_times(bins, 1, prefix).to(valid.device)
        known = functional.pad(valid, (prefix, 0), value=True)
        allowed = who_attends(times, known, causal)
        x_BLD = self.token_dropout(torch.cat(tokens))
        for block in self.blocks:
            x_BLD = block(x_BLD, allowed)
        return self.norm(x_BLD)[:, prefix:]

    def _linear(self, modules: nn.ModuleDict, session: str) -> nn.Linear:
        """A session's stitcher or decoder."""
        if session not in self.session_infos:
            raise unknown("session", session, self.session_infos)
        linear = modules[module_key(session)]
        assert isinstance(linear, nn.Linear)
        return linear

    def _check_length(self, session: str, bins: int) -> None:
        if bins > self.bins:
            raise UserError(
                f"session '{session}' has windows of {bins} bins, but the model was built for "
                f"{self.bins}; shorten the windows or train anew"
            )


class Block(nn.Module):
    """Pre-norm block: x += attention(norm(x)); x += feed-forward(norm(x)); no rotary positions."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, scale = config.width, fixup_scale(config.layers)
        self.heads = config.heads
        self.attention_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out_proj = nn.Linear(width, width)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.up_proj = nn.Linear(width, config.feed_forward)
        self.down_proj = nn.Linear(config.feed_forward, width)
        self.dropout = Dropout(config.dropout)
        with torch.no_grad():
            self.qkv.weight[2 * width :].mul_(scale * 2**0.5)
            for linear in (self.out_proj, self.up_proj, self.down_proj):
                linear.weight.mul_(scale)

    def forward(
        self, x_BLD: Float[Tensor, "B L D"], allowed: Bool[Tensor, "B #L L"] | None
    ) -> Float[Tensor, "B L D"]:
        """Transform tokens; ``allowed`` is a result of :func:`who_attends`."""
        qkv = self.qkv(self.attention_norm(x_BLD)).unflatten(-1, (3, self.heads, -1))
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind()
        mask = None if allowed is None else allowed[:, None]
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        x_BLD = x_BLD + self.out_proj(self.dropout(mixed.transpose(1, 2).flatten(2)))
        hidden = functional.gelu(self.up_proj(self.feed_forward_norm(x_BLD)))
        return x_BLD + self.dropout(self.down_proj(hidden))


def _questions(batch: Batch, prompt: Prompt) -> list[str]:
    """Name of the question that every sample asks."""
    if prompt is None:
        return [NO_QUESTION] * len(batch.windows)
    return [PROMPTS[index] if index >= 0 else NO_QUESTION for index in prompt.tolist()]
