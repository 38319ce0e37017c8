"""Dropout that costs little on a CPU.

``torch.nn.Dropout`` draws one Bernoulli number per element on one thread, which takes longer than
the matrix product before it. Here one 64-bit draw serves four elements: its 16-bit quarters are
compared with a threshold. On a GPU torch's own fused kernel is the faster one, and is used.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from neuroduet.errors import UserError

_LEVELS = 1 << 16
_PER_DRAW = 4  # 16-bit numbers in one 64-bit draw


class Dropout(nn.Module):
    """Set elements to zero with probability ``p`` in training and scale the others by 1/(1-p).

    The probability is rounded to a multiple of 2**-16, and the scale is computed from the rounded
    value, so the expectation is exact. Draws come from torch's default generator and are therefore
    reproducible under ``torch.manual_seed``.

    Args:
        p: Probability that an element is dropped, in [0, 1).

    Raises:
        UserError: ``p`` is outside [0, 1).
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise UserError(f"dropout probability {p} is outside [0, 1); give e.g. 0.2")
        self.p = p

    def forward(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Drop elements of ``x`` (any shape) in training; return it unchanged in evaluation."""
        dropped = round(self.p * _LEVELS)
        if not self.training or dropped == 0:
            return x
        if x.device.type != "cpu":
            return nn.functional.dropout(x, self.p)
        # Multiplying by int8 keeps one byte per element for the backward pass, and its kernel is
        # about three times faster than multiplying by bool.
        kept = _random_int16(x.shape) >= dropped - _LEVELS // 2
        return (x * kept.view(torch.int8)).mul_(_LEVELS / (_LEVELS - dropped))

    def extra_repr(self) -> str:
        """The probability, for ``print(model)``."""
        return f"p={self.p}"


def _random_int16(shape: torch.Size) -> Tensor:
    """Uniform int16 numbers over their whole range, four from every 64-bit draw."""
    count = shape.numel()
    draws = torch.empty(-(-count // _PER_DRAW), dtype=torch.int64)
    return draws.random_(-(2**63), None).view(torch.int16)[:count].view(shape)
