"""Layers of NEDS as published (arXiv 2504.08201 and its code): stitchers, tables, blocks.

One thing is not as published: dropout on the attention weights would leave torch's fused CPU
kernel (several times slower), so it is merged into the dropout of the same probability that the
published block applies to the attention output, just outside the kernel.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from neuroduet.nn.attention import rotary_angles
from neuroduet.nn.dropout import Dropout


def fixup_scale(layers: int) -> float:
    """What the projections of a residual branch are multiplied by at the start.

    >>> round(fixup_scale(5), 6)
    0.448056
    """
    return 0.67 * layers**-0.25


class InputStitch(nn.Module):
    """Channels of one bin to the model's width: N -> 2N -> softsign -> D."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.expand = nn.Linear(channels, 2 * channels)
        self.project = nn.Linear(2 * channels, width)

    def forward(self, values: Float[Tensor, "B T N"]) -> Float[Tensor, "B T D"]:
        """One token per bin."""
        return self.project(functional.softsign(self.expand(values)))


class StaticInputStitch(nn.Module):
    """One value per window to a token in every bin: C -> T x 2C -> softsign -> D."""

    def __init__(self, channels: int, bins: int, width: int) -> None:
        super().__init__()
        self.bins = bins
        self.expand = nn.Linear(channels, bins * 2 * channels)
        self.project = nn.Linear(2 * channels, width)

    def forward(self, values: Float[Tensor, "B C"]) -> Float[Tensor, "B T D"]:
        """One token per bin, all made from the same value."""
        return self.project(functional.softsign(self.expand(values).unflatten(1, (self.bins, -1))))


class StaticHead(nn.Module):
    """Weighted sum of a modality's tokens, then a linear read-out.

    The weights start uniform in [0, 1) and are not normalised, as published; the first logits are
    therefore about 50 times too large (reference, defect D11).
    """

    def __init__(self, width: int, size: int, bins: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.rand(bins))
        self.linear = nn.Linear(width, size)

    def forward(self, x_BTD: Float[Tensor, "B T D"]) -> Float[Tensor, "B K"]:
        """Logits or values of each window."""
        return self.linear(self.weights @ x_BTD)


class Tables(nn.Module):
    """Learned vectors of modality, position and session; every modality owns a set of its own."""

    def __init__(self, modalities: int, bins: int, sessions: int, width: int) -> None:
        super().__init__()
        self.modality = nn.Parameter(torch.randn(modalities, width))
        self.position = nn.Parameter(torch.randn(bins, width))
        self.session = nn.Parameter(torch.randn(sessions, width))

    def forward(self, modality: int, session: int) -> Float[Tensor, "T D"]:
        """What is added to a modality's tokens.

        Args:
            modality: Index of the modality.
            session: Row of the session.
        """
        return self.position + self.modality[modality] + self.session[session]

    def grow(self, sessions: int) -> None:
        """Append random rows until the session table has at least ``sessions`` of them."""
        missing = sessions - len(self.session)
        if missing > 0:
            fresh = torch.randn(missing, self.session.shape[1]).to(self.session)
            self.session = nn.Parameter(torch.cat([self.session.detach(), fresh]))


def rotary_phases(
    positions: Float[Tensor, " L"], head_width: int, heads: int
) -> Float[Tensor, "L pairs 2"]:
    """Cosine and sine of the angle of every pair of query and key entries.

    Args:
        positions: Bin of each token.
        head_width: Width of one head, even.
        heads: Number of heads.

    Returns:
        Phases as real and imaginary parts, for all heads of queries, then of keys.
    """
    angles = rotary_angles(positions, head_width).repeat(1, 2 * heads)
    return torch.stack([angles.cos(), angles.sin()], dim=-1)


class PublishedAttention(nn.Module):
    """Full self-attention with biased projections and rotary positions.

    The published half rotation pairs entry i of a head with entry i + d/2. Here the two entries of
    a pair are neighbours, which is the same function with the rows of queries and keys named
    otherwise, and turns the rotation into one complex product.
    """

    def __init__(self, width: int, heads: int, dropout: float, scale: float) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.dropout = Dropout(dropout)
        self.out_proj = nn.Linear(width, width)
        with torch.no_grad():
            self.qkv.weight[2 * width :].mul_(scale * 2**0.5)
            self.out_proj.weight.mul_(scale)

    def forward(
        self, x_BLD: Float[Tensor, "B L D"], phases: Float[Tensor, "L pairs 2"]
    ) -> Float[Tensor, "B L D"]:
        """Mix all tokens.

        Args:
            x_BLD: Tokens.
            phases: Result of :func:`rotary_phases`.
        """
        n, length, width = x_BLD.shape
        qkv = self.qkv(x_BLD)
        turned = qkv.float()  # complex numbers have no 16-bit kind
        pairs = torch.view_as_complex(turned[..., : 2 * width].unflatten(-1, (-1, 2)))
        # In place: the product before does not need its result to compute gradients.
        pairs.mul_(torch.view_as_complex(phases))
        query, key, value = (
            turned.to(qkv.dtype).view(n, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind()
        )
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return self.out_proj(self.dropout(mixed.transpose(1, 2).flatten(2)))


class PublishedBlock(nn.Module):
    """Pre-norm block: x += attention(norm(x)); x += feed-forward(norm(x))."""

    def __init__(
        self, width: int, heads: int, feed_forward: int, dropout: float, scale: float
    ) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = PublishedAttention(width, heads, dropout, scale)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.up_proj = nn.Linear(width, feed_forward)
        self.down_proj = nn.Linear(feed_forward, width)
        self.dropout = Dropout(dropout)
        with torch.no_grad():
            self.up_proj.weight.mul_(scale)
            self.down_proj.weight.mul_(scale)

    def forward(
        self, x_BLD: Float[Tensor, "B L D"], phases: Float[Tensor, "L pairs 2"]
    ) -> Float[Tensor, "B L D"]:
        """Transform tokens; arguments as in :meth:`PublishedAttention.forward`."""
        x_BLD = x_BLD + self.attention(self.attention_norm(x_BLD), phases)
        hidden = functional.gelu(self.up_proj(self.feed_forward_norm(x_BLD)))
        return x_BLD + self.dropout(self.down_proj(hidden))


class PublishedTrunk(nn.Module):
    """A stack of blocks with Fixup-scaled projections and a final LayerNorm.

    Args:
        width: Model width D.
        layers: Number of blocks.
        heads: Attention heads.
        feed_forward: Hidden width of a block.
        dropout: Dropout on attention and feed-forward outputs.
        positions: Bin of every token.
    """

    def __init__(
        self,
        width: int,
        layers: int,
        heads: int,
        feed_forward: int,
        dropout: float,
        positions: Float[Tensor, " L"],
    ) -> None:
        super().__init__()
        scale = fixup_scale(layers)
        self.blocks = nn.ModuleList(
            PublishedBlock(width, heads, feed_forward, dropout, scale) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        self.phases: Tensor
        self.register_buffer(
            "phases", rotary_phases(positions, width // heads, heads), persistent=False
        )

    def forward(self, x_BLD: Float[Tensor, "B L D"]) -> Float[Tensor, "B L D"]:
        """Transform tokens."""
        for block in self.blocks:
            x_BLD = block(x_BLD, self.phases)
        return self.norm(x_BLD)
