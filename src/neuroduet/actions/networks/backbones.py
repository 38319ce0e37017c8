"""Backbones: features of a window and of the frames around it to a hidden state per frame.

Convolutions are *valid*: a window carries ``pad`` frames of context on both sides and comes out
without them. Context is real wherever the recording goes on, and zero only beyond its ends, in
training as in prediction; hence a frame's output depends neither on how a recording is cut nor on
where the frame lies in a window, and nothing computed from padding is thrown away.

Shape letters: ``B`` windows, ``T`` frames including context, ``D`` features, ``H`` hidden units,
``K`` classes.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

SLOPE = 0.05
"""Of the leaky rectifier below zero, as published."""


class Backbone(nn.Module):
    """Features to hidden states.

    Attributes:
        pad: Frames of context on each side.
        width: Hidden units of the output.
    """

    def __init__(self, *, pad: int, width: int) -> None:
        super().__init__()
        self.pad, self.width = pad, width

    def core(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B _ H"]:
        """Hidden states of all frames but ``pad`` on each side, which are context."""
        raise NotImplementedError

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T H"]:
        """Hidden states of all frames; nothing but zeros lies around them."""
        return self.core(functional.pad(x, (0, 0, self.pad, self.pad)))


class NormedConv(nn.Module):
    """Convolution whose kernels are a direction times a gain (weight normalisation).

    Starts as an ordinary convolution does. The small normal start that was meant for the published
    network sets a derived weight and is gone at the first forward pass, so this is also how the
    published network starts in effect.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, dilation: int) -> None:
        super().__init__()
        plain = nn.Conv1d(inputs, outputs, kernel)
        assert plain.bias is not None
        self.direction = nn.Parameter(plain.weight.detach().clone())
        self.gain = nn.Parameter(self.direction.detach().flatten(1).norm(dim=1))
        self.bias = nn.Parameter(plain.bias.detach().clone())
        self.dilation = dilation

    def weight(self) -> Float[Tensor, "O I kernel"]:
        """The kernels."""
        scale = self.gain / self.direction.flatten(1).norm(dim=1)
        return self.direction * scale[:, None, None]

    def forward(self, x: Float[Tensor, "B I T"]) -> Float[Tensor, "B O _"]:
        """Convolve; the output is shorter by the reach of the kernel."""
        return functional.conv1d(x, self.weight(), self.bias, dilation=self.dilation)


class DilatedBlock(nn.Module):
    """Two dilated convolutions and a residual path."""

    def __init__(
        self, inputs: int, hidden: int, outputs: int, *, lags: int, dilation: int, dropout: float
    ) -> None:
        super().__init__()
        self.first = NormedConv(inputs, hidden, 2 * lags + 1, dilation)
        self.second = NormedConv(hidden, outputs, 2 * lags + 1, dilation)
        self.shortcut = nn.Identity() if inputs == outputs else nn.Conv1d(inputs, outputs, 1)
        # Whole channels: neighbouring frames would give a single dropped value away.
        self.dropout = nn.Dropout1d(dropout)
        self.reach = 2 * lags * dilation

    def forward(self, x: Float[Tensor, "B I T"]) -> Float[Tensor, "B O _"]:
        """Hidden states, ``reach`` frames fewer on each side."""
        hidden = self.dropout(_rectified(self.first(x)))
        hidden = self.dropout(_rectified(self.second(hidden)))
        residual = self.shortcut(x[..., self.reach : x.shape[-1] - self.reach])
        return _rectified(hidden + residual)


