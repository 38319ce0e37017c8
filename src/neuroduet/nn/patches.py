"""Space-time patches: the tokens of NDT2, each of P neighbouring units in one time bin.

Two letters beside those of :mod:`neuroduet.types`: ``J`` patches of a session, ``P`` units in a
patch. Tokens are ordered by time, the patches of one bin side by side.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn
from torch.nn import functional

PLACE_SCALE = 0.1
"""Size at which vectors of patch and bin start. The few spikes of a bin embed to about a tenth of
a unit; beside vectors of size 1, as published, a model hears them only after long training."""


def patch_count(units: int, patch: int) -> int:
    """Number of patches that hold all units.

    >>> patch_count(676, 128)
    6
    """
    return -(-units // patch)


def to_patches(x: Shaped[Tensor, "B T N"], patch: int) -> Shaped[Tensor, "B T J P"]:
    """Cut the unit axis into patches.

    The last patch ends with zeros (false); the published code repeats other units there (MtM,
    section 3.2), so that they are read twice.

    Args:
        x: Values or a mask.
        patch: Units in a patch.

    Returns:
        The same in patches.
    """
    missing = -x.shape[-1] % patch
    return functional.pad(x, (0, missing)).unflatten(-1, (-1, patch))


def from_patches(x: Shaped[Tensor, "B T J P"], units: int) -> Shaped[Tensor, "B T N"]:
    """Undo :func:`to_patches` for a session of ``units`` units."""
    return x.flatten(-2)[..., :units]


def token_times(bins: int, patches: int, prefix: int) -> Int[Tensor, " L"]:
    """Bin of every token; tokens in front of all bins are at -1."""
    times = torch.arange(bins).repeat_interleave(patches)
    return torch.cat([torch.full((prefix,), -1), times])


def attention_mask(
    windows: int, mask: Bool[Tensor, "L L"] | None, known: Bool[Tensor, "B L"] | None
) -> Bool[Tensor, "B _ L"] | None:
    """Who may attend to whom in every window; ``None`` (all) keeps the fastest kernel.

    Args:
        windows: Number of windows B.
        mask: See :func:`~neuroduet.nn.attention.past`; ``None`` where the future may be seen.
        known: Tokens that are not padding; ``None`` if all are. Nobody attends to the others.
    """
    if mask is None:
        return None if known is None else known[:, None]
    # Expanding costs no memory: all windows share one mask.
    return mask.expand(windows, -1, -1) if known is None else known[:, None] & mask


class PatchEmbedding(nn.Module):
    """Patches to tokens: P -> 2P -> softsign -> D, plus where and when (MtM, section 3.2).

    Args:
        patch: Units in a patch.
        patches: Most patches of a session.
        bins: Most bins of a window.
        width: Model width D.
    """

    def __init__(self, patch: int, patches: int, bins: int, width: int) -> None:
        super().__init__()
        self.patch = patch
        self.expand = nn.Linear(patch, 2 * patch)
        self.project = nn.Linear(2 * patch, width)
        self.hidden = nn.Parameter(torch.randn(width) * 0.02)
        self.space = nn.Parameter(torch.randn(patches, width))
        self.time = nn.Parameter(torch.randn(bins, width))
        self.space_norm = nn.LayerNorm(width)
        self.time_norm = nn.LayerNorm(width)
        nn.init.constant_(self.space_norm.weight, PLACE_SCALE)
        nn.init.constant_(self.time_norm.weight, PLACE_SCALE)

    def forward(
        self, values: Float[Tensor, "B T N"], visible: Bool[Tensor, "B T #N"]
    ) -> Float[Tensor, "B T J D"]:
        """Embed.

        Args:
            values: Counts, or standardised traces.
            visible: What may be seen; a token of which nothing may be seen is one learned vector,
                so that hidden is not the same as silent.

        Returns:
            One token per bin and patch.
        """
        patches = to_patches(values.masked_fill(~visible, 0.0), self.patch)
        embedded = self.project(functional.softsign(self.expand(patches)))
        seen = to_patches(visible, self.patch if visible.shape[-1] > 1 else 1).any(-1)
        tokens = torch.where(seen[..., None], embedded, self.hidden.to(embedded.dtype))
        bins, count = patches.shape[1:3]
        return tokens + self.places()[:count] + self.time_norm(self.time[:bins, None])

    def places(self) -> Float[Tensor, "J D"]:
        """What is added to the tokens of each patch."""
        return self.space_norm(self.space)

    def grow(self, patches: int) -> None:
        """Append random places until there are at least ``patches`` of them."""
        missing = patches - len(self.space)
        if missing > 0:
            fresh = torch.randn(missing, self.space.shape[1]).to(self.space)
            self.space = nn.Parameter(torch.cat([self.space.detach(), fresh]))
