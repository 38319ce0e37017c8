"""The transformer trunk: pre-norm blocks."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from neuroduet.nn.attention import Attention, rotary_table
from neuroduet.nn.dropout import Dropout


class Block(nn.Module):
    """Pre-norm transformer block: x += attention(norm(x)); x += feed-forward(norm(x))."""

    def __init__(self, width: int, heads: int, feed_forward: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, feed_forward)
        self.activation = nn.GELU()
        self.down = nn.Linear(feed_forward, width)
        self.dropout = Dropout(dropout)

    def forward(
        self,
        x_BLD: Float[Tensor, "B L D"],
        rotary: Float[Tensor, "2 L half"],
        allowed: Bool[Tensor, "B #L L"] | None = None,
    ) -> Float[Tensor, "B L D"]:
        """Transform tokens; arguments as in :meth:`Attention.forward`."""
        mixed = self.attention(self.attention_norm(x_BLD), rotary, allowed)
        x_BLD = x_BLD + self.dropout(mixed)
        hidden = self.activation(self.up(self.feed_forward_norm(x_BLD)))
        return x_BLD + self.dropout(self.down(hidden))


class Trunk(nn.Module):
    """A stack of blocks and a final LayerNorm; the part that all sessions share."""

    def __init__(
        self, width: int, layers: int, heads: int, feed_forward: int, dropout: float
    ) -> None:
        super().__init__()
        self.head_width = width // heads
        self.blocks = nn.ModuleList(
            Block(width, heads, feed_forward, dropout) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        scale = (2 * layers) ** -0.5
        for block in self.blocks:
            assert isinstance(block, Block)
            for linear in (block.attention.qkv, block.attention.out, block.up, block.down):
                nn.init.xavier_uniform_(linear.weight)
                nn.init.zeros_(linear.bias)
            # Two residual branches per layer: their sum keeps the variance of the input.
            with torch.no_grad():
                block.attention.out.weight.mul_(scale)
                block.down.weight.mul_(scale)

    def forward(
        self,
        x_BLD: Float[Tensor, "B L D"],
        positions: Float[Tensor, " L"],
        allowed: Bool[Tensor, "B #L L"] | None = None,
    ) -> Float[Tensor, "B L D"]:
        """Transform tokens.

        Args:
            x_BLD: Tokens.
            positions: Time bin of every token.
            allowed: Which tokens (last axis) each token may attend to; ``None`` means all.

        Returns:
            Normalised tokens.
        """
        rotary = rotary_table(positions.to(x_BLD.device), self.head_width)
        for block in self.blocks:
            x_BLD = block(x_BLD, rotary, allowed)
        return self.norm(x_BLD)
