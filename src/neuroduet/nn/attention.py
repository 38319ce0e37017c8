"""Self-attention with rotary positions on torch's fused kernel."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

ROTARY_BASE = 10000.0
"""Longest wavelength of a rotation over 2 pi (bins)."""


def rotary_angles(positions: Float[Tensor, " L"], head_width: int) -> Float[Tensor, "L half"]:
    """Angle by which each pair of entries of a head is turned (RoFormer, eq. 15).

    Args:
        positions: Position of every token (time bin); tokens without a place in time sit at 0.
        head_width: Width of one head, even.
    """
    half = head_width // 2
    pairs = torch.arange(half, dtype=torch.float32, device=positions.device)
    frequencies = ROTARY_BASE ** (-pairs / half)
    return positions[:, None] * frequencies


def rotary_table(positions: Float[Tensor, " L"], head_width: int) -> Float[Tensor, "2 L half"]:
    """Cosines and sines of :func:`rotary_angles`."""
    angles = rotary_angles(positions, head_width)
    return torch.stack([angles.cos(), angles.sin()])


def rotate(
    x_BHLd: Float[Tensor, "B H L d"], table: Float[Tensor, "2 L half"]
) -> Float[Tensor, "B H L d"]:
    """Rotate each pair (first half, second half) of a head's entries by its position's angle."""
    cos, sin = table[0], table[1]
    first, second = x_BHLd.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


def past(times: Int[Tensor, " L"]) -> Bool[Tensor, "L L"]:
    """Who may attend to whom (last axis) where the future is hidden.

    A token attends to the tokens of its own and of earlier bins. Tokens at -1 are of no bin, such
    as session and prompt; all attend to them, but they to each other only: through them the
    published model leaks the future.

    >>> past(torch.tensor([-1, 0, 0, 1])).int()
    tensor([[1, 0, 0, 0],
            [1, 1, 1, 0],
            [1, 1, 1, 0],
            [1, 1, 1, 1]], dtype=torch.int32)
    """
    return times[:, None] >= times


def who_attends(
    times: Int[Tensor, " L"], known: Bool[Tensor, "B L"], causal: Bool[Tensor, " B"] | None
) -> Bool[Tensor, "B _ L"] | None:
    """Which tokens (last axis) each token may attend to.

    Args:
        times: Bin of every token, -1 for those of no bin.
        known: Tokens that are not padding; nobody attends to the others.
        causal: Samples in which the future is hidden, see :func:`past`; ``None`` for none.

    Returns:
        True where allowed; ``None`` if everything is, which keeps the fastest kernel.
    """
    if causal is not None and bool(causal.any()):
        return known[:, None] & (past(times) | ~causal[:, None, None])
    return None if bool(known.all()) else known[:, None]


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