class DilatedTCN(Backbone):
    """Dilated temporal convolutions: block ``i`` has dilation ``2**i``; not causal.

    Args:
        inputs: Features ``D``.
        hidden: Channels inside and between the blocks.
        outputs: Channels of the last block.
        layers: Blocks.
        lags: Frames to each side that a kernel spans, times its dilation.
        dropout: Probability that a channel of a window is silenced.
        descending: Decoder form: dilations descend and a linear map of the outputs ends it.
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        outputs: int,
        layers: int,
        lags: int,
        dropout: float,
        descending: bool = False,
    ) -> None:
        super().__init__(pad=2 * lags * (2**layers - 1), width=outputs)
        sizes = [inputs, *[hidden] * (layers - 1), outputs]
        powers = reversed(range(layers)) if descending else range(layers)
        self.blocks = nn.Sequential(
            *(
                DilatedBlock(i, hidden, o, lags=lags, dilation=2**power, dropout=dropout)
                for (i, o), power in zip(pairwise(sizes), powers, strict=True)
            )
        )
        self.last = nn.Conv1d(outputs, outputs, 1) if descending else nn.Identity()

    def core(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B _ H"]:
        """Hidden states of all frames but the context."""
        return self.last(self.blocks(x.transpose(1, 2))).transpose(1, 2)


class TemporalMLP(Backbone):
    """One convolution over the frames around a frame, then linear layers per frame."""

    def __init__(self, inputs: int, hidden: int, layers: int, lags: int, dropout: float) -> None:
        super().__init__(pad=lags, width=hidden)
        self.first = nn.Conv1d(inputs, hidden, 2 * lags + 1)
        self.dropout = nn.Dropout(dropout)
        self.rest = nn.ModuleList([nn.Linear(hidden, hidden) for _ in range(layers)])

    def core(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B _ H"]:
        """Hidden states of all frames but the context."""
        hidden = self.first(x.transpose(1, 2)).transpose(1, 2)
        for layer in self.rest:
            hidden = layer(self.dropout(functional.leaky_relu(hidden, SLOPE)))
        return hidden


class Recurrent(Backbone):
    """LSTM or GRU, and a linear map of its directions.

    Args:
        kind: Which cell.
        inputs: Features ``D``.
        hidden: Units of a direction, and of the output.
        layers: Recurrent layers.
        dropout: Between layers and before the linear map.
        bidirectional: Whether frames to come count too.
        context: Frames of warm-up on each side (``pad``).
    """

    def __init__(
        self,
        kind: Literal["lstm", "gru"],
        inputs: int,
        hidden: int,
        layers: int,
        dropout: float,
        bidirectional: bool,
        context: int,
    ) -> None:
        super().__init__(pad=context, width=hidden)
        cell = nn.LSTM if kind == "lstm" else nn.GRU
        between = dropout if layers > 1 else 0.0
        self.recurrent = cell(
            inputs, hidden, layers, batch_first=True, dropout=between, bidirectional=bidirectional
        )
        self.dropout = nn.Dropout(dropout)
        self.read_out = nn.Linear(hidden * (1 + bidirectional), hidden)

    def core(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B _ H"]:
        """Hidden states of all frames but the warm-up."""
        hidden = self.recurrent(x)[0][:, self.pad : x.shape[1] - self.pad]
        return self.read_out(self.dropout(hidden))


class DilatedStage(Backbone):
    """One stage of MS-TCN: residual layers of kernel 3 whose dilation doubles."""

    def __init__(self, inputs: int, hidden: int, layers: int, dropout: float) -> None:
        super().__init__(pad=2**layers - 1, width=hidden)
        self.first = nn.Conv1d(inputs, hidden, 1)
        self.dilated = nn.ModuleList(
            [nn.Conv1d(hidden, hidden, 3, dilation=2**i) for i in range(layers)]
        )
        self.mixing = nn.ModuleList([nn.Conv1d(hidden, hidden, 1) for _ in range(layers)])
        self.dropout = nn.Dropout(dropout)

    def core(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B _ H"]:
        """Hidden states of all frames but the context."""
        hidden = self.first(x.transpose(1, 2))
        for power, (dilated, mix) in enumerate(zip(self.dilated, self.mixing, strict=True)):
            change = self.dropout(mix(functional.relu(dilated(hidden))))
            hidden = hidden[..., 2**power : hidden.shape[-1] - 2**power] + change
        return hidden.transpose(1, 2)


def linear_decoder(inputs: int, hidden: int, outputs: int, layers: int) -> nn.Sequential:
    """``layers + 1`` linear maps with rectifiers between them."""
    sizes = [inputs, *[hidden] * layers, outputs]
    maps: list[nn.Module] = []
    for i, o in pairwise(sizes):
        maps += [nn.Linear(i, o), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*maps[:-1])


def parameters(module: nn.Module) -> int:
    """Number of numbers that a module learns."""
    return sum(p.numel() for p in module.parameters())


def _rectified(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Rectify a result that nobody else needs, in its own memory."""
    return functional.leaky_relu(x, SLOPE, inplace=True)
