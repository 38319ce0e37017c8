"""Self-attention with rotary positions on torch's fused kernel."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional


def rotary_table(
    positions: Float[Tensor, " L"], head_width: int, base: float = 10000.0
) -> Float[Tensor, "2 L half"]:
    """Cosines and sines of rotary position embedding (RoFormer, eq. 15).

    Args:
        positions: Position of every token (time bin); tokens without a place in time sit at 0.
        head_width: Width of one head, even.
        base: Wavelength base.

    Returns:
        Cosines and sines, one angle per pair of entries of a head.
    """
    half = head_width // 2
    frequencies = base ** (-torch.arange(half, dtype=torch.float32) / half)
    angles = positions[:, None] * frequencies
    return torch.stack([angles.cos(), angles.sin()])


def rotate(
    x_BHLd: Float[Tensor, "B H L d"], table: Float[Tensor, "2 L half"]
) -> Float[Tensor, "B H L d"]:
    """Rotate each pair (first half, second half) of a head's entries by its position's angle."""
    cos, sin = table[0], table[1]
    first, second = x_BHLd.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


class Attention(nn.Module):
    """Multi-head self-attention over all tokens.

    Dropout inside the attention weights would leave torch's fused CPU kernel (several times
    slower), so the block around this layer drops its output instead.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(
        self,
        x_BLD: Float[Tensor, "B L D"],
        rotary: Float[Tensor, "2 L half"],
        allowed: Bool[Tensor, "B #L L"] | None = None,
    ) -> Float[Tensor, "B L D"]:
        """Mix tokens.

        Args:
            x_BLD: Tokens.
            rotary: Table of :func:`rotary_table`.
            allowed: Which tokens (last axis) each token may attend to; ``None`` means all.

        Returns:
            Mixed tokens.
        """
        n, length, width = x_BLD.shape
        qkv = self.qkv(x_BLD).view(n, length, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        table = rotary.to(query.dtype)
        mixed = functional.scaled_dot_product_attention(
            rotate(query, table),
            rotate(key, table),
            value,
            attn_mask=None if allowed is None else allowed[:, None],
        )
        return self.out(mixed.transpose(1, 2).reshape(n, length, width))
